"""The rain of several periods ahead, from one table: its label at other lead times.

The label of a table sums the rain of (t + lead - accumulation, t + lead]. The same period of a later row is a longer
lead, and periods that follow each other sum to a longer one. R regions, T times, N windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from data_provider import precipitation as rain
from data_provider.rain_table import RainTable
from data_provider.table_rows import UNKNOWN_LABEL
from data_provider.windows import WindowIndex
from utils.errors import UsageError

# What the label of the table was, before another lead time was asked for.
PREPARED = "prepared"


def tables_at(table: RainTable, lead_times: Sequence[int]) -> tuple[RainTable, ...]:
    """Return the table with the label of each lead time; the table itself where none is asked for.

    Args:
        table: as prepared.
        lead_times: hours from the init time to the end of the label period.

    Raises:
        UsageError: ``CONFIG``, the label of the table does not give one of them.
        DataError: ``LEAD_TOO_LONG`` for the record.
    """
    for hours in lead_times:
        rain.require_record(hours, table.times[0], table.times[-1], where=f"--lead_times, {table.source}")
    return tuple(_at(table, hours) for hours in lead_times) or (table,)


def index_at(table: RainTable, index: WindowIndex) -> WindowIndex:
    """Return windows with label, past class and rain of another label on the same rows."""
    label, rain_mm = table.label.reshape(-1), table.precipitation_mm.reshape(-1)
    row = index.end - index.region * len(table.times) - table.lead_time_hours // table.step_hours
    past = table.label[index.region, np.maximum(row, 0)].astype(np.int64)
    return replace(
        index,
        label=label[index.end].astype(np.int64),
        past_class=np.where(row >= 0, past, UNKNOWN_LABEL),
        precipitation_mm=rain_mm[index.end],
    )


def as_prepared(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of the table that was prepared, whichever lead time was asked of it."""
    return {**attributes, **attributes.get(PREPARED, {})}


def _at(table: RainTable, lead_time_hours: int) -> RainTable:
    """Return the table with the label of `lead_time_hours`, of min(24 h, lead) as in preparation."""
    own, step = table.accumulation_hours, table.step_hours
    accumulation = rain.accumulation_for(lead_time_hours, None)
    # A table whose label is longer than a day keeps its length.
    accumulation = own if own > accumulation and lead_time_hours >= own else accumulation
    if (lead_time_hours, accumulation) == (table.lead_time_hours, own):
        return table
    sums_several = accumulation != own
    if accumulation % own or (lead_time_hours - table.lead_time_hours) % step or (sums_several and own % step):
        shorter = math.gcd(accumulation, own)
        raise UsageError(
            "CONFIG",
            f"The label of this table does not give the rain of {accumulation} h that ends {lead_time_hours} h ahead.",
            where=f"--lead_times {lead_time_hours}, {table.source}",
            evidence=f"the table counts the rain of {own} h, a row every {step} h; longer periods are summed from "
            "whole ones of these",
            next_command=f"python -m data_provider.prepare --lead_time_hours {shorter} makes a table of {shorter} h, "
            "from which all of these are summed; or leave this lead time out",
        )
    if sums_several:
        _require_label_of_amounts(table)
    # The row whose label period is the last of those that are summed, and those before it.
    shifts = [(lead_time_hours - table.lead_time_hours - back) // step for back in range(0, accumulation, own)]
    amounts = np.sum([_shifted(table.precipitation_mm.astype(np.float64), shift, np.nan) for shift in shifts], axis=0)
    label = (
        _shifted(table.label, shifts[0], UNKNOWN_LABEL)
        if len(shifts) == 1
        else rain.classes(amounts, table.thresholds_mm)
    )
    attributes = table.attributes | {
        "lead_time_hours": lead_time_hours,
        "accumulation_hours": accumulation,
        PREPARED: {name: table.attributes[name] for name in ("lead_time_hours", "accumulation_hours")},
    }
    return replace(table, label=label, precipitation_mm=amounts.astype(np.float32), attributes=attributes)


def _require_label_of_amounts(table: RainTable) -> None:
    """Refuse sums of amounts where the label of the table was not made from its amounts with its thresholds."""
    made = rain.classes(table.precipitation_mm, table.thresholds_mm)
    known = table.label != UNKNOWN_LABEL
    # The label was made before the amount was rounded for storage: at a threshold the two may differ by a hair.
    at_one = np.any([np.isclose(table.precipitation_mm, value, rtol=1e-5) for value in table.thresholds_mm], axis=0)
    wrong = known & (made != table.label) & ~at_one
    if known.any() and not wrong.any():
        return
    raise UsageError(
        "CONFIG",
        "Longer periods are summed from amounts, and the labels of this table were not made from its amounts.",
        where=f"--lead_times, {table.source}",
        evidence=f"{int(wrong.sum())} of {int(known.sum())} labels differ from precipitation at "
        f"{', '.join(f'{value:g}' for value in table.thresholds_mm)} mm",
        next_command="give the amounts in a column precipitation and their thresholds as threshold_mm in the .json "
        "beside the table, or ask for periods of the length of its own alone",
    )


def _shifted(values: np.ndarray, rows: int, unknown: float) -> np.ndarray:
    """Return `(R, T)` values of so many rows later, `unknown` where there is no such row."""
    moved = np.full_like(values, unknown)
    n_times = values.shape[1]
    if abs(rows) >= n_times:
        return moved
    source = slice(rows, None) if rows >= 0 else slice(None, rows)
    target = slice(None, n_times - rows) if rows >= 0 else slice(-rows, None)
    moved[:, target] = values[:, source]
    return moved
