"""What a torch pickle would build, worked out on paper: no name is imported and nothing in the pickle is called.

A pickle is a program for a stack machine. This machine runs it with symbols in the place of objects, so that the
names it asks for and the sizes of its tensors are known before torch reads it.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

# Bytes per value; the quantized kinds are no plain tensors and are left out.
STORAGE_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
}  # fmt: skip
DTYPE_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1, "complex64": 8, "complex128": 16, "float8_e4m3fn": 1,
    "float8_e5m2": 1,
}  # fmt: skip
REBUILD = ("torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3")
ALLOWED = frozenset(
    [
        *REBUILD,
        "torch._utils _rebuild_parameter",
        "collections OrderedDict",
        "collections Counter",
        "builtins set",
        "__builtin__ set",
        "_codecs encode",
        "torch Size",
        "torch device",
        "torch.storage UntypedStorage",
        *(f"torch {name}" for name in (*STORAGE_BYTES, *DTYPE_BYTES)),
    ]
)

PROTOCOL = b"\x80"
# What following a malformed pickle can run into.
FAULTS = (ValueError, LookupError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True)
class Name:
    """Something the pickle asks Python to import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module} {self.name}"


@dataclass(frozen=True)
class Storage:
    """A block of values in the file: its member name, number of values and bytes per value."""

    key: str
    count: int
    value_bytes: int


@dataclass(frozen=True)
class TensorSize:
    """A tensor as declared: the storage it looks into, how many values it has and how far it reaches into it."""

    storage: Storage
    count: int
    reach: int


@dataclass
class Scan:
    """What a pickle asks for.

    Attributes:
        names: all that it would import, in order of appearance.
        tensors: the tensors it would build.
    """

    names: list[Name] = field(default_factory=list)
    tensors: list[TensorSize] = field(default_factory=list)

    def refused(self) -> list[str]:
        """Return the names that no dict of plain tensors needs, dotted."""
        return [f"{name.module}.{name.name}" for name in self.names if str(name) not in ALLOWED]


class MalformedPickleError(ValueError):
    """The bytes are no pickle, or do what no pickle of torch does."""


