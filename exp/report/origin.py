"""The parts about data and origin: periods, health, configuration, provenance, command, attribution."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from exp.report.record import Event, Record
from exp.report.words import UNDEFINED, Words, day, last_day, number, whole

Rows = list[tuple[str, str]]
SPLITS = ("train", "validation", "test")
HASHES = ("data_sha256", "weights_sha256")


def data(record: Record, words: Words) -> dict[str, Any]:
    """Return "periods", "rows" (facts) and "findings" of the data."""
    return {
        "periods": _periods(record, words),
        "rows": _facts(record, words),
        "findings": _findings(record, words),
        "is_examined": record.diagnosis is not None,
    }


def test_period(event: Event) -> tuple[str, str]:
    """Return the first and the last day of the test period."""
    times = event.cases.init_time
    if not len(times):
        return UNDEFINED, UNDEFINED
    return day(np.min(times)), day(np.max(times))


def origin(record: Record, words: Words) -> dict[str, Any]:
    """Return how the run was made: command, flags, provenance and attribution."""
    flags = record.config.get("flags", {})
    given = record.config.get("given", {})
    other = "es" if words.language == "en" else "en"
    return {
        "command": record.config.get("command", ""),
        "again": f"python run.py --task_name report --run {shlex.quote(str(record.run))} --language {other}",
        "given": _flag_rows(given),
        "flags": _flag_rows(dict(sorted(flags.items()))),
        "provenance": _provenance(record, words),
        "attribution": _attribution(record, words),
    }


def _periods(record: Record, words: Words) -> list[dict[str, str]]:
    splits = record.config.get("splits", {})
    starts = {"validation": splits.get("train_end"), "test": splits.get("validation_end")}
    ends = {"train": splits.get("train_end"), "validation": splits.get("validation_end")}
    first, last = test_period(record.events[0])
    rates = {name: _base_rate(record.scores.get(name)) for name in ("validation", "test")}
    rows = []
    for name in SPLITS:
        begin = day(starts[name]) if starts.get(name) else UNDEFINED
        end = last_day(ends[name]) if ends.get(name) else UNDEFINED
        told = (splits.get("periods") or {}).get(name)
        if told:
            begin, end = day(told["first"]), day(told["last"])
        rows.append(
            {
                "name": words(f"data.{name}"),
                "from": first if name == "test" and begin == UNDEFINED else begin,
                "until": last if name == "test" and not told else end,
                "cases": whole((splits.get("windows") or {}).get(name)),
                "base_rate": number(told["base_rate"] if told else rates.get(name), 2),
            }
        )
    return rows


def _base_rate(table: Mapping[str, Any] | None) -> float | None:
    """Return the base rate of the lowest threshold of a score table."""
    if not table:
        return None
    entry = next(iter(table["thresholds"].values())) if "thresholds" in table else table
    return entry.get("overall", {}).get("base_rate")


def _facts(record: Record, words: Words) -> Rows:
    table, config = record.table, record.config
    scores = record.scores
    counts = record.preprocessing.get("counts", {})
    dimensions = config.get("dimensions", {})
    label = words(
        "data.label_text",
        threshold=", ".join(f"{threshold:g}" for threshold in scores["threshold_mm"]),
        accumulation=scores["accumulation_hours"],
        lead=scores["lead_time_hours"],
    )
    rows: Rows = [(words("data.label"), label)]
    if dimensions:
        about = words(
            "data.about",
            rows=whole(counts["rows"]) if "rows" in counts else words("data.rows_unknown"),
            step=dimensions["step_hours"],
            regions=words.regions(dimensions["n_regions"]),
            variables=dimensions["n_variables"],
            context=whole(dimensions["context_length"] * dimensions["step_hours"]),
        )
        rows.append((words("data.table"), about))
    if config.get("variables"):
        rows.append((words("data.inputs"), ", ".join(config["variables"])))
    if table.get("grid"):
        rows.append((words("data.grid"), _grid(table["grid"])))
    if "missing_values" in counts:
        missing, filled = counts["missing_values"], counts.get("values_filled_forward", 0)
        some = words("data.missing_some", count=whole(missing), filled=whole(filled))
        rows.append((words("data.missing_values"), some if missing else words("data.missing_none")))
    left_out = {name: count for name, count in (config.get("splits", {}).get("left_out") or {}).items() if count}
    told = "; ".join(f"{words.name('left_out', name)}: {whole(count)}" for name, count in left_out.items())
    if config.get("splits"):
        rows.append((words("data.left_out"), told or words("data.left_none")))
    if record.preprocessing.get("dropped"):
        rows.append((words("data.dropped"), ", ".join(record.preprocessing["dropped"])))
    if table.get("preliminary"):
        rows.append((words("data.preliminary"), str(table["preliminary"])))
    return rows


def _grid(text: str) -> str:
    """Return the grid's figures alone, which need no language: "40.5 ... 40, 44 ... 45, 3 x 5"."""
    words_of_it = {"latitude ": "", "longitude ": "", " to ": "° … ", " x ": " × ", " cells": "", ",": "°,"}
    for old, new in words_of_it.items():
        text = text.replace(old, new)
    return text


