"""Files made anew with other content: every check sum is right, so only the content itself can be judged."""

from __future__ import annotations

import json
import pickle
import pickletools
import struct
from typing import Any

from tests.fuzz.damage import Chance, place
from tests.fuzz.sound_files import Sound
from tests.utils import checkpoint_files as files

NUMBERS = (0, 1, 2, 3, 255, 65_535, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, -1, -(2**31), -(2**63))
LITERALS: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**80,
    1e308,
    float("nan"),
    "",
    "a" * 300,
    b"\xff",
    (),
    [],
    {},
    (1,),
    [[]],
)


def list_of_tensors(parts: dict[str, bytes]) -> str:
    """Return the name of the pickle in an archive."""
    return next(name for name in parts if name.endswith("data.pkl"))


def with_pickle(sound: Sound, content: bytes) -> bytes:
    """Return the archive with another list of tensors."""
    parts = sound.parts
    return files.archive_bytes(parts | {list_of_tensors(parts): content})


def overwrite_list(sound: Sound, chance: Chance) -> bytes:
    """Overwrite some bytes of the list of tensors."""
    parts = sound.parts
    content = bytearray(parts[list_of_tensors(parts)])
    for _ in range(chance.integers(1, 5)):
        content[place(chance, len(content))] = place(chance, 256)
    return with_pickle(sound, bytes(content))


def edit_instructions(sound: Sound, chance: Chance) -> bytes:
    """Leave out, double, exchange or replace whole instructions of the list of tensors."""
    parts = sound.parts
    steps = instructions(parts[list_of_tensors(parts)])
    for _ in range(chance.integers(1, 4)):
        here, there = place(chance, len(steps)), place(chance, len(steps))
        how = place(chance, 5)
        if how == 0:
            del steps[here]
        elif how == 1:
            steps.insert(there, steps[here])
        elif how == 2:
            steps[here], steps[there] = steps[there], steps[here]
        elif how == 3:
            steps[here] = bytes([place(chance, 256)])
        else:
            steps[here] = inside(LITERALS[place(chance, len(LITERALS))])
    return with_pickle(sound, b"".join(steps))


def edit_numbers(sound: Sound, chance: Chance) -> bytes:
    """Replace sizes, strides, offsets or numbers of values in the list of tensors."""
    parts = sound.parts
    steps = instructions(parts[list_of_tensors(parts)])
    numbers = [number for number, step in enumerate(steps) if step[:1] in (b"K", b"M", b"J")]
    for _ in range(chance.integers(1, 4)):
        steps[numbers[place(chance, len(numbers))]] = inside(NUMBERS[place(chance, len(NUMBERS))])
    return with_pickle(sound, b"".join(steps))


def edit_names(sound: Sound, chance: Chance) -> bytes:
    """Replace what a name, an import or a kind of storage is called by what another one is called."""
    parts = sound.parts
    steps = instructions(parts[list_of_tensors(parts)])
    texts = [number for number, step in enumerate(steps) if step[:1] in (b"X", b"c")]
    for _ in range(chance.integers(1, 4)):
        here, there = (texts[place(chance, len(texts))] for _ in range(2))
        steps[here] = steps[there] if chance.random() < 0.7 else inside("\x1b[2J\ud800" + "x" * place(chance, 9))
    return with_pickle(sound, b"".join(steps))


def edit_records(sound: Sound, chance: Chance) -> bytes:
    """Exchange, drop, shorten, lengthen or rename members of the archive."""
    parts = sound.parts
    names = list(parts)
    here, there = names[place(chance, len(names))], names[place(chance, len(names))]
    how = place(chance, 6)
    if how == 0:
        parts[here], parts[there] = parts[there], parts[here]
    elif how == 1:
        del parts[here]
    elif how == 2:
        parts[here] = parts[here][: place(chance, len(parts[here]))]
    elif how == 3:
        parts[here] += chance.bytes(place(chance, 100) + 1)
    elif how == 4:
        parts[here] = chance.bytes(len(parts[here]))
    else:
        parts["other/" + here.partition("/")[2]] = parts.pop(here)
    return files.archive_bytes(parts)


def edit_safetensors_header(sound: Sound, chance: Chance) -> bytes:
    """Change what the header says about one tensor, with the right length in front."""
    header, values = _split(sound.raw)
    names = list(header)
    here, there = names[place(chance, len(names))], names[place(chance, len(names))]
    field = ("dtype", "shape", "data_offsets")[place(chance, 3)]
    how = place(chance, 6)
    if how == 0:
        header[here][field] = header[there][field]
    elif how == 1:
        header[here][field] = LITERALS[place(chance, 12)] if field == "dtype" else _sizes(chance)
    elif how == 2:
        header[here] = [None, 5, "x", [], {}, {"dtype": "F32"}][place(chance, 6)]
    elif how == 3:
        del header[here][field]
    elif how == 4:
        header[here], header[there] = header[there], header[here]
    else:
        header[here]["data_offsets"] = [offset + place(chance, 9) * 4 for offset in header[here]["data_offsets"]]
    text = json.dumps(header, default=lambda value: value.decode("latin-1")).encode()
    return struct.pack("<Q", len(text)) + text + values


def edit_safetensors_text(sound: Sound, chance: Chance) -> bytes:
    """Change letters of the header, or put other JSON in its place; the length in front stays right."""
    length = int.from_bytes(sound.raw[:8], "little")
    text = bytearray(sound.raw[8 : 8 + length])
    depth = int(10 ** chance.uniform(1, 5))
    how = place(chance, 7)
    if how < 3:
        for _ in range(chance.integers(1, 4)):
            text[place(chance, length)] = place(chance, 256)
    elif how == 3:
        text = bytearray(b'{"a":' + b"[" * depth + b"]" * depth + b"}")
    elif how == 4:
        text[1:1] = text[1 : text.index(b"}") + 1] + b","
    elif how == 5:
        text = bytearray(
            b'{"__metadata__":' + [b"5", b"[]", b'{"a":1}', b'{"format":"pt"}'][place(chance, 4)] + b"," + text[1:]
        )
    else:
        text = bytearray(b'{"a":{"dtype":"F32","shape":[' + b"9" * depth + b'],"data_offsets":[0,4]}}')
    return struct.pack("<Q", len(text)) + bytes(text) + sound.raw[8 + length :]


def edit_safetensors_length(sound: Sound, chance: Chance) -> bytes:
    """Lie about the length of the header."""
    length = int.from_bytes(sound.raw[:8], "little")
    lengths = (0, 1, length - 1, length + 1, len(sound.raw), 100_000_000, 2**62, 2**63, 2**64 - 1, place(chance, 2**40))
    return struct.pack("<Q", lengths[place(chance, len(lengths))]) + sound.raw[8:]


def instructions(content: bytes) -> list[bytes]:
    """Cut a pickle into its instructions."""
    starts = [position or 0 for _, _, position in pickletools.genops(content)] + [len(content)]
    return [content[first:last] for first, last in zip(starts[:-1], starts[1:], strict=True)]


def inside(value: Any) -> bytes:
    """Return the instructions that put a plain value on the stack, without beginning, memo and end."""
    content = pickletools.optimize(pickle.dumps(value, 2))
    return content[2:-1]


def _sizes(chance: Chance) -> list[Any]:
    numbers = (*NUMBERS, 1.5, "1", None, True)
    return [numbers[place(chance, len(numbers))] for _ in range(chance.integers(0, 4))]


def _split(raw: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]
