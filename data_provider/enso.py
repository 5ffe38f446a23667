"""Which months were El Nino, which La Nina: NOAA's Oceanic Nino Index (ONI), read and put into phases.

The index is the mean anomaly of the sea surface temperature of the Nino 3.4 region over three months; DJF 2024 is
December 2023 to February 2024. A season stands for its centre month, so DJF 2024 is January 2024.

The five-season rule: a month is El Nino where its season belongs to a run of at least five consecutive overlapping
seasons at +0.5 degrees Celsius or more, La Nina where it belongs to one of -0.5 or less, else neutral. The values are
compared as the file gives them, to a hundredth; the table on NOAA's page rounds them to a tenth first.

What is not known: a run of fewer than five that touches the beginning or the end of the record, or a missing value
(-99.9), could belong to a longer one. Its months are counted as neutral, which is what the rule says so far, and named
as undecided.
Source: NOAA Climate Prediction Center, https://www.cpc.ncep.noaa.gov/data/indices/oni.ascii.txt
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from data_provider import oni_file
from utils.errors import DataError

EL_NINO, NEUTRAL, LA_NINA = "el_nino", "neutral", "la_nina"
PHASES = (EL_NINO, NEUTRAL, LA_NINA)
THRESHOLD, LEAST_SEASONS = 0.5, 5
MONTHS_SHOWN = 6


@dataclass(frozen=True)
class Oni:
    """The index by month.

    Attributes:
        first: datetime64[M], the centre month of the first season.
        anomaly: `(N,)` degrees Celsius, one a month without a gap; NaN where the file says that it is missing.
        source: the file.
    """

    first: np.datetime64
    anomaly: np.ndarray
    source: Path

    @property
    def last(self) -> np.datetime64:
        """Centre month of the last season."""
        return self.first + (len(self.anomaly) - 1)

    @cached_property
    def phase(self) -> np.ndarray:
        """`(N,)` phase of each month by the rule so far."""
        result = np.full(len(self.anomaly), NEUTRAL)
        for name, begin, end in self._runs():
            if end - begin >= LEAST_SEASONS:
                result[begin:end] = name
        return result

    @cached_property
    def is_undecided(self) -> np.ndarray:
        """`(N,)` True for the months of a run of fewer than five seasons that may go on where the record does not."""
        result = np.zeros(len(self.anomaly), bool)
        known = np.concatenate([[False], ~np.isnan(self.anomaly), [False]])
        for _, begin, end in self._runs():
            # Position i of the record is position i + 1 here, so these are the seasons before and after the run.
            if end - begin < LEAST_SEASONS and not (known[begin] and known[end + 1]):
                result[begin:end] = True
        return result

    def phase_of(self, init_time: np.ndarray) -> np.ndarray:
        """Return the phase of the month of each init time `(N,)`.

        Raises:
            DataError: ``ONI_TOO_SHORT``, the file has no value for some of these months; they are named.
        """
        self.require(init_time)
        return self.phase[(np.asarray(init_time).astype("datetime64[M]") - self.first).astype(np.int64)]

    def undecided_months(self, init_time: np.ndarray) -> list[str]:
        """Return those months of init times `(N,)`, as "2024-12", whose phase later seasons may still change."""
        months, known = self._months(init_time)
        at = (months[known] - self.first).astype(np.int64)
        return [str(month) for month in months[known][self.is_undecided[at]]]

    def require(self, init_time: np.ndarray) -> None:
        """Refuse init times `(N,)` whose month the file does not know.

        Raises:
            DataError: ``ONI_TOO_SHORT``.
        """
        months, known = self._months(init_time)
        unknown = [str(month) for month in months[~known]]
        if not unknown:
            return
        more = len(unknown) - MONTHS_SHOWN
        shown = ", ".join(unknown[:MONTHS_SHOWN]) + (f" and {more} more" if more > 0 else "")
        raise DataError(
            "ONI_TOO_SHORT",
            "The file of the Oceanic Nino Index is too short for these forecasts.",
            where=f"--oni {self.source}",
            evidence=f"no value for {shown}; the file runs from {self.first} to {self.last}, and the forecasts from "
            f"{months[0]} to {months[-1]}",
            next_command=oni_file.NEWEST,
        )

    def _months(self, init_time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the months `(K,)` of init times, sorted, and which of them have a value."""
        months = np.unique(np.asarray(init_time).astype("datetime64[M]"))
        at = (months - self.first).astype(np.int64)
        known = (at >= 0) & (at < len(self.anomaly))
        known[known] = ~np.isnan(self.anomaly[at[known]])
        return months, known

    def _runs(self) -> list[tuple[str, int, int]]:
        """Return phase, begin and end (exclusive) of every run of warm or of cold seasons, whatever its length."""
        runs = []
        for name, chosen in ((EL_NINO, self.anomaly >= THRESHOLD), (LA_NINA, self.anomaly <= -THRESHOLD)):
            edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
            runs += [(name, int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True)]
        return runs


def read_oni(path: Path) -> Oni:
    """Read NOAA's file of the Oceanic Nino Index.

    Args:
        path: a file in NOAA's own format, with the columns SEAS, YR, TOTAL and ANOM.

    Raises:
        DataError: ``ONI_FILE``, it cannot be read; ``ONI_FORMAT``, it is something else, and the message says what;
            ``ONI_TOO_SHORT``, it has fewer than five seasons, so that no phase can be told.
    """
    first, anomaly = oni_file.read(path)
    if len(anomaly) < LEAST_SEASONS:
        raise DataError(
            "ONI_TOO_SHORT",
            f"The file of the Oceanic Nino Index has fewer than {LEAST_SEASONS} seasons, so no phase can be told.",
            where=f"--oni {path}",
            evidence=f"{len(anomaly)} season{'s' * (len(anomaly) != 1)}",
            next_command=oni_file.NEWEST,
        )
    return Oni(first=first, anomaly=anomaly, source=path)
