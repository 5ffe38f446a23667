"""Whose weights are these? Told from names and shapes, without building a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from utils.errors import CheckpointError

Tensors = Mapping[str, torch.Tensor]
RELEASED = {
    "e_layers": 8,
    "d_model": 1024,
    "d_ff": 2048,
    "n_heads": 8,
    "input_token_len": 96,
    "output_token_len": 96,
}
RELEASED_FLAGS = " ".join(f"--{name} {value}" for name, value in RELEASED.items())
BIAS = "attention.inner_attention.attn_bias.emb.weight"
# What a classifier has beside the published encoder.
OF_A_CLASSIFIER = ("classifier.", "projection.", "shortcut.", "token_attention.", "layer_mixing.", "history.")
# Every name of a file of this layout matches the whole pattern.
KNOWN = {
    "Timer-XL (142 tensors at the released size)": r"embedding\.(weight|bias)|head\.(weight|bias)|blocks\.norm\."
    r"(weight|bias)|blocks\.attn_layers\.\d+\.(attention\.|conv[12]\.|norm[12]\.).+",
    "the Hugging Face variant timer-base-84m": r"(model\.)?(embed_layer\.emb\.weight|norm\.(weight|bias)|"
    r"layers\.\d+\.(self_attn\.[qkvo]_proj|ffn_layer\.(gate|up|down)_proj|norm[12])\..+)|lm_heads\.\d+\.weight",
    "a PatchTST or torch Transformer": r"(.*\.)?(encoder|decoder|backbone)\..*(self_attn|linear[12]|W_[QKVP]).*",
}


@dataclass(frozen=True)
class Sizes:
    """Sizes of a Timer-XL as its tensors show them; None where the tensor that tells it is missing."""

    e_layers: int | None
    d_model: int | None
    d_ff: int | None
    n_heads: int | None
    input_token_len: int | None
    output_token_len: int | None

    @classmethod
    def read(cls, tensors: Tensors) -> Sizes:
        """Read the sizes off names and shapes."""

        def axis(name: str, number: int) -> int | None:
            found = tensors.get(name)
            return int(found.shape[number]) if found is not None and found.ndim > number else None

        layers = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.attn_layers\.(\d+)\.", name))}
        first = f"blocks.attn_layers.{min(layers, default=0)}"
        return cls(
            e_layers=len(layers) or None,
            d_model=axis("embedding.weight", 0),
            d_ff=axis(f"{first}.conv1.weight", 0),
            n_heads=axis(f"{first}.{BIAS}", 1),
            input_token_len=axis("embedding.weight", 1),
            output_token_len=axis("head.weight", 0),
        )

    def differing(self, other: Sizes) -> dict[str, tuple[int, int]]:
        """Return flag -> own value, the other's value, for what both show and what is not equal."""
        pairs = ((name, value, getattr(other, name)) for name, value in asdict(self).items())
        return {name: (own, its) for name, own, its in pairs if own is not None and its is not None and own != its}


def refuse_other_layouts(tensors: Tensors, source: Path) -> None:
    """Refuse by name the variant that shares the model's name and not its arithmetic.

    Raises:
        CheckpointError: ``CKPT_LAYOUT``.
    """
    marks = [name for name in tensors if "ffn_layer.gate_proj" in name or re.search(r"layers\.\d+\.self_attn\.", name)]
    if not marks or "embedding.weight" in tensors:
        return
    raise CheckpointError(
        "CKPT_LAYOUT",
        "This is the Hugging Face variant of Timer (timer-base-84m), another model than Timer-XL; it is not loaded in "
        "part.",
        where=str(source),
        evidence=f"{len(tensors)} tensors, {sum(value.numel() for value in tensors.values()):,} parameters; gated MLP, "
        f"no variate bias: {marks[0]}",
        next_command="take the released Timer-XL checkpoint (checkpoints/README.md), or leave out --adaptation",
    )


