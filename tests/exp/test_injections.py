"""A thousand random injections: no bit of weights, moments, step counts or running statistics changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from exp.guard import Guard, Outcome, StepRecord
from exp.precision import autocast
from tests.faults import BATCH, network, windows
from utils.reproducibility import RandomState

CPU = torch.device("cpu")
PLACES = ("input", "activation", "loss", "gradient")
VALUES = (float("nan"), float("inf"), float("-inf"))
PER_PRECISION = 500


class Injected:
    """One training that is hit again and again.

    Args:
        precision: of the forward pass.
    """

    def __init__(self, precision: torch.dtype | None) -> None:
        self.model = nn.Sequential(network(dropout=0.1), nn.BatchNorm1d(2))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.outcomes: list[Outcome] = []
        self.guard = Guard(self.model, self.optimizer, clip_grad_norm=1.0, on_outcome=self.outcomes.append)
        self.data, self.precision = windows(), precision
        self.modules = [module for module in self.model.modules() if not list(module.children())]
        self.modules = [module for module in self.modules if not isinstance(module, nn.Embedding)]
        self.number = 0

    def step(self, place: str, chance: np.random.Generator) -> None:
        """Take one step with a value that is not finite in one place; "nowhere" is a good step."""
        value = float(chance.choice(VALUES))
        ids = torch.from_numpy(chance.choice(len(self.data), BATCH, replace=False))
        inputs = self.data.inputs(ids).clone()
        if place == "input":
            inputs.view(-1)[int(chance.integers(inputs.numel()))] = value
        handle = self._spoil(value, chance) if place == "activation" else None
        self.optimizer.zero_grad()
        self.guard.before_forward(StepRecord(self.number, 1, 1, ids, RandomState.capture(CPU), (1e-3,)))
        self.number += 1
        with autocast(CPU, self.precision):
            logits = self.model[1](self.model[0](inputs, self.data.marks[ids]))
        loss = nn.functional.cross_entropy(logits.float(), self.data.labels[ids])
        if place == "loss":
            loss = loss * value
        loss.backward()
        if place == "gradient":
            given = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
            chosen = given[int(chance.integers(len(given)))].view(-1)
            chosen[int(chance.integers(len(chosen)))] = value
        self.guard.step(loss.detach())
        if handle is not None:
            handle.remove()

    def _spoil(self, value: float, chance: np.random.Generator):
        which, at = int(chance.integers(len(self.modules))), int(chance.integers(10**6))

        def hook(module, inputs, output):
            spoiled = output.clone()
            spoiled.view(-1)[at % spoiled.numel()] = value
            return spoiled

        return self.modules[which].register_forward_hook(hook)

    def everything(self) -> list[torch.Tensor]:
        """Return weights, running statistics, moments and step counts."""
        moments = [value.clone() for state in self.optimizer.state.values() for value in state.values()]
        return [value.clone() for value in self.model.state_dict().values()] + moments


def bits(tensors: list[torch.Tensor]) -> bytes:
    """Return the bytes of all tensors: equal bits, not equal numbers (0 and -0 differ)."""
    return b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)


@pytest.mark.parametrize("precision", [None, torch.bfloat16], ids=["float32", "bf16"])
def test_five_hundred_random_injections_change_no_bit(precision: torch.dtype | None) -> None:
    """One of them let through would be a NaN in every weight, for ever."""
    chance = np.random.default_rng(20 if precision is None else 21)
    injected = Injected(precision)
    hit, absorbed = dict.fromkeys(PLACES, 0), 0
    for round_number in range(PER_PRECISION):
        if round_number % 10 == 0:
            before = bits(injected.everything())
            injected.step("nowhere", chance)
            assert not injected.outcomes[-1].is_bad
            assert bits(injected.everything()) != before, "a good step must still move the weights"
        place = PLACES[int(chance.integers(len(PLACES)))]
        hit[place] += 1
        before = bits(injected.everything())
        injected.step(place, chance)
        # A ReLU turns minus infinity into 0: then the step was finite, and may change what it changes.
        is_bad = injected.outcomes[-1].is_bad
        absorbed += not is_bad
        assert is_bad or place == "activation", f"injection {round_number} in {place} was not seen"
        assert (bits(injected.everything()) == before) is is_bad, f"injection {round_number} in {place}"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in injected.everything())
    assert absorbed < PER_PRECISION / 20
    assert all(count > PER_PRECISION / 8 for count in hit.values())
    steps = {float(state["step"]) for state in injected.optimizer.state.values()}
    assert steps == {PER_PRECISION / 10 + absorbed}, "Adam counts applied steps alone"
