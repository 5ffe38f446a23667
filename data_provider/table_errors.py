"""What is said of a file that is no table, and the commands that make one."""

from __future__ import annotations

import shlex
from pathlib import Path

from utils.errors import DataError

PREPARE_COMMANDS = (
    "bash scripts/prepare_era5.sh (from ERA5 files), or bash scripts/quickstart.sh and --data_path synthetic_peru.csv "
    "(labelled synthetic data)"
)


MEND_FIRST = "mend the file, or write it again"
MEND_COLUMNS = f"{MEND_FIRST}; columns are timestamp, region, <features>, precipitation, rain_24h (docs/data.md)"


def not_a_table(what: str, path: Path, evidence: str, where: str = "", *, way_out: str = "") -> DataError:
    """Return the error of a file whose columns or rows are not those of a table.

    Args:
        what: one plain sentence.
        path: the file.
        evidence: what proves it.
        where: column and line, after the path.
        way_out: how to mend the file, told before how to make another.
    """
    return DataError(
        "DATA_TABLE",
        what,
        where=f"{path}{where}",
        evidence=evidence,
        next_command=f"{way_out or MEND_COLUMNS}; or make a table: {PREPARE_COMMANDS}",
    )


def unreadable(path: Path, why: str, error: Exception) -> DataError:
    """Return the error of a file that its reader gave up on."""
    return DataError(
        "DATA_FILE",
        f"{path.name} {why}.",
        where=str(path),
        evidence=str(error).splitlines()[0],
        next_command=f"{MEND_FIRST}; or make a table: {PREPARE_COMMANDS}",
    )


def missing_table(path: Path) -> DataError:
    """Return the error of a table that is not there, with the tables that are."""
    beside = sorted(other.name for other in path.parent.glob("*") if other.suffix in (".csv", ".nc"))
    tables = [name for name in beside if name.endswith(".csv")]
    there = f"{path.parent} holds {', '.join(beside) if beside else 'no tables'}"
    return DataError(
        "DATA_MISSING",
        "There is no prepared table.",
        where=str(path.resolve()),
        evidence=there if path.parent.is_dir() else f"the folder {path.parent} does not exist",
        next_command=(f"--data_path {shlex.quote(tables[0])}, or " if tables else "") + PREPARE_COMMANDS,
    )
