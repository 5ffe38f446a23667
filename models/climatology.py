"""Climatology: the training share of each class per region and calendar month; skill is measured against it.

Cells without training samples (a region that misses a month) take the share of their region over all months;
a region without any sample takes the share of all regions and months.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from utils.class_labels import check_labels
from utils.errors import DataError

MONTHS = 12


@dataclass(frozen=True, kw_only=True)
class Config:
    """Climatology has nothing to set."""


class Model:
    """Share of each class in the training split, per region and month of init_time.

    Args:
        config: object with `n_classes` and `n_regions`.
    """

    kind: ClassVar[str] = "reference"
    needs: ClassVar[tuple[str, ...]] = ("region", "month")

    def __init__(self, config: Any) -> None:
        self.n_classes = int(config.n_classes)
        self.n_regions = int(config.n_regions)
        self._share = np.zeros((0, MONTHS, self.n_classes))

    def fit(self, inputs: Mapping[str, np.ndarray], label: np.ndarray) -> None:
        """Count the classes of the training samples.

        Args:
            inputs: `region` `(N,)` index of the region, `month` `(N,)` calendar month of init_time, 1 to 12.
            label: `(N,)` class of each sample.

        Raises:
            DataError: labels, regions or months out of range.
        """
        label = check_labels(label, self.n_classes)
        region, month = self._cells(inputs)
        counts = np.zeros((self.n_regions, MONTHS, self.n_classes))
        np.add.at(counts, (region, month - 1, label), 1)
        overall = counts.sum((0, 1)) / counts.sum()
        by_region = _shares(counts.sum(1), np.broadcast_to(overall, (self.n_regions, self.n_classes)))
        self._share = _shares(counts, np.broadcast_to(by_region[:, None], counts.shape))

    def predict_probability(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Look up the `(N, n_classes)` shares of the samples' region and month.

        Raises:
            DataError: regions or months out of range.
        """
        region, month = self._cells(inputs)
        return self._share[region, month - 1]

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted shares, `(n_regions, 12, n_classes)`."""
        return {"share": torch.from_numpy(self._share.copy())}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take shares that `state` returned."""
        self._share = state["share"].double().numpy().copy()

    def _cells(self, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        region, month = np.asarray(inputs["region"]), np.asarray(inputs["month"])
        for name, value, low, high in (("region", region, 0, self.n_regions - 1), ("month", month, 1, MONTHS)):
            outside = ~np.isin(value, np.arange(low, high + 1))
            if outside.any():
                raise DataError(
                    "DATA_RANGE",
                    f"{int(outside.sum())} of {outside.size} samples have a {name} outside {low} to {high}",
                    where=f"{name}, first at sample {int(np.argmax(outside))}",
                    evidence=f"values {np.unique(value[outside])[:5].tolist()}",
                    next_command="predict with the regions the run was trained on",
                )
        return region.astype(np.int64), month.astype(np.int64)


def _shares(counts: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Divide counts by their sum over the last axis; where there are none, take the fallback of the same shape."""
    total = counts.sum(-1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), fallback)
