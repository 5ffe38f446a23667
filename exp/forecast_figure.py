"""A few forecasts of a test split, drawn over what came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from data_provider.series_windows import SeriesWindows
from exp import drawing
from exp.forecast_scoring import Forecast

PANELS = 4
LOOK_BACK_SHOWN = 2
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}


@torch.no_grad()
def write(
    path: Path, forecast: Forecast, references: dict[str, Forecast], windows: SeriesWindows, facts: str, label: str
) -> Path:
    """Draw up to four windows, spread over sequences and time, with the forecast and the first reference.

    Args:
        path: the PNG.
        forecast: of the network.
        references: name -> forecast.
        windows: of the test.
        facts: scores in one line.
        label: what every figure says about itself.
    """
    chosen = np.unique(np.linspace(0, len(windows) - 1, PANELS + 2).astype(int)[1:-1])
    figure, panels = drawing.new_figure(9.0, 2.2 * len(chosen) + 1.0, rows=len(chosen))
    ahead = windows.lengths.ahead
    shown = min(LOOK_BACK_SHOWN * ahead, windows.lengths.context)
    for axes, window in zip(panels, chosen, strict=True):
        ids = torch.tensor([int(window)], device=windows.device)
        number = int(windows.index.sequence[window])
        before, came = windows.inputs(ids)[0, -shown:, 0].cpu(), windows.ahead(ids)[0, :, 0].cpu()
        axes.plot(np.arange(-shown, 0), before, color=drawing.GREY, linewidth=1.0, label="look-back")
        axes.plot(np.arange(ahead), came, color=drawing.INK, linewidth=1.2, label="came")
        own = forecast(windows.inputs(ids), number)[0, :, 0].cpu()
        axes.plot(np.arange(ahead), own, color=drawing.ORANGE, linewidth=1.4, label="forecast")
        for name, reference in list(references.items())[:1]:
            other = reference(windows.inputs(ids), number)[0, :, 0].cpu()
            axes.plot(np.arange(ahead), other, color=drawing.BLUE, linewidth=1.0, label=name.replace("_", " "))
        time, name = windows.place(int(window), windows.lengths.context)
        sequence = windows.sequences[number]
        named = name if name.endswith(f"/{sequence.channels[0]}") else f"{name}/{sequence.channels[0]}"
        axes.set_ylabel("deviations", fontsize=9)
        told = f"{drawable(named)}, from {time}"
        axes.annotate(told, (0.01, 0.97), xycoords="axes fraction", va="top", fontsize=8.5, bbox=PAPER)
    panels[-1].set_xlabel("rows from the beginning of the forecast", fontsize=9)
    drawing.legend(panels[0], loc="lower left", ncols=4)
    return drawing.save(figure, panels[0], path, "Forecasts of the test split", facts, label)


def drawable(name: str) -> str:
    """Return a name out of a foreign file as plain text: a dollar sign would begin a formula."""
    return "".join(letter if letter.isascii() and letter not in "$\\" else "?" for letter in name)
