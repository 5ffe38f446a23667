"""Where the time goes, as ratios of one run: python -m exp.benchmark PART (or scripts/benchmark.sh PART).

Sizes of `epoch` are those of the case: 6,224 windows of 1440 x 27, batches of 16. The model is small on purpose: the
smaller it is, the larger the share of everything around it.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

import models
from data_provider.windows import WindowSet, build_index
from exp import (
    frozen_benchmark,
    guard_benchmark,
    layers_benchmark,
    save_benchmark,
    scaling_benchmark,
    step_benchmark,
)
from exp.guard import GuardConfig
from exp.objective import Objective
from exp.trainer import Trainer, TrainerConfig
from utils import flags, last_words, run_directory
from utils.errors import UsageError

N_REGIONS, ROWS, N_VARIABLES, CONTEXT = 5, 2684, 27, 1440


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Benchmark.

    Raises:
        UsageError: ``CONFIG``, there is no such part.
    """

    part: str = field(
        default="epoch",
        metadata={"help": "what is measured: step, layers, epoch, guard, frozen, save or scaling"},
    )
    d_model: int = field(default=64, metadata={"help": "width of the model, for epoch"})
    e_layers: int = field(default=2, metadata={"help": "layers of the model, for epoch"})
    preset: str = field(
        default="small", metadata={"help": "option that is measured: full, small or tiny; not for epoch"}
    )
    pairs: int = field(default=20, metadata={"help": "how often; steps of an epoch for frozen, not for epoch"})
    dropout: float = field(default=0.1, metadata={"help": "of the encoder, for step and layers"})
    output: str | None = field(default=None, metadata={"help": "file for the figures as JSON"})

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise UsageError(
                "CONFIG",
                f"There is no benchmark {self.part!r}.",
                where="--part",
                evidence=f"parts: {', '.join(PARTS)}",
                next_command="--part epoch",
            )


class TimedWindows(WindowSet):
    """Counts the seconds that gathering batches takes."""

    seconds = 0.0

    def inputs(self, ids: torch.Tensor) -> torch.Tensor:
        """Gather a batch and add the time it took."""
        started = time.perf_counter()
        batch = super().inputs(ids)
        self.seconds += time.perf_counter() - started
        return batch


class TimedTrainer(Trainer):
    """Counts the seconds inside steps, batches included."""

    step_seconds = 0.0

    def _step(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        started = time.perf_counter()
        result = super()._step(ids)
        self.step_seconds += time.perf_counter() - started
        return result


def measure_epoch(config: BenchmarkConfig) -> dict[str, float]:
    """Train one epoch on random numbers and return its seconds and the share outside model and optimizer."""
    windows = _windows()
    trainer = TimedTrainer(
        _model(config),
        Objective(loss=torch.nn.functional.cross_entropy, micro_batch_size=16),
        TrainerConfig(batch_size=16, train_epochs=1),
        GuardConfig(),
        windows,
        evaluate=lambda _: {},
        seed=0,
    )
    (row,) = trainer.fit()
    total = row["train_seconds"]
    outside = total - trainer.step_seconds + windows.seconds
    return {
        "windows": len(windows),
        "epoch_seconds": round(total, 2),
        "gather_milliseconds_per_batch": round(1000 * windows.seconds / trainer.steps_per_epoch, 3),
        "share_outside_model_and_optimizer_percent": round(100 * outside / total, 3),
    }


def _windows() -> TimedWindows:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(N_REGIONS * ROWS, N_VARIABLES)).astype(np.float32)
    times = np.datetime64("2019-01-01", "s") + np.arange(ROWS) * np.timedelta64(12 * 3600, "s")
    index = build_index(
        times,
        np.ones((N_REGIONS, ROWS), bool),
        generator.integers(0, 2, (N_REGIONS, ROWS)).astype(np.int8),
        np.zeros((N_REGIONS, ROWS), np.float32),
        context_length=CONTEXT,
        stride_hours=12,
        lead_steps=2,
        step_hours=12,
    )
    regions = tuple(f"region {number}" for number in range(N_REGIONS))
    return TimedWindows(torch.from_numpy(values), index.select(np.arange(6224)), CONTEXT, regions, torch.device("cpu"))


def _model(config: BenchmarkConfig) -> torch.nn.Module:
    sizes = {"d_model": config.d_model, "d_ff": 2 * config.d_model, "e_layers": config.e_layers, "n_heads": 4}
    return models.build("timer_xl_classifier", SimpleNamespace(**sizes, n_variables=N_VARIABLES, n_classes=2))


PARTS = {
    "step": lambda config: step_benchmark.measure(config.preset, config.pairs, dropout=config.dropout),
    "layers": lambda config: layers_benchmark.measure(config.preset, config.pairs, dropout=config.dropout),
    "epoch": measure_epoch,
    "guard": lambda config: guard_benchmark.measure(config.preset, config.pairs),
    "frozen": lambda config: frozen_benchmark.measure(config.preset, config.pairs),
    "save": lambda config: save_benchmark.measure(config.preset, config.pairs),
    "scaling": lambda config: scaling_benchmark.measure(config.preset, config.pairs),
}
TABLES = {"step": step_benchmark.table, "layers": layers_benchmark.table, "scaling": scaling_benchmark.table}


def _measure_and_tell(config: BenchmarkConfig) -> None:
    found = PARTS[config.part](config)
    if config.part in TABLES:
        last_words.say("\n".join(TABLES[config.part](found)))
    text = json.dumps(found, indent=2)
    last_words.show(text)
    if config.output:
        run_directory.write_text(Path(config.output), text + "\n")


def main(words: list[str]) -> int:
    """Print the figures as JSON, a table beside them on standard error, and return the exit code."""
    if words and not words[0].startswith("-"):
        words = ["--part", *words]
    return flags.run_tool(
        "-m exp.benchmark",
        __doc__ or "",
        BenchmarkConfig,
        _measure_and_tell,
        argv=words,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
