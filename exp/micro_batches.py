"""How many windows fit the memory at once, found by counting what a window saves for the backward pass."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from exp.objective import Windows
from exp.precision import autocast
from utils import distributed

logger = logging.getLogger(__name__)
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# The rest is for gradients of activations, the table, workspaces and other programs.
USABLE_SHARE = 0.5
PROBE_WINDOWS = 2
FALLBACK_MEMORY = 8 * 2**30


@dataclass(frozen=True)
class Activations:
    """Bytes that a forward pass keeps for the backward pass.

    Attributes:
        fixed: whatever the number of windows: masks, and copies of the weights in half precision.
        per_window: for each window of a forward pass.
    """

    fixed: int
    per_window: int

    def of(self, windows: int) -> int:
        """Return the bytes of a forward pass over so many windows."""
        return self.fixed + windows * self.per_window


def fitting_batch_size(
    model: nn.Module, loss: Loss, windows: Windows, batch_size: int, precision: torch.dtype | None = None
) -> int:
    """Return the largest `batch_size / 2**k` whose activations fit the memory of the device, and say if it is less."""
    activations = measure(model, loss, windows, precision)
    memory, state = total_memory(windows.device), state_bytes(model)
    size = largest_fitting(batch_size, activations, state, memory)
    if size < batch_size:
        logger.info(
            "A batch of %d needs about %.1f GiB for activations and %.1f GiB are usable: it is split into "
            "micro-batches of %d at the same effective size.",
            batch_size,
            activations.of(batch_size) / 2**30,
            usable(state, memory) / 2**30,
            size,
        )
    return size


def state_bytes(model: nn.Module) -> int:
    """Return the bytes of weights, gradients and the two moments of AdamW: 16 a parameter in float32."""
    return sum(4 * parameter.nbytes for parameter in model.parameters())


def usable(state: int, memory: int) -> float:
    """Return the bytes that activations may take in a memory of so many bytes, beside weights and moments."""
    return USABLE_SHARE * (memory - state)


def largest_fitting(batch_size: int, activations: Activations, state: int, memory: int) -> int:
    """Return the largest `batch_size / 2**k` that fits; 1 is tried where nothing does."""
    size = batch_size
    while size > 1 and activations.of(size) > usable(state, memory):
        size = -(-size // 2)
    return size


def measure(model: nn.Module, loss: Loss, windows: Windows, precision: torch.dtype | None = None) -> Activations:
    """Count what is kept for two windows and for three: what three keep more is what a window takes."""
    two, three = (saved_bytes(model, loss, windows, count, precision) for count in (PROBE_WINDOWS, PROBE_WINDOWS + 1))
    per_window = three - two
    return Activations(max(0, two - PROBE_WINDOWS * per_window), per_window)


def saved_bytes(
    model: nn.Module,
    loss: Loss,
    windows: Windows,
    count: int = PROBE_WINDOWS,
    precision: torch.dtype | None = None,
) -> int:
    """Count the bytes that a forward pass over so many windows keeps for the backward pass.

    On the device `meta` nothing is computed, so any size can be counted anywhere.
    """
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    seen: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> None:
        # The graph is given nothing to keep: an output that its own graph holds would never be freed. The storages
        # are held here, since the place of one that is freed is taken by the next.
        # Known by its storage: on the device `meta` all data pointers are zero.
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = storage

    ids = torch.zeros(count, dtype=torch.long, device=windows.device)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed):
        with autocast(windows.device, precision):
            logits = model(windows.inputs(ids), windows.marks[ids])
        result = loss(logits.float(), windows.targets(ids))
    del result
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    return sum(storage.nbytes() for storage in seen.values())


def total_memory(device: torch.device) -> int:
    """Return the bytes of the device, or of the machine (or the job's share of it) for the CPU.

    What is free at the moment would make two equal runs split their batches differently.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else FALLBACK_MEMORY
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.is_file() else "max"
    mine = min(machine, int(allowed)) if allowed.isdigit() else machine
    return mine // distributed.ranks_here()
