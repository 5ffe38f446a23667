"""Sizes that a checkpoint declares, held against its bytes before anything is allocated; and its own check sums."""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from utils import safetensors_file
from utils.errors import CheckpointError
from utils.pickle_machine import PickleLimitError, UnsafePickleError
from utils.pickle_scan import Scan, scan

# Shared and expanded tensors may be larger than what is stored; a file of this many times its size is no weights.
EXPANSION = 8
ROOM_BYTES = 16 * 1024 * 1024
PICKLE_LIMIT = 32 * 1024 * 1024
MEMBER_LIMIT = 20_000
CHUNK_BYTES = 1024 * 1024
FOLDER_BIT = 0x10
# What Python's reader raises for damaged archives; a lock that was not asked for is a RuntimeError there.
ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, LookupError)
ASK_AUTHOR = "ask its author for a file of plain tensors (a state dict) written with torch.save"


def check_archive(path: Path, *, is_verified: bool = False) -> None:
    """Look through a ZIP of torch without opening a tensor of it.

    Args:
        path: the file.
        is_verified: all its bytes were held against a hash, so that its weaker check sums say nothing new.

    Raises:
        CheckpointError: ``CKPT_LIMIT`` (sizes the file cannot hold), ``CKPT_UNSAFE`` (a name that no plain tensor
            needs), ``CKPT_HASH_MISMATCH`` (bits have changed), ``CKPT_INCOMPLETE`` (values are missing),
            ``CKPT_TRUNCATED`` (the list of tensors cannot be followed).
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
            unpacked = sum(member.file_size for member in members.values())
            if len(members) > MEMBER_LIMIT or unpacked > EXPANSION * size + ROOM_BYTES:
                raise limit(path, f"{len(members)} members, {unpacked} bytes unpacked, of a file of {size} bytes")
            if members["data.pkl"].file_size > PICKLE_LIMIT:
                raise limit(path, f"the list of tensors alone has {members['data.pkl'].file_size} bytes")
            _require_files(path, members.values())
            if not is_verified:
                _require_sums(path, archive)
            # Where no sum was written, the right content would be taken for wrong.
            del members["data.pkl"].CRC
            content = scan(archive.read(members["data.pkl"]))
    except CheckpointError:
        raise
    except PickleLimitError as error:
        raise limit(path, f"its list of tensors holds {error}") from None
    except UnsafePickleError as error:
        raise unsafe(path, str(error)) from None
    except ZIP_FAULTS as error:
        raise broken(path, f"its list of tensors cannot be followed: {error}") from None
    except OSError as error:
        # A place that no file has: the table of contents is wrong, not the disk.
        if error.errno != errno.EINVAL:
            raise
        raise broken(path, "its table of contents points outside the file") from None
    _refuse_names(path, content)
    stored = {
        name.removeprefix("data/"): member.file_size for name, member in members.items() if name.startswith("data/")
    }
    _check_tensors(path, content, stored, size)


def check_safetensors(path: Path) -> None:
    """Hold the header of a safetensors file against its size.

    Raises:
        CheckpointError: ``CKPT_TRUNCATED`` or ``CKPT_LIMIT``.
    """
    try:
        safetensors_file.header(path)
    except safetensors_file.HeaderError as error:
        raise (broken(path, str(error)) if error.is_cut else limit(path, str(error))) from None


def _require_files(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse members that Python's reader and torch's take for different things.

    One that is marked as a folder has values for Python, while torch reads what lay in memory before; and Python
    unpacks more methods than torch does.
    """
    for member in members:
        if member.file_size and (member.is_dir() or member.external_attr & FOLDER_BIT):
            raise broken(path, f"{member.filename} has values and is marked as a folder")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise broken(path, f"{member.filename} is packed by method {member.compress_type}")


def _require_sums(path: Path, archive: zipfile.ZipFile) -> None:
    """Require of every member of a ZIP the check sum that the file gives for it.

    torch does not look at these sums. It can also be told not to compute them: then it writes zeros for all.
    """
    members = archive.infolist()
    if not any(member.CRC for member in members):
        return
    bad = [member.filename for member in members if not _sum_fits(archive, member)]
    if bad:
        raise CheckpointError(
            "CKPT_HASH_MISMATCH",
            "The content of the checkpoint is not what was written: bits have changed since.",
            where=str(path),
            evidence=f"{len(bad)} part{'s' * (len(bad) > 1)} with another check sum: {', '.join(bad[:3])}",
            next_command="copy or download it again; python -m utils.cleanup_checkpoints puts broken files aside",
        )


def _sum_fits(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(member) as content:
            while content.read(CHUNK_BYTES):
                pass
    except ZIP_FAULTS:
        return False
    return True


def limit(path: Path, evidence: str) -> CheckpointError:
    """Return the error of a file that declares more than it can hold."""
    return CheckpointError(
        "CKPT_LIMIT",
        "The checkpoint declares sizes that its bytes cannot hold; it was not opened.",
        where=str(path),
        evidence=evidence,
        next_command=ASK_AUTHOR,
    )


def unsafe(path: Path, evidence: str) -> CheckpointError:
    """Return the error of a file that is a program."""
    return CheckpointError(
        "CKPT_UNSAFE",
        "The checkpoint asks Python for more than plain tensors; nothing of it was run.",
        where=str(path),
        evidence=evidence,
        next_command=ASK_AUTHOR,
    )


def broken(path: Path, evidence: str) -> CheckpointError:
    """Return the error of a file whose content ends early or cannot be followed."""
    return CheckpointError(
        "CKPT_TRUNCATED",
        "The checkpoint is cut or damaged inside.",
        where=str(path),
        evidence=evidence[:300],
        next_command="copy or download it again, and compare the sizes (checkpoints/README.md)",
    )


def _refuse_names(path: Path, content: Scan) -> None:
    refused = list(dict.fromkeys(content.refused()))
    if refused:
        raise unsafe(path, f"it would import {', '.join(refused[:5])}" + (" ..." if len(refused) > 5 else ""))


def _check_tensors(path: Path, content: Scan, stored: dict[str, int], size: int) -> None:
    declared = 0
    for tensor in content.tensors:
        storage = tensor.storage
        needed = storage.count * storage.value_bytes
        declared += tensor.count * storage.value_bytes
        if storage.count and storage.key not in stored:
            raise CheckpointError(
                "CKPT_INCOMPLETE",
                "Values that the checkpoint names are not in it.",
                where=str(path),
                evidence=f"data/{storage.key}, {needed} bytes, is missing",
                next_command="copy or download it again, and compare the sizes (checkpoints/README.md)",
            )
        if storage.count and needed > stored[storage.key]:
            evidence = f"data/{storage.key} should have {needed} bytes and has {stored[storage.key]}"
            raise limit(path, f"{evidence}; the file has {size}")
        if tensor.reach > storage.count:
            raise limit(path, f"a tensor reaches to value {tensor.reach} of the {storage.count} in data/{storage.key}")
    if declared > EXPANSION * size + ROOM_BYTES:
        raise limit(path, f"{len(content.tensors)} tensors of {declared} bytes in a file of {size} bytes")
