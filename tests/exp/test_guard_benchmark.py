"""The benchmark of the guard compares like with like: both steps move the weights alike."""

from __future__ import annotations

import torch

from exp import guard_benchmark, save_benchmark
from exp.presets import flags_of


def test_the_guarded_and_the_plain_step_move_the_weights_alike() -> None:
    """A cheaper plain step would hide the cost, a dearer one invent it."""
    ends = []
    for step in (guard_benchmark._plain_step, guard_benchmark._guarded_step):
        torch.manual_seed(0)
        trainer = guard_benchmark.random_trainer(flags_of("smoke") | {"dropout": 0.0}, torch.device("cpu"))
        trainer.model.eval()
        for _ in range(3):
            seconds = step(trainer, torch.arange(8))
            assert 0 < seconds.outside < seconds.whole
        ends.append(list(trainer.model.state_dict().values()))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_the_figures_are_those_of_the_option_asked_for() -> None:
    """The table in docs/performance.md names the option."""
    found = guard_benchmark.measure("smoke", 3)
    assert found["preset"] == "smoke" and found["pairs"] == 3 and found["plain_step_milliseconds"] > 0
    low, high = found["whole_step_ratio_percent_quartiles"]
    assert low <= found["whole_step_ratio_percent"] <= high


def test_saving_is_measured_with_the_largest_state_there_is() -> None:
    """Weights, two moments of each and another set of best weights: less would look cheaper than it is."""
    found = save_benchmark.measure("smoke", 2)
    trainer = guard_benchmark.random_trainer(flags_of("smoke"), torch.device("cpu"))
    weights = sum(tensor.nbytes for tensor in trainer.model.state_dict().values())
    assert found["state_bytes"] > 4 * weights and found["save_seconds"] > 0
    share = found["save_seconds"] / (300 + found["save_seconds"])
    assert abs(found["percent_of_five_minutes"] - 100 * share) < 0.01
