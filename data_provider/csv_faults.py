"""What is wrong with the text of a CSV: cut off, in other bytes than UTF-8, other separators, dates or words."""

from __future__ import annotations

import codecs
import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.table_errors import MEND_FIRST, not_a_table
from utils.errors import DataError

TAIL_BYTES = 1 << 16
DECIMAL_COMMA = r"-?\d+,\d+"
DAY_FIRST = r"\s*\d{1,2}[/.-]\d{1,2}[/.-]\d{4}"


def require_plain_text(path: Path) -> None:
    """Refuse a CSV in UTF-16 or UTF-32, and one whose last line was cut off.

    Raises:
        DataError: ``DATA_FILE``.
    """
    with path.open("rb") as stream:
        first = stream.readline(TAIL_BYTES)
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - TAIL_BYTES))
        tail = stream.read()
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if first.startswith(mark):
            raise DataError(
                "DATA_FILE",
                f"{path.name} is written in {name.upper()}; tables are read as UTF-8.",
                where=str(path),
                evidence=f"first bytes {first[:4].hex(' ')}",
                next_command=f"pd.read_csv('{path}', encoding='{name}').to_csv('{path}', index=False)",
            )
    _require_whole_end(path, first, tail)


def _require_whole_end(path: Path, first: bytes, tail: bytes) -> None:
    lines = tail.rstrip(b"\r\n").split(b"\n")
    # The first of these lines may begin before the tail, and the header is no row.
    if len(lines) < 3 or any(b'"' in line for line in (first, *lines[-2:])):
        return
    header, before, last = (_cells(line) for line in (first, lines[-2], lines[-1]))
    if not (last < header == before):
        return
    with path.open("rb") as stream:
        number = sum(1 for line in stream if line.strip())
    raise DataError(
        "DATA_FILE",
        f"{path.name} ends in the middle of a line.",
        where=f"{path}, line {number}",
        evidence=f"{last} of {header} cells: {lines[-1][-60:].decode('utf-8', 'replace').strip()}",
        next_command="copy or write the file again, whole; or, to do without its last line: "
        f"pd.read_csv('{path}', skipfooter=1, engine='python').to_csv('{path}', index=False)",
    )


def _cells(line: bytes) -> int:
    return len(next(csv.reader([line.decode("utf-8", "replace").strip("\r\n")]), []))


def require_commas(path: Path) -> None:
    """Refuse a CSV whose cells are separated by semicolons, with points or commas in its numbers.

    Raises:
        DataError: ``DATA_TABLE``.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        header, row = stream.readline(TAIL_BYTES), stream.readline(TAIL_BYTES)
    if "," in header or ";" not in header:
        return
    comma = any(pd.Series(row.strip().split(";")).str.fullmatch(DECIMAL_COMMA))
    raise DataError(
        "DATA_TABLE",
        "The columns are separated by semicolons" + (", the decimals by commas." if comma else "."),
        where=str(path),
        evidence=f"first line: {header.strip()[:60]}",
        next_command=f"pd.read_csv('{path}', sep=';'{', decimal=' + repr(',') if comma else ''})"
        f".to_csv('{path}', index=False)",
    )


def text_columns(frame: pd.DataFrame, names: list[str], path: Path) -> DataError:
    """Return the error of columns with text, naming the first such cell of each."""
    said = []
    for name in names:
        cells = frame[name]
        numbers = pd.to_numeric(cells, errors="coerce")
        wrong = (cells.notna() & numbers.isna()).to_numpy()
        if not wrong.any():
            said.append(f"{name} {cells.iloc[0]!r} in line 2")
            continue
        row = int(np.argmax(wrong))
        said.append(f"{name} {cells.iloc[row]!r} in line {row + 2} ({int(wrong.sum())} of {len(cells)} cells)")
    name = names[0]
    whole = len(frame) and not pd.to_numeric(frame[name], errors="coerce").notna().any()
    way = f"df.drop(columns=['{name}'])" if whole else f"df['{name}'] = pd.to_numeric(df['{name}'], errors='coerce')"
    return not_a_table(
        "Columns hold text where numbers are expected.",
        path,
        "; ".join(said),
        f", column {name}",
        way_out=f"{'leave the column out' if whole else 'leave these cells blank'}: {way}",
    )


def wrong_timestamp(stamps: pd.Series, path: Path, reason: str) -> DataError:
    """Return the error of a timestamp that is not written as ISO 8601 wants it, with its line and value."""
    text = stamps.astype(str)
    read = pd.to_datetime(stamps, format="ISO8601", errors="coerce", utc=True)
    wrong = (read.isna() & stamps.notna()).to_numpy()
    row = int(np.argmax(wrong)) if wrong.any() else 0
    value = text.iloc[row]
    day_first = bool(text[wrong].str.match(DAY_FIRST).all()) if wrong.any() else False
    month_first = day_first and _is_month_first(text[wrong])
    way = ""
    if day_first:
        way = f"df['timestamp'] = pd.to_datetime(df['timestamp'], dayfirst={not month_first})" + (
            " (month/day/year: a second number is above 12)" if month_first else " (day/month/year)"
        )
    return not_a_table(
        "A timestamp is not written as 2019-01-31 18:00:00.",
        path,
        f"{value!r}: {int(wrong.sum())} of {len(stamps)} timestamps" if wrong.any() else reason,
        f", column timestamp, line {row + 2}",
        way_out=way,
    )


def _is_month_first(text: pd.Series) -> bool:
    numbers = text.str.extract(r"(\d{1,2})[/.-](\d{1,2})").astype(float)
    return bool((numbers[1] > 12).any() and not (numbers[0] > 12).any())


def no_rows(path: Path) -> DataError:
    """Return the error of a CSV that has a header and nothing else."""
    return not_a_table("The table has no rows.", path, "a header and no line after it", way_out=MEND_FIRST)
