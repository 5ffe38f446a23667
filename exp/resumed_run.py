"""The files of a run that goes on: what came later is put aside, what was cut is removed, what is kept is told."""

from __future__ import annotations

import logging
import shlex
import sys
from datetime import datetime
from pathlib import Path

import torch

from exp import run_description, training_state, verified_states
from exp.callbacks import BEST
from exp.verified_states import Point
from utils import run_directory, signals
from utils.calibration_file import CALIBRATION_FILE
from utils.errors import LockError, StorageError
from utils.files import TEMPORARY_SUFFIX, storage_error
from utils.reproducibility import commit, versions

logger = logging.getLogger(__name__)
# What a run writes as it goes on and at its end.
RESULTS = (
    "metrics.jsonl", run_directory.FINISHED_FILE, CALIBRATION_FILE, "predictions", "validation_predictions", "figures",
    "report.html", run_directory.AT_LEAD,
)  # fmt: skip


def prepare(point: Point, device: torch.device, *, is_described_anew: bool = False) -> None:
    """Make a run directory ready to go on: leftovers removed, later files aside, this resumption written down.

    Args:
        point: where the run goes on.
        device: where it computes from now on.
        is_described_anew: its flags or data may change, so what they were is kept aside too.

    Raises:
        LockError: ``RUN_LOCKED``: another process went on from this state since it was read.
        StorageError: the directory cannot be written.
    """
    _require_still(point)
    for left_over in sorted(point.run.glob(f"*{TEMPORARY_SUFFIX}")):
        logger.info("  removed what a save was cut in: %s", left_over)
        try:
            left_over.unlink()
        except OSError as error:
            raise storage_error(error, left_over) from error
    aside = point.run / f"before-resume-{datetime.now():%Y%m%d-%H%M%S}"
    _set_later_files_aside(point, aside)
    if is_described_anew:
        run_directory.copy_all([point.run / name for name in run_description.FILES], aside)
    row = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "file": point.file.name,
        "step": point.state["step"],
        "passed_over": list(point.passed_over),
        "device": training_state.device_name(device),
        "commit": commit(),
        **versions(),
    }
    run_directory.append_json_line(point.run / "resumes.jsonl", row)


def told_where(stop: signals.Interrupted, run: Path) -> signals.Interrupted:
    """Return an interruption with the state that a run has kept, unless it tells of one already."""
    if stop.where:
        return stop
    step = verified_states.told(run / verified_states.LAST, "step")
    if step is None:
        return signals.Interrupted(where=run, evidence=stop.evidence, next_command=stop.next_command)
    return signals.Interrupted(
        where=run,
        evidence=f"step {step} is saved in {verified_states.LAST}",
        next_command=verified_states.resume_command(run),
    )


def _require_still(point: Point) -> None:
    """Look once more, now that the directory is held: the state was read before."""
    step = verified_states.claimed(point.file, "step")
    if point.file.exists() and step in (None, point.state["step"]):
        return
    raise LockError(
        "RUN_LOCKED",
        "The run has gone on in another process since its state was read.",
        where=str(point.run),
        evidence=f"{point.file.name} was at step {point.state['step']}, and is {'gone' if step is None else step} now",
        next_command="the same command again, which goes on from where the run is now",
    )


def _set_later_files_aside(point: Point, aside: Path) -> None:
    """Move what the run wrote after this state into a folder of its own, so that nothing is lost.

    Nothing is moved where the state is the newest of the run.
    """
    later = _later(point)
    if later:
        run_directory.make_folder(aside)
        run_directory.move_all(later, aside)
        logger.info("  what the run wrote after that is kept in %s", aside)


def _later(point: Point) -> list[Path]:
    """Return the files of a run that tell of steps after this state, the mark of a finished run first.

    So a kill while they are moved leaves no finished run without its weights, and states that tell what is left.
    """
    entries = sorted(point.run.iterdir())
    states = [path for path in entries if _is_of_state(path) and _tells_more(path, point)]
    results = [path for path in entries if path.name.startswith(RESULTS)]
    if not states and not any(path.name == run_directory.FINISHED_FILE for path in results):
        return []
    return [*sorted(results, key=lambda path: path.name != run_directory.FINISHED_FILE), *states]


def _is_of_state(path: Path) -> bool:
    return verified_states.is_state(path.name.removesuffix(".json")) or path.name.startswith("best.")


def _tells_more(path: Path, point: Point) -> bool:
    if path.name.startswith("best."):
        epoch = verified_states.claimed(point.run / BEST, "epoch")
        return epoch is not None and epoch > point.state["epoch"]
    step = verified_states.claimed(path.with_name(path.name.removesuffix(".json")), "step")
    return step is not None and step > point.state["step"]


def told_for_all_seeds(stop: signals.Interrupted) -> signals.Interrupted:
    """Return an interruption of one of several seeds: the same command goes on with it and with those after it."""
    command = shlex.join(["python", *sys.argv])
    if "--resume" not in sys.argv:
        command += " --resume auto"
    return signals.Interrupted(where=stop.where, evidence=stop.evidence, next_command=command)


def told_how_to_go_on(error: StorageError, run: Path) -> StorageError:
    """Return a fault of the disk with the state that is there, and how to go on from it once there is room."""
    step = verified_states.told(run / verified_states.LAST, "step")
    if step is None:
        return error
    kept = f"{error.evidence}; step {step} is saved in {verified_states.LAST}"
    way_out = f"{error.next_command}; then {verified_states.resume_command(run)}, or of a copy of it on another disk"
    return StorageError(error.code, error.what, where=error.where, evidence=kept, next_command=way_out)
