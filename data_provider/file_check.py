"""Which of many files cannot be read, told in one message: a first look that costs a few kilobytes a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from data_provider.archive import require_safe
from data_provider.sniff import ZIP, require_readable
from utils.errors import DataError

# What is wrong with the file itself; other causes (a unit, a grid) concern what a readable file says.
UNREADABLE = ("DATA_FILE", "ARCHIVE_UNSAFE")
MOST_LISTED = 10


def require_all_readable(paths: Sequence[Path]) -> None:
    """Look at the head of every file and the list of every archive; nothing is unpacked.

    Raises:
        DataError: ``DATA_FILE`` or ``ARCHIVE_UNSAFE`` naming every file that cannot be read.
    """
    errors = []
    for path in paths:
        try:
            if require_readable(path) is ZIP:
                require_safe(path)
        except DataError as error:
            errors.append(error)
    if errors:
        raise all_unreadable(errors, len(paths))


def all_unreadable(errors: Sequence[DataError], n_files: int) -> DataError:
    """One error for several files, each with its place and its fault; a single one stays as it is."""
    if len(errors) == 1:
        return errors[0]
    codes = list(dict.fromkeys(error.code for error in errors))
    lines = [f"({error.code}) " * (len(codes) > 1) + f"{error.what}; {error.evidence}" for error in errors]
    return DataError(
        codes[0] if len(codes) == 1 else UNREADABLE[0],
        f"{len(errors)} of {n_files} files cannot be read",
        where=_list(error.where for error in errors),
        evidence=_list(lines),
        next_command=_list(dict.fromkeys(error.next_command for error in errors)),
    )


def _list(items: Iterable[str]) -> str:
    """One item a line, under each other in the message."""
    items = list(items)
    more = [f"and {len(items) - MOST_LISTED} more"] if len(items) > MOST_LISTED else []
    return ("\n" + " " * 12).join([*items[:MOST_LISTED], *more])
