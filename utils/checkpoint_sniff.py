"""What a file is before torch sees it, told from its first and last bytes."""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils import archive_end, safetensors_file
from utils.errors import CheckpointError
from utils.pickle_scan import ALLOWED, names_in

Format = Literal["torch", "safetensors"]
LOCAL_HEADER = b"PK\x03\x04"
BEGINNING_BYTES = 64 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TAR_MAGIC_AT = 257
# Legacy files keep their pickles at the front; raw values follow.
LEGACY_BYTES = 4 * 1024 * 1024
PUBLISHED = "download the file again from where checkpoints/README.md says, and compare its size"

CONVERT = "python -c \"import torch; torch.save(torch.load('{source}', weights_only=True), '{target}')\""
ALLOWED_DOTTED = {name.replace(" ", ".") for name in ALLOWED}


@dataclass(frozen=True)
class _Foreign:
    """Something people give as a checkpoint: what it is, and how to get the real one."""

    what: str
    way_out: str


LFS = _Foreign(
    "a pointer of Git LFS, not the file it points to",
    "in the repository it came from: git lfs install, then git lfs pull",
)
PAGE = _Foreign("a web page: the link led to a page about the file, or to an error", PUBLISHED)
JSON = _Foreign(
    "JSON text: a config or an index, not the weights", "give the .pth, .pt or .safetensors file that lies beside it"
)
TABLE_WAY = "this looks like a table: it goes to --data_path; give weights (.pth, .pt or .safetensors) in its place"
TEXT = _Foreign("text (a table or a log)", TABLE_WAY)
PICTURES = {b"\x89PNG": "a PNG picture", b"\xff\xd8\xff": "a JPEG picture", b"GIF8": "a GIF picture"}
TABLES = {b"\x89HDF": "HDF5 or NetCDF4: data, or weights of Keras", b"CDF": "NetCDF: data"}
OTHERS = {
    b"GGUF": "GGUF, the format of llama.cpp",
    b"\x93NUMPY": "an array of NumPy",
    b"%PDF": "a PDF document",
}
PACKED = {b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"\xfd7zXZ": "xz", b"Rar!": "rar", b"BZh": "bzip2"}


def require_checkpoint(path: Path) -> Format:
    """Tell whether a file is worth opening, by its own bytes and never by its name.

    Returns:
        How it is to be read.

    Raises:
        CheckpointError: ``CKPT_NOT_A_CHECKPOINT`` (with what it is and how to get the real one), ``CKPT_TRUNCATED``
            or ``CKPT_UNSAFE`` (an older format that can run code; the names it would import are told).
    """
    if path.is_dir():
        raise _not_one(path, "a directory", _file_in(path), "it is a directory")
    with path.open("rb") as file:
        start = file.read(BEGINNING_BYTES)
    if start.startswith(LOCAL_HEADER):
        _require_whole_archive(path)
        return "torch"
    if safetensors_file.looks_like_one(path):
        return "safetensors"
    if start and LOCAL_HEADER.startswith(start):
        raise _cut(path)
    _refuse_older_formats(path, start)
    foreign = _recognise(start)
    evidence = f"{path.stat().st_size} bytes, begins with {start[:16]!r}"
    raise _not_one(path, foreign.what, foreign.way_out, evidence)


def _recognise(start: bytes) -> _Foreign:
    """Name what begins like this."""
    if not start:
        return _Foreign("an empty file: a download or a copy that never began", PUBLISHED)
    for magic, name in {**PICTURES, **OTHERS}.items():
        if start.startswith(magic):
            return _Foreign(name, PUBLISHED)
    for magic, name in TABLES.items():
        if start.startswith(magic):
            return _Foreign(name, TABLE_WAY)
    for magic, name in PACKED.items():
        if start.startswith(magic):
            return _Foreign(f"packed with {name}", "unpack it and give the file inside")
    if start.startswith(b"PK"):
        return _Foreign("an empty or split ZIP archive", PUBLISHED)
    if not any(start.strip(b"\0")):
        return _Foreign("zeros only: a copy that failed, or a disk that lost the content", PUBLISHED)
    return _recognise_text(start)


def _recognise_text(start: bytes) -> _Foreign:
    # A multi-byte letter may be cut at the end of what was read.
    text = start.removeprefix(BYTE_ORDER_MARK).decode("utf-8", errors="ignore")
    if len(text.encode()) < len(start) - 4 or not all(letter.isprintable() or letter.isspace() for letter in text):
        return _Foreign("nothing known: neither a file of torch nor safetensors", PUBLISHED)
    text = text.lstrip()
    if text.startswith("version https://git-lfs"):
        return LFS
    if text.startswith("<"):
        return PAGE
    if text.startswith(("{", "[")):
        return JSON
    return TEXT


