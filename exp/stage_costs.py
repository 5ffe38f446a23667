"""What the stages of a training take: with a frozen encoder its one pass over the windows, and then the head alone."""

from __future__ import annotations

from dataclasses import dataclass

from data_provider.windows import WindowSet
from exp import flops
from exp.dry_run_material import Material
from exp.flops import Flops
from exp.frozen_encoder import EncodedWindows
from exp.micro_batches import Activations, measure, state_bytes
from exp.trainer import Trainer


@dataclass(frozen=True)
class EncoderOnce:
    """What a frozen encoder takes for one window.

    Attributes:
        forward: floating point operations of its forward pass.
        kept: bytes of what it gives.
    """

    forward: int
    kept: int


@dataclass(frozen=True)
class StageCost:
    """What a stage takes.

    Attributes:
        first: its first epoch.
        last: its last one.
        learns: parts that learn, and how many of the parameters.
        is_cached: its steps see what the encoder gave, and the head alone runs.
        flops: of one window.
        state: bytes of all weights, and of gradients and moments of what learns.
        activations: bytes that a forward pass keeps.
    """

    first: int
    last: int
    learns: str
    is_cached: bool
    flops: Flops
    state: int
    activations: Activations

    @property
    def epochs(self) -> int:
        """How many epochs it lasts at most."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class StagedCosts:
    """What a training in stages takes.

    Attributes:
        stages: in order; a training in which everything always learns has one.
        encoder: None where it runs in every step.
    """

    stages: tuple[StageCost, ...]
    encoder: EncoderOnce | None

    def operations(self, n_train: int) -> int:
        """Return the floating point operations of all epochs over so many windows."""
        once = 0 if self.encoder is None else self.encoder.forward
        return n_train * (once + sum(stage.epochs * stage.flops.training for stage in self.stages))


def count(material: Material, trainer: Trainer) -> StagedCosts:
    """Count what each stage takes, without a step."""
    begins = trainer.stages.first_epochs
    ends = [*(epoch - 1 for epoch in begins[1:]), trainer.config.train_epochs]
    stages, encoder = [], None
    for first, last in zip(begins, ends, strict=True):
        enter(trainer, first)
        stage = _count_one(material, trainer, first, last)
        stages.append(stage)
        seen = trainer.seen[1]
        if isinstance(seen, EncodedWindows) and encoder is None:
            whole = flops.of_a_window(trainer.model, trainer.train)
            encoder = EncoderOnce(whole.forward - stage.flops.forward, seen.values[0].nbytes)
    return StagedCosts(tuple(stages), encoder)


def enter(trainer: Trainer, epoch: int) -> None:
    """Put model and trainer into the stage of an epoch, with few windows of what its steps see."""
    trainer.epoch = epoch
    trainer.model.train()
    trainer.stages.enter(trainer.plain_model, epoch)
    trainer.seen = trainer.model, trainer.train
    if trainer.frozen is not None and trainer.stages.is_encoder_frozen(epoch):
        assert isinstance(trainer.train, WindowSet), "only a classifier has an encoder and a head"
        trainer.seen = trainer.frozen.head, trainer.frozen.few(trainer.train, trainer.config.batch_size)


def _count_one(material: Material, trainer: Trainer, first: int, last: int) -> StageCost:
    model, objective = trainer.plain_model, trainer.objective
    still = sum(parameter.nbytes for parameter in model.parameters() if not parameter.requires_grad)
    return StageCost(
        first=first,
        last=last,
        learns=trainer.stages.what_learns(model, first),
        is_cached=isinstance(trainer.seen[1], EncodedWindows),
        flops=flops.of_a_window(*trainer.seen),
        state=state_bytes(model) - 3 * still,
        activations=measure(trainer.seen[0], material.training.loss, trainer.seen[1], objective.precision),
    )
