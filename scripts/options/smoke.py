"""What an option needs in smoke size: a labelled SYNTHETIC table of one year, and an encoder that was trained on it."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

from data_provider.prepare import PrepareConfig, prepare
from data_provider.synthetic_era5 import SyntheticConfig, write_synthetic_era5
from utils import run_directory
from utils.errors import EXIT_OK, CheckpointError

logger = logging.getLogger(__name__)
FILES = "datasets/synthetic_smoke"
TABLE = Path("datasets/processed/synthetic_smoke.csv")
YEAR, COLUMNS = 2019, ("tp", "t2m", "sp", "tcwv")
MODEL_ID = "smoke_encoder"
PRETRAIN = ["--preset", "smoke", "--model_id", MODEL_ID, "--references", "none", "--train_stride", "48"]


def table_words() -> list[str]:
    """Make the table where it is not there yet, and return the flags that name it."""
    logger.info("--preset smoke: SYNTHETIC data, not ERA5; its scores say nothing about Peru (%s)", TABLE)
    _make_table()
    return ["--root_path", f"{TABLE.parent}/", "--data_path", TABLE.name]


def _make_table() -> None:
    if not TABLE.is_file():
        write_synthetic_era5(SyntheticConfig(output=FILES, years=(YEAR,)))
        prepare(PrepareConfig(input_dir=FILES, output=str(TABLE.with_suffix(".nc")), columns=COLUMNS))


def encoder(checkpoints: str) -> Path:
    """Return the weights of the newest smoke encoder; pre-train one where there is none.

    Args:
        checkpoints: folder of all runs.

    Raises:
        CheckpointError: the pre-training did not end well; it has said why.
    """
    found = _newest(checkpoints)
    if found is not None:
        return found
    _make_table()
    words = ["--root_path", str(TABLE.parent), "--data_path", TABLE.with_suffix(".nc").name]
    command = ["bash", "scripts/pretrain.sh", *words, "--checkpoints", checkpoints, *PRETRAIN]
    logger.info("pre-training a smoke encoder, once: %s", " ".join(command))
    code = subprocess.run(command, check=False).returncode
    found = _newest(checkpoints)
    if code != EXIT_OK or found is None:
        raise CheckpointError(
            "CKPT_MISSING",
            "The smoke encoder could not be pre-trained.",
            where=str(Path(checkpoints) / MODEL_ID),
            evidence=f"exit code {code}; its own message stands above",
            next_command=" ".join(command),
        )
    return found


def _newest(checkpoints: str) -> Path | None:
    for run in run_directory.finished_runs(checkpoints):
        if run.parent.name == MODEL_ID and (run / "best.pt").is_file():
            return run / "best.pt"
    return None
