"""ERA5 files -> the processed table that training reads: python -m data_provider.prepare --help.

Files as delivered -> regional means -> features and label -> one NetCDF, one CSV and one JSON file.
"""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from data_provider import features as feature_tools
from data_provider import precipitation as rain
from data_provider.era5 import find_files
from data_provider.recipe import Recipe, apply_recipe, base_rates, report
from data_provider.regional import build_regional, missing_variables
from data_provider.regions import Box, Boxes
from data_provider.table_files import (
    PRECIPITATION,
    decoded,
    encoded,
    require_netcdf_name,
    require_writable,
    write_table,
)
from data_provider.time_axis import TimeAxis, examine
from utils import flags, signals
from utils.errors import DataError, UsageError

logger = logging.getLogger(__name__)

FIRST_YEAR, LAST_YEAR = 1940, 2100
EXAMPLES = """examples:
  python -m data_provider.prepare --input_dir datasets/raw_era5 --years 2019 2024
  python -m data_provider.prepare --regions case --threshold_mm 0.1 1 10        (four classes)
  python -m data_provider.prepare --regions cells --lead_time_hours 48 --accumulation_hours 24
  python -m data_provider.prepare --input_dir datasets/synthetic_era5 --output datasets/processed/synthetic_peru.nc

what each variable, column and region is: docs/data.md"""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """What to prepare, from where, to where. A field is a flag."""

    input_dir: str = field(
        default="datasets/raw_era5", metadata={"help": "folder with ERA5 files as delivered (ZIPs named .nc included)"}
    )
    output: str = field(
        default="datasets/processed/peru_rainfall.nc",
        metadata={"help": "NetCDF file to write; a CSV and a JSON file of the same name are written beside it"},
    )
    regions: str = field(
        default="default",
        metadata={
            "help": "default (nine boxes of Peru), case (the notes' five overlapping boxes), grid_columns (one region "
            "per longitude), cells (one per grid cell), or FILE.yaml with lines  name: {north, west, south, east}"
        },
    )
    years: tuple[int, ...] | None = field(
        default=None, metadata={"help": "one year, or FIRST LAST; all years of the files by default"}
    )
    lead_time_hours: int = field(
        default=24, metadata={"help": "hours from the forecast to the end of the label period"}
    )
    accumulation_hours: int | None = field(
        default=None, metadata={"help": "length of the label period in hours; min(24, lead) by default"}
    )
    threshold_mm: tuple[float, ...] = field(
        default=(0.1,),
        metadata={"help": "rain from this amount in MILLIMETRES in the label period; several make several classes"},
    )
    columns: tuple[str, ...] | None = field(
        default=None, metadata={"help": "keep only these features (always in the order of the table); all by default"}
    )
    allow_incomplete_hours: bool = field(
        default=False,
        metadata={"help": "label data that are not hourly with the sum of the hours there are, and record it"},
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be right, naming flag, value and way out."""
        rain.accumulation_for(self.lead_time_hours, self.accumulation_hours)
        rain.check_thresholds(self.threshold_mm)
        _check_years(self.years or ())
        _check_columns(self.columns or ())
        require_netcdf_name(self.output)

    @property
    def accumulation(self) -> int:
        """Length of the label period in hours."""
        return rain.accumulation_for(self.lead_time_hours, self.accumulation_hours)

    @property
    def all_years(self) -> tuple[int, ...]:
        """Every year asked for; empty for all there are."""
        return tuple(range(self.years[0], self.years[-1] + 1)) if self.years else ()


def prepare(config: PrepareConfig) -> Path:
    """Prepare a table and write its three files.

    Args:
        config: the flags.

    Returns:
        the NetCDF file; the CSV and the JSON file stand beside it.

    Raises:
        DataError: data missing, foreign, damaged, out of range, not hourly, of one class (exit code 3).
        UsageError: flags that do not fit the data (2).
        StorageError: the output cannot be written (6). Nothing is left half written.
    """
    output = Path(config.output)
    paths = find_files(Path(config.input_dir))
    require_writable(output)
    regional = build_regional(paths, config.regions, years=config.all_years)
    table = make_table(regional, config)
    written = write_table(table, output)
    logger.info("wrote %s", ", ".join(map(str, written)))
    return output


def make_table(regional: xr.Dataset, config: PrepareConfig) -> xr.Dataset:
    """Features, rain and label from a regional Dataset; reports what was found and what is missing.

    Args:
        regional: as from `build_regional`.
        config: the flags.

    Returns:
        the table: dims (time, region), attributes as in the NetCDF file.

    Raises:
        DataError: ``LABEL_HOURS``, ``LEAD_TOO_LONG``, ``TIME_GAP`` (stamps off a regular grid),
            ``DATA_VARIABLE_MISSING``, ``ONE_CLASS``.
    """
    times, tp = regional["time"].values, regional["tp"].values
    stamps = rain.require_hours(
        times[~np.isnan(tp).all(axis=1)],
        accumulation_hours=config.accumulation,
        allow_incomplete=config.allow_incomplete_hours,
        where=config.input_dir,
    )
    axis = examine(times, where=config.input_dir)
    rain.require_record(config.lead_time_hours, axis.first, axis.last, where=config.input_dir)
    variables = tuple(map(str, regional.data_vars))
    recipe = Recipe(
        lead_time_hours=config.lead_time_hours,
        accumulation_hours=config.accumulation,
        stamps_per_period=stamps,
        threshold_mm=tuple(config.threshold_mm),
        columns=_columns_to_make(config.columns or (), variables, axis, where=config.input_dir),
    )
    table = apply_recipe(regional, recipe, axis)
    _require_labels(table, recipe, axis, where=config.input_dir)
    attributes = {
        "title": ("SYNTHETIC data, made by a random generator, not ERA5: " if regional.attrs["synthetic"] else "")
        + "features and rain label by region and time",
        "missing_features": list(feature_tools.missing(variables, axis.step_hours)),
        "base_rate": base_rates(table, recipe.label_name),
        "recipe": _recipe_record(recipe, config),
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    table.attrs |= encoded(attributes)
    report(table, axis, recipe)
    return table


def prepare_for_prediction(input_dir: str | Path, attributes: dict[str, Any]) -> xr.Dataset:
    """Make from new ERA5 files the table that a trained run expects; nothing is written.

    Args:
        input_dir: folder (or one file) with ERA5 as delivered.
        attributes: those of the table the run was trained with, from its NetCDF or its JSON file.

    Returns:
        table with the same regions and columns; precipitation NaN and label -1 where the label period is not complete.

    Raises:
        DataError: ``DATA_VARIABLE_MISSING`` naming what the run needs, ``STEP_MISMATCH`` for another time step, and
            all that reading refuses.
    """
    trained = decoded(attributes)
    columns = tuple(trained["feature_names"])
    needed = feature_tools.needs(columns)
    boxes: Boxes = {name: Box(**edges) for name, edges in trained["regions"].items()}
    regional = build_regional(
        find_files(Path(input_dir)), boxes, variables=tuple(dict.fromkeys((*needed, "tp"))), required=needed
    )
    absent = [name for name in needed if name not in regional]
    if absent:
        raise missing_variables(absent, tuple(map(str, regional.data_vars)), where=str(input_dir))
    axis = examine(regional["time"].values, where=str(input_dir))
    if axis.n > 1 and axis.step_hours != trained["step_hours"]:
        raise DataError(
            "STEP_MISMATCH",
            "the new files have another time step than the table the run was trained with",
            where=str(input_dir),
            evidence=f"a stamp every {axis.step_hours:g} h, trained on every {trained['step_hours']:g} h",
            next_command="download files of the same step (docs/data.md says what to ask for)",
        )
    recipe = Recipe(
        lead_time_hours=trained["lead_time_hours"],
        accumulation_hours=trained["accumulation_hours"],
        stamps_per_period=trained["recipe"]["stamps_per_period"],
        threshold_mm=tuple(trained["threshold_mm"]),
        columns=columns,
    )
    logger.info("new data: %s", axis)
    return apply_recipe(regional, recipe, axis)


def _recipe_record(recipe: Recipe, config: PrepareConfig) -> dict[str, Any]:
    return {
        "regions": config.regions,
        "years": list(config.all_years),
        "lead_time_hours": recipe.lead_time_hours,
        "accumulation_hours": recipe.accumulation_hours,
        "stamps_per_period": recipe.stamps_per_period,
        "threshold_mm": list(recipe.threshold_mm),
        "columns": list(recipe.columns),
        "allow_incomplete_hours": config.allow_incomplete_hours,
    }


def _columns_to_make(
    columns: Sequence[str], variables: Sequence[str], axis: TimeAxis, *, where: str
) -> tuple[str, ...]:
    possible = feature_tools.makeable(variables, axis.step_hours)
    impossible = [name for name in columns if name not in possible]
    if impossible:
        absent = [name for name in feature_tools.needs(impossible) if name not in variables]
        if absent:
            raise missing_variables(absent, variables, where=f"{where}, for --columns {' '.join(impossible)}")
        raise UsageError(
            "CONFIG",
            f"{', '.join(impossible)} cannot be made from data that come every {axis.step_hours:g} h",
            where="--columns",
            evidence="its history is not a multiple of the step",
            next_command=f"--columns {' '.join(possible)}",
        )
    return tuple(name for name in possible if not columns or name in columns)


def _require_labels(table: xr.Dataset, recipe: Recipe, axis: TimeAxis, *, where: str) -> None:
    label = table[recipe.label_name].values
    if not (label != rain.MISSING_CLASS).any():
        raise DataError(
            "LABEL_HOURS",
            f"no label period of {recipe.accumulation_hours} hours is complete",
            where=where,
            evidence=f"the record: {axis}; a label needs {recipe.lead_time_hours} h after its time",
            next_command="add more files, or ask for a shorter --lead_time_hours",
        )
    rain.require_two_classes(label, table[PRECIPITATION].values, recipe.threshold_mm)


def _check_years(years: Sequence[int]) -> None:
    if len(years) > 2 or list(years) != sorted(years) or any(not FIRST_YEAR <= year <= LAST_YEAR for year in years):
        raise UsageError(
            "CONFIG",
            f"--years takes one year, or the first and the last, from {FIRST_YEAR} on",
            where="--years",
            evidence=f"got {' '.join(map(str, years))}",
            next_command="--years 2019   or   --years 2019 2024",
        )


def _check_columns(columns: Sequence[str]) -> None:
    unknown = [name for name in columns if name not in feature_tools.NAMES]
    if unknown:
        near = difflib.get_close_matches(unknown[0], feature_tools.NAMES, n=1)
        raise UsageError(
            "CONFIG",
            f"unknown feature {unknown[0]}" + (f"; did you mean {near[0]}?" if near else ""),
            where="--columns",
            evidence=f"known: {' '.join(feature_tools.NAMES)}",
            next_command="name features of the list, or leave --columns out for all of them",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    description = (
        "Turn ERA5 files, exactly as the Climate Data Store delivers them, into the table that run.py trains on."
    )
    return flags.run_tool("-m data_provider.prepare", description, PrepareConfig, prepare, argv=argv, epilog=EXAMPLES)


if __name__ == "__main__":
    signals.install()
    sys.exit(main())
