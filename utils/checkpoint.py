"""Weights on disk: plain dicts of tensors, written whole or not at all, read without running code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from utils.errors import CheckpointError
from utils.files import write_whole


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a dict of tensors and plain values, whole or not at all.

    Raises:
        StorageError: no space, no permission, or the folder is gone.
    """
    write_whole(path, lambda temporary: torch.save(content, temporary))


def require(path: Path) -> None:
    """Raise CheckpointError, with where the released weights are published, when there is no such file."""
    if not path.is_file():
        raise CheckpointError(
            "CKPT_MISSING",
            "There is no such checkpoint.",
            where=str(path),
            evidence=f"looked in {path.parent.resolve()}",
            next_command="see checkpoints/README.md for where the released checkpoint is published, or leave out "
            "--adaptation to train from scratch",
        )


def load(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a dict of tensors and plain values; code inside the file is never run.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, is truncated, or holds more than plain data.
    """
    require(path)
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            "CKPT_NOT_A_CHECKPOINT",
            "This is not a checkpoint of torch, or its end is missing.",
            where=str(path),
            evidence=f"{path.stat().st_size} bytes, begins with {_beginning(path)!r}",
            next_command="download it again and compare its size with checkpoints/README.md",
        )
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise CheckpointError(
            "CKPT_UNSAFE" if "weights_only" in str(error).lower() else "CKPT_TRUNCATED",
            "The checkpoint cannot be read as plain tensors.",
            where=str(path),
            evidence=str(error).splitlines()[0][:200],
            next_command="ask its author for a file of plain tensors (a state dict)",
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(
            "CKPT_NOT_A_CHECKPOINT",
            "The checkpoint is not a dict of named tensors.",
            where=str(path),
            evidence=f"it holds a {type(content).__name__}",
            next_command="save model.state_dict()",
        )
    return content


def load_strict(model: torch.nn.Module, state: dict[str, Any], source: Path, *, fresh_prefixes: tuple[str, ...]) -> str:
    """Load every tensor of a checkpoint into the model; only the named fresh parts may be absent from it.

    Returns:
        One line that says how many tensors were loaded and how many are fresh.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    own = model.state_dict()
    fresh = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    shapes = [
        f"{name}: file {tuple(state[name].shape)}, model {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    lost = [name for name in fresh if not name.startswith(fresh_prefixes)]
    if lost or unexpected or shapes:
        problem = shapes or [f"not in the file: {name}" for name in lost] + [
            f"not in the model: {n}" for n in unexpected
        ]
        raise CheckpointError(
            "CKPT_SHAPE" if shapes else "CKPT_COVERAGE",
            "The checkpoint does not fit the model.",
            where=str(source),
            evidence=f"{len(own) - len(fresh)} of {len(state)} names found; {'; '.join(problem[:3])}",
            next_command="give the flags the file was trained with (the released checkpoint: --e_layers 8 "
            "--d_model 1024 --d_ff 2048 --n_heads 8 --input_token_len 96 --output_token_len 96)",
        )
    model.load_state_dict(state, strict=False)
    return f"{len(state)} of {len(state)} tensors loaded from {source}, {len(fresh)} fresh"


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)
