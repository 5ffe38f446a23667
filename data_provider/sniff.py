"""What a file really is, told from its bytes before any C library opens it.

A file named ``.nc`` may be NetCDF-4 (HDF5 inside), NetCDF-3, a ZIP, GRIB, a table in text, an HTML error page, a
Git-LFS pointer, a picture, empty or cut off in the middle. The reader asks here first, so that each gets its own
sentence instead of "NetCDF: Unknown file format".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_provider.netcdf3_header import expected_size as expected_netcdf3_size
from utils.errors import DataError

HEAD_BYTES = 8192
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
DOWNLOAD_AGAIN = "download the file again from the Climate Data Store (docs/data.md says what to ask for)"


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """A recognised content: `name` is a stable word, `sentence` says it to a person, `advice` what to do."""

    name: str
    sentence: str
    advice: str = DOWNLOAD_AGAIN


HDF5 = FileKind(name="hdf5", sentence="NetCDF-4 (HDF5)")
NETCDF3 = FileKind(name="netcdf3", sentence="NetCDF-3")
ZIP = FileKind(name="zip", sentence="a ZIP archive")
READABLE = (HDF5, NETCDF3, ZIP)

GRIB_ADVICE = "request data_format netcdf from the CDS, or convert: cfgrib to_netcdf FILE.grib -o FILE.nc"
UNPACK_ADVICE = "unpack it first; the reader takes .nc files and the ZIPs of the CDS"
NOT_ERA5_ADVICE = "remove it from the folder, or point --input_dir at the folder with the ERA5 files"
HTML_ADVICE = (
    "open the file in a browser to read the message (often: not logged in, or a licence to accept), then "
    + DOWNLOAD_AGAIN
)
EMPTY = FileKind(name="empty", sentence="an empty file of 0 bytes: a download that never began")

_SIGNATURES: tuple[tuple[bytes, FileKind], ...] = (
    (HDF5_SIGNATURE, HDF5),
    (b"CDF\x01", NETCDF3),
    (b"CDF\x02", NETCDF3),
    (b"CDF\x05", NETCDF3),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"GRIB", FileKind(name="grib", sentence="GRIB, not NetCDF", advice=GRIB_ADVICE)),
    (b"\x89PNG", FileKind(name="png", sentence="a PNG picture", advice=NOT_ERA5_ADVICE)),
    (b"\xff\xd8\xff", FileKind(name="jpeg", sentence="a JPEG picture", advice=NOT_ERA5_ADVICE)),
    (b"%PDF", FileKind(name="pdf", sentence="a PDF document", advice=NOT_ERA5_ADVICE)),
    (b"\x1f\x8b", FileKind(name="gzip", sentence="a gzip archive", advice=UNPACK_ADVICE)),
    (b"BZh", FileKind(name="bzip2", sentence="a bzip2 archive", advice=UNPACK_ADVICE)),
    (b"\xfd7zXZ", FileKind(name="xz", sentence="an xz archive", advice=UNPACK_ADVICE)),
    (b"7z\xbc\xaf", FileKind(name="7z", sentence="a 7-Zip archive", advice=UNPACK_ADVICE)),
    (b"\x0e\x03\x13\x01", FileKind(name="hdf4", sentence="HDF4, which is not how ERA5 is delivered")),
    (
        b"version https://git-lfs",
        FileKind(
            name="git-lfs pointer",
            sentence="a Git-LFS pointer: a few lines of text that stand for a file that was not fetched",
            advice="fetch the real file with: git lfs pull",
        ),
    ),
)


def sniff(path: Path) -> FileKind:
    """Recognise the content of `path` from its first bytes.

    Args:
        path: an existing regular file.

    Returns:
        the kind found; one of `READABLE` when the reader can go on.

    Raises:
        DataError: ``DATA_FILE`` when the path cannot be read at all (missing, a folder, no permission).
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise DataError(
            "DATA_FILE",
            f"{path.name} cannot be opened",
            where=str(path),
            evidence=str(error),
            next_command="check the path and its permissions",
        ) from error
    if not head:
        return EMPTY
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if _hdf5_offset(path) is not None:
        return HDF5
    return _sniff_text(head) if _looks_like_text(head) else _sniff_binary(head)


