"""How a weights file gets its name: written, flushed, read back, and only then put in the place of the old one.

A kill at any point leaves a file that verifies under the final name or, on its way there, under the name to keep.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from utils.checkpoint_sidecar import Claim, claims, sidecar, text
from utils.errors import CheckpointError, StorageError
from utils.files import TEMPORARY_SUFFIX, flush, require_space, storage_error

ADVICE = "choose another folder with --checkpoints"


class HashingFile:
    """A file to write to that keeps its SHA-256 and never raises while torch writes to it.

    torch's writer calls back from C++ and turns what is raised there, Ctrl-C included, into a RuntimeError about
    positions. So the first fault is kept, the rest of the content goes nowhere, and `finish` raises it.
    """

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._digest = hashlib.sha256()
        self._fault: BaseException | None = None
        self.size = 0

    def write(self, data: Any) -> int:
        """Write bytes and return how many there are."""
        view = memoryview(data).cast("B")
        if self._fault is None:
            try:
                self._write(view)
            except BaseException as fault:
                self._fault = fault
        return len(view)

    def flush(self) -> None:
        """Do nothing: nothing is buffered; torch asks for it."""

    def finish(self) -> tuple[str, int]:
        """Flush to the disk; return hash and size of what was written.

        Raises:
            OSError: a write failed.
        """
        if self._fault is not None:
            raise self._fault
        os.fsync(self._raw.fileno())
        return self._digest.hexdigest(), self.size

    def _write(self, view: memoryview) -> None:
        self._digest.update(view)
        self.size += len(view)
        while view:
            view = view[self._raw.write(view) :]


def publish(
    path: Path,
    write: Callable[[HashingFile], Any],
    *,
    room: int,
    metadata: dict[str, Any],
    keep: Path | None = None,
) -> None:
    """Write a weights file and the JSON beside it, whole or not at all.

    Args:
        path: the final name; a file that is there stays until the new one has been read back from the disk.
        write: writes the content.
        room: bytes that are needed, seen from above.
        metadata: JSON values for the JSON.
        keep: where a file of ours that lies at `path` and verifies goes, with its JSON; in the same file system. One
            that does not verify never takes the place of the file kept before.

    Raises:
        StorageError: ``STORAGE_FULL``, ``STORAGE_DENIED``, or ``STORAGE_CORRUPT`` where the disk gives back other bytes
            than it was given. The old file is as it was and nothing new is left.
    """
    finals = [path, sidecar(path), *([keep, sidecar(keep)] if keep else [])]
    new = _temporary(path)
    try:
        _require_no_folder(finals)
        require_space(path.parent, room, ADVICE)
        written = _write_and_read_back(new, path, write, metadata)
        _put_in_place(new, path, written, keep)
    except OSError as error:
        raise storage_error(error, path, ADVICE, needed=room) from error
    finally:
        # Also after an interrupt; after the renames there is nothing left to remove.
        for final in finals:
            with suppress(OSError):
                _temporary(final).unlink()


def adopt(new: Path, path: Path, claim: Claim) -> None:
    """Give a whole file that lies beside its place the final name, with the JSON beside it.

    Args:
        new: the file, in the folder of `path`; nothing of it is copied.
        path: the final name; a file that is there stays until the JSON names both.
        claim: what `new` was found to be, and what is said of it.

    Raises:
        StorageError: ``STORAGE_FULL`` or ``STORAGE_DENIED``; the old file is as it was and `new` still has its name.
    """
    try:
        _require_no_folder([path, sidecar(path)])
        flush(new)
        _put_in_place(new, path, claim, None)
    except OSError as error:
        raise storage_error(error, path, ADVICE) from error
    finally:
        with suppress(OSError):
            _temporary(sidecar(path)).unlink()


def _require_no_folder(finals: list[Path]) -> None:
    """Require that no folder has a name to be given: found between two renames it would part a file from its JSON."""
    for final in finals:
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + TEMPORARY_SUFFIX)


def _write_and_read_back(new: Path, path: Path, write: Callable[[HashingFile], Any], metadata: dict[str, Any]) -> Claim:
    with new.open("wb", buffering=0) as raw:
        file = HashingFile(raw)
        write(file)
        written = Claim(*file.finish(), metadata)
        _forget(raw.fileno())
    found = Claim.of(new, metadata)
    if found != written:
        raise StorageError(
            "STORAGE_CORRUPT",
            f"{path.name} was not saved: the disk gives back other bytes than were written.",
            where=str(path),
            evidence=f"written: {written}; read back: {found}",
            next_command="choose another disk, and look at this one (dmesg, smartctl)",
        )
    return written


def _forget(descriptor: int) -> None:
    """Let the system forget the pages of a flushed file, so that reading back asks the disk (Linux only)."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _put_in_place(new: Path, path: Path, written: Claim, keep: Path | None) -> None:
    """Rename new file and JSON into place, the old pair to `keep` before.

    All that takes space is written before the first rename. Each step leaves one file that its JSON names: the old
    one stays where it is until the place to keep it is free and has the JSON for it.
    """
    old = _what_lies_at(path)
    is_kept = keep is not None and old is not None and old.metadata is not None
    _write_flushed(_temporary(sidecar(path)), text(written, None if is_kept else old))
    if is_kept and keep is not None and old is not None:
        _write_flushed(_temporary(sidecar(keep)), text(old, None))
        keep.unlink(missing_ok=True)
        _temporary(sidecar(keep)).replace(sidecar(keep))
        flush(keep.parent)
        path.replace(keep)
        flush(keep.parent)
    _temporary(sidecar(path)).replace(sidecar(path))
    flush(path.parent)
    new.replace(path)
    flush(path.parent)


def _what_lies_at(path: Path) -> Claim | None:
    """Return what a present file is; None where there is none, or none that its JSON names."""
    if not path.is_file():
        return None
    try:
        named = claims(path)
    except CheckpointError:
        return None
    found = Claim.of(path, None)
    if named is None:
        return found
    return next((claim for claim in named if claim.sha256 == found.sha256), None)


def _write_flushed(path: Path, content: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
