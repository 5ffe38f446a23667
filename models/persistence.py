"""Persistence: the next period is like the last one.

The class of the previous period gets probability 1. Where that period is not complete (class -1, at the head of a
record) the share of each class in the training split is given instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from utils.class_labels import check_labels
from utils.errors import DataError

UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Persistence has nothing to set."""


class Model:
    """The class of the previous period, with probability 0 or 1.

    Args:
        config: object with `n_classes`.
    """

    kind: ClassVar[str] = "reference"
    needs: ClassVar[tuple[str, ...]] = ("past_class",)

    def __init__(self, config: Any) -> None:
        self.n_classes = int(config.n_classes)
        self._share = np.zeros(self.n_classes)

    def fit(self, inputs: Mapping[str, np.ndarray], label: np.ndarray) -> None:  # noqa: ARG002 - the common interface
        """Store the training share of each class for samples whose past is not known.

        Args:
            inputs: not used.
            label: `(N,)` class of each sample.

        Raises:
            DataError: labels out of range.
        """
        label = check_labels(label, self.n_classes)
        self._share = np.bincount(label, minlength=self.n_classes) / label.size

    def predict_probability(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Give the `(N, n_classes)` probabilities for `past_class` `(N,)`, -1 where it is not known.

        Raises:
            DataError: a past class is neither -1 nor one of the classes.
        """
        past = np.asarray(inputs["past_class"])
        outside = ~np.isin(past, np.arange(UNKNOWN, self.n_classes))
        if outside.any():
            raise DataError(
                "LABEL_RANGE",
                f"{int(outside.sum())} of {past.size} samples have a past class outside {UNKNOWN} to "
                f"{self.n_classes - 1}",
                where=f"past_class, first at sample {int(np.argmax(outside))}",
                evidence=f"values {np.unique(past[outside])[:5].tolist()}",
                next_command="prepare the data with the thresholds the run was trained on",
            )
        # The row beyond the classes is where index -1 points to.
        table = np.vstack([np.eye(self.n_classes), self._share])
        return table[past.astype(np.int64)]

    def state(self) -> dict[str, torch.Tensor]:
        """The training share of each class, `(n_classes,)`."""
        return {"share": torch.from_numpy(self._share.copy())}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the shares that `state` returned."""
        self._share = state["share"].double().numpy().copy()
