"""Files that people give as checkpoints, sound and broken, each made for real."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from utils import checkpoint

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(20)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 269621234\n"
PAGE = "<!doctype html><title>404 Not Found</title>"


class Bomb:
    """Touches a file when it is unpickled the unsafe way."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return (Path.touch, (self.canary,))


def sound(
    layers: int = 2, width: int = 8, heads: int = 2, token: int = 12, hidden: int = 16
) -> dict[str, torch.Tensor]:
    """Return tensors named and shaped like a Timer-XL encoder, of small random numbers."""
    generator = torch.Generator().manual_seed(layers * 1000 + width)
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (width, token), "embedding.bias": (width,)}
    for layer in range(layers):
        name = f"blocks.attn_layers.{layer}"
        shapes[f"{name}.attention.inner_attention.attn_bias.emb.weight"] = (2, heads)
        for part in ("query", "key", "value", "out"):
            shapes[f"{name}.attention.{part}_projection.weight"] = (width, width)
            shapes[f"{name}.attention.{part}_projection.bias"] = (width,)
        shapes |= {f"{name}.conv1.weight": (hidden, width, 1), f"{name}.conv1.bias": (hidden,)}
        shapes |= {f"{name}.conv2.weight": (width, hidden, 1), f"{name}.conv2.bias": (width,)}
        shapes |= {f"{name}.norm{n}.{part}": (width,) for n in (1, 2) for part in ("weight", "bias")}
    shapes |= {"blocks.norm.weight": (width,), "blocks.norm.bias": (width,)}
    shapes |= {"head.weight": (token, width), "head.bias": (token,)}
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


def hugging_face(layers: int = 2, width: int = 8) -> dict[str, torch.Tensor]:
    """Return tensors named like the Hugging Face variant."""
    names = {
        "model.embed_layer.emb.weight": (width, 96),
        "model.norm.weight": (width,),
        "lm_heads.0.weight": (96, width),
    }
    for layer in range(layers):
        begin = f"model.layers.{layer}"
        names |= {f"{begin}.self_attn.{part}_proj.weight": (width, width) for part in "qkvo"}
        names |= {f"{begin}.self_attn.{part}_proj.bias": (width,) for part in "qkv"}
        names |= {f"{begin}.ffn_layer.{part}_proj.weight": (width, width) for part in ("gate", "up", "down")}
        names |= {f"{begin}.norm{number}.weight": (width,) for number in (1, 2)}
    return {name: torch.ones(shape) for name, shape in names.items()}


def training_state(weights: dict[str, torch.Tensor], **changes: object) -> dict[str, object]:
    """Return what a training keeps for going on, with moments and a loss."""
    moments = {n: {"exp_avg": torch.zeros_like(w), "exp_avg_sq": w**2} for n, w in enumerate(weights.values())}
    state = {"epoch": 3, "loss": 0.4, "model_state_dict": weights, "optimizer_state_dict": {"state": moments}}
    return state | changes


def members(content: object) -> dict[str, bytes]:
    """Return the members of the archive that torch makes of a content."""
    whole = io.BytesIO()
    torch.save(content, whole)
    with zipfile.ZipFile(whole) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_archive(path: Path, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write an archive by hand, with right check sums."""
    path.write_bytes(archive_bytes(parts, compression))


def archive_bytes(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive made by hand, with right check sums."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return whole.getvalue()


def edited(path: Path, content: object, change: Callable[[bytes], bytes], member: str = "data.pkl") -> None:
    """Write the archive of a content with one member changed."""
    parts = members(content)
    name = next(name for name in parts if name.endswith("/" + member))
    write_archive(path, parts | {name: change(parts[name])})


def huge_storage(path: Path) -> None:
    """Write a file of some hundred bytes whose one tensor claims 1e12 values."""
    parts = members({"a": torch.ones(200)})
    pickled = parts["archive/data.pkl"].replace(b"K\xc8", b"\x8a\x05" + (10**12 // 2).to_bytes(5, "little"))
    write_archive(path, parts | {"archive/data.pkl": pickled})


def huge_view(path: Path) -> None:
    """Write a file whose one tensor shows one stored value 1e12 times, with strides of 0."""
    torch.save({"a": torch.ones(1).expand(1_000_000, 1_000_000)}, path)


def out_of_bounds(path: Path) -> None:
    """Write a file whose tensor reaches behind its storage."""
    edited(path, {"a": torch.ones(200)[:5]}, lambda pickled: pickled.replace(b"K\x05\x85", b"M\x00\xf0\x85"))


def compressed_zeros(path: Path) -> None:
    """Write 100 MB of zeros packed to a thousandth."""
    parts = members({"a": torch.zeros(10)})
    write_archive(path, parts | {"archive/data/9": bytes(100_000_000)}, zipfile.ZIP_DEFLATED)


def safetensors_bytes(tensors: dict[str, torch.Tensor], **changes: object) -> bytes:
    """Lay out float32 tensors as safetensors do."""
    header: dict[str, object] = {}
    values = b""
    for name, tensor in tensors.items():
        raw = tensor.contiguous().numpy().tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(values), len(values) + len(raw)],
        }
        values += raw
    text = json.dumps(header | changes).encode()
    return struct.pack("<Q", len(text)) + text + values


def legacy(path: Path, content: object) -> None:
    """Write as torch did before version 1.6."""
    torch.save(content, path, _use_new_zipfile_serialization=False)


def tar(path: Path) -> None:
    """Write a tar archive, as the first versions of torch did."""
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"abcd"))


def pickled_bomb(path: Path, canary: Path, protocol: int) -> None:
    """Write a bare pickle that touches the canary."""
    path.write_bytes(pickle.dumps(Bomb(canary), protocol=protocol))


def write_one_of_each(folder: Path) -> None:
    """Fill a folder with a sound file, a suspect one, one of each kind that is wrong, and one of a later version."""
    (folder / "run").mkdir(parents=True)
    checkpoint.save(folder / "run" / "best.pt", sound(), metadata={"epoch": 3})
    torch.save(training_state(sound(), loss=4.9e12), folder / "run" / "suspect.pt")
    state = training_state(sound())
    state["optimizer_state_dict"]["state"][3]["exp_avg"].view(-1)[2] = float("nan")  # type: ignore[index]
    torch.save(state, folder / "moment.pt")
    checkpoint.save(folder / "flipped_bit.pt", sound())
    raw = bytearray((folder / "flipped_bit.pt").read_bytes())
    raw[2000] ^= 1 << 3
    (folder / "flipped_bit.pt").write_bytes(raw)
    (folder / "cut.pt").write_bytes((folder / "run" / "best.pt").read_bytes()[:3000])
    (folder / "pointer.pth").write_text(POINTER)
    (folder / "page.pth").write_text(PAGE)
    pickled_bomb(folder / "bomb.pth", folder / "canary", 2)
    huge_view(folder / "huge.pt")
    torch.save({"schema_version": 99, "model_state_dict": sound()}, folder / "newer.pt")
    (folder / "notes.txt").write_text("no checkpoint")
