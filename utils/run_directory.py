"""One run, one directory: `<checkpoints>/<model_id>/<model>-seed<k>-<time>/`, never overwritten."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from utils.errors import StorageError, UsageError
from utils.files import storage_error, write_whole

FINISHED_FILE = "scores.json"
NEWEST_OFFERED = 3
# Ends the name of the folder with the runs of `--cross_validate`: none of them stands for the model.
BY_YEARS = "-by_years"
# Begins the name of a folder in a run in which it was scored again, and of one with the scores at a further lead time.
SCORED_AGAIN, AT_LEAD = "scored-", "lead_"


def create(checkpoints: str, model_id: str, model: str, seed: int) -> Path:
    """Make a new run directory and its folder for figures.

    Raises:
        StorageError: the folder cannot be written.
    """
    parent = Path(checkpoints) / model_id
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for attempt in range(100):
        run = parent / (f"{model}-seed{seed}-{stamp}" + (f"-{attempt}" if attempt else ""))
        try:
            run.mkdir(parents=True)
            return run
        except FileExistsError as error:
            if not run.is_dir():
                raise storage_error(error, run, "choose another folder with --checkpoints") from error
        except OSError as error:
            raise storage_error(error, run, "choose another folder with --checkpoints") from error
    raise StorageError("STORAGE_DENIED", "No free name for a run directory.", where=str(parent))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write JSON that any reader accepts: a number that is not finite becomes null.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, json.dumps(finite(content), indent=2) + "\n")


def append_json_line(path: Path, row: dict[str, Any]) -> None:
    """Add one line to a JSONL file.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(row)) + "\n")
    except OSError as error:
        raise storage_error(error, path) from error


def write_json_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a JSONL file whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(path, "".join(json.dumps(finite(row)) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """Read a JSON file of ours."""
    return json.loads(path.read_text(encoding="utf-8"))


def move_all(paths: Sequence[Path], folder: Path) -> None:
    """Move files and folders into a folder on the same disk.

    Raises:
        StorageError: one cannot be moved; those before it are.
    """
    for path in paths:
        try:
            path.rename(folder / path.name)
        except OSError as error:
            raise storage_error(error, path) from error


def copy_all(paths: Sequence[Path], folder: Path) -> None:
    """Copy files into a folder, which is made where it is not there.

    Raises:
        StorageError: one cannot be copied.
    """
    make_folder(folder)
    for path in paths:
        write_whole(folder / path.name, partial(shutil.copyfile, path))


def all_runs(checkpoints: str, model_id: str) -> list[Path]:
    """Return the runs of an experiment, finished or not, newest first."""
    found = Path(checkpoints, model_id).glob("*/config.json")
    return sorted((path.parent for path in found), key=_started, reverse=True)


def finished_runs(checkpoints: str) -> Iterator[Path]:
    """Yield runs that have scores, newest first."""
    found = Path(checkpoints).glob(f"*/*/{FINISHED_FILE}")
    yield from sorted((path.parent for path in found), key=_started, reverse=True)


def require_finished(run: Path, needed: Sequence[str] = (FINISHED_FILE,)) -> None:
    """Refuse a directory that is not that of a finished run.

    Args:
        run: as `--run` names it.
        needed: files that have to be in it.

    Raises:
        UsageError: ``CONFIG``, with the command that finishes it where it can be finished.
    """
    missing = [name for name in needed if not (run / name).is_file()]
    if not missing:
        return
    raise UsageError(
        "CONFIG",
        "This is not the directory of a finished run.",
        where=f"--run {run}",
        evidence=f"no {', '.join(missing)} in it" if run.is_dir() else "no such directory",
        next_command=_in_its_place(run),
    )


def _in_its_place(run: Path) -> str:
    """Return what to type in the place of a directory that is not that of a finished run."""
    if (run / "config.json").is_file() and not (run / FINISHED_FILE).is_file():
        return f"python run.py --resume {run} finishes it"
    inside = sorted((path.parent for path in run.glob(f"*/{FINISHED_FILE}")), key=_started)
    return f"--run {inside[-1]}" if inside else f"--run RUN, a directory with {FINISHED_FILE}"


def named(run: str | None, checkpoints: str, command: str) -> Path:
    """Return the run that `--run` names.

    Args:
        run: its value.
        checkpoints: folder of all runs.
        command: that needs it, with RUN in the place of the run.

    Raises:
        UsageError: ``CONFIG``, none is named; the newest finished ones are offered.
    """
    if run is not None:
        return Path(run)
    newest = [
        str(each) for each in islice((each for each in finished_runs(checkpoints) if not is_fold(each)), NEWEST_OFFERED)
    ]
    raise UsageError(
        "CONFIG",
        "Say which run is meant.",
        where="--run",
        evidence=f"newest finished runs: {', '.join(newest) or 'none'}",
        next_command=command.replace("RUN", newest[0]) if newest else command,
    )


def lead_folder(lead_time_hours: int) -> str:
    """Return the name of the folder in a run that has the scores at a further lead time."""
    return f"{AT_LEAD}{lead_time_hours:03d}h"


def home_of(folder: Path) -> Path:
    """Return the run directory of a run, or of a folder in it that has scores of its own."""
    while folder.name.startswith((SCORED_AGAIN, AT_LEAD)):
        folder = folder.parent
    return folder


def is_fold(run: Path) -> bool:
    """True for a run of `--cross_validate`, which tests one year of several."""
    return run.absolute().parent.name.endswith(BY_YEARS)


def _started(run: Path) -> str:
    """Return the time in a run's name, `<model>-seed<k>-<YYYYmmdd-HHMMSS>`."""
    return run.name.split("-seed")[-1].partition("-")[2]


def finite(content: Any) -> Any:
    """Return JSON values in which every number that is not finite is null."""
    if isinstance(content, dict):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
