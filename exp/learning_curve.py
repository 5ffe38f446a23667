"""Is pre-training worth it? Skill against the number of training windows: python -m exp.learning_curve.

Every cell of the curve is a run of run.py: a method, a number of windows, a seed. All methods of a seed train on the
same windows (whole weeks, drawn at random), and are chosen and scored on the same validation and test periods.
"""

from __future__ import annotations

import difflib
import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from data_provider.rain_table import read_table_leniently
from exp import command_line, curve_report, rain_classification, rain_splits, resume
from exp.scoring import main_scores
from exp.settings import context_length
from utils import flags, run_directory, signals
from utils.errors import UsageError
from utils.flag_rules import require

logger = logging.getLogger(__name__)
MethodName = Literal["scratch", "untrained_probe", "probe", "frozen_warmup", "fine_tune", "gradient_boosting"]
SIZES = ("100", "300", "1000", "3000", "all")
BATCH = 32
# So many updates of the weights, or so many epochs, whichever is less; a small sample is seen more often.
UPDATES, MOST_EPOCHS, LEAST_EPOCHS, PATIENCE = 600, 20, 6, 5
NETWORK = f"--preset encoder --batch_size {BATCH} --patience {PATIENCE}".split()
# The encoder learns ten times slower than the head.
GENTLY = ["--adaptation", "--rate_ratios", "0.1,0.3,1"]
# From scratch 1e-4 was best in validation at 300 windows, of 3e-5, 1e-4 and 3e-4.
METHODS: dict[str, list[str]] = {
    "scratch": [*NETWORK, "--learning_rate", "1e-4"],
    "untrained_probe": [*NETWORK, "--tune", "head"],
    "probe": [*NETWORK, "--adaptation", "--tune", "head"],
    "frozen_warmup": [*NETWORK, *GENTLY],
    "fine_tune": [*NETWORK, *GENTLY],
    "gradient_boosting": ["--model", "gradient_boosting", "--seq_len", "720"],
}


@dataclass(frozen=True, kw_only=True)
class CurveConfig:
    """Learning curve.

    Raises:
        UsageError: ``CONFIG``, a method or size that is none.
    """

    root_path: str = field(default="datasets/processed/", metadata={"help": "folder of the prepared table"})
    data_path: str = field(default="peru_rainfall.csv", metadata={"help": "prepared table (.csv or .nc)"})
    train_until: str | None = field(default=None, metadata={"help": "last year or day of training; else by shares"})
    validation_until: str | None = field(default=None, metadata={"help": "last year or day of validation"})
    sample_stride_hours: int = field(default=24, metadata={"help": "one window every so many hours, in all splits"})
    sizes: tuple[str, ...] = field(default=SIZES, metadata={"help": "numbers of training windows, or all"})
    methods: tuple[str, ...] = field(default=get_args(MethodName), metadata={"help": ", ".join(METHODS)})
    seeds: int = field(default=3, metadata={"help": "draws of windows, each with its own initial weights"})
    pretrain_model_path: str = field(
        default="checkpoints/small_encoder/encoder.pt", metadata={"help": "pre-trained weights of --preset encoder"}
    )
    checkpoints: str = field(default="checkpoints/learning_curve", metadata={"help": "folder of the runs and results"})
    flags: str = field(default="", metadata={"help": "further flags of run.py for every network, in quotes"})

    def __post_init__(self) -> None:
        for name, words, known in (("methods", self.methods, tuple(METHODS)), ("sizes", self.sizes, SIZES)):
            for word in words:
                close = difflib.get_close_matches(word.lower(), known, n=1)
                if word not in known and not (name == "sizes" and word.isdigit() and int(word)):
                    raise UsageError(
                        "CONFIG",
                        f"--{name} takes no {word!r}.",
                        where=f"--{name}",
                        evidence="numbers above 0, or all" if name == "sizes" else f"methods: {', '.join(known)}",
                        next_command=f"--{name} {' '.join(close or known)}",
                    )
        require(self, "seeds", self.seeds > 0, "must be at least 1")


@dataclass(frozen=True)
class Cell:
    """One point of one draw: a method, a number of windows ("all" for all of them) and a seed."""

    method: str
    size: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.method}-{self.size}-seed{self.seed}"


def cells(config: CurveConfig) -> list[Cell]:
    """List all cells, one seed after the other, so that a curve that was cut short has all methods."""
    return [
        Cell(method, size, seed) for seed in range(config.seeds) for size in config.sizes for method in config.methods
    ]


