"""Sets of flags by name: `--preset small`. Flags typed beside a preset win over it."""

from __future__ import annotations

import difflib
from typing import Any

from utils.errors import UsageError

# Our own pre-trained encoder: 0.8 million parameters, 3 MB, daily tokens, all variables in one window. No instance
# norm, since it erases the level of humidity and pressure.
ENCODER: dict[str, Any] = {
    "e_layers": 4,
    "d_model": 128,
    "d_ff": 512,
    "n_heads": 4,
    "input_token_len": 24,
    "output_token_len": 24,
    "seq_len": 168,
}
# What the presets tiny and best share: an encoder that trains on two cores in minutes, and how it is read.
TINY: dict[str, Any] = {
    "e_layers": 2,
    "d_model": 64,
    "d_ff": 128,
    "n_heads": 4,
    "input_token_len": 24,
    "output_token_len": 24,
    "encoder_features": "states",
    "pooling": "last",
    "variate_pooling": "concat",
    "dropout": 0.0,
    "learning_rate": 1e-3,
    "cosine": True,
    "patience": 2,
}
# Name -> what it is, for the help, and its flags.
_DESCRIBED: dict[str, tuple[str, dict[str, Any]]] = {
    # A classifier of its sizes: each variable's newest state, side by side.
    "encoder": (
        "a classifier of the size of our own small encoder",
        ENCODER
        | {
            "encoder_features": "states",
            "pooling": "last",
            "variate_pooling": "concat",
            "head_dropout": 0.5,
            "batch_size": 32,
            "learning_rate": 3e-4,
            "weight_decay": 0.05,
            "warmup_epochs": 1.0,
            "cosine": True,
        },
    ),
    # Next-token training of that encoder on a folder of series (scripts/pretrain.sh).
    "pretrain": (
        "next-token training of that encoder on a folder of series",
        ENCODER
        | {
            "variates": "multivariate",
            "test_pred_len": 24,
            "train_stride": 7,
            "test_stride": 48,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "weight_decay": 0.05,
            "warmup_epochs": 0.1,
            "cosine": True,
            "train_epochs": 6,
            "patience": 3,
        },
    ),
    # Option A of the case: the size of the released checkpoint.
    "full": (
        "option A of the case, the size of the released checkpoint",
        {"e_layers": 8, "d_model": 1024, "d_ff": 2048, "n_heads": 8, "seq_len": 1440, "learning_rate": 1e-4},
    ),
    # Option B of the case: four layers, 30 days of hourly context.
    "small": (
        "option B of the case, 4 layers and 30 days of context",
        {"e_layers": 4, "d_model": 512, "d_ff": 1024, "n_heads": 8, "seq_len": 720, "learning_rate": 1e-3},
    ),
    # Trains on two cores in minutes: daily tokens over a week (two weeks cost twice the time and gained nothing), each
    # variable read out on its own, the last day beside it. No instance norm, since it erases the level of humidity
    # and pressure. Dropout in the head alone: inside the encoder it halves the speed and gained nothing.
    "tiny": (
        "trains on two cores in minutes",
        TINY
        | {
            "seq_len": 168,
            "last_hours": 24,
            "head_dropout": 0.3,
            "batch_size": 128,
            "weight_decay": 0.05,
            "warmup_epochs": 0.5,
            "train_epochs": 5,
        },
    ),
    # What did best in validation on ERA5 Yerevan (docs/log.md): a tiny encoder of the newest week, and features of a
    # month. A window every three hours: there are few weeks of rain, and neighbours differ a little.
    "best": (
        "reads features of the past month beside a tiny encoder; the most skilful one here, minutes on two cores",
        TINY
        | {
            "seq_len": 720,
            "encoder_hours": 168,
            "history_features": True,
            "feature_dropout": 0.5,
            "head_hidden": 128,
            "head_dropout": 0.6,
            "batch_size": 512,
            "sample_stride_hours": 3,
            "weight_decay": 0.1,
            "warmup_epochs": 0.4,
            "train_epochs": 4,
        },
    ),
    # On top of another preset, when NaN persists: a low rate that is warmed up, tight clipping, nothing left missing.
    # Slower to learn and, where nothing was wrong, no better (docs/nan.md).
    "cautious": (
        "on top of another, where NaN persists: low rate, tight clipping",
        {
            "learning_rate": 1e-4,
            "warmup_epochs": 1.0,
            "cosine": True,
            "clip_grad_norm": 0.5,
            "fill": "forward_then_zero",
            "drop_bad_windows": True,
            "amp": "off",
        },
    ),
    # On top of another preset, for a loaded encoder: the values of the forgery notes. Rates of encoder, neck and head
    # 5e-5, 2e-4 and 5e-4, three epochs of warm-up, then a cosine that begins again every ten, tight clipping.
    "staged": (
        "on top of another, for a loaded encoder: a rate for each part",
        {
            "learning_rate": 5e-5,
            "rate_ratios": (1.0, 4.0, 10.0),
            "warmup_epochs": 3.0,
            "cosine": True,
            "restart_epochs": 10.0,
            "min_learning_rate": 1e-8,
            "clip_grad_norm": 0.5,
        },
    ),
    # For tests and a first look: seconds, no skill to be expected.
    "smoke": (
        "seconds, for tests and a first look; no skill",
        {
            "e_layers": 1,
            "d_model": 16,
            "d_ff": 32,
            "n_heads": 2,
            "input_token_len": 24,
            "output_token_len": 24,
            "seq_len": 96,
            "sample_stride_hours": 24,
            "batch_size": 64,
            "train_epochs": 1,
            "boosting_trees": 20,
        },
    ),
}
PRESETS = {name: flags for name, (_, flags) in _DESCRIBED.items()}
ABOUT = {name: about for name, (about, _) in _DESCRIBED.items()}


def flags_of(name: str) -> dict[str, Any]:
    """Return the flags of a preset.

    Raises:
        UsageError: there is no such preset.
    """
    if name in PRESETS:
        return PRESETS[name]
    close = difflib.get_close_matches(name.lower(), PRESETS, n=1)
    raise UsageError(
        "CONFIG",
        f"There is no preset {name!r}.",
        where="--preset",
        evidence=f"presets: {', '.join(PRESETS)}",
        next_command=f"--preset {close[0] if close else 'small'}",
    )
