"""Calibration: forecast probabilities corrected by how often it rained on the validation split, and by nothing else.

Temperature: `softmax(log p / T)`, one T for all classes. Above 1 it draws probabilities together (the model was too
sure), below 1 apart; the order of two-class probabilities, and so ROC AUC, stays. A probability of exactly 0 stays 0
and so 1 stays 1, whatever T is: no temperature moves certainty.
Isotonic: the rising step curve nearest to what was observed, one for each threshold; it mends any rising fault, may end
in exactly 0 and 1, and ties cases together.

Sources: Guo et al. (2017), On calibration of modern neural networks, arXiv:1706.04599; Zadrozny and Elkan (2002),
Transforming classifier scores into accurate multiclass probability estimates.
N cases, K classes, K - 1 thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from utils.class_labels import softmax
from utils.forecasts import check_values, exceedances

Method = Literal["temperature", "isotonic", "none"]
METHODS: tuple[Method, ...] = get_args(Method)
TEMPERATURES = (0.05, 20.0)
# Fewest validation cases. With 100 independent ones the T of a perfectly calibrated forecast still comes out between
# 0.67 and 1.4 (19 of 20 times, measured); a step curve follows single cases long after that.
FEWEST_CASES = {"temperature": 100, "isotonic": 200}
# A gain in log loss below this is rounding.
NO_GAIN = 1e-12
# Calibrated probabilities of reaching a threshold are multiples of this, so that their differences (the classes) and
# the sums of these again are exact: equal cases stay equal, and no cut can fall between them.
GRID = 2.0**-40
Curve = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What is done to the class probabilities of a model before they are used.

    Attributes:
        method: `none` leaves them as they are, bit for bit.
        temperature: T, above 0; None for other methods.
        curves: for each threshold the knots of the isotonic curve, `(probabilities, calibrated ones)`, both rising.
        reason: why there is no calibration although it was asked for; empty otherwise.
        validation: figures of the fit: `n`, `log_loss` and `brier_score` (one value per threshold) before and after,
            `impossible` (cases in which what happened had probability 0) and `reordered`, see `fit`.

    Raises:
        ValueError: parameters that are not those of the method.
    """

    method: Method = "none"
    temperature: float | None = None
    curves: tuple[Curve, ...] = ()
    reason: str = ""
    validation: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"no calibration is called {self.method!r}; there are {', '.join(METHODS)}")
        if self.method == "temperature" and not _is_temperature(self.temperature):
            raise ValueError(f"a temperature lies in {TEMPERATURES[0]} to {TEMPERATURES[1]}, got {self.temperature!r}")
        if self.method == "isotonic" and not (self.curves and all(map(_is_rising, self.curves))):
            raise ValueError("an isotonic calibration has a rising curve of probabilities for each threshold")

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """Calibrate class probabilities; one that is not a number stays so.

        Args:
            probability: `(N, K)`, each row with the sum 1.

        Returns:
            `(N, K)`, each row with the sum 1.

        Raises:
            ValueError: another number of thresholds than that of the curves.
        """
        if self.method == "temperature":
            assert self.temperature is not None, "checked when it was made"
            return softmax(_log(np.asarray(probability, dtype=np.float64)) / self.temperature)
        if self.method == "isotonic":
            return classes_of(in_order(self._curved(probability)))
        return probability

    def reordered(self, probability: np.ndarray) -> int:
        """Count the cases in which the isotonic curve of a higher threshold had to be brought down to a lower one."""
        if self.method != "isotonic":
            return 0
        curved = self._curved(probability)
        return int((curved > in_order(curved)).any(axis=1).sum())

    def _curved(self, probability: np.ndarray) -> np.ndarray:
        reached = exceedances(probability)
        if reached.shape[1] != len(self.curves):
            raise ValueError(f"{len(self.curves)} isotonic curves do not fit {reached.shape[1]} thresholds")
        curved = np.stack([np.interp(p, *curve) for p, curve in zip(reached.T, self.curves, strict=True)], axis=1)
        return np.round(curved / GRID) * GRID


