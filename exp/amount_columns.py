"""Forecast amounts as columns of predictions.csv, and back: all scores can be made again from the file alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from utils import rain_scale
from utils.amounts import AmountForecasts, Amounts

OBSERVED, PERSISTENCE, OF_CLIMATOLOGY = "observed_precipitation_mm", "persistence_mm", "climatology_"


def of_forecasts(forecasts: AmountForecasts) -> dict[str, np.ndarray]:
    """Return what the file holds of scored amounts, by column: forecast, climatology and persistence, in mm."""
    climatology = of_forecast(forecasts.climatology)
    return {
        **of_forecast(forecasts.forecast),
        **{f"{OF_CLIMATOLOGY}{name}": values for name, values in climatology.items()},
        PERSISTENCE: forecasts.persistence.median,
    }


def of_forecast(amounts: Amounts) -> dict[str, np.ndarray]:
    """Return median, mean and quantiles by column name; the name of a quantile has its level in per cent."""
    names = _quantiles(amounts.quantiles.shape[1])
    return {
        "median_mm": amounts.median,
        "mean_mm": amounts.mean,
        **dict(zip(names, amounts.quantiles.T, strict=True)),
    }


def needed(n_quantiles: int) -> list[str]:
    """Return the columns that `read` needs, but for times and regions."""
    own = ["mean_mm", *_quantiles(n_quantiles)]
    return [*own, *(f"{OF_CLIMATOLOGY}{name}" for name in own), PERSISTENCE, OBSERVED]


def read(frame: pd.DataFrame, n_quantiles: int) -> AmountForecasts:
    """Make forecasts of the rows of a file, in their order; it has the columns that are needed."""
    said_once = frame[PERSISTENCE].to_numpy(dtype=np.float64)
    return AmountForecasts(
        init_time=frame["init_time"].to_numpy().astype("datetime64[s]"),
        region=frame["region"].to_numpy().astype(str),
        # A table holds single precision, and its decimals in the file are those of single precision.
        observed=frame[OBSERVED].to_numpy(dtype=np.float32).astype(np.float64),
        forecast=_amounts(frame, n_quantiles, ""),
        climatology=_amounts(frame, n_quantiles, OF_CLIMATOLOGY),
        persistence=Amounts(np.repeat(said_once[:, None], n_quantiles, axis=1), said_once),
    )


def _amounts(frame: pd.DataFrame, n_quantiles: int, prefix: str) -> Amounts:
    quantiles = frame[[f"{prefix}{name}" for name in _quantiles(n_quantiles)]].to_numpy(dtype=np.float64)
    return Amounts(quantiles, frame[f"{prefix}mean_mm"].to_numpy(dtype=np.float64))


def _quantiles(count: int) -> list[str]:
    return [f"quantile_{100 * level:.4g}_mm" for level in rain_scale.levels(count)]
