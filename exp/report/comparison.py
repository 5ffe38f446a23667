"""The page of a comparison: who is best, which differences are real, what each cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp.compare import content as told
from exp.compare.reading import CONFIG_FILE
from exp.compare.shape import AMOUNT, EVENT, Shape
from exp.report import forest, origin, page
from exp.report.headline import compared
from exp.report.tables import difference, range_text
from exp.report.words import UNDEFINED, Words, day, last_day, number, whole
from utils import run_directory

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """How the forecasts of one kind are shown.

    Attributes:
        shape: which of their scores.
        section: of the texts that name these.
        text: end of the keys of the texts that name the score they are ordered by, and the skill of that.
        against_climatology: texts of the part "headline" for better, worse and undecided.
    """

    shape: Shape
    section: str
    text: str
    against_climatology: tuple[str, str, str]

    @property
    def skill(self) -> str:
        """Name of the skill that decides; the first that is drawn."""
        return next(score for score, _ in self.shape.drawn.values())

    def named(self, words: Words) -> dict[str, str]:
        """What sentences call the score and its skill."""
        return {name: words(f"comparison.{name}_{self.text}") for name in ("score", "skill")}


OF_EVENTS = Look(EVENT, "score", "event", ("better", "worse", "undecided"))
OF_AMOUNTS = Look(AMOUNT, "amount", "amount", ("better_amounts", "worse_amounts", "undecided"))


def of_comparison(content: Mapping[str, Any], words: Words) -> str:
    """Return the page of a comparison.

    Args:
        content: what comparison.json holds.
        words: of the page.
    """
    splits, instants = content["splits"], content["instants"]
    first, last = day(splits["test_first"]), day(splits["test_last"])
    return page.render(
        "comparison.html",
        {
            "title": words("comparison.title"),
            "kicker": words("comparison.kicker"),
            "name": " · ".join(dict.fromkeys(forest.name_of(model["name"], words) for model in content["models"])),
            "subtitle": words(
                "comparison.subtitle",
                count=len(content["events"][0]["table"]),
                n=whole(instants["n"]),
                days=whole(instants["days"]),
                first=first,
                last=last,
                regions=words.regions(len(content["regions"])),
            ),
            "banners": _banners(content, words),
            "compared": [
                *_amounts(content, words),
                *(_event(event, content, words) for event in content["events"]),
            ],
            "costs": [_cost(model, words) for model in content["models"]],
            "runs": [(forest.name_of(model["name"], words), ", ".join(model["runs"])) for model in content["models"]],
            "facts": _facts(content, words),
            "interval": _interval(content["interval"], words),
            "command": content["command"],
            "attribution": _attribution(content, words),
        },
        words,
    )


def _banners(content: Mapping[str, Any], words: Words) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if content["synthetic"]:
        found.append(
            {"kind": "warning", "title": words("banner.synthetic"), "text": words("banner.synthetic_more"), "quote": ""}
        )
    marked = [
        words(
            "comparison.marked",
            name=forest.name_of(model["name"], words),
            codes=", ".join(mark["code"] for mark in model["marks"]),
        )
        for model in told.marked(content)
    ]
    if marked:
        text = f"{'; '.join(marked)}. {words('comparison.marked_text')}"
        found.append({"kind": "alarm", "title": words("comparison.marked_title"), "text": text, "quote": ""})
    return found


def _event(event: Mapping[str, Any], content: Mapping[str, Any], words: Words) -> dict[str, Any]:
    return {
        "title": words("page.event", threshold=f"{event['threshold_mm']:g}"),
        "facts": words("page.figures_of", n=whole(event["n"]), base_rate=number(event["base_rate"])),
        **_judged(event, OF_EVENTS, content, words),
        "mixes": True,
        "ensemble": _ensemble(event["ensemble"], words) if event.get("ensemble") else None,
    }


def _amounts(content: Mapping[str, Any], words: Words) -> Iterator[dict[str, Any]]:
    """Yield the part on amounts, where some were compared."""
    amounts = content.get("amounts")
    if not amounts:
        return
    facts = [words("comparison.amount_facts", n=whole(amounts["n"]), mean=number(amounts["mean_observed"], 2))]
    if amounts["without"]:
        names = ", ".join(forest.name_of(name, words) for name in amounts["without"])
        facts.append(words("comparison.without_amounts", names=names))
    yield {
        "title": words("amount.title"),
        "facts": " ".join(facts),
        **_judged(amounts, OF_AMOUNTS, content, words),
        "mixes": False,  # an ensemble is one of chances
    }


def _judged(part: Mapping[str, Any], look: Look, content: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """Return sentences, figures, table and differences of amounts or of an event."""
    marks = {model["name"]: [mark["code"] for mark in model["marks"]] for model in content["models"]}
    there = part["table"][0]["scores"]
    drawn = {score: level for score, level in look.shape.drawn.values() if score in there}
    names = [*drawn, *(name for name in there if name not in drawn)]
    return {
        "sentences": _sentences(part, look, words),
        "intro": words("comparison.scores_intro", **look.named(words)),
        "figures": [forest.draw(part["table"], score, level, words, look.section) for score, level in drawn.items()],
        "heads": [words.name(look.section, name) for name in names],
        "rows": [_row(row, names, marks.get(row["name"], []), words) for row in part["table"]],
        "differences": _differences(part, look, words),
    }


def _sentences(part: Mapping[str, Any], look: Look, words: Words) -> list[str]:
    named = look.named(words)
    best = next(row for row in part["table"] if row["name"] == part["best"])
    if best["scores"].get(look.shape.order) is None:
        return [words("comparison.best_undefined", **named)]
    found = [words("comparison.best", name=forest.name_of(best["name"], words), **named)]
    skill = best["scores"].get(look.skill)
    if skill is not None:
        interval = best["intervals"].get(look.skill)
        found.append(compared(skill, tuple(interval) if interval else None, look.against_climatology, words))
    told = _find(part, look, part["best"], part["against"])
    if part["best"] != part["against"] and told:
        found.append(_told(told, forest.name_of(part["against"], words), look, words))
    tied = [
        forest.name_of(row["name"], words)
        for row in part["table"]
        if row["kind"] != "ensemble" and (_find(part, look, row["name"], part["best"]) or {}).get("is_real") is False
    ]
    found.append(words("comparison.tied", names=", ".join(tied)) if tied else words("comparison.alone"))
    return found


def _find(part: Mapping[str, Any], look: Look, name: str, other: str) -> Mapping[str, Any] | None:
    """Return the difference in skill of one forecast from another, where the comparison has it."""
    entries = (each for each in part["differences"] if (each["name"], each["from"]) == (name, other))
    return next((each["scores"].get(look.skill) for each in entries), None)


def _told(found: Mapping[str, Any], other: str, look: Look, words: Words) -> str:
    if found["difference"] is None or not found["interval"]:
        return words("comparison.no_test", other=other, why=words("comparison.few_days"))
    key = "comparison.really_better" if found["is_real"] else "comparison.not_shown"
    told = difference(found, words)
    return words(key, other=other, difference=told["value"], interval=told["range"], **look.named(words))


def _row(row: Row, names: Sequence[str], marks: Sequence[str], words: Words) -> dict[str, Any]:
    cells = []
    for name in names:
        spread = row["spread"].get(name)
        deviation = f" ± {number(spread['deviation'])}" if spread else ""
        value = row["scores"][name]
        cells.append(
            {
                "value": number(value) + (deviation if value is not None else ""),
                "range": range_text(row["intervals"].get(name)),
            }
        )
    return {
        "name": forest.name_of(row["name"], words),
        "kind": words(f"kind.{row['kind']}"),
        "seeds": len(row["seeds"]) or UNDEFINED,
        "marks": list(marks),
        "is_constant": row["constant_answer"],
        "cells": cells,
    }


def _differences(part: Mapping[str, Any], look: Look, words: Words) -> list[dict[str, Any]]:
    """Return a table for each forecast that the others are compared with."""
    tables = []
    shown = look.shape.told.values()
    for other in dict.fromkeys(each["from"] for each in part["differences"]):
        rows = [
            {
                "name": forest.name_of(each["name"], words),
                "cells": [difference(each["scores"].get(score), words) for score in shown],
            }
            for each in part["differences"]
            if each["from"] == other
        ]
        title = words("comparison.minus", other=forest.name_of(other, words))
        tables.append({"title": title, "heads": [words.name(look.section, score) for score in shown], "rows": rows})
    return tables


def _ensemble(found: Mapping[str, Any], words: Words) -> dict[str, Any]:
    rows = []
    for member in found["members"]:
        rows.append(
            {
                "name": forest.name_of(member["name"], words),
                "weight": number(member["weight"], 2),
                **difference(member["contribution"], words, decimals=4),
                "verdict": words.name("verdict", member["verdict"].replace(" ", "_")),
            }
        )
    told = difference(found.get("against_equal_weights"), words)
    text = f"{told['value']} ({told['range']}; {told['more']})" if told["range"] else told["value"]
    return {"rows": rows, "equal": words("comparison.against_equal", difference=text)}


def _cost(model: Mapping[str, Any], words: Words) -> list[str]:
    cost = model["cost"]
    memory = cost["peak_memory_bytes"]
    return [
        forest.name_of(model["name"], words),
        *(_seconds(cost[name], words) for name in ("training_seconds", "evaluation_seconds")),
        whole(cost["parameters"]),
        UNDEFINED if memory is None else f"{memory / 2**20:,.0f} MiB".replace(",", "\N{NARROW NO-BREAK SPACE}"),
        whole(cost["skipped_steps"]),
    ]


def _seconds(value: float | None, words: Words) -> str:
    if value is None:
        return UNDEFINED
    if value >= 120:
        return words("training.minutes_text", minutes=whole(value / 60))
    return words(
        "training.seconds_text", seconds="<0.1" if value < 0.1 else number(value, 1) if value < 10 else whole(value)
    )


def _facts(content: Mapping[str, Any], words: Words) -> list[tuple[str, str]]:
    label, splits = content["label"], content["splits"]
    rows = [
        (
            words("comparison.label"),
            words(
                "data.label_text",
                threshold=", ".join(f"{threshold:g}" for threshold in label["threshold_mm"]),
                accumulation=label["accumulation_hours"],
                lead=label["lead_time_hours"],
            ),
        ),
        (words("comparison.splits"), f"{_last_days(splits['train_end'])}, {_last_days(splits['validation_end'])}"),
    ]
    lost = {name: count for name, count in content["instants"]["left_out"].items() if count}
    if lost:
        names = ", ".join(f"{name} {whole(count)}" for name, count in lost.items())
        rows.append((words("data.left_out"), words("comparison.left_out", names=names)))
    return rows


def _last_days(ends: str | Sequence[str]) -> str:
    """Return the last day of a split; of several runs, each of which tests a year, those of the first and last."""
    days = [last_day(end) for end in ([ends] if isinstance(ends, str) else ends)]
    return days[0] if len(days) == 1 else f"{days[0]} … {days[-1]}"


def _interval(settings: Mapping[str, Any], words: Words) -> str:
    if settings.get("why_none"):
        return words("comparison.no_test", other=UNDEFINED, why=words("comparison.few_days"))
    return words("comparison.interval_of", block=settings["block_days"], draws=whole(settings["draws"]))


def _attribution(content: Mapping[str, Any], words: Words) -> str:
    if content["synthetic"]:
        return words("origin.attribution_synthetic")
    config = run_directory.home_of(Path(content["models"][0]["runs"][0])) / CONFIG_FILE
    known = run_directory.read_json(config) if config.is_file() else {}
    return words("origin.attribution_text", years=origin.years(known, day(content["splits"]["test_last"])))
