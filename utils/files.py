"""Files that are whole or absent, and what a failed write means."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from utils.errors import StorageError

TEMPORARY_SUFFIX = ".writing"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write under a temporary name, flush to the disk, then rename: no half file ever has the final name.

    Args:
        path: the final name; a file that is there already stays until the new one is whole.
        write: writes the content to the path it is given.

    Raises:
        StorageError: no space, no permission, or the folder is gone; nothing new is left behind.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        write(temporary)
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)
    except (OSError, RuntimeError) as error:
        raise storage_error(error, path) from error
    finally:
        # Also after an interrupt; after the rename there is nothing left to remove.
        with suppress(OSError):
            temporary.unlink()


def below(place: Path) -> list[Path]:
    """Return the file, or all files below a folder and the folders linked into it, each once, sorted."""
    if place.is_file():
        return [place]
    found, seen = [], set()
    for folder, names, files in os.walk(place, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link leads back to where we have been
            names.clear()
            continue
        seen.add(real)
        found += [Path(folder, name) for name in files]
    return sorted(path for path in found if path.is_file())


def require_space(folder: Path, needed_bytes: int, advice: str = "choose another place") -> None:
    """Require free space before anything is written.

    Args:
        folder: where it is to be written.
        needed_bytes: how much, seen from above.
        advice: what else to do than to free some.

    Raises:
        StorageError: ``STORAGE_FULL``, with both figures.
        OSError: there is no such folder.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageError(
            "STORAGE_FULL",
            "There is not enough space; nothing was written.",
            where=str(folder),
            evidence=f"needed: {size_text(needed_bytes)}; free: {size_text(free)}",
            next_command=f"free some space, or {advice}",
        )


def size_text(count: int) -> str:
    """Return a number of bytes as people read it and as machines do."""
    return f"{count} bytes ({count / 1e6:.3g} MB)"


def storage_error(
    error: OSError | RuntimeError, path: Path, advice: str = "choose another place", *, needed: int | None = None
) -> StorageError:
    """Return what a failed write means, in the project's words.

    The NetCDF library reports a full disk as a bare RuntimeError ("NetCDF: HDF error"), without a number.

    Args:
        error: what the write raised.
        path: what was to be written.
        advice: what to do about it.
        needed: bytes that the whole file takes, where they are known.
    """
    full = not isinstance(error, OSError) or error.errno in FULL
    reason = "the disk or the quota is full" if full else getattr(error, "strerror", None) or str(error)
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        reason = "its folder is gone (was a disk unmounted?)"
    figures = "" if needed is None else f"; needed: {size_text(needed)}"
    with suppress(OSError):
        figures += f"; free: {size_text(shutil.disk_usage(path.parent).free)}"
    return StorageError(
        "STORAGE_FULL" if full else "STORAGE_DENIED",
        f"{path.name} cannot be written: {reason}",
        where=str(path),
        evidence=f"{error}{figures}",
        next_command=f"free some space, or {advice}" if full else advice,
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Make what was written, or a rename in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
