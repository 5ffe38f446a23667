"""What a torch pickle would build, worked out on paper: no name is imported and nothing in the pickle is called.

A pickle is a program for a stack machine. `pickle_machine` runs it with symbols in the place of objects, so that the
names it asks for and the sizes of its tensors are known before torch reads it.
"""

from __future__ import annotations

import io
import pickletools
from dataclasses import dataclass
from typing import Any

from utils.pickle_machine import (
    CALLED,
    DTYPE_BYTES,
    INSTRUCTION_LIMIT,
    STORAGE_BYTES,
    Machine,
    MalformedPickleError,
    Name,
    PickleLimitError,
    TensorSize,
    UnsafePickleError,
)

ALLOWED = frozenset(
    [*CALLED, "torch.storage UntypedStorage", *(f"torch {name}" for name in (*STORAGE_BYTES, *DTYPE_BYTES))]
)
PROTOCOL = b"\x80"
# What following a malformed pickle can run into.
FAULTS = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
# A legacy file of torch has five.
PICKLES_IN_A_ROW = 100


@dataclass(frozen=True)
class Scan:
    """What a pickle asks for.

    Attributes:
        names: all that it would import, in order of appearance.
        tensors: the tensors it would build.
    """

    names: list[Name]
    tensors: list[TensorSize]

    def refused(self) -> list[str]:
        """Return the names that no dict of plain tensors needs, dotted."""
        return [f"{name.module}.{name.name}" for name in self.names if str(name) not in ALLOWED]


def scan(content: bytes) -> Scan:
    """Work out what a pickle would build.

    Raises:
        MalformedPickleError: it cannot be followed.
        UnsafePickleError: it would use an allowed name for what no dict of plain tensors needs.
        PickleLimitError: reading it would take time or memory out of all proportion.
    """
    machine = Machine()
    found = Scan(machine.names, machine.tensors)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number >= INSTRUCTION_LIMIT:
                raise PickleLimitError(f"more than {INSTRUCTION_LIMIT} instructions")
            machine.take(opcode.name, argument)
    except FAULTS as error:
        # What was seen before the fault may name the reason.
        if found.refused():
            return found
        if machine.misuse:
            raise UnsafePickleError(machine.misuse[0]) from None
        if isinstance(error, MalformedPickleError):
            raise
        raise MalformedPickleError(f"{type(error).__name__}: {error}") from None
    if machine.misuse and not found.refused():
        raise UnsafePickleError(machine.misuse[0])
    return found


def names_in(content: bytes) -> list[str]:
    """Return the dotted names that the pickles at the start of these bytes import, as far as they can be followed.

    A legacy file of torch is several pickles in a row, then raw values.
    """
    found: list[str] = []
    stream, left = io.BytesIO(content), INSTRUCTION_LIMIT
    for _ in range(PICKLES_IN_A_ROW):
        start = stream.tell()
        machine, is_whole, taken = _follow(stream, left)
        # Text can begin like a pickle without a protocol number; only one that holds together to its end counts.
        if content[start : start + 1] == PROTOCOL or is_whole:
            found += [f"{name.module}.{name.name}" for name in machine.names]
        left -= taken
        if not taken or left <= 0:
            break
    return list(dict.fromkeys(found))


def _follow(stream: io.BytesIO, most: int) -> tuple[Machine, bool, int]:
    """Follow one pickle; where the machine is lost, go on for the names alone.

    Returns:
        The machine, whether it was never lost, and how many instructions there are (0: it has no end).
    """
    machine = Machine()
    is_whole, taken = True, 0
    try:
        for taken, (opcode, argument, _) in enumerate(pickletools.genops(stream), start=1):
            if taken > most:
                return machine, False, 0
            if is_whole:
                is_whole = _taken(machine, opcode.name, argument)
            elif opcode.name in ("GLOBAL", "INST"):
                machine.name(*str(argument).split(" ", 1))
    except FAULTS:
        return machine, False, 0
    return machine, is_whole, taken


def _taken(machine: Machine, opcode: str, argument: Any) -> bool:
    try:
        machine.take(opcode, argument)
    except FAULTS:
        return False
    return True
