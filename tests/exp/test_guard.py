"""A step that is not finite changes no bit, whatever the precision, the optimizer and the place of the fault."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from exp.guard import LOSS_SCALE_FLOOR, Guard, GuardConfig, Outcome, StepRecord
from exp.precision import autocast
from utils.errors import UsageError
from utils.reproducibility import RandomState

CPU = torch.device("cpu")
OPTIMIZERS: dict[str, Callable] = {
    "fused AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.1, fused=True),
    "plain AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.1, fused=False, foreach=False),
    "SGD with momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
}


class Bench:
    """A small network with running statistics, its optimizer and its guard."""

    def __init__(self, optimizer: str = "fused AdamW", clip_grad_norm: float = 1.0, scale: float = 0) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.scaler = torch.amp.GradScaler("cpu", init_scale=scale) if scale else None
        self.outcomes: list[Outcome] = []
        self.guard = Guard(
            self.model,
            self.optimizer,
            clip_grad_norm=clip_grad_norm,
            scaler=self.scaler,
            on_outcome=self.outcomes.append,
            reads_late=True,
        )
        self.number = 0

    def start(self) -> None:
        self.optimizer.zero_grad()
        state = RandomState.capture(CPU)
        self.guard.before_forward(StepRecord(self.number, 1, self.number + 1, torch.arange(6), state, (0.1,)))
        self.number += 1

    def step(self, x: torch.Tensor, precision: torch.dtype | None = None) -> None:
        self.start()
        with autocast(CPU, precision):
            logits = self.model(x)
        loss = nn.functional.cross_entropy(logits.float(), torch.zeros(len(x), dtype=torch.long))
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        self.guard.step(loss.detach())

    def everything(self) -> list[torch.Tensor]:
        moments = [
            value.clone() for state in self.optimizer.state.values() for value in state.values() if value is not None
        ]
        return [tensor.clone() for tensor in self.model.state_dict().values()] + moments


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_poisoned_batch_changes_no_bit_of_weights_moments_and_running_statistics(
    optimizer: str, poison: float
) -> None:
    """In the case one such step turned 46 of 46 tensors into NaN."""
    bench = Bench(optimizer)
    good = torch.randn(6, 4)
    bench.step(good)
    before = bench.everything()
    bad = good.clone()
    bad[2, 1] = poison
    bench.step(bad)
    bench.guard.read_pending()
    assert same(before, bench.everything())
    assert [outcome.is_bad for outcome in bench.outcomes] == [False, True]
    bench.step(good)
    assert not same(before, bench.everything()), "a good step must still move the weights"


def test_the_statistics_of_an_instance_norm_are_put_back_too() -> None:
    """Where it keeps any, one NaN stays in them for ever."""
    model = nn.Sequential(nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten())
    model.append(nn.Linear(4, 2))
    bench = Bench()
    bench.model, bench.optimizer = model, torch.optim.AdamW(model.parameters(), fused=True)
    bench.guard = Guard(model, bench.optimizer, clip_grad_norm=1.0, on_outcome=bench.outcomes.append)
    bench.step(torch.randn(6, 4))
    before = bench.everything()
    bench.step(torch.full((6, 4), float("nan")))
    assert same(before, bench.everything()) and bench.outcomes[-1].is_bad


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_poisoned_very_first_step_counts_as_no_step(optimizer: str) -> None:
    """Adam's step count begins at the first applied step, or its bias correction is wrong for ever."""
    bench, untouched = Bench(optimizer), Bench(optimizer)
    good = torch.randn(6, 4)
    bench.step(torch.full((6, 4), float("nan")))
    assert all(float(state.get("step", 0)) == 0 for state in bench.optimizer.state.values())
    bench.step(good)
    untouched.step(good)
    assert same(bench.everything(), untouched.everything()), "as if the poisoned step had never been"


def test_a_finite_loss_with_a_gradient_that_is_not_finite_is_skipped_too() -> None:
    """This is what a well-meant replacement of NaN in the forward pass leaves behind."""
    bench = Bench()
    before = [tensor.clone() for tensor in bench.model.parameters()]
    bench.start()
    for parameter in bench.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    next(bench.model.parameters()).grad[0, 0] = float("nan")  # type: ignore[index]
    bench.guard.step(torch.tensor(0.69))
    bench.guard.read_pending()
    assert bench.outcomes[0].is_bad and bench.outcomes[0].loss == pytest.approx(0.69)
    assert same(before, list(bench.model.parameters()))


