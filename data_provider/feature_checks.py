"""Features that say nothing, and features that say too much: constants, and values far outside the training range.

R regions, T times, V variables.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_provider import cleaning
from data_provider.column_statistics import ColumnStatistics
from data_provider.cutting import CutTable
from data_provider.fill_values import find_fill_value
from data_provider.row_checks import SHOWN, counted, listed
from data_provider.unit_checks import allowed_for
from utils.findings import Finding

EXTREME = 10.0
# Rain is zero in most hours: a downpour lies far out without being a fault, up to this mean of an hour over an area.
HEAVY_RAIN_M = 0.05


def inspect_constants(cut: CutTable, training: ColumnStatistics) -> list[Finding]:
    """Find features that have one value, or none, in training; and those of them that change afterwards.

    Args:
        cut: the table, its fitted preprocessing and its splits.
        training: statistics of the scaled variables over the training rows.

    Returns:
        findings ZERO_VARIANCE: one for features that never change, one for features that change after training.
    """
    constants = _dropped(cut) | _kept(cut, training)
    blank = {name: facts for name, facts in constants.items() if facts["train_value"] is None}
    steady = {name: facts for name, facts in constants.items() if not facts["changes_later"] and name not in blank}
    changing = {name: facts for name, facts in constants.items() if facts["changes_later"]}
    findings = _blank(cut, blank) if blank else []
    if steady:
        findings.append(
            Finding(
                code="ZERO_VARIANCE",
                severity="warning",
                what=f"{counted(len(steady), 'feature is', 'features are')} constant in training and "
                + ("says nothing." if len(steady) == 1 else "say nothing."),
                where=f"{cut.table.source}, {listed(list(steady))}",
                evidence=listed([f"{name} {_value(facts)}, {_fate(facts)}" for name, facts in steady.items()]),
                next_command=f"leave {listed(list(steady))} out of the table, or see why nothing changes there",
                figures={"features": steady},
            )
        )
    if changing:
        findings.append(
            Finding(
                code="ZERO_VARIANCE",
                severity="warning",
                what=f"{counted(len(changing), 'feature is', 'features are')} constant in training and "
                + ("changes afterwards." if len(changing) == 1 else "change afterwards."),
                where=f"{cut.table.source}, {listed(list(changing))}",
                evidence=listed([_change(name, facts) for name, facts in changing.items()]),
                next_command="--drop_constant true (leaves them out), or a training period in which they change",
                figures={"features": changing},
            )
        )
    return findings


def _blank(cut: CutTable, blank: dict[str, dict[str, Any]]) -> list[Finding]:
    later = {name: np.isfinite(_raw(cut, name)).any() for name in blank}
    return [
        Finding(
            code="ZERO_VARIANCE",
            severity="warning",
            what=f"{counted(len(blank), 'feature is', 'features are')} blank in all training rows: nothing can be "
            "learned from a column without a value.",
            where=f"{cut.table.source}, {listed(list(blank))}",
            evidence=listed(
                [f"{name} {'has values only afterwards' if later[name] else 'wholly blank'}, dropped" for name in blank]
            ),
            next_command="leave the column out of the table, or fill it in",
            figures={"features": blank},
        )
    ]


def _dropped(cut: CutTable) -> dict[str, dict[str, Any]]:
    """Facts of the constants that the preprocessing left out, by name."""
    if not cut.preprocessing.dropped:
        return {}
    found = {}
    later = cut.table.present & (cut.table.times >= cut.ends.train_end)
    for name, value in cut.preprocessing.dropped.items():
        rest = _raw(cut, name)[later]
        rest = rest[np.isfinite(rest)].astype(np.float64)
        changes = len(rest) > 0 and bool((rest != value).any()) and value is not None
        furthest = float(np.abs(rest - value).max()) if changes else 0.0
        deviation = float(rest.std()) if changes else 0.0
        found[name] = {
            "train_value": value,
            "kept": False,
            "changes_later": changes,
            # None: another constant, so that there is no deviation to measure with.
            "max_z": furthest / deviation if deviation > 0 else None,
        }
    return found


def _raw(cut: CutTable, name: str) -> np.ndarray:
    """Values `(R, T)` of a variable before scaling, sine and cosine of the wind direction included."""
    if name in cut.table.features:
        return cut.table.values[..., cut.table.features.index(name)]
    direction = cut.table.values[..., [cut.table.features.index("wind_direction")]]
    parts, names = cleaning.split_direction(direction, ("wind_direction",))
    return parts[..., names.index(name)]


def _kept(cut: CutTable, training: ColumnStatistics) -> dict[str, dict[str, Any]]:
    """Facts of the constants that the model sees, scaled as it will see them."""
    found = {}
    later = cut.table.present & (cut.table.times >= cut.ends.train_end)
    for column in np.flatnonzero(training.low == training.high):
        seen = float(training.low[column])
        rest = cut.values[..., column][later]
        rest = rest[np.isfinite(rest)].astype(np.float64)
        furthest = float(np.abs(rest - seen).max()) if len(rest) else 0.0
        fitted = cut.preprocessing
        found[fitted.variables[column]] = {
            "train_value": fitted.centre[column] + fitted.spread[column] * seen,
            "kept": True,
            "changes_later": furthest > 0,
            "max_z": furthest,
        }
    return found


def _value(facts: dict[str, Any]) -> str:
    return f"{facts['train_value']:.6g}"


def _fate(facts: dict[str, Any]) -> str:
    return "kept by --drop_constant false" if facts["kept"] else "dropped"


def _change(name: str, facts: dict[str, Any]) -> str:
    scale = "of the scale the model sees" if facts["kept"] else "later deviations"
    away = "another constant" if facts["max_z"] is None else f"up to {facts['max_z']:.3g} {scale} away"
    return f"{name} {_value(facts)} in training, then {away}, {_fate(facts)}"


def inspect_extremes(cut: CutTable, training: ColumnStatistics) -> list[Finding]:
    """Find numbers that stand for missing values, and scaled values beyond +-10 in training rows.

    Args:
        cut: the table and its scaled values.
        training: statistics of the scaled variables over the training rows.

    Returns:
        findings DATA_EXTREME, one a feature: warnings, but for rain that is heavy and possible information.
    """
    furthest = np.maximum(np.abs(training.low), np.abs(training.high))
    filled = _fill_values(cut)
    names = cut.preprocessing.variables
    far = [column for column in np.flatnonzero(furthest > EXTREME) if names[column] not in filled]
    return [*filled.values(), *(_extreme(cut, int(column), float(furthest[column])) for column in far)]


def _fill_values(cut: CutTable) -> dict[str, Finding]:
    """Say which columns hold a number that stands for a missing value; enough of them hide within 10 deviations."""
    table, found = cut.table, {}
    for column, name in enumerate(table.features):
        values = table.values[..., column]
        fill = find_fill_value(values[table.present])
        if fill is None:
            continue
        rows = table.present & (values == np.float32(fill.value))
        region, row = np.nonzero(rows)
        places = [table.place(int(where[0]), int(where[1])) for where in zip(region, row, strict=True)][:SHOWN]
        rest = values[table.present & ~rows & np.isfinite(values)]
        found[name] = Finding(
            code="DATA_EXTREME",
            severity="warning",
            what=f"{name} holds {fill} in {counted(fill.count, 'row')}, which looks like a mark for missing values.",
            where=f"{table.source}, column {name}, first in region {table.regions[region[0]]} at {places[0]}",
            evidence=f"{fill} in {fill.count} of {counted(int(table.present.sum()), 'row')}; all other values lie "
            f"from {rest.min():.6g} to {rest.max():.6g}",
            next_command=f"leave these cells blank: {fill.cure(name)}",
            figures={
                "feature": name,
                "count": fill.count,
                "raw": fill.value,
                "rows": places,
                "region": table.regions[region[0]],
                "time": str(table.times[row[0]]),
            },
        )
    return found


def _extreme(cut: CutTable, column: int, furthest: float) -> Finding:
    name = cut.preprocessing.variables[column]
    scaled = cut.values[..., column]
    rows = cut.training_rows & (np.abs(scaled) > EXTREME)
    region, row = np.nonzero(rows)
    places = [cut.table.place(int(where[0]), int(where[1])) for where in zip(region, row, strict=True)][:SHOWN]
    at = np.unravel_index(int(np.argmax(np.where(rows, np.abs(scaled), 0.0))), rows.shape)
    raw = float(_raw(cut, name)[at])
    allowed = allowed_for(name)
    is_rain = allowed is not None and allowed.base == "tp" and abs(raw) <= HEAVY_RAIN_M
    return Finding(
        code="DATA_EXTREME",
        severity="information" if is_rain else "warning",
        what=f"{name} lies beyond +-{EXTREME:g} deviations in {counted(len(row), 'training row')}"
        + (", as heavy rain does." if is_rain else "."),
        where=f"{cut.table.source}, column {name}, first in region {cut.table.regions[region[0]]} at {places[0]}",
        evidence=f"furthest {furthest:.4g} (unscaled {raw:.6g}) in region {cut.table.regions[at[0]]} at "
        f"{cut.table.place(int(at[0]), int(at[1]))}; {len(row)} of {int(cut.training_rows.sum())} training rows",
        next_command="" if is_rain else "look at these rows; --clip_quantiles 0.001 0.999 limits them, rain excepted",
        figures={
            "feature": name,
            "count": len(row),
            "max": furthest,
            "raw": raw,
            "rows": places,
            "region": cut.table.regions[at[0]],
            "time": str(cut.table.times[at[1]]),
        },
    )
