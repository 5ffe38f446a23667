"""Marks of a run whose scores must not be read as skill: it says one thing, gains nothing, or knows too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_provider.rain_table import UNKNOWN_LABEL, RainTable
from data_provider.windows import WindowIndex
from utils import intervals
from utils.forecasts import ClassForecasts, Forecasts
from utils.judgement_text import SKILL_AGAINST

OVERLAP_LEFT_OUT = 4


@dataclass(frozen=True)
class Mark:
    """One mark.

    Attributes:
        code: COLLAPSED, NO_SKILL or TOO_GOOD.
        sentence: what is the matter, with the figures.
    """

    code: str
    sentence: str


COLLAPSED = Mark("COLLAPSED", "the forecast says the same every time; none of these scores is skill.")


def find(test: Mapping[str, Any], knowing: intervals.Draws | None, *, is_collapsed: bool) -> list[dict[str, str]]:
    """Return the marks of a run, as scores.json has them; those of the lowest threshold where there are several.

    Args:
        test: `judgement.judge` of the test split.
        knowing: `beside_lead_zero` of its forecasts.
        is_collapsed: the forecast says the same every time, and no cost/loss ratio asks for that.
    """
    found = [COLLAPSED if is_collapsed else None, _no_skill(test), _too_good(knowing)]
    return [asdict(mark) for mark in found if mark is not None]


def of_amounts(test: Mapping[str, Any], knowing: intervals.Draws | None) -> list[dict[str, str]]:
    """Return the marks of a regression: those of its lowest threshold, and no skill where its amounts show none.

    Args:
        test: `judgement.judge_amounts` of the test split, with the yes/no scores of the thresholds under `events`.
        knowing: `beside_lead_zero` of these.
    """
    overall = test["overall"]
    found = find(test["events"], knowing, is_collapsed=overall["constant_answer"])
    gain = test["against"]["climatology"]["crps_skill_score"]
    if not _is_without_gain(gain):
        return found
    skill = _with_interval(gain["difference"], gain["interval"])
    sentence = f"the amounts show no real gain over climatology (CRPS skill {skill})."
    others = [mark for mark in found if mark["code"] != "NO_SKILL"]
    return [*others, asdict(Mark("NO_SKILL", sentence))]


def beside_lead_zero(
    forecasts: Forecasts | ClassForecasts, table: RainTable, index: WindowIndex, draws: int
) -> intervals.Draws | None:
    """Put forecasts beside what nobody can know at init time: most of the rain that they are asked for.

    That is the rain of the label period that ends a quarter of the accumulation earlier in the same region (6 of 24
    hours; the nearest row to that): three quarters of the hours are the same, and most of them lie in the future. How
    well it orders rainy and dry cases is what the persistence of the label allows at lead zero.

    Args:
        forecasts: of the test split; of several thresholds the lowest counts.
        table: that they were made from.
        index: the windows of the split, in the order of the forecasts.
        draws: of the bootstrap.

    Returns:
        Draws of `forecast` and `lead_zero` where the earlier period is known; None where rows lie further apart than
        a quarter of the accumulation, or it never is.
    """
    back = table.accumulation_hours // OVERLAP_LEFT_OUT // table.step_hours
    if back < 1:
        return None
    event = forecasts if isinstance(forecasts, Forecasts) else forecasts.exceedance(0)
    row = index.end - index.region * len(table.times) - back
    earlier = np.maximum(row, 0)
    label = table.label[index.region, earlier].astype(np.float64)
    rain_mm = table.precipitation_mm[index.region, earlier].astype(np.float64)
    is_known = (row >= 0) & (label != UNKNOWN_LABEL)
    # A table of one's own may have labels alone.
    amount = rain_mm if np.isfinite(rain_mm[is_known]).all() else label
    if not is_known.any():
        return None
    known = event.select(is_known)
    order = amount[is_known] - amount[is_known].min()
    lead_zero = known.replaced(order / max(order.max(), np.finfo(float).tiny))
    return intervals.bootstrap({"forecast": known, "lead_zero": lead_zero}, draws)


def _no_skill(test: Mapping[str, Any]) -> Mark | None:
    """Mark a run unless its gain in Brier skill over each reference is real.

    A gain is real when it is above 0 and its 95 % interval leaves out 0; where there is no interval the value alone
    decides. A reference that leaves the skill undefined does not count.
    """
    against = _main(test)["against"]
    without = []
    for reference, score in SKILL_AGAINST.items():
        found = against[reference][score]
        if not _is_without_gain(found):
            continue
        without.append(f"{reference} (Brier skill {_with_interval(found['difference'], found['interval'])})")
    if not without:
        return None
    return Mark("NO_SKILL", f"the forecast shows no real gain over {' nor over '.join(without)}.")


def _is_without_gain(found: Mapping[str, Any]) -> bool:
    """True for a difference in skill that is known and not really above 0."""
    return found["difference"] is not None and not (found["difference"] > 0 and found["is_real"] is not False)


def _too_good(knowing: intervals.Draws | None) -> Mark | None:
    """Mark a run whose ROC AUC is really above that of knowing most of the rain asked for."""
    if knowing is None:
        return None
    gap = knowing.difference("forecast", "lead_zero", "roc_auc")
    if gap.value is None or gap.value <= 0 or gap.is_real is False:
        return None
    ours, limit = (knowing.value(name, "roc_auc") for name in ("forecast", "lead_zero"))
    return Mark(
        "TOO_GOOD",
        f"the ROC AUC of {ours:.4f} is above the {limit:.4f} of knowing most of the rain asked for, which nobody can "
        "at the init time: look for inputs that hold the label period, such as a column of a table of your own.",
    )


def _main(test: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(iter(test["thresholds"].values())) if "thresholds" in test else test


def _with_interval(value: float, interval: list[float] | None) -> str:
    return f"{value:.3f}" if interval is None else f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
