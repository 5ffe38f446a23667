"""How a table is made from a regional Dataset, and what is said about it.

The recipe is stored with the table, so that prediction makes the same columns from new files.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

import numpy as np
import xarray as xr

from data_provider import features as feature_tools
from data_provider import precipitation as rain
from data_provider.era5 import ATTRIBUTION
from data_provider.table_files import PRECIPITATION, decoded, encoded
from data_provider.time_axis import TimeAxis

logger = logging.getLogger(__name__)

LINES_OF_REGIONS = 12
GAPS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a table is made from a regional Dataset; stored with it, so that prediction makes the same."""

    lead_time_hours: int
    accumulation_hours: int
    stamps_per_period: int
    threshold_mm: tuple[float, ...]
    columns: tuple[str, ...]

    @property
    def label_name(self) -> str:
        """Name of the label's column, such as ``rain_24h``."""
        return f"rain_{self.accumulation_hours}h"


def apply_recipe(regional: xr.Dataset, recipe: Recipe, axis: TimeAxis) -> xr.Dataset:
    """Make the columns of a table; labels are -1 and rain NaN where the label period is not complete.

    Args:
        regional: dims (time, region); without tp all labels are unknown.
        recipe: how.
        axis: description of its times.
    """
    table = feature_tools.make_features(regional, recipe.columns, axis=axis)
    times = regional["time"].values
    shape = (len(times), regional.sizes["region"])
    tp = regional["tp"].values if "tp" in regional else np.full(shape, np.nan, dtype=np.float32)
    amounts = rain.period_sums(
        tp,
        times,
        axis,
        lead_time_hours=recipe.lead_time_hours,
        accumulation_hours=recipe.accumulation_hours,
        stamps_needed=recipe.stamps_per_period,
    )
    units = {str(name): str(table[name].attrs["units"]) for name in table.data_vars} | {PRECIPITATION: "mm"}
    period = f"(t + {recipe.lead_time_hours - recipe.accumulation_hours} h, t + {recipe.lead_time_hours} h]"
    table[PRECIPITATION] = (
        ("time", "region"),
        amounts.astype(np.float32),
        {"units": "mm", "long_name": f"precipitation summed over {period}"},
    )
    table[recipe.label_name] = (
        ("time", "region"),
        rain.classes(amounts, recipe.threshold_mm),
        {"long_name": f"number of thresholds reached by the precipitation of {period}"},
    )
    step = int(axis.step_hours) if axis.step_hours.is_integer() else axis.step_hours
    table.attrs = encoded(
        {
            "feature_names": list(recipe.columns),
            "label_name": recipe.label_name,
            "threshold_mm": list(recipe.threshold_mm),
            "accumulation_hours": recipe.accumulation_hours,
            "lead_time_hours": recipe.lead_time_hours,
            "step_hours": step,
            "label_hours": f"{recipe.stamps_per_period} of {recipe.accumulation_hours}",
            "synthetic": regional.attrs["synthetic"],
            "regions": json.loads(regional.attrs["regions"]),
            "region_latitude": json.loads(regional.attrs["region_latitude"]),
            "source_files": json.loads(regional.attrs["source_files"]),
            "grid": regional.attrs["grid"],
            "attribution": "synthetic, not ERA5" if regional.attrs["synthetic"] else ATTRIBUTION,
            "preliminary": regional.attrs["preliminary"],
            "time_gaps": [str(gap) for gap in axis.gaps],
            "units": units,
        }
    )
    return table


def base_rates(table: xr.Dataset, label_name: str) -> dict[str, float]:
    """Share of known labels that are rain (reach the first threshold), by region."""
    label = table[label_name].values
    known = (label != rain.MISSING_CLASS).sum(axis=0)
    rates = (label > 0).sum(axis=0) / np.maximum(known, 1)
    return {str(name): round(float(rate), 4) for name, rate in zip(table["region"].values, rates, strict=True)}


def report(table: xr.Dataset, axis: TimeAxis, recipe: Recipe) -> None:
    """Say in a few lines what the table holds and what it lacks."""
    attributes = decoded(table.attrs)
    label = table[recipe.label_name].values
    logger.info("record: %s", axis)
    for gap in axis.gaps[:GAPS_SHOWN]:
        logger.warning("TIME_GAP: %s", gap)
    if len(axis.gaps) > GAPS_SHOWN:
        logger.warning("TIME_GAP: and %d more gaps; all are listed in the JSON file", len(axis.gaps) - GAPS_SHOWN)
    if attributes["preliminary"]:
        logger.info("preliminary data (ERA5T) in %s; final data may differ", attributes["preliminary"])
    if attributes["missing_features"]:
        logger.info("features that cannot be made from these files: %s", " ".join(attributes["missing_features"]))
    if recipe.stamps_per_period != recipe.accumulation_hours:
        logger.warning(
            "LABEL_HOURS: the label is the sum of %s hours, not %d-hour rain",
            attributes["label_hours"],
            recipe.accumulation_hours,
        )
    counts = np.bincount(label[label != rain.MISSING_CLASS], minlength=len(recipe.threshold_mm) + 1)
    shares = [f"class {number}: {share:.3f}" for number, share in enumerate(counts / counts.sum())]
    if (counts == 0).any():
        logger.warning("no label at all of class %s", ", ".join(map(str, np.flatnonzero(counts == 0))))
    logger.info(
        "labels: %d of %d complete; %s; rain is >= %g mm in %d h",
        int((label >= 0).sum()),
        label.size,
        ", ".join(shares),
        recipe.threshold_mm[0],
        recipe.accumulation_hours,
    )
    rates = attributes["base_rate"]
    for name, rate in list(rates.items())[:LINES_OF_REGIONS]:
        logger.info("base rate of rain in %s: %.3f", name, rate)
    if len(rates) > LINES_OF_REGIONS:
        logger.info(
            "and %d more regions, from %.3f to %.3f",
            len(rates) - LINES_OF_REGIONS,
            min(rates.values()),
            max(rates.values()),
        )
