"""A comparison as text for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from exp.compare.content import marked
from exp.compare.shape import AMOUNT, EVENT, Shape
from exp.units import duration, size

CONSTANT = "="
ENDS = ("_low", "_high")
Content = Mapping[str, Any]
Cells = Sequence[Sequence[str]]


def text(content: Content) -> str:
    """Return everything a terminal shows of a comparison."""
    lines = heading(content)
    for shape, part, title in _parts(content):
        lines += [*title, *_plain(_score_cells(content, part, shape)), "", *sentences(part, shape), ""]
    return "\n".join([*lines, *_plain(_cost_cells(content)), "", *notes(content)])


def markdown(content: Content) -> str:
    """Return the same as a page of Markdown."""
    lines = ["# Comparison", "", *_list(heading(content))]
    for shape, part, title in _parts(content):
        lines += ["", *_list(title), "", *_pipes(_score_cells(content, part, shape)), ""]
        lines += _list(sentences(part, shape))
    return "\n".join([*lines, "", *_pipes(_cost_cells(content)), "", *_list(notes(content))]) + "\n"


def comma_separated(content: Content) -> str:
    """Return one line for each threshold and model: every score with both ends of its interval, at full precision.

    Lines of amounts come first, where there are any: they have no threshold and no yes/no scores.
    """
    file = io.StringIO()
    parts = _parts(content)
    scores = dict.fromkeys(score for shape, _, _ in reversed(parts) for score in shape.columns.values())
    facts = ["threshold_mm", "name", "kind", "seeds", "n", "base_rate", "constant_answer"]
    names = [f"{score}{ending}" for score in scores for ending in ("", *ENDS)]
    writer = csv.DictWriter(file, [*facts, *names], lineterminator="\n")
    writer.writeheader()
    for shape, part, _ in parts:
        about = {name: part.get(name) for name in ("threshold_mm", "n", "base_rate")}
        for row in part["table"]:
            own = {name: row[name] for name in ("name", "kind", "constant_answer")}
            writer.writerow(about | own | {"seeds": " ".join(map(str, row["seeds"]))} | _values(row, shape))
    return file.getvalue()


def _parts(content: Content) -> list[tuple[Shape, Mapping[str, Any], list[str]]]:
    """Return the shape, the content and the heading of every table."""
    amounts = content["amounts"]
    first = [(AMOUNT, amounts, _amount_heading(amounts))] if amounts else []
    return [*first, *((EVENT, event, _event_heading(content, event)) for event in content["events"])]


def _values(row: Mapping[str, Any], shape: Shape) -> dict[str, float | None]:
    """Return every score of a row with both ends of its interval, by column."""
    found: dict[str, float | None] = {}
    for score in shape.columns.values():
        interval = row["intervals"][score] or (None, None)
        found |= {score: row["scores"][score]}
        found |= {f"{score}{ending}": end for ending, end in zip(ENDS, interval, strict=True)}
    return found


def heading(content: Content) -> list[str]:
    """Return on what the runs were compared."""
    instants, splits = content["instants"], content["splits"]
    lines = [
        f"test split: n = {instants['n']} of {instants['days']} days, {splits['test_first'][:10]} to "
        f"{splits['test_last'][:10]}, base rate {content['events'][0]['base_rate']:.3f}"
    ]
    lost = {name: count for name, count in instants["left_out"].items() if count}
    if lost:
        lines.append("left out, since others lack them: " + ", ".join(f"{lost[name]} of {name}" for name in lost))
    if content["synthetic"]:
        lines.append("SYNTHETIC data, not ERA5: these figures say nothing about Peru")
    return lines


def sentences(part: Mapping[str, Any], shape: Shape) -> list[str]:
    """Return which differences are real, and what each member adds to an ensemble."""
    lines = []
    for other in dict.fromkeys(each["from"] for each in part["differences"]):
        role = " and ".join(role for role in ("best", "against") if part[role] == other)
        what = {
            "best": f"the best by {shape.best_by}",
            "against": "the reference",
            "best and against": "best, and reference",
        }
        lines.append(f"difference from {other} ({what[role]}):")
        lines += [f"  {_difference(each, shape)}" for each in part["differences"] if each["from"] == other]
    return lines + (_ensemble(part["ensemble"]) if part.get("ensemble") else [])


def notes(content: Content) -> list[str]:
    """Return how the table is to be read."""
    references = content["references"]
    lines = _about_intervals(content["interval"])
    if references["largest_difference"] > 0:
        lines.append(
            f"climatology and persistence are those of {references['from']} for all; the climatologies of the runs "
            f"differ from it by {references['largest_difference']:.2g} at most"
        )
    amounts = content["amounts"]
    if amounts and amounts["references"]["largest_difference"] > 0:
        lines.append(
            f"those of amounts are of {amounts['references']['from']}; the expected amounts of the climatologies of "
            f"the runs differ from it by {amounts['references']['largest_difference']:.2g} mm at most"
        )
    chosen_by = {model["cut_score"] or "a cost/loss ratio" for model in content["models"]}
    if len(chosen_by) > 1:
        lines.append(
            f"cuts were chosen by {' and '.join(sorted(chosen_by))}: accuracy, macro F1, MCC and PSS tell of that too, "
            "ROC AUC and Brier score do not"
        )
    rows = [row for _, part, _ in _parts(content) for row in part["table"]]
    if any(row["constant_answer"] for row in rows):
        lines.append(f"{CONSTANT}: says the same every time, in one seed at least; no score of that is skill")
    for model in marked(content):
        for mark in model["marks"]:
            seeds = f", seed {', '.join(map(str, mark['seeds']))}" if len(model["seeds"]) > 1 else ""
            lines.append(f"{mark['code']}: {model['name']}{seeds}: {mark['sentence']}")
    return lines


def _about_intervals(interval: Mapping[str, Any]) -> list[str]:
    if interval["why_none"]:
        return [f"no intervals: {interval['why_none']}"]
    return [
        f"interval: {round(100 * interval['level'])} % {interval['of']} ({interval['draws']} draws of blocks of "
        f"{interval['block_days']} days)",
        "real: the interval of the difference does not hold zero; not distinguishable is no proof of being equal, "
        "and the width says how small a difference these days can show",
    ]


def verdict(difference: Mapping[str, Any]) -> str:
    """Say of one difference how large it is, between which ends, and whether it is real."""
    if difference["difference"] is None:
        return "undefined"
    if difference["interval"] is None:
        return f"{difference['difference']:+.3f}, no interval"
    low, high = difference["interval"]
    told = f"{difference['difference']:+.3f} [{low:+.3f}, {high:+.3f}] "
    if not difference["is_real"]:
        return f"{told}not distinguishable (width {high - low:.3f})"
    return f"{told}real{', but not in every seed' if difference['in_every_seed'] is False else ''}"


def _difference(each: Mapping[str, Any], shape: Shape) -> str:
    parts = [f"{title} {verdict(each['scores'][score])}" for title, score in shape.told.items()]
    test = each.get("diebold_mariano")
    if test and test["p_value"] is not None:
        parts.append(f"Diebold-Mariano p {test['p_value']:.2g}")
    return f"{each['name']}: {'; '.join(parts)}"


def _ensemble(found: Mapping[str, Any]) -> list[str]:
    lines = [
        f"ensemble, weighted on {found['n_validation']} validation cases; from equal weights: Brier skill "
        f"{verdict(found['against_equal_weights'])}"
    ]
    lines.append("  without a member, the others weighted anew, the Brier score changes by:")
    for member in found["members"]:
        contribution = member["contribution"]
        marks = f" ({', '.join(member['marks'])})" if member["marks"] else ""
        change = f"{contribution['difference']:+.4f}, no interval"
        if contribution["interval"] is not None:
            low, high = contribution["interval"]
            change = f"{contribution['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
        lines.append(f"  {member['name']}{marks}: weight {member['weight']:.3f}; {change}: {member['verdict']}")
    return lines


def _event_heading(content: Content, event: Mapping[str, Any]) -> list[str]:
    if len(content["events"]) == 1 and not content["amounts"]:
        return []
    return [f"rain of {event['threshold_mm']:g} mm or more: base rate {event['base_rate']:.3f}"]


def _amount_heading(amounts: Mapping[str, Any]) -> list[str]:
    lines = [f"amounts of rain in mm: mean {amounts['mean_observed']:.3f}, {amounts['quantiles']} quantiles"]
    if amounts["without"]:
        lines.append(f"without amounts, compared as yes/no forecasts alone: {', '.join(amounts['without'])}")
    return lines


def _score_cells(content: Content, part: Mapping[str, Any], shape: Shape) -> list[list[str]]:
    """Return the table: a line of scores and, below it, a line of intervals for each model."""
    marks = {model["name"]: [mark["code"] for mark in model["marks"]] for model in content["models"]}
    cells = [["model", "seeds", *shape.columns]]
    for row in part["table"]:
        constant = f" {CONSTANT}" if row["constant_answer"] else ""
        told = " ".join(["", *marks.get(row["name"], [])])
        cells.append(
            [
                row["name"] + constant + told,
                str(len(row["seeds"]) or "-"),
                *(_score(row, score) for score in shape.columns.values()),
            ]
        )
        cells.append(["", "", *(_between(row["intervals"][score]) for score in shape.columns.values())])
    return cells


def _score(row: Mapping[str, Any], score: str) -> str:
    value, spread = row["scores"][score], row["spread"][score]
    if value is None:
        return "-"
    return f"{value:.3f}" + ("" if spread is None else f" ± {spread['deviation']:.3f}")


def _between(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} {interval[1]:.3f}"


def _cost_cells(content: Content) -> list[list[str]]:
    cells = [["cost of one seed", "training", "evaluation", "parameters", "peak memory", "skipped steps"]]
    for model in content["models"]:
        cost = model["cost"]
        memory = cost["peak_memory_bytes"]
        cells.append(
            [
                model["name"],
                *(
                    "-" if cost[name] is None else duration(cost[name])
                    for name in ("training_seconds", "evaluation_seconds")
                ),
                "-" if cost["parameters"] is None else f"{cost['parameters']:,}",
                "-" if memory is None else f"{size(memory)} ({cost['peak_memory_of']})",
                str(cost["skipped_steps"]),
            ]
        )
    return cells


def _plain(cells: Cells) -> list[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _pipes(cells: Cells) -> list[str]:
    """Return Markdown; a line of intervals goes below its scores in the same cell."""
    head, *rest = cells
    rows: list[list[str]] = []
    for row in rest:
        if not row[0]:
            rows[-1] = [f"{above}<br>{below}" if below else above for above, below in zip(rows[-1], row, strict=True)]
        else:
            rows.append(list(row))
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _list(lines: Sequence[str]) -> list[str]:
    return [f"  - {line.strip()}" if line.startswith("  ") else f"- {line}" for line in lines]
