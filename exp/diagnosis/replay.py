"""One step again, on a copy, watched: where finite turned into not finite, forwards and backwards."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import torch
from torch import nn

from exp.diagnosis import record
from exp.guard import StepRecord
from exp.objective import Objective, Probe, Windows
from layers.masks import AttentionLayout
from utils.reproducibility import RandomState


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is known of the weights before a step.

    Attributes:
        before_update: weights before the last update, name -> tensor; None where there was no update.
        epoch_start: weights that learn in this epoch at its start, name -> tensor; None where they were not kept.
        steps: the steps since then, this one last; empty where they are too many to be taken again.
        windows: of those steps.
        learning_rate: of the last update, None where there was none.
        weight_decay: of AdamW.
        clip_grad_norm: total norm that gradients are scaled down to, 0 never.
    """

    before_update: Mapping[str, torch.Tensor] | None = None
    epoch_start: Mapping[str, torch.Tensor] | None = None
    steps: tuple[StepRecord, ...] = ()
    windows: Windows | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.0
    clip_grad_norm: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A step under suspicion, complete enough to take it again.

    Attributes:
        model: weights and running statistics as before the step; belongs to the diagnosis, which may change it.
        objective: loss, precision, micro-batches.
        windows: where the batch comes from.
        ids: `(B,)` windows of the batch.
        variables: names of the V inputs.
        step_hours: hours between rows.
        n_classes: classes of the label, 0 where it is an amount of rain or a series.
        random_state: generators before the forward pass; None where chance does not matter.
        loss_scale: of float16, None without.
        past: gives what is known of the weights before.
        name: such as "step 12, epoch 1, batch 12".
        last_good: such as "step 11, epoch 1, batch 11"; empty where no step was applied yet.
        is_loaded: the weights come from a checkpoint.
        is_sound: the data can be vouched for; False for random numbers and for tables with an error elsewhere.
        seen_loss: loss when the step was taken, None where it was not.
        seen_norm: total gradient norm when the step was taken, None where it was not.
        numbers: of the windows in their split, where `ids` count in a copy of these alone; empty: `ids` are they.
    """

    model: nn.Module
    objective: Objective
    windows: Windows
    ids: torch.Tensor
    variables: tuple[str, ...]
    step_hours: int
    n_classes: int
    random_state: RandomState | None = None
    loss_scale: float | None = None
    past: Callable[[], Past] = lambda: Past()
    name: str = "this batch"
    last_good: str = ""
    is_loaded: bool = False
    is_sound: bool = True
    seen_loss: float | None = None
    seen_norm: float | None = None
    numbers: tuple[int, ...] = ()

    def number_of(self, sample: int) -> int:
        """Return the number in its split of the window at a place in the batch."""
        return self.numbers[sample] if self.numbers else int(self.ids[sample])

    def on_copy(self, change: Callable[[Any], None]) -> Suspect:
        """Return the same step on a copy of its windows, with something changed in it."""
        windows = self.windows.subset(self.ids)
        change(windows)
        numbers = tuple(self.number_of(sample) for sample in range(len(self.ids)))
        return replace(self, windows=windows, ids=torch.arange(len(numbers), device=self.ids.device), numbers=numbers)

    def in_float32(self) -> Suspect:
        """Return the same step without mixed precision."""
        return replace(self, objective=replace(self.objective, precision=None), loss_scale=None)


@dataclass(frozen=True)
class Place:
    """Where values stopped being finite in the forward pass.

    Attributes:
        module: name of the module, or "" for the whole model.
        between: True where the module's input was already not finite while all before it was finite, so that the
            arithmetic between two modules did it.
        inputs: figures of the module's input.
        outputs: figures of its output, empty where `between`.
    """

    module: str
    between: bool
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    def __str__(self) -> str:
        return f"before {self.module}" if self.between else (self.module or "the model as a whole")


class Stage(IntEnum):
    """How far a step got before it was not finite."""

    FORWARD_PASS = 0
    LOSS = 1
    BACKWARD_PASS = 2
    NORM = 3
    FINITE = 4

    @property
    def words(self) -> str:
        """The stage in words."""
        return self.name.lower().replace("_", " ")


@dataclass
class Replay:
    """What a step came to when it was taken again.

    Attributes:
        loss: mean loss.
        norm: total gradient norm, exact (float64).
        norm_is_finite: the float32 norm that the guard judged.
        first_place: where the forward pass first was not finite.
        first_gradient: first parameter, in the order of the backward pass, whose gradient was not finite.
        blind_rows: (module, row) of attention masks in which a token sees nothing.
        largest: module -> largest finite absolute value of its output.
        figures: the record of the batch.
        outputs_finite: all logits are finite.
        terms: first loss term that is not finite, None when all are.
    """

    loss: float = 0.0
    norm: float = 0.0
    norm_is_finite: bool = True
    first_place: Place | None = None
    first_gradient: str | None = None
    blind_rows: list[tuple[str, int]] = field(default_factory=list)
    largest: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    outputs_finite: bool = True
    bad_term: str | None = None

    @property
    def is_finite(self) -> bool:
        """True where the guard would have taken the step."""
        return self.stage is Stage.FINITE

    @property
    def stage(self) -> Stage:
        """Where the step first was not finite; what something later replaced by a number does not count."""
        if not self.outputs_finite:
            return Stage.FORWARD_PASS
        if self.bad_term is not None or not math.isfinite(self.loss):
            return Stage.LOSS
        if self.first_gradient is not None:
            return Stage.BACKWARD_PASS
        return Stage.FINITE if self.norm_is_finite else Stage.NORM


def replay(suspect: Suspect) -> Replay:
    """Take the step again without updating anything but the gradients of the suspect's own model.

    Generators are put back afterwards. Labels must be what `examine_labels` clears: classes, or amounts.
    """
    result = Replay()
    device = suspect.windows.device
    model = suspect.model
    model.zero_grad(set_to_none=True)
    scale = suspect.loss_scale
    probe = _Recorder(suspect, result)
    cuda = [device] if device.type == "cuda" else []
    # A compiled part would not tell what passes through it.
    with torch.random.fork_rng(cuda), torch.compiler.set_stance("force_eager"), ExitStack() as hooks:
        if suspect.random_state is not None:
            suspect.random_state.restore(device)
        hooks.enter_context(_watched(model, result))
        loss, _ = suspect.objective.backward(
            model,
            suspect.windows,
            suspect.ids,
            scale=None if scale is None else lambda share: share * scale,
            probe=probe,
        )
    result.loss = loss.item()
    _judge_gradients(model, result, scale or 1.0)
    return result


def own_copy(model: nn.Module, statistics: Mapping[str, torch.Tensor] | None = None) -> nn.Module:
    """Return a copy of a (perhaps compiled) model to experiment on, with these running statistics."""
    twin = copy.deepcopy(getattr(model, "_orig_mod", model))
    buffers = dict(twin.named_buffers())
    with torch.no_grad():
        for name, value in (statistics or {}).items():
            buffers[name.removeprefix("_orig_mod.")].copy_(value)
    return twin


class _Recorder(Probe):
    """Keeps the figures of the first micro-batch that is not finite, or else of the first one."""

    def __init__(self, suspect: Suspect, result: Replay) -> None:
        self.suspect, self.result = suspect, result
        self.is_kept = False

    def batch(self, inputs: torch.Tensor, marks: torch.Tensor, labels: torch.Tensor) -> None:
        self.seen = (inputs, marks, labels)

    def output(self, logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> None:
        finite = bool(torch.isfinite(logits).all()) and bool(torch.isfinite(loss))
        if self.is_kept and (finite or not self.result.outputs_finite):
            return
        self.is_kept = True
        inputs, marks, targets = self.seen
        terms = {"loss": loss.detach()}
        if self.suspect.objective.terms is not None:
            with torch.no_grad():
                terms = {**self.suspect.objective.terms(logits.float(), labels), **terms}
        self.result.outputs_finite = bool(torch.isfinite(logits).all())
        self.result.bad_term = next((name for name, value in terms.items() if not torch.isfinite(value).all()), None)
        self.result.figures |= {
            "input": record.describe(inputs),
            "marks": record.describe(marks),
            "target": record.describe(targets),
            "output": record.describe(logits),
            "loss_terms": {name: record.describe(value) for name, value in terms.items()},
        }


@contextmanager
def _watched(model: nn.Module, result: Replay) -> Iterator[None]:
    """Note, while the block runs, what passes through each module and each gradient."""
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(_before(name, result), with_kwargs=True))
        handles.append(module.register_forward_hook(_after(name, result)))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            handles.append(parameter.register_post_accumulate_grad_hook(_on_gradient(name, result)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _before(name: str, result: Replay) -> Callable[..., None]:
    def hook(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        for value in (*inputs, *named.values()):
            if isinstance(value, AttentionLayout):
                rows = value.hidden.all(dim=-1).nonzero().flatten().tolist()
                result.blind_rows += [(name, row) for row in rows if (name, row) not in result.blind_rows]
        if result.first_place is None and not math.isfinite(_extent(inputs)):
            result.first_place = Place(name, True, _figures(inputs), {})

    return hook


def _after(name: str, result: Replay) -> Callable[..., None]:
    def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        extent = _extent(output)
        if math.isfinite(extent):
            result.largest[name] = max(result.largest.get(name, 0.0), extent)
        elif result.first_place is None:
            result.first_place = Place(name, False, _figures(inputs), _figures(output))

    return hook


def _on_gradient(name: str, result: Replay) -> Callable[[torch.Tensor], None]:
    def hook(parameter: torch.Tensor) -> None:
        gradient = parameter.grad
        if result.first_gradient is None and gradient is not None and not bool(torch.isfinite(gradient).all()):
            result.first_gradient = name

    return hook


def _judge_gradients(model: nn.Module, result: Replay, scale: float) -> None:
    given = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    for gradient in given:
        gradient.div_(scale)
    norm = torch.nn.utils.get_total_norm(given)
    norms = record.gradient_norms(model)
    result.norm = math.hypot(*norms.values()) if norms else 0.0
    result.norm_is_finite = bool(torch.isfinite(norm))
    result.figures["gradient_norms"] = norms
    result.figures["loss"], result.figures["gradient_norm"] = result.loss, result.norm


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value.detach()] if value.is_floating_point() else []
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in _tensors(part)]
    return []


def _extent(value: Any) -> float:
    """Return the largest absolute value; NaN where there is one, since both ends of a range with NaN are NaN."""
    ends = [end for tensor in _tensors(value) if tensor.numel() for end in torch.aminmax(tensor)]
    return float(torch.stack([end.float() for end in ends]).abs().max()) if ends else 0.0


def _figures(value: Any) -> dict[str, Any]:
    tensors = _tensors(value)
    return record.describe(tensors[0]) if tensors else {}
