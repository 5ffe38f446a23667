"""The branch of a classifier that reads engineered features of the past month beside its encoder.

Axes: B batch, L time steps, V variables, M marks of the init_time and region, F features.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from layers.feature_embedding import FeatureEmbedding
from layers.history_features import HistoryFeatures
from models._config import dimension, marks
from utils.errors import UsageError

# What the features were found to need: rain remembers itself, and the rest says what weather is on its way.
NEEDED = ("tp", "t2m", "sp", "u10", "v10")


class HistoryBranch(nn.Module):
    """Features of a window and its marks, each embedded.

    Args:
        configs: any object with ``variables``, ``centre``, ``spread``, ``context_length`` and ``n_marks``;
            ``step_hours`` is 1 where it lacks it.
        dropout: share of the features that a training step does without.

    Raises:
        UsageError: ``CONFIG``, the object lacks a dimension, or the table a variable that the features are made of.
    """

    def __init__(self, configs: Any, dropout: float) -> None:
        super().__init__()
        variables = tuple(getattr(configs, "variables", ()))
        require_variables(variables)
        self.n_marks = dimension(configs, "n_marks", "--history_features")
        self.features = HistoryFeatures(
            variables,
            configs.centre,
            configs.spread,
            dimension(configs, "context_length", "--history_features"),
            int(getattr(configs, "step_hours", 1)),
        )
        self.embedding = FeatureEmbedding(self.features.n_features + self.n_marks, dropout=dropout)

    @property
    def n_outputs(self) -> int:
        """Width of what comes out."""
        return self.embedding.n_outputs

    def fit(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Take the statistics of training windows, given in batches of windows `(B, L, V)` and marks `(B, M)`."""
        self.embedding.fit(torch.cat([self._inputs(x, x_mark) for x, x_mark in batches]))

    def forward(self, x: torch.Tensor, x_mark: torch.Tensor | None) -> torch.Tensor:
        """Embed what is known of windows `(B, L, V)` with marks `(B, M)`: `(B, n_outputs)`."""
        return self.embedding(self._inputs(x, x_mark))

    def _inputs(self, x: torch.Tensor, x_mark: torch.Tensor | None) -> torch.Tensor:
        # A tendency is a small difference of large numbers: half precision would leave little of it.
        with torch.autocast(x.device.type, enabled=False):
            return torch.cat([self.features(x.float()), marks(x_mark, self.n_marks).float()], dim=1)


def require_variables(variables: Sequence[str]) -> None:
    """Refuse a table that lacks what the features are made of.

    Args:
        variables: names of those that the table has.

    Raises:
        UsageError: ``CONFIG``, with the names that are missing.
    """
    missing = [name for name in NEEDED if name not in variables]
    if not missing:
        return
    raise UsageError(
        "CONFIG",
        "The table lacks variables that the features of the past month are made of.",
        where="--history_features",
        evidence=f"missing: {', '.join(missing)}; the table has {', '.join(variables) or 'none that are known'}",
        next_command="prepare the table with them (--columns), or leave --history_features away: --preset tiny",
    )
