"""Read safetensors: a length, a JSON header, raw values. No code can hide in it, only wrong sizes."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import torch

# A tensor takes about a hundred bytes of header; as Python objects they are twenty times as large.
HEADER_LIMIT = 10_000_000
AXES_LIMIT = 64
SIZE_LIMIT = 2**63
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


class HeaderError(ValueError):
    """The header contradicts the file; `is_cut` tells a file that ends too early."""

    def __init__(self, reason: str, *, is_cut: bool = False) -> None:
        super().__init__(reason)
        self.is_cut = is_cut


def looks_like_one(path: Path) -> bool:
    """Return whether a file begins like safetensors: a length, then an opening brace."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= 1 << 62


def header(path: Path) -> dict[str, Any]:
    """Return name -> `dtype`, `shape`, `data_offsets` after checking them against the size of the file.

    Raises:
        HeaderError: the sizes do not fit the file or one another.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > HEADER_LIMIT:
            raise HeaderError(f"the header claims {length} bytes; the file has {size}")
        if length + 8 > size:
            raise HeaderError(f"the header claims {length} bytes; the file has {size}", is_cut=True)
        raw = file.read(length)
    try:
        parts = json.loads(raw, object_pairs_hook=_once)
        parts.pop("__metadata__", None)
        for name, part in parts.items():
            _check(name, part)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, HeaderError):
            raise
        raise HeaderError(f"the header cannot be read: {type(error).__name__}") from None
    _require_whole([part["data_offsets"] for part in parts.values()], size - 8 - length)
    return parts


def read(path: Path, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """Return the tensors of a file.

    Raises:
        HeaderError: the sizes do not fit the file or one another.
    """
    parts = header(path)
    result = {}
    with path.open("rb") as file:
        start = int.from_bytes(file.read(8), "little") + 8
        for name, part in parts.items():
            first, last = part["data_offsets"]
            file.seek(start + first)
            values = bytearray(file.read(last - first))
            flat = torch.frombuffer(values, dtype=DTYPES[part["dtype"]]) if values else torch.empty(0)
            result[name] = flat.to(DTYPES[part["dtype"]]).reshape(part["shape"]).to(device)
    return result


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object, in which no name may come twice: readers differ in which one they take."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise HeaderError("the header names one thing twice")
    return made


def _check(name: str, part: dict[str, Any]) -> None:
    first, last = part["data_offsets"]
    dtype = DTYPES.get(part["dtype"])
    if dtype is None:
        raise HeaderError(f"{name[:80]} has values of a kind that is not read here")
    shape = part["shape"]
    if not isinstance(shape, list) or len(shape) > AXES_LIMIT:
        raise HeaderError(f"{name[:80]} has a shape that is no list of at most {AXES_LIMIT} sizes")
    if any(type(size) is not int or not 0 <= size < SIZE_LIMIT for size in (first, last, *shape)):
        raise HeaderError(f"{name[:80]} has a size that is no whole number from 0 up")
    declared = prod(shape) * dtype.itemsize
    if last - first != declared:
        raise HeaderError(f"{name[:80]} has shape {shape}, {declared} bytes, and {last - first} bytes of values")


def _require_whole(places: list[list[int]], size: int) -> None:
    """Require that the tensors fill the `size` bytes of values, each byte once."""
    end = 0
    for first, last in sorted(places):
        if first != end:
            raise HeaderError(f"values overlap or have a gap at byte {min(first, end)}")
        end = last
    if end != size:
        raise HeaderError(f"{end} bytes of values are declared; the file has {size}", is_cut=end > size)
