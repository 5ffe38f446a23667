"""A comparison as text for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from exp.compare.content import marked
from exp.compare.judging import COLUMNS
from exp.units import duration, size

CONSTANT = "="
DIFFERENCES = {"Brier skill": "brier_skill_score", "ROC AUC": "roc_auc"}
Content = Mapping[str, Any]
Cells = Sequence[Sequence[str]]


def text(content: Content) -> str:
    """Return everything a terminal shows of a comparison."""
    lines = heading(content)
    for event in content["events"]:
        lines += [*_event_heading(content, event), *_plain(_score_cells(content, event)), "", *sentences(event), ""]
    return "\n".join([*lines, *_plain(_cost_cells(content)), "", *notes(content)])


def markdown(content: Content) -> str:
    """Return the same as a page of Markdown."""
    lines = ["# Comparison", "", *_list(heading(content))]
    for event in content["events"]:
        lines += ["", *_event_heading(content, event), "", *_pipes(_score_cells(content, event)), ""]
        lines += _list(sentences(event))
    return "\n".join([*lines, "", *_pipes(_cost_cells(content)), "", *_list(notes(content))]) + "\n"


def comma_separated(content: Content) -> str:
    """Return one line for each threshold and model: every score with both ends of its interval, at full precision."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = [f"{score}{ending}" for score in COLUMNS.values() for ending in ("", "_low", "_high")]
    writer.writerow(["threshold_mm", "name", "kind", "seeds", "n", "base_rate", "constant_answer", *names])
    for event in content["events"]:
        for row in event["table"]:
            values = [
                value for score in COLUMNS.values() for value in (row["scores"][score], *_ends(row["intervals"][score]))
            ]
            own = [row["name"], row["kind"], " ".join(map(str, row["seeds"]))]
            writer.writerow(
                [event["threshold_mm"], *own, event["n"], event["base_rate"], row["constant_answer"], *values]
            )
    return file.getvalue()


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


def sentences(event: Mapping[str, Any]) -> list[str]:
    """Return which differences are real, and what each member adds to an ensemble."""
    lines = []
    for other in dict.fromkeys(each["from"] for each in event["differences"]):
        role = " and ".join(role for role in ("best", "against") if event[role] == other)
        what = {
            "best": "the best by Brier score",
            "against": "the reference",
            "best and against": "best, and reference",
        }
        lines.append(f"difference from {other} ({what[role]}):")
        lines += [f"  {_difference(each)}" for each in event["differences"] if each["from"] == other]
    return lines + (_ensemble(event["ensemble"]) if event["ensemble"] else [])


def notes(content: Content) -> list[str]:
    """Return how the table is to be read."""
    references = content["references"]
    lines = _about_intervals(content["interval"])
    if references["largest_difference"] > 0:
        lines.append(
            f"climatology and persistence are those of {references['from']} for all; the climatologies of the runs "
            f"differ from it by {references['largest_difference']:.2g} at most"
        )
    chosen_by = {model["cut_score"] or "a cost/loss ratio" for model in content["models"]}
    if len(chosen_by) > 1:
        lines.append(
            f"cuts were chosen by {' and '.join(sorted(chosen_by))}: accuracy, macro F1, MCC and PSS tell of that too, "
            "ROC AUC and Brier score do not"
        )
    rows = [row for event in content["events"] for row in event["table"]]
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


def _difference(each: Mapping[str, Any]) -> str:
    parts = [f"{title} {verdict(each['scores'][score])}" for title, score in DIFFERENCES.items()]
    test = each["diebold_mariano"]
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
    if len(content["events"]) == 1:
        return []
    return [f"rain of {event['threshold_mm']:g} mm or more: base rate {event['base_rate']:.3f}"]


def _score_cells(content: Content, event: Mapping[str, Any]) -> list[list[str]]:
    """Return the table: a line of scores and, below it, a line of intervals for each model."""
    marks = {model["name"]: [mark["code"] for mark in model["marks"]] for model in content["models"]}
    cells = [["model", "seeds", *COLUMNS]]
    for row in event["table"]:
        constant = f" {CONSTANT}" if row["constant_answer"] else ""
        told = " ".join(["", *marks.get(row["name"], [])])
        cells.append(
            [
                row["name"] + constant + told,
                str(len(row["seeds"]) or "-"),
                *(_score(row, score) for score in COLUMNS.values()),
            ]
        )
        cells.append(["", "", *(_between(row["intervals"][score]) for score in COLUMNS.values())])
    return cells


def _score(row: Mapping[str, Any], score: str) -> str:
    value, spread = row["scores"][score], row["spread"][score]
    if value is None:
        return "-"
    return f"{value:.3f}" + ("" if spread is None else f" ± {spread['deviation']:.3f}")


def _between(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} {interval[1]:.3f}"


def _ends(interval: Sequence[float] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval[0], interval[1])


def _cost_cells(content: Content) -> list[list[str]]:
    cells = [["cost of a run", "training", "evaluation", "parameters", "peak memory", "skipped steps"]]
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
