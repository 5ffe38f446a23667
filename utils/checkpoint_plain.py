"""What a checkpoint of ours may hold: plain tensors and values that the safe reader of torch takes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

import torch

from utils.pickle_scan import DTYPE_BYTES

# Exact types: a float64 of NumPy is a float to `isinstance` and a foreign object to the reader.
JSON_VALUES = (NoneType, bool, int, float, str)
VALUES = (*JSON_VALUES, bytes, torch.Size, torch.device, torch.dtype)
# What the archive spends on a tensor and on a value beside the values themselves, seen from above.
TENSOR_ROOM, VALUE_ROOM, ARCHIVE_ROOM = 1024, 64, 16 * 1024


def require_plain(content: Mapping[str, Any]) -> None:
    """Refuse what would be written without complaint and refused when it is read.

    Raises:
        TypeError: a value (told by its dotted name) is of a kind that the safe reader does not know.
    """
    for name, value in _parts(content):
        if isinstance(value, torch.Tensor):
            _require_plain_tensor(name, value)
        elif type(value) not in VALUES:
            raise TypeError(f"{name} is a {_kind(value)}; a checkpoint holds tensors, numbers, text, lists and dicts")


def require_json_like(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata that JSON would not give back as they are.

    Raises:
        TypeError: a value (told by its dotted name) is no JSON value, or a key is no text.
    """
    for name, value in _parts(metadata, keys=(str,)):
        if type(value) not in JSON_VALUES:
            raise TypeError(f"{name} is a {_kind(value)}; metadata hold numbers, text, lists and dicts")


def room(content: Mapping[str, Any]) -> int:
    """Return an upper bound of the bytes that a checkpoint takes on the disk; tensors that share memory count once."""
    storages: dict[int, int] = {}
    other = ARCHIVE_ROOM
    for name, value in _parts(content):
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            other += TENSOR_ROOM + 2 * len(name)
        else:
            other += VALUE_ROOM + 2 * len(name) + (4 * len(value) if isinstance(value, str | bytes) else 0)
    return sum(storages.values()) + other


def _parts(value: Any, name: str = "", keys: tuple[type, ...] = (str, int)) -> Iterator[tuple[str, Any]]:
    """Yield all that is neither dict nor list with its dotted name."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            own = f"{name}.{key}" if name else str(key)
            if type(key) not in keys:
                raise TypeError(f"the key {own} is a {_kind(key)}")
            yield from _parts(part, own, keys)
    elif type(value) in (list, tuple):
        for number, part in enumerate(value):
            yield from _parts(part, f"{name}.{number}", keys)
    else:
        yield name, value


def _require_plain_tensor(name: str, value: torch.Tensor) -> None:
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        raise TypeError(f"{name} is a {_kind(value)}, not a plain tensor")
    dtype = str(value.dtype).removeprefix("torch.")
    is_plain = value.layout == torch.strided and not value.is_meta and not value.is_conj() and not value.is_neg()
    if dtype not in DTYPE_BYTES or not is_plain:
        raise TypeError(f"{name} is a tensor of {dtype} on {value.device}, {value.layout}; plain values are kept only")


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
