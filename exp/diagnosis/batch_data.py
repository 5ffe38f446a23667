"""Are the inputs and labels of a batch what a step can be made from? If not: sample, column, time, region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from data_provider.windows import WindowSet
from exp.diagnosis.cause import Cause
from exp.diagnosis.replay import Suspect
from exp.objective import Windows
from utils.findings import Finding

COLUMNS_SHOWN = 5
# By what the windows are cut from.
MEND = {
    "region": "--fill forward_then_zero, or --fill drop to leave such windows out; python run.py --task_name diagnose "
    "lists all of them",
    "series": "--resume auto, which reads the files again: windows that touch a gap were left out before the first "
    "step, so this value broke in memory",
}
TAME = {
    "region": "look for a fill value such as 9.97e36 that was read as data, or --clip_quantiles 0.001 0.999",
    "series": "look for a fill value such as 9.97e36 that was read as data and leave its cells blank in the file",
}


@dataclass(frozen=True)
class Cells:
    """Cells of a batch that share a fault.

    Attributes:
        sample: `(K,)` position in the batch.
        row: `(K,)` row in the window, the newest is L - 1.
        column: `(K,)` variable.
    """

    sample: np.ndarray
    row: np.ndarray
    column: np.ndarray

    @classmethod
    def of(cls, wrong: torch.Tensor) -> Cells:
        """Return the cells where `wrong` `(B, L, V)` is true."""
        return cls(*(axis.numpy() for axis in wrong.cpu().nonzero(as_tuple=True)))

    def names(self, suspect: Suspect) -> tuple[str, ...]:
        """Return the variables concerned, in their order."""
        return tuple(suspect.variables[column] for column in np.unique(self.column))


def examine_inputs(suspect: Suspect) -> Cause | str:
    """Return inputs that are not finite as a cause, or a sentence that clears them."""
    batch = suspect.windows.cells(suspect.ids)
    wrong = ~torch.isfinite(batch)
    if not bool(wrong.any()):
        return f"the data are innocent: all {batch.numel()} values of this batch are finite" if suspect.is_sound else ""
    cells = Cells.of(wrong)
    n_nan = int(torch.isnan(batch).sum())
    n_infinite = len(cells.row) - n_nan
    kind, code = ("missing (NaN)", "DATA_NAN") if n_nan else ("infinite", "DATA_INF")
    finding = Finding(
        code=code,
        severity="error",
        what=f"A value of this batch is {kind}; one is enough to make its whole window not finite.",
        where=where(suspect, cells),
        evidence=f"{n_nan} NaN and {n_infinite} infinite values in {len(np.unique(cells.sample))} of "
        f"{len(suspect.ids)} windows; columns {listed(cells.names(suspect))}",
        next_command=MEND[suspect.windows.kind],
        figures={"nan": n_nan, "infinite": n_infinite, "columns": list(cells.names(suspect)), **_first(suspect, cells)},
    )
    return Cause(finding, without_columns(suspect, cells), f"without {listed(cells.names(suspect), 'column')}")


def examine_labels(suspect: Suspect) -> Cause | str:
    """Return labels that are no class as a cause, or a sentence that clears them; a series has none."""
    if not isinstance(suspect.windows, WindowSet):
        return ""
    labels = suspect.windows.labels[suspect.ids]
    if not suspect.n_classes:
        return _examine_amounts(suspect, suspect.windows, labels)
    wrong = (labels < 0) | (labels >= suspect.n_classes)
    if not bool(wrong.any()):
        return f"the labels are innocent: each is a class from 0 to {suspect.n_classes - 1}" if suspect.is_sound else ""
    sample = int(wrong.nonzero()[0, 0])
    window = int(suspect.ids[sample])
    index = suspect.windows.index
    finding = Finding(
        code="LABEL_RANGE",
        severity="error",
        what=f"{int(wrong.sum())} labels of this batch are no class.",
        where=f"sample {sample} of {suspect.name}, window {suspect.number_of(sample)}, region "
        f"{suspect.windows.regions[index.region[window]]}, init time {index.init_time[window]}",
        evidence=f"label {int(labels[wrong][0])}, classes are 0 to {suspect.n_classes - 1}",
        next_command="prepare the table again (bash scripts/prepare_era5.sh)",
        figures={"labels": sorted(set(labels[wrong].tolist()))},
    )

    def clamp(windows: WindowSet) -> None:
        windows.labels = windows.labels.clamp(0, suspect.n_classes - 1)

    return Cause(finding, suspect.on_copy(clamp), "with those labels replaced by a class")


def _examine_amounts(suspect: Suspect, windows: WindowSet, amounts: torch.Tensor) -> Cause | str:
    """Return targets that are no amount of rain as a cause, or a sentence that clears them."""
    wrong = ~(torch.isfinite(amounts) & (amounts >= 0))
    if not bool(wrong.any()):
        return "the targets are innocent: each is an amount of rain" if suspect.is_sound else ""
    sample = int(wrong.nonzero()[0])
    window = int(suspect.ids[sample])
    finding = Finding(
        code="TARGET_RANGE",
        severity="error",
        what=f"{int(wrong.sum())} targets of this batch are no amount of rain.",
        where=f"sample {sample} of {suspect.name}, window {suspect.number_of(sample)}, region "
        f"{windows.regions[windows.index.region[window]]}, init time {windows.index.init_time[window]}",
        evidence=f"target {float(amounts[sample])} mm",
        next_command="prepare the table again (bash scripts/prepare_era5.sh)",
        figures={"targets": [str(float(value)) for value in amounts[wrong][:5]]},
    )

    def without_rain(windows: WindowSet) -> None:
        possible = torch.isfinite(windows.labels) & (windows.labels >= 0)
        windows.labels = torch.where(possible, windows.labels, torch.zeros_like(windows.labels))

    return Cause(finding, suspect.on_copy(without_rain), "with those targets replaced by no rain")


def extreme_cells(suspect: Suspect, limit: float) -> Cells | None:
    """Return the finite inputs beyond `limit` deviations, None where there are none."""
    batch = suspect.windows.inputs(suspect.ids)
    wrong = batch.abs() > limit
    return Cells.of(wrong) if bool(wrong.any()) else None


def without_columns(suspect: Suspect, cells: Cells) -> Suspect:
    """Return the same step with the columns of these cells at their training mean (zero after scaling)."""

    def blank(windows: Windows) -> None:
        windows.table[:, torch.from_numpy(np.unique(cells.column)).to(windows.table.device)] = 0.0

    return suspect.on_copy(blank)


def where(suspect: Suspect, cells: Cells) -> str:
    """Return sample, column, time and region of the first cell in words."""
    first, windows = _first(suspect, cells), suspect.windows
    return (
        f"sample {first['sample']} of {suspect.name} (window {first['window']}), column {first['column']}, "
        f"{first['timestamp']}, {windows.kind} {first['region']}, row {first['row']} of {windows.context_length}"
    )


def listed(names: tuple[str, ...], word: str = "") -> str:
    """Return a few names, and how many more there are."""
    more = f" and {len(names) - COLUMNS_SHOWN} more" if len(names) > COLUMNS_SHOWN else ""
    noun = f"{word}{'s' if len(names) > 1 else ''} " if word else ""
    return noun + ", ".join(names[:COLUMNS_SHOWN]) + more


def _first(suspect: Suspect, cells: Cells) -> dict[str, int | str]:
    sample, row, column = int(cells.sample[0]), int(cells.row[0]), int(cells.column[0])
    window = int(suspect.ids[sample])
    time, region = suspect.windows.place(window, row, suspect.step_hours)
    return {
        "sample": sample,
        "window": suspect.number_of(sample),
        "row": row,
        "column": suspect.variables[column],
        "timestamp": time,
        "region": region,
    }
