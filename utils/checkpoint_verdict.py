"""One word on a checkpoint file: valid, suspect, invalid or unreadable, and why."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from utils import checkpoint
from utils.checkpoint_contents import judge, unwrap
from utils.errors import CheckpointError
from utils.findings import Finding
from utils.message import printable

logger = logging.getLogger(__name__)
Status = Literal["VALID", "SUSPECT", "INVALID", "UNREADABLE"]
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")
QUARANTINE = "quarantine"
# A replay bundle keeps the windows of a bad step, NaN and all: evidence, no weights to trust.
BUNDLE = "bundle.pt"
# The content is there and must not be used; everything else that is refused cannot be read, or not by this program.
INVALID_CODES = ("CKPT_NONFINITE", "CKPT_HASH_MISMATCH", "CKPT_LIMIT", "CKPT_UNSAFE")


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of one file.

    Attributes:
        path: the file.
        status: the word.
        finding: the reason; None for a valid file.
        content: what was read; None where nothing could be.
    """

    path: Path
    status: Status
    finding: Finding | None = None
    content: dict[str, Any] | None = None

    def line(self, folder: Path) -> str:
        """Return the verdict in one line, with the path as seen from a folder."""
        reason = ""
        if self.finding is not None:
            # Of a file that could be read the figures tell more than the sentence.
            told = self.finding.what if self.content is None else self.finding.evidence
            reason = f": {self.finding.code} {printable(told)}"
        return f"{self.status:<10} - {name_in(self.path, folder)}{reason}"

    def to_json(self, folder: Path) -> dict[str, Any]:
        """Return plain values."""
        finding = None if self.finding is None else self.finding.to_json()
        return {"file": name_in(self.path, folder), "status": self.status, "finding": finding}


def examine(path: Path) -> Verdict:
    """Read one file and judge all that is in it: weights, buffers, moments, losses."""
    try:
        content = checkpoint.load(path)
        unwrap(content, path)
    except CheckpointError as error:
        status: Status = "INVALID" if error.code in INVALID_CODES else "UNREADABLE"
        return Verdict(path, status, Finding.from_error(error))
    findings = judge(content, path)
    if not findings:
        return Verdict(path, "VALID", content=content)
    return Verdict(path, "INVALID" if findings[0].severity == "error" else "SUSPECT", findings[0], content)


def examine_all(paths: Sequence[Path]) -> list[Verdict]:
    """Judge many files, one in memory at a time, with a bar where somebody watches."""
    return [_without_content(examine(path)) for path in tqdm(paths, disable=None, leave=False, unit="file")]


def _without_content(verdict: Verdict) -> Verdict:
    """Let go of the tensors; the empty dict still says that the file could be read."""
    return replace(verdict, content=None if verdict.content is None else {})


def find(folder: Path) -> list[Path]:
    """Return what has the name of a checkpoint below a folder; linked folders and `quarantine/` are not entered."""
    found = []
    for place, folders, files in os.walk(folder, onerror=_say):
        folders[:] = sorted(name for name in folders if name != QUARANTINE)
        here = Path(place)
        named = [here / name for name in (*folders, *files) if _is_named_like_one(name)]
        # A pipe or a device would be waited for, not read.
        found += [path for path in named if path.is_file() or path.is_dir() or path.is_symlink()]
    return sorted(found)


def name_in(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder, or as it is where it lies elsewhere."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _is_named_like_one(name: str) -> bool:
    return name != BUNDLE and name.lower().endswith(SUFFIXES)


def _say(error: OSError) -> None:
    logger.warning("not looked into: %s (%s)", error.filename, error.strerror)
