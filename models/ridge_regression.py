"""Ridge regression on engineered features: the linear reference for amounts of rain.

Fitted by scikit-learn (`RidgeCV`) on features standardised with training statistics, on the scale log(1 + mm). Its
errors on the training split, which are taken to be the same for every sample, turn the fitted value into quantiles, and
into a mean in millimetres by the mean over them: the fitted value alone, taken back, would be too low a mean (smearing
estimate of Duan, 1983, Journal of the American Statistical Association 78).
Source: Hoerl and Kennard (1970), Ridge regression; scikit-learn user guide, section 1.1.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.linear_model import RidgeCV

from models._features import FeatureConfig, finite, standardisation
from utils import rain_scale
from utils.amounts import Amounts
from utils.errors import UsageError

PENALTIES = tuple(10.0**power for power in range(-1, 6))
# Enough values to stand for all training errors in the mean, few enough to be kept in a file.
SPREAD = 199
STATE_NAMES = ("mean", "scale", "coefficient", "intercept", "errors")


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """Settings of the ridge regression."""

    ridge_penalty: float | None = field(
        default=None,
        metadata={
            "help": "L2 penalty on standardised features; larger is stronger (default: of 0.1 to 100000 the best by "
            "leave-one-out on the training windows)"
        },
    )

    def __post_init__(self) -> None:
        if self.ridge_penalty is not None and not (math.isfinite(self.ridge_penalty) and self.ridge_penalty > 0):
            raise UsageError(
                "CONFIG",
                f"--ridge_penalty is {self.ridge_penalty}; it has to be above 0",
                where="--ridge_penalty",
                next_command="--ridge_penalty 100, or leave it away",
            )


class AmountModel:
    """A line on the scale log(1 + mm), and the spread of its training errors.

    Args:
        config: object with the fields of `Config` and `n_quantiles`.
    """

    kind: ClassVar[str] = "reference"
    needs: ClassVar[tuple[str, ...]] = ("features",)

    def __init__(self, config: Any) -> None:
        self.levels = rain_scale.levels(int(config.n_quantiles))
        self.penalties = PENALTIES if config.ridge_penalty is None else (float(config.ridge_penalty),)
        self._fitted: dict[str, np.ndarray] = {}

    def fit(self, inputs: Mapping[str, np.ndarray], amount_mm: np.ndarray) -> None:
        """Standardise the features, fit the coefficients and keep the spread of the errors.

        Args:
            inputs: `features` `(N, F)`, finite.
            amount_mm: `(N,)` rain in millimetres.

        Raises:
            DataError: features that are not finite.
        """
        features = finite(inputs["features"])
        mean, scale = standardisation(features)
        target = rain_scale.to_scale(amount_mm)
        ridge = RidgeCV(alphas=list(self.penalties)).fit((features - mean) / scale, target)
        errors = target - ridge.predict((features - mean) / scale)
        self._fitted = {
            "mean": mean,
            "scale": scale,
            "coefficient": ridge.coef_,
            "intercept": np.asarray(ridge.intercept_),
            "errors": np.quantile(errors, rain_scale.levels(SPREAD)),
        }

    def predict_amounts(self, inputs: Mapping[str, np.ndarray]) -> Amounts:
        """Give the amounts for `features` `(N, F)`.

        Raises:
            DataError: features that are not finite.
        """
        fitted = self._fitted
        features = (finite(inputs["features"]) - fitted["mean"]) / fitted["scale"]
        value = (features @ fitted["coefficient"] + fitted["intercept"])[:, None]
        quantiles = value + np.interp(self.levels, rain_scale.levels(SPREAD), fitted["errors"])
        mean = rain_scale.to_millimetres(value + fitted["errors"]).mean(axis=1)
        return Amounts(rain_scale.to_millimetres(quantiles), mean)

    def state(self) -> dict[str, torch.Tensor]:
        """`mean`, `scale`, `coefficient` `(F,)`, `intercept` `()`, and `errors` `(199,)`, quantiles of the errors."""
        return {name: torch.from_numpy(value.copy()) for name, value in self._fitted.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the tensors that `state` returned."""
        self._fitted = {name: state[name].numpy().copy() for name in STATE_NAMES}
