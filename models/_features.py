"""What the references on engineered features share: which they read, and features that are whole and standardised.

Axes: N samples, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from utils.errors import DataError


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """What a reference on engineered features reads."""

    history_features: bool = field(
        default=False,
        metadata={
            "help": "fit on the features of the past month that Timer-XL may read (layers/history_features.py), in "
            "place of lags and rolling values"
        },
    )


def standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation `(F,)` of `(N, F)`.

    A feature that never changes carries nothing, and its rounding noise must not be blown up to unit variance: it is
    divided by one.
    """
    mean, scale = features.mean(0), features.std(0)
    scale[scale <= 1e-12 * np.maximum(np.abs(mean), 1e-300)] = 1.0
    return mean, scale


def finite(features: np.ndarray) -> np.ndarray:
    """Return `(N, F)` features as 64-bit floats.

    Raises:
        DataError: ``DATA_NAN``, some are missing, with how many and where.
    """
    features = np.ascontiguousarray(features, dtype=np.float64)
    bad = ~np.isfinite(features)
    if bad.any():
        columns = np.flatnonzero(bad.any(0))
        raise DataError(
            "DATA_NAN",
            f"{int(bad.sum())} of {features.size} feature values are not finite; a linear model needs all of them",
            where=f"{columns.size} of {features.shape[1]} feature columns, first column {int(columns[0])}, "
            f"first sample {int(np.argmax(bad.any(1)))}",
            next_command="fill the gaps (--fill forward_then_zero) or use --model gradient_boosting, which takes them",
        )
    return features
