"""What turns a model's probabilities into decisions, settled on the validation split: the calibration, then the cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exp.settings import Settings
from exp.verification_config import VerificationConfig
from utils import calibration, calibration_file, decision, run_directory
from utils.calibration import Calibration
from utils.decision import BY_RATIO, Decision
from utils.errors import CheckpointError
from utils.forecasts import REFERENCES, ClassForecasts, Forecasts

# What a flag asks for, and what has to be settled anew where it is given.
OF_CUT = {"cut_score", "cost_loss_ratio"}


@dataclass(frozen=True)
class Settled:
    """What validation, or a ratio, settled.

    Attributes:
        calibration: applied to every probability of the model.
        decision: the cuts of the calibrated probabilities.
    """

    calibration: Calibration
    decision: Decision


@dataclass(frozen=True)
class Kept:
    """What is settled already and not to be settled again.

    Attributes:
        calibration: None where validation is to be asked.
        decision: None where validation, or a ratio, is to be asked.
    """

    calibration: Calibration | None = None
    decision: Decision | None = None


NOTHING_SETTLED = Kept()


def of_model(model: str) -> Kept:
    """Return what is settled before validation is looked at: climatology and persistence are never calibrated."""
    if model not in REFERENCES:
        return NOTHING_SETTLED
    return Kept(calibration=Calibration(reason=f"{model} is a definition, and what it says is not corrected"))


def settle(probability: np.ndarray, label: np.ndarray, verification: VerificationConfig, kept: Kept) -> Settled:
    """Fit the calibration on the validation split, and choose the cuts on the calibrated probabilities.

    Args:
        probability: `(N, K)` class probabilities of the validation split, as the model gives them.
        label: `(N,)` class that was observed.
        verification: the flags.
        kept: what is settled already.
    """
    fitted = kept.calibration or calibration.fit(verification.calibration, probability, label)
    if kept.decision is not None:
        return Settled(fitted, kept.decision)
    if verification.cost_loss_ratio is not None:
        return Settled(fitted, decision.by_ratio(verification.cost_loss_ratio, probability.shape[1] - 1))
    return Settled(fitted, decision.by_score(fitted.apply(probability), label, verification.cut_score))


def read(run: Path) -> Settled:
    """Read what a finished run settled.

    Args:
        run: its directory; one of an earlier version was not calibrated.

    Raises:
        CheckpointError: calibration.json is missing or damaged, or the decision in scores.json is.
    """
    scores = run_directory.read_json(run / run_directory.FINISHED_FILE)
    return Settled(calibration_file.read(run, scores), _decision(run, scores))


def for_another_look(run: Path, settings: Settings) -> tuple[Kept, VerificationConfig]:
    """Return what stays settled when a finished run is scored again, and by which flags the rest is settled anew.

    A flag that is given settles its part anew; another calibration needs another cut, by the rule the run had.

    Args:
        run: directory of the run.
        settings: of the run, with what is given now.

    Raises:
        CheckpointError: what stays settled cannot be read.
    """
    verification, given = settings.verification, settings.given
    scores = run_directory.read_json(run / run_directory.FINISHED_FILE)
    if "cut_score" in given:
        verification = replace(verification, cost_loss_ratio=None)
    if settings.run.model in REFERENCES:
        fitted: Calibration | None = of_model(settings.run.model).calibration
    elif "calibration" in given:
        return NOTHING_SETTLED, verification
    else:
        fitted = calibration_file.read(run, scores)
    return Kept(fitted, None if OF_CUT & set(given) else _decision(run, scores)), verification


def told(settled: Decision, expenses: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the decision as scores.json has it.

    Args:
        settled: of the run.
        expenses: of `expenses`, split -> one entry per threshold; empty where the cut comes from a score.
    """
    ratios = sorted(set(settled.cost_loss_ratio))
    return {
        "by": settled.by,
        "cost_loss_ratio": ratios[0] if len(ratios) == 1 else list(settled.cost_loss_ratio) or None,
        "cut": list(settled.cut),
        "expense": dict(expenses) or None,
    }


def cut_score(told_decision: Mapping[str, Any]) -> str | None:
    """Return the score that chose the cuts of a decision from `told`; None where a cost/loss ratio did."""
    by: str = told_decision["by"]
    return None if by == BY_RATIO else by


