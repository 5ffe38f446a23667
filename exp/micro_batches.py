"""How many windows fit the memory at once, found by counting what one window saves for the backward pass."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from data_provider.windows import WindowSet

logger = logging.getLogger(__name__)
# The rest is for gradients of activations, the table, workspaces and other programs.
USABLE_SHARE = 0.5
PROBE_WINDOWS = 2
FALLBACK_MEMORY = 8 * 2**30


def fitting_batch_size(
    model: nn.Module,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    windows: WindowSet,
    batch_size: int,
) -> int:
    """Return the largest `batch_size / 2**k` whose activations fit the memory of the device.

    Weights, gradients and the two moments of AdamW (16 bytes a parameter) are set aside first.
    """
    saved = saved_bytes(model, loss, windows) / PROBE_WINDOWS
    parameters = sum(parameter.numel() for parameter in model.parameters())
    usable = USABLE_SHARE * (total_memory(windows.device) - 16 * parameters)
    size = batch_size
    while size > 1 and size * saved > usable:
        size = -(-size // 2)
    if size < batch_size:
        logger.info(
            "A batch of %d needs about %.1f GiB for activations and %.1f GiB are usable: it is split into "
            "micro-batches of %d at the same effective size.",
            batch_size,
            batch_size * saved / 2**30,
            usable / 2**30,
            size,
        )
    return size


def saved_bytes(
    model: nn.Module, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], windows: WindowSet
) -> int:
    """Count the bytes that a forward pass over two windows keeps for the backward pass."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.zeros(PROBE_WINDOWS, dtype=torch.long, device=windows.device)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = loss(model(windows.inputs(ids), windows.marks[ids]).float(), windows.labels[ids])
    del result
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    return sum(seen.values())


def total_memory(device: torch.device) -> int:
    """Return the bytes of the device, or of the machine (or the job's share of it) for the CPU.

    What is free at the moment would make two equal runs split their batches differently.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else FALLBACK_MEMORY
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.is_file() else "max"
    return min(machine, int(allowed)) if allowed.isdigit() else machine
