"""Small prepared tables whose rain can be learned, written as a user's own CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FEATURES = ("tp", "t2m", "sp", "wind_direction")


def frame(
    *, n_times: int = 1500, regions: tuple[str, ...] = ("costa", "sierra"), step_hours: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Return `timestamp, region, <features>, precipitation, rain_24h`, region after region."""
    generator = np.random.default_rng(seed)
    steps_a_day = 24 // step_hours
    parts = []
    for number, region in enumerate(regions):
        times = pd.date_range("2019-01-01", periods=n_times, freq=f"{step_hours}h")
        slow = np.convolve(generator.normal(size=n_times + 200), np.ones(48) / 7, mode="same")[:n_times]
        rain_mm = np.maximum(0, slow + 0.3 * generator.normal(size=n_times) - 0.5) * (1 + number)
        total = np.concatenate([[0], np.cumsum(rain_mm)])
        future = np.full(n_times, np.nan)
        future[: n_times - steps_a_day] = total[1 + steps_a_day :] - total[1 : n_times - steps_a_day + 1]
        part = pd.DataFrame(
            {
                "timestamp": times,
                "region": region,
                "tp": rain_mm / 1000,
                "t2m": 290 + 5 * np.sin(np.arange(n_times) * 2 * np.pi / steps_a_day) + generator.normal(size=n_times),
                "sp": 90_000 + 300 * slow,
                "wind_direction": generator.uniform(0, 360, n_times),
                "precipitation": future,
                "rain_24h": np.where(np.isnan(future), np.nan, future >= 3.0),
            }
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def write(folder: Path, name: str = "table.csv", content: pd.DataFrame | None = None) -> Path:
    """Write a table as CSV and return its path."""
    path = folder / name
    (frame() if content is None else content).to_csv(path, index=False)
    return path
