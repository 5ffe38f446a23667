"""What a checkpoint is for this project: its layout, its sizes, and the flags with which it is used."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from utils.checkpoint_layout import BIAS, RELEASED, Sizes, nearest, refuse_other_layouts
from utils.errors import CheckpointError

Tensors = Mapping[str, torch.Tensor]
DEFAULT_PATH = Path("checkpoints/timer_xl/checkpoint.pth")
MISSING_SHOWN = 3
# The released encoder is univariate and was trained with instance norm (checkpoints/README.md).
RELEASED_WORDS = "--preset full --use_norm --variate_mode independent --level_statistics --learning_rate 1e-6"
# The encoder of this repository, by its sizes: its preset also has the context and the head it is used with.
SMALL = {"e_layers": 4, "d_model": 128, "d_ff": 512, "input_token_len": 24, "output_token_len": 24}
SMALL_WORDS = "--preset encoder"
# A context that is long enough where the usual one may hold too few tokens.
USUAL_TOKEN, TOKENS_OF_CONTEXT = 96, 8


@dataclass(frozen=True)
class Facts:
    """What a checkpoint is.

    Attributes:
        layout: in words.
        tensors: how many of weights there are.
        parameters: how many values they hold.
        sizes: of the encoder.
        others: names that are not the encoder's, such as those of a head for classes.
        is_released: whether it has the size of the released checkpoint.
    """

    layout: str
    tensors: int
    parameters: int
    sizes: Sizes
    others: tuple[str, ...]
    is_released: bool

    @classmethod
    def of(cls, tensors: Tensors, source: Path) -> Facts:
        """Look at names and shapes.

        Raises:
            CheckpointError: ``CKPT_LAYOUT`` or ``CKPT_COVERAGE``: no whole Timer-XL encoder is in it.
        """
        refuse_other_layouts(tensors, source)
        sizes = Sizes.read(tensors)
        wanted = encoder_names(sizes.e_layers or 1)
        missing = [name for name in wanted if name not in tensors]
        if missing or None in asdict(sizes).values():
            raise _no_encoder(tensors, source, missing)
        others = tuple(name for name in tensors if name not in set(wanted))
        is_released = not others and asdict(sizes) == RELEASED
        kind = "the released Timer-XL, by its size" if is_released else "Timer-XL"
        return cls(
            layout=f"{kind} with {len(others)} tensors more" if others else kind,
            tensors=len(tensors),
            parameters=sum(value.numel() for value in tensors.values()),
            sizes=sizes,
            others=others,
            is_released=is_released,
        )

    def flags(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return flag -> value of what has to fit; with what is told of the training that wrote the file, if it is."""
        own = {name: value for name, value in asdict(self.sizes).items() if value is not None}
        config = told.get("config")
        if isinstance(config, dict) and isinstance(config.get("use_norm"), bool):
            own["use_norm"] = config["use_norm"]
        elif self.is_released:
            own["use_norm"] = True
        return own

    def commands(self, path: Path, flags: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return what can be typed next, each with what it is for."""
        words = RELEASED_WORDS if self.is_released else SMALL_WORDS if self._is_small(flags) else _words(flags)
        place = "" if path == DEFAULT_PATH else f" --pretrain_model_path {shlex.quote(str(path))}"
        parts = " --load_parts encoder" if self.others else ""
        return [
            ("what a training with it costs", f"python run.py {words} --dry_run"),
            ("start from it", f"python run.py {words} --adaptation{place}{parts}"),
        ]

    def _is_small(self, flags: Mapping[str, Any]) -> bool:
        sizes = asdict(self.sizes)
        return not flags.get("use_norm") and all(sizes[name] == value for name, value in SMALL.items())


def encoder_names(e_layers: int) -> list[str]:
    """Return the names of a published Timer-XL encoder: 17 a layer and 6 more."""
    layer = [BIAS]
    layer += [f"attention.{part}_projection.{kind}" for part in ("query", "key", "value", "out") for kind in _KINDS]
    layer += [f"{part}.{kind}" for part in ("conv1", "conv2", "norm1", "norm2") for kind in _KINDS]
    names = [f"blocks.attn_layers.{number}.{name}" for number in range(e_layers) for name in layer]
    return names + [f"{part}.{kind}" for part in ("embedding", "blocks.norm", "head") for kind in _KINDS]


_KINDS = ("weight", "bias")


def _words(flags: Mapping[str, Any]) -> str:
    words = [
        f"--{name}" if value is True else f"--{name} {value}" for name, value in flags.items() if value is not False
    ]
    if flags["input_token_len"] > USUAL_TOKEN:
        words.append(f"--seq_len {TOKENS_OF_CONTEXT * flags['input_token_len']}")
    return " ".join(words)


def _no_encoder(tensors: Tensors, source: Path, missing: list[str]) -> CheckpointError:
    names = ", ".join(missing[:MISSING_SHOWN]) + (" ..." if len(missing) > MISSING_SHOWN else "")
    return CheckpointError(
        "CKPT_COVERAGE",
        "No whole Timer-XL encoder is in this checkpoint, so no option of this program can use it.",
        where=str(source),
        evidence=f"{len(tensors)} tensors; not in the file: {names or 'nothing, but shapes are of another kind'}; "
        f"nearest known layout: {nearest(tensors)}",
        next_command="take the released Timer-XL checkpoint (checkpoints/README.md)",
    )
