"""Weights of an ensemble are the best there are on what they are fitted on, and mean what weights mean."""

from __future__ import annotations

import numpy as np
import pytest

from exp.compare import weights


def brier(probability: np.ndarray, observed: np.ndarray, own: np.ndarray) -> float:
    return float(np.mean((probability @ own - observed) ** 2))


def members(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Three forecasts of the same rain: a good one, a noisy one and one that knows nothing."""
    generator = np.random.default_rng(seed)
    truth = generator.beta(0.6, 0.9, n)
    observed = (generator.random(n) < truth).astype(int)
    noisy = np.clip(truth + generator.normal(0, 0.25, (2, n)), 0, 1)
    return np.stack([*noisy, generator.random(n)], axis=1), observed


@pytest.mark.parametrize("seed", range(5))
def test_no_other_weights_have_a_smaller_score(seed: int) -> None:
    """A solver that stops early, or a sum that is forced afterwards, would give weights that are beaten by others."""
    probability, observed = members(seed)
    found = weights.of_smallest_brier(probability, observed)
    assert (found >= 0).all() and found.sum() == pytest.approx(1)
    best = brier(probability, observed, found)
    others = np.random.default_rng(seed).dirichlet(np.full(3, 0.5), 2000)
    near = found + np.random.default_rng(seed).normal(0, 0.01, (2000, 3))
    near = np.clip(near, 0, None) / np.clip(near, 0, None).sum(1, keepdims=True)
    assert all(brier(probability, observed, other) >= best - 1e-12 for other in [*others, *near, *np.eye(3)])


def test_two_members_get_the_weights_that_are_found_by_hand() -> None:
    """Of p = 1 and p = 0 on two rainy and one dry case the best mean is the base rate: two thirds and one third."""
    probability = np.tile([1.0, 0.0], (3, 1))
    assert weights.of_smallest_brier(probability, np.array([1, 1, 0])) == pytest.approx([2 / 3, 1 / 3])


def test_a_perfect_member_gets_everything() -> None:
    """Its errors are all zero, so any scale of its weight fits as well; only the sum of one decides."""
    observed = np.array([0, 1, 1, 0])
    probability = np.stack([np.full(4, 0.5), observed], axis=1)
    assert weights.of_smallest_brier(probability, observed) == pytest.approx([0, 1])


def test_members_that_say_the_same_share_their_weight() -> None:
    """Equal columns make the normal equations singular, and a solver may answer with NaN."""
    probability, observed = members(0)
    twice = probability[:, [0, 0]]
    found = weights.of_smallest_brier(twice, observed)
    assert np.isfinite(found).all() and found.sum() == pytest.approx(1)
    assert np.allclose(weights.mixed(twice, found), probability[:, 0])
