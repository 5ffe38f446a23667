"""When the state of a training is written down, and how a training comes back to it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from exp import training_state, verified_states
from exp.callbacks import BestCheckpoint
from exp.trainer import Trainer
from exp.verified_states import LAST, LAST_GOOD, Point
from utils import checkpoint, run_directory
from utils.checkpoint_contents import first_not_finite
from utils.errors import CheckpointError, NumericalError
from utils.files import require_space, storage_error
from utils.flag_rules import require
from utils.signals import Interrupted

logger = logging.getLogger(__name__)
MOST_ROLLBACKS = 2
# Causes that come back at any rate.
NOT_OF_THE_RATE = ("DATA_", "OUT_OF_MEMORY")
# last.pt, last_good.pt, and the next one while it is written.
STATES_ON_DISK = 3
ELSEWHERE = "choose another folder with --checkpoints"
# A run that goes on stays where it is.
COPIED = "copy the run directory to another disk and resume it there"


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Checkpoints and resuming."""

    resume: str | None = field(
        default=None,
        metadata={
            "help": "go on where a run was cut: its directory, a checkpoint file in it (later files are kept aside), "
            "or auto: the newest unfinished run of this model_id with the same flags"
        },
    )
    allow_resume_changes: bool = field(
        default=False,
        metadata={
            "help": "resume although flags, data or features differ from those of the run, which are kept aside; "
            "from then on these are its own"
        },
    )
    checkpoint_minutes: float = field(
        default=5.0, metadata={"help": "minutes between two saves within an epoch; 0 saves at its end alone"}
    )
    checkpoint_steps: int | None = field(default=None, metadata={"help": "also save every so many steps"})
    save_every_epochs: int | None = field(
        default=None, metadata={"help": "also keep checkpoint_epoch_<n>.pt every so many epochs"}
    )
    max_minutes: float | None = field(
        default=None,
        metadata={
            "help": "stop after so many minutes of this command, between two steps, with a state to --resume from "
            "(exit code 75); for machines that are lent for a time"
        },
    )
    save_safetensors: bool = field(
        default=False, metadata={"help": "also write the best weights as best.safetensors, beside best.pt"}
    )

    def __post_init__(self) -> None:
        for name in ("checkpoint_minutes", "checkpoint_steps", "save_every_epochs"):
            value = getattr(self, name)
            least = 0 if name == "checkpoint_minutes" else 1
            holds = value is None or value >= least
            require(self, name, holds, f"must be at least {least}", f"--{name} 10")
        require(self, "max_minutes", self.max_minutes is None or self.max_minutes > 0, "must be above 0")


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """What a run hands to the keeper of its state.

    Attributes:
        description: what the state belongs to: flags, features, preprocessing, data, versions.
        point: where to go on; None for a new run.
        touch: told now and then that the run is alive.
    """

    description: Mapping[str, Any] = field(default_factory=dict)
    point: Point | None = None
    touch: Callable[[], None] = lambda: None


def bytes_of_states(model: nn.Module, epoch_files: int = 0) -> int:
    """Return what the states of a run take on the disk; each holds the weights, two moments and the best weights.

    Args:
        model: whose states they are.
        epoch_files: states of epochs that are kept besides.
    """
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    return 4 * weights * (STATES_ON_DISK + epoch_files)


