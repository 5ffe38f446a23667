"""Intervals and references of a judged forecast as a few lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROWS = {"ROC AUC": "roc_auc", "Brier skill": "brier_skill_score", "macro F1": "macro_f1"}
# What decides whether a forecast can be told from a reference: each one's own Brier skill.
SKILL_AGAINST = {"climatology": "brier_skill_score", "persistence": "brier_skill_score_persistence"}
_NAME, _OWN, _GAIN = 13, 27, 34


def judgement_lines(scores: Mapping[str, Any]) -> list[str]:
    """Write three scores with their intervals and gains over the references, and whether the gains are real.

    Args:
        scores: of one event; without `against` (a table that was not judged) there is nothing to write.
    """
    if "against" not in scores:
        return []
    against = scores["against"]
    heading = "".join(f"gain over {name}".ljust(_GAIN) for name in against)
    lines = [f"{'':<{_NAME}}{'with 95 % interval':<{_OWN}}{heading}".rstrip()]
    for title, score in _ROWS.items():
        own = _with_interval(scores["overall"][score], scores["overall"]["intervals"][score], "")
        # Brier skill is against each reference itself; the difference of two skills would be another number.
        scored = {name: SKILL_AGAINST[name] if score == "brier_skill_score" else score for name in against}
        gains = "".join(_gain(against[name][scored[name]]).ljust(_GAIN) for name in against)
        lines.append(f"{title:<{_NAME}}{own:<{_OWN}}{gains}".rstrip())
    lines += [_verdict(name, found) for name, found in against.items()]
    if scores["why_no_intervals"]:
        lines.append(f"no intervals: {scores['why_no_intervals']}")
    return lines


def _gain(found: Mapping[str, Any]) -> str:
    words = {True: " real", False: "", None: ""}[found["is_real"]]
    return _with_interval(found["difference"], found["interval"], "+") + words


def _verdict(name: str, against: Mapping[str, Any]) -> str:
    found = against[SKILL_AGAINST[name]]
    answer = "not judged"
    if found["is_real"] is not None:
        better = "better" if found["difference"] > 0 else "worse"
        answer = f"yes, {better}" if found["is_real"] else "no"
    p_value = against["diebold_mariano"]["p_value"]
    tested = "" if p_value is None else f" (Brier scores, Diebold-Mariano: p {_p_value(p_value)})"
    return f"distinguishable from {name}: {answer}{tested}"


def _p_value(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"= {value:.3f}"


def _with_interval(value: float | None, interval: list[float] | None, sign: str) -> str:
    if value is None:
        return "-"
    ends = "" if interval is None else f" [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"
    return f"{value:{sign}.3f}{ends}"