def test_gradients_so_huge_that_their_norm_overflows_are_skipped() -> None:
    """2e19 squared does not fit float32: the norm is infinite although no gradient is."""
    bench = Bench()
    before = [tensor.clone() for tensor in bench.model.parameters()]
    bench.start()
    for parameter in bench.model.parameters():
        parameter.grad = torch.full_like(parameter, 2e19)
    bench.guard.step(torch.tensor(0.69))
    bench.guard.read_pending()
    assert bench.outcomes[0].is_bad and math.isinf(bench.outcomes[0].norm)
    assert same(before, list(bench.model.parameters()))


def test_gradients_are_clipped_to_the_total_norm() -> None:
    """Clipping each tensor alone would change the direction of the step."""
    bench = Bench(clip_grad_norm=0.5)
    bench.start()
    for parameter in bench.model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    bench.guard.step(torch.tensor(1.0))
    given = [parameter.grad.flatten() for parameter in bench.model.parameters() if parameter.grad is not None]
    assert torch.cat(given).norm() == pytest.approx(0.5, rel=1e-4)
    bench.guard.read_pending()
    assert bench.outcomes[0].norm == pytest.approx(3 * math.sqrt(sum(map(len, given)))), "told before clipping"


def test_the_outcome_of_a_step_is_told_before_the_next_one_changes_anything() -> None:
    """The replay of a bad step needs the weights as they were, and the batch and random numbers of that step."""
    bench = Bench()
    seen: list[list[torch.Tensor]] = []
    bench.guard.on_outcome = lambda outcome: seen.append([p.clone() for p in bench.model.parameters()])
    good = torch.randn(6, 4)
    bench.step(good)
    after_first = [parameter.clone() for parameter in bench.model.parameters()]
    statistics = {name: value.clone() for name, value in bench.model.named_buffers()}
    bench.step(torch.full((6, 4), float("nan")))
    told: list[dict[str, torch.Tensor]] = []
    bench.guard.on_outcome = lambda outcome: (
        seen.append([p.clone() for p in bench.model.parameters()]),
        told.append(bench.guard.statistics_before()),
    )
    bench.step(good)
    assert same(seen[-1], after_first) and bench.guard.last_applied is not None
    assert bench.guard.last_applied.number == 0
    assert all(torch.equal(statistics[name], value) for name, value in told[-1].items()) and told[-1]


def test_float16_scaling_survives_the_guard() -> None:
    """With a loss scaler the gradients are unscaled before they are judged and clipped."""
    bench = Bench(clip_grad_norm=0, scale=1024.0)
    x = torch.randn(6, 4)
    loss = nn.functional.cross_entropy(bench.model(x), torch.zeros(6, dtype=torch.long))
    plain = torch.autograd.grad(loss, list(bench.model.parameters()))
    bench.step(x)
    for parameter, expected in zip(bench.model.parameters(), plain, strict=True):
        assert torch.allclose(parameter.grad, expected, atol=1e-6)  # type: ignore[arg-type]
    bench.guard.read_pending()
    assert bench.outcomes[0].loss_scale == 1024.0 and not bench.outcomes[0].is_bad


def test_float16_gradients_are_judged_and_clipped_without_their_scale() -> None:
    """A norm 1,024 times too large would clip every step to nearly nothing, and cry spike."""
    bench = Bench(clip_grad_norm=0.5, scale=1024.0)
    bench.start()
    bench.scaler.scale(torch.ones(()))  # type: ignore[union-attr]
    for parameter in bench.model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0 * 1024)
    bench.guard.step(torch.tensor(1.0))
    bench.guard.read_pending()
    given = [parameter.grad.flatten() for parameter in bench.model.parameters() if parameter.grad is not None]
    assert torch.cat(given).norm() == pytest.approx(0.5, rel=1e-4)
    assert bench.outcomes[0].norm == pytest.approx(3 * math.sqrt(sum(map(len, given))))


def test_a_loss_scale_at_its_floor_may_grow_again() -> None:
    """Pinned to the floor for ever, small float16 gradients would vanish."""
    bench = Bench(scale=1.0)
    bench.scaler.set_growth_interval(1)  # type: ignore[union-attr]
    for _ in range(4):
        bench.step(torch.randn(6, 4))
    assert bench.scaler.get_scale() == 16.0  # type: ignore[union-attr]


