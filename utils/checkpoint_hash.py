"""A hash of what a checkpoint holds, whatever the bytes of its file are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch


def content_hash(content: Any) -> str:
    """Return the SHA-256 over names, dtypes, shapes, values and plain values as hex digits.

    The order of the keys of a dict does not count, the order in a list does; sizes and kinds stand before the values,
    so that no two contents are fed as the same bytes.

    Raises:
        TypeError: something in it is neither a tensor, a dict, a list nor a plain value.
    """
    digest = hashlib.sha256()
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        digest.update(f"tensor {value.dtype} {list(value.shape)};".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        if flat.stride() != (1,):  # a single number may have any and be contiguous; its bytes need one
            flat = flat.clone(memory_format=torch.contiguous_format)
        digest.update(flat.view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(f"dict {len(value)};".encode())
        for key in sorted(value, key=lambda key: (type(key).__name__, str(key))):
            _feed(digest, key)
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"{type(value).__name__} {len(value)};".encode())
        for part in value:
            _feed(digest, part)
    else:
        raw = _raw(value)
        digest.update(f"{type(value).__name__} {len(raw)};".encode())
        digest.update(raw)


def _raw(value: Any) -> bytes:
    """Return the bytes of a plain value; those of a float are exact."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, float):
        return value.hex().encode()
    if value is None or isinstance(value, bool | int | str | torch.device | torch.dtype):
        return str(value).encode("utf-8", errors="surrogatepass")
    raise TypeError(f"no plain value: {type(value).__name__}")
