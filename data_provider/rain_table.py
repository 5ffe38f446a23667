"""The prepared table in memory: regions x times x features, with its label and where it came from.

Read from the CSV with pandas alone (training itself needs no xarray; scoring does) or from the NetCDF. A user's own CSV
is read too: `timestamp, region, <features>`, a label `rain_<n>h` and, if there, `precipitation` in mm.
Source of the layout: docs/data.md.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from utils.errors import DataError

if TYPE_CHECKING:
    import xarray as xr

logger = logging.getLogger(__name__)
LABEL_PATTERN = re.compile(r"rain_(\d+)h")
TARGET_COLUMN = "precipitation"
UNKNOWN_LABEL = -1
LARGEST_CLASS = 99
PREPARE_COMMANDS = (
    "bash scripts/prepare_era5.sh (from ERA5 files), or bash scripts/quickstart.sh (labelled synthetic data)"
)


@dataclass(frozen=True)
class RainTable:
    """A prepared table on a regular time axis.

    Attributes:
        times: `(T,)` datetime64[s], one step apart.
        regions: `R` names.
        features: `C` names.
        values: `(R, T, C)` float32, NaN where a value is missing.
        present: `(R, T)` False where the source has no row for this hour.
        label: `(R, T)` int8 class, -1 where the label period is not complete.
        precipitation_mm: `(R, T)` float32, rain in millimetres summed over the label period.
        attributes: recipe and provenance, see docs/data.md.
        source: the file it was read from.
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
        return tuple(float(value) for value in self.attributes.get("threshold_mm", [0.1]))

    @property
    def n_classes(self) -> int:
        """Number of classes: one more than thresholds."""
        return len(self.thresholds_mm) + 1

    @property
    def is_synthetic(self) -> bool:
        """True for the embedded data set, which must never pass for ERA5."""
        return bool(int(self.attributes.get("synthetic", 0)))


def require_table(path: Path) -> None:
    """Raise DataError, with the commands that make a table, when there is no such file."""
    if not path.is_file():
        raise DataError(
            "DATA_MISSING",
            "There is no prepared table.",
            where=str(path.resolve()),
            evidence=_neighbours(path),
            next_command=_other_table(path) + PREPARE_COMMANDS,
        )


def read_table(path: Path) -> RainTable:
    """Read a prepared table from `.csv` or `.nc`.

    Raises:
        DataError: the file is missing, is not a prepared table, or its rows are duplicated or irregular.
    """
    require_table(path)
    if path.suffix == ".nc":
        return table_from_dataset(_open_netcdf(path), path)
    return _table_from_csv(path)


def table_from_dataset(dataset: xr.Dataset, source: Path) -> RainTable:
    """Turn a prepared Dataset (time, region) into a table.

    Raises:
        DataError: label or feature names are not recorded in the attributes.
    """
    attributes = decode_attributes(dataset.attrs)
    features = tuple(attributes.get("feature_names", ()))
    label_name = attributes.get("label_name", "")
    missing = [name for name in (*features, label_name) if name not in dataset]
    if not features or missing:
        raise _not_a_table(
            "This NetCDF file is not a prepared table.",
            source,
            f"attributes feature_names and label_name must name variables; missing: {missing or 'both'}",
        )
    ordered = dataset.transpose("region", "time", ...)
    label = ordered[label_name].to_numpy().astype(np.float64)
    return _regular(
        times=ordered["time"].to_numpy().astype("datetime64[s]"),
        regions=tuple(str(name) for name in ordered["region"].to_numpy()),
        features=features,
        values=np.stack([ordered[name].to_numpy().astype(np.float32) for name in features], axis=-1),
        label=np.where(np.isnan(label), UNKNOWN_LABEL, label).astype(np.int8),
        precipitation_mm=ordered[TARGET_COLUMN].to_numpy().astype(np.float32),
        attributes=attributes,
        source=source,
    )


def decode_attributes(raw: dict[str, Any]) -> dict[str, Any]:
    """Return attributes with their JSON texts turned into values."""
    return {str(name): _decoded(value) for name, value in raw.items()}


