"""A step that is not finite changes no bit, is counted, and ends the run when there are too many."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exp.guard import Guard
from utils.errors import NumericalError


def machine(**changes) -> tuple[nn.Module, torch.optim.AdamW, Guard]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    flags = {"clip_grad_norm": 1.0, "max_skipped_steps": 100, "steps_per_epoch": 100} | changes
    return model, optimizer, Guard(model, optimizer, **flags)


def take_step(model: nn.Module, optimizer: torch.optim.AdamW, guard: Guard, x: torch.Tensor, number: int = 0) -> None:
    optimizer.zero_grad()
    guard.before_forward()
    loss = nn.functional.cross_entropy(model(x), torch.zeros(len(x), dtype=torch.long))
    loss.backward()
    guard.step(number, loss.detach())


def everything(model: nn.Module, optimizer: torch.optim.AdamW) -> list[torch.Tensor]:
    moments = [value.clone() for state in optimizer.state.values() for value in state.values()]
    return [tensor.clone() for tensor in model.state_dict().values()] + moments


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_poisoned_batch_changes_no_bit_of_weights_moments_and_running_statistics(poison: float) -> None:
    """In the case one such step turned 46 of 46 tensors into NaN."""
    model, optimizer, guard = machine()
    good = torch.randn(6, 4)
    take_step(model, optimizer, guard, good)
    before = everything(model, optimizer)
    bad = good.clone()
    bad[2, 1] = poison
    take_step(model, optimizer, guard, bad, 1)
    guard.read_pending()
    assert same(before, everything(model, optimizer)) and guard.skipped == 1
    take_step(model, optimizer, guard, good, 2)
    assert not same(before, everything(model, optimizer)), "a good step must still move the weights"


def test_a_poisoned_very_first_step_counts_as_no_step() -> None:
    """Adam's step count begins at the first applied step, or its bias correction is wrong for ever."""
    model, optimizer, guard = machine()
    weights = [tensor.clone() for tensor in model.state_dict().values()]
    take_step(model, optimizer, guard, torch.full((6, 4), float("nan")))
    assert all(torch.equal(a, b) for a, b in zip(weights, model.state_dict().values(), strict=True))
    assert all(float(state["step"]) == 0 for state in optimizer.state.values())


def test_a_finite_loss_with_a_gradient_that_is_not_finite_is_skipped_too() -> None:
    """This is what a well-meant replacement of NaN in the forward pass leaves behind."""
    model, optimizer, guard = machine()
    before = [tensor.clone() for tensor in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    next(model.parameters()).grad[0, 0] = float("nan")  # type: ignore[index]
    guard.before_forward()
    guard.step(0, torch.tensor(0.69))
    guard.read_pending()
    assert guard.skipped == 1 and same(before, list(model.parameters()))


def test_gradients_are_clipped_to_the_total_norm() -> None:
    """Clipping each tensor alone would change the direction of the step."""
    model, optimizer, guard = machine(clip_grad_norm=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    guard.before_forward()
    guard.step(0, torch.tensor(1.0))
    total = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    assert total.norm() == pytest.approx(0.5, rel=1e-4) and guard.gradient_norms()["clipped_share"] == 1.0


def test_the_budget_is_a_share_of_the_epoch_but_at_least_three_steps() -> None:
    """The fourth skip of a short epoch stops the run with the exit code of numerical faults."""
    model, optimizer, guard = machine(max_skipped_steps=0.01)
    with pytest.raises(NumericalError) as caught:
        for number in range(10):
            take_step(model, optimizer, guard, torch.full((6, 4), float("nan")), number)
            take_step(model, optimizer, guard, torch.randn(6, 4), number)
    assert caught.value.code == "SKIP_BUDGET" and caught.value.exit_code == 5 and guard.skipped == 4


def test_ten_in_a_row_always_stop() -> None:
    """However large the budget: ten in a row is no accident."""
    model, optimizer, guard = machine(max_skipped_steps=1000)
    with pytest.raises(NumericalError):
        for number in range(11):
            take_step(model, optimizer, guard, torch.full((6, 4), float("nan")), number)
    assert guard.skipped == 10


def test_float16_scaling_survives_the_guard() -> None:
    """With a loss scaler the gradients are unscaled before they are judged and clipped."""
    model, optimizer, _ = machine()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    guard = Guard(model, optimizer, clip_grad_norm=0, max_skipped_steps=9, steps_per_epoch=9, scaler=scaler)
    x = torch.randn(6, 4)
    loss = nn.functional.cross_entropy(model(x), torch.zeros(6, dtype=torch.long))
    plain = torch.autograd.grad(loss, list(model.parameters()))
    optimizer.zero_grad()
    guard.before_forward()
    loss = nn.functional.cross_entropy(model(x), torch.zeros(6, dtype=torch.long))
    scaler.scale(loss).backward()
    guard.step(0, loss.detach())
    for parameter, expected in zip(model.parameters(), plain, strict=True):
        assert torch.allclose(parameter.grad, expected, atol=1e-6)  # type: ignore[arg-type]