def words_of(cell: Cell, config: CurveConfig) -> list[str]:
    """Return the command line of a cell, without ``python run.py``.

    Probabilities are left as the model gives them: a whole year of validation would mend those of a hundred windows.
    """
    words = [
        *METHODS[cell.method], "--root_path", config.root_path, "--data_path", config.data_path,
        "--sample_stride_hours", str(config.sample_stride_hours), "--checkpoints", config.checkpoints,
        "--model_id", cell.name, "--seed", str(cell.seed), "--resume", "auto", "--calibration", "none",
    ]  # fmt: skip
    if config.train_until:
        words += ["--train_until", config.train_until, "--validation_until", str(config.validation_until)]
    if cell.size != "all":
        words += ["--train_windows", cell.size, "--train_windows_seed", str(cell.seed)]
    if cell.method == "gradient_boosting":
        return words
    epochs = _epochs(cell.size)
    words += ["--train_epochs", str(epochs), *config.flags.split()]
    if cell.method == "frozen_warmup":
        words += ["--freeze_encoder_epochs", str(epochs // 2)]
    return words + (["--pretrain_model_path", config.pretrain_model_path] if "--adaptation" in words else [])


def measure(config: CurveConfig) -> None:
    """Run what is missing and write table and picture after each cell, so that a part of the curve can be read.

    Raises:
        UsageError: ``CONFIG``, a size is above what the table holds; told before the first cell.
        Interrupted: with how many cells are there; the same command goes on.
        ForeseenError: a run is at fault; the message is its own.
    """
    _require_windows(config)
    todo = cells(config)
    rows: list[dict[str, Any]] = []
    logger.info("%d runs, each with its own train.log, in %s", len(todo), config.checkpoints)
    for number, cell in enumerate(todo, start=1):
        started = time.monotonic()
        try:
            with _quiet():
                settings = command_line.read(words_of(cell, config))
            run = resume.finished_runs(settings).get(cell.seed)
            is_new = run is None
            if run is None:
                logger.info("%3d/%d  %s ...", number, len(todo), cell.name)
                with _quiet():
                    run = rain_classification.train(settings)[0]
        except signals.Interrupted:
            there = f"{len(rows)} of {len(todo)} cells are there, and the state of the one that was cut"
            raise signals.Interrupted(where=config.checkpoints, evidence=there) from None
        rows.append(_row(cell, run))
        told = f"{time.monotonic() - started:.0f} s" if is_new else f"{cell.name} was there"
        logger.info("%3d/%d  ROC AUC %s  %s", number, len(todo), _short(rows[-1]["roc_auc"]), told)
        if is_new or number == len(todo):
            curve_report.write(Path(config.checkpoints), rows)
    logger.info("\n%s\nfigure       %s", curve_report.table(rows), Path(config.checkpoints) / curve_report.FIGURE)


def _require_windows(config: CurveConfig) -> None:
    """Refuse a size above what the table holds before hours are spent on the smaller ones."""
    wanted = [int(size) for size in config.sizes if size.isdigit()]
    if not wanted or not (Path(config.root_path) / config.data_path).is_file():
        return  # that the table is missing is told by the first run, with whatever else is missing
    present = _training_windows(config)
    too_large = [size for size in wanted if size > present]
    if not too_large:
        return
    possible = [size for size in config.sizes if size != "all" and int(size) <= present]
    raise UsageError(
        "CONFIG",
        f"There are not so many training windows: {', '.join(map(str, too_large))}.",
        where="--sizes",
        evidence=f"{present} training windows in {Path(config.root_path) / config.data_path}",
        next_command=f"--sizes {' '.join([*possible, 'all'])}",
    )


def _training_windows(config: CurveConfig) -> int:
    """Return how many training windows all methods have; a longer context loses some at the head of the record."""
    with _quiet():
        settings = [command_line.read(words_of(Cell(method, "all", 0), config)) for method in config.methods]
    of_length = {context_length(each): each for each in settings}
    table = read_table_leniently(settings[0].data.path)
    return min(len(rain_splits.load(each, torch.device("cpu"), table=table).train) for each in of_length.values())


def _epochs(size: str) -> int:
    if size == "all":
        return LEAST_EPOCHS
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(UPDATES * BATCH / int(size))))


def _row(cell: Cell, run: Path) -> dict[str, Any]:
    scores = run_directory.read_json(run / run_directory.FINISHED_FILE)
    found = main_scores(scores["test"])
    windows = run_directory.read_json(run / "config.json")["splits"]["windows"]
    return {
        "method": cell.method,
        "size": cell.size,
        "seed": cell.seed,
        "windows": windows["train"],
        "synthetic": scores["synthetic"],
        "collapsed": scores["collapsed"],
        "skipped_steps": scores["skipped_steps"],
        "seconds": scores["cost"].get("train_seconds"),
        **{name: found[name] for name in ("roc_auc", "brier_skill_score", "macro_f1", "base_rate", "n")},
        "run": str(run),
    }


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a run says out of the terminal; its train.log has it."""
    shown = [handler for handler in logging.getLogger().handlers if not isinstance(handler, logging.FileHandler)]
    levels = [handler.level for handler in shown]
    for handler in shown:
        handler.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for handler, level in zip(shown, levels, strict=True):
            handler.setLevel(level)


def main() -> int:
    """Run from the command line."""
    return flags.run_tool("-m exp.learning_curve", str(__doc__), CurveConfig, measure)


if __name__ == "__main__":
    signals.install()
    sys.exit(main())