def _decoded(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value  # a plain text that begins with a bracket stays text
    return value


def _open_netcdf(path: Path) -> xr.Dataset:
    import xarray as xr

    try:
        with xr.open_dataset(path) as dataset:
            return dataset.load()
    except (OSError, ValueError) as error:
        raise _unreadable(path, "cannot be read as NetCDF", error) from None


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    there = sorted(other.name for other in path.parent.glob("*") if other.suffix in (".csv", ".nc"))
    return f"{path.parent} holds {', '.join(there) if there else 'no tables'}"


def _other_table(path: Path) -> str:
    """Return the flag for a table that lies in the folder, if there is one."""
    there = sorted(other.name for other in path.parent.glob("*.csv"))
    return f"--data_path {there[0]}, or " if there else ""


def _not_a_table(what: str, path: Path, evidence: str, where: str = "") -> DataError:
    return DataError(
        "DATA_TABLE",
        what,
        where=f"{path}{where}",
        evidence=evidence,
        next_command="columns are timestamp, region, <features>, precipitation, rain_24h (docs/data.md); "
        f"{PREPARE_COMMANDS}",
    )


def _unreadable(path: Path, why: str, error: Exception) -> DataError:
    return DataError(
        "DATA_FILE",
        f"{path.name} {why}.",
        where=str(path),
        evidence=str(error).splitlines()[0],
        next_command=PREPARE_COMMANDS,
    )


def _table_from_csv(path: Path) -> RainTable:
    frame = _read_frame(path)
    attributes = _sidecar(path)
    label_name = attributes.get("label_name") or _find_label(frame, path)
    features = tuple(attributes.get("feature_names", ())) or tuple(
        name for name in frame.columns if name not in ("timestamp", "region", TARGET_COLUMN, label_name)
    )
    _check_columns(frame, (*features, label_name), path)
    _check_rows(frame, path)
    _check_duplicates(frame, path)
    match = LABEL_PATTERN.fullmatch(label_name)
    attributes.setdefault("label_name", label_name)
    attributes.setdefault("accumulation_hours", int(match.group(1)) if match else 24)
    attributes.setdefault("lead_time_hours", attributes["accumulation_hours"])
    return _table_from_frame(frame, features, label_name, attributes, path)


def _read_frame(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise _unreadable(path, "is not a CSV table", error) from None
    unnamed = [name for name in frame.columns if str(name).startswith("Unnamed:")]
    if unnamed:
        logger.info("%s: columns without a name are row numbers, not features; left out.", path)
        frame = frame.drop(columns=unnamed)
    absent = [name for name in ("timestamp", "region") if name not in frame.columns]
    if len(frame.columns) == 1 and ";" in str(frame.columns[0]):
        raise _not_a_table("The columns are separated by semicolons.", path, f"first line: {frame.columns[0][:60]}")
    if absent:
        columns = ", ".join(map(str, frame.columns[:8]))
        raise _not_a_table(
            f"The table has no column {' and no column '.join(absent)}.", path, f"columns: {columns} ..."
        )
    try:
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], format="ISO8601")
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise _not_a_table(
            "A timestamp is not written as 2019-01-31 18:00:00.", path, reason, ", column timestamp"
        ) from None
    return frame


