"""Residual GELU blocks on engineered window features: the tabular neural reference.

Axes: B batch, L time steps, C variables, F features, M marks of the init_time and region.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from layers.window_features import WindowFeatures
from models._config import dimension, marks, read_config, require_positive, require_share

STATISTICS_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the residual blocks.

    Raises:
        UsageError: ``CONFIG``, a value is out of range.
    """

    mlp_width: int = field(default=128, metadata={"help": "width of the residual blocks"})
    mlp_blocks: int = field(default=2, metadata={"help": "number of residual blocks"})
    mlp_dropout: float = field(default=0.3, metadata={"help": "dropout of the features and inside each block"})
    n_classes: int = field(default=2, metadata={"help": "classes; 1 gives a single logit, as --loss BCE wants"})

    def __post_init__(self) -> None:
        for name in ("mlp_width", "mlp_blocks", "n_classes"):
            require_positive(name, getattr(self, name))
        require_share("mlp_dropout", self.mlp_dropout)


class Standardise(nn.BatchNorm1d):
    """Standardisation of features `(B, F)` by the batch in training and by running statistics otherwise."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Standardise; a batch of one has no deviation and takes the running statistics in training too."""
        by_batch = self.training and len(x) > 1
        return F.batch_norm(
            x, self.running_mean, self.running_var, training=by_batch, momentum=STATISTICS_RATE, eps=self.eps
        )


class ResidualBlock(nn.Module):
    """``x + map(norm(x))`` with one hidden GELU layer.

    Args:
        width: width of input, hidden layer and output.
        dropout: dropout after the activation.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(B, width)` to `(B, width)`."""
        return x + self.path(x)


class Model(nn.Module):
    """Window features and marks, standardised, then residual blocks and a linear layer.

    Args:
        configs: any object with the flags of `Config`, ``n_variables``, ``context_length``, and optionally
            ``step_hours``, ``pressure_index`` and ``n_marks``.

    Raises:
        UsageError: ``CONFIG``, the object lacks a dimension.
    """

    kind: ClassVar[str] = "network"

    def __init__(self, configs: Any) -> None:
        super().__init__()
        self.config = config = read_config(Config, configs)
        self.n_marks = int(getattr(configs, "n_marks", 0))
        self.features = WindowFeatures(
            dimension(configs, "n_variables", "residual_mlp"),
            dimension(configs, "context_length", "residual_mlp"),
            int(getattr(configs, "step_hours", 1)),
            getattr(configs, "pressure_index", None),
        )
        n_inputs = self.features.n_features + self.n_marks
        self.standardise = Standardise(n_inputs, affine=False)
        self.layers = nn.Sequential(
            nn.Dropout(config.mlp_dropout),
            nn.Linear(n_inputs, config.mlp_width),
            *(ResidualBlock(config.mlp_width, config.mlp_dropout) for _ in range(config.mlp_blocks)),
            nn.LayerNorm(config.mlp_width),
            nn.GELU(),
            nn.Linear(config.mlp_width, config.n_classes),
        )

    def forward(
        self,
        x: torch.Tensor,
        x_mark: torch.Tensor | None = None,
        y_mark: torch.Tensor | None = None,  # noqa: ARG002 - the place OpenLTM's experiments pass it in
    ) -> torch.Tensor:
        """Classify windows `(B, L, C)` with marks `(B, M)`: logits `(B, n_classes)`."""
        inputs = self.features(x)
        if self.n_marks:
            inputs = torch.cat((inputs, marks(x_mark, self.n_marks)), dim=1)
        return self.layers(self.standardise(inputs))
