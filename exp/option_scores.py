"""What the runs of an option came to, seed by seed, and a table of several options beside what the notes expected."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp.compare import costs
from exp.options import Option
from exp.resume import OF_NO_CONSEQUENCE
from exp.scoring import main_scores
from exp.units import duration
from utils import run_directory

# In the order of the columns; the last is what the notes report.
SCORES = {
    "ROC AUC": "roc_auc",
    "Brier skill": "brier_skill_score",
    "macro F1": "macro_f1",
    "MCC": "matthews_correlation",
    "F1 of rain": "f1",
}
TITLES = (
    "option", "seeds", *SCORES, "notes' F1", "parameters", "skipped", "collapsed", "time a run", "notes' hours, T4"
)  # fmt: skip
COLLAPSED = "="


@dataclass(frozen=True)
class Outcome:
    """What the runs of one option came to.

    Attributes:
        option: which.
        scores: name -> one value for each finished seed, None where undefined; names are those of `SCORES`.
        collapsed: for each finished seed whether its forecast says the same every time.
        failed: seed -> code of the message that its training ended with.
        flags: of its runs; what has no consequence for the numbers is left out.
        parameters: of the model; None where no seed has finished.
        skipped: steps that were not finite, over all seeds.
        seconds: of training and evaluation, for each finished seed.
        base_rate: share of rain in the test split.
        n: windows of the test split.
        synthetic: made from labelled synthetic data.
        runs: directories of the finished seeds.
        intervals: name of a score -> 95 % interval of its mean over the seeds; None before it was judged.
    """

    option: Option
    scores: Mapping[str, tuple[float | None, ...]]
    collapsed: tuple[bool, ...] = ()
    failed: Mapping[int, str] | None = None
    flags: Mapping[str, Any] | None = None
    parameters: int | None = None
    skipped: int = 0
    seconds: tuple[float, ...] = ()
    base_rate: float | None = None
    n: int | None = None
    synthetic: bool = False
    runs: tuple[str, ...] = ()
    intervals: Mapping[str, list[float] | None] | None = None

    @property
    def n_seeds(self) -> int:
        """Seeds that have finished."""
        return len(self.collapsed)


def read(option: Option, runs: Sequence[Path], failed: Mapping[int, str]) -> Outcome:
    """Read what the finished runs of an option wrote.

    Args:
        option: which.
        runs: its finished runs, one for each seed.
        failed: seed -> code of the message that its training ended with.
    """
    found = [run_directory.read_json(run / run_directory.FINISHED_FILE) for run in runs]
    tests = [main_scores(scores["test"]) for scores in found]
    stored = run_directory.read_json(runs[0] / "config.json")["flags"] if runs else {}
    return Outcome(
        option=option,
        scores={name: tuple(test[name] for test in tests) for name in SCORES.values()},
        collapsed=tuple(bool(test["constant_answer"]) for test in tests),
        failed=dict(failed),
        flags={name: value for name, value in stored.items() if name not in OF_NO_CONSEQUENCE},
        parameters=found[0]["cost"].get("parameters") if found else None,
        skipped=sum(scores["skipped_steps"] for scores in found),
        seconds=tuple(_seconds(run) for run in runs),
        base_rate=tests[0]["base_rate"] if tests else None,
        n=tests[0]["n"] if tests else None,
        synthetic=any(scores["synthetic"] for scores in found),
        runs=tuple(str(run) for run in runs),
    )


def f1_of_always_rain(base_rate: float) -> float:
    """Return the F1 of a forecast that says rain every time."""
    return 2 * base_rate / (1 + base_rate)


def plain(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the rows of the table as plain values for JSON."""
    return [
        {
            "option": each.option.letter,
            "title": each.option.title,
            "seeds": each.n_seeds,
            "scores": {
                name: _summary(values) | {"interval": (each.intervals or {}).get(name)}
                for name, values in each.scores.items()
            },
            "notes_f1": each.option.notes_f1,
            "notes_hours_t4": each.option.notes_hours,
            "f1_of_always_rain": None if each.base_rate is None else f1_of_always_rain(each.base_rate),
            "base_rate": each.base_rate,
            "n": each.n,
            "parameters": each.parameters,
            "skipped_steps": each.skipped,
            "collapsed": list(each.collapsed),
            "failed": dict(each.failed or {}),
            "seconds": list(each.seconds),
            "synthetic": each.synthetic,
            "runs": list(each.runs),
        }
        for each in outcomes
    ]


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the table as Markdown, with what it was scored on above and how to read it below."""
    rows = [TITLES, tuple("---" for _ in TITLES), *(_cells(each) for each in outcomes)]
    lines = [*_heading(outcomes), "", *(f"| {' | '.join(row)} |" for row in rows), "", *_reading(outcomes)]
    return "\n".join(lines) + "\n"


def text(outcomes: Sequence[Outcome]) -> str:
    """Return the table for a terminal: a score is a line, an option a column."""
    rows = [TITLES, *((_letter(each), *_cells(each)[1:]) for each in outcomes)]
    widths = [max(len(cell) for cell in row) for row in rows]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*rows, strict=True)
    ]
    titles = [f"{each.option.letter}: {each.option.title}" for each in outcomes]
    return "\n".join([*_heading(outcomes), *lines, *titles, *_reading(outcomes)])


def comma_separated(outcomes: Sequence[Outcome]) -> str:
    """Return one line for each option and seed, scores at full precision."""
    file = io.StringIO()
    names = list(SCORES.values())
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["option", "run", *names, "collapsed", "base_rate", "parameters", "seconds", "notes_f1"])
    for each in outcomes:
        expected = "" if each.option.notes_f1 is None else "{}-{}".format(*each.option.notes_f1)
        for number, run in enumerate(each.runs):
            values = [each.scores[name][number] for name in names]
            own = [each.collapsed[number], each.base_rate, each.parameters, each.seconds[number], expected]
            writer.writerow([each.option.letter, run, *values, *own])
    return file.getvalue()


def write(
    folder: Path,
    outcomes: Sequence[Outcome],
    conclusions: Sequence[str] = (),
    differences: Sequence[Mapping[str, Any]] = (),
) -> list[Path]:
    """Write the table as JSON, Markdown and CSV.

    Args:
        folder: where to.
        outcomes: of the options.
        conclusions: sentences for below the table.
        differences: between options, with intervals, for the JSON file.

    Raises:
        StorageError: one cannot be written.
    """
    run_directory.make_folder(folder)
    paths = [folder / f"comparison.{suffix}" for suffix in ("json", "md", "csv")]
    run_directory.write_json(
        paths[0], {"options": plain(outcomes), "differences": list(differences), "conclusions": list(conclusions)}
    )
    said = "".join(f"\n{sentence}\n" for sentence in conclusions)
    run_directory.write_text(paths[1], markdown(outcomes) + said)
    run_directory.write_text(paths[2], comma_separated(outcomes))
    return paths


def _seconds(run: Path) -> float:
    return sum(part or 0.0 for part in costs.seconds(run))


def _summary(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.mean(known) if known else None,
        "deviation": statistics.stdev(known) if len(known) > 1 else None,
        "values": list(values),
    }


def _cells(each: Outcome) -> tuple[str, ...]:
    seeds = str(each.n_seeds) + "".join(f"; seed {seed} {code}" for seed, code in (each.failed or {}).items())
    return (
        f"{_letter(each)} {each.option.title}",
        seeds,
        *(_mean(each.scores[name]) + _between((each.intervals or {}).get(name)) for name in SCORES.values()),
        _range(each.option.notes_f1, ".2f"),
        "-" if each.parameters is None else f"{each.parameters:,}",
        str(each.skipped) if each.n_seeds else "-",
        f"{sum(each.collapsed)} of {each.n_seeds}" if each.n_seeds else "-",
        duration(statistics.mean(each.seconds)) if each.seconds else "-",
        _range(each.option.notes_hours, "g"),
    )


def _letter(each: Outcome) -> str:
    return each.option.letter + (f" {COLLAPSED}" if any(each.collapsed) else "")


def _mean(values: Sequence[float | None]) -> str:
    found = _summary(values)
    if found["mean"] is None:
        return "-"
    return f"{found['mean']:.3f}" + ("" if found["deviation"] is None else f" ± {found['deviation']:.3f}")


def _between(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"


def _range(ends: tuple[float, float] | None, form: str) -> str:
    return "none" if ends is None else f"{ends[0]:{form}}-{ends[1]:{form}}"


def _heading(outcomes: Sequence[Outcome]) -> list[str]:
    scored = next((each for each in outcomes if each.n is not None), None)
    if scored is None or scored.base_rate is None:
        return ["No option has finished."]
    always = f1_of_always_rain(scored.base_rate)
    lines = [
        f"test split: n = {scored.n}, base rate {scored.base_rate:.3f}; saying rain every time has F1 {always:.3f}, "
        "macro F1 below .5, MCC 0, ROC AUC .5"
    ]
    if scored.synthetic:
        lines.append("SYNTHETIC data, not ERA5: these figures say nothing about Peru")
    return lines


def _reading(outcomes: Sequence[Outcome]) -> list[str]:
    lines = ["F1 of rain is what the notes report: it rises with the base rate, and no skill is needed for it."]
    if any(any((each.intervals or {}).values()) for each in outcomes):
        lines.append("[ , ]: 95 % interval of the mean over the seeds, from days drawn in blocks; ± is over the seeds.")
    if any(any(each.collapsed) for each in outcomes):
        lines.append(f"{COLLAPSED} marks a collapsed seed: it says the same every time, and no score of it is skill.")
    return lines