def fit(method: Method, probability: np.ndarray, label: np.ndarray) -> Calibration:
    """Fit a calibration on the validation split, and on that alone.

    Cases in which what happened had probability exactly 0 have an infinite log loss at every temperature: they are
    left out of the search and counted as `impossible`, and the log loss that is reported stays infinite.
    Isotonic curves are fitted one by one; where a case comes out likelier to reach a higher threshold than a lower
    one, the higher is brought down to the lower, and the cases are counted as `reordered`.

    Args:
        method: of the calibration.
        probability: `(N, K)` class probabilities of the validation split.
        label: `(N,)` class that was observed, 0 to K - 1.

    Returns:
        The calibration; `none` with its reason where the cases are too few or say nothing.

    Raises:
        DataError: ``METRIC_UNDEFINED``, a probability that is none.
        ValueError: a label that is no class.
    """
    probability, label = np.asarray(probability, dtype=np.float64), np.asarray(label)
    check_values("probability", probability)
    if not np.isin(label, np.arange(probability.shape[1])).all():
        raise ValueError(f"labels are 0 to {probability.shape[1] - 1}, got {np.unique(label)}")
    if method == "none":
        return Calibration()
    reason = _why_not(method, label, probability.shape[1])
    if reason:
        return Calibration(reason=reason)
    if method == "isotonic":
        found = Calibration(method=method, curves=_curves(probability, label))
    else:
        possible = _of_what_happened(probability, label) > 0
        if not possible.any():
            return Calibration(reason=f"what happened had probability 0 in all {label.size} validation cases")
        found = Calibration(method=method, temperature=_best_temperature(probability[possible], label[possible]))
    return Calibration(
        method=method,
        temperature=found.temperature,
        curves=found.curves,
        validation=_figures(probability, found, label),
    )


def log_loss(probability: np.ndarray, label: np.ndarray) -> float:
    """Mean of `-log p` of the class that was observed, in nats; infinite where that had probability 0.

    Args:
        probability: `(N, K)`.
        label: `(N,)`.
    """
    return float(-_log(_of_what_happened(probability, label)).mean())


def in_order(reached: np.ndarray) -> np.ndarray:
    """Bring every probability of reaching a threshold `(N, K - 1)` down to those of the thresholds below."""
    return np.minimum.accumulate(reached, axis=1)


def classes_of(reached: np.ndarray) -> np.ndarray:
    """Turn probabilities of reaching each threshold `(N, K - 1)`, in order, into those of the classes `(N, K)`."""
    return -np.diff(reached, axis=1, prepend=1.0, append=0.0)


def _why_not(method: Method, label: np.ndarray, n_classes: int) -> str:
    """Return why a method cannot be fitted on these labels; empty where it can."""
    if label.size < FEWEST_CASES[method]:
        return f"{label.size} validation cases are too few for {method}, which needs {FEWEST_CASES[method]}"
    if np.unique(label).size < 2:
        return f"only one class in {label.size} validation cases"
    if method == "isotonic":
        for level in range(1, n_classes):
            share = float((label >= level).mean())
            if share in (0.0, 1.0):
                how = "never" if share == 0 else "always"
                return f"threshold {level} of {n_classes - 1} was {how} reached in {label.size} validation cases"
    return ""


def _best_temperature(probability: np.ndarray, label: np.ndarray) -> float:
    """Return the T of least log loss, which has one valley in log T; 1 where no other is better."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logs, cases = _log(probability), np.arange(label.size)

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logs / np.exp(log_temperature), axis=1)[cases, label].mean())

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    if loss(0.0) - found.fun < NO_GAIN:
        return 1.0
    return float(np.clip(np.exp(found.x), *TEMPERATURES))


def _curves(probability: np.ndarray, label: np.ndarray) -> tuple[Curve, ...]:
    from sklearn.isotonic import IsotonicRegression

    curves = []
    for level, reached in enumerate(exceedances(probability).T, start=1):
        fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(reached, label >= level)
        curves.append((tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist())))
    return tuple(curves)


def _figures(before: np.ndarray, found: Calibration, label: np.ndarray) -> dict[str, Any]:
    after = found.apply(before)
    observed = label[:, None] >= np.arange(1, before.shape[1])
    return {
        "n": int(label.size),
        "log_loss": {"before": log_loss(before, label), "after": log_loss(after, label)},
        "brier_score": {
            name: ((exceedances(values) - observed) ** 2).mean(axis=0).tolist()
            for name, values in (("before", before), ("after", after))
        },
        "impossible": int((_of_what_happened(before, label) == 0).sum()),
        "reordered": found.reordered(before),
    }


def _of_what_happened(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    return probability[np.arange(label.size), label]


def _log(probability: np.ndarray) -> np.ndarray:
    """Natural logarithm; that of 0 is minus infinity, without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(probability)


def _is_temperature(value: Any) -> bool:
    return isinstance(value, int | float) and TEMPERATURES[0] <= value <= TEMPERATURES[1]


def _is_rising(curve: Curve) -> bool:
    """True for knots as `numpy.interp` wants them, whose values are probabilities."""
    x, y = (np.asarray(part, dtype=np.float64) for part in curve)
    if not (x.ndim == 1 and x.shape == y.shape and x.size):
        return False
    inside = all(((part >= 0) & (part <= 1)).all() for part in (x, y))
    return bool(inside and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all())
