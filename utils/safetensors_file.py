"""Read safetensors: a length, a JSON header, raw values. No code can hide in it, only wrong sizes."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import torch

HEADER_LIMIT = 100_000_000
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
        parts = json.loads(raw)
        parts.pop("__metadata__", None)
        for name, part in parts.items():
            _check(name, part)
        end = max((part["data_offsets"][1] for part in parts.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, HeaderError):
            raise
        raise HeaderError(f"the header cannot be read: {type(error).__name__}") from None
    if end + 8 + length > size:
        raise HeaderError(f"values up to byte {end + 8 + length} are declared; the file has {size}", is_cut=True)
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


def _check(name: str, part: dict[str, Any]) -> None:
    first, last = part["data_offsets"]
    dtype = DTYPES.get(part["dtype"])
    if dtype is None:
        raise HeaderError(f"{name} has values of kind {part['dtype']!r}, which is not read here")
    if any(not isinstance(size, int) or size < 0 for size in (first, last, *part["shape"])):
        raise HeaderError(f"{name} has a size that is no whole number from 0 up")
    declared = prod(part["shape"]) * dtype.itemsize
    if last - first != declared:
        raise HeaderError(f"{name} has shape {part['shape']}, {declared} bytes, and {last - first} bytes of values")