class StateKeeper:
    """Writes last.pt after each epoch, every few minutes and on a signal; only ever a state that is finite.

    Args:
        run: directory of the run.
        config: when to save.
        best: keeps the best weights, which belong to a state.
        keeping: what the run knows about itself.
        can_roll_back: `--nan_policy rollback`.
    """

    def __init__(
        self, run: Path, config: CheckpointConfig, best: BestCheckpoint, keeping: Keeping, *, can_roll_back: bool
    ) -> None:
        self.run, self.config, self.best, self.keeping = run, config, best, keeping
        self.can_roll_back = can_roll_back
        self._saved_at = time.monotonic()

    def begin(self, trainer: Trainer) -> None:
        """Go on from the point of a run that is resumed, or begin; either way look whether there is room.

        Raises:
            CheckpointError: the state does not fit the model.
            StorageError: the disk has no room for the files of this run.
        """
        if self.keeping.point is not None:
            self._restore(trainer, self.keeping.point)
            logger.info("RESUMED at %s from %s", self.keeping.point.place, self.keeping.point.file)
        self._require_space(trainer)
        if self.can_roll_back and trainer.step_number == 0:
            self.save(trainer)

    def step_taken(self, trainer: Trainer) -> None:
        """Save where a save is due."""
        self.keeping.touch()
        every, minutes = self.config.checkpoint_steps, self.config.checkpoint_minutes
        is_due = every is not None and trainer.step_number % every == 0
        is_due = is_due or bool(minutes) and time.monotonic() - self._saved_at >= 60 * minutes
        # Clocks differ: all ranks save where one of them would.
        (first,) = trainer.ranks.first_raised([is_due])
        if first is not None:
            self.save(trainer)

    def epoch_ended(self, trainer: Trainer) -> None:
        """Save, and keep the state of this epoch where that was asked for."""
        self.keeping.touch()
        every = self.config.save_every_epochs
        if self.save(trainer) and every and trainer.epoch % every == 0:
            self._write(trainer, self.run / verified_states.epoch_file(trainer.epoch))

    def save(self, trainer: Trainer) -> bool:
        """Write last.pt, unless something in it is not finite: then the last good file stays; return whether it is new.

        Raises:
            StorageError: it cannot be written; the last good file is still there.
        """
        is_written = self._write(trainer, self.run / LAST, keep=self.run / LAST_GOOD)
        self._saved_at = time.monotonic()
        return is_written

    def interrupted(self, trainer: Trainer, stop: Interrupted) -> Interrupted:
        """Save the state between two steps and say where."""
        if trainer.step_number == 0:
            return Interrupted(where=str(self.run), evidence=stop.evidence, next_command="start the same command again")
        place = (
            f"step {trainer.step_number} (epoch {trainer.epoch}, batch {trainer.batch} of {trainer.steps_per_epoch})"
        )
        told = f"is saved in {LAST}"
        if not self.save(trainer):
            told = "is not finite and not saved"
            if not (self.run / LAST).exists():
                return Interrupted(where=str(self.run), evidence=f"{place} {told}", next_command=stop.next_command)
            told += f"; the last good state stays in {LAST}"
        return Interrupted(
            where=str(self.run), evidence=f"{place} {told}", next_command=verified_states.resume_command(self.run)
        )

    def rolled_back(self, trainer: Trainer, error: NumericalError) -> bool:
        """Go back to the newest verified state at half the rates, at most twice, for what a lower rate can heal."""
        if not self.can_roll_back or error.code.startswith(NOT_OF_THE_RATE):
            return False
        if trainer.rollbacks >= MOST_ROLLBACKS:
            logger.warning("Rolled back %d times already: a lower rate does not heal this.", MOST_ROLLBACKS)
            return False
        try:
            point = verified_states.newest(self.run)
        except CheckpointError as refused:
            logger.warning("%s", refused)
            return False
        if point is None:
            return False
        number = trainer.rollbacks + 1
        self._restore(trainer, point)
        trainer.rollbacks = number
        trainer.scale_rates(0.5**number)
        logger.warning(
            "ROLLED_BACK: to %s of %s after %s, rates halved to %.3g; %d of %d times.",
            point.place,
            point.file,
            error.code,
            trainer.optimizer.param_groups[0]["lr"],
            number,
            MOST_ROLLBACKS,
        )
        return True

    def _require_space(self, trainer: Trainer) -> None:
        """Say before the first step, and not after days, that the states of this run do not fit the disk."""
        needed = bytes_of_states(trainer.plain_model, self._epoch_files(trainer))
        advice = ELSEWHERE if self.keeping.point is None else COPIED
        try:
            there = sum(path.stat().st_size for path in self.run.glob("*.pt"))
            require_space(self.run, max(0, needed - there), advice)
        except OSError as error:
            raise storage_error(error, self.run, advice, needed=needed) from error

    def _epoch_files(self, trainer: Trainer) -> int:
        """Return how many states of epochs this run keeps in the end."""
        return trainer.config.train_epochs // self.config.save_every_epochs if self.config.save_every_epochs else 0

    def _write(self, trainer: Trainer, path: Path, keep: Path | None = None) -> bool:
        state = training_state.capture(trainer, self.best.weights, is_best=self.best.is_of_now(trainer))
        bad = first_not_finite(state)
        if bad is not None:
            trainer.skipped_saves += 1
            logger.warning(
                "CKPT_NOT_SAVED: Not saving checkpoint: %s is not finite at step %d; %s stays as it was.",
                bad,
                trainer.step_number,
                path.name,
            )
            return False
        metadata = {
            "holds": "training state",
            "epoch": trainer.epoch,
            "batch": trainer.batch,
            "step": trainer.step_number,
            "epochs_complete": len(trainer.history),
        }
        if trainer.ranks.is_first:
            checkpoint.save(path, {**state, **self.keeping.description}, metadata=metadata, keep=keep)
        trainer.ranks.of_all(None)  # nobody goes on, or back, before the file is there
        return True

    def _restore(self, trainer: Trainer, point: Point) -> None:
        """Put trainer, best weights and the files that grow with the run back to one state."""
        training_state.restore(trainer, point.state, point.file)
        self.best.weights = dict(point.state["best_model_state_dict"])
        if trainer.ranks.is_first:
            self.best.write_unless_there()
            run_directory.write_json_lines(self.run / "metrics.jsonl", trainer.history)
