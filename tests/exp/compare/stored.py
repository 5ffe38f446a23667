"""Run directories written by hand, so that a test may say what stands in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DAYS, REGIONS = 100, ("costa", "sierra")


def write(
    folder: Path,
    model: str = "resnet1d",
    seed: int = 0,
    *,
    first: str = "2024-01-01",
    days: int = DAYS,
    thresholds: tuple[float, ...] = (0.1,),
    skill: float = 0.5,
    flags: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
    splits: Mapping[str, Any] | None = None,
    validation: bool = True,
) -> Path:
    """Write a finished run and return its directory.

    Args:
        folder: of the experiment.
        model: its name.
        seed: of the run; the rain itself depends on the day alone.
        first: first day of the test split; validation is the year before.
        days: of the test split.
        thresholds: in millimetres.
        skill: 1 knows the rain, 0 nothing of it.
        flags: other flags in config.json.
        scores: other entries of scores.json.
        splits: other entries of its splits.
        validation: write the validation forecasts too.
    """
    number = len(list(folder.glob("*"))) if folder.is_dir() else 0
    run = folder / f"{model}-seed{seed}-20260101-{number:06d}"
    run.mkdir(parents=True)
    generator = np.random.default_rng(seed + 100 * sum(map(ord, model)))
    frame(first, days, thresholds, skill, generator).to_csv(run / "predictions.csv", index=False)
    if validation:
        start = pd.Timestamp(first) - pd.DateOffset(years=1)
        frame(str(start), DAYS, thresholds, skill, generator).to_csv(run / "validation_predictions.csv", index=False)
    ends = {"train_end": "2022-12-31T00", "validation_end": "2023-12-31T00", "windows": {"train": 500}}
    given = {"task_name": "classification", "model": model, "seed": seed, "model_id": folder.name, "seq_len": 24}
    config = {"flags": given | dict(flags or {}), "splits": ends | dict(splits or {}), "regions": list(REGIONS)}
    own = {
        "model": model,
        "seed": seed,
        "synthetic": False,
        "threshold_mm": list(thresholds),
        "cut": [0.5] * len(thresholds),
        "cut_score": "macro_f1",
        "lead_time_hours": 24,
        "accumulation_hours": 24,
        "cost": {},
        "skipped_steps": 0,
        "collapsed": False,
        "test": {},
    }
    (run / "config.json").write_text(json.dumps(config))
    (run / "scores.json").write_text(json.dumps(own | dict(scores or {})))
    return run


def frame(
    first: str, days: int, thresholds: tuple[float, ...], skill: float, generator: np.random.Generator
) -> pd.DataFrame:
    """Return predictions as a run writes them; the class of a day and region is always the same."""
    times = pd.date_range(first, periods=days, freq="D")
    rows = pd.MultiIndex.from_product([times, REGIONS], names=["init_time", "region"]).to_frame(index=False)
    rain = np.array([hash_of(time, region) for time, region in zip(rows.init_time, rows.region, strict=True)])
    levels = np.linspace(0.4, 0.8, len(thresholds))
    observed = sum((rain > level).astype(int) for level in levels)
    for place, threshold in enumerate(thresholds):
        reached = observed > place
        noise = generator.random(len(rows))
        probability = np.clip(skill * (0.1 + 0.8 * reached) + (1 - skill) * noise, 0, 1)
        rows[f"probability_{threshold:g}mm"] = probability
        rows[f"forecast_{threshold:g}mm"] = (probability >= 0.5).astype(int)
        rows[f"climatology_{threshold:g}mm"] = 1 - levels[place]
        rows[f"persistence_{threshold:g}mm"] = np.roll(reached, len(REGIONS)).astype(float)
    return rows.assign(observed_class=observed, observed_precipitation_mm=rain)


def hash_of(time: pd.Timestamp, region: str) -> float:
    """Return a number between 0 and 1 that looks like chance and is always the same for a day and region."""
    return float(np.random.default_rng([time.dayofyear, time.year, len(region)]).random())


def runs_of(folder: Path, model: str) -> list[Path]:
    """Return the runs of a model in a folder, in the order of their seeds."""
    return sorted(folder.glob(f"{model}-seed*"))
