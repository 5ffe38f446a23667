"""Files made by somebody who wants something: code run, memory taken, a reader that never returns, two faces."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.fuzz.damage import Chance, place
from tests.fuzz.forgery import inside, list_of_tensors
from tests.utils import checkpoint_files as files

KILOBYTES = 1024
# Each touches the canary when it is called with the arguments; the names come from everywhere a pickle can reach.
CALLS: tuple[tuple[str, str, Callable[[str], tuple[Any, ...]]], ...] = (
    ("os", "system", lambda canary: (f"touch {canary}",)),
    ("posix", "system", lambda canary: (f"touch {canary}",)),
    ("subprocess", "getoutput", lambda canary: (f"touch {canary}",)),
    ("builtins", "exec", lambda canary: (f"open({canary!r}, 'w')",)),
    ("builtins", "eval", lambda canary: (f"open({canary!r}, 'w')",)),
    ("__builtin__", "execfile", lambda canary: (canary,)),
    ("builtins", "open", lambda canary: (canary, "w")),
    ("io", "open", lambda canary: (canary, "w")),
    ("pathlib", "Path.touch", lambda canary: (canary,)),
    ("shutil", "copy", lambda canary: ("/etc/hostname", canary)),
    ("numpy", "save", lambda canary: (canary, [1])),
    ("torch", "save", lambda canary: ([1], canary)),
    ("torch", "os.system", lambda canary: (f"touch {canary}",)),
    ("torch.serialization", "os.mknod", lambda canary: (canary,)),
    ("torch._utils", "_rebuild_tensor_v2.__globals__", lambda canary: ()),
    ("torch._tensor", "_rebuild_from_type_v2", lambda canary: (canary, None, (), None)),
    ("torch.storage", "_load_from_bytes", lambda canary: (pickle.dumps(files.Bomb(Path(canary))),)),
    ("torch", "load", lambda canary: (canary,)),
    ("torch.jit", "load", lambda canary: (canary,)),
    ("torch.hub", "load_state_dict_from_url", lambda canary: ("file://" + canary,)),
    ("torch.utils.cpp_extension", "load_inline", lambda canary: ("a", canary)),
    ("torch._inductor.codecache", "compile_file", lambda canary: (canary, canary, canary)),
    ("collections", "OrderedDict.fromkeys", lambda canary: ((canary,),)),
    ("collections.abc", "sys.modules", lambda canary: ()),
    ("functools", "partial", lambda canary: (canary,)),
    ("operator", "attrgetter", lambda canary: ("system",)),
    ("importlib", "import_module", lambda canary: ("antigravity",)),
    ("antigravity", "fly", lambda canary: ()),
    ("webbrowser", "open", lambda canary: ("file://" + canary,)),
    ("runpy", "_run_code", lambda canary: (f"open({canary!r}, 'w')", {})),
    ("code", "InteractiveInterpreter", lambda canary: ()),
    ("timeit", "timeit", lambda canary: (f"open({canary!r}, 'w')",)),
    ("pydoc", "pipepager", lambda canary: ("a", f"cat > {canary}")),
    ("utils.run_directory", "write_text", lambda canary: (canary, "x")),
)
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n("
STORAGE = (b"ctorch\nFloatStorage\n", b"X\x01\x00\x00\x000", b"X\x03\x00\x00\x00cpu")
BAD_SIZES: tuple[Any, ...] = (
    (10**12,), (2**62, 2**62), (2**63,), (-1,), (0, 2**70), (1,) * 200_000, (2**62,) * 40, [10**12], (1.5,), ("a",),
    None, (True,), ((1,),), {}, (10**6, 10**6),
)  # fmt: skip


def code(chance: Chance, canary: Path) -> bytes:
    """Call something, in one of the ways that pickle knows, somewhere inside of something harmless."""
    module, name, arguments_for = CALLS[place(chance, len(CALLS))]
    arguments = inside(arguments_for(str(canary)))
    text, short = f"{module}\n{name}\n".encode(), inside(module) + inside(name)
    ways = (
        b"c" + text + arguments + b"R",
        short + b"\x93" + arguments + b"R",
        b"(" + arguments[1:-1] + b"i" + text if arguments[:1] == b"(" else b"(i" + text,
        b"(c" + text + (arguments[1:-1] if arguments[:1] == b"(" else b"") + b"o",
        b"c" + text + arguments + b"\x81",
        b"c" + text + arguments + b"}\x92",
        b"ccollections\nOrderedDict\n)R" + b"c" + text + b"b",
        b"c" + text,
        b"c" + text + b"Q",
    )
    attack = ways[place(chance, len(ways))]
    for _ in range(chance.integers(0, 4)):
        attack = (b"]" + attack + b"a", attack + b"\x85", b"}" + inside("a") + attack + b"s")[place(chance, 3)]
    return _placed(b"}" + inside("weight") + attack + b"s", chance)


def rebuilt(chance: Chance, canary: Path) -> bytes:
    """Have torch build a tensor of sizes, strides or parts that no file of this length can hold."""
    count, shape, stride = (BAD_SIZES[place(chance, len(BAD_SIZES))] for _ in range(3))
    many = (10**12, 2**62, 2**63, 10**300, -1, 2**40)[place(chance, 6)] if chance.random() < 0.5 else 4
    storage = b"(" + inside("storage") + b"".join(STORAGE) + inside(many) + b"tQ"
    offset = inside((0, 2**40, -1, 2**63, None)[place(chance, 5)])
    end = b"\x89ccollections\nOrderedDict\n)Rt"
    ways = (
        TENSOR + storage + offset + inside(shape) + inside(stride) + end + b"R",
        TENSOR + storage + b"K\x00" + _listed(10**6, 10**6) + _listed(0, 0) + end + b"R",
        b"ctorch._utils\n_rebuild_tensor\n(" + storage + offset + inside(shape) + inside(stride) + b"tR",
        TENSOR + storage + b"K\x00ctorch\nSize\n" + inside((shape,)) + b"R" + inside(stride) + end + b"R",
        b"ctorch._utils\n_rebuild_sparse_tensor\n" + inside((1, (shape, stride))) + b"R",
        b"ctorch._utils\n_rebuild_qtensor\n(" + storage + offset + inside(shape) + inside(stride) + end + b"R",
        b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n" + inside((count, shape, stride, True)) + b"R",
        b"ctorch\nTensor\n" + inside((2**40,)) + b"R",
        b"ctorch\nFloatStorage\n" + inside((2**40,)) + b"R",
        b"ctorch.storage\nUntypedStorage\n" + inside((2**36,)) + b"R",
        b"ctorch.storage\nUntypedStorage\n" + inside((2**36,)) + b"\x81",
        b"cbuiltins\nbytearray\n" + inside((2**40,)) + b"R",
        b"ccollections\nOrderedDict\n)R}" + inside("items") + b"K\x05sb",
        b"ccollections\nOrderedDict\n)R}" + inside("get") + b"K\x05sb",
    )
    return _archive(b"}" + inside("weight") + ways[place(chance, len(ways))] + b"s", {"data/0": bytes(16)})


def endless(chance: Chance, canary: Path) -> bytes:
    """Have the reader count, hash, print or decode for ever, or go deeper than its stack."""
    deep = int(10 ** chance.uniform(2, 6))
    laugh = b"K\x01\x85" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
    nested = b"K\x01" + b"\x85" * deep
    storage = b"(" + inside("storage") + b"".join(STORAGE)
    ways = (
        b"}" + laugh + b"K\x01s",
        b"}" + nested + b"K\x01s",
        b"}" + inside("a") + b"cbuiltins\nset\n](" + laugh + b"e\x85Rs",
        b"}" + inside("a") + b"ccollections\nCounter\n](" + nested + b"e\x85Rs",
        b"}" + inside("a") + b"ccollections\nOrderedDict\n](" + laugh + b"K\x01\x86e\x85Rs",
        b"}" + inside("a") + b"c_codecs\nencode\n" + inside(("\u4e00\u00e9" * 300_000, "punycode")) + b"Rs",
        b"}" + inside("a") + b"c_codecs\nencode\n" + inside(("\u00e9" * 300_000, "idna")) + b"Rs",
        b"}" + inside("a") + TENSOR + storage + b"K\x04tQK\x00" + laugh + laugh + b"\x89}tRs",
        b"}" + inside("a") + TENSOR + storage + laugh + b"tQtRs",
    )
    if chance.random() < 0.2:
        unit = (b".", b"N.", b"\x80\x02N.", b"]", b"(")[place(chance, 5)]
        return unit * (4096 * KILOBYTES // (1 + place(chance, 16)))
    return _archive(ways[place(chance, len(ways))], {})


def swollen(chance: Chance, canary: Path) -> bytes:
    """Pack what becomes a thousand times larger when it is read."""
    size = 2 ** int(chance.integers(22, 27))
    how = place(chance, 5)
    if how == 0:
        return _archive(inside({}), {"data/0": bytes(size)}, zipfile.ZIP_DEFLATED)
    if how == 1:
        unit = (b"]", b"}", b"K\x01\x85", b")", b"(")[place(chance, 5)]
        return _archive(unit * (size // len(unit)), {}, zipfile.ZIP_DEFLATED)
    if how == 2:
        return _archive(b"}" + inside("a") + inside("x" * size) + b"s", {}, zipfile.ZIP_DEFLATED)
    if how == 3:
        return _archive(inside({}), {f"data/{number}": b"" for number in range(30_000)})
    view = torch.ones(1).expand(size, 2 ** int(chance.integers(0, 20)))
    content = io.BytesIO()
    torch.save({"a": view}, content)
    return content.getvalue()


def two_faced(chance: Chance, canary: Path) -> bytes:
    """Show one content to who looks and another to who reads."""
    shown, hidden = files.members({"good": torch.ones(3)}), files.members({"evil": torch.ones(7)})
    bomb = hidden | {
        list_of_tensors(hidden): b"\x80\x02}" + inside("a") + b"cos\nsystem\n" + inside((f"touch {canary}",)) + b"Rs."
    }
    evil = bomb if chance.random() < 0.3 else hidden
    how = place(chance, 6)
    if how == 0:
        upper = {name.upper() if name.endswith("pkl") else name: part for name, part in evil.items()}
        prefix = {"archive/DATA.PKL": upper.pop("ARCHIVE/DATA.PKL")}
        return files.archive_bytes(prefix | shown if chance.random() < 0.5 else shown | prefix)
    if how == 1:
        same_length = files.members({"evil": torch.zeros(3)})
        return files.archive_bytes(same_length) + files.archive_bytes(shown)
    if how == 2:
        return _saved({"evil": torch.ones(3)}) + _saved({"good": torch.ones(3)})
    if how == 3:
        first, second = files.archive_bytes(evil), files.archive_bytes(shown)
        return first[:-2] + struct.pack("<H", len(second)) + second
    if how == 4:
        both = {**evil, **{name.replace("data.pkl", "datax.pkl"): part for name, part in shown.items()}}
        return files.archive_bytes(both).replace(b"archive/datax.pkl", b"archive/data.pkl\0")
    return files.archive_bytes({**shown, **{"b/" + name.partition("/")[2]: part for name, part in evil.items()}})


def absurd_safetensors(chance: Chance, canary: Path) -> bytes:
    """Declare tensors that overlap, leave holes, come twice, or have sizes of another world."""
    values = bytes(64)
    tensor = {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}
    half = {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}
    headers = (
        {"a": tensor, "b": tensor},
        {"a": half, "b": half | {"data_offsets": [16, 48]}},
        {"a": half},
        {"a": half | {"data_offsets": [32, 64]}},
        {"a": tensor | {"shape": [0, 10**30], "data_offsets": [0, 0]}},
        {"a": tensor | {"shape": [2**62, 0], "data_offsets": [64, 64]}},
        {"a": tensor | {"shape": [0] * 100_000, "data_offsets": [0, 0]}},
        {"a": tensor | {"shape": [1] * 100 + [16]}},
        {"a": tensor | {"shape": [-4, -4]}},
        {"a": tensor | {"shape": [True, 16]}},
        {"a": tensor | {"shape": "16"}},
        {"a": tensor | {"shape": {"1": 16}}},
        {"a": tensor | {"data_offsets": [0, 64, 128]}},
        {"a": tensor | {"data_offsets": [10**30, 10**30 + 64]}},
        {"a": tensor | {"dtype": ["F32"]}},
        {"a": tensor | {"dtype": "F8_E8M0"}},
    )
    header = headers[place(chance, len(headers))]
    text = json.dumps(header).encode()
    if chance.random() < 0.2:
        text = text[:-1] + b"," + text[1:]
    return struct.pack("<Q", len(text)) + text + values


def _placed(body: bytes, chance: Chance) -> bytes:
    """Put instructions into an archive, a file of the time before archives, or a bare pickle."""
    protocol = b"\x80" + bytes([chance.integers(2, 6)])
    how = place(chance, 4)
    if how == 0:
        legacy = io.BytesIO()
        torch.save({}, legacy, _use_new_zipfile_serialization=False)
        return legacy.getvalue().replace(b"}q\x00.", body + b".") + body + b"."
    if how == 1:
        return (protocol if chance.random() < 0.7 else b"") + body + b"."
    return _archive(body, {}, protocol=protocol)


def _archive(
    body: bytes, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED, *, protocol: bytes = b"\x80\x02"
) -> bytes:
    whole = files.members({}) | {f"archive/{name}": part for name, part in parts.items()}
    return files.archive_bytes(whole | {"archive/data.pkl": protocol + body + b"."}, compression)


def _saved(content: dict[str, Any]) -> bytes:
    whole = io.BytesIO()
    torch.save(content, whole)
    return whole.getvalue()


def _listed(*values: int) -> bytes:
    return b"](" + b"".join(inside(value) for value in values) + b"e"