def _sidecar(path: Path) -> dict[str, Any]:
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        return {}
    try:
        return decode_attributes(json.loads(sidecar.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise _unreadable(sidecar, "(the description beside the table) is damaged", error) from None


def _find_label(frame: pd.DataFrame, path: Path) -> str:
    labels = [name for name in frame.columns if LABEL_PATTERN.fullmatch(str(name))]
    if len(labels) == 1:
        return labels[0]
    what = "The table has more than one label column." if labels else "The table has no label column."
    raise _not_a_table(what, path, f"looked for rain_24h (or rain_<hours>h); found {labels or 'none'}")


def _check_columns(frame: pd.DataFrame, names: tuple[str, ...], path: Path) -> None:
    missing = [name for name in names if name not in frame.columns]
    text = [name for name in names if name in frame.columns and not pd.api.types.is_numeric_dtype(frame[name])]
    if missing:
        raise _not_a_table("Columns are missing.", path, ", ".join(missing))
    if text:
        raise _not_a_table("Columns hold text where numbers are expected.", path, ", ".join(text))


def _check_rows(frame: pd.DataFrame, path: Path) -> None:
    if frame["timestamp"].isna().any():
        line = int(np.argmax(frame["timestamp"].isna())) + 2
        raise _not_a_table(
            "A timestamp is blank.", path, f"{int(frame['timestamp'].isna().sum())} rows", f", line {line}"
        )
    if TARGET_COLUMN in frame and not pd.api.types.is_numeric_dtype(frame[TARGET_COLUMN]):
        raise _not_a_table("The rain amounts hold text.", path, f"column {TARGET_COLUMN}")


def _check_duplicates(frame: pd.DataFrame, path: Path) -> None:
    repeated = frame.duplicated(["region", "timestamp"])
    if not repeated.any():
        return
    first = frame[repeated].iloc[0]
    raise DataError(
        "TIME_DUPLICATE",
        f"{int(repeated.sum())} rows repeat a time of their region.",
        where=f"{path}, line {int(np.argmax(repeated)) + 2}",
        evidence=f"region {first['region']}, {first['timestamp']}",
        next_command="df.drop_duplicates(['region', 'timestamp']).to_csv(...), or prepare the table anew",
    )


def _table_from_frame(
    frame: pd.DataFrame, features: tuple[str, ...], label_name: str, attributes: dict[str, Any], path: Path
) -> RainTable:
    stamps = frame["timestamp"].to_numpy().astype("datetime64[s]")
    times = np.unique(stamps)
    regions = pd.Index(pd.unique(frame["region"]))
    row, column = np.searchsorted(times, stamps), regions.get_indexer(frame["region"])
    shape = (len(regions), len(times))
    _check_finite(frame, features, path)
    values = np.full((*shape, len(features)), np.nan, np.float32)
    values[column, row] = frame[list(features)].to_numpy(np.float32)
    label = np.full(shape, UNKNOWN_LABEL, np.int8)
    label[column, row] = _label_column(frame[label_name], path)
    amount = np.full(shape, np.nan, np.float32)
    if TARGET_COLUMN in frame.columns:
        amount[column, row] = frame[TARGET_COLUMN].to_numpy(np.float32)
    return _regular(
        times=times,
        regions=tuple(str(name) for name in regions),
        features=features,
        values=values,
        label=label,
        precipitation_mm=amount,
        attributes=attributes,
        source=path,
    )


def _check_finite(frame: pd.DataFrame, features: tuple[str, ...], path: Path) -> None:
    infinite = np.isinf(frame[list(features)].to_numpy(np.float32))
    if not infinite.any():
        return
    line, column = (int(axis[0]) for axis in np.nonzero(infinite))
    raise DataError(
        "DATA_INF",
        f"{int(infinite.sum())} values are infinite; one is enough to spoil the scaling of its column.",
        where=f"{path}, column {features[column]}, line {line + 2}",
        evidence=f"region {frame['region'].iloc[line]}, {frame['timestamp'].iloc[line]}",
        next_command="find the division by zero that made it, or leave the cell blank",
    )


def _label_column(column: pd.Series, path: Path) -> np.ndarray:
    wrong = column.notna() & ~column.isin(range(LARGEST_CLASS + 1))
    if not wrong.any():
        return column.fillna(UNKNOWN_LABEL).to_numpy(np.int8)
    raise DataError(
        "LABEL_RANGE",
        f"{int(wrong.sum())} labels are no class number.",
        where=f"{path}, column {column.name}, line {int(np.argmax(wrong)) + 2}",
        evidence=f"value {column[wrong].iloc[0]}; classes are 0, 1, ...; blank means not known yet",
        next_command=PREPARE_COMMANDS,
    )


def _regular(
    *,
    times: np.ndarray,
    regions: tuple[str, ...],
    features: tuple[str, ...],
    values: np.ndarray,
    label: np.ndarray,
    precipitation_mm: np.ndarray,
    attributes: dict[str, Any],
    source: Path,
) -> RainTable:
    """Put the rows on a regular time axis; hours without a row are marked as not present."""
    step = _step(times, source)
    _check_period(attributes, step, source)
    axis = np.arange(times[0], times[-1] + step, step)
    at = np.searchsorted(axis, times)
    spread: dict[str, np.ndarray] = {
        "values": np.full((len(regions), len(axis), len(features)), np.nan, np.float32),
        "label": np.full((len(regions), len(axis)), UNKNOWN_LABEL, np.int8),
        "precipitation_mm": np.full((len(regions), len(axis)), np.nan, np.float32),
    }
    for name, rows in (("values", values), ("label", label), ("precipitation_mm", precipitation_mm)):
        spread[name][:, at] = rows
    return RainTable(
        times=axis,
        regions=regions,
        features=features,
        values=spread["values"],
        present=~np.isnan(spread["values"]).all(axis=-1),
        label=spread["label"],
        precipitation_mm=spread["precipitation_mm"],
        attributes=attributes,
        source=source,
    )


def _check_period(attributes: dict[str, Any], step: np.timedelta64, source: Path) -> None:
    """Refuse a label period that the rows cannot express: persistence would see its own label."""
    hours = int(step / np.timedelta64(1, "h"))
    lead, accumulation = int(attributes["lead_time_hours"]), int(attributes["accumulation_hours"])
    if lead % hours == 0 and lead >= hours and 0 < accumulation <= lead:
        return
    raise _not_a_table(
        "The label period does not fit the rows.",
        source,
        f"lead {lead} h, accumulation {accumulation} h, a row every {hours} h; the lead must be a multiple of the step "
        "and no shorter than the accumulation",
    )


def _step(times: np.ndarray, source: Path) -> np.timedelta64:
    """Return the smallest distance of two times, when it is whole hours and divides all others."""
    if len(times) < 2:
        raise _not_a_table("The table has fewer than two times.", source, f"{len(times)} times")
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