def _findings(record: Record, words: Words) -> list[dict[str, str]]:
    found = []
    for finding in (record.diagnosis or {}).get("findings", []):
        code, severity = finding["code"], finding["severity"]
        key = f"finding.{code}" if words.has(f"finding.{code}") else "finding.other"
        quote = [finding.get(part, "") for part in ("what", "where", "evidence")]
        found.append(
            {
                "code": code,
                "kind": severity,
                "severity": words.name("severity", severity),
                "text": words(key),
                "quote": " ".join(part for part in quote if part),
            }
        )
    return found


def _flag_rows(flags: Mapping[str, Any]) -> Rows:
    return [(f"--{name}", _flag(value)) for name, value in flags.items()]


def _flag(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or UNDEFINED
    return UNDEFINED if value is None else str(value)


def _provenance(record: Record, words: Words) -> Rows:
    environment, table = record.environment, record.table
    commit = environment.get("commit") or ""
    rows: Rows = []
    if commit:
        dirty = f" ({words('origin.dirty')})" if commit.endswith("-dirty") else ""
        rows.append((words("origin.commit"), commit.removesuffix("-dirty") + dirty))
    if environment.get("python"):
        packages = environment.get("packages", {})
        rows.append((words("origin.python"), environment["python"]))
        rows.append((words("origin.packages"), ", ".join(f"{name} {version}" for name, version in packages.items())))
    for name in ("platform", "device", "card", "data", *HASHES):
        if environment.get(name):
            rows.append((words(f"origin.{name}"), str(environment[name])))
    if environment.get("weights"):
        rows.insert(-1, (words("origin.weights"), str(environment["weights"])))
    if table.get("source_files"):
        rows.append((words("origin.sources"), words("origin.sources_text", count=len(table["source_files"]))))
    if table.get("created"):
        rows.append((words("origin.created"), str(table["created"])))
    return rows


def _attribution(record: Record, words: Words) -> list[str]:
    if record.scores.get("synthetic"):
        return [words("origin.attribution_synthetic"), words("origin.attribution_map")]
    last = test_period(record.events[0])[1]
    return [words("origin.attribution_text", years=years(record.config, last)), words("origin.attribution_map")]


def years(config: Mapping[str, Any], last_day_of_test: str) -> str:
    """Return the years of the information in a run, as the licence asks for, the first to the last.

    Args:
        config: content of config.json; empty where it is not known.
        last_day_of_test: of the test period.
    """
    told = (config.get("splits", {}).get("periods") or {}).get("train")
    first = day(told["first"])[:4] if told else ""
    last = last_day_of_test[:4]
    if not first:
        files = " ".join(config.get("table", {}).get("source_files") or {})
        named = sorted({word[:4] for word in files.replace("_", " ").split() if word[:4].isdigit()})
        first = named[0] if named else last
    return f"{first}–{last}" if first != last else last
