"""Scores of several finished runs side by side, base rate included.

python -m exp.comparison checkpoints/peru_rainfall       the newest run of each model, seeds averaged
python -m exp.comparison RUN RUN ...                     these run directories, those that differ in their seed averaged
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exp.finished_runs import is_forecast
from exp.scoring import main_scores
from utils import last_words, outcome, run_directory
from utils.errors import UsageError

COLUMNS = {
    "accuracy": "accuracy",
    "macro F1": "macro_f1",
    "MCC": "matthews_correlation",
    "PSS": "peirce_skill_score",
    "ROC AUC": "roc_auc",
    "Brier": "brier_score",
    "Brier skill": "brier_skill_score",
}


def newest_of_each_model(folder: Path) -> list[list[Path]]:
    """Return, for each model in the folder of one experiment, its newest finished run and those of its other seeds.

    Raises:
        UsageError: the folder holds no finished run.
    """
    groups: dict[str, dict[int, Path]] = {}
    flags: dict[str, dict[str, Any]] = {}
    for run in run_directory.finished_runs(str(folder.parent)):
        if run.parent != folder or is_forecast(run_directory.read_json(run / "config.json")):
            continue
        mine = _flags_but_seed(run)
        model = mine["model"]
        if flags.setdefault(model, mine) == mine:
            seed = run_directory.read_json(run / run_directory.FINISHED_FILE)["seed"]
            groups.setdefault(model, {}).setdefault(seed, run)
    if not groups:
        raise UsageError(
            "CONFIG",
            "There are no finished runs in this folder.",
            where=str(folder),
            next_command="python -m exp.comparison checkpoints/<model_id>, after a run has ended",
        )
    return [list(runs.values()) for runs in groups.values()]


def groups_of(runs: Sequence[Path]) -> list[list[Path]]:
    """Return run directories by their flags; those that differ in nothing but their seed are one group.

    Raises:
        UsageError: one of them is no finished run of a classifier.
    """
    groups: dict[str, list[Path]] = {}
    for run in dict.fromkeys(runs):
        if not (run / run_directory.FINISHED_FILE).is_file() or is_forecast(
            run_directory.read_json(run / "config.json")
        ):
            raise UsageError(
                "CONFIG",
                "This is no finished run of a classifier.",
                where=str(run),
                evidence=f"no {run_directory.FINISHED_FILE} in it" if run.is_dir() else "no such directory",
                next_command="python -m exp.comparison RUN RUN, directories that hold scores.json",
            )
        groups.setdefault(json.dumps(_flags_but_seed(run), sort_keys=True), []).append(run)
    return list(groups.values())


def table(groups: list[list[Path]]) -> str:
    """Return a plain table of test scores, means over the seeds of each group, best Brier score first.

    `=` marks a forecast that says the same every time.

    Raises:
        UsageError: the runs were not scored on the same number of windows with the same base rate.
    """
    rows = [_mean_row([_row(run) for run in runs]) for runs in groups]
    if len({row["model"] for row in rows}) < len(rows):
        rows = [row | {"model": _longer_name(runs[0])} for row, runs in zip(rows, groups, strict=True)]
    different = {(row["n"], row["base_rate"]) for row in rows}
    if len(different) > 1:
        raise UsageError(
            "CONFIG",
            "These runs were not scored on the same windows.",
            where=", ".join(run.name for runs in groups for run in runs),
            evidence="; ".join(f"{n} windows, base rate {rate:.4f}" for n, rate in sorted(different)),
            next_command="run them with the same data, splits, --seq_len and --sample_stride_hours",
        )
    rows.sort(key=lambda row: row["brier_score"])
    lines = [f"test split: n = {rows[0]['n']}, base rate {rows[0]['base_rate']:.3f}"]
    if any(row["synthetic"] for row in rows):
        lines.append("SYNTHETIC data, not ERA5: these figures say nothing about Peru")
    width = max(22, *(len(row["model"]) + 1 for row in rows))
    lines.append(f"{'model':<{width}}{'seeds':>5}" + "".join(f"{title:>13}" for title in COLUMNS))
    for row in rows:
        cells = "".join("            -" if row[name] is None else f"{row[name]:>13.3f}" for name in COLUMNS.values())
        lines.append(f"{row['model']:<{width}}{row['seeds']:>5}{cells}{' =' if row['constant_answer'] else ''}")
    return "\n".join(lines)


def _flags_but_seed(run: Path) -> dict[str, Any]:
    stored = run_directory.read_json(run / "config.json")["flags"]
    return {name: value for name, value in stored.items() if name not in ("seed", "itr", "device", "gpu")}


def _longer_name(run: Path) -> str:
    """Return experiment and start of a run, where the name of its model alone does not tell it from another."""
    return f"{run.parent.name} {run.name.split('-seed')[-1].partition('-')[2]}"


def _row(run: Path) -> dict[str, Any]:
    scores = run_directory.read_json(run / run_directory.FINISHED_FILE)
    return {"model": scores["model"], "synthetic": scores["synthetic"], **main_scores(scores["test"])}


def _mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    means = {}
    for name in COLUMNS.values():
        values = [row[name] for row in rows]
        means[name] = None if None in values else sum(values) / len(values)
    return rows[0] | means | {"seeds": len(rows), "constant_answer": any(row["constant_answer"] for row in rows)}


def main(words: list[str]) -> int:
    """Print the table of one folder, or of the runs named, and return the exit code."""
    return outcome.of(lambda: last_words.show(_answer(words)))


def _answer(words: list[str]) -> str:
    if words in (["-h"], ["--help"]):
        return __doc__ or ""
    if not words or any(word.startswith("-") for word in words):
        raise UsageError(
            "CONFIG",
            "One folder of runs or several run directories are expected.",
            where="python -m exp.comparison FOLDER, or RUN RUN ...",
            next_command="python -m exp.comparison checkpoints/peru_rainfall",
        )
    paths = [Path(word) for word in words]
    is_folder = len(paths) == 1 and not (paths[0] / run_directory.FINISHED_FILE).is_file()
    return table(newest_of_each_model(paths[0]) if is_folder else groups_of(paths))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
