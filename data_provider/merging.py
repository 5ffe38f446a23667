"""Parts of a record, from any number of files and members, joined exactly on their times.

Nothing is joined by position and nothing is interpolated: a time that a part does not have stays NaN there.
Duplicates that agree are merged, duplicates that contradict each other are refused, and where one of the two is
preliminary (ERA5T) the final one wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from data_provider.time_axis import stamp
from utils.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Part:
    """Values of one variable from one source: `values` is `(time, ...)`, `times` may be unsorted or repeat."""

    times: np.ndarray
    values: np.ndarray
    preliminary: np.ndarray
    source: str


@dataclass(frozen=True, kw_only=True)
class Merged:
    """One sorted, unique time axis and one array `(time, ...)` per variable, NaN where a variable is missing."""

    times: np.ndarray
    values: dict[str, np.ndarray]
    preliminary: np.ndarray


@dataclass
class Merger:
    """Collects parts by variable, then joins them."""

    parts: dict[str, list[Part]] = field(default_factory=dict)

    def add(self, name: str, part: Part) -> None:
        """Remember `part` of variable `name`."""
        self.parts.setdefault(name, []).append(part)

    def merged(self) -> Merged:
        """Join all parts.

        Raises:
            DataError: ``TIME_DUPLICATE`` when two parts hold different values for one time.
        """
        every = [part.times for parts in self.parts.values() for part in parts]
        times = np.unique(np.concatenate(every)) if every else np.array([], dtype="datetime64[ns]")
        values, preliminary = {}, np.zeros(len(times), dtype=bool)
        for name, parts in self.parts.items():
            values[name], flags = _join(name, parts, times)
            preliminary |= flags
        return Merged(times=times, values=values, preliminary=preliminary)


def _join(name: str, parts: list[Part], times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One variable's parts on `times`, and which times are preliminary."""
    joined = np.full((len(times), *parts[0].values.shape[1:]), np.nan, dtype=np.float32)
    preliminary = np.zeros(len(times), dtype=bool)
    sources = np.full(len(times), -1)
    for number, part in enumerate(parts):
        at = np.searchsorted(times, part.times)
        waiting = np.arange(len(at))
        while len(waiting):
            # A time that repeats within the part waits for the next round, so that it is compared with the first.
            _, first = np.unique(at[waiting], return_index=True)
            now = waiting[first]
            _place(name, joined, preliminary, sources, at[now], now, number, parts, times)
            waiting = np.delete(waiting, first)
    return joined, preliminary


def _place(
    name: str,
    joined: np.ndarray,
    preliminary: np.ndarray,
    sources: np.ndarray,
    at: np.ndarray,
    taken: np.ndarray,
    number: int,
    parts: list[Part],
    times: np.ndarray,
) -> None:
    """Write rows `taken` of part `number` to rows `at` of `joined`, final over preliminary."""
    old, new = joined[at], parts[number].values[taken]
    old_flag, new_flag = preliminary[at], parts[number].preliminary[taken]
    axes = tuple(range(1, new.ndim))
    both = ~np.isnan(old) & ~np.isnan(new)
    conflict = (both & (old != new)).any(axis=axes)
    undecided = conflict & (old_flag == new_flag)
    if undecided.any():
        row = int(np.flatnonzero(undecided)[0])
        raise _contradiction(name, old[row], new[row], times[at[row]], parts[sources[at[row]]], parts[number])
    replace = ~np.isnan(new) & ~(conflict & ~old_flag).reshape(-1, *[1] * len(axes))
    joined[at] = np.where(replace, new, old)
    written = replace.any(axis=axes)
    # Where both sources speak, the final one has been kept: the value is preliminary only when both are.
    preliminary[at] = np.where(both.any(axis=axes), old_flag & new_flag, old_flag | (written & new_flag))
    sources[at] = np.where(written, number, sources[at])


def _contradiction(
    name: str, old: np.ndarray, new: np.ndarray, time: np.datetime64, first: Part, second: Part
) -> DataError:
    cell = np.unravel_index(int(np.argmax((old != new) & ~np.isnan(old) & ~np.isnan(new))), old.shape)
    return DataError(
        "TIME_DUPLICATE",
        f"two different values of {name} for one time",
        where=f"{stamp(time)} in {first.source} and in {second.source}",
        evidence=f"{float(old[cell]):.6g} against {float(new[cell]):.6g}",
        next_command="keep one of the two files; duplicates that agree are merged without a word",
    )
