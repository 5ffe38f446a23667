"""The tables of scores: all of one event, against the references, and by region, month, season, hour and phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exp.report.geography import skill_class
from exp.report.headline import interval_of
from exp.report.record import Cases, Event
from exp.report.words import UNDEFINED, Words, number, share, whole
from utils.intervals import BLOCK_DAYS, LEAST_BLOCKS, NO_DRAWS
from utils.score_info import SCORES, ScoreInfo

# Those a reader needs first; the others are one touch away.
FIRST = (
    "probability_of_detection", "false_alarm_ratio", "critical_success_index", "peirce_skill_score", "macro_f1",
    "matthews_correlation", "brier_skill_score", "roc_auc",
)  # fmt: skip
AGAINST = ("brier_score", "roc_auc", "peirce_skill_score", "matthews_correlation", "macro_f1")
GROUPS = {"by_month": "month", "by_season": "season", "by_hour": "hour", "by_enso": "phase"}


def scores(event: Event, words: Words) -> dict[str, Any]:
    """Return "first" and "others", rows of scores with value, interval, perfect value and meaning, and a "note"."""
    names = [name for name in SCORES if name in event.overall]
    first = [name for name in FIRST if name in names]
    others = [name for name in names if name not in first]
    return {
        "first": [score(name, event.overall, SCORES[name], words) for name in first],
        "others": [score(name, event.overall, SCORES[name], words) for name in others],
        "note": note(event.scores, names, event.cases, words),
    }


def references(
    scores: Mapping[str, Any], words: Words, names: Sequence[str] = AGAINST, section: str = "score"
) -> dict[str, Any] | None:
    """Return the run beside climatology and persistence, and the differences; None in a run of an earlier version.

    Args:
        scores: of a period, with `overall`.
        words: of the page.
        names: of the scores that are shown.
        section: of the texts that name them.
    """
    table = scores.get("references")
    if not table:
        return None
    against = scores.get("against") or {}
    rows = []
    for name in names:
        cells: list[dict[str, Any]] = [{"value": number(scores["overall"].get(name)), "difference": None}]
        for reference, entry in table.items():
            told = difference((against.get(reference) or {}).get(name), words)
            cells.append({"value": number(entry.get(name)), "difference": told if told["range"] else None})
        rows.append({"name": words.name(section, name), "cells": cells})
    return {
        "heads": [words("references.run"), *(words.name("references", reference) for reference in table)],
        "rows": rows,
        "tests": [
            _diebold_mariano(reference, against[reference], words) for reference in table if against.get(reference)
        ],
        "has_differences": bool(against),
    }


def group(entries: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a table by region, month or the like.

    Args:
        entries: key -> scores.
        names: what each row is called.
    """
    return [_row(name, entry) for name, entry in zip(names, entries.values(), strict=True)]


def times(event: Event, words: Words) -> list[dict[str, Any]]:
    """Return one table for each grouping by time that the run has: "title", "head", "rows" and "differences"."""
    found = []
    for key, head in GROUPS.items():
        entries = event.scores.get(key)
        if not entries:
            continue
        names = [group_name(key, name, words) for name in entries]
        table = {"title": words(f"times.{key}"), "head": words(f"times.{head}"), "rows": group(entries, names)}
        differences = event.scores.get("enso_difference") if key == "by_enso" else None
        caution = _seasons_apart(event.scores.get("enso") or {}, words) if differences else ""
        found.append(table | {"differences": _differences(differences or {}, words), "caution": caution})
    return found


def _seasons_apart(facts: Mapping[str, Any], words: Words) -> str:
    """Return a caution where El Nino and La Nina have other calendar months, so that they differ in season too."""
    of_phase = [facts.get("calendar_months", {}).get(name, []) for name in ("el_nino", "la_nina")]
    if of_phase[0] == of_phase[1]:
        return ""
    warm, cold = (", ".join(words(f"month_short.{month}") for month in months) for months in of_phase)
    return words("times.seasons_apart", warm=warm, cold=cold)


def gradient(event: Event, words: Words) -> dict[str, Any] | None:
    """Return how scores change from south to north: "rows", or a "note" why there is no line through the regions."""
    found = event.scores.get("gradient")
    if not found:
        return None
    if not found.get("scores"):
        return {"rows": [], "note": words("places.no_gradient")}
    rows = []
    for name, entry in found["scores"].items():
        told = {"difference": entry["slope_per_degree"], **{key: entry[key] for key in ("interval", "is_real")}}
        cells = difference(told, words)
        if entry["slope_per_degree"] is not None:
            rows.append({"name": words.name("score", name), **cells})
    return {"rows": rows, "note": words("places.gradient_note")}


