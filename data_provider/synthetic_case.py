"""SYNTHETIC table of the shape in which the case failed: five stacked regions with blank lags at their heads.

Three years, a row every 12 hours, 27 features: 5 x 2,190 rows. The weather is that of the random generator; what is
exact is the shape, and with it everything that made the case fail. See scripts/replay_case.sh.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from data_provider import features as feature_tools
from data_provider import precipitation as rain
from data_provider import synthetic_weather as weather
from data_provider.features import Feature, History
from data_provider.recipe import base_rates
from data_provider.regions import CASE, area_means, boxes_to_dict, weights
from data_provider.table_files import PRECIPITATION, encoded, require_netcdf_name, write_table
from data_provider.time_axis import examine
from data_provider.units import CORE
from utils import flags, signals
from utils.flag_rules import require

logger = logging.getLogger(__name__)

FIRST, AFTER_LAST = np.datetime64("2021-01-01T00", "h"), np.datetime64("2024-01-01T00", "h")
STEP_HOURS, LABEL_HOURS, DAY_HOURS = 12, 24, 24
# History before the first row, for the means over 7 days; lags do not get it (see `_feature`).
PRELUDE_HOURS = 7 * DAY_HOURS
# In the case 62 % of the training rows were rain; with this threshold the synthetic weather has as many.
THRESHOLD_MM = (0.12,)
LABEL_NAME = f"rain_{LABEL_HOURS}h"
TITLE = "SYNTHETIC data in the shape of the case, made by a random generator; not ERA5, not observed"


@dataclass(frozen=True, kw_only=True)
class SyntheticCaseConfig:
    """Where to write the table of the case."""

    output: str = field(
        default="datasets/processed/synthetic_case.nc",
        metadata={"help": "NetCDF file to write; a CSV and a JSON file of the same name are written beside it"},
    )
    seed: int = field(default=0, metadata={"help": "seed of the random generator; equal seeds make equal tables"})

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        require(self, "seed", self.seed >= 0, "cannot be negative")
        require_netcdf_name(self.output)


def write_synthetic_case(config: SyntheticCaseConfig) -> Path:
    """Write the table of the case as NetCDF, CSV and JSON.

    Args:
        config: the flags.

    Returns:
        the CSV file.

    Raises:
        StorageError: the files cannot be written; nothing new is left behind.
    """
    written = write_table(case_table(config.seed), Path(config.output))
    logger.info("wrote %s", ", ".join(map(str, written)))
    return Path(config.output).with_suffix(".csv")


def case_table(seed: int) -> xr.Dataset:
    """Make the table of the case.

    Args:
        seed: of the random generator.

    Returns:
        dims (time, region), 2,190 times of 5 regions, 27 features, rain and label of every row; the nine lags are NaN
        in the rows for which the record has no past: 2, 4 and 6 of them for 1, 2 and 3 days.
    """
    hours = np.arange(FIRST - PRELUDE_HOURS, AFTER_LAST + LABEL_HOURS).astype("datetime64[ns]")
    fields = weather.generate(hours, seed)
    matrix = weights(CASE, weather.LATITUDE, weather.LONGITUDE)
    regional = {name: area_means(fields[name], matrix) for name in CORE}
    in_table = slice(PRELUDE_HOURS, len(hours) - LABEL_HOURS, STEP_HOURS)
    amounts = rain.period_sums(
        regional["tp"],
        hours,
        examine(hours, where="the synthetic weather"),
        lead_time_hours=LABEL_HOURS,
        accumulation_hours=LABEL_HOURS,
    )[in_table]
    made = _features(regional, in_table)
    made[PRECIPITATION] = xr.Variable(("time", "region"), amounts.astype(np.float32), {"units": "mm"})
    made[LABEL_NAME] = xr.Variable(("time", "region"), rain.classes(amounts, THRESHOLD_MM))
    table = xr.Dataset(made, coords={"time": hours[in_table], "region": list(CASE)})
    table.attrs = _attributes(table, seed)
    return table


def _features(regional: dict[str, np.ndarray], in_table: slice) -> dict[str, xr.Variable]:
    """The 27 features on the rows of the table."""
    # What lies before the table keeps the step of the table, so that both kinds of history are read alike.
    sampled = {name: values[: in_table.stop : STEP_HOURS] for name, values in regional.items()}
    with_past = History(values=sampled, step_hours=STEP_HOURS)
    n_before = PRELUDE_HOURS // STEP_HOURS
    record = History(values={name: values[n_before:] for name, values in sampled.items()}, step_hours=STEP_HOURS)
    wanted = [feature for feature in feature_tools.FEATURES if feature.name in feature_tools.CASE_NAMES]
    return {
        feature.name: xr.Variable(
            ("time", "region"), _feature(feature, with_past, record).astype(np.float32), {"units": feature.unit}
        )
        for feature in wanted
    }


def _feature(feature: Feature, with_past: History, record: History) -> np.ndarray:
    """One feature `(T, R)`; lags shift the record itself, which is what left the blank rows of the case."""
    if "_lag_" in feature.name:
        return feature.make(record)
    return feature.make(with_past)[-len(record.values["tp"]) :]


def _attributes(table: xr.Dataset, seed: int) -> dict[str, object]:
    units = {str(name): str(values.attrs.get("units", "")) for name, values in table.data_vars.items()}
    return encoded(
        {
            "title": TITLE,
            "synthetic": 1,
            "feature_names": list(feature_tools.CASE_NAMES),
            "label_name": LABEL_NAME,
            "threshold_mm": list(THRESHOLD_MM),
            "accumulation_hours": LABEL_HOURS,
            "lead_time_hours": LABEL_HOURS,
            "step_hours": STEP_HOURS,
            "label_hours": f"{LABEL_HOURS} of {LABEL_HOURS}",
            "regions": boxes_to_dict(CASE),
            "recipe": {"generator": "data_provider.synthetic_case", "seed": seed},
            "source_files": {},
            "missing_features": [],
            "time_gaps": [],
            "preliminary": "",
            "attribution": "synthetic, not ERA5",
            "units": units,
            "base_rate": base_rates(table, LABEL_NAME),
        }
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    return flags.run_tool(
        "-m data_provider.synthetic_case",
        "Write the SYNTHETIC table on which scripts/replay_case.sh shows what went wrong in the case.",
        SyntheticCaseConfig,
        write_synthetic_case,
        argv=argv,
    )


if __name__ == "__main__":
    signals.install()
    sys.exit(main())
