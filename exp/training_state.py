"""All that a training needs to go on, as tensors and plain values: written down, checked, put back.

What is put back is put back to the last bit: weights, moments, schedule, loss scale, generators, the place in the
epoch, the sums and counts of the steps so far, and what the callbacks remember.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from exp.epoch_sums import EpochSums
from exp.trainer import Trainer
from utils import checkpoint, distributed, run_directory
from utils.errors import CheckpointError
from utils.reproducibility import generator_states, restore_generators

logger = logging.getLogger(__name__)
NEEDED = (
    "epoch", "step", "batch", "model_state_dict", "optimizer_state_dict", "scheduler_state_dict", "scaler_state_dict",
    "best_model_state_dict", "rng_state", "sampler", "progress", "history",
)  # fmt: skip


def capture(trainer: Trainer, best: Mapping[str, torch.Tensor], *, is_best: bool) -> dict[str, Any]:
    """Return the state of a training between two steps, or before or after an evaluation.

    Args:
        trainer: between two steps.
        best: weights of the best epoch so far; empty before the first.
        is_best: those are the present weights too, so that they are kept once.

    Returns:
        Tensors on the device of the training, and plain values.
    """
    trainer.guard.read_pending()
    generators = trainer.ranks.of_all(generator_states(trainer.device))
    return {
        checkpoint.VERSION_KEY: checkpoint.SCHEMA_VERSION,
        "epoch": trainer.epoch,
        "step": trainer.step_number,
        "batch": trainer.batch,
        "model_state_dict": dict(best) if is_best else trainer.plain_model.state_dict(),
        "optimizer_state_dict": trainer.optimizer.state_dict(),
        "scheduler_state_dict": trainer.schedule.state_dict(),
        "scaler_state_dict": trainer.scaler.state_dict() if trainer.scaler is not None else None,
        "best_model_state_dict": dict(best),
        "rng_state": generators[0],
        "rng_states_of_other_ranks": generators[1:],
        "sampler": _sampler(trainer),
        "progress": {
            "sums": trainer.sums.values,
            "seconds": trainer.seconds,
            "learning_rate": trainer.learning_rate,
            "rate_scale": trainer.rate_scale,
            "rollbacks": trainer.rollbacks,
            "skipped_saves": trainer.skipped_saves,
            "is_stopped": trainer.is_stopped,
            "watch": trainer.watch.state(),
            "guard": trainer.guard.state(),
            "callbacks": {type(callback).__name__: callback.state() for callback in trainer.callbacks},
        },
        "history": run_directory.finite(trainer.history),
        "transfer_stage": trainer.stages.describe(trainer.plain_model, max(1, trainer.epoch)),
        "micro_batch_size": trainer.objective.micro_batch_size,
        "device": device_name(trainer.device),
    }


def restore(trainer: Trainer, state: Mapping[str, Any], source: Path) -> None:
    """Put a training back to where `capture` found it.

    Args:
        trainer: of the same model, data and flags; a new one, or one that went on since.
        state: what `capture` returned, read again.
        source: where it was read, for messages.

    Raises:
        CheckpointError: ``CKPT_INCOMPLETE``, ``CKPT_SHAPE`` or ``CKPT_COVERAGE``.
    """
    require_whole(state, source)
    progress, sampler = state["progress"], state["sampler"]
    checkpoint.load_strict(trainer.plain_model, state["model_state_dict"], source, fresh_prefixes=())
    trainer.optimizer.load_state_dict(state["optimizer_state_dict"])
    trainer.schedule.load_state_dict(state["scheduler_state_dict"])
    if trainer.scaler is not None and state["scaler_state_dict"]:
        trainer.scaler.load_state_dict(state["scaler_state_dict"])
    trainer.epoch, trainer.step_number, trainer.batch = state["epoch"], state["step"], state["batch"]
    trainer.history[:] = state["history"]
    trainer.sums = EpochSums(trainer.device, trainer.objective.tally.name)
    trainer.sums.values.copy_(progress["sums"])
    trainer.seconds, trainer.learning_rate = progress["seconds"], progress["learning_rate"]
    trainer.rollbacks, trainer.skipped_saves = progress["rollbacks"], progress["skipped_saves"]
    trainer.follow_flags(progress["rate_scale"])
    trainer.watch.load_state(progress["watch"])
    trainer.guard.load_state(progress["guard"])
    for callback in trainer.callbacks:
        callback.load_state(progress["callbacks"].get(type(callback).__name__, {}))
    # With more patience than when it was saved, a training that had stopped goes on.
    trainer.is_stopped = progress["is_stopped"] and any(one.stops(trainer) for one in trainer.callbacks)
    # The weights at the start of the epoch are not kept: without them a diagnosis has one experiment less.
    trainer.epoch_start = {}
    if sampler != _sampler(trainer) and len(trainer.history) < trainer.epoch:
        _begin_again(trainer, sampler)
    restore_generators(_of_this_rank(state), trainer.device)
    if state["device"] != device_name(trainer.device):
        logger.info(
            "  the state was saved on %s and goes on on %s: not bitwise the same from here on",
            state["device"],
            device_name(trainer.device),
        )


def require_whole(state: Mapping[str, Any], source: Path) -> None:
    """Refuse what is no state of a training, such as weights alone.

    Raises:
        CheckpointError: ``CKPT_INCOMPLETE``.
    """
    missing = [name for name in NEEDED if name not in state]
    if missing:
        raise CheckpointError(
            "CKPT_INCOMPLETE",
            "This file does not hold all that a training needs to go on.",
            where=str(source),
            evidence=f"missing: {', '.join(missing)}",
            next_command="resume from last.pt, last_good.pt or checkpoint_epoch_<n>.pt; weights alone are a start: "
            f"--adaptation --pretrain_model_path {source}",
        )


def n_ranks(state: Mapping[str, Any]) -> int:
    """Return how many processes took the steps of a state; one of an earlier version was alone."""
    return 1 + len(state.get("rng_states_of_other_ranks", ()))


def _of_this_rank(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the generators of this rank, or where there were fewer those of the first."""
    states = [state["rng_state"], *state.get("rng_states_of_other_ranks", ())]
    number = distributed.current().number
    own: Mapping[str, Any] = states[number if number < len(states) else 0]
    return own


def device_name(device: torch.device) -> str:
    """Return what decides whether two runs agree to the last bit: the kind of device, and the card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _sampler(trainer: Trainer) -> dict[str, int]:
    """Return what the order of the windows depends on."""
    return {"seed": trainer.seed, "windows": len(trainer.train), "batch_size": trainer.config.batch_size}


def _begin_again(trainer: Trainer, sampler: Mapping[str, int]) -> None:
    """Take the epoch in progress from its start: its place means nothing in another order of windows."""
    logger.info(
        "  epoch %d begins again: its windows were %s and are %s now", trainer.epoch, dict(sampler), _sampler(trainer)
    )
    trainer.epoch -= 1
