"""Real faults for a real training of a small Timer-XL: each makes a step not finite in its own way.

Used by the tests and by `python -m tests.fault_campaign`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import torch

import models
from data_provider.windows import WindowIndex, WindowSet
from exp.diagnosis.attribution import attribute
from exp.diagnosis.explain import suspect_of_step
from exp.diagnosis.verdict import Verdict
from exp.guard import GuardConfig, Outcome
from exp.objective import Objective
from exp.trainer import Trainer, TrainerConfig
from layers.losses import LossConfig, build_loss, loss_terms
from utils.errors import NumericalError

VARIABLES = ("tp", "t2m", "sp", "tcwv")
LENGTH, TOKEN, BATCH, STEPS = 48, 12, 8, 6
LOSS = LossConfig()


def windows(n: int = BATCH * STEPS, seed: int = 0) -> WindowSet:
    """Return windows of normal numbers in two regions, with labels that can be learned."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(n + LENGTH, len(VARIABLES))).astype(np.float32)
    end = np.arange(LENGTH - 1, n + LENGTH - 1)
    index = WindowIndex(
        end=end,
        region=(np.arange(n) % 2).astype(np.int64),
        init_time=np.datetime64("2020-01-01", "s") + np.arange(n) * np.timedelta64(3600, "s"),
        label=(values[end, 0] > 0).astype(np.int64),
        past_class=np.zeros(n, np.int64),
        precipitation_mm=np.zeros(n, np.float32),
    )
    return WindowSet(torch.from_numpy(values), index, LENGTH, ("costa", "sierra"), torch.device("cpu"))


def network(seed: int = 0, **flags) -> torch.nn.Module:
    """Return a Timer-XL classifier of two narrow layers."""
    torch.manual_seed(seed)
    sizes = {
        "input_token_len": TOKEN, "output_token_len": TOKEN, "d_model": 16, "n_heads": 2, "e_layers": 2, "d_ff": 32,
        "n_classes": 2, "n_variables": len(VARIABLES), "n_marks": 6, "step_hours": 1,
    }  # fmt: skip
    return models.build("timer_xl_classifier", SimpleNamespace(**(sizes | flags)))


@dataclass
class Bench:
    """A training under test.

    Attributes:
        learning_rate: of AdamW, without warm-up.
        precision: of the forward pass.
        loss: replaces cross-entropy.
        before_fit: done to the trainer before its first step.
        before_step: done to the trainer before each step, with the number of the step.
    """

    learning_rate: float = 1e-3
    precision: torch.dtype | None = None
    loss: Callable = field(default_factory=lambda: build_loss(LOSS, 2))
    before_fit: list[Callable[[Trainer], None]] = field(default_factory=list)
    before_step: list[Callable[[Trainer, int], None]] = field(default_factory=list)
    guard: GuardConfig = field(default_factory=lambda: GuardConfig(max_skipped_steps=10_000))
    seed: int = 0

    def trainer(self, explain=None) -> Trainer:
        """Build the trainer of this bench."""
        data = windows(seed=self.seed)
        objective = Objective(
            loss=self.loss,
            micro_batch_size=BATCH,
            precision=self.precision,
            terms=lambda logits, labels: loss_terms(LOSS, logits, labels),
        )
        bench = self

        class Watched(Trainer):
            def _step(self, ids: torch.Tensor):
                for change in bench.before_step:
                    change(self, self.step_number)
                return super()._step(ids)

        trainer = Watched(
            network(self.seed),
            objective,
            TrainerConfig(batch_size=BATCH, train_epochs=1, learning_rate=self.learning_rate),
            self.guard,
            data,
            evaluate=lambda _: {},
            seed=self.seed,
            explain=explain,
        )
        for change in self.before_fit:
            change(trainer)
        return trainer

    def first_verdict(self) -> tuple[int, Verdict] | None:
        """Train until the first bad step; return its number and verdict, None when all steps are finite."""
        found: list[tuple[int, Verdict]] = []

        def explain(trainer: Trainer, outcome: Outcome) -> Verdict:
            verdict = attribute(suspect_of_step(trainer, outcome, VARIABLES, step_hours=1, n_classes=2))
            found.append((outcome.step.number, verdict))
            return verdict

        # One long epoch of few batches: float16 searches its loss scale for some steps before anything is a fault.
        trainer = self.trainer(explain)
        trainer.watch.config = replace(trainer.watch.config, nan_policy="stop")
        try:
            for _ in range(8 if self.precision is torch.float16 else 1):
                trainer._begin_epoch()
                trainer._train_epoch()
        except NumericalError:
            pass
        return found[0] if found else None


Fault = Callable[[Bench, np.random.Generator], None]


class Switch:
    """Off until a random step of the epoch, on from there."""

    def __init__(self, bench: Bench, chance: np.random.Generator) -> None:
        self.is_on = False
        self.when = int(chance.integers(STEPS - 1))
        bench.before_fit.append(lambda trainer: self.turn(trainer, 0))
        bench.before_step.append(self.turn)

    def turn(self, trainer: Trainer, number: int) -> None:
        self.is_on = number >= self.when


