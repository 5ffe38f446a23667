"""The states a run has kept, and the newest of them that can be trusted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp import training_state
from utils import checkpoint, distributed
from utils.checkpoint_contents import judge
from utils.checkpoint_sidecar import claims
from utils.errors import CheckpointError
from utils.files import storage_error
from utils.findings import require_no_error

LAST, LAST_GOOD = "last.pt", "last_good.pt"
OF_AN_EPOCH = re.compile(r"checkpoint_epoch_(\d+)\.pt")


@dataclass(frozen=True)
class Point:
    """Where a run can go on.

    Attributes:
        file: the verified file.
        state: what it holds.
        passed_over: newer files that cannot be trusted, one line each.
    """

    file: Path
    state: Mapping[str, Any]
    passed_over: tuple[str, ...] = ()

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.file.parent

    @property
    def place(self) -> str:
        """Step, epoch and batch in words."""
        state = self.state
        return f"step {state['step']} (epoch {state['epoch']}, batch {state['batch']})"


def resume_command(place: Path) -> str:
    """Return what to type to go on from a run or a file, whatever characters its name has."""
    ranks = distributed.current().count
    return f"{command_of(ranks)} --resume {shlex.quote(str(place))}"


def command_of(ranks: int) -> str:
    """Return the program that trains with so many processes."""
    return "python run.py" if ranks == 1 else f"bash scripts/launch_distributed.sh --ranks {ranks}"


def epoch_file(epoch: int) -> str:
    """Return the name of the state that is kept after an epoch."""
    return f"checkpoint_epoch_{epoch}.pt"


def read(file: Path) -> Point:
    """Read one state and verify it: its hash, that every number is finite, that nothing is missing.

    Raises:
        CheckpointError: the reason not to go on from it.
    """
    state = checkpoint.load(file)
    training_state.require_whole(state, file)
    require_no_error(judge(state, file))
    return Point(file, state)


def newest(run: Path) -> Point | None:
    """Return the newest state of a run that verifies; None where no file of a state is there.

    Raises:
        CheckpointError: there are files, and none of them verifies.
    """
    refused: list[CheckpointError] = []
    for file in _candidates(run):
        try:
            point = read(file)
        except CheckpointError as error:
            refused.append(error)
            continue
        passed_over = [f"{error.code}: {error.where}: {error.what}" for error in refused]
        if not (run / LAST).exists():
            passed_over.insert(0, f"{run / LAST} is missing")
        return Point(file, point.state, tuple(passed_over))
    if not refused:
        return None
    first = refused[0]
    raise CheckpointError(
        first.code,
        f"No state of this run can be trusted. The newest: {first.what}",
        where=str(run),
        evidence="; ".join(f"{Path(error.where).name}: {error.code} {error.evidence}" for error in refused),
        next_command="start the run anew without --resume; python -m utils.checkpoint_validator --all --checkpoints "
        f"{run} tells about each file",
    )


def is_state(name: str) -> bool:
    """True for the file names of states."""
    return name in (LAST, LAST_GOOD) or OF_AN_EPOCH.fullmatch(name) is not None


def told(file: Path, name: str) -> int | None:
    """Return a number that the JSON beside a file tells about it; None where it does not, or of other bytes."""
    try:
        value = (checkpoint.metadata(file) or {}).get(name)
    except CheckpointError:
        return None
    return value if isinstance(value, int) else None


def claimed(file: Path, name: str) -> int | None:
    """Return a number that the JSON beside a file claims, without a look at the file, which may take a gigabyte."""
    try:
        named = claims(file)
    except CheckpointError:
        return None
    value = (named[0].metadata or {}).get(name) if named else None
    return value if isinstance(value, int) else None


def _candidates(run: Path) -> list[Path]:
    """Return the files of states, newest first: by the step in the JSON beside each, last.pt before its equals."""
    files = [path for path in run.iterdir() if is_state(path.name) and path.is_file()]
    return sorted(files, key=_age, reverse=True)


def _age(file: Path) -> tuple[int, bool]:
    """Return the step of a file, and whether it is last.pt.

    Without its JSON last.pt counts as the newest, by its name, and the state of an epoch as older than all that tell.
    """
    step = claimed(file, "step")
    if step is None:
        found = OF_AN_EPOCH.fullmatch(file.name)
        step = {LAST: 2**62, LAST_GOOD: 2**61}.get(file.name, 0) if found is None else int(found[1]) - 2**31
    return (step, file.name == LAST)


def forget_last_good(run: Path) -> None:
    """Delete last_good.pt of a run that is finished: last.pt has been verified, and a state takes much room.

    Raises:
        StorageError: it cannot be deleted.
    """
    for path in (run / LAST_GOOD, checkpoint.sidecar(run / LAST_GOOD)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error
