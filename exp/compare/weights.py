"""Weights of an ensemble: not negative, together one, with the smallest Brier score there is on the cases given."""

from __future__ import annotations

import numpy as np


def of_smallest_brier(probability: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the weights whose weighted mean of the members has the smallest Brier score.

    Since the weights sum to one, the error of the mean is the mean of the members' errors E, and the score is |E w|^2
    over N. Non-negative least squares with one more row that asks for a sum of one finds it exactly: scaled to that
    sum, its answer is the best one, whatever the weight of that row, because both sides grow alike with the length
    of w.

    Source: Breiman (1996), Stacked regressions, Machine Learning 24 (non-negative weights fitted on held-out cases).

    Args:
        probability: `(N, K)` of K members.
        observed: `(N,)` 0 or 1.

    Returns:
        `(K,)` weights.
    """
    from scipy.optimize import nnls

    errors = np.asarray(probability, dtype=np.float64) - np.asarray(observed, dtype=np.float64)[:, None]
    # The triangle of a QR decomposition has the same lengths |E w| with K rows.
    triangle = np.linalg.qr(errors / np.sqrt(len(errors)), mode="r")
    n_members = errors.shape[1]
    found, _ = nnls(np.vstack([triangle, np.ones(n_members)]), np.append(np.zeros(len(triangle)), 1.0))
    return found / found.sum()


def mixed(probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean `(N,)` of `(N, K)` probabilities; rounding may pass 1 by a hair."""
    return np.clip(np.asarray(probability, dtype=np.float64) @ weights, 0.0, 1.0)
