"""A refused value is told with its flag, the value and a way out that is accepted."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from data_provider.cleaning import CleaningConfig
from data_provider.factory import DataConfig
from data_provider.series_splits import SeriesConfig
from data_provider.splits import SplitConfig
from data_provider.synthetic_era5 import SyntheticConfig
from exp.forecast_config import ForecastConfig
from exp.guard import GuardConfig
from exp.settings import RunConfig
from exp.state_keeper import CheckpointConfig
from exp.trainer import TrainerConfig
from exp.transfer_config import TransferConfig
from utils import flags
from utils.errors import UsageError

BROKEN: list[tuple[type, str, Any]] = [
    *((TrainerConfig, name, 0) for name in ("batch_size", "learning_rate", "micro_batch_size", "tmax")),
    *((TrainerConfig, name, -1) for name in ("weight_decay", "warmup_epochs")),
    (GuardConfig, "max_skipped_steps", -1),
    (GuardConfig, "clip_grad_norm", float("nan")),
    *((CheckpointConfig, name, -1) for name in ("checkpoint_minutes", "checkpoint_steps", "save_every_epochs")),
    (TransferConfig, "tune", "layers:0"),
    (TransferConfig, "rate_ratios", (1, 2)),
    (TransferConfig, "layer_decay", 0),
    (TransferConfig, "freeze_encoder_epochs", -1),
    (TransferConfig, "lora_rank", 0),
    (TransferConfig, "unfreeze_schedule", ("soon",)),
    (DataConfig, "seq_len", 0),
    (SplitConfig, "split_shares", (0.5, 0.5)),
    (CleaningConfig, "max_gap_hours", -1),
    (CleaningConfig, "clip_quantiles", (0.9, 0.1)),
    (SeriesConfig, "train_stride", 0),
    (SeriesConfig, "split_shares", (0.5, 0.6, 0.7)),
    (SeriesConfig, "split_rows", (3, 2, 1)),
    (ForecastConfig, "test_pred_len", 0),
    (RunConfig, "itr", 0),
    (SyntheticConfig, "years", (2022, 2019)),
    (SyntheticConfig, "seed", -1),
]


@pytest.mark.parametrize(("config", "name", "value"), BROKEN, ids=lambda part: getattr(part, "__name__", str(part)))
def test_a_refused_value_is_named_and_its_way_out_is_accepted(config: type, name: str, value: Any) -> None:
    """A hint that is refused as well sends its reader in a circle."""
    with pytest.raises(UsageError) as caught:
        config(**{name: value})
    error = caught.value
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    assert error.code == "CONFIG" and error.where == f"--{name}" and error.what.startswith(f"--{name} ")
    assert error.evidence == f"got {shown}"
    typed = error.next_command.split(", or")[0]
    words = [] if typed == f"leave --{name} out" else shlex.split(typed)
    (accepted,) = flags.parse("run.py", "", config, argv=words)
    assert not words or f"--{name}" in words
    assert isinstance(accepted, config)
