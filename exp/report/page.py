"""From a record to HTML: everything the template shows, in the order a reader meets it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from exp.report import amounts, calendar, figures, geography, headline, lead_times, origin, tables, training
from exp.report.record import Event, Record
from exp.report.words import Words, number, whole
from exp.stored_forecasts import has_amounts

FOLDER = Path(__file__).resolve().parent / "templates"
CALIBRATIONS = ("none", "temperature", "isotonic")


def of_run(record: Record, words: Words) -> str:
    """Return the page of a run."""
    names = words.regions(len(record.events[0].scores.get("by_region", {})))
    first, last = origin.test_period(record.events[0])
    model = words.name("model", record.scores["model"])
    content = {
        "title": _question(record.scores, words),
        "kicker": words("page.kicker"),
        "subtitle": words(
            "page.subtitle", model=model, seed=record.scores["seed"], first=first, last=last, regions=names
        ),
        "name": record.config.get("flags", {}).get("model_id", record.run.name),
        "banners": headline.banners(record, words),
        "events": [_event(event, level, record, words) for level, event in enumerate(record.events)],
        "classes": _classes(record, words),
        "amounts": amounts.part(record, words),
        "leads": lead_times.part(record, words),
        "data": origin.data(record, words),
        "training": training.part(record, words),
        "origin": origin.origin(record, words),
    }
    return render("run.html", content, words)


def render(template: str, content: Mapping[str, Any], words: Words) -> str:
    """Fill in a template; what is not marked as safe there is escaped.

    Args:
        template: file in `templates`.
        content: what it shows.
        words: of the page.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    made = words("page.made", date=f"{datetime.now():%Y-%m-%d}")
    return environment.get_template(template).render(**content, t=words, style=style, made=made)


def breakable(text: str) -> Any:
    """Return a name or a path that a narrow screen may break behind _ and /; copied, it is the same text."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([_/])", r"\1<wbr>", str(escape(text))))


def _question(scores: Mapping[str, Any], words: Words) -> str:
    lead, accumulation = scores["lead_time_hours"], scores["accumulation_hours"]
    is_regression = has_amounts(scores)
    if lead == accumulation:
        return words("page.title_amount_period" if is_regression else "page.title_period", hours=lead)
    return words("page.title_amount" if is_regression else "page.title_later", accumulation=accumulation, lead=lead)


def _event(event: Event, level: int, record: Record, words: Words) -> dict[str, Any]:
    overall = event.overall
    curves, missing = figures.of_event(event, words)
    counts = overall["contingency_table"]
    matrix = [[counts["correct_negatives"], counts["false_alarms"]], [counts["misses"], counts["hits"]]]
    classes = [words("confusion.dry"), words("confusion.rain")]
    return {
        "title": words("page.event", threshold=f"{event.threshold_mm:g}"),
        "anchor": f"{event.threshold_mm:g}".replace(".", "-"),
        "sentences": headline.sentences(event, record, words),
        "tiles": headline.tiles(event, words),
        "intro": words(
            "scores.intro",
            n=whole(overall["n"]),
            base_rate=number(overall["base_rate"]),
            cut=_cut(overall["cut"], level, record.scores, words),
        ),
        "calibration": _calibration(record.scores, words),
        "scores": tables.scores(event, words),
        "references": tables.references(event.scores, words),
        "confusion": figures.confusion(matrix, classes, words),
        "classes": classes,
        "figures": curves,
        "missing": missing,
        "places": _places(event, record, words),
        "times": tables.times(event, words),
        "has_enso": bool(event.scores.get("by_enso")),
        "calendar": calendar.draw(event.cases, words) if overall["n"] else None,
    }


def _cut(cut: float, level: int, scores: Mapping[str, Any], words: Words) -> str:
    """Return from when on one threshold is said to be reached, and why from there."""
    ratio = (scores.get("decision") or {}).get("cost_loss_ratio")
    if ratio is not None:
        # As it was given: a ratio of 0.125 is not "0.12".
        each = ratio[level] if isinstance(ratio, list) else ratio
        return words("scores.cut_by_cost", cut=f"{each:g}")
    name = scores.get("cut_score")
    by = words("scores.by", score=words.name("score", name)) if name else ""
    return words("scores.cut_searched", cut=number(cut, 2), by=by)


def _calibration(scores: Mapping[str, Any], words: Words) -> str:
    """Return how the probabilities were calibrated; nothing in a run of an earlier version."""
    if "calibration" not in scores:
        return ""
    method = scores["calibration"].get("method")
    return words(f"scores.calibration_{method if method in CALIBRATIONS else 'other'}")


def _classes(record: Record, words: Words) -> dict[str, Any] | None:
    """Return the confusion matrix and scores of several classes; None where there is one threshold."""
    test = record.scores["test"]
    found = test.get("events", test).get("classes")
    if not found:
        return None
    steps = [f"{threshold:g}" for threshold in record.scores["threshold_mm"]]
    names = [
        words("confusion.class_below", high=steps[0]),
        *(words("confusion.class_between", low=a, high=b) for a, b in zip(steps[:-1], steps[1:], strict=True)),
        words("confusion.class_above", low=steps[-1]),
    ]
    scores = [
        (words.name("score", name), number(value))
        for name, value in found.items()
        if words.has(f"score.{name}") and not isinstance(value, list | dict | bool)
    ]
    return {
        "names": names,
        "rows": figures.confusion(found["confusion_matrix"], names, words),
        "scores": scores,
    }


def _places(event: Event, record: Record, words: Words) -> dict[str, Any]:
    entries = event.scores.get("by_region", {})
    boxes = {name: box for name, box in geography.boxes_of(record.table).items() if name in entries}
    skills = {name: entry["brier_skill_score"] for name, entry in entries.items()}
    unknown = [name for name in entries if name not in boxes]
    note = ""
    if not boxes:
        note = words("places.unknown_all")
    elif unknown:
        note = words("places.unknown_some", names=", ".join(unknown))
    return {
        "map": geography.skill_map(boxes, skills, words) if boxes else None,
        "note": note,
        "rows": tables.group(entries, list(entries)),
        "gradient": tables.gradient(event, words),
    }
