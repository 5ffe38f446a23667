"""What of a network learns in which epoch: the frozen warm-up, gradual unfreezing, and parts that never learn.

All parameters stay in the optimizer from the first step on. A frozen one gets no gradient, so AdamW leaves it and its
moments alone, and a stage that begins disturbs nothing that was learning before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import nn

from exp.parts import part_of, parts_of, select
from exp.transfer_config import TransferConfig
from utils.errors import UsageError

logger = logging.getLogger(__name__)
ADDED_BY_LORA = ".lora_"


class Stages:
    """Knows from which epoch on each parameter learns, and puts a model into the stage of an epoch.

    Args:
        model: with `encoder_modules()` where anything is to be frozen.
        config: flags of transfer learning.
        train_epochs: epochs of the run, which no stage may lie behind.

    Raises:
        UsageError: there is no encoder to freeze, no such part, a stage after the end of the run, or nothing would
            learn.
    """

    def __init__(self, model: nn.Module, config: TransferConfig, train_epochs: int) -> None:
        names = [name for name, _ in model.named_parameters()]
        encoder = _encoder_names(model)
        self.begins: dict[str, int | None] = dict.fromkeys(names, 1)
        is_plain = config.tune == "full" and not config.freeze_encoder_epochs and not config.unfreeze_schedule
        if not is_plain:
            _require_encoder(encoder, config)
            self.begins |= _begins(encoder, config, train_epochs)
        if not any(epoch == 1 for epoch in self.begins.values()):
            raise UsageError(
                "CONFIG",
                "Nothing would learn in the first epoch: everything is frozen.",
                where="--tune, --freeze_encoder_epochs, --unfreeze_schedule",
                evidence=f"parts: {', '.join(parts_of(names))}",
                next_command="--tune full, or a model with a head of its own (--model timer_xl_classifier)",
            )
        self.is_plain = is_plain
        self._encoder = encoder

    @property
    def first_epochs(self) -> list[int]:
        """The epochs in which a stage begins, in order."""
        return sorted({epoch for epoch in self.begins.values() if epoch is not None})

    def learns(self, name: str, epoch: int) -> bool:
        """True for a parameter that learns in an epoch."""
        begin = self.begins[name]
        return begin is not None and begin <= epoch

    def is_encoder_frozen(self, epoch: int) -> bool:
        """True where nothing of the encoder learns in an epoch, so that it gives the same for a window every time."""
        return bool(self._encoder) and not any(self.learns(name, epoch) for name in self._encoder)

    def enter(self, model: nn.Module, epoch: int) -> None:
        """Let learn what learns in this epoch; all else gets no gradient and is in evaluation, without dropout.

        Call it after `model.train()`.
        """
        if self.is_plain:
            return  # what was frozen by hand stays so
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.learns(name, epoch))
        for module in model.modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()

    def describe(self, model: nn.Module, epoch: int) -> str:
        """Return the stage of an epoch in one line; empty where everything always learns."""
        if self.is_plain:
            return ""
        number = sum(first <= epoch for first in self.first_epochs)
        return f"stage {number} of {len(self.first_epochs)}, from epoch {epoch}: {self.what_learns(model, epoch)}"

    def what_learns(self, model: nn.Module, epoch: int) -> str:
        """Return the parts that learn in an epoch, and how many of the parameters."""
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        learning = [name for name in sizes if self.learns(name, epoch)]
        share = sum(sizes[name] for name in learning)
        return f"{', '.join(parts_of(learning))} ({share:,} of {sum(sizes.values()):,} parameters learn)"


def _encoder_names(model: nn.Module) -> list[str]:
    """Return the parameters of the encoder; none where a model has no encoder."""
    if not hasattr(model, "encoder_modules"):
        return []
    modules: tuple[nn.Module, ...] = model.encoder_modules()  # type: ignore[operator]
    inside = {id(parameter) for module in modules for parameter in module.parameters()}
    return [name for name, parameter in model.named_parameters() if id(parameter) in inside]


def _require_encoder(encoder: list[str], config: TransferConfig) -> None:
    if encoder:
        return
    raise UsageError(
        "CONFIG",
        "This model has no encoder that could be frozen.",
        where="--tune, --freeze_encoder_epochs, --unfreeze_schedule",
        evidence=f"--tune {config.tune}, --freeze_encoder_epochs {config.freeze_encoder_epochs}",
        next_command="--model timer_xl_classifier, or leave these flags away",
    )


def _begins(encoder: list[str], config: TransferConfig, train_epochs: int) -> Mapping[str, int | None]:
    """Return the epoch from which each parameter of the encoder learns, None for never."""
    if config.unfreeze_schedule:
        return _scheduled(encoder, config, train_epochs)
    if config.freeze_encoder_epochs >= train_epochs:
        raise UsageError(
            "CONFIG",
            "The encoder would be frozen for the whole run.",
            where="--freeze_encoder_epochs, --train_epochs",
            evidence=f"{config.freeze_encoder_epochs} frozen of {train_epochs} epochs",
            next_command="--tune head, if that is meant, or fewer --freeze_encoder_epochs",
        )
    first = config.freeze_encoder_epochs + 1
    return {name: first if _is_tuned(name, encoder, config) else None for name in encoder}


def _scheduled(encoder: list[str], config: TransferConfig, train_epochs: int) -> Mapping[str, int | None]:
    begins: dict[str, int | None] = dict.fromkeys(encoder)
    for epoch, word in config.schedule:
        if epoch > train_epochs:
            raise UsageError(
                "CONFIG",
                "The schedule is longer than the run.",
                where="--unfreeze_schedule, --train_epochs",
                evidence=f"{word} from epoch {epoch} on, of {train_epochs} epochs",
                next_command=f"--train_epochs {epoch} or more",
            )
        parts = select([word], parts_of(encoder), "--unfreeze_schedule", f"{epoch}:{{}}")
        # A part that is named twice learns from the earlier epoch on.
        begins |= {name: min(begins[name] or epoch, epoch) for name in encoder if part_of(name) in parts}
    return begins


def _is_tuned(name: str, encoder: list[str], config: TransferConfig) -> bool:
    """True for a parameter of the encoder that `--tune` lets learn."""
    if config.tune == "full":
        return True
    if config.tune == "norm":
        return "norm" in name.split(".")[-2]
    if config.tune == "lora":
        return ADDED_BY_LORA in name
    layers = [part for part in parts_of(encoder) if part.startswith("layers.")]
    last = config.last_layers
    if last is None:
        return False
    if last > len(layers):
        raise UsageError(
            "CONFIG",
            f"The encoder has {len(layers)} layers.",
            where=f"--tune {config.tune}",
            next_command=f"--tune layers:{len(layers)}",
        )
    return part_of(name) in (*layers[-last:], "norm", "head")
