"""What is inside a checkpoint that could be read: its weights, in whatever wrapping, and whether to trust them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from utils.errors import CheckpointError
from utils.findings import Finding
from utils.message import printable

PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")
WRAPPERS = ("model_state_dict", "state_dict", "model")
# No trained weight, moment or loss comes near these; a float32 can hold far more.
HUGE_VALUE = 1e10
HUGE_LOSS = 1e9
TENSORS_SHOWN = 3
DOWNLOAD = "download it again (checkpoints/README.md), or leave out --adaptation to train from scratch"


@dataclass(frozen=True)
class Weights:
    """Named tensors out of a checkpoint.

    Attributes:
        tensors: name -> tensor, as a plain file holds them.
        note: one line that says what was unwrapped; empty for a plain file.
    """

    tensors: dict[str, torch.Tensor]
    note: str


def unwrap(content: Mapping[str, Any], source: Path) -> Weights:
    """Take the weights out of a training state and the prefixes off their names.

    Raises:
        CheckpointError: ``CKPT_INCOMPLETE``, there are no weights in it.
    """
    done = []
    wrapper = next((name for name in WRAPPERS if isinstance(content.get(name), dict)), None)
    inside = content if wrapper is None else content[wrapper]
    if wrapper is not None:
        others = [str(name) for name in content if name != wrapper]
        done.append(f"the weights were taken from {wrapper!r}" + (f" beside {', '.join(others)}" if others else ""))
    tensors = {name: value for name, value in inside.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise CheckpointError(
            "CKPT_INCOMPLETE",
            "There are no weights in this checkpoint.",
            where=str(source),
            evidence=f"it holds {', '.join(map(repr, list(inside)[:8])) or 'nothing'}",
            next_command="save model.state_dict(), or a training state with 'model_state_dict'",
        )
    left_out = [str(name) for name in inside if name not in tensors]
    if left_out:
        done.append(f"left out as they are no tensors: {', '.join(left_out[:5])}")
    prefix = _common_prefix(list(map(str, tensors)))
    if prefix:
        done.append(f"the prefix {prefix!r} was taken off all {len(tensors)} names")
    plain = {str(name)[len(prefix) :]: value for name, value in tensors.items()}
    return Weights(plain, printable(f"{source}: {'; '.join(done)}.") if done else "")


def _common_prefix(names: list[str]) -> str:
    """Return the wrappers' prefixes that all names share, one after the other."""
    found = ""
    while prefix := next((p for p in PREFIXES if all(name.startswith(found + p) for name in names)), ""):
        found += prefix
    return found


def leaves(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every tensor and number of a checkpoint with its dotted name; what is met twice is told once."""
    seen: set[int] = set()
    waiting = [(name, content)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping | list | tuple):
            if id(value) in seen:
                continue
            seen.add(id(value))
            parts = value.items() if isinstance(value, Mapping) else enumerate(value)
            begin = f"{name}." if name else ""
            waiting += reversed([(begin + printable(str(key)), part) for key, part in parts])
        elif isinstance(value, torch.Tensor | float):
            yield name, value


def first_not_finite(content: Any) -> str | None:
    """Return the dotted name of the first tensor or number that is not finite, None for a sound content."""
    return next((name for name, value in leaves(content) if not _is_finite(value)), None)


def judge(content: Mapping[str, Any], source: Path) -> list[Finding]:
    """Look at every tensor and loss, moments and buffers included.

    Returns:
        ``CKPT_NONFINITE`` as an error or ``CKPT_SUSPECT`` as a warning; nothing for a sound checkpoint.
    """
    bad: dict[str, tuple[int, int, tuple[int, ...]]] = {}
    suspect: list[str] = []
    weights = 0
    zero_weights = 0
    for name, value in leaves(content):
        if not isinstance(value, torch.Tensor):
            if _is_loss(name):
                bad |= {} if math.isfinite(value) else {name: (1, 1, ())}
                suspect += [f"{name} is {value:.4g}"] if HUGE_LOSS < abs(value) < math.inf else []
            continue
        if not (value.is_floating_point() or value.is_complex()) or not value.numel():
            continue
        number, first, largest = _look(value)
        if number:
            bad[name] = (number, value.numel(), first)
        elif largest > HUGE_VALUE:
            suspect.append(f"{name} reaches {largest:.4g}")
        if value.ndim > 1 and "optimizer" not in name:
            weights += 1
            zero_weights += largest == 0
    if bad:
        return [_not_finite(source, bad)]
    if weights and weights == zero_weights:
        suspect.append(f"all {weights} weights with two axes or more are zero")
    return [_suspect(source, suspect)] if suspect else []


def _is_finite(value: torch.Tensor | float) -> bool:
    return bool(torch.isfinite(value).all()) if isinstance(value, torch.Tensor) else math.isfinite(value)


def _is_loss(name: str) -> bool:
    return any("loss" in part for part in name.lower().split("."))


def _look(value: torch.Tensor) -> tuple[int, tuple[int, ...], float]:
    """Return how many values are not finite, where the first is, and the largest size of all."""
    plain = value.detach()
    if not plain.is_complex() and plain.element_size() < 4:
        plain = plain.float()
    largest = plain.abs().max()
    # NaN and infinity win every maximum, so one pass is enough for a sound tensor.
    if bool(torch.isfinite(largest)):
        return 0, (), float(largest)
    not_finite = ~torch.isfinite(plain)
    return int(not_finite.sum()), tuple(not_finite.nonzero()[0].tolist()), math.inf


def _not_finite(source: Path, bad: dict[str, tuple[int, int, tuple[int, ...]]]) -> Finding:
    first, (number, size, index) = next(iter(bad.items()))
    names = ", ".join(list(bad)[:TENSORS_SHOWN]) + (" ..." if len(bad) > TENSORS_SHOWN else "")
    return Finding(
        code="CKPT_NONFINITE",
        severity="error",
        kind=CheckpointError,
        what=f"{len(bad)} tensor{'s' * (len(bad) > 1)} of the checkpoint "
        f"hold{'s' * (len(bad) == 1)} values that are not finite.",
        where=f"{source}: {names}",
        evidence=f"{first}: {number} of {size} values, first at {index}",
        next_command=DOWNLOAD,
        figures={"tensors": {name: count for name, (count, _, _) in bad.items()}},
    )


def _suspect(source: Path, reasons: list[str]) -> Finding:
    return Finding(
        code="CKPT_SUSPECT",
        severity="warning",
        kind=CheckpointError,
        what="The checkpoint is finite, and no training that went well ends with such numbers.",
        where=str(source),
        evidence="; ".join(reasons[:TENSORS_SHOWN]) + (" ..." if len(reasons) > TENSORS_SHOWN else ""),
        next_command=f"python -m utils.checkpoint_validator --checkpoint {source}",
        figures={"reasons": reasons},
    )
