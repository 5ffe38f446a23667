"""One seed, one device decision, and a record of the environment a run was made in."""

from __future__ import annotations

import logging
import platform
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from utils import distributed
from utils.errors import UsageError
from utils.files import sha256

logger = logging.getLogger(__name__)
DeviceName = Literal["auto", "cpu", "cuda"]
PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "xarray", "netCDF4", "scores")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_rank(seed: int) -> None:
    """Give every rank but the first random numbers of its own, once all have the same weights."""
    number = distributed.current().number
    if number:
        torch.manual_seed(seed * 1_000_003 + number)


def choose_device(device: DeviceName, gpu: int | None) -> torch.device:
    """Decide once where the run computes.

    Args:
        device: `auto` takes a GPU where there is one.
        gpu: number of the GPU; asking for one where there is none runs on the CPU and says so.

    Raises:
        UsageError: `--device cuda` without a GPU, or a GPU number that does not exist.
    """
    count = torch.cuda.device_count()
    if device == "cpu":
        return torch.device("cpu")
    if count == 0:
        if device == "cuda":
            raise UsageError(
                "CONFIG",
                "There is no GPU that torch can use.",
                where="--device cuda",
                evidence=f"torch {torch.__version__}, {count} devices",
                next_command="--device cpu, or install a torch with CUDA",
            )
        if gpu is not None:
            logger.info("--gpu %d: no GPU here, running on the CPU.", gpu)
        return torch.device("cpu")
    number = distributed.local_rank() if distributed.is_launched() else gpu or 0
    if distributed.is_launched() and max(number + 1, distributed.ranks_here()) > count:
        raise UsageError(
            "CONFIG",
            "There are more ranks than GPUs on this machine.",
            where="torchrun --nproc_per_node",
            evidence=f"{count} GPUs, {max(number + 1, distributed.ranks_here())} ranks",
            next_command=f"--nproc_per_node={count}, or --device cpu",
        )
    if number >= count:
        raise UsageError(
            "CONFIG",
            f"There is no GPU number {number}.",
            where="--gpu",
            evidence=f"{count} devices, numbered from 0",
            next_command="--gpu 0",
        )
    return torch.device("cuda", number)


def environment(
    device: torch.device, data_file: Path, weights_file: Path | None, data_sha256: str | None = None
) -> dict[str, Any]:
    """Return what is needed to understand or repeat a run: versions, commit, device, hashes of data and weights.

    Args:
        device: where the run computes.
        data_file: the prepared table, or the folder of the series.
        weights_file: the checkpoint the run starts from, None when it starts from scratch.
        data_sha256: of the data where they are several files; else that of `data_file`.
    """
    record: dict[str, Any] = {
        **versions(),
        "platform": platform.platform(),
        "commit": commit(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "ranks": distributed.current().count,
        "data": str(data_file),
        "data_sha256": data_sha256 or sha256(data_file),
        "weights": str(weights_file) if weights_file else None,
        "weights_sha256": sha256(weights_file) if weights_file else None,
    }
    return record | hardware(device)


def versions() -> dict[str, Any]:
    """Return the versions of Python and of the packages that numbers depend on."""
    return {"python": sys.version.split()[0], "packages": {name: _version(name) for name in PACKAGES}}


def hardware(device: torch.device) -> dict[str, Any]:
    """Return card, memory in bytes, CUDA, cuDNN and driver of a GPU; nothing for the CPU."""
    if device.type != "cuda":
        return {}
    properties = torch.cuda.get_device_properties(device)
    return {
        "card": properties.name,
        "card_memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": _first_line(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return the commit of this project, with ``-dirty`` where files were changed since; None outside of git."""
    return _first_line(["git", "describe", "--always", "--dirty", "--abbrev=40"])


def _first_line(command: list[str]) -> str | None:
    """Return the first line a program prints, None where it is not there or fails."""
    root = Path(__file__).resolve().parent.parent
    try:
        answer = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.partition("\n")[0].strip()


@dataclass(frozen=True)
class RandomState:
    """State of the generators that a forward pass draws from.

    Attributes:
        cpu: state of torch's generator on the host.
        cuda: state of the generator of the GPU in use, None without one.
    """

    cpu: torch.Tensor
    cuda: torch.Tensor | None

    @classmethod
    def capture(cls, device: torch.device) -> RandomState:
        """Copy the states; both live on the host, so this waits for no device."""
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None)

    def restore(self, device: torch.device) -> None:
        """Put torch's generators back to where they were."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None and device.type == "cuda":
            torch.cuda.set_rng_state(self.cuda, device)


def generator_states(device: torch.device) -> dict[str, Any]:
    """Return the states of every generator (Python, NumPy, torch, and the GPU in use) as tensors and plain values.

    NumPy's is told apart into names and numbers, since its own tuple holds an array, which safe reading refuses.
    """
    version, internal, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)
    return {
        "python": {"version": version, "state": torch.tensor(internal, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "bit_generator": str(legacy["bit_generator"]),
            "key": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
            "pos": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_generators(states: Mapping[str, Any], device: torch.device) -> None:
    """Put every generator back to where `generator_states` found it; a GPU's state is left out on a CPU."""
    python, stored = states["python"], states["numpy"]
    random.setstate((python["version"], tuple(python["state"].tolist()), python["gauss"]))
    key = stored["key"].numpy().astype(np.uint32)
    np.random.set_state((stored["bit_generator"], key, stored["pos"], stored["has_gauss"], stored["gauss"]))
    RandomState(states["torch"].cpu(), None if states["cuda"] is None else states["cuda"].cpu()).restore(device)
