"""Intervals and references of a judged forecast as a few lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CRPS = "continuous_ranked_probability_score"
_ROWS = {"ROC AUC": "roc_auc", "Brier skill": "brier_skill_score", "macro F1": "macro_f1"}
# What decides whether a forecast can be told from a reference: each one's own Brier skill.
SKILL_AGAINST = {"climatology": "brier_skill_score", "persistence": "brier_skill_score_persistence"}
_AMOUNT_ROWS = {
    "MAE, mm": "mean_absolute_error", "RMSE, mm": "root_mean_squared_error", "bias, mm": "bias", "CRPS, mm": CRPS,
    "CRPS skill": "crps_skill_score",
}  # fmt: skip
_NAME, _OWN, _GAIN = 13, 27, 34


def judgement_lines(scores: Mapping[str, Any]) -> list[str]:
    """Write three scores with their intervals and gains over the references, and whether the gains are real.

    Args:
        scores: of one event; without `against` (a table that was not judged) there is nothing to write.
    """
    if "against" not in scores:
        return []
    against = scores["against"]
    lines = [_heading("gain over", against)]
    for title, score in _ROWS.items():
        # Brier skill is against each reference itself; the difference of two skills would be another number.
        scored = {name: SKILL_AGAINST[name] if score == "brier_skill_score" else score for name in against}
        lines.append(_row(title, scores, score, scored))
    lines += [_verdict(name, found) for name, found in against.items()]
    return lines + _why_none(scores)


def amount_lines(scores: Mapping[str, Any]) -> list[str]:
    """Write the main scores of amounts with their intervals and how far they are from those of the references.

    Args:
        scores: of amounts; without `against` (a table that was not judged) there is nothing to write.
    """
    if "against" not in scores:
        return []
    against = scores["against"]
    lines = [_heading("minus", against)]
    lines += [_row(title, scores, score, dict.fromkeys(against, score)) for title, score in _AMOUNT_ROWS.items()]
    for name, found in against.items():
        # Of an error the lower one is the better one.
        lines.append(f"CRPS distinguishable from {name}: {_answer(found[CRPS], lower_is_better=True)}")
    return lines + _why_none(scores)


def _heading(what: str, against: Mapping[str, Any]) -> str:
    names = "".join(f"{what} {name}".ljust(_GAIN) for name in against)
    return f"{'':<{_NAME}}{'with 95 % interval':<{_OWN}}{names}".rstrip()


def _row(title: str, scores: Mapping[str, Any], score: str, scored: Mapping[str, str]) -> str:
    """Return a score and, for each reference in `scored`, the difference in the score that is named there."""
    own = _with_interval(scores["overall"][score], scores["overall"]["intervals"][score], "")
    gains = "".join(_gain(scores["against"][name][other]).ljust(_GAIN) for name, other in scored.items())
    return f"{title:<{_NAME}}{own:<{_OWN}}{gains}".rstrip()


def _why_none(scores: Mapping[str, Any]) -> list[str]:
    return [f"no intervals: {scores['why_no_intervals']}"] if scores["why_no_intervals"] else []


def _gain(found: Mapping[str, Any]) -> str:
    words = {True: " real", False: "", None: ""}[found["is_real"]]
    return _with_interval(found["difference"], found["interval"], "+") + words


def _verdict(name: str, against: Mapping[str, Any]) -> str:
    answer = _answer(against[SKILL_AGAINST[name]])
    p_value = against["diebold_mariano"]["p_value"]
    tested = "" if p_value is None else f" (Brier scores, Diebold-Mariano: p {_p_value(p_value)})"
    return f"distinguishable from {name}: {answer}{tested}"


def _answer(found: Mapping[str, Any], *, lower_is_better: bool = False) -> str:
    if found["is_real"] is None:
        return "not judged"
    better = "better" if (found["difference"] > 0) != lower_is_better else "worse"
    return f"yes, {better}" if found["is_real"] else "no"


def _p_value(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"= {value:.3f}"


def _with_interval(value: float | None, interval: list[float] | None, sign: str) -> str:
    if value is None:
        return "-"
    ends = "" if interval is None else f" [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"
    return f"{value:{sign}.3f}{ends}"