def cell(value: float) -> Fault:
    """Write a value into a cell of the table, before some step, that most windows see."""

    def inject(bench: Bench, chance: np.random.Generator) -> None:
        row, column = int(chance.integers(LENGTH // 2, LENGTH)), int(chance.integers(len(VARIABLES)))
        when = int(chance.integers(STEPS - 1))

        def change(trainer: Trainer, number: int) -> None:
            if number == when:
                trainer.train.table[row, column] = value

        bench.before_step.append(change)

    return inject


def weight(bench: Bench, chance: np.random.Generator) -> None:
    """Write NaN into one weight between two steps."""
    which, when = int(chance.integers(1000)), int(chance.integers(STEPS - 1))

    def change(trainer: Trainer, number: int) -> None:
        if number == when:
            parameters = list(trainer.model.parameters())
            flat = parameters[which % len(parameters)].data.view(-1)
            flat[which % len(flat)] = float("nan")

    bench.before_step.append(change)


def activation(bench: Bench, chance: np.random.Generator) -> None:
    """Let one module of the network give NaN or infinity in one place."""
    which, value = int(chance.integers(1000)), float(chance.choice([np.nan, np.inf]))
    switch = Switch(bench, chance)

    def spoil(_, inputs, output):
        spoiled = output.clone()
        if switch.is_on:
            spoiled.view(-1)[which % spoiled.numel()] = value
        return spoiled

    def change(trainer: Trainer) -> None:
        leaves = [module for module in trainer.model.modules() if not list(module.children())]
        leaves = [module for module in leaves if not isinstance(module, torch.nn.Embedding)]
        leaves[which % len(leaves)].register_forward_hook(spoil)

    bench.before_fit.append(change)


def loss(bench: Bench, chance: np.random.Generator) -> None:
    """Let the loss be NaN or infinite although the outputs are finite."""
    usual, value = bench.loss, float(chance.choice([np.nan, np.inf]))
    switch = Switch(bench, chance)
    bench.loss = lambda logits, labels: usual(logits, labels) * (value if switch.is_on else 1.0)


def gradient(bench: Bench, chance: np.random.Generator) -> None:
    """Let the gradient of one parameter be NaN although the loss is finite."""
    _on_gradient(bench, chance, lambda given: given * float("nan"))


def huge_gradient(bench: Bench, chance: np.random.Generator) -> None:
    """Let the gradient of one parameter be finite and far too large."""
    _on_gradient(bench, chance, lambda given: torch.full_like(given, 2e19))


def _on_gradient(bench: Bench, chance: np.random.Generator, spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
    which = int(chance.integers(1000))
    switch = Switch(bench, chance)

    def spoil_when_on(given: torch.Tensor) -> torch.Tensor:
        return spoil(given) if switch.is_on else given

    def change(trainer: Trainer) -> None:
        parameters = list(trainer.model.parameters())
        chosen = parameters[which % len(parameters)]
        chosen.register_hook(spoil_when_on)
        # The copy that is replayed keeps hooks of modules but not those of tensors: hang it on again there.
        owner, name = next(
            (module, name)
            for module in trainer.model.modules()
            for name, own in module.named_parameters(recurse=False)
            if own is chosen
        )

        def again(module: torch.nn.Module, _) -> None:
            own = getattr(module, name)
            if own is not chosen and spoil_when_on not in getattr(own, "_spoilers", ()):
                own._spoilers = (*getattr(own, "_spoilers", ()), spoil_when_on)
                own.register_hook(spoil_when_on)

        owner.register_forward_pre_hook(again)

    bench.before_fit.append(change)


def learning_rate(bench: Bench, chance: np.random.Generator) -> None:
    """Train with a rate of 100,000 from the first step on."""
    bench.learning_rate = 1e5


def float16_overflow(bench: Bench, chance: np.random.Generator) -> None:
    """Train in float16 with weights whose products do not fit it."""
    bench.precision = torch.float16
    layer = int(chance.integers(2))
    bench.before_fit.append(
        lambda trainer: trainer.model.blocks.attn_layers[layer].conv1.weight.data.mul_(1e6)  # type: ignore[union-attr]
    )


FAULTS: dict[str, Fault] = {
    "DATA_NAN": cell(float("nan")),
    "DATA_INF": cell(float("-inf")),
    "DATA_EXTREME": cell(9.96921e36),
    "WEIGHT_NONFINITE": weight,
    "ACTIVATION_NONFINITE": activation,
    "LOSS_NONFINITE": loss,
    "GRAD_NONFINITE": gradient,
    "GRAD_HUGE": huge_gradient,
    "LEARNING_RATE": learning_rate,
    "PRECISION_OVERFLOW": float16_overflow,
}
# In which order the stages of one step act; faults of one stage act together.
STAGE = {
    "WEIGHT_NONFINITE": 0, "DATA_NAN": 1, "DATA_INF": 1, "DATA_EXTREME": 2, "LEARNING_RATE": 2, "PRECISION_OVERFLOW": 2,
    "ACTIVATION_NONFINITE": 2, "LOSS_NONFINITE": 3, "GRAD_NONFINITE": 4, "GRAD_HUGE": 5,
}  # fmt: skip
