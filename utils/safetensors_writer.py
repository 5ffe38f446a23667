"""Write safetensors: a length, a JSON header, raw values; what `utils/safetensors_file.py` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from utils.safetensors_file import DTYPES

NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALIGNMENT = 8


class Sink(Protocol):
    """Something to write bytes to."""

    def write(self, data: Any) -> int:
        """Write bytes and return how many there are."""


def require_writable(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Refuse what the format has no place for.

    Raises:
        TypeError: a value is no tensor of a dtype of the format, or something in the metadata is no text.
    """
    for name, tensor in tensors.items():
        if type(name) is not str or name == "__metadata__":
            raise TypeError(f"{name!r} is no name for a tensor")
        if not isinstance(tensor, torch.Tensor) or tensor.dtype not in NAMES or tensor.layout != torch.strided:
            kind = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise TypeError(f"{name} is of {kind}; safetensors hold {', '.join(map(str, NAMES))}")
    for key, value in metadata.items():
        if type(key) is not str or type(value) is not str:
            raise TypeError(f"{key} is {value!r}; the metadata of safetensors are text only")


def size(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> int:
    """Return how many bytes the file will have."""
    return (
        8 + len(_header(tensors, metadata)) + sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    )


def write(file: Sink, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors, each whole: those that share memory are written once a name.

    Args:
        file: where to.
        tensors: name -> tensor; none has to be contiguous.
        metadata: text for `__metadata__`.
    """
    header = _header(tensors, metadata)
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for name in _in_order(tensors):
        file.write(_raw(tensors[name]))


def _in_order(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names as they are written: wider values first, so that each tensor begins where its width fits."""
    return sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))


def _header(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in _in_order(tensors):
        begin, end = end, end + tensors[name].numel() * tensors[name].element_size()
        shape = list(tensors[name].shape)
        header[name] = {"dtype": NAMES[tensors[name].dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % ALIGNMENT)


def _raw(tensor: torch.Tensor) -> Any:
    """Return the values as bytes; of a tensor that is only a view, its own values in its own order."""
    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return values.data if values.size else b""
