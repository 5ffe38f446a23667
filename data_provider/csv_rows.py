"""A table written as CSV, its own or a user's: which columns it has, and its rows in the order of the file."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_provider import csv_faults
from data_provider.row_checks import counted
from data_provider.table_errors import not_a_table, unreadable
from data_provider.table_rows import Rows

logger = logging.getLogger(__name__)
LABEL_PATTERN = re.compile(r"rain_(\d+)h")
TARGET_COLUMN = "precipitation"


def read_csv(path: Path) -> tuple[Rows, tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """Read the rows of a CSV and the description beside it.

    Returns:
        rows, region names, feature names, attributes.

    Raises:
        DataError: this is no table: not a CSV, columns missing, text for numbers, times or regions blank.
    """
    frame = _read_frame(path)
    attributes = _sidecar(path)
    label_name = attributes.get("label_name") or _find_label(frame, path)
    features = tuple(attributes.get("feature_names", ())) or tuple(
        name for name in frame.columns if name not in ("timestamp", "region", TARGET_COLUMN, label_name)
    )
    _check_columns(frame, (*features, label_name), path)
    _check_rows(frame, path)
    match = LABEL_PATTERN.fullmatch(label_name)
    attributes.setdefault("label_name", label_name)
    attributes.setdefault("accumulation_hours", int(match.group(1)) if match else 24)
    attributes.setdefault("lead_time_hours", attributes["accumulation_hours"])
    number, names = pd.factorize(frame["region"])
    amount = np.full(len(frame), np.nan, np.float32)
    # What is too large for single precision becomes infinite, and is reported as such.
    with np.errstate(over="ignore"):
        if TARGET_COLUMN in frame.columns:
            amount = frame[TARGET_COLUMN].to_numpy(np.float32)
        values = frame[list(features)].to_numpy(np.float32)
    rows = Rows(
        region=number.astype(np.int64),
        times=frame["timestamp"].to_numpy().astype("datetime64[s]"),
        values=np.ascontiguousarray(values),
        label=frame[label_name].to_numpy(np.float64, na_value=np.nan),
        precipitation_mm=amount,
        from_lines=True,
    )
    return rows, tuple(map(str, names)), features, attributes


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


def _read_frame(path: Path) -> pd.DataFrame:
    csv_faults.require_plain_text(path)
    csv_faults.require_commas(path)
    try:
        frame = pd.read_csv(path)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise unreadable(path, "is not a CSV table", error) from None
    unnamed = [name for name in frame.columns if str(name).startswith("Unnamed:")]
    if unnamed:
        logger.info("%s: columns without a name are row numbers, not features; left out.", path)
        frame = frame.drop(columns=unnamed)
    absent = [name for name in ("timestamp", "region") if name not in frame.columns]
    if absent:
        columns = ", ".join(map(str, frame.columns[:8]))
        raise not_a_table(f"The table has no column {' and no column '.join(absent)}.", path, f"columns: {columns} ...")
    if frame.empty:
        raise csv_faults.no_rows(path)
    try:
        stamps = pd.to_datetime(frame["timestamp"], format="ISO8601")
        # A time with an offset, as 2019-01-31T18:00:00+00:00, is put into UTC, which the others are in already.
        frame["timestamp"] = stamps if stamps.dt.tz is None else stamps.dt.tz_convert(None)
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise csv_faults.wrong_timestamp(frame["timestamp"], path, reason) from None
    return frame


def _sidecar(path: Path) -> dict[str, Any]:
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        return {}
    try:
        return decode_attributes(json.loads(sidecar.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise unreadable(sidecar, "(the description beside the table) is damaged", error) from None


def _find_label(frame: pd.DataFrame, path: Path) -> str:
    labels = [name for name in frame.columns if LABEL_PATTERN.fullmatch(str(name))]
    if len(labels) == 1:
        return labels[0]
    what = "The table has more than one label column." if labels else "The table has no label column."
    raise not_a_table(what, path, f"looked for rain_24h (or rain_<hours>h); found {labels or 'none'}")


def _check_columns(frame: pd.DataFrame, names: tuple[str, ...], path: Path) -> None:
    missing = [name for name in names if name not in frame.columns]
    text = [name for name in names if name in frame.columns and not pd.api.types.is_numeric_dtype(frame[name])]
    if missing:
        raise not_a_table("Columns are missing.", path, ", ".join(missing))
    if text:
        raise csv_faults.text_columns(frame, text, path)


def _check_rows(frame: pd.DataFrame, path: Path) -> None:
    for column in ("timestamp", "region"):
        blank = frame[column].isna()
        if blank.any():
            line = int(np.argmax(blank)) + 2
            raise not_a_table(f"A {column} is blank.", path, counted(int(blank.sum()), "row"), f", line {line}")
    if TARGET_COLUMN in frame and not pd.api.types.is_numeric_dtype(frame[TARGET_COLUMN]):
        raise csv_faults.text_columns(frame, [TARGET_COLUMN], path)
