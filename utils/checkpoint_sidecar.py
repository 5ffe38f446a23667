"""The JSON beside a weights file of ours: which bytes belong there, and what was said of them.

It is renamed into place before its file. A kill between the two leaves the old file beside the new JSON, so the JSON
also names the file that it replaces; whatever lies there then is still told apart from bytes that have changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from utils.errors import CheckpointError
from utils.files import sha256

SUFFIX = ".json"
SCHEMA_VERSION = 1
# The hash of the JSON's own content: a bit may flip in it too.
SELF_KEY = "self_sha256"


@dataclass(frozen=True)
class Claim:
    """What a JSON says of one file.

    Attributes:
        sha256: of the whole file, hex digits.
        bytes: size of the file.
        metadata: what its writer said of it; None for a file that was there before and is not of ours.
    """

    sha256: str
    bytes: int
    metadata: dict[str, Any] | None

    @classmethod
    def of(cls, path: Path, metadata: dict[str, Any] | None) -> Claim:
        """Measure a file."""
        return cls(sha256(path), path.stat().st_size, metadata)

    def __str__(self) -> str:
        return f"{self.bytes} bytes, SHA-256 {self.sha256}"


def sidecar(path: Path) -> Path:
    """Return where the JSON of a weights file lies."""
    return path.with_name(path.name + SUFFIX)


def text(claim: Claim, replaces: Claim | None) -> str:
    """Return the content of a JSON.

    Args:
        claim: the file that it belongs to.
        replaces: the file that lies there before, which stays good until the new one has its name.
    """
    record = {"schema_version": SCHEMA_VERSION, **asdict(claim), "replaces": replaces and asdict(replaces)}
    return json.dumps(record | {SELF_KEY: _own_hash(record)}, indent=2) + "\n"


def claims(path: Path) -> tuple[Claim, ...] | None:
    """Read which files the JSON beside a weights file names, the newest first; None where there is none of ours.

    Raises:
        CheckpointError: ``CKPT_HASH_MISMATCH``, the JSON is damaged; ``CKPT_VERSION``, a later version wrote it.
    """
    try:
        raw = sidecar(path).read_bytes()
    except FileNotFoundError:
        return None
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it cannot be read: {error}") from None
    # Either key marks it as ours, so that a flipped bit in one of the two does not make it foreign.
    if not isinstance(record, dict) or not record.keys() & {"sha256", SELF_KEY}:
        return None
    if record.pop(SELF_KEY, None) != _own_hash(record):
        raise _damaged(path, f"its content does not fit its own {SELF_KEY}")
    if record["schema_version"] > SCHEMA_VERSION:
        raise CheckpointError(
            "CKPT_VERSION",
            "The JSON beside the checkpoint was written by a later version of this project.",
            where=str(sidecar(path)),
            evidence=f"schema_version {record['schema_version']}; this program reads up to {SCHEMA_VERSION}",
            next_command="git pull, or open it with the version that wrote it",
        )
    named = [record, record["replaces"]] if record["replaces"] else [record]
    return tuple(Claim(one["sha256"], one["bytes"], one["metadata"]) for one in named)


def mismatch(path: Path, found: Claim, named: tuple[Claim, ...]) -> CheckpointError:
    """Return the error of a file that is none of those its JSON names."""
    return CheckpointError(
        "CKPT_HASH_MISMATCH",
        "The content of the checkpoint is not what was written: bits have changed since.",
        where=str(path),
        evidence=f"the file has {found}; {sidecar(path).name} names " + ", or ".join(map(str, named)),
        next_command=f"python -m utils.cleanup_checkpoints --checkpoints {path.parent} offers to put it aside; "
        "python run.py --resume RUN takes the newest file of a run that verifies",
    )


def _damaged(path: Path, evidence: str) -> CheckpointError:
    return CheckpointError(
        "CKPT_HASH_MISMATCH",
        "The JSON beside the checkpoint is damaged, so nothing says which bytes belong into the file.",
        where=str(sidecar(path)),
        evidence=evidence,
        next_command=f"take another file, or rm {sidecar(path)} to read the checkpoint as a foreign one, unverified",
    )


def _own_hash(record: Mapping[str, Any]) -> str:
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass")).hexdigest()
