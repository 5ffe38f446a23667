"""Logistic regression on engineered features: the linear reference.

Fitted by scikit-learn (`LogisticRegression`, L-BFGS) on features standardised with training statistics;
predictions come from the stored tensors alone, so a reloaded model gives the same bits.
Source: Cox (1958), The regression analysis of binary sequences; scikit-learn user guide, section 1.1.11.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from models._features import FeatureConfig, finite, standardisation
from utils.class_labels import check_labels, softmax, spread_over_classes
from utils.errors import UsageError

logger = logging.getLogger(__name__)

STATE_NAMES = ("classes", "mean", "scale", "coefficient", "intercept")


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """Settings of the logistic regression."""

    logistic_c: float = field(default=1.0, metadata={"help": "inverse strength of the L2 penalty; smaller is stronger"})
    logistic_iterations: int = field(default=5000, metadata={"help": "most L-BFGS iterations"})

    def __post_init__(self) -> None:
        if not (math.isfinite(self.logistic_c) and self.logistic_c > 0):
            raise UsageError(
                "CONFIG", f"--logistic_c is {self.logistic_c}; it has to be above 0", next_command="--logistic_c 1.0"
            )
        if self.logistic_iterations < 1:
            raise UsageError(
                "CONFIG",
                f"--logistic_iterations is {self.logistic_iterations}; it has to be at least 1",
                next_command="--logistic_iterations 5000",
            )


class Model:
    """Multinomial logistic regression; two classes are the usual logit.

    Args:
        config: object with the fields of `Config` and `n_classes`.
    """

    kind: ClassVar[str] = "reference"
    needs: ClassVar[tuple[str, ...]] = ("features",)

    def __init__(self, config: Any) -> None:
        self.n_classes = int(config.n_classes)
        self.penalty_c = float(config.logistic_c)
        self.iterations = int(config.logistic_iterations)
        self._fitted: dict[str, np.ndarray] = {}

    def fit(self, inputs: Mapping[str, np.ndarray], label: np.ndarray) -> None:
        """Standardise the features and fit the coefficients.

        Args:
            inputs: `features` `(N, F)`, finite.
            label: `(N,)` class of each sample; at least two classes have to occur.

        Raises:
            DataError: features that are not finite, labels out of range, one class only.
        """
        label = check_labels(label, self.n_classes, at_least=2)
        features = finite(inputs["features"])
        mean, scale = standardisation(features)
        regression = LogisticRegression(C=self.penalty_c, max_iter=self.iterations)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            regression.fit((features - mean) / scale, label)
        if caught or int(regression.n_iter_.max()) >= self.iterations:
            logger.warning(
                "logistic regression stopped after %d iterations before it converged; raise --logistic_iterations "
                "or lower --logistic_c",
                int(regression.n_iter_.max()),
            )
        coefficient, intercept = regression.coef_, regression.intercept_
        if len(regression.classes_) == 2:  # one row speaks for both classes: the other has logit 0
            coefficient = np.vstack([np.zeros_like(coefficient), coefficient])
            intercept = np.concatenate([[0.0], intercept])
        self._fitted = {
            "classes": regression.classes_.astype(np.int64),
            "mean": mean,
            "scale": scale,
            "coefficient": coefficient,
            "intercept": intercept,
        }

    def predict_probability(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Give `(N, n_classes)` probabilities for `features` `(N, F)`.

        Raises:
            DataError: features that are not finite.
        """
        fitted = self._fitted
        features = (finite(inputs["features"]) - fitted["mean"]) / fitted["scale"]
        logits = features @ fitted["coefficient"].T + fitted["intercept"]
        return spread_over_classes(softmax(logits), fitted["classes"], self.n_classes)

    def state(self) -> dict[str, torch.Tensor]:
        """`classes` `(K,)`, `mean` and `scale` `(F,)`, `coefficient` `(K, F)`, `intercept` `(K,)`."""
        return {name: torch.from_numpy(value.copy()) for name, value in self._fitted.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the tensors that `state` returned."""
        self._fitted = {name: state[name].numpy().copy() for name in STATE_NAMES}
