"""The stack machine of a torch pickle, run with symbols in the place of objects: nothing is imported or called.

It follows the instructions that torch's own safe reader knows and refuses what that reader would do without end, or
with more memory than the file has bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
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
SIZE = "torch Size"
ORDERED = "collections OrderedDict"
ENCODE = "_codecs encode"
# Hash what they are given.
COLLECTIONS = (ORDERED, "collections Counter", "builtins set", "__builtin__ set")
CALLED = frozenset([*REBUILD, "torch._utils _rebuild_parameter", SIZE, "torch device", ENCODE, *COLLECTIONS])

# A tensor takes about thirty instructions: this is room for ten thousand.
INSTRUCTION_LIMIT = 300_000
AXES_LIMIT = 64
SIZE_LIMIT = 2**63
# The state of Python's generator is a tuple of 625 numbers.
TUPLE_LIMIT = 10_000
DEPTH_LIMIT = 100
KEY_PARTS = 8


class MalformedPickleError(ValueError):
    """The bytes are no pickle, or do what no pickle of torch does."""


class UnsafePickleError(MalformedPickleError):
    """The pickle uses an allowed name for what no dict of plain tensors needs."""


class PickleLimitError(MalformedPickleError):
    """Reading the pickle would take time or memory out of all proportion to its length."""


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


@dataclass(frozen=True, eq=False)
class _Call:
    called: str
    arguments: Any


class _Mark:
    """Where the arguments of a later instruction begin."""


class _Tuple(tuple[Any, ...]):
    """A tuple that knows how deep it is and how many parts it has when all that is in it is counted each time."""

    depth: int
    parts: int


MARK = _Mark()
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_DROPPED = {"APPEND": 1, "BUILD": 1, "POP": 1, "SETITEM": 2}
_DROPS_TO_MARK = {"SETITEMS", "APPENDS", "ADDITEMS", "POP_MARK"}


@dataclass
class Machine:
    """Stack and memo of one pickle.

    Attributes:
        names: all that it would import, in order of appearance.
        tensors: the tensors it would build.
        misuse: what it would do with allowed names that no dict of plain tensors needs.
    """

    names: list[Name] = field(default_factory=list)
    tensors: list[TensorSize] = field(default_factory=list)
    misuse: list[str] = field(default_factory=list)
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def take(self, opcode: str, argument: Any) -> None:
        """Follow one instruction."""
        if opcode in _IGNORED:
            return
        if opcode in _DROPPED:
            taken = self.stack[-_DROPPED[opcode] :]
            del self.stack[-_DROPPED[opcode] :]
            self._fill(opcode, taken)
        elif opcode in _DROPS_TO_MARK:
            self._fill(opcode, self._to_mark())
        elif opcode in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = self.stack[-1]
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        else:
            self.stack.append(self._made(opcode, argument))

    def name(self, module: str, name: str) -> Name:
        """Note a name that would be imported."""
        self.names.append(Name(module, name))
        return self.names[-1]

    def _fill(self, opcode: str, taken: list[Any]) -> None:
        """Follow what an instruction puts into the object under it: the parts of lists, the keys of dicts."""
        if opcode in ("APPEND", "APPENDS"):
            self.stack[-1].extend(taken)
        elif opcode in ("SETITEM", "SETITEMS"):
            keys = taken[::2]
            for key in keys:
                _require_key(key)
            if isinstance(self.stack[-1], dict):
                self.stack[-1].update(dict.fromkeys(keys))
        elif opcode == "BUILD":
            self._build(self.stack[-1], taken[0])

    def _build(self, target: Any, state: Any) -> None:
        """Allow only the versions that torch notes in a dict of weights to be set on an object."""
        if isinstance(target, _Call) and target.called.startswith("torch._utils _rebuild"):
            raise MalformedPickleError("a tensor is given a new inside after it was built")
        if not (isinstance(target, dict) and isinstance(state, dict) and set(state) <= {"_metadata"}):
            self.misuse.append("it would set attributes of an object")

    def _made(self, opcode: str, argument: Any) -> Any:
        """Return what an instruction puts on the stack."""
        if opcode in _CONSTANTS:
            return _CONSTANTS[opcode]
        if opcode in ("EMPTY_LIST", "EMPTY_SET"):
            return []
        if opcode == "EMPTY_DICT":
            return {}
        if opcode in ("BINGET", "LONG_BINGET", "GET"):
            return self.memo[argument]
        if opcode == "MARK":
            return MARK
        if opcode == "DUP":
            return self.stack[-1]
        if "TUPLE" in opcode:
            return self._tuple(opcode)
        if opcode in ("LIST", "FROZENSET"):
            return self._to_mark()
        if opcode in ("BINPERSID", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST", "GLOBAL", "STACK_GLOBAL"):
            return self._named(opcode, argument)
        if argument is None:
            raise MalformedPickleError(f"instruction {opcode} does not occur in a file of torch")
        return argument

    def _tuple(self, opcode: str) -> _Tuple:
        if opcode == "TUPLE":
            return _counted(self._to_mark())
        length = 0 if opcode == "EMPTY_TUPLE" else int(opcode[-1])
        if len(self.stack) < length:
            raise MalformedPickleError("the stack is empty")
        taken = self.stack[len(self.stack) - length :]
        del self.stack[len(self.stack) - length :]
        return _counted(taken)

    def _named(self, opcode: str, argument: Any) -> Any:
        if opcode == "GLOBAL":
            return self.name(*argument.split(" ", 1))
        if opcode == "STACK_GLOBAL":
            name, module = self.stack.pop(), self.stack.pop()
            if not isinstance(name, str) or not isinstance(module, str):
                raise MalformedPickleError("a name that is no text")
            return self.name(module, name)
        if opcode == "BINPERSID":
            return _storage(self.stack.pop())
        if opcode == "INST":
            arguments = self._to_mark()
            return self._call(self.name(*argument.split(" ", 1)), _counted(arguments))
        if opcode == "OBJ":
            function, *arguments = self._to_mark()
            return self._call(function, _counted(arguments))
        if opcode == "NEWOBJ_EX":
            self.stack.pop()
        arguments = self.stack.pop()
        return self._call(self.stack.pop(), arguments)

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(arguments, _Tuple):
            raise MalformedPickleError("arguments that are no tuple")
        called = str(function) if isinstance(function, Name) else "(another call)"
        if called not in CALLED:
            self.misuse.append(f"it would call {called.replace(' ', '.', 1)}")
        elif called in REBUILD:
            self.tensors.append(_tensor(*arguments))
        elif called in COLLECTIONS:
            _require_hashed(arguments)
        elif called == ENCODE and arguments[1:] != ("latin1",):
            # So torch writes bytes; other encodings take hours for a megabyte.
            self.misuse.append("it would encode text in another way than torch does")
        return {} if called == ORDERED and not arguments else _Call(called, arguments)

    def _to_mark(self) -> list[Any]:
        taken = []
        while (value := self.stack.pop()) is not MARK:
            taken.append(value)
        return taken[::-1]


def _counted(values: list[Any]) -> _Tuple:
    """Make a tuple, unless hashing or printing it would take for ever."""
    made = _Tuple(values)
    inner = [value for value in values if isinstance(value, _Tuple)]
    made.depth = 1 + max((value.depth for value in inner), default=0)
    made.parts = len(values) + sum(value.parts for value in inner)
    if made.depth > DEPTH_LIMIT or made.parts > TUPLE_LIMIT:
        raise PickleLimitError(f"a tuple of {made.parts} parts, {made.depth} deep")
    return made


def _require_key(key: Any) -> None:
    """Require that a key is a name, a number or a few of them: what is quickly hashed and can be shown."""
    if isinstance(key, _Tuple):
        if key.parts > KEY_PARTS:
            raise PickleLimitError(f"a key of {key.parts} parts")
    elif key is not None and not isinstance(key, str | bytes | int | float):
        raise MalformedPickleError("a key that is neither text nor number")


def _require_hashed(arguments: _Tuple) -> None:
    """Require short keys in what is made into a set, a counter or an ordered dict."""
    for argument in arguments:
        for part in argument if isinstance(argument, list | _Tuple) else ():
            # An ordered dict takes pairs, whose first is the key; of the others the pair itself is one.
            _require_key(part[0] if isinstance(part, list) and part else part)


def _storage(identity: Any) -> Storage:
    """Read torch's `("storage", kind, key, place, number of values)`."""
    # Legacy files add a sixth part about views.
    _, kind, key, _, count, *_ = identity
    value_bytes = 1 if kind.name == "UntypedStorage" else STORAGE_BYTES.get(kind.name, 1)
    if not isinstance(key, str | int):
        raise MalformedPickleError("a storage whose key is no text")
    return Storage(str(key), _whole(count), value_bytes)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> TensorSize:
    """Count the values of a tensor and how far into its storage they reach."""
    if not isinstance(storage, Storage):
        raise MalformedPickleError("a tensor of something that is no storage")
    sizes, steps = list(_sizes(shape)), list(_sizes(stride))
    if len(sizes) != len(steps):
        raise MalformedPickleError(f"{len(sizes)} sizes with {len(steps)} strides")
    # The third way of rebuilding counts the storage in bytes and names the type of its values last.
    kinds = [DTYPE_BYTES[part.name] for part in rest if isinstance(part, Name) and part.name in DTYPE_BYTES]
    if kinds:
        storage = Storage(storage.key, storage.count * storage.value_bytes // kinds[0], kinds[0])
    count = prod(sizes)
    last = sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    return TensorSize(storage, count, _whole(offset) + last + 1 if count else 0)


def _sizes(values: Any) -> Iterator[int]:
    """Yield the sizes in a tuple; a list could still change after it was counted."""
    if isinstance(values, _Call) and values.called == SIZE:
        (values,) = values.arguments
    if not isinstance(values, _Tuple):
        raise MalformedPickleError("sizes that are no tuple")
    if len(values) > AXES_LIMIT:
        raise PickleLimitError(f"a tensor of {len(values)} axes")
    yield from map(_whole, values)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MalformedPickleError(f"a {type(value).__name__} where a size from 0 up was expected")
    if value >= SIZE_LIMIT:
        raise PickleLimitError("a size that no machine can count to")
    return value