def expenses(settled: Decision, splits: Mapping[str, Forecasts | ClassForecasts]) -> dict[str, list[dict[str, Any]]]:
    """Return for each split and threshold what deciding by its ratio costs; empty where the cut comes from a score."""
    if not settled.cost_loss_ratio:
        return {}
    return {name: _expenses_of(settled, forecasts) for name, forecasts in splits.items()}


def _expenses_of(settled: Decision, forecasts: Forecasts | ClassForecasts) -> list[dict[str, Any]]:
    return [
        decision.expense(forecasts.exceedance(level) if isinstance(forecasts, ClassForecasts) else forecasts, ratio)
        for level, ratio in enumerate(settled.cost_loss_ratio)
    ]


def in_words(settled: Settled, told_decision: Mapping[str, Any]) -> list[str]:
    """Return a line on the calibration, one on the cuts and one on each expense, for the terminal.

    Args:
        settled: of the run.
        told_decision: of `told`.
    """
    lines = [f"calibration  {_calibration_in_words(settled.calibration)}"]
    cuts = ", ".join(f"{cut:.3g}" for cut in settled.decision.cut)
    if settled.decision.by != BY_RATIO:
        return [*lines, f"cut          {cuts}: best {settled.decision.by} on validation"]
    lines.append(f"cut          {cuts}: the cost/loss ratio")
    for split, entries in (told_decision["expense"] or {}).items():
        lines += [f"expense      {split}: {_expense_in_words(entry)}" for entry in entries]
    return lines


def _calibration_in_words(fitted: Calibration) -> str:
    if fitted.method == "none":
        return "none" + (f": {fitted.reason}" if fitted.reason else "")
    figures = fitted.validation
    loss, brier = figures["log_loss"], figures["brier_score"]
    name: str = fitted.method
    if fitted.temperature is not None:
        name += f" {fitted.temperature:.3f}"
        # The search stops just inside of its bounds.
        if np.isclose(fitted.temperature, calibration.TEMPERATURES, rtol=1e-3).any():
            name += " (the end of its range: look at the reliability diagram)"
    words = [f"{name}, fitted on {figures['n']} validation cases; there log loss {_change(loss)}"]
    several = " of the lowest threshold" if len(brier["before"]) > 1 else ""
    words.append(f"Brier{several} {_change({when: values[0] for when, values in brier.items()})}")
    if figures["impossible"] and fitted.method == "temperature":
        words.append(f"{figures['impossible']} cases had probability 0 for what happened, and no T can move that")
    if figures["reordered"]:
        words.append(f"in {figures['reordered']} cases a higher threshold was brought down to a lower one")
    return ", ".join(words)


def _change(value: Mapping[str, float | None]) -> str:
    before, after = ("infinite" if value[when] in (None, np.inf) else f"{value[when]:.4f}" for when in value)
    return f"{before} -> {after}"


def _expense_in_words(entry: Mapping[str, Any]) -> str:
    if entry["relative_value"] is None:
        return f"n {entry['n']}, base rate {entry['base_rate']}: nothing to gain by any forecast"
    return (
        f"{entry['forecast']:.3f} of the loss a case; climatology {entry['climatology']:.3f}, perfect knowledge "
        f"{entry['perfect']:.3f}: relative value {entry['relative_value']:.3f} (base rate {entry['base_rate']:.3f})"
    )


def _decision(run: Path, scores: Mapping[str, Any]) -> Decision:
    """Read the decision; a run of an earlier version has its cut and the score that chose it."""
    content = scores.get("decision") or {"by": scores.get("cut_score") or "macro_f1", "cut": scores.get("cut")}
    try:
        cut = tuple(float(value) for value in content["cut"])
        ratio = content.get("cost_loss_ratio")
        each = [] if ratio is None else ratio if isinstance(ratio, list) else [ratio] * len(cut)
        ratios = tuple(float(value) for value in each)
        if not all(0 <= value <= 1 for value in cut) or len(cut) != len(scores["threshold_mm"]):
            raise ValueError(f"cut {list(cut)} for thresholds {scores['threshold_mm']}")
        if ratios and ratios != cut:
            raise ValueError(f"cut {list(cut)} is not the cost/loss ratio {list(ratios)}")
        return Decision(str(content["by"]), cut, ratios)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            "DECISION_DAMAGED",
            "The cut of this run cannot be read, so its probabilities cannot be turned into yes and no.",
            where=str(run / run_directory.FINISHED_FILE),
            evidence=f"decision: {error}",
            next_command=f"python run.py --is_training 0 --run {run} --cut_score macro_f1 chooses it anew; "
            "copy what is in the scored-* folder that it makes into the run",
        ) from None
