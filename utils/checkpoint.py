"""Weights on disk: plain dicts of tensors, written whole or not at all, read without running code."""

from __future__ import annotations

import logging
import pickle
import re
import struct
import warnings
from pathlib import Path
from typing import Any

import torch

from utils import safetensors_file
from utils.checkpoint_contents import unwrap
from utils.checkpoint_layout import refuse_other_layouts, refuse_what_does_not_fit
from utils.checkpoint_limits import ASK_AUTHOR, broken, check_archive, check_safetensors
from utils.checkpoint_sniff import require_checkpoint
from utils.errors import CheckpointError
from utils.files import write_whole

logger = logging.getLogger(__name__)
# A content that names a higher number under this key was written by a later version of the project.
VERSION_KEY = "schema_version"
SCHEMA_VERSION = 1
NEWER_ARCHIVE = re.compile(r"version (\d+), but the maximum supported version for reading is (\d+)")
# All that torch raises for files that pass the checks before it and are malformed all the same.
READ_FAULTS = (
    RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError,
    AssertionError, ArithmeticError, struct.error,
)  # fmt: skip


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a dict of tensors and plain values, whole or not at all.

    Raises:
        StorageError: no space, no permission, or the folder is gone.
    """
    write_whole(path, lambda temporary: torch.save(content, temporary))


def require(path: Path) -> None:
    """Raise CheckpointError, with where the released weights are published, when there is nothing of this name."""
    try:
        is_there = path.is_file() or path.is_dir()
    except OSError as error:
        raise _denied(path, error) from None
    if not is_there:
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

    What the file is, the names it would import and the sizes it declares are looked at before torch opens it.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, is truncated or damaged, declares sizes it cannot
            hold, holds more than plain data, or was written by a later version.
    """
    require(path)
    try:
        kind = require_checkpoint(path)
        if kind == "safetensors":
            check_safetensors(path)
            return dict(safetensors_file.read(path, device))
        check_archive(path)
        content = _read(path, device)
    except OSError as error:
        raise _denied(path, error) from None
    if not isinstance(content, dict):
        raise CheckpointError(
            "CKPT_NOT_A_CHECKPOINT",
            "The checkpoint is not a dict of named tensors.",
            where=str(path),
            evidence=f"it holds a {type(content).__name__}",
            next_command="save model.state_dict()",
        )
    _require_version(path, content)
    return content


def load_weights(path: Path, *, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """Read the weights of a model, whatever they are wrapped in; one line in the log says what was unwrapped.

    Raises:
        CheckpointError: as `load`, or ``CKPT_INCOMPLETE``: there are no weights in it.
    """
    weights = unwrap(load(path, device=device), path)
    if weights.note:
        logger.info("%s", weights.note)
    return weights.tensors


def _denied(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        "CKPT_DENIED",
        "The system does not let the checkpoint be read.",
        where=str(path),
        evidence=str(error),
        next_command=f"ls -l {path}, then ask its owner, or copy it to another disk",
    )


def _read(path: Path, device: torch.device | str) -> Any:
    try:
        with warnings.catch_warnings():
            # A pickle protocol that torch does not use itself is no news: what it cannot read, it refuses.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=device, weights_only=True)
    except READ_FAULTS as error:
        raise _what_torch_said(path, error) from None


def _what_torch_said(path: Path, error: Exception) -> CheckpointError:
    """Return the meaning of torch's refusal, without its advice to switch the safe reader off."""
    text = str(error)
    if found := NEWER_ARCHIVE.search(text):
        return CheckpointError(
            "CKPT_VERSION",
            "The checkpoint was written by a later version of torch.",
            where=str(path),
            evidence=f"archive version {found[1]}; torch {torch.__version__} reads up to {found[2]}",
            next_command="pip install --upgrade torch",
        )
    if "weights" in text.lower() and "only" in text.lower():
        reason = text.rpartition("WeightsUnpickler error:")[2].split("Check the documentation")[0]
        return CheckpointError(
            "CKPT_UNSAFE",
            "The checkpoint cannot be read as plain tensors.",
            where=str(path),
            evidence=" ".join(reason.split())[:200],
            next_command=ASK_AUTHOR,
        )
    return broken(path, f"{type(error).__name__}: {' '.join(text.split())[:200]}")


def _require_version(path: Path, content: dict[str, Any]) -> None:
    version = content.get(VERSION_KEY)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise CheckpointError(
            "CKPT_VERSION",
            "The checkpoint was written by a later version of this project.",
            where=str(path),
            evidence=f"{VERSION_KEY} {version}; this program reads up to {SCHEMA_VERSION}",
            next_command="git pull, or open it with the version that wrote it",
        )


def load_strict(model: torch.nn.Module, state: dict[str, Any], source: Path, *, fresh_prefixes: tuple[str, ...]) -> str:
    """Load every tensor of a checkpoint into the model; only the named fresh parts may be absent from it.

    Returns:
        One line that says how many tensors were loaded and how many are fresh.

    Raises:
        CheckpointError: ``CKPT_LAYOUT``, ``CKPT_SHAPE`` or ``CKPT_COVERAGE``; the model is as it was.
    """
    own = model.state_dict()
    refuse_other_layouts(state, source)
    refuse_what_does_not_fit(own, state, source, fresh_prefixes)
    model.load_state_dict(state, strict=False)
    return f"{len(state)} of {len(state)} tensors loaded from {source}, {len(own) - len(state)} fresh"
