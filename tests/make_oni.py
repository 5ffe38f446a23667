"""Small files of the Oceanic Nino Index in NOAA's own format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

SEASONS = ("DJF", "JFM", "FMA", "MAM", "AMJ", "MJJ", "JJA", "JAS", "ASO", "SON", "OND", "NDJ")


def text(anomalies: Iterable[float], first_year: int = 2000) -> str:
    """Return the content of a file whose first season is DJF of `first_year`."""
    lines = [
        f"  {SEASONS[number % 12]} {first_year + number // 12}  26.00{anomaly:7.2f}"
        for number, anomaly in enumerate(anomalies)
    ]
    return "\n".join([" SEAS  YR   TOTAL   ANOM", *lines, ""])


def write(folder: Path, anomalies: Iterable[float], first_year: int = 2000) -> Path:
    """Write such a file and return its path."""
    path = folder / "oni.ascii.txt"
    path.write_text(text(anomalies, first_year))
    return path
