"""The prepared table in memory: regions x times x features, with its label and where it came from.

Read from the CSV with pandas alone (training itself needs no xarray; scoring does) or from the NetCDF. A user's own CSV
is read too: `timestamp, region, <features>`, a label `rain_<n>h` and, if there, `precipitation` in mm.
Source of the layout: docs/data.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_provider import row_checks, table_rows
from data_provider.csv_rows import TARGET_COLUMN, decode_attributes, read_csv
from data_provider.precipitation import require_record
from data_provider.table_errors import PREPARE_COMMANDS, missing_table, not_a_table, unreadable
from data_provider.table_rows import UNKNOWN_LABEL, RowNotes, Rows
from utils.errors import DataError
from utils.findings import require_no_error

if TYPE_CHECKING:
    import xarray as xr

DEFAULT_THRESHOLDS_MM = (0.1,)


@dataclass(frozen=True)
class RainTable:
    """A prepared table on a regular time axis.

    Attributes:
        times: `(T,)` datetime64[s], one step apart.
        regions: `R` names.
        features: `C` names.
        values: `(R, T, C)` float32, NaN where a value is missing.
        present: `(R, T)` False where the source has no row for this hour, or one that is blank in every feature.
        label: `(R, T)` int8 class, -1 where the label period is not complete.
        precipitation_mm: `(R, T)` float32, rain in millimetres summed over the label period.
        attributes: recipe and provenance, see docs/data.md.
        source: the file it was read from.
        notes: what its rows were like in the file.
    """

    times: np.ndarray
    regions: tuple[str, ...]
    features: tuple[str, ...]
    values: np.ndarray
    present: np.ndarray
    label: np.ndarray
    precipitation_mm: np.ndarray
    attributes: dict[str, Any]
    source: Path
    notes: RowNotes = field(default_factory=RowNotes)

    @property
    def step_hours(self) -> int:
        """Hours between two rows of a region."""
        return int((self.times[1] - self.times[0]) / np.timedelta64(1, "h"))

    @property
    def lead_time_hours(self) -> int:
        """Hours from the init time to the end of the label period."""
        return int(self.attributes["lead_time_hours"])

    @property
    def accumulation_hours(self) -> int:
        """Length of the label period in hours."""
        return int(self.attributes["accumulation_hours"])

    @property
    def thresholds_mm(self) -> tuple[float, ...]:
        """Rain thresholds in millimetres that separate the classes."""
        return _thresholds(self.attributes)

    @property
    def n_classes(self) -> int:
        """Number of classes: one more than thresholds."""
        return len(self.thresholds_mm) + 1

    @property
    def region_latitude(self) -> dict[str, float]:
        """Mean latitude in degrees north of the regions for which the table says it.

        A table of an earlier version says where the boxes of its regions are; their middle is taken.
        """
        boxes = {name: box for name, box in _mapping(self.attributes, "regions").items() if isinstance(box, dict)}
        middle = {
            name: (box["north"] + box["south"]) / 2
            for name, box in boxes.items()
            if _is_number(box.get("north")) and _is_number(box.get("south"))
        }
        known = middle | _mapping(self.attributes, "region_latitude")
        return {name: float(known[name]) for name in self.regions if _is_number(known.get(name))}

    @property
    def is_synthetic(self) -> bool:
        """True for the embedded data set, which must never pass for ERA5."""
        return bool(int(self.attributes.get("synthetic", 0)))

    def place(self, region: int, row: int) -> str:
        """Name a row of a region in a message: its time and, where there are lines, its line in the file."""
        line = 0 if self.notes.lines is None else int(self.notes.lines[region, row])
        return f"{self.times[row]}" + (f" (line {line})" if line else "")


def require_table(path: Path) -> None:
    """Raise DataError, with the commands that make a table, when there is no such file."""
    if not path.is_file():
        raise missing_table(path)


def read_table(path: Path) -> RainTable:
    """Read a prepared table from `.csv` or `.nc`, and refuse rows that nothing can be learned from.

    Raises:
        DataError: the file is missing or no prepared table; times that are irregular or stand there twice with
            different values; infinite values; labels that are no class.
    """
    table = read_table_leniently(path)
    require_no_error(row_checks.inspect_rows(table))
    return table


def read_table_leniently(path: Path) -> RainTable:
    """Read a table that may hold infinite values, contradicting rows or wrong labels, so that all can be listed.

    Such a table is for looking at: `data_provider.factory.load_splits` lets nothing of that kind through to training.

    Raises:
        DataError: the file is missing or no prepared table, its times are irregular, or its lead is longer than it.
    """
    require_table(path)
    if path.suffix == ".nc":
        table = table_from_dataset(_open_netcdf(path), path)
    else:
        table = _table(*read_csv(path), path)
    # Of a table that is only predicted from, the label may lie after the last row.
    require_record(table.lead_time_hours, table.times[0], table.times[-1], where=str(path))
    return table


def table_from_dataset(dataset: xr.Dataset, source: Path) -> RainTable:
    """Turn a prepared Dataset (time, region) into a table; nothing is refused that `read_table_leniently` reads.

    It may be shorter than its lead: a forecast is made without a label.

    Raises:
        DataError: label or feature names are not recorded in the attributes.
    """
    attributes = decode_attributes(dataset.attrs)
    features = tuple(attributes.get("feature_names", ()))
    label_name = attributes.get("label_name", "")
    missing = [name for name in (*features, label_name) if name not in dataset]
    if not features or missing:
        raise not_a_table(
            "This NetCDF file is not a prepared table.",
            source,
            f"attributes feature_names and label_name must name variables; missing: {missing or 'both'}",
        )
    ordered = dataset.transpose("region", "time", ...)
    label = ordered[label_name].to_numpy().astype(np.float64)
    values = np.stack([ordered[name].to_numpy().astype(np.float32) for name in features], axis=-1)
    n_regions, n_times = label.shape
    rows = Rows(
        region=np.repeat(np.arange(n_regions), n_times),
        times=np.tile(ordered["time"].to_numpy().astype("datetime64[s]"), n_regions),
        values=values.reshape(-1, len(features)),
        # Here, other than in a CSV, -1 is how "not known" is stored.
        label=np.where(label == UNKNOWN_LABEL, np.nan, label).reshape(-1),
        precipitation_mm=ordered[TARGET_COLUMN].to_numpy().astype(np.float32).reshape(-1),
        from_lines=False,
    )
    regions = tuple(str(name) for name in ordered["region"].to_numpy())
    return _table(rows, regions, features, attributes, source)


def _table(
    rows: Rows, regions: tuple[str, ...], features: tuple[str, ...], attributes: dict[str, Any], source: Path
) -> RainTable:
    """Lay rows on a regular time axis; hours without a row are marked as not present."""
    times = np.unique(rows.times)
    step = _step(times, source)
    _check_period(attributes, step, source)
    axis = np.arange(times[0], times[-1] + step, step)
    laid = table_rows.lay(rows, axis, len(regions), len(_thresholds(attributes)) + 1, features)
    return RainTable(
        times=axis,
        regions=regions,
        features=features,
        values=laid.values,
        present=~np.isnan(laid.values).all(axis=-1),
        label=laid.label,
        precipitation_mm=laid.precipitation_mm,
        attributes=attributes,
        source=source,
        notes=laid.notes,
    )


def _thresholds(attributes: dict[str, Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in attributes.get("threshold_mm", DEFAULT_THRESHOLDS_MM))


def _mapping(attributes: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an attribute that belongs to each region by name; a table of the user's own may say anything there."""
    value = attributes.get(name)
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _open_netcdf(path: Path) -> xr.Dataset:
    import xarray as xr

    try:
        with xr.open_dataset(path) as dataset:
            return dataset.load()
    except (OSError, ValueError) as error:
        raise unreadable(path, "cannot be read as NetCDF", error) from None


