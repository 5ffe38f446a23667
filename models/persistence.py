"""Persistence: the next period is like the last one.

The class of the previous period gets probability 1, or its amount of rain is said with certainty. Where that period is
not complete (at the head of a record) the share of each class in the training split is given instead, or the quantiles
and the mean of its amounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from utils import rain_scale
from utils.amounts import Amounts
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


class AmountModel:
    """The amount of the previous period, as if it were certain.

    Args:
        config: object with `n_quantiles`.
    """

    kind: ClassVar[str] = "reference"
    needs: ClassVar[tuple[str, ...]] = ("past_mm",)

    def __init__(self, config: Any) -> None:
        self.levels = rain_scale.levels(int(config.n_quantiles))
        self._quantile, self._mean = np.zeros(len(self.levels)), np.zeros(())

    def fit(self, inputs: Mapping[str, np.ndarray], amount_mm: np.ndarray) -> None:  # noqa: ARG002 - as above
        """Store quantiles and mean of the training split for samples whose past is not known.

        Args:
            inputs: not used.
            amount_mm: `(N,)` rain in millimetres, N at least 1.
        """
        self._quantile, self._mean = np.quantile(amount_mm, self.levels), np.asarray(np.mean(amount_mm))

    def predict_amounts(self, inputs: Mapping[str, np.ndarray]) -> Amounts:
        """Repeat `past_mm` `(N,)`, in millimetres, NaN where it is not known."""
        past = np.asarray(inputs["past_mm"], dtype=np.float64)
        known = np.isfinite(past)
        quantiles = np.where(known[:, None], past[:, None], self._quantile)
        return Amounts(quantiles, np.where(known, past, self._mean))

    def state(self) -> dict[str, torch.Tensor]:
        """`quantile` `(n_quantiles,)` and `mean` `()` of the training split, in millimetres."""
        return {"quantile": torch.from_numpy(self._quantile.copy()), "mean": torch.from_numpy(self._mean.copy())}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take what `state` returned."""
        self._quantile, self._mean = (state[name].double().numpy().copy() for name in ("quantile", "mean"))
