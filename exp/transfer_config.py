"""Flags of transfer learning: what is loaded, what learns when, and at which rate."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from utils.flag_rules import require

TUNE = re.compile(r"full|head|norm|lora|layers:[1-9]\d*")
STEP = re.compile(r"([1-9]\d*):([a-z]+(?:\.\d+(?:-\d+)?)?)")


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """Transfer learning."""

    load_parts: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "with --adaptation: load these parts alone, such as embedding,layers.0-3 or encoder; the rest "
            "starts fresh (default: all of the file has to fit)"
        },
    )
    tune: str = field(
        default="full",
        metadata={
            "help": "what of the encoder learns: full, head (nothing: a linear probe), norm (its norms), lora "
            "(low-rank additions to its attention), layers:k (its last k layers)"
        },
    )
    freeze_encoder_epochs: int = field(
        default=0, metadata={"help": "epochs in which the head learns alone before the encoder joins"}
    )
    unfreeze_schedule: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "epochs from which parts of the encoder learn, such as 12:layers.6-7,25:layers.4-5; what is not "
            "named stays frozen"
        },
    )
    cache_frozen_encoder: bool = field(
        default=True,
        metadata={"help": "while nothing of the encoder learns, run it once per window and train the head on that"},
    )
    stage_warmup_epochs: float = field(
        default=1.0, metadata={"help": "linear warm-up of parts that join later, in epochs from where they join"}
    )
    lora_rank: int = field(default=8, metadata={"help": "rank of the additions of --tune lora"})
    rate_ratios: tuple[float, ...] = field(
        default=(1.0, 1.0, 1.0),
        metadata={"help": "factors on --learning_rate for encoder, neck (last norm, forecast head) and head"},
    )
    layer_decay: float = field(
        default=1.0, metadata={"help": "factor on the rate from each layer to the one below it; 1: all alike"}
    )
    weight_decay_on: Literal["weights", "all"] = field(
        default="weights", metadata={"help": "what --weight_decay pulls at: matrices, or norms and biases too"}
    )

    def __post_init__(self) -> None:
        is_known = TUNE.fullmatch(self.tune) is not None
        require(self, "tune", is_known, "is one of full, head, norm, lora, layers:k", "--tune head")
        rates = self.rate_ratios
        require(self, "rate_ratios", len(rates) == 3 and min(rates) > 0, "must be three numbers above 0")
        require(self, "layer_decay", 0 < self.layer_decay <= 1, "must be above 0 and at most 1", "--layer_decay 0.8")
        for name in ("freeze_encoder_epochs", "stage_warmup_epochs"):
            require(self, name, getattr(self, name) >= 0, "cannot be negative", f"--{name} 1")
        require(self, "lora_rank", self.lora_rank >= 1, "must be at least 1")
        steps = self.unfreeze_schedule
        are_steps = all(STEP.fullmatch(word) for word in steps)
        example = "--unfreeze_schedule 12:layers.6-7,25:layers.4-5"
        require(self, "unfreeze_schedule", are_steps, "takes steps written as epoch:part", example)
        other = "--freeze_encoder_epochs" if self.freeze_encoder_epochs else f"--tune {self.tune}"
        alone = not steps or not (self.freeze_encoder_epochs or self.tune != "full")
        require(self, "unfreeze_schedule", alone, f"contradicts {other}", "leave one of the two away")

    @property
    def schedule(self) -> list[tuple[int, str]]:
        """Epoch and part of each step of the unfreezing."""
        found = [STEP.fullmatch(word) for word in self.unfreeze_schedule]
        return [(int(match[1]), match[2]) for match in found if match]

    @property
    def last_layers(self) -> int | None:
        """Number of layers in `layers:k`, None for the other ways to tune."""
        return int(self.tune.partition(":")[2]) if self.tune.startswith("layers:") else None
