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
from models.persistence import Model as Persistence
from utils import verification
from utils.files import write_whole
from utils.forecasts import REFERENCES, ClassForecasts, Forecasts
from utils.judgement import Terms, judge

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
        validation_forecasts: validation forecasts beside observations and climatology.
        validation_probability: `(M, n_classes)` of the validation split.
    """

    cuts: tuple[float, ...]
    cut_score: str
    validation: dict[str, Any]
    test: dict[str, Any]
    forecasts: Forecasts | ClassForecasts
    probability: np.ndarray
    validation_forecasts: Forecasts | ClassForecasts
    validation_probability: np.ndarray

    @property
    def is_collapsed(self) -> bool:
        """True when the forecast says the same every time, so that no score of it is skill."""
        return bool(main_scores(self.test)["constant_answer"])


def evaluate(forecaster: Forecaster, splits: Splits, cut_score: str, *, draws: int = 1000) -> Evaluation:
    """Choose the cuts on validation, score validation and test with them, and judge the test beside the references.

    Args:
        forecaster: fitted.
        splits: of its run.
        cut_score: score that chooses the cuts.
        draws: of the bootstrap of the test; 0 makes no intervals.
    """
    references = _References(splits)
    on_validation = forecaster.probabilities(splits.validation)
    on_test = forecaster.probabilities(splits.test)
    cuts = choose_cuts(on_validation, splits.validation.index.label, cut_score)
    forecasts = references.beside(splits.test, on_test, cuts)
    validation = references.beside(splits.validation, on_validation, cuts)
    terms = Terms(
        draws=draws,
        lead_time_hours=splits.table.lead_time_hours,
        reference_cuts=choose_reference_cuts(validation, cut_score),
    )
    return Evaluation(
        cuts=cuts,
        cut_score=cut_score,
        validation=verification.score_table(validation),
        test=judge(verification.score_table(forecasts), forecasts, terms),
        forecasts=forecasts,
        probability=on_test,
        validation_forecasts=validation,
        validation_probability=on_validation,
    )


def choose_cuts(probability: np.ndarray, label: np.ndarray, cut_score: str) -> tuple[float, ...]:
    """Return one cut per threshold from the validation split `(N, K)`, `(N,)`."""
    return tuple(
        verification.choose_cut(
            np.clip(probability[:, level:].sum(axis=1), 0, 1), (label >= level).astype(int), cut_score
        )
        for level in range(1, probability.shape[1])
    )


def choose_reference_cuts(validation: Forecasts | ClassForecasts, cut_score: str) -> tuple[dict[str, float], ...]:
    """Return for each threshold the cut of each reference, from the validation split like that of the forecast."""
    events = [validation] if isinstance(validation, Forecasts) else validation.events()
    return tuple(
        {name: verification.choose_cut(getattr(event, name), event.observed, cut_score) for name in REFERENCES}
        for event in events
    )


class _References:
    """What needs no model: the climatology of the training split, and persistence.

    Args:
        splits: of the run.
    """

    def __init__(self, splits: Splits) -> None:
        index, table = splits.all_training, splits.table
        arguments = SimpleNamespace(n_classes=table.n_classes, n_regions=len(table.regions))
        self.thresholds_mm = table.thresholds_mm
        self.climatology, self.persistence = Climatology(arguments), Persistence(arguments)
        self.climatology.fit({"region": index.region, "month": index.month}, index.label)
        self.persistence.fit({}, index.label)

    def beside(
        self, windows: WindowSet, probability: np.ndarray, cuts: tuple[float, ...]
    ) -> Forecasts | ClassForecasts:
        """Put probabilities `(N, K)` beside observations and both references."""
        index = windows.index
        climatology = self.climatology.predict_probability({"region": index.region, "month": index.month})
        persistence = self.persistence.predict_probability({"past_class": index.past_class})
        several = ClassForecasts(
            init_time=index.init_time,
            region=np.array(windows.regions)[index.region],
            probability=probability,
            observed=index.label,
            climatology=climatology,
            persistence=persistence,
            threshold_mm=self.thresholds_mm,
            cut=cuts,
        )
        return several if len(cuts) > 1 else several.exceedance(0)


def write_probabilities(
    stem: Path,
    table: RainTable,
    index: WindowIndex,
    probability: np.ndarray,
    cuts: tuple[float, ...],
    forecasts: Forecasts | ClassForecasts | None = None,
    as_netcdf: bool = True,
) -> pd.DataFrame:
    """Write probabilities with their times and regions as CSV and, where xarray is installed, as NetCDF.

    Args:
        stem: path without suffix.
        table: the table that the windows were cut from.
        index: the `N` windows.
        probability: `(N, n_classes)`.
        cuts: probability from which on each threshold is forecast to be reached.
        forecasts: of a scored split: its climatology and persistence are written too, so that all scores can be made
            again from the file alone.
        as_netcdf: write the NetCDF file too.

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
        if forecasts is not None:
            event = forecasts.exceedance(level - 1) if isinstance(forecasts, ClassForecasts) else forecasts
            columns[f"climatology_{threshold:g}mm"] = event.climatology
            columns[f"persistence_{threshold:g}mm"] = event.persistence
    columns["observed_class"] = pd.array(index.label, dtype="Int64")
    columns["observed_precipitation_mm"] = index.precipitation_mm
    frame = pd.DataFrame(columns)
    frame.loc[index.label == UNKNOWN_LABEL, "observed_class"] = pd.NA
    write_whole(
        stem.with_name(stem.name + ".csv"), lambda path: frame.to_csv(path, index=False, date_format=TIME_FORMAT)
    )
    if as_netcdf:
        _write_netcdf(stem.with_name(stem.name + ".nc"), frame, table, cuts)
    return frame


def write_evaluation(folder: Path, splits: Splits, result: Evaluation) -> None:
    """Write the test forecasts of a run, and those of validation, which an ensemble finds its weights on."""
    table, cuts = splits.table, result.cuts
    write_probabilities(folder / "predictions", table, splits.test.index, result.probability, cuts, result.forecasts)
    write_probabilities(
        folder / "validation_predictions", table, splits.validation.index, result.validation_probability, cuts,
        result.validation_forecasts, as_netcdf=False,
    )  # fmt: skip


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


def main_scores(table: dict[str, Any]) -> dict[str, Any]:
    """Return the overall scores of the lowest threshold."""
    return next(iter(table["thresholds"].values()))["overall"] if "thresholds" in table else table["overall"]
