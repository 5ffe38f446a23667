"""How far a training is, how fast it goes and when it will end: for the bar, and for lines where there is none."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import torch

from exp.peak_memory import peak_memory

if TYPE_CHECKING:
    from exp.trainer import Trainer


@dataclass(frozen=True)
class Pace:
    """The speed of an epoch so far, carried on.

    Attributes:
        windows_per_second: in training.
        epoch_seconds: left of this epoch, without its evaluation.
        run_seconds: left of all epochs and evaluations, unless patience ends them before.
    """

    windows_per_second: float
    epoch_seconds: float
    run_seconds: float


def pace(trainer: Trainer) -> Pace:
    """Return the pace after at least one step of an epoch."""
    a_step = trainer.seconds / trainer.batch
    config, steps = trainer.config, trainer.steps_per_epoch
    of_epoch = a_step * (steps - trainer.batch)
    later = config.train_epochs - trainer.epoch
    an_evaluation = trainer.history[-1]["evaluation_seconds"] if trainer.history else 0.0
    return Pace(
        windows_per_second=config.batch_size / a_step,
        epoch_seconds=of_epoch,
        run_seconds=of_epoch + later * steps * a_step + (later + 1) * an_evaluation,
    )


def line(trainer: Trainer) -> str:
    """Return where a training is, in one line of the log."""
    now = pace(trainer)
    parts = [
        f"epoch {trainer.epoch}/{trainer.config.train_epochs}: step {trainer.batch} of {trainer.steps_per_epoch}, "
        f"{now.epoch_seconds:.0f} s left",
        f"{now.windows_per_second:.3g} windows/s",
        f"all epochs by {clock(now.run_seconds)}",
        memory(trainer.device),
    ]
    return "; ".join(part for part in parts if part)


def postfix(trainer: Trainer) -> dict[str, str]:
    """Return what stands behind the bar."""
    latest, means, now = trainer.watch.latest, trainer.sums.means(), pace(trainer)
    tally = trainer.objective.tally
    return {
        "loss": _short(means["train_loss"], 4),
        tally.short: _short(means[tally.name], 3),
        "lr": f"{trainer.schedule.get_last_lr()[0]:.1e}",
        "grad": f"{latest.norm:.2f}" if latest else "",
        "skipped": str(trainer.watch.skipped),
        "windows/s": f"{now.windows_per_second:.3g}",
        "end": clock(now.run_seconds),
        "memory": memory(trainer.device),
    }


def clock(seconds: float, now: float | None = None) -> str:
    """Return when so many seconds are over, with its day where that is not today.

    Args:
        seconds: from now on.
        now: seconds since 1970; those of the clock when None.
    """
    begin = datetime.fromtimestamp(time.time() if now is None else now)
    end = begin + timedelta(seconds=seconds)
    return f"{end:%H:%M}" if end.date() == begin.date() else f"{end:%Y-%m-%d %H:%M}"


def memory(device: torch.device) -> str:
    """Return the most memory taken so far, of a card beside what it has; nothing where the system does not tell."""
    taken = peak_memory(device)["peak_memory_bytes"]
    if taken is None:
        return ""
    if device.type != "cuda":
        return f"{taken / 2**30:.2g} GiB"
    return f"{taken / 2**30:.3g} of {torch.cuda.get_device_properties(device).total_memory / 2**30:.3g} GiB"


def _short(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"
