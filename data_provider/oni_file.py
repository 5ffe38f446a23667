"""NOAA's text file of the Oceanic Nino Index, checked line by line; anything else is refused with what it is.

::

     SEAS  YR   TOTAL   ANOM
      DJF 1950  24.72  -1.53
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_provider.sniff import sniff
from utils.errors import DataError

URL = "https://www.cpc.ncep.noaa.gov/data/indices/oni.ascii.txt"
NEWEST = f"download the newest file from {URL}"
HEADER = ("SEAS", "YR", "TOTAL", "ANOM")
SEASONS = ("DJF", "JFM", "FMA", "MAM", "AMJ", "MJJ", "JJA", "JAS", "ASO", "SON", "OND", "NDJ")
MISSING = -99.9
PLAIN_TEXT = "text"
# The strongest on record are below 3 degrees.
LARGEST_ANOMALY = 10.0


def read(path: Path) -> tuple[np.datetime64, np.ndarray]:
    """Read the file.

    Args:
        path: the file.

    Returns:
        centre month of the first season, datetime64[M]; `(N,)` anomalies in degrees Celsius, NaN where missing.

    Raises:
        DataError: ``ONI_FILE`` or ``ONI_FORMAT``.
    """
    lines = _lines(path)
    if not lines or tuple(lines[0][1].upper().split()) != HEADER:
        raise _foreign(path, "its first line is " + (repr(lines[0][1].strip()[:60]) if lines else "missing"))
    months: list[np.datetime64] = []
    values: list[float] = []
    for number, line in lines[1:]:
        month, value = _row(path, number, line)
        if months and month != months[-1] + 1:
            raise _foreign(path, f"line {number}: {month} follows {months[-1]}, and a month is a line")
        months.append(month)
        values.append(value)
    if not months:
        raise _foreign(path, "no line follows its first")
    return months[0], np.array(values)


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return number and text of the lines that are not blank."""
    if not path.is_file():
        raise DataError(
            "ONI_FILE",
            "There is no such file of the Oceanic Nino Index.",
            where=f"--oni {path}",
            evidence="a folder" if path.is_dir() else "no such file",
            next_command=NEWEST,
        )
    kind = sniff(path)
    if kind.name != PLAIN_TEXT:
        raise _foreign(path, f"its content is {kind.name}")
    try:
        text = path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise _foreign(path, "it holds letters that are not English") from None
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _row(path: Path, number: int, line: str) -> tuple[np.datetime64, float]:
    """Return centre month and anomaly of a line."""
    words = line.split()
    try:
        season, year, _, anomaly = words
        position, value = SEASONS.index(season.upper()), float(anomaly)
        month = np.datetime64(f"{int(year):04d}-{position + 1:02d}", "M")
    except ValueError:
        raise _foreign(path, f"line {number} is {line.strip()[:60]!r}") from None
    if value == MISSING:
        return month, float("nan")
    if not abs(value) <= LARGEST_ANOMALY:
        raise _foreign(path, f"line {number}: an anomaly of {anomaly} degrees Celsius")
    return month, value


def _foreign(path: Path, found: str) -> DataError:
    """Return the error of a file that is not NOAA's."""
    return DataError(
        "ONI_FORMAT",
        "This is not the Oceanic Nino Index in NOAA's own format.",
        where=f"--oni {path}",
        evidence=f"{found}; expected the columns {' '.join(HEADER)} and lines such as 'DJF 1950  24.72  -1.53'",
        next_command=f"{NEWEST} and leave it as it is",
    )
