"""From hourly rain to the label: how much falls in the label period, and is it rain?

The label period of a forecast made at t is (t + lead - accumulation, t + lead]. Hourly `tp` is the water of the hour
that ENDS at its stamp, so with lead = accumulation = 24 h the sum takes the 24 stamps t+1 ... t+24 and not t itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_provider.time_axis import HOUR, TimeAxis, positions, regular, stamp
from utils.errors import DataError, UsageError

MM_PER_METRE = 1000.0
# 0.0001 m as float32 is 0.0999999975 mm: amounts are compared to a millionth of a millimetre, so that the storage
# format does not decide what rain is.
DECIMALS_MM = 6
LEAST_THRESHOLD_MM = 0.01
MISSING_CLASS = -1


def check_thresholds(threshold_mm: Sequence[float]) -> None:
    """Refuse thresholds that are not increasing amounts in millimetres.

    Raises:
        UsageError: ``CONFIG``; a threshold that looks like metres is named with its value in millimetres.
    """
    for threshold in threshold_mm:
        if 0 < threshold < LEAST_THRESHOLD_MM:
            raise UsageError(
                "CONFIG",
                f"threshold_mm is in millimetres; {threshold:g} looks like metres: {threshold * MM_PER_METRE:g} mm",
                where="--threshold_mm",
                evidence=f"below {LEAST_THRESHOLD_MM:g} mm in 24 hours nearly every hour on Earth counts as rain",
                next_command=f"--threshold_mm {threshold * MM_PER_METRE:g}",
            )
    rising = all(a < b for a, b in zip(threshold_mm, list(threshold_mm)[1:], strict=False))
    if not threshold_mm or not rising or not all(0 < t < 2000 for t in threshold_mm):
        raise UsageError(
            "CONFIG",
            "threshold_mm needs one or more positive amounts in millimetres, increasing",
            where="--threshold_mm",
            evidence=f"got {' '.join(f'{t:g}' for t in threshold_mm) or 'nothing'}",
            next_command="--threshold_mm 0.1   (or several classes: --threshold_mm 0.1 1 10)",
        )


def accumulation_for(lead_time_hours: int, accumulation_hours: int | None) -> int:
    """The accumulation to use: the one given, else min(24, lead).

    Raises:
        UsageError: ``CONFIG`` when either is not positive, or the accumulation is longer than the lead (the label
            would then count rain that has already fallen).
    """
    accumulation = min(24, lead_time_hours) if accumulation_hours is None else accumulation_hours
    if lead_time_hours < 1 or accumulation < 1:
        raise UsageError(
            "CONFIG",
            "lead_time_hours and accumulation_hours must be at least 1",
            where="--lead_time_hours, --accumulation_hours",
            evidence=f"got {lead_time_hours} and {accumulation}",
            next_command="--lead_time_hours 24 --accumulation_hours 24",
        )
    if accumulation > lead_time_hours:
        raise UsageError(
            "CONFIG",
            "accumulation_hours is longer than lead_time_hours: the label would count rain that has fallen before "
            "the forecast is made",
            where="--accumulation_hours, --lead_time_hours",
            evidence=f"accumulation {accumulation} h, lead {lead_time_hours} h",
            next_command=f"--lead_time_hours {accumulation} --accumulation_hours {accumulation}, or "
            f"--accumulation_hours {lead_time_hours}",
        )
    return accumulation


def require_record(lead_time_hours: int, first: np.datetime64, last: np.datetime64, *, where: str) -> None:
    """Refuse a lead that is longer than the record: no forecast of it could ever be scored.

    Args:
        lead_time_hours: from t to the end of the label period.
        first: of the record.
        last: of the record.
        where: file or folder, for messages.

    Raises:
        DataError: ``LEAD_TOO_LONG`` with both lengths.
    """
    hours = int((last - first) / HOUR)
    if lead_time_hours <= hours:
        return
    raise DataError(
        "LEAD_TOO_LONG",
        "the lead time is longer than the record: no forecast of it could ever be scored",
        where=f"lead_time_hours {lead_time_hours}, {where}",
        evidence=f"the record spans {hours} h, from {stamp(first)} to {stamp(last)}",
        next_command="prepare more data, or ask for a shorter --lead_time_hours, such as 24",
    )


def period_sums(
    tp: np.ndarray,
    times: np.ndarray,
    axis: TimeAxis,
    *,
    lead_time_hours: int,
    accumulation_hours: int,
    stamps_needed: int | None = None,
) -> np.ndarray:
    """Rain of the label period of every time, in millimetres.

    Args:
        tp: `(time, region)` metres of water in the hour that ends at the stamp; NaN where missing.
        times: `(time,)` sorted, unique.
        axis: their description.
        lead_time_hours: from t to the end of the label period.
        accumulation_hours: length of the label period.
        stamps_needed: stamps a period must have to be complete; all of them by default. Fewer only for data that are
            not hourly, on the user's explicit wish.

    Returns:
        `(time, region)` float64; NaN unless the period is complete, so never across a gap or past the end.
    """
    step = int(axis.step // HOUR)
    if step < 1 or lead_time_hours % step or accumulation_hours % step:
        raise UsageError(
            "CONFIG",
            f"the data come every {axis.step_hours:g} h, which does not divide the lead and the accumulation",
            where="--lead_time_hours, --accumulation_hours",
            evidence=f"lead {lead_time_hours} h, accumulation {accumulation_hours} h",
            next_command="choose multiples of the step of the data",
        )
    width, shift = accumulation_hours // step, lead_time_hours // step
    needed = width if stamps_needed is None else stamps_needed
    at = positions(times, axis)
    # Room for the lead behind the last stamp: periods that end there are incomplete.
    full = np.full((len(regular(axis)) + shift, tp.shape[1]), np.nan)
    full[at] = tp.astype(np.float64) * MM_PER_METRE
    present = ~np.isnan(full)
    windows = np.lib.stride_tricks.sliding_window_view(np.where(present, full, 0.0), width, axis=0)
    counts = np.lib.stride_tricks.sliding_window_view(present, width, axis=0)
    # The window that ends at t + lead begins at t + lead - accumulation + 1.
    begin = at + shift - width + 1
    sums = windows.sum(axis=-1)[begin]
    return np.where(counts.sum(axis=-1)[begin] == needed, sums, np.nan)


def classes(precipitation_mm: np.ndarray, threshold_mm: Sequence[float]) -> np.ndarray:
    """How many thresholds an amount reaches: 0 dry, 1 rain (and more with several thresholds), -1 not known.

    Args:
        precipitation_mm: any shape; NaN where the period is not complete.
        threshold_mm: increasing; an amount equal to a threshold reaches it.

    Returns:
        int8, same shape.
    """
    rounded = np.round(precipitation_mm, DECIMALS_MM)
    reached = sum((rounded >= threshold).astype(np.int8) for threshold in threshold_mm)
    return np.where(np.isnan(precipitation_mm), np.int8(MISSING_CLASS), reached).astype(np.int8)


def require_two_classes(label: np.ndarray, precipitation_mm: np.ndarray, threshold_mm: Sequence[float]) -> None:
    """Refuse labels that are all alike: nothing can be learned, and the unit is probably wrong.

    Raises:
        DataError: ``ONE_CLASS`` with counts, threshold and the likely fault of unit.
    """
    known = label[label != MISSING_CLASS]
    if known.size == 0 or len(np.unique(known)) > 1:
        return
    most = float(np.nanmax(precipitation_mm))
    reached = int(known[0])
    if reached == 0:
        likely = (
            f"the largest amount is {most:.6g} mm: the rain may be in metres while its units attribute says millimetres"
            if most < LEAST_THRESHOLD_MM
            else f"the largest amount is {most:.6g} mm: the threshold is too high for these data"
        )
    else:
        likely = (
            f"the smallest amount is {float(np.nanmin(precipitation_mm)):.6g} mm: the threshold is too low, or the "
        )
        likely += "rain is in millimetres while its units attribute says metres"
    raise DataError(
        "ONE_CLASS",
        "all labels are of one class, so there is nothing to learn",
        where="the whole table",
        evidence=f"class {reached}: {known.size} of {known.size} labels; threshold "
        f"{' '.join(f'{t:g}' for t in threshold_mm)} mm; {likely}",
        next_command="check the unit of tp and choose another --threshold_mm",
    )


def require_hours(times: np.ndarray, *, accumulation_hours: int, allow_incomplete: bool, where: str) -> int:
    """How many of the hours of a label period the rain has; refuse a label that cannot be made from them.

    Args:
        times: `(time,)` sorted times at which rain is there.
        accumulation_hours: length of the label period.
        allow_incomplete: take the hours there are, and say so.
        where: file or folder, for messages.

    Returns:
        stamps per period; equal to `accumulation_hours` for hourly rain.

    Raises:
        DataError: ``LABEL_HOURS`` with the hours present.
    """
    steps = np.diff(times)
    lengths, counts = np.unique(steps, return_counts=True)
    usual = lengths[counts.argmax()] if len(lengths) else HOUR
    if usual <= HOUR:
        return accumulation_hours
    step_hours = usual / HOUR
    of_day = np.unique((times - times.astype("datetime64[D]")) // HOUR).tolist()
    present = int(accumulation_hours // step_hours)
    possible = present >= 1 and accumulation_hours % step_hours == 0
    kind = (
        "monthly or daily means" if step_hours > 23 else f"only the hours {', '.join(f'{h:02d}' for h in of_day)} UTC"
    )
    if allow_incomplete and possible:
        return present
    raise DataError(
        "LABEL_HOURS",
        f"a {accumulation_hours}-hour sum needs every hour of rain, and the files hold {kind}",
        where=where,
        evidence=f"a stamp every {step_hours:g} h: {present} of {accumulation_hours} hours of each label period; "
        "hourly tp is the rain of ONE hour. On real ERA5 a label from a single hour agrees with the true 24-hour label "
        "in 43-72 % of cases and catches 20-41 % of the rain",
        next_command="download all 24 hours (docs/data.md says what to ask for)"
        + (
            f"   (or --allow_incomplete_hours: the label is then the sum of {present} of {accumulation_hours} hours, "
            "and says so)"
            if possible
            else ""
        ),
    )
