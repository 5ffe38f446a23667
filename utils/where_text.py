"""Differences between ENSO phases and the gradient from north to south, as lines under a printed table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN = ("base_rate", "roc_auc", "brier_skill_score")
_ABOUT = "95 % interval in brackets, * where it leaves out 0"


def lines(scores: Mapping[str, Any]) -> list[str]:
    """Write what a table of scores says of ENSO phases and latitudes; nothing where it says nothing.

    Args:
        scores: of one event, as scores.json has them.
    """
    return [*_of_phases(scores), *_of_latitudes(scores.get("gradient"))]


def _of_phases(scores: Mapping[str, Any]) -> list[str]:
    if "enso" not in scores:
        return []
    differences = scores["enso_difference"]
    if differences is None:
        absent = [name for name in ("el_nino", "la_nina") if name not in scores["by_enso"]]
        return [f"El Nino against La Nina: no month of {' nor of '.join(absent)} in these forecasts"]
    told = (_figure(name, each["difference"], each) for name, each in differences.items() if name in SHOWN)
    return [f"El Nino minus La Nina ({_ABOUT})", "  " + "  ".join(told), *_seasons_apart(scores["enso"])]


def _seasons_apart(facts: Mapping[str, Any]) -> list[str]:
    """Warn where the phases have other calendar months, so that they differ in season too."""
    warm, cold = (facts.get("calendar_months", {}).get(name, []) for name in ("el_nino", "la_nina"))
    if warm == cold:
        return []
    return [
        f"  El Nino here is of months {' '.join(warm)}, La Nina of {' '.join(cold)}: a difference may be of the seasons"
    ]


def _of_latitudes(gradient: Mapping[str, Any] | None) -> list[str]:
    if gradient is None:
        return []
    if gradient["scores"] is None:
        return [f"no gradient from north to south: {gradient['reason']}"]
    told = []
    for name, each in gradient["scores"].items():
        rank = each["rank_correlation"]
        behind = "" if rank is None else f", rank correlation {rank:+.2f}"
        told.append("  " + (each["reason"] or _figure(name, each["slope_per_degree"], each, 4) + behind))
    return [f"per degree of latitude northwards ({_ABOUT})", *told]


def _figure(name: str, value: float | None, about: Mapping[str, Any], decimals: int = 3) -> str:
    if value is None:
        return f"{name} -"
    text = f"{name} {value:+.{decimals}f}"
    if about["interval"] is None:
        return text
    low, high = about["interval"]
    return f"{text} ({low:+.{decimals}f} to {high:+.{decimals}f})" + " *" * bool(about["is_real"])
