"""Replays the case: python -m scripts.replay_case (bash scripts/replay_case.sh)."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from data_provider.synthetic_case import SyntheticCaseConfig, write_synthetic_case
from scripts.replay_case import commands, page, pictures
from scripts.replay_case.commands import CleanRun, Diagnosis
from scripts.replay_case.reenactment import Reenactment, reenact
from scripts.replay_case.stacked import read_stacked
from utils import flags, signals
from utils.errors import ForeseenError
from utils.run_directory import make_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """The replay."""

    output: str = field(
        default="checkpoints/replay_case", metadata={"help": "folder for the page, its pictures and the runs"}
    )
    table: str = field(
        default="datasets/processed/synthetic_case.nc",
        metadata={"help": "SYNTHETIC table to make; a CSV and a JSON file of the same name are written beside it"},
    )
    seed: int = field(default=0, metadata={"help": "seed of the weather, of the weights and of the order of windows"})


def replay(config: ReplayConfig) -> Path:
    """Make the table, play the three acts and write the page.

    Returns:
        the page.

    Raises:
        ForeseenError: ``REPLAY``, an act did not show what it claims; then there is no page.
    """
    home = Path(config.output)
    make_folder(home)
    started = time.monotonic()
    with _timed("the table: SYNTHETIC, in the shape of the case"):
        csv = write_synthetic_case(SyntheticCaseConfig(output=config.table, seed=config.seed))
    with _timed("act 1: the settings of the notes"):
        act = reenact(read_stacked(csv), seed=config.seed)
    with _timed("act 2: the diagnosis, before the first step"):
        diagnosis = commands.diagnose(csv, home)
    with _timed("act 3: the same model, trained cleanly"):
        run = commands.train_cleanly(csv, home, seed=config.seed)
    require_claims(act, diagnosis, run)
    with _timed("pictures and page"):
        written = _pictures(act, diagnosis, run, home)
        page.write_page(act, diagnosis, run, written, home / "index.html")
    logger.info("\n[replay] all three acts in %.0f s; SYNTHETIC data, not ERA5", time.monotonic() - started)
    for picture in written:
        logger.info("picture  %s", picture)
    logger.info("page     %s", home / "index.html")
    return home / "index.html"


def require_claims(act: Reenactment, diagnosis: Diagnosis, run: CleanRun) -> None:
    """Compare what was counted with what the page says happened.

    Raises:
        ForeseenError: ``REPLAY``, with every claim that does not hold.
    """
    step, other = act.first, act.without_blank_rows
    skipped = [f"{act.skipped(epoch.number)} of {act.batches_in(epoch.number)}" for epoch in act.epochs]
    later = act.batches[1:]
    entropy = run.epochs[-1]["base_rate_entropy"]
    counted = diagnosis.stacked or {}
    claims = {
        f"act 1: the first loss is finite ({step.loss})": math.isfinite(step.loss),
        f"act 1: one step turns every tensor to NaN ({step.weights} of {step.tensors})": step.weights == step.tensors,
        f"act 1: every batch but the first is skipped ({'; '.join(skipped)})": act.batches[0].applied
        and not any(batch.applied for batch in later),
        "act 1: the validation loss is NaN and called best": all(
            epoch.called_best and math.isnan(epoch.validation_loss) for epoch in act.epochs
        ),
        f"act 1: without the blank rows all stays finite ({other.gradients} gradients, {other.weights} tensors NaN)": (
            math.isfinite(other.loss) and not other.gradients and not other.weights
        ),
        f"act 2: the diagnosis ends with {commands.EXIT_DATA} and DATA_NAN (exit code {diagnosis.exit_code}, "
        f"verdict {diagnosis.verdict.get('code', 'none')})": diagnosis.found_the_cause,
        f"act 2: it counts the same windows of stacked rows as act 1 ({counted.get('windows_touched')} of "
        f"{counted.get('windows')}, {act.touched} of {act.windows})": (
            (counted.get("windows_touched"), counted.get("windows")) == (act.touched, act.windows)
        ),
        f"act 3: no step is skipped ({run.skipped} of {run.steps})": run.skipped == 0,
        f"act 3: the loss falls below that of the base rate ({run.epochs[-1]['train_loss']:.4f}, {entropy:.4f})": (
            run.epochs[-1]["train_loss"] < entropy
        ),
    }
    broken = [claim for claim, holds in claims.items() if not holds]
    if broken:
        raise ForeseenError(
            "REPLAY",
            f"{len(broken)} of {len(claims)} claims of the replay do not hold, so no page was written.",
            where="scripts/replay_case",
            evidence="; ".join(broken),
            next_command="bash scripts/test.sh tests/scripts, which tells which part has changed",
        )


def _pictures(act: Reenactment, diagnosis: Diagnosis, run: CleanRun, home: Path) -> list[Path]:
    if find_spec("matplotlib") is None:
        logger.info("matplotlib is not installed: no pictures.")
        return []
    return pictures.draw_all(act, diagnosis, run, home)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    """Say what begins and how long it took."""
    logger.info("\n[replay] %s", what)
    # The commands write to the same output; what was said before them has to come first.
    sys.stdout.flush()
    started = time.monotonic()
    yield
    logger.info("[replay] done in %.1f s", time.monotonic() - started)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    return flags.run_tool(
        "-m scripts.replay_case",
        "Replay the case on SYNTHETIC data of the same shape: what killed the training, what the diagnosis says, and "
        "the same model trained cleanly; one page with three pictures.",
        ReplayConfig,
        replay,
        argv=argv,
    )


if __name__ == "__main__":
    signals.install()
    sys.exit(main())
