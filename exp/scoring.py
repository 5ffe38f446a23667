"""From probabilities to scores: the cut chosen on validation, everything reported on the test split."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from data_provider.factory import Splits
from data_provider.rain_table import UNKNOWN_LABEL, RainTable
from data_provider.windows import WindowIndex, WindowSet
from exp.forecasters import Forecaster
from models.climatology import Model as Climatology
from utils import verification
from utils.files import write_whole
from utils.forecasts import ClassForecasts, Forecasts

logger = logging.getLogger(__name__)
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
ERA5_ATTRIBUTION = "Contains modified Copernicus Climate Change Service information"


@dataclass(frozen=True)
class Evaluation:
    """What a fitted forecaster is worth.

    Attributes:
        cuts: one per threshold, chosen on validation.
        cut_score: the score that chose them.
        validation: score table of the validation split.
        test: score table of the test split.
        forecasts: test forecasts beside observations and climatology.
        probability: `(N, n_classes)` of the test split.
    """

    cuts: tuple[float, ...]
    cut_score: str
    validation: dict[str, Any]
    test: dict[str, Any]
    forecasts: Forecasts | ClassForecasts
    probability: np.ndarray

    @property
    def is_collapsed(self) -> bool:
        """True when the forecast says the same every time, so that no score of it is skill."""
        return bool(main_scores(self.test)["constant_answer"])


def evaluate(forecaster: Forecaster, splits: Splits, cut_score: str) -> Evaluation:
    """Choose the cuts on validation and score validation and test with them."""
    climatology = _climatology(splits)
    on_validation = forecaster.probabilities(splits.validation)
    on_test = forecaster.probabilities(splits.test)
    cuts = choose_cuts(on_validation, splits.validation.index.label, cut_score)
    thresholds = splits.table.thresholds_mm
    forecasts = forecasts_of(splits.test, on_test, climatology, cuts, thresholds)
    validation = forecasts_of(splits.validation, on_validation, climatology, cuts, thresholds)
    return Evaluation(
        cuts=cuts,
        cut_score=cut_score,
        validation=verification.score_table(validation),
        test=verification.score_table(forecasts),
        forecasts=forecasts,
        probability=on_test,
    )


def choose_cuts(probability: np.ndarray, label: np.ndarray, cut_score: str) -> tuple[float, ...]:
    """Return one cut per threshold from the validation split `(N, K)`, `(N,)`."""
    return tuple(
        verification.choose_cut(
            np.clip(probability[:, level:].sum(axis=1), 0, 1), (label >= level).astype(int), cut_score
        )
        for level in range(1, probability.shape[1])
    )


def forecasts_of(
    windows: WindowSet,
    probability: np.ndarray,
    climatology: Climatology,
    cuts: tuple[float, ...],
    thresholds_mm: tuple[float, ...],
) -> Forecasts | ClassForecasts:
    """Put probabilities beside observations and the training climatology."""
    index = windows.index
    share = climatology.predict_probability({"region": index.region, "month": index.month})
    region = np.array(windows.regions)[index.region]
    if probability.shape[1] == 2:
        return Forecasts(
            init_time=index.init_time,
            region=region,
            probability=probability[:, 1],
            observed=index.label,
            climatology=share[:, 1],
            cut=cuts[0],
        )
    return ClassForecasts(
        init_time=index.init_time,
        region=region,
        probability=probability,
        observed=index.label,
        climatology=share,
        threshold_mm=thresholds_mm,
        cut=cuts,
    )


def write_probabilities(
    stem: Path, table: RainTable, index: WindowIndex, probability: np.ndarray, cuts: tuple[float, ...]
) -> pd.DataFrame:
    """Write probabilities with their times and regions as CSV and, where xarray is installed, as NetCDF.

    Args:
        stem: path without suffix.
        table: the table that the windows were cut from.
        index: the `N` windows.
        probability: `(N, n_classes)`.
        cuts: probability from which on each threshold is forecast to be reached.

    Returns:
        One row per init time and region, as written.
    """
    lead = np.timedelta64(table.lead_time_hours, "h")
    accumulation = np.timedelta64(table.accumulation_hours, "h")
    columns: dict[str, Any] = {
        "init_time": index.init_time,
        "region": np.array(table.regions)[index.region],
        "period_start": index.init_time + lead - accumulation,
        "period_end": index.init_time + lead,
    }
    for level, (threshold, cut) in enumerate(zip(table.thresholds_mm, cuts, strict=True), start=1):
        reached = np.clip(probability[:, level:].sum(axis=1), 0, 1)
        columns[f"probability_{threshold:g}mm"] = reached
        columns[f"forecast_{threshold:g}mm"] = (reached >= cut).astype(np.int8)
    columns["observed_class"] = pd.array(index.label, dtype="Int64")
    columns["observed_precipitation_mm"] = index.precipitation_mm
    frame = pd.DataFrame(columns)
    frame.loc[index.label == UNKNOWN_LABEL, "observed_class"] = pd.NA
    write_whole(
        stem.with_name(stem.name + ".csv"), lambda path: frame.to_csv(path, index=False, date_format=TIME_FORMAT)
    )
    _write_netcdf(stem.with_name(stem.name + ".nc"), frame, table, cuts)
    return frame


def _write_netcdf(path: Path, frame: pd.DataFrame, table: RainTable, cuts: tuple[float, ...]) -> None:
    try:
        import netCDF4  # noqa: F401
        import xarray  # noqa: F401
    except ModuleNotFoundError:
        logger.info("xarray and netCDF4 are not installed: predictions are written as CSV only.")
        return
    gridded = frame.astype({"observed_class": "Float64"}).astype({"observed_class": float})
    dataset = gridded.drop(columns=["period_start", "period_end"]).set_index(["init_time", "region"]).to_xarray()
    dataset.attrs = {
        "title": f"Probability of rain, {'SYNTHETIC data' if table.is_synthetic else 'ERA5'}",
        "lead_time_hours": table.lead_time_hours,
        "accumulation_hours": table.accumulation_hours,
        "threshold_mm": list(table.thresholds_mm),
        "cut": list(cuts),
        "attribution": table.attributes.get("attribution", ERA5_ATTRIBUTION),
    }
    write_whole(path, dataset.to_netcdf)


def _climatology(splits: Splits) -> Climatology:
    index = splits.all_training
    model = Climatology(SimpleNamespace(n_classes=splits.table.n_classes, n_regions=len(splits.table.regions)))
    model.fit({"region": index.region, "month": index.month}, index.label)
    return model


def main_scores(table: dict[str, Any]) -> dict[str, Any]:
    """Return the overall scores of the lowest threshold."""
    return next(iter(table["thresholds"].values()))["overall"] if "thresholds" in table else table["overall"]