def _refuse_older_formats(path: Path, start: bytes) -> None:
    """Refuse what torch wrote before version 1.6, and bare pickles: both are programs to Python."""
    is_tar = start[TAR_MAGIC_AT : TAR_MAGIC_AT + 5] == b"ustar"
    # A pickle of protocol 2 and up begins with 0x80 and its number; the older text protocol is told by what it imports.
    is_pickle = len(start) > 2 and start[0] == 0x80 and start[1] <= 5
    with path.open("rb") as file:
        names = [] if is_tar else names_in(file.read(LEGACY_BYTES))
    if not (is_tar or is_pickle or names):
        return
    refused = [name for name in names if name not in ALLOWED_DOTTED]
    if refused:
        raise CheckpointError(
            "CKPT_UNSAFE",
            "This pickle asks Python for more than plain tensors; nothing of it was run.",
            where=str(path),
            evidence=f"it would import {', '.join(refused[:5])}",
            next_command="do not open it with other tools; ask its author for a file of plain tensors (a state dict)",
        )
    kind = "tar format of the first versions of torch" if is_tar else "pickle format of torch before 1.6"
    raise CheckpointError(
        "CKPT_UNSAFE",
        f"This file has the {kind}, whose sizes cannot be checked before it is opened.",
        where=str(path),
        evidence=f"{path.stat().st_size} bytes, begins with {start[:8]!r}",
        next_command="write it anew: " + CONVERT.format(source=path, target=path.with_name(path.stem + "-new.pth")),
    )


def _require_whole_archive(path: Path) -> None:
    """Require the end of a ZIP, where its table of contents is, and that its content is torch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            # A name ends at a zero byte for Python, for torch it does not.
            names = [member.orig_filename for member in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        raise _cut(path) from None
    if not archive_end.is_plain(path):
        raise CheckpointError(
            "CKPT_TRUNCATED",
            "The table of contents of the checkpoint is not where the end of the file says.",
            where=str(path),
            evidence=f"{path.stat().st_size} bytes; something was added, is missing, or was joined",
            next_command="copy or download it again to the end, and compare the sizes (checkpoints/README.md)",
        )
    if ambiguous := _seen_in_two_ways(names):
        raise CheckpointError(
            "CKPT_UNSAFE",
            "The archive holds one thing twice, so two readers would see two contents.",
            where=str(path),
            evidence=", ".join(ambiguous[:3]),
            next_command="ask its author for a file that torch.save has written",
        )
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside:
        raise CheckpointError(
            "CKPT_UNSAFE",
            "This is a TorchScript program, not a file of plain tensors.",
            where=str(path),
            evidence="it holds constants.pkl" + (" and code/" if any(n.startswith("code/") for n in inside) else ""),
            next_command="ask its author for the state dict",
        )
    if "data.pkl" not in inside:
        evidence = f"it holds {', '.join(names[:3]) or 'nothing'}"
        raise _not_one(path, "a ZIP archive that torch did not write", "unpack it and give the file inside", evidence)


def _seen_in_two_ways(names: list[str]) -> list[str]:
    """Return names that one reader takes for equal and another does not.

    torch's reader does not tell capital letters from small ones, and takes all members for those of one folder.
    """
    counts = Counter(name.partition("/")[2].lower() for name in names)
    return [name for name in names if counts[name.partition("/")[2].lower()] > 1 or "\0" in name]


def _cut(path: Path) -> CheckpointError:
    return CheckpointError(
        "CKPT_TRUNCATED",
        "The end of the checkpoint is missing.",
        where=str(path),
        evidence=f"{path.stat().st_size} bytes; the table of contents that stands at the end is not there",
        next_command="copy or download it again to the end, and compare the sizes (checkpoints/README.md)",
    )


def _not_one(path: Path, what: str, way_out: str, evidence: str) -> CheckpointError:
    return CheckpointError(
        "CKPT_NOT_A_CHECKPOINT",
        f"This is no checkpoint; it is {what}.",
        where=str(path),
        evidence=evidence,
        next_command=way_out,
    )


def _file_in(folder: Path) -> str:
    found = sorted(item.name for item in folder.iterdir() if item.suffix in (".pth", ".pt", ".safetensors"))
    if found:
        return f"give a file in it: {', '.join(found[:3])}"
    return "give a .pth, .pt or .safetensors file; it holds none with such a name"
