"""From forecast amounts to scores: amounts beside what fell, and the thresholds of the table as yes/no events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from data_provider.amounts import AmountWindows
from data_provider.factory import Splits
from exp import amount_columns, scoring, settling
from exp.amount_forecasters import AmountForecaster
from exp.settling import NOTHING_SETTLED, Kept, Settled
from exp.verification_config import VerificationConfig
from models.climatology import AmountModel as Climatology
from models.persistence import AmountModel as Persistence
from utils import regression_scores, verification
from utils.amounts import AmountForecasts, Amounts
from utils.calibration import Calibration
from utils.forecasts import ClassForecasts, Forecasts
from utils.judgement import judge_amounts

UNCALIBRATED = Calibration(reason="chances are read off the quantiles of the amount")


@dataclass(frozen=True)
class Evaluation:
    """What a fitted forecaster of amounts is worth.

    Attributes:
        settled: the cuts of the thresholds; chances read off quantiles are not calibrated.
        decision: the decision as scores.json has it.
        validation: score table of the validation split.
        test: score table of the test split, with yes/no scores of the thresholds under `events`.
        forecasts: test amounts beside what fell and the references.
        events: the same test forecasts as chances of the thresholds.
        probability: `(N, n_classes)` of the test split, read off the quantiles.
        validation_events: validation forecasts as chances of the thresholds.
        validation_probability: `(M, n_classes)` of the validation split.
    """

    settled: Settled
    decision: dict[str, Any]
    validation: dict[str, Any]
    test: dict[str, Any]
    forecasts: AmountForecasts
    events: Forecasts | ClassForecasts
    probability: np.ndarray
    validation_events: Forecasts | ClassForecasts
    validation_probability: np.ndarray


def evaluate(
    forecaster: AmountForecaster,
    splits: Splits,
    n_quantiles: int,
    flags: VerificationConfig,
    kept: Kept = NOTHING_SETTLED,
) -> Evaluation:
    """Score validation and test, with cuts for the thresholds that are settled on validation.

    Args:
        forecaster: fitted.
        splits: windows with amounts as targets.
        n_quantiles: of the references, so that their CRPS is worked out like that of the forecaster.
        flags: how the chances of the thresholds are judged.
        kept: what is settled already, of a run that is scored again.
    """
    thresholds = splits.table.thresholds_mm
    references, of_events = _References(splits, n_quantiles), scoring.References(splits)
    validation, test = (
        references.beside(windows, forecaster.amounts(windows))
        for windows in (splits.validation, splits.test)
        if isinstance(windows, AmountWindows)
    )
    on_validation, on_test = (class_probabilities(part.forecast, thresholds) for part in (validation, test))
    label = splits.validation.index.label
    settled = settling.settle(on_validation, label, flags, replace(kept, calibration=UNCALIBRATED))
    events = of_events.beside(splits.test, on_test, settled.decision.cut)
    of_validation = of_events.beside(splits.validation, on_validation, settled.decision.cut)
    expenses = settling.expenses(settled.decision, {"validation": of_validation, "test": events})
    judged = scoring.judged(events, of_validation, settled.decision, flags, splits.table.lead_time_hours)
    return Evaluation(
        settled=settled,
        decision=settling.told(settled.decision, expenses),
        validation=_scores(validation, thresholds) | {"events": verification.score_table(of_validation)},
        test=judge_amounts(_scores(test, thresholds), test, thresholds[0], flags.bootstrap_draws) | {"events": judged},
        forecasts=test,
        events=events,
        probability=on_test,
        validation_events=of_validation,
        validation_probability=on_validation,
    )


def class_probabilities(amounts: Amounts, thresholds_mm: tuple[float, ...]) -> np.ndarray:
    """Return the chance of each class between the thresholds, `(N, K)`; the rows sum to one."""
    reached = np.column_stack([amounts.exceedance(threshold) for threshold in thresholds_mm])
    return np.maximum(-np.diff(reached, axis=1, prepend=1.0, append=0.0), 0.0)


def write(folder: Path, splits: Splits, result: Evaluation) -> None:
    """Write the test forecasts of a run with their amounts, and the chances that it gave on validation."""
    cuts = result.settled.decision.cut
    scoring.write_probabilities(
        folder / "predictions", splits.table, splits.test.index, result.probability, cuts, result.events,
        amounts=amount_columns.of_forecasts(result.forecasts),
    )  # fmt: skip
    scoring.write_probabilities(
        folder / "validation_predictions", splits.table, splits.validation.index, result.validation_probability, cuts,
        result.validation_events, as_netcdf=False,
    )  # fmt: skip


class _References:
    """Climatology of the training split and persistence, as amounts.

    Args:
        splits: of the run.
        n_quantiles: of both.
    """

    def __init__(self, splits: Splits, n_quantiles: int) -> None:
        index = splits.all_training
        arguments = SimpleNamespace(n_quantiles=n_quantiles, n_regions=len(splits.table.regions))
        self.climatology, self.persistence = Climatology(arguments), Persistence(arguments)
        amount = np.asarray(index.precipitation_mm, dtype=np.float64)
        self.climatology.fit({"region": index.region, "month": index.month}, amount)
        self.persistence.fit({}, amount)

    def beside(self, windows: AmountWindows, amounts: Amounts) -> AmountForecasts:
        """Put amounts beside what fell and both references."""
        index = windows.index
        return AmountForecasts(
            init_time=index.init_time,
            region=np.array(windows.regions)[index.region],
            observed=windows.amount_mm,
            forecast=amounts,
            climatology=self.climatology.predict_amounts({"region": index.region, "month": index.month}),
            persistence=self.persistence.predict_amounts({"past_mm": windows.past_mm}),
        )


def _scores(forecasts: AmountForecasts, thresholds_mm: tuple[float, ...]) -> dict[str, Any]:
    return regression_scores.score_table(forecasts, thresholds_mm[0])
