"""What a forecast of series has to beat: the newest value, the season before, a ridge regression per channel.

All see the windows the network sees. L look-back rows, A rows ahead, C channels, K windows.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from data_provider.series_windows import SeriesWindows
from exp.forecast_scoring import Forecast
from utils import signals

logger = logging.getLogger(__name__)
ALPHAS = (10.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
# Beyond this a regression of 672 inputs gains nothing worth its time.
MOST_WINDOWS = 20_000


def persistence(ahead: int) -> Forecast:
    """Return the forecast that repeats the newest value `ahead` times."""
    return lambda x, _: x[:, -1:].expand(-1, ahead, -1)


def seasonal_naive(ahead: int, season_rows: list[int]) -> Forecast:
    """Return the forecast that repeats the newest season.

    Args:
        ahead: A.
        season_rows: length of the season of each sequence in rows; one beyond the look-back is cut to it.
    """

    def forecast(x: torch.Tensor, number: int) -> torch.Tensor:
        season = min(season_rows[number], x.shape[1])
        rows = x.shape[1] - season + torch.arange(ahead, device=x.device) % season
        return x[:, rows]

    return forecast


@dataclass(frozen=True)
class Ridge:
    """Ridge regressions, one for each channel of each sequence.

    Attributes:
        weights: (sequence, channel) -> `(L, A)` float32.
        offsets: (sequence, channel) -> `(A,)` float32.
        alpha: the penalty of all of them, which did best on validation.
    """

    weights: dict[tuple[int, int], torch.Tensor]
    offsets: dict[tuple[int, int], torch.Tensor]
    alpha: float

    def __call__(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """Return the forecast `(B, A, C)` of windows of one sequence."""
        level = x.mean(dim=1, keepdim=True)
        parts = []
        for channel in range(x.shape[2]):
            weights, offset = (held[number, channel].to(x.device) for held in (self.weights, self.offsets))
            parts.append((x - level)[:, :, channel] @ weights + offset)
        return torch.stack(parts, dim=2) + level


def fit_ridge(train: SeriesWindows, validation: SeriesWindows, alphas: tuple[float, ...] = ALPHAS) -> Ridge:
    """Fit on training windows, take the penalty with the smallest MSE on validation windows, and fit it on both.

    One penalty serves all channels, since a validation split is short. That, fitting on validation windows too, and
    taking each window's mean away make the reference stronger.
    """
    errors = np.zeros(len(alphas))
    for number in range(len(train.sequences)):
        own, new = _pairs(train, number), _pairs(validation, number)
        if len(new[0]):
            errors += [_error(own, new, alpha) for alpha in alphas]
    fitted = Ridge({}, {}, alphas[int(np.argmin(errors))])
    for number in range(len(train.sequences)):
        own, new = _pairs(train, number), _pairs(validation, number)
        x, y = np.concatenate([own[0], new[0]]), np.concatenate([own[1], new[1]])
        for channel in range(x.shape[2]):
            weights, offset = _solved(x[:, :, channel], y[:, :, channel], fitted.alpha)
            fitted.weights[number, channel] = torch.from_numpy(weights.astype(np.float32))
            fitted.offsets[number, channel] = torch.from_numpy(offset.astype(np.float32))
    return fitted


def _error(own: tuple[np.ndarray, np.ndarray], new: tuple[np.ndarray, np.ndarray], alpha: float) -> float:
    """Return the MSE on `new` of regressions fitted on `own`, summed over the channels."""
    total = 0.0
    for channel in range(own[0].shape[2]):
        signals.check()
        weights, offset = _solved(own[0][:, :, channel], own[1][:, :, channel], alpha)
        total += float(np.square(new[0][:, :, channel] @ weights + offset - new[1][:, :, channel]).mean())
    return total


def _solved(x: np.ndarray, y: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weights `(L, A)` and offset `(A,)`."""
    from sklearn.linear_model import Ridge as Regression

    model = Regression(alpha=alpha).fit(x, y)
    return model.coef_.T, model.intercept_


def _pairs(windows: SeriesWindows, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return look-back `(K, L, C)` and rows ahead `(K, A, C)` without the mean of the look-back, in float64."""
    ids = windows.of_sequence(number)
    if len(ids) > MOST_WINDOWS:
        logger.info("  ridge: %d of %d windows of %s", MOST_WINDOWS, len(ids), windows.sequences[number].name)
        ids = ids[torch.linspace(0, len(ids) - 1, MOST_WINDOWS, device=ids.device).long()]
    x, y = windows.inputs(ids).cpu().double().numpy(), windows.ahead(ids).cpu().double().numpy()
    level = x.mean(axis=1, keepdims=True)
    return x - level, y - level
