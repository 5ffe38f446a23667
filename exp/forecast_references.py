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
ALPHAS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
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
        alphas: (sequence, channel) -> the penalty that did best on validation.
    """

    weights: dict[tuple[int, int], torch.Tensor]
    offsets: dict[tuple[int, int], torch.Tensor]
    alphas: dict[tuple[int, int], float]

    def __call__(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """Return the forecast `(B, A, C)` of windows of one sequence."""
        channels = [
            x[:, :, channel] @ self.weights[number, channel].to(x.device) + self.offsets[number, channel].to(x.device)
            for channel in range(x.shape[2])
        ]
        return torch.stack(channels, dim=2)


def fit_ridge(train: SeriesWindows, validation: SeriesWindows, alphas: tuple[float, ...] = ALPHAS) -> Ridge:
    """Fit on training windows; the penalty is the one with the smallest MSE on validation windows.

    A sequence without validation windows takes the middle penalty.
    """
    fitted = Ridge({}, {}, {})
    for number in range(len(train.sequences)):
        x, y = _pairs(train, number)
        later_x, later_y = _pairs(validation, number)
        for channel in range(x.shape[2]):
            signals.check()
            pairs = x[:, :, channel], y[:, :, channel], later_x[:, :, channel], later_y[:, :, channel]
            alpha, weights, offset = _best(*pairs, alphas)
            fitted.weights[number, channel] = torch.from_numpy(weights.astype(np.float32))
            fitted.offsets[number, channel] = torch.from_numpy(offset.astype(np.float32))
            fitted.alphas[number, channel] = alpha
    return fitted


def _best(
    x: np.ndarray, y: np.ndarray, later_x: np.ndarray, later_y: np.ndarray, alphas: tuple[float, ...]
) -> tuple[float, np.ndarray, np.ndarray]:
    from sklearn.linear_model import Ridge as Regression

    if not len(later_x):
        alphas = (sorted(alphas)[len(alphas) // 2],)
    found = []
    for alpha in alphas:
        model = Regression(alpha=alpha).fit(x, y)
        error = float(np.square(model.predict(later_x) - later_y).mean()) if len(later_x) else 0.0
        found.append((error, alpha, model.coef_.T, model.intercept_))
    _, alpha, weights, offset = min(found, key=lambda entry: entry[0])
    return alpha, weights, offset


def _pairs(windows: SeriesWindows, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return look-back `(K, L, C)` and rows ahead `(K, A, C)` in float64, of MOST_WINDOWS windows at most."""
    ids = windows.of_sequence(number)
    if len(ids) > MOST_WINDOWS:
        logger.info("  ridge: %d of %d windows of %s", MOST_WINDOWS, len(ids), windows.sequences[number].name)
        ids = ids[torch.linspace(0, len(ids) - 1, MOST_WINDOWS, device=ids.device).long()]
    return windows.inputs(ids).cpu().double().numpy(), windows.ahead(ids).cpu().double().numpy()
