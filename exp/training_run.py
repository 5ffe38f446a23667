"""What happens around a training, whatever it learns: one run per seed, each in a directory that it holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from exp import resume, resumed_run, verified_states
from exp.settings import RunConfig, Settings
from exp.verified_states import Point
from utils import distributed, run_directory, run_lock, signals
from utils.errors import StorageError
from utils.files import storage_error

logger = logging.getLogger(__name__)
Trained = tuple[Path, dict[str, Any]]


@dataclass(frozen=True)
class Held:
    """A run directory that belongs to this process.

    Attributes:
        run: the directory.
        touch: says that the process is alive.
        needs_description: the run begins, or may go on with other flags or data.
    """

    run: Path
    touch: Callable[[], None]
    needs_description: bool


def each_seed(
    plan: resume.Plan, train_one: Callable[[Settings, Point | None], Trained]
) -> tuple[list[Path], list[dict[str, Any]]]:
    """Train one run per seed; those that are finished are not done again.

    Args:
        plan: seeds, and where each of them goes on.
        train_one: trains and scores one run.

    Returns:
        The run directories and their scores, in the order of the seeds.

    Raises:
        Interrupted: a signal came; of several seeds it names the command that goes on with all.
    """
    settings = plan.settings
    runs, results = [], []
    for seed in range(settings.run.seed, settings.run.seed + settings.run.itr):
        if seed in plan.finished:
            run = plan.finished[seed]
            result = run_directory.read_json(run / run_directory.FINISHED_FILE)
            logger.info("seed %d is finished: %s", seed, run)
        else:
            try:
                run, result = train_one(settings.with_seed(seed), plan.points.get(seed))
            except signals.Interrupted as stop:
                raise stop if settings.run.itr == 1 else resumed_run.told_for_all_seeds(stop) from None
        runs.append(run)
        results.append(result)
    return runs, results


@contextmanager
def hold(settings: Settings, device: torch.device, point: Point | None) -> Iterator[Held]:
    """Hold a new run directory, or that of the run that goes on, while its block trains and scores.

    Raises:
        Interrupted: with the directory and the state that it holds.
        StorageError: with how to go on from the state, where there is one.
        LockError: another process works in it.
    """
    own = settings.run
    ranks = distributed.current()
    if point is not None:
        run = point.run
    else:
        run = ranks.told_by(0, _new_run(own) if ranks.is_first else None)
    if not ranks.is_first:
        yield Held(run, touch=lambda: None, needs_description=False)
        return
    try:
        with run_lock.hold(run) as lock, log_to(run / "train.log"):
            logger.info("%s, seed %d, on %s -> %s", own.model, own.seed, device, run)
            may_change = settings.checkpoint.allow_resume_changes
            if point is not None:
                resumed_run.prepare(point, device, is_described_anew=may_change)
            yield Held(run, lock.touch, needs_description=point is None or may_change)
            verified_states.forget_last_good(run)
    except signals.Interrupted as stop:
        raise resumed_run.told_where(stop, run) from None
    except StorageError as error:
        raise resumed_run.told_how_to_go_on(error, run) from error


def _new_run(own: RunConfig) -> Path:
    return run_directory.create(own.checkpoints, own.model_id, own.model, own.seed)


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Copy what is logged into a file for as long as the block runs.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise storage_error(error, path) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