def require_readable(path: Path, *, name: str = "", where: str = "") -> FileKind:
    """Return the kind of `path`, or refuse it with its true nature; a file cut off is recognised here.

    Args:
        path: an existing regular file.
        name: what to call it in messages (a member of an archive has a name of its own); the file's name by default.
        where: where it is, for messages; the path by default.

    Raises:
        DataError: ``DATA_FILE`` naming the file, the kind found, the kind expected and the way out.
    """
    name, where = name or path.name, where or str(path)
    kind = sniff(path)
    actual = path.stat().st_size
    if kind not in READABLE:
        raise DataError(
            "DATA_FILE",
            f"{name} is {kind.sentence}",
            where=where,
            evidence=f"kind found: {kind.name} ({actual} bytes, first bytes {_first_bytes(path)}); "
            "kind expected: NetCDF-4, NetCDF-3 or a ZIP of them, as the Climate Data Store delivers",
            next_command=kind.advice,
        )
    try:
        expected = expected_size(path, kind)
    except (EOFError, ValueError) as error:
        raise _truncated(name, where, kind, f"the header is cut off or broken ({error}); {actual} bytes") from error
    if expected is not None and actual < expected:
        share = f"the header promises {expected} bytes, the file has {actual} ({actual / expected:.1%})"
        raise _truncated(name, where, kind, share)
    return kind


def expected_size(path: Path, kind: FileKind) -> int | None:
    """Bytes the header of an HDF5 or NetCDF-3 file promises; None when the header does not say.

    Raises:
        EOFError: the header itself is cut off.
        ValueError: the header contradicts its format.
    """
    if kind is HDF5:
        return _expected_hdf5_size(path)
    return expected_netcdf3_size(path) if kind is NETCDF3 else None


def _truncated(name: str, where: str, kind: FileKind, evidence: str) -> DataError:
    return DataError(
        "DATA_FILE",
        f"{name} is {kind.sentence}, but truncated: the download was cut off",
        where=where,
        evidence=f"kind found: truncated {kind.name}; {evidence}",
        next_command=DOWNLOAD_AGAIN,
    )


def _hdf5_offset(path: Path) -> int | None:
    """Where the HDF5 signature stands: 0, or 512, 1024, 2048 ... behind a user block."""
    size = path.stat().st_size
    offset = 0
    with path.open("rb") as stream:
        while offset < size and offset <= 1 << 20:
            stream.seek(offset)
            if stream.read(8) == HDF5_SIGNATURE:
                return offset
            offset = 512 if offset == 0 else offset * 2
    return None


def _expected_hdf5_size(path: Path) -> int | None:
    """End-of-file address of the superblock (HDF5 file format specification, section II.A)."""
    offset = _hdf5_offset(path)
    if offset is None:
        return None
    with path.open("rb") as stream:
        stream.seek(offset)
        block = stream.read(96)
    if len(block) < 48:
        raise EOFError("the superblock is cut off")
    version = block[8]
    if version in (0, 1):
        width, addresses = block[13], 24 if version == 0 else 28
    elif version in (2, 3):
        width, addresses = block[9], 12
    else:
        raise ValueError(f"unknown superblock version {version}")
    if width not in (4, 8):
        raise ValueError(f"impossible size of offsets {width}")
    base = int.from_bytes(block[addresses : addresses + width], "little")
    end = int.from_bytes(block[addresses + 2 * width : addresses + 3 * width], "little")
    return base + end


def _looks_like_text(head: bytes) -> bool:
    printable = sum(byte in (9, 10, 12, 13) or 32 <= byte < 127 or byte >= 160 for byte in head)
    return b"\x00" not in head and printable / len(head) > 0.95


def _sniff_text(head: bytes) -> FileKind:
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n").lower()
    if text.startswith(("<!doctype html", "<html")) or "<html" in text[:2000]:
        return FileKind(
            name="html", sentence="an HTML page, probably an error or a log-in page saved as data", advice=HTML_ADVICE
        )
    if text.startswith("<"):
        return FileKind(name="xml", sentence="an XML text, probably an error message saved as data", advice=HTML_ADVICE)
    if text.startswith(("{", "[")):
        return FileKind(
            name="json", sentence="a JSON text, probably an error message saved as data", advice=HTML_ADVICE
        )
    lines = [line for line in text.splitlines()[:5] if line.strip()]
    for separator in (",", ";", "\t"):
        counts = {line.count(separator) for line in lines[:-1] or lines}
        if len(counts) == 1 and counts != {0}:
            return FileKind(
                name="csv",
                sentence="a table in text (CSV), not NetCDF",
                advice="a table of your own goes to run.py --data_path FILE.csv; for ERA5 files " + DOWNLOAD_AGAIN,
            )
    return FileKind(name="text", sentence="plain text, not NetCDF")


def _sniff_binary(head: bytes) -> FileKind:
    if not any(head):
        return FileKind(name="zeros", sentence="filled with zero bytes: a download that reserved space and stopped")
    if head[257:262] == b"ustar":
        return FileKind(name="tar", sentence="a tar archive", advice=UNPACK_ADVICE)
    if b"GRIB" in head[:512]:
        return FileKind(name="grib", sentence="GRIB, not NetCDF", advice=GRIB_ADVICE)
    return FileKind(name="unknown", sentence="of no kind known here")


def _first_bytes(path: Path) -> str:
    with path.open("rb") as stream:
        return repr(stream.read(16))[1:]
