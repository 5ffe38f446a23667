"""Damage as disks, networks and half copies make it: bytes change and nothing else is adjusted."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np

Chance = np.random.Generator
PAGE_BYTES = 512
# Position and length in bytes of the fields of the headers in a ZIP.
LOCAL = {4: 2, 6: 2, 8: 2, 10: 2, 12: 2, 14: 4, 18: 4, 22: 4, 26: 2, 28: 2}
ENTRY = {4: 2, 6: 2, 8: 2, 10: 2, 12: 2, 14: 2, 16: 4, 20: 4, 24: 4, 28: 2, 30: 2, 32: 2, 34: 2, 36: 2, 38: 4, 42: 4}
END = {4: 2, 6: 2, 8: 2, 10: 2, 12: 4, 16: 4, 20: 2}
END_64 = {4: 8, 12: 2, 14: 2, 16: 4, 20: 4, 24: 8, 32: 8, 40: 8, 48: 8}
LOCATOR_64 = {4: 4, 8: 8, 16: 4}


def place(chance: Chance, length: int) -> int:
    """Return a random place in `length` bytes."""
    return int(chance.integers(max(1, length)))


def cut(raw: bytes, chance: Chance) -> bytes:
    """Keep the beginning; every other time only some bytes are lost."""
    return raw[: -1 - place(chance, 100)] if chance.random() < 0.5 else raw[: place(chance, len(raw))]


def flip_bits(raw: bytes, chance: Chance) -> bytes:
    """Flip one to eight bits."""
    content = bytearray(raw)
    for _ in range(chance.integers(1, 9)):
        content[place(chance, len(raw))] ^= 1 << place(chance, 8)
    return bytes(content)


def overwrite_bytes(raw: bytes, chance: Chance) -> bytes:
    """Overwrite one to sixteen bytes, in one place or in many."""
    content = bytearray(raw)
    number = int(chance.integers(1, 17))
    first = place(chance, len(raw) - number)
    scattered = chance.random() < 0.5
    for step in range(number):
        content[place(chance, len(raw)) if scattered else first + step] = place(chance, 256)
    return bytes(content)


def overwrite_page(raw: bytes, chance: Chance) -> bytes:
    """Overwrite one or more pages with zeros, ones, noise or another page of the file."""
    first = PAGE_BYTES * place(chance, len(raw) // PAGE_BYTES)
    length = min(PAGE_BYTES * int(chance.integers(1, 9)), len(raw) - first)
    other = place(chance, len(raw) - length)
    fillings = (bytes(length), b"\xff" * length, chance.bytes(length), raw[other : other + length])
    return raw[:first] + fillings[place(chance, 4)] + raw[first + length :]


def move_parts(raw: bytes, chance: Chance) -> bytes:
    """Insert, leave out, double or exchange some bytes."""
    length = int(chance.integers(1, 1000))
    first, second = sorted((place(chance, len(raw) - length), place(chance, len(raw) - length)))
    part, other = raw[first : first + length], raw[second : second + length]
    changed = (
        raw[:first] + chance.bytes(length) + raw[first:],
        raw[:first] + raw[first + length :],
        raw[:first] + part + raw[first:],
        raw[:first] + other + raw[first + length : second] + part + raw[second + length :],
    )
    return changed[place(chance, 4)]


def append(raw: bytes, chance: Chance) -> bytes:
    """Add zeros, noise, or the end of the file once more, as a download that was continued wrongly."""
    length = int(chance.integers(1, 3000))
    return raw + (bytes(length), chance.bytes(length), raw[-length:], raw)[place(chance, 4)]


def edit_local_header(raw: bytes, chance: Chance) -> bytes:
    """Change a field of the header in front of a member, or a letter of its name."""
    start = _entries(raw)[place(chance, len(_entries(raw)))].header_offset
    if chance.random() < 0.2:
        return _edit(raw, start + 30 + place(chance, 20), 1, chance)
    return _edit_field(raw, start, LOCAL, chance)


def edit_directory(raw: bytes, chance: Chance) -> bytes:
    """Change a field of the table of contents, or a letter of a name in it."""
    starts = _directory(raw)
    start = starts[place(chance, len(starts))]
    if chance.random() < 0.2:
        return _edit(raw, start + 46 + place(chance, 20), 1, chance)
    return _edit_field(raw, start, ENTRY, chance)


def edit_end(raw: bytes, chance: Chance) -> bytes:
    """Change a field of the records that say where the table of contents is."""
    records = {raw.rfind(b"PK\x05\x06"): END, raw.rfind(b"PK\x06\x06"): END_64, raw.rfind(b"PK\x06\x07"): LOCATOR_64}
    found = [(start, fields) for start, fields in records.items() if start >= 0]
    start, fields = found[place(chance, len(found))]
    return _edit_field(raw, start, fields, chance)


def _entries(raw: bytes) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return archive.infolist()


def _directory(raw: bytes) -> list[int]:
    """Return where each entry of the table of contents begins."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        position, starts = archive.start_dir, []
        for _ in archive.infolist():
            starts.append(position)
            position += 46 + sum(struct.unpack_from("<HHH", raw, position + 28))
    return starts


def _edit_field(raw: bytes, start: int, fields: dict[int, int], chance: Chance) -> bytes:
    position = list(fields)[place(chance, len(fields))]
    return _edit(raw, start + position, fields[position], chance)


def _edit(raw: bytes, position: int, length: int, chance: Chance) -> bytes:
    """Put another number in a field: a neighbour, an end of the range, or any."""
    highest = (1 << 8 * length) - 1
    old = int.from_bytes(raw[position : position + length], "little")
    others = (
        0,
        1,
        highest,
        highest >> 1,
        old + 1,
        old - 1,
        old ^ 1 << place(chance, 8 * length),
        place(chance, 70_000),
    )
    new = (others[place(chance, len(others))] & highest).to_bytes(length, "little")
    return raw[:position] + new + raw[position + length :]
