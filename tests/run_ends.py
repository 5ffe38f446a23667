"""What a run came to, and how two runs differ: to the last bit, but for times, places and dates."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

TIMES = ("_seconds", "_per_second")
# Of time and place, or a hash over such.
OF_TIME_AND_PLACE = ("time", "seconds", "checkpoints", "root_path", "content_sha256", "peak_memory_bytes")
# When a state is saved changes none of it.
OF_SAVING = ("checkpoint_minutes", "checkpoint_steps", "save_every_epochs", "save_safetensors")
NAMES_LEFT_OUT = (*OF_TIME_AND_PLACE, *OF_SAVING)


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of everything in which the ends of two runs differ; empty for equal runs.

    Args:
        one: a finished run directory.
        other: another one, of the same flags and data.
    """
    before, after = dict(_values(one)), dict(_values(other))
    missing = sorted(set(before) ^ set(after))
    return missing + [name for name in before if name in after and not is_same(before[name], after[name])]


def is_same(one: Any, other: Any) -> bool:
    """Whether two leaves are equal to the last bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and bytes_of(one) == bytes_of(other)
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and bool(one == other)


def bytes_of(tensor: torch.Tensor) -> bytes:
    """Return the bytes of a tensor, which tell -0.0 from 0.0."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _values(run: Path) -> Iterator[tuple[str, Any]]:
    for name in ("last.pt", "best.pt"):
        yield from _leaves(torch.load(run / name, weights_only=True), name)
    yield from _leaves(json.loads((run / "scores.json").read_text()), "scores.json")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    yield from _leaves(rows, "metrics.jsonl")
    if (run / "predictions.csv").is_file():  # a run on series writes none
        yield "predictions.csv", (run / "predictions.csv").read_text()


def _leaves(content: Any, name: str) -> Iterator[tuple[str, Any]]:
    last = name.rpartition(".")[2]
    if last.endswith(TIMES) or last in NAMES_LEFT_OUT:
        return
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _leaves(value, f"{name}.{key}")
    elif isinstance(content, list | tuple):
        yield f"{name}.length", len(content)
        for key, value in enumerate(content):
            yield from _leaves(value, f"{name}.{key}")
    else:
        yield name, content
