"""Bytes, operations and seconds, written in the unit in which they are read."""

from __future__ import annotations

import math

GIB = 2**30


def size(count: float) -> str:
    """Write bytes in GiB, small ones in MiB."""
    unit, name = (GIB, "GiB") if count >= GIB / 10 else (2**20, "MiB")
    return f"{count / unit:.2f} {name}"


def operations(count: float) -> str:
    """Write floating point operations with the prefix that keeps them below a thousand."""
    prefixes = ("", "k", "M", "G", "T", "P", "E")
    power = min(int(math.log10(max(count, 1)) // 3), len(prefixes) - 1)
    return f"{_digits(count / 1000**power)} {prefixes[power]}FLOP"


def duration(seconds: float) -> str:
    """Write a time in the unit in which it is read."""
    for least, unit, name in ((7200, 3600, "h"), (120, 60, "min"), (0.2, 1, "s")):
        if seconds >= least:
            return f"{_digits(seconds / unit)} {name}"
    return f"{_digits(1000 * seconds)} ms"


def _digits(value: float) -> str:
    """Write a number with three digits that mean something, and never as a power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
