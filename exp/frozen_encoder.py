"""A frozen encoder runs once per window: what it gives is kept, and the head trains on that.

Nothing that learns stands before what is kept (`encode` of the model), and a frozen encoder is in evaluation, so the
head sees the same numbers as without it, to the rounding of other batch sizes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from data_provider.windows import WindowSet
from exp.micro_batches import total_memory
from exp.precision import autocast
from utils import distributed
from utils.checkpoint_hash import content_hash
from utils.files import require_space, storage_error

logger = logging.getLogger(__name__)
# Of the memory of a device: the rest belongs to table, model and other programs.
MEMORY_SHARE = 0.2
DIFFERENT = 2
ADVICE = "choose another folder with --checkpoints, or run the encoder in every step with --cache_frozen_encoder no"


class EncodedWindows:
    """Windows whose inputs are what the encoder gave for them; all else is that of the windows they came from.

    Args:
        values: `(N, ...)`, on the device, the host or the disk.
        windows: where they came from; labels and marks are theirs.
        with_raw: hand over the raw windows too, for a head that also looks at them.
    """

    kind: ClassVar[str] = WindowSet.kind

    def __init__(self, values: torch.Tensor, windows: WindowSet, *, with_raw: bool) -> None:
        self.values, self.windows, self.with_raw = values, windows, with_raw
        self.device, self.labels, self.marks = windows.device, windows.labels, windows.marks
        self.index, self.table, self.context_length = windows.index, windows.table, windows.context_length
        self.targets, self.cells, self.place = windows.targets, windows.cells, windows.place

    def __len__(self) -> int:
        return len(self.windows)

    def subset(self, ids: torch.Tensor) -> WindowSet:
        """Return the raw windows `ids` alone, for a replay of the whole model."""
        return self.windows.subset(ids)

    def inputs(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what the encoder gave `(B, ...)`, and the raw windows `(B, L, V)` where the head needs them."""
        kept = self.values[ids.to(self.values.device)].to(self.device, non_blocking=True)
        return kept, self.windows.inputs(ids) if self.with_raw else None


class Head(nn.Module):
    """All of a classifier that comes after its encoder.

    Args:
        model: the whole one, whose parameters these stay.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, inputs: tuple[torch.Tensor, torch.Tensor | None], marks: torch.Tensor) -> torch.Tensor:
        """Classify what `EncodedWindows.inputs` returned: `(B, n_classes)`."""
        encoded, raw = inputs
        return self.model.classify(encoded, () if raw is None else self.model.extras(raw, marks))


class FrozenEncoder:
    """Keeps what a frozen encoder gives for the windows of a run.

    Args:
        model: with `encoder_modules`, `encode`, `classify`, `extras` and `reads_past_encoder`.
        precision: of the encoder's forward pass.
        batch_size: windows per forward pass.
        folder: for what fits neither the device nor the host; removed by `release`.
    """

    def __init__(self, model: nn.Module, precision: torch.dtype | None, batch_size: int, folder: Path) -> None:
        self.model: Any = model
        number = distributed.current().number
        self.precision, self.batch_size = precision, batch_size
        self.folder = folder / (f"encoded-{number}" if number else "encoded")
        self.head = Head(model)
        self._kept: dict[int, EncodedWindows] = {}
        self._key = ""

    def encoded(self, windows: WindowSet, title: str) -> EncodedWindows:
        """Return the windows with what the encoder gives for them, worked out at the first call.

        Raises:
            StorageError: it fits neither device nor host, and the disk does not take it.
        """
        key = self.key()
        if key != self._key:
            self.release()
            self._key = key
        if id(windows) not in self._kept:
            self._kept[id(windows)] = self._encode(windows, title)
        return self._kept[id(windows)]

    def release(self) -> None:
        """Forget everything, on the disk too."""
        self._kept.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def key(self) -> str:
        """Return what decides the values besides the windows: weights of the encoder, flags, precision.

        It is worked out for each split in every epoch.
        """
        weights = [module.state_dict() for module in self.model.encoder_modules()]
        flags = hashlib.sha256(repr((self.model.config, self.precision)).encode()).hexdigest()
        return content_hash(weights) + flags

    @torch.no_grad()
    def once(self, windows: WindowSet, ids: torch.Tensor) -> torch.Tensor:
        """Return what the encoder gives for the windows `ids` in one forward pass, `(B, ...)` in float32."""
        with autocast(windows.device, self.precision):
            return self.model.encode(windows.inputs(ids)).float()

    def few(self, windows: WindowSet, count: int) -> EncodedWindows:
        """Return so many windows for a look at the costs of the head: two are encoded, the others are these again."""
        own = torch.arange(min(DIFFERENT, len(windows)), device=windows.device)
        ids = torch.arange(count, device=windows.device) % len(own)
        return EncodedWindows(self.once(windows, own)[ids], windows.subset(ids), with_raw=self.model.reads_past_encoder)

    @torch.no_grad()
    def _encode(self, windows: WindowSet, title: str) -> EncodedWindows:
        started = time.monotonic()
        was_training = self.model.training
        self.model.eval()
        ids = torch.arange(len(windows), device=windows.device)
        values: torch.Tensor | None = None
        for part in tqdm(ids.split(self.batch_size), disable=None, leave=False, desc=f"encoding {title}", unit="batch"):
            distributed.current().check_signals()
            encoded = self.once(windows, part)
            if values is None:
                values = self._place((len(windows), *encoded.shape[1:]), windows.device, title)
            values[part.to(values.device)] = encoded.to(values.device)
        assert values is not None, "a split without windows is refused before"
        self.model.train(was_training)
        logger.info(
            "  frozen encoder: %s kept for %d %s windows, %.1f MB, %.1f s",
            "x".join(map(str, values.shape[1:])),
            len(windows),
            title,
            values.nbytes / 1e6,
            time.monotonic() - started,
        )
        return EncodedWindows(values, windows, with_raw=self.model.reads_past_encoder)

    def _place(self, shape: tuple[int, ...], device: torch.device, title: str) -> torch.Tensor:
        """Return room for so many values: on the device, else on the host, else on the disk."""
        size = 4 * int(np.prod(shape))
        place = memory_for(size, device)
        if place is not None:
            return torch.empty(shape, device=place)
        path = self.folder / f"{title}.npy"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            require_space(self.folder, size, ADVICE)
            values = np.lib.format.open_memmap(path, "w+", np.float32, shape)
            _take_room(path)
        except OSError as error:
            raise storage_error(error, path, ADVICE, needed=size) from error
        logger.info("  frozen encoder: %.1f GB do not fit the memory and are kept in %s", size / 1e9, self.folder)
        return torch.from_numpy(values)


def memory_for(size: int, device: torch.device) -> torch.device | None:
    """Return whose memory keeps so many bytes: the device's, else the host's; None where only the disk does."""
    places = dict.fromkeys((device, torch.device("cpu")))
    return next((place for place in places if size <= MEMORY_SHARE * total_memory(place)), None)


def _take_room(path: Path) -> None:
    """Give every byte of a file its place on the disk: a write through a map into a hole of a full disk is a SIGBUS."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
