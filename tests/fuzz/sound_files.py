"""Sound checkpoints that a fuzzing campaign starts from, the same in every process."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.timer_xl_classifier import Model
from tests.eager_timer_xl import tiny_configs
from tests.utils import checkpoint_files as files


@dataclass(frozen=True)
class Sound:
    """A file that is read without complaint.

    Attributes:
        name: what it is.
        content: what is in it.
        raw: its bytes.
        has_sums: whether it carries a check sum of all its content.
    """

    name: str
    content: dict[str, Any]
    raw: bytes
    has_sums: bool

    @property
    def parts(self) -> dict[str, bytes]:
        """The members of the archive, with their names."""
        with zipfile.ZipFile(io.BytesIO(self.raw)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def model() -> Model:
    """Return a small Timer-XL classifier with fixed weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Model(tiny_configs())


def write_all(folder: Path) -> dict[str, Sound]:
    """Write one file of each kind and return them by name."""
    weights = dict(model().state_dict())
    writers: dict[str, tuple[dict[str, Any], bool, Callable[[dict[str, Any], Path], None]]] = {
        "weights": (weights, True, torch.save),
        "training state": (files.training_state(weights), True, torch.save),
        "packed": (weights, True, _pack),
        "without sums": (weights, False, _save_without_sums),
        "legacy": (weights, False, lambda content, path: files.legacy(path, content)),
        "safetensors": (weights, False, lambda content, path: _write(path, files.safetensors_bytes(content))),
    }
    found = {}
    for name, (content, has_sums, write) in writers.items():
        path = folder / f"{name.replace(' ', '_')}.pt"
        write(content, path)
        found[name] = Sound(name, content, path.read_bytes(), has_sums)
    return found


def _write(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)


def _pack(content: dict[str, Any], path: Path) -> None:
    files.write_archive(path, files.members(content), zipfile.ZIP_DEFLATED)


def _save_without_sums(content: dict[str, Any], path: Path) -> None:
    usual = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(content, path)
    finally:
        torch.serialization.set_crc32_options(usual)