def test_a_float16_overflow_halves_the_scale_and_is_no_fault_until_the_floor() -> None:
    """A scaler begins too high on purpose; counting its search as bad steps would end healthy runs."""
    bench = Bench(scale=4.0)
    for _ in range(9):
        bench.start()
        for parameter in bench.model.parameters():
            parameter.grad = torch.full_like(parameter, float("inf"))
        bench.scaler.scale(torch.ones(()))  # type: ignore[union-attr]
        bench.guard.step(torch.tensor(0.69))
    bench.guard.read_pending()
    scales = [outcome.loss_scale for outcome in bench.outcomes]
    assert scales[:3] == [4.0, 2.0, 1.0] and min(scales) >= LOSS_SCALE_FLOOR / 4, "the host hears of it a step late"
    assert [outcome.is_scaler_overflow for outcome in bench.outcomes[:3]] == [True, True, False]
    assert all(outcome.is_bad for outcome in bench.outcomes)


def test_huge_finite_gradients_in_float16_are_a_fault_and_not_the_scalers_search() -> None:
    """Their norm overflows, the scaler sees nothing wrong and keeps its scale: such a run would skip for ever."""
    bench = Bench(scale=1024.0)
    for _ in range(3):
        bench.start()
        bench.scaler.scale(torch.ones(()))  # type: ignore[union-attr]
        for parameter in bench.model.parameters():
            parameter.grad = torch.full_like(parameter, 2e19 * 1024)
        bench.guard.step(torch.tensor(0.69))
    bench.guard.read_pending()
    assert [outcome.loss_scale for outcome in bench.outcomes] == [1024.0] * 3
    assert all(outcome.is_bad and not outcome.is_scaler_overflow for outcome in bench.outcomes)


def test_a_float16_step_with_a_loss_that_is_not_finite_is_a_fault_at_any_scale() -> None:
    """No scale can heal a forward pass that overflows."""
    bench = Bench(scale=1024.0)
    before = [parameter.clone() for parameter in bench.model.parameters()]
    bench.step(torch.full((6, 4), float("nan")), torch.float16)
    bench.guard.read_pending()
    assert bench.outcomes[0].is_bad and not bench.outcomes[0].is_scaler_overflow
    assert same(before, list(bench.model.parameters()))


def test_a_compiled_model_is_guarded_like_a_plain_one() -> None:
    """Compilation must not hide the running statistics or the parameters from the guard."""
    bench = Bench()
    plain = bench.model
    bench.model = torch.compile(plain, backend="aot_eager")
    bench.guard = Guard(bench.model, bench.optimizer, clip_grad_norm=1.0, on_outcome=bench.outcomes.append)
    bench.step(torch.randn(6, 4))
    before = bench.everything()
    bench.step(torch.full((6, 4), float("nan")))
    bench.guard.read_pending()
    assert same(before, bench.everything()) and [outcome.is_bad for outcome in bench.outcomes] == [False, True]


@pytest.mark.parametrize("flag", ["clip_grad_norm", "max_skipped_steps"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_impossible_values_are_refused_by_flag(flag: str, value: float) -> None:
    """A NaN as clip value would turn every gradient into NaN."""
    with pytest.raises(UsageError, match=f"--{flag}"):
        GuardConfig(**{flag: value})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_on_a_gpu_waits_for_nothing() -> None:
    """A hidden synchronisation in every step costs more than all the rest of the guard."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    outcomes: list[Outcome] = []
    guard = Guard(model, optimizer, clip_grad_norm=1.0, on_outcome=outcomes.append)
    x, labels = torch.randn(6, 4, device="cuda"), torch.zeros(6, dtype=torch.long, device="cuda")
    poisoned = x.clone()
    poisoned[2, 1] = float("nan")
    ids = torch.arange(6, device="cuda")
    for number, batch in enumerate((x, x, poisoned, x)):
        torch.cuda.set_sync_debug_mode("default" if number == 0 else "error")
        optimizer.zero_grad()
        guard.before_forward(StepRecord(number, 1, number + 1, ids, RandomState.capture(ids.device), (0.1,)))
        loss = nn.functional.cross_entropy(model(batch), labels)
        loss.backward()
        guard.step(loss.detach())
    torch.cuda.set_sync_debug_mode("default")
    guard.read_pending()
    assert [outcome.is_bad for outcome in outcomes] == [False, False, True, False]
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
