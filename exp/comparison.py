"""Scores of several finished runs side by side, base rate included.

python -m exp.comparison checkpoints/peru_rainfall       the newest run of each model in a folder
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from exp.scoring import main_scores
from utils import run_directory
from utils.errors import EXIT_OK, ForeseenError, UsageError

COLUMNS = {
    "accuracy": "accuracy",
    "macro F1": "macro_f1",
    "MCC": "matthews_correlation",
    "PSS": "peirce_skill_score",
    "ROC AUC": "roc_auc",
    "Brier": "brier_score",
    "Brier skill": "brier_skill_score",
}


def newest_of_each_model(folder: Path) -> list[Path]:
    """Return the newest finished run of each model in the folder of one experiment.

    Raises:
        UsageError: the folder holds no finished run.
    """
    newest: dict[str, Path] = {}
    for run in run_directory.finished_runs(str(folder.parent)):
        if run.parent == folder:
            newest.setdefault(run_directory.read_json(run / run_directory.FINISHED_FILE)["model"], run)
    if not newest:
        raise UsageError(
            "CONFIG",
            "There are no finished runs in this folder.",
            where=str(folder),
            next_command="python -m exp.comparison checkpoints/<model_id>, after a run has ended",
        )
    return list(newest.values())


def table(runs: list[Path]) -> str:
    """Return a plain table of test scores, best Brier score first; `=` marks a forecast that says the same every time.

    Raises:
        UsageError: the runs were not scored on the same number of windows with the same base rate.
    """
    rows = [_row(run) for run in runs]
    different = {(row["n"], row["base_rate"]) for row in rows}
    if len(different) > 1:
        raise UsageError(
            "CONFIG",
            "These runs were not scored on the same windows.",
            where=", ".join(run.name for run in runs),
            evidence="; ".join(f"{n} windows, base rate {rate:.4f}" for n, rate in sorted(different)),
            next_command="run them with the same data, splits, --seq_len and --sample_stride_hours",
        )
    rows.sort(key=lambda row: row["brier_score"])
    lines = [f"test split: n = {rows[0]['n']}, base rate {rows[0]['base_rate']:.3f}"]
    if any(row["synthetic"] for row in rows):
        lines.append("SYNTHETIC data, not ERA5: these figures say nothing about Peru")
    lines.append(f"{'model':<22}" + "".join(f"{title:>13}" for title in COLUMNS))
    for row in rows:
        cells = "".join("            -" if row[name] is None else f"{row[name]:>13.3f}" for name in COLUMNS.values())
        lines.append(f"{row['model']:<22}{cells}{' =' if row['constant_answer'] else ''}")
    return "\n".join(lines)


def _row(run: Path) -> dict[str, Any]:
    scores = run_directory.read_json(run / run_directory.FINISHED_FILE)
    return {"model": scores["model"], "synthetic": scores["synthetic"], **main_scores(scores["test"])}


def main(words: list[str]) -> int:
    """Print the table of one folder and return the exit code."""
    try:
        if len(words) != 1 or words[0].startswith("-"):
            raise UsageError(
                "CONFIG",
                "One folder is expected.",
                where="python -m exp.comparison FOLDER",
                next_command="python -m exp.comparison checkpoints/peru_rainfall",
            )
        print(table(newest_of_each_model(Path(words[0]))))
    except ForeseenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
