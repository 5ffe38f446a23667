"""Weights on disk: plain dicts of tensors, written whole or not at all, read without running code."""

from __future__ import annotations

import logging
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch

from utils import safetensors_file, safetensors_writer
from utils.checkpoint_contents import unwrap
from utils.checkpoint_hash import content_hash
from utils.checkpoint_layout import refuse_other_layouts, refuse_what_does_not_fit
from utils.checkpoint_limits import ASK_AUTHOR, broken, check_archive, check_safetensors
from utils.checkpoint_plain import require_json_like, require_plain, room
from utils.checkpoint_publish import publish
from utils.checkpoint_sidecar import SCHEMA_VERSION, Claim, claims, mismatch, sidecar
from utils.checkpoint_sniff import require_checkpoint
from utils.errors import CheckpointError
from utils.run_directory import finite

logger = logging.getLogger(__name__)
# A content that names a higher number under this key was written by a later version of the project.
VERSION_KEY = "schema_version"
CONTENT_KEY = "content_sha256"
A_CLASSIFIER = "start a classifier from it: --task_name classification --adaptation --load_parts encoder"
NEWER_ARCHIVE = re.compile(r"version (\d+), but the maximum supported version for reading is (\d+)")
# All that torch raises for files that pass the checks before it and are malformed all the same.
READ_FAULTS = (
    RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError,
    AssertionError, ArithmeticError, struct.error,
)  # fmt: skip


def save(
    path: Path, content: Mapping[str, Any], *, metadata: Mapping[str, Any] | None = None, keep: Path | None = None
) -> None:
    """Write a dict of tensors and plain values, whole or not at all, and the JSON beside it that tells its bytes.

    A content that names its `schema_version` also carries a hash of itself, for when its file is copied alone.

    Args:
        path: the file; its JSON lies beside it (`sidecar`).
        content: what `load` gives back.
        metadata: JSON-like values for the JSON; a number that is not finite becomes null there.
        keep: where a file of ours that lies at `path` goes, with its JSON, when it verifies; in the same file system.

    Raises:
        TypeError: the content or the metadata hold what could not be read again; the message names it.
        StorageError: no space, no permission, the folder is gone, or the disk gives back other bytes.
    """
    require_plain(content)
    require_json_like(metadata or {})
    if VERSION_KEY in content:
        content = {**content, CONTENT_KEY: content_hash(content)}
    publish(
        path,
        lambda file: torch.save(content, cast(IO[bytes], file)),
        room=room(content),
        metadata=finite(dict(metadata or {})),
        keep=keep,
    )


def save_safetensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write weights alone as safetensors, whole or not at all, and the JSON beside them.

    Args:
        path: the file, by custom with the suffix `.safetensors`.
        tensors: name -> tensor; those that share memory are written once a name.
        metadata: text; stands in the file and in the JSON beside it.

    Raises:
        TypeError: a tensor is of a dtype the format does not have, or the metadata are not text.
        StorageError: as `save`.
    """
    about = dict(metadata or {})
    safetensors_writer.require_writable(tensors, about)
    publish(
        path,
        lambda file: safetensors_writer.write(file, tensors, about),
        room=safetensors_writer.size(tensors, about),
        metadata=about,
    )


def metadata(path: Path) -> dict[str, Any] | None:
    """Return what was said of the bytes that lie there when they were saved; None for a file from elsewhere.

    Raises:
        CheckpointError: the file is missing, or is none of those that its JSON names.
    """
    require(path)
    try:
        claim = _verify(path)
    except OSError as error:
        raise denied(path, error) from None
    return None if claim is None else claim.metadata


def require(path: Path) -> None:
    """Raise CheckpointError, with where the released weights are published, when there is nothing of this name."""
    try:
        is_there = path.is_file() or path.is_dir()
    except OSError as error:
        raise denied(path, error) from None
    if not is_there:
        raise CheckpointError(
            "CKPT_MISSING",
            "There is no such checkpoint.",
            where=str(path),
            evidence=f"looked in {path.parent.resolve()}",
            next_command="bash scripts/get_checkpoint.sh FILE puts a downloaded one in its place "
            "(checkpoints/README.md says where the released one is published); --preset encoder --pretrain_model_path "
            "checkpoints/small_encoder/encoder.pt needs no download; or leave out --adaptation to train from scratch",
        )


def load(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a dict of tensors and plain values; code inside the file is never run.

    What the file is, the names it would import and the sizes it declares are looked at before torch opens it. Of a
    file of ours every bit is verified first.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, is truncated or damaged, declares sizes it cannot
            hold, holds more than plain data, is not the one that was saved, or was written by a later version.
    """
    require(path)
    try:
        claim = _verify(path)
        if require_checkpoint(path) == "safetensors":
            check_safetensors(path)
            return dict(safetensors_file.read(path, device))
        check_archive(path, is_verified=claim is not None)
        content = _read(path, device)
    except OSError as error:
        raise denied(path, error) from None
    if not isinstance(content, dict):
        raise CheckpointError(
            "CKPT_NOT_A_CHECKPOINT",
            "The checkpoint is not a dict of named tensors.",
            where=str(path),
            evidence=f"it holds a {type(content).__name__}",
            next_command="save model.state_dict()",
        )
    _require_version(path, content)
    _require_own_hash(path, content, is_verified=claim is not None)
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


def _verify(path: Path) -> Claim | None:
    """Hold a file of ours against its JSON; None for a file from elsewhere."""
    named = None if path.is_dir() else claims(path)
    if named is None:
        return None
    found = Claim.of(path, None)
    for claim in named:
        if (claim.sha256, claim.bytes) == (found.sha256, found.bytes):
            return claim
    if claims(path) != named:
        # A training has replaced both meanwhile.
        return _verify(path)
    # A flipped bit leaves the size as it was. A cut file, a web page or a pointer says more by its own bytes.
    if found.bytes not in {claim.bytes for claim in named} and require_checkpoint(path) == "safetensors":
        check_safetensors(path)
    raise mismatch(path, found, named)


def denied(path: Path, error: OSError) -> CheckpointError:
    """Return the error of a file that the system does not let be read."""
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


def _require_own_hash(path: Path, content: dict[str, Any], *, is_verified: bool) -> None:
    """Take the hash of itself out of a training state; hold it against the rest where nothing else was verified."""
    told = content.pop(CONTENT_KEY, None)
    if told is None or is_verified:
        return
    try:
        found = content_hash(content)
    except TypeError as error:
        found = str(error)
    if found != told:
        raise CheckpointError(
            "CKPT_HASH_MISMATCH",
            "The content of the checkpoint is not what was written: values have changed since.",
            where=str(path),
            evidence=f"{CONTENT_KEY}: {told} was written, {found} is there",
            next_command=f"copy it again, with {sidecar(path).name} beside it; "
            f"python -m utils.cleanup_checkpoints --checkpoints {path.parent} offers to put it aside",
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
    refuse_what_does_not_fit(own, state, source, fresh_prefixes, without_head=A_CLASSIFIER)
    model.load_state_dict(state, strict=False)
    return f"{len(state)} of {len(state)} tensors loaded from {source}, {len(own) - len(state)} fresh"
