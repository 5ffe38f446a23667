"""Class labels of the references: checked once, and probabilities put back on the full list of classes."""

from __future__ import annotations

import numpy as np

from utils.errors import DataError


def check_labels(label: np.ndarray, n_classes: int, *, at_least: int = 1) -> np.ndarray:
    """Return the labels as 64-bit integers, or say which of them cannot be learned from.

    Args:
        label: `(N,)` class of each sample, 0 to `n_classes - 1`.
        n_classes: number of classes of the task.
        at_least: number of different classes that have to occur.

    Raises:
        DataError: LABEL_RANGE for no labels or labels outside the classes, ONE_CLASS for too few different ones.
    """
    label = np.asarray(label)
    if label.size == 0:
        raise DataError(
            "LABEL_RANGE",
            "the training split holds no samples",
            where="training labels",
            next_command="widen the training period or shorten --seq_len",
        )
    outside = ~np.isin(label, np.arange(n_classes))
    if outside.any():
        raise DataError(
            "LABEL_RANGE",
            f"{int(outside.sum())} of {label.size} training labels are none of the {n_classes} classes",
            where=f"first at sample {int(np.argmax(outside))}",
            evidence=f"values {np.unique(label[outside])[:5].tolist()}, expected 0 to {n_classes - 1}",
            next_command="leave out samples whose label period is not complete, or prepare the data with the same "
            "number of --threshold_mm as the model has classes",
        )
    classes, counts = np.unique(label, return_counts=True)
    if classes.size < at_least:
        raise DataError(
            "ONE_CLASS",
            f"all {label.size} training labels are class {int(classes[0])}; nothing can be told apart",
            where="training labels",
            evidence=f"counts per class {dict(zip(classes.tolist(), counts.tolist(), strict=True))}",
            next_command="check the unit of --threshold_mm (millimetres) and the training period",
        )
    return label.astype(np.int64)


def spread_over_classes(probability: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Give classes that never occurred in training the probability zero.

    Args:
        probability: `(N, K)` probabilities of the classes that occurred.
        classes: `(K,)` their numbers.
        n_classes: number of classes of the task.

    Returns:
        `(N, n_classes)` probabilities in 64-bit floats.
    """
    full = np.zeros((len(probability), n_classes))
    full[:, classes] = probability
    return full


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn `(N, K)` logits into probabilities; the largest is subtracted first, so that none overflows."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
