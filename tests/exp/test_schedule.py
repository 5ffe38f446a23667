"""The learning rate, step by step, against the formula."""

from __future__ import annotations

import math

import pytest

from exp.schedule import learning_rate_factor


def rates(steps: int, **changes) -> list[float]:
    flags = {
        "learning_rate": 1e-3,
        "steps_per_epoch": 10,
        "warmup_epochs": 0.0,
        "warmup_start_lr": 0.0,
        "cosine_epochs": None,
        "min_learning_rate": 0.0,
    } | changes
    factor = learning_rate_factor(**flags)
    return [1e-3 * factor(step) for step in range(steps)]


def test_without_flags_the_rate_stays_constant() -> None:
    """The case divided its rate by ten every epoch without being asked: after three epochs nothing moved."""
    assert rates(1000) == [1e-3] * 1000


def test_the_warm_up_is_linear_and_ends_at_the_rate() -> None:
    """A warm-up by whole epochs jumps; this one moves every step."""
    found = rates(31, warmup_epochs=3, warmup_start_lr=1e-7)
    assert found[0] == pytest.approx(1e-7) and found[30] == pytest.approx(1e-3)
    assert found[15] == pytest.approx((1e-7 + 1e-3) / 2)


def test_a_cosine_with_restarts_begins_again_at_the_full_rate() -> None:
    """Each cycle is the same cosine; the warm-up comes once."""
    found = rates(50, warmup_epochs=1, cosine_epochs=99, restart_epochs=2)
    assert found[10] == found[30] == pytest.approx(1e-3) and found[20] == found[40] == pytest.approx(5e-4)
    assert found[29] == pytest.approx(1e-3 * 0.5 * (1 + math.cos(math.pi * 19 / 20)))


def test_the_cosine_ends_at_the_lowest_rate_and_stays_there() -> None:
    """A cosine that rises again after tmax would undo the training."""
    found = rates(80, cosine_epochs=5, min_learning_rate=1e-6)
    assert found[25] == pytest.approx(1e-6 + (1e-3 - 1e-6) * 0.5)
    assert found[50] == pytest.approx(1e-6) and found[79] == pytest.approx(1e-6)
    warm = rates(80, cosine_epochs=5, warmup_epochs=2, min_learning_rate=1e-6)
    assert warm[20] == pytest.approx(1e-3) and warm[50] == pytest.approx(1e-6)
    assert found[10] == pytest.approx(1e-6 + (1e-3 - 1e-6) * 0.5 * (1 + math.cos(math.pi * 0.2)))
