"""What a reader has to know first: marks, one sentence in plain words, five figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exp.report.record import Event, Record
from exp.report.words import Words, number, share, whole
from utils.score_info import SCORES

HOURS_A_DAY = 24
Interval = tuple[float, float] | None


def banners(record: Record, words: Words) -> list[dict[str, Any]]:
    """Return what comes before every score: "kind", "title", "text" and the run's own English words, if any."""
    found = []
    if record.scores.get("synthetic"):
        found.append(_banner("warning", "synthetic", words))
    for mark in marks(record.scores, record.events[0].overall):
        found.append(_mark(mark, words))
    if record.scores.get("stopped_by"):
        more = words("banner.stopped_more", code=record.scores["stopped_by"])
        found.append({"kind": "warning", "title": words("banner.stopped"), "text": more, "quote": ""})
    if record.scores.get("skipped_steps"):
        more = words("banner.bad_steps_more", count=whole(record.scores["skipped_steps"]))
        found.append({"kind": "notice", "title": words("banner.bad_steps"), "text": more, "quote": ""})
    return found


def marks(scores: Mapping[str, Any], overall: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the marks of a run; those of an earlier version are found from its scores."""
    if "marks" in scores:
        return list(scores["marks"])
    if scores.get("collapsed"):
        return [{"code": "COLLAPSED"}]
    skill = overall["brier_skill_score"]
    return [{"code": "NO_SKILL"}] if skill is not None and skill <= 0 else []


def sentences(event: Event, record: Record, words: Words) -> list[str]:
    """Return the headline of one event, sentence by sentence."""
    overall = event.overall
    found = [_seen(overall, record.scores["accumulation_hours"], words)]
    if overall["base_rate"] is not None and found[0] != words("headline.no_rain"):
        found.append(words("headline.base_rate", share=share(overall["base_rate"])))
    if overall["base_rate"] not in (None, 0.0, 1.0):
        found.append(_against_climatology(overall, words))
        found += _against_persistence(overall, record.scores["accumulation_hours"], words)
    return found


def tiles(event: Event, words: Words) -> list[dict[str, str]]:
    """Return the five figures beside the headline: "value", "unit", "about" and "more"."""
    overall = event.overall
    skill = overall["brier_skill_score"]
    return [
        _share_tile("seen", overall, "probability_of_detection", words),
        _share_tile("false", overall, "false_alarm_ratio", words),
        _tile(share(skill), " %", "skill", _interval_text(overall, "brier_skill_score", words, per_cent=True), words),
        _tile(number(overall["roc_auc"], 2), "", "area", _interval_text(overall, "roc_auc", words), words),
        _tile(number(overall["base_rate"], 2), "", "base_rate", words("tile.base_rate_more"), words),
    ]


def interval_of(scores: Mapping[str, Any], name: str) -> Interval:
    """Return the 95 % interval of a score; None where there is none."""
    found = (scores.get("intervals") or {}).get(name)
    return None if found is None or None in found else (found[0], found[1])


def _banner(kind: str, key: str, words: Words) -> dict[str, Any]:
    return {"kind": kind, "title": words(f"banner.{key}"), "text": words(f"banner.{key}_more"), "quote": ""}


def _mark(mark: Mapping[str, Any], words: Words) -> dict[str, Any]:
    code = mark["code"]
    if words.has(f"banner.{code}"):
        banner = _banner("alarm", code, words)
    else:
        banner = {"kind": "alarm", "title": words("banner.other", code=code), "text": ""}
    return banner | {"about": words("banner.details", code=code), "quote": mark.get("sentence", "")}


def _seen(overall: Mapping[str, Any], hours: int, words: Words) -> str:
    table = overall["contingency_table"]
    said, rain = table["hits"] + table["false_alarms"], table["hits"] + table["misses"]
    if overall["constant_answer"]:
        return words("headline.always") if said else words("headline.never")
    if not rain:
        return words("headline.no_rain")
    key = "headline.seen_days" if hours == HOURS_A_DAY else "headline.seen_periods"
    hits, false = share(overall["probability_of_detection"]), share(overall["false_alarm_ratio"])
    return words(key, hits=hits, false=false)


def _against_climatology(overall: Mapping[str, Any], words: Words) -> str:
    skill, interval = overall["brier_skill_score"], interval_of(overall, "brier_skill_score")
    if skill is None:
        return words("headline.unknown")
    return compared(skill, interval, ("better", "worse", "undecided"), words)


def _against_persistence(overall: Mapping[str, Any], hours: int, words: Words) -> list[str]:
    name = next((name for name in SCORES if "persistence" in name and overall.get(name) is not None), None)
    if name is None:
        return []
    keys = ("better_persistence", "worse_persistence", "undecided_persistence")
    return [compared(overall[name], interval_of(overall, name), keys, words, hours=hours)]


def compared(skill: float, interval: Interval, keys: tuple[str, str, str], words: Words, **values: Any) -> str:
    """Say in one sentence whether a skill is above 0; without an interval its sign decides, and the sentence says so.

    Args:
        skill: relative to a reference.
        interval: of it, None where there is none.
        keys: texts of the part "headline" for better, worse and undecided.
        words: of the page.
        values: what these texts need besides.
    """
    better, worse, undecided = (f"headline.{key}" for key in keys)
    low, high = interval or (skill, skill)
    if low == high == 0 and keys[0] == "better":
        return words("headline.equal")
    if interval is not None and low <= 0 <= high:
        range_ = words("headline.interval", low=share(low), high=share(high))
        return words(undecided, skill=share(skill), interval=range_, **values)
    if interval is None:
        key = words("headline.no_interval")
    else:
        ends = (low, high) if skill > 0 else (-high, -low)
        key = words("headline.interval", low=share(ends[0]), high=share(ends[1]))
    if skill == 0:
        return words(undecided, skill=share(skill), interval=key, **values)
    return words(better if skill > 0 else worse, skill=share(abs(skill)), interval=key, **values)


def _share_tile(key: str, overall: Mapping[str, Any], name: str, words: Words) -> dict[str, str]:
    return _tile(share(overall[name]), " %", key, _interval_text(overall, name, words, per_cent=True), words)


def _tile(value: str, unit: str, key: str, more: str, words: Words) -> dict[str, str]:
    is_known = value[-1].isdigit()
    return {"value": value, "unit": unit if is_known else "", "about": words(f"tile.{key}"), "more": more}


def _interval_text(overall: Mapping[str, Any], name: str, words: Words, *, per_cent: bool = False) -> str:
    interval = interval_of(overall, name)
    if overall[name] is None:
        return words("tile.undefined")
    if interval is None:
        return words("tile.none")
    low, high = (share(end) if per_cent else number(end, 2) for end in interval)
    return words("tile.interval", low=low, high=high)
