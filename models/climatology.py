"""Climatology: the training share of each class, or quantiles of the training amounts, per region and calendar month.

Skill is measured against it. Cells without training samples (a region that misses a month) take those of their region
over all months; a region without any sample takes those of all regions and months.
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
        region, month = _cells(inputs, self.n_regions)
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
        region, month = _cells(inputs, self.n_regions)
        return self._share[region, month - 1]

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted shares, `(n_regions, 12, n_classes)`."""
        return {"share": torch.from_numpy(self._share.copy())}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take shares that `state` returned."""
        self._share = state["share"].double().numpy().copy()


class AmountModel:
    """Quantiles and mean of the rain in the training split, per region and month of init_time, in millimetres.

    Args:
        config: object with `n_quantiles` and `n_regions`.
    """

    kind: ClassVar[str] = "reference"
    needs: ClassVar[tuple[str, ...]] = ("region", "month")

    def __init__(self, config: Any) -> None:
        self.n_regions = int(config.n_regions)
        self.levels = rain_scale.levels(int(config.n_quantiles))
        self._quantile = np.zeros((0, MONTHS, len(self.levels)))
        self._mean = np.zeros((0, MONTHS))

    def fit(self, inputs: Mapping[str, np.ndarray], amount_mm: np.ndarray) -> None:
        """Take the quantiles and the mean of the training samples.

        Args:
            inputs: `region` `(N,)` index of the region, `month` `(N,)` calendar month of init_time, 1 to 12.
            amount_mm: `(N,)` rain in millimetres, N at least 1.

        Raises:
            DataError: regions or months out of range.
        """
        region, month = _cells(inputs, self.n_regions)
        self._quantile = np.empty((self.n_regions, MONTHS, len(self.levels)))
        self._mean = np.empty((self.n_regions, MONTHS))
        for place in np.ndindex(self.n_regions, MONTHS):
            here = region == place[0]
            cell = next(
                chosen for chosen in (here & (month == place[1] + 1), here, np.full(len(here), True)) if chosen.any()
            )
            self._quantile[place] = np.quantile(amount_mm[cell], self.levels)
            self._mean[place] = np.mean(amount_mm[cell])

    def predict_amounts(self, inputs: Mapping[str, np.ndarray]) -> Amounts:
        """Look up the amounts of the samples' region and month.

        Raises:
            DataError: regions or months out of range.
        """
        region, month = _cells(inputs, self.n_regions)
        return Amounts(self._quantile[region, month - 1], self._mean[region, month - 1])

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted `quantile` `(n_regions, 12, n_quantiles)` and `mean` `(n_regions, 12)`."""
        return {"quantile": torch.from_numpy(self._quantile.copy()), "mean": torch.from_numpy(self._mean.copy())}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take what `state` returned."""
        self._quantile, self._mean = (state[name].double().numpy().copy() for name in ("quantile", "mean"))


def _cells(inputs: Mapping[str, np.ndarray], n_regions: int) -> tuple[np.ndarray, np.ndarray]:
    region, month = np.asarray(inputs["region"]), np.asarray(inputs["month"])
    for name, value, low, high in (("region", region, 0, n_regions - 1), ("month", month, 1, MONTHS)):
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
