"""Figures of a regression: training curves, amounts forecast against amounts observed, and reliability of quantiles.

Every title states N, the share of dry cases and the mean amount.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp.drawing import BLUE, GREY, INK, ORANGE, legend, new_figure, save
from exp.figures import training_curves
from utils import rain_scale
from utils.amounts import AmountForecasts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)
TICKS_MM = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
MOST_POINTS = 5000


def write_all(
    run_directory: Path, history: Sequence[Mapping[str, Any]], forecasts: AmountForecasts, label: str = ""
) -> list[Path]:
    """Draw all figures of a run into `<run_directory>/figures`.

    Args:
        run_directory: folder of the run.
        history: one row per epoch as in metrics.jsonl; empty for references.
        forecasts: of the test split.
        label: what every figure has to say about its data, such as "synthetic data".

    Returns:
        The files written, in the order a reader wants them.
    """
    folder = run_directory / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = [training_curves(history, folder / "training_curves.png", label=label)] if history else []
    if not len(forecasts.observed):
        logger.warning("no forecasts to draw")
        return written
    return [
        *written,
        forecast_against_observed(forecasts, folder / "forecast_against_observed.png", label=label),
        quantile_reliability(forecasts, folder / "quantile_reliability.png", label=label),
    ]


def forecast_against_observed(forecasts: AmountForecasts, path: Path, *, label: str = "") -> Path:
    """Draw the median over the observed amount, on the scale of learning, with the range of the quantiles.

    Args:
        forecasts: of one split; of very many cases a part is drawn.
        path: PNG to write.
        label: what the figure has to say about its data.
    """
    every = -(-len(forecasts.observed) // MOST_POINTS)
    observed, median = forecasts.observed[::every], forecasts.forecast.median[::every]
    low, high = forecasts.forecast.quantiles[::every, 0], forecasts.forecast.quantiles[::every, -1]
    figure, (axes,) = new_figure(6.2, 6.6)
    axes.vlines(observed, low, high, color=BLUE, alpha=0.08, linewidth=1)
    axes.plot(observed, median, "o", color=BLUE, alpha=0.45, markersize=3, markeredgewidth=0, label="median")
    most = float(max(observed.max(), median.max(), 1.0))
    axes.plot([0, most], [0, most], color=INK, linewidth=1.2, label="perfect")
    _in_millimetres(axes, most)
    axes.set_xlabel("observed, mm")
    axes.set_ylabel("forecast, mm (lines: lowest to highest quantile)")
    legend(axes, loc="upper left")
    return save(figure, axes, path, "Forecast against observed", _facts(forecasts), label)


def quantile_reliability(forecasts: AmountForecasts, path: Path, *, label: str = "") -> Path:
    """Draw how often the observed amount was below each quantile, beside how often it should be.

    Where a quantile is no rain, it can be equalled but not undercut: the share below it and the share at or below it
    differ, and a reliable forecast has its level between the two.

    Args:
        forecasts: of one split.
        path: PNG to write.
        label: what the figure has to say about its data.
    """
    said, observed = forecasts.forecast.quantiles, forecasts.observed[:, None]
    level = rain_scale.levels(said.shape[1])
    below, at_or_below = (observed < said).mean(axis=0), (observed <= said).mean(axis=0)
    figure, (axes,) = new_figure(5.6, 6.0)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1.2, label="reliable")
    axes.fill_between(
        level, below, at_or_below, color=BLUE, alpha=0.2, linewidth=0, label="amounts equal to a quantile"
    )
    axes.plot(level, below, color=BLUE, marker="o", markersize=5, linewidth=1.6, label="below the quantile")
    axes.plot(level, at_or_below, color=ORANGE, marker="s", markersize=4, linewidth=1.6, label="at or below it")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("level of the quantile")
    axes.set_ylabel("share of cases")
    legend(axes, loc="lower right")
    return save(figure, axes, path, "Reliability of the quantiles", _facts(forecasts), label)


def _in_millimetres(axes: Axes, most: float) -> None:
    """Give both axes the scale of learning, with ticks in millimetres."""
    ticks = [tick for tick in TICKS_MM if tick <= most]
    there_and_back = (rain_scale.to_scale, rain_scale.to_millimetres)
    axes.set_xscale("function", functions=there_and_back)
    axes.set_yscale("function", functions=there_and_back)
    axes.set(xlim=(0, 1.1 * most), ylim=(0, 1.1 * most), xticks=ticks, yticks=ticks)
    axes.tick_params(colors=GREY)


def _facts(forecasts: AmountForecasts) -> str:
    observed = forecasts.observed
    dry = float((observed == 0).mean())
    return f"N = {len(observed):,}, {100 * dry:.0f} % without any rain, mean {observed.mean():.2f} mm"