def refuse_what_does_not_fit(
    own: Tensors, given: Tensors, source: Path, fresh_prefixes: tuple[str, ...], *, without_head: str = ""
) -> None:
    """Compare names and shapes of a model and a file; only the model's fresh parts may be absent from the file.

    Args:
        own: tensors of the model.
        given: tensors of the file.
        source: where they were read.
        fresh_prefixes: beginnings of the names that may be absent from the file.
        without_head: what to type where all of an encoder fits and only a classifier's head does not.

    Raises:
        CheckpointError: ``CKPT_SHAPE`` with a table of differences and the flags that would fit, or
            ``CKPT_COVERAGE`` with how many tensors match and the nearest known layout.
    """
    wanted = [name for name in own if name in given or not name.startswith(fresh_prefixes)]
    matching = [name for name in wanted if name in given and given[name].shape == own[name].shape]
    shapes = [name for name in wanted if name in given and given[name].shape != own[name].shape]
    lost = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in own]
    if not (shapes or lost or unexpected):
        return
    sizes = Sizes.read(given)
    different = sizes.differing(Sizes.read(own))
    share = f"{len(matching)} of {len(wanted)} tensors fit"
    if without_head and not lost and all(name.startswith(OF_A_CLASSIFIER) for name in shapes + unexpected):
        raise _other_head(own, given, source, shapes, unexpected, share, without_head)
    if shapes or different:
        lines = [f"{name}: file {file}, flags {flags}" for name, (file, flags) in different.items()]
        lines += [f"{name}: file {tuple(given[name].shape)}, model {tuple(own[name].shape)}" for name in shapes[:3]]
        raise CheckpointError(
            "CKPT_SHAPE",
            _sentence(sizes, different),
            where=str(source),
            evidence=share + "\n" + "\n".join(" " * 12 + line for line in lines),
            next_command=_flags_that_fit(different),
        )
    problem = [f"not in the file: {name}" for name in lost] + [f"not in the model: {name}" for name in unexpected]
    raise CheckpointError(
        "CKPT_COVERAGE",
        "The checkpoint does not hold the weights of this model.",
        where=str(source),
        evidence=f"{share}; {'; '.join(problem[:3])}{' ...' if len(problem) > 3 else ''}; nearest known layout: "
        + nearest(given),
        next_command=f"give the flags the file was trained with (the released checkpoint: {RELEASED_FLAGS})",
    )


def _other_head(
    own: Tensors, given: Tensors, source: Path, shapes: list[str], unexpected: list[str], share: str, way_out: str
) -> CheckpointError:
    told = [f"{name}: file {tuple(given[name].shape)}, model {tuple(own[name].shape)}" for name in shapes]
    told += [f"not in the model: {name}" for name in unexpected]
    return CheckpointError(
        "CKPT_SHAPE" if shapes else "CKPT_COVERAGE",
        "The encoder of the checkpoint fits; its head was made for another task or with other flags.",
        where=str(source),
        evidence=f"{share}; {'; '.join(told[:3])}{' ...' if len(told) > 3 else ''}",
        next_command=way_out,
    )


def nearest(tensors: Tensors) -> str:
    """Name the known layout that most of the names belong to, with their share."""
    counts = {title: sum(bool(re.fullmatch(pattern, name)) for name in tensors) for title, pattern in KNOWN.items()}
    title = max(counts, key=lambda title: counts[title])
    if counts[title] == 0:
        return f"none; its names begin like {next(iter(tensors), 'nothing')!r}"
    return f"{title}, {counts[title]} of {len(tensors)} names"


def _sentence(sizes: Sizes, different: dict[str, tuple[int, int]]) -> str:
    if not different:
        return "Tensors of the checkpoint have other shapes than those of the model."
    known: dict[str, int] = {name: value for name, value in asdict(sizes).items() if value is not None}
    shown: list[str] = [name for name in ("d_model", "e_layers") if name in known]
    shown += [name for name in different if name not in shown]
    file = ", ".join(f"{name} {known[name]}" for name in shown)
    flags = ", ".join(f"{name} {different[name][1]}" for name in shown if name in different)
    return f"The file is {file}; the flags say {flags}."


def _flags_that_fit(different: dict[str, tuple[int, int]]) -> str:
    if not different:
        return f"give the flags the file was trained with (the released checkpoint: {RELEASED_FLAGS})"
    return "give the flags that fit: " + " ".join(f"--{name} {file}" for name, (file, _) in different.items())