def _check_period(attributes: dict[str, Any], step: np.timedelta64, source: Path) -> None:
    """Refuse a label period that the rows cannot express: persistence would see its own label."""
    hours = int(step / np.timedelta64(1, "h"))
    lead, accumulation = int(attributes["lead_time_hours"]), int(attributes["accumulation_hours"])
    if lead % hours == 0 and lead >= hours and 0 < accumulation <= lead:
        return
    raise not_a_table(
        "The label period does not fit the rows.",
        source,
        f"lead {lead} h, accumulation {accumulation} h, a row every {hours} h; the lead must be a multiple of the step "
        "and no shorter than the accumulation",
    )


def _step(times: np.ndarray, source: Path) -> np.timedelta64:
    """Return the smallest distance of two times, when it is whole hours and divides all others."""
    if len(times) < 2:
        raise not_a_table("The table has fewer than two times.", source, row_checks.counted(len(times), "time"))
    gaps = np.diff(times)
    step = gaps.min()
    uneven = (gaps % step != np.timedelta64(0, "s")) | (step % np.timedelta64(3600, "s") != np.timedelta64(0, "s"))
    if not uneven.any():
        return step
    position = int(np.argmax(uneven))
    raise DataError(
        "TIME_GAP",
        "The times of the table are not a whole number of equal steps of whole hours apart.",
        where=f"{source}, {times[position]} to {times[position + 1]}",
        evidence=f"smallest step {step}, here {gaps[position]}",
        next_command=PREPARE_COMMANDS,
    )