def scan(content: bytes) -> Scan:
    """Work out what a pickle would build.

    Raises:
        MalformedPickleError: it cannot be followed.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            machine.take(opcode.name, argument)
    except FAULTS as error:
        # What was seen before the fault may name the reason.
        if machine.scan.refused():
            return machine.scan
        raise MalformedPickleError(f"{type(error).__name__}: {error}") from None
    return machine.scan


def names_in(content: bytes) -> list[str]:
    """Return the dotted names that the pickles at the start of these bytes import, as far as they can be followed.

    A legacy file of torch is several pickles in a row, then raw values.
    """
    found: list[str] = []
    while content:
        machine, is_whole, end = _follow(content)
        # Text can begin like a pickle without a protocol number; only one that holds together to its end counts.
        if content[:1] == PROTOCOL or is_whole:
            found += [f"{name.module}.{name.name}" for name in machine.scan.names]
        if not end:
            break
        content = content[end:]
    return list(dict.fromkeys(found))


def _follow(content: bytes) -> tuple[_Machine, bool, int]:
    """Follow one pickle; where the machine is lost, go on for the names alone.

    Returns:
        The machine, whether it was never lost, and where the pickle ends (0: it has no end).
    """
    machine = _Machine()
    is_whole, end = True, 0
    try:
        for opcode, argument, position in pickletools.genops(content):
            end = (position or 0) + 1
            if is_whole:
                is_whole = _taken(machine, opcode.name, argument)
            elif opcode.name in ("GLOBAL", "INST"):
                machine.name(*str(argument).split(" ", 1))
    except FAULTS:
        return machine, False, 0
    return machine, is_whole, end


def _taken(machine: _Machine, opcode: str, argument: Any) -> bool:
    try:
        machine.take(opcode, argument)
    except FAULTS:
        return False
    return True


@dataclass(frozen=True)
class _Call:
    function: Any
    arguments: Any


class _Mark:
    """Where the arguments of a later instruction begin."""


MARK = _Mark()
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_FRESH: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
_IGNORED = {"PROTO", "FRAME", "STOP"}
# The contents of lists, sets and dicts hold no tensor that was not counted when it was built.
_DROPS_TO_MARK = {"SETITEMS", "APPENDS", "ADDITEMS"}
_DROPPED = {"SETITEM": 2, "APPEND": 1, "BUILD": 1, "POP": 1}


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.scan = Scan()

    def take(self, opcode: str, argument: Any) -> None:
        """Follow one instruction."""
        if opcode in _IGNORED:
            return
        if opcode == "BUILD" and _is_tensor(self.stack[-2]):
            raise MalformedPickleError("a tensor is given a new inside after it was built")
        if opcode in _DROPPED:
            del self.stack[-_DROPPED[opcode] :]
        elif opcode in _DROPS_TO_MARK or opcode == "POP_MARK":
            self._to_mark()
        elif opcode in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = self.stack[-1]
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        else:
            self.stack.append(self._made(opcode, argument))

    def _made(self, opcode: str, argument: Any) -> Any:
        """Return what an instruction puts on the stack."""
        if opcode in _CONSTANTS:
            return _CONSTANTS[opcode]
        if opcode in _FRESH:
            return _FRESH[opcode]()
        if opcode in ("BINGET", "LONG_BINGET", "GET"):
            return self.memo[argument]
        if opcode == "MARK":
            return MARK
        if opcode == "DUP":
            return self.stack[-1]
        if opcode.startswith("TUPLE"):
            return self._tuple(opcode)
        if opcode in ("LIST", "DICT", "FROZENSET"):
            return self._to_mark()
        if opcode in ("BINPERSID", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST", "GLOBAL", "STACK_GLOBAL"):
            return self._named(opcode, argument)
        if argument is None:
            raise MalformedPickleError(f"instruction {opcode} does not occur in a file of torch")
        return argument

    def _tuple(self, opcode: str) -> tuple[Any, ...]:
        if opcode == "TUPLE":
            return tuple(self._to_mark())
        length = int(opcode[-1])
        if len(self.stack) < length:
            raise MalformedPickleError("the stack is empty")
        taken = tuple(self.stack[-length:])
        del self.stack[-length:]
        return taken

    def _named(self, opcode: str, argument: Any) -> Any:
        if opcode == "GLOBAL":
            return self.name(*argument.split(" ", 1))
        if opcode == "STACK_GLOBAL":
            name, module = self.stack.pop(), self.stack.pop()
            return self.name(str(module), str(name))
        if opcode == "BINPERSID":
            return _storage(self.stack.pop())
        if opcode == "INST":
            arguments = self._to_mark()
            return self._call(self.name(*argument.split(" ", 1)), arguments)
        if opcode == "OBJ":
            function, *arguments = self._to_mark()
            return self._call(function, arguments)
        if opcode == "NEWOBJ_EX":
            self.stack.pop()
        arguments = self.stack.pop()
        return self._call(self.stack.pop(), arguments)

    def name(self, module: str, name: str) -> Name:
        """Note a name that would be imported."""
        self.scan.names.append(Name(module, name))
        return self.scan.names[-1]

    def _call(self, function: Any, arguments: Any) -> Any:
        if str(function) in REBUILD:
            self.scan.tensors.append(_tensor(*arguments))
        return _Call(function, arguments)

    def _to_mark(self) -> list[Any]:
        taken = []
        while (value := self.stack.pop()) is not MARK:
            taken.append(value)
        return taken[::-1]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, _Call) and str(value.function).startswith("torch._utils _rebuild")


def _storage(identity: Any) -> Storage:
    """Read torch's `("storage", kind, key, place, number of values)`."""
    # Legacy files add a sixth part about views.
    _, kind, key, _, count, *_ = identity
    value_bytes = 1 if kind.name == "UntypedStorage" else STORAGE_BYTES.get(kind.name, 1)
    if not isinstance(count, int) or count < 0:
        raise MalformedPickleError(f"a storage of {count!r} values")
    return Storage(str(key), count, value_bytes)


def _tensor(storage: Storage, offset: int, shape: Any, stride: Any, *rest: Any) -> TensorSize:
    """Count the values of a tensor and how far into its storage they reach."""
    sizes, steps = tuple(_whole(shape)), tuple(_whole(stride))
    if len(sizes) != len(steps):
        raise MalformedPickleError(f"shape {sizes} with strides {steps}")
    (offset,) = _whole([offset])
    # The third way of rebuilding counts the storage in bytes and names the type of its values last.
    kinds = [DTYPE_BYTES[part.name] for part in rest if isinstance(part, Name) and part.name in DTYPE_BYTES]
    if kinds:
        storage = Storage(storage.key, storage.count * storage.value_bytes // kinds[0], kinds[0])
    count = prod(sizes)
    reach = offset + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True)) + 1 if count else 0
    return TensorSize(storage, count, reach)


def _whole(values: Any) -> Iterator[int]:
    values = values.arguments[0] if isinstance(values, _Call) else values
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise MalformedPickleError(f"{value!r} where a size was expected")
        yield value