def group_name(key: str, name: str, words: Words) -> str:
    """Return what a month, season, hour or phase is called; `key` says which of them."""
    if key == "by_month":
        return words(f"month_short.{name}")
    return f"{name}:00" if key == "by_hour" else words.name("times", name)


def score(
    name: str, overall: Mapping[str, Any], info: ScoreInfo, words: Words, section: str = "score"
) -> dict[str, str]:
    """Return the row of a score: its name, meaning, value, interval and perfect value.

    Args:
        name: of the score.
        overall: all scores.
        info: what the score means.
        words: of the page.
        section: of the texts that name it.
    """
    interval = interval_of(overall, name)
    perfect = info.perfect
    return {
        "name": words.name(section, name),
        "key": name,
        "meaning": words.texts.get(f"{section}.{name}_more", ""),
        "value": number(overall[name]) if overall[name] is not None else words("scores.undefined"),
        "interval": range_text(interval) if interval else "",
        # Where the best value is not a number it is that of another score, or there is none.
        "perfect": words.name("score", perfect).lower() if perfect in SCORES else perfect.replace("-", UNDEFINED),
    }


def note(scores: Mapping[str, Any], names: Sequence[str], cases: Cases, words: Words) -> str:
    """Return how the intervals were made, or why there are none.

    Args:
        scores: of a period, with `overall`.
        names: of its scores.
        cases: that they are of.
        words: of the page.
    """
    if any(interval_of(scores["overall"], name) for name in names):
        return words("scores.note")
    why = scores.get("why_no_intervals")
    if why is None:
        return words("scores.no_intervals_older")
    if not why:
        return words("scores.no_intervals_undefined")
    if why == NO_DRAWS:
        return words("scores.no_intervals_off")
    days = len(np.unique(cases.init_time.astype("datetime64[D]")))
    return words("scores.no_intervals_few_days", days=whole(days), least=LEAST_BLOCKS * BLOCK_DAYS)


def range_text(interval: Sequence[float | None] | None, decimals: int = 3) -> str:
    """Return the two ends of an interval, nothing where there is none."""
    if not interval or None in interval:
        return ""
    return f"{number(interval[0], decimals)} … {number(interval[1], decimals)}"


def difference(found: Mapping[str, Any] | None, words: Words, decimals: int = 3) -> dict[str, str]:
    """Return a difference with its sign as "value", its interval as "range", and in "more" whether it is real."""
    if not found or found.get("difference") is None:
        return {"value": UNDEFINED, "range": "", "more": ""}
    is_real = found.get("is_real")
    return {
        "value": f"{'+' if found['difference'] > 0 else ''}{number(found['difference'], decimals)}",
        "range": range_text(found.get("interval"), decimals),
        "more": "" if is_real is None else words("references.real") if is_real else words("references.not_real"),
    }


def _differences(found: Mapping[str, Any], words: Words) -> list[dict[str, str]]:
    return [
        {"name": words.name("score", name), **difference(entry, words)}
        for name, entry in found.items()
        if isinstance(entry, Mapping) and entry.get("difference") is not None
    ]


def _diebold_mariano(reference: str, against: Mapping[str, Any], words: Words) -> str:
    found = against.get("diebold_mariano") or {}
    if found.get("statistic") is None:
        return ""
    p = found.get("p_value")
    return words(
        "references.diebold_mariano",
        reference=words.name("references", reference),
        statistic=number(found["statistic"], 2),
        p=UNDEFINED if p is None else "< 0.001" if p < 0.001 else f"= {p:.3f}",
    )


def _row(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    skill = entry["brier_skill_score"]
    return {
        "name": name,
        "is_constant": entry["constant_answer"],
        "n": whole(entry["n"]),
        "base_rate": number(entry["base_rate"], 2),
        "seen": share(entry["probability_of_detection"]),
        "false": share(entry["false_alarm_ratio"]),
        "skill": number(skill, 2),
        "skill_class": skill_class(skill),
        "area": number(entry["roc_auc"], 2),
    }
