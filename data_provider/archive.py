"""Safe unpacking of the ZIP archives in which the Climate Data Store delivers NetCDF members.

Nothing of an archive decides where a byte is written: members go under numbered names into a folder of ours, and an
archive with a suspicious member is refused before anything is written.
"""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from data_provider.sniff import DOWNLOAD_AGAIN
from utils.errors import DataError, ForeseenError, StorageError

MOST_MEMBERS = 200
MOST_BYTES = 32 * 2**30
# NetCDF members are compressed inside already: a real one shrinks by a few per cent, deflate's limit is about 1030:1.
MOST_RATIO = 200
RATIO_MATTERS_FROM_BYTES = 2**20
COPY_BYTES = 2**20
NETCDF_SUFFIXES = (".nc", ".nc4", ".netcdf", ".cdf")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One unpacked member: the `name` it had in the archive and the `path` it has now."""

    name: str
    path: Path


def unpack(archive_path: Path, folder: Path, suffixes: tuple[str, ...] = NETCDF_SUFFIXES) -> list[Member]:
    """Unpack the members of `archive_path` of one kind into `folder`, all of them or none.

    Args:
        archive_path: a ZIP, whatever its name.
        folder: an existing folder of the caller, usually temporary.
        suffixes: of the members wanted; by default NetCDF.

    Returns:
        members in the order of the archive.

    Raises:
        DataError: ``ARCHIVE_UNSAFE`` names the member (path outside, absolute, link, bomb, too many);
            ``DATA_FILE`` for a damaged or encrypted archive or one without such members.
        StorageError: ``STORAGE_FULL`` when the members do not fit on the disk.
    """
    with _opened(archive_path, folder) as archive:
        wanted = _wanted(archive_path, archive, suffixes)
        _check_space(archive_path, wanted, folder)
        return [_extract(archive, info, folder / f"{i}{suffixes[0]}") for i, info in enumerate(wanted)]


def require_safe(archive_path: Path) -> None:
    """Check the list of members without unpacking any.

    Raises:
        DataError: ``ARCHIVE_UNSAFE`` or ``DATA_FILE``, as `unpack` would.
    """
    with _opened(archive_path, archive_path.parent) as archive:
        _wanted(archive_path, archive, NETCDF_SUFFIXES)


@contextmanager
def _opened(archive_path: Path, folder: Path) -> Iterator[zipfile.ZipFile]:
    """An open archive; what goes wrong with it, or with writing to `folder`, becomes a message."""
    try:
        with zipfile.ZipFile(archive_path) as archive:
            yield archive
    except ForeseenError:
        raise
    except OSError as error:
        raise _no_room(archive_path, folder, str(error)) from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError) as error:
        raise _damaged(archive_path, "is a ZIP archive, but truncated or damaged", str(error)) from error


def _wanted(archive_path: Path, archive: zipfile.ZipFile, suffixes: tuple[str, ...]) -> list[zipfile.ZipInfo]:
    """The members of an archive of one kind; none of any kind may be suspicious."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    check_members(archive_path, infos)
    wanted = [info for info in infos if info.filename.lower().endswith(suffixes)]
    if not wanted:
        names = ", ".join(info.filename for info in infos[:8]) or "none"
        kind = "NetCDF" if suffixes == NETCDF_SUFFIXES else suffixes[0]
        raise _damaged(archive_path, f"holds no {kind} member", f"members: {names}")
    return wanted


def check_members(archive_path: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive with a member that could write elsewhere or fill the disk.

    Raises:
        DataError: ``ARCHIVE_UNSAFE`` naming the member and why.
    """
    if len(infos) > MOST_MEMBERS:
        raise _unsafe(archive_path, f"{len(infos)} members", f"more than {MOST_MEMBERS} members")
    total = 0
    for info in infos:
        total += info.file_size
        reason = _unsafe_reason(info)
        if reason:
            raise _unsafe(archive_path, info.filename, reason)
        if total > MOST_BYTES:
            raise _unsafe(archive_path, info.filename, f"the members unpack to more than {MOST_BYTES >> 30} GiB")


def _unsafe_reason(info: zipfile.ZipInfo) -> str:
    raw = info.orig_filename.replace("\\", "/")
    posix, windows = PurePosixPath(raw), PureWindowsPath(raw)
    if posix.is_absolute() or windows.drive or windows.root:
        return "an absolute path"
    if ".." in posix.parts:
        return "a path that leaves the folder (..)"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "a link"
    if kind not in (0, stat.S_IFREG):
        return "not a regular file"
    ratio = info.file_size / max(info.compress_size, 1)
    if info.file_size > RATIO_MATTERS_FROM_BYTES and ratio > MOST_RATIO:
        return f"a bomb: {info.compress_size} bytes unpack to {info.file_size} ({ratio:.0f}:1)"
    return ""


def _check_space(archive_path: Path, infos: list[zipfile.ZipInfo], folder: Path) -> None:
    needed = sum(info.file_size for info in infos)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise _no_room(archive_path, folder, f"needed {needed} bytes, free {free} bytes")


def _no_room(archive_path: Path, folder: Path, evidence: str) -> StorageError:
    return StorageError(
        "STORAGE_FULL",
        f"the members of {archive_path.name} do not fit into the temporary folder",
        where=str(folder),
        evidence=evidence,
        next_command="free some space, or set TMPDIR to a folder on a larger disk",
    )


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> Member:
    if info.flag_bits & 0x1:
        raise _damaged(Path(str(archive.filename)), "is an encrypted ZIP archive", f"member: {info.filename}")
    with archive.open(info) as source, target.open("xb") as sink:
        # zipfile never yields more than the declared size, which has been checked, and verifies the CRC at the end.
        shutil.copyfileobj(source, sink, COPY_BYTES)
    return Member(name=info.filename, path=target)


def _unsafe(archive_path: Path, member: str, reason: str) -> DataError:
    return DataError(
        "ARCHIVE_UNSAFE",
        f"{archive_path.name} holds a member that must not be unpacked: {reason}",
        where=f"{archive_path}, member {member!r}",
        evidence="archives of the Climate Data Store hold plain members such as "
        "data_stream-oper_stepType-instant.nc; nothing was written",
        next_command="delete the file and download it again from the Climate Data Store",
    )


def _damaged(archive_path: Path, what: str, evidence: str) -> DataError:
    return DataError(
        "DATA_FILE",
        f"{archive_path.name} {what}",
        where=str(archive_path),
        evidence=f"kind found: zip; {evidence}",
        next_command=DOWNLOAD_AGAIN,
    )
