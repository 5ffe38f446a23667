"""The records at the end of a ZIP, which say where its table of contents is.

Readers differ in what they make of records that contradict the file: Python's also finds a table that has moved, as
behind a second archive, where torch's reads the table of the first. Only an end that leaves no choice is accepted.
"""

from __future__ import annotations

import struct
from pathlib import Path

# Signature, four numbers of disks and members, length and place of the table, length of a comment.
END = struct.Struct("<4s4H2LH")
# The same for large files, which torch writes for small ones too, and where to find it.
LOCATOR = struct.Struct("<4sLQL")
END_64 = struct.Struct("<4sQ2H2L4Q")


def is_plain(path: Path) -> bool:
    """Return whether the table of contents ends where the records at the very end of the file begin, as they say."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - END.size - LOCATOR.size - END_64.size))
        tail = file.read()
    if len(tail) < END.size:
        return False
    signature, *_, length, begin, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\x05\x06" or comment:
        return False
    records = tail[: -END.size]
    finish = size - END.size
    if records[-LOCATOR.size :].startswith(b"PK\x06\x07"):
        _, _, finish, _ = LOCATOR.unpack(records[-LOCATOR.size :])
        if finish != size - len(tail) or not tail.startswith(b"PK\x06\x06"):
            return False
        *_, length, begin = END_64.unpack(tail[: END_64.size])
    return bool(begin + length == finish)
