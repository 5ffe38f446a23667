"""Everything that can be said of a table that is cut into windows, as findings and as plain figures."""

from __future__ import annotations

from typing import Any

from data_provider.amount_checks import inspect_amounts
from data_provider.cleaning import CleaningConfig
from data_provider.column_statistics import describe
from data_provider.cutting import CutTable
from data_provider.feature_checks import inspect_constants, inspect_extremes
from data_provider.label_checks import inspect_classes
from data_provider.region_checks import inspect_regions
from data_provider.window_checks import inspect_missing, verify_windows
from utils.findings import Finding


def inspect_splits(
    cut: CutTable, clean: CleaningConfig, *, batch_size: int | None = None, of_amounts: bool = False
) -> list[Finding]:
    """List what is wrong with the windows, labels and features of the three splits.

    Args:
        cut: as `cut_table` returns it.
        clean: what is done about missing values.
        batch_size: windows of a batch, for the share of batches that a missing value spoils.
        of_amounts: the target is the amount of rain, so that these must be possible and the classes do not matter.

    Returns:
        findings DATA_NAN, CONTEXT_TOO_LONG, REGION_CROSS, SPLIT_EMPTY, ZERO_VARIANCE, DATA_EXTREME, and ONE_CLASS or
        TARGET_RANGE of the target.
    """
    training = describe(cut.values, cut.training_rows)
    missing = inspect_missing(cut, clean, batch_size)
    refused = any(finding.severity == "error" for finding in missing)
    return [
        *missing,
        *inspect_regions(cut, refused=refused),
        *verify_windows(cut),
        *(inspect_amounts if of_amounts else inspect_classes)(cut, with_missing=refused),
        *inspect_constants(cut, training),
        *inspect_extremes(cut, training),
    ]


def told_once(findings: list[Finding]) -> list[Finding]:
    """Leave out the raw count of blanks where another finding says what becomes of them.

    Args:
        findings: those of `inspect_table` and `inspect_splits` together.
    """
    decided = any(finding.code == "DATA_NAN" and finding.severity != "information" for finding in findings)
    return [
        finding
        for finding in findings
        if not (decided and finding.code == "DATA_NAN" and finding.severity == "information")
    ]


def describe_columns(cut: CutTable) -> dict[str, Any]:
    """Return what the columns hold, as plain values: low, high, mean, deviation, missing, infinite.

    Args:
        cut: as `cut_table` returns it.

    Returns:
        ``raw``: features of the table in the units of docs/data.md; ``scaled`` and ``scaled_training``: what the model
        sees, in all rows and in training rows; ``target``: rain of the label period in millimetres.
    """
    table = cut.table
    raw = describe(table.values, table.present)
    scaled = describe(cut.values, table.present)
    training = describe(cut.values, cut.training_rows)
    target = describe(table.precipitation_mm[..., None], table.present)
    variables = cut.preprocessing.variables
    return {
        "raw": {name: raw.of(column) for column, name in enumerate(table.features)},
        "scaled": {name: scaled.of(column) for column, name in enumerate(variables)},
        "scaled_training": {name: training.of(column) for column, name in enumerate(variables)},
        "target": {"precipitation": target.of(0)},
    }
