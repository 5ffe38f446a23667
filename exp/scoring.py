"""From probabilities to scores: calibration and cut settled on validation, everything reported on the test split."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from data_provider.factory import Splits
from data_provider.rain_table import UNKNOWN_LABEL, RainTable
from data_provider.windows import WindowIndex, WindowSet
from exp import settling
from exp.settling import NOTHING_SETTLED, Kept, Settled
from exp.verification_config import VerificationConfig
from models.climatology import Model as Climatology
from models.persistence import Model as Persistence
from utils import verification
from utils.decision import Decision, by_score
from utils.files import write_whole
from utils.forecasts import REFERENCES, ClassForecasts, Forecasts, exceedances
from utils.judgement import Terms, judge

logger = logging.getLogger(__name__)
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
ERA5_ATTRIBUTION = "Contains modified Copernicus Climate Change Service information"


@dataclass(frozen=True)
class Evaluation:
    """What a fitted forecaster is worth.

    Attributes:
        settled: calibration and decision, from validation.
        decision: the decision as scores.json has it.
        validation: score table of the validation split.
        test: score table of the test split.
        forecasts: test forecasts beside observations and climatology.
        probability: `(N, n_classes)` of the test split, calibrated.
        is_collapsed: the forecast says the same every time, so that no score of it is skill.
        validation_forecasts: validation forecasts beside observations and climatology.
        validation_probability: `(M, n_classes)` of the validation split, calibrated.
    """

    settled: Settled
    decision: dict[str, Any]
    validation: dict[str, Any]
    test: dict[str, Any]
    forecasts: Forecasts | ClassForecasts
    probability: np.ndarray
    is_collapsed: bool
    validation_forecasts: Forecasts | ClassForecasts
    validation_probability: np.ndarray

    @property
    def cuts(self) -> tuple[float, ...]:
        """One per threshold."""
        return tuple(self.decision["cut"])

    @property
    def cut_score(self) -> str | None:
        """The score that chose the cuts; None where a cost/loss ratio did."""
        return settling.cut_score(self.decision)


class Probabilities(Protocol):
    """Whatever says how likely each class is."""

    def probabilities(self, windows: WindowSet) -> np.ndarray:
        """Return `(N, n_classes)` of the windows, in their order."""
        ...


def evaluate(
    forecaster: Probabilities, splits: Splits, flags: VerificationConfig, kept: Kept = NOTHING_SETTLED
) -> Evaluation:
    """Settle calibration and cuts on validation, score both splits with them, and judge the test beside the references.

    Args:
        forecaster: fitted.
        splits: of its run.
        flags: how it is judged.
        kept: what is settled already, of a run that is scored again or of a model that is not calibrated.
    """
    references = References(splits)
    on_validation = forecaster.probabilities(splits.validation)
    on_test = forecaster.probabilities(splits.test)
    settled = settling.settle(on_validation, splits.validation.index.label, flags, kept)
    on_validation, on_test = (settled.calibration.apply(values) for values in (on_validation, on_test))
    forecasts = references.beside(splits.test, on_test, settled.decision.cut)
    validation = references.beside(splits.validation, on_validation, settled.decision.cut)
    expenses = settling.expenses(settled.decision, {"validation": validation, "test": forecasts})
    test = judged(forecasts, validation, settled.decision, flags, splits.table.lead_time_hours)
    return Evaluation(
        settled=settled,
        decision=settling.told(settled.decision, expenses),
        validation=verification.score_table(validation),
        test=test,
        forecasts=forecasts,
        probability=on_test,
        is_collapsed=bool(main_scores(test)["constant_answer"])
        and (not expenses or _says_the_same(on_test, on_validation, splits.validation.index.label)),
        validation_forecasts=validation,
        validation_probability=on_validation,
    )


def judged(
    test: Forecasts | ClassForecasts,
    validation: Forecasts | ClassForecasts,
    decision: Decision,
    flags: VerificationConfig,
    lead_time_hours: int,
) -> dict[str, Any]:
    """Return the score table of the test split with intervals, beside the references.

    Args:
        test: forecasts of the test split.
        validation: of the validation split, where the cuts of the references are chosen.
        decision: of the forecast.
        flags: how it is judged.
        lead_time_hours: of the label.
    """
    terms = Terms(
        draws=flags.bootstrap_draws,
        lead_time_hours=lead_time_hours,
        reference_cuts=choose_reference_cuts(validation, decision),
    )
    return judge(verification.score_table(test), test, terms)


def _says_the_same(probability: np.ndarray, on_validation: np.ndarray, label: np.ndarray) -> bool:
    """True when the answer is constant at the cut of macro F1 too; at a ratio far from the base rate it may be right.

    Args:
        probability: `(N, K)` of the test split.
        on_validation: `(M, K)`.
        label: `(M,)` of the validation split.
    """
    cut = by_score(on_validation, label, "macro_f1").cut[0]
    return np.unique(exceedances(probability)[:, 0] >= cut).size < 2


def choose_reference_cuts(validation: Forecasts | ClassForecasts, decision: Decision) -> tuple[dict[str, float], ...]:
    """Return for each threshold the cut of each reference, by the rule that decides for the forecast.

    Args:
        validation: forecasts of the validation split, where a score chooses.
        decision: of the forecast; a cost/loss ratio is the cut of the references too.
    """
    if decision.cost_loss_ratio:
        return tuple(dict.fromkeys(REFERENCES, ratio) for ratio in decision.cost_loss_ratio)
    events = [validation] if isinstance(validation, Forecasts) else validation.events()
    return tuple(
        {name: verification.choose_cut(getattr(event, name), event.observed, decision.by) for name in REFERENCES}
        for event in events
    )


class References:
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
    amounts: Mapping[str, np.ndarray] | None = None,
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
        amounts: further columns `(N,)` by name, in millimetres, from a regression.
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
        reached = exceedances(probability)[:, level - 1]
        columns[f"probability_{threshold:g}mm"] = reached
        columns[f"forecast_{threshold:g}mm"] = (reached >= cut).astype(np.int8)
        if forecasts is not None:
            event = forecasts.exceedance(level - 1) if isinstance(forecasts, ClassForecasts) else forecasts
            columns[f"climatology_{threshold:g}mm"] = event.climatology
            columns[f"persistence_{threshold:g}mm"] = event.persistence
    columns |= amounts or {}
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
    """Return the overall scores of the lowest threshold; of a regression those of its chances to reach it."""
    table = table.get("events", table)
    return next(iter(table["thresholds"].values()))["overall"] if "thresholds" in table else table["overall"]
