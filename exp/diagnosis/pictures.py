"""Two pictures of a diagnosis: where in time and variables values are missing, and what the steps came to."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from exp.diagnosis.report import Diagnosis, MissingMap
from exp.drawing import BLUE, DOTS_PER_INCH, GREY, INK, ORANGE, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_INCHES = 0.2
FEW_STEPS = 100


def draw(diagnosis: Diagnosis) -> dict[str, bytes]:
    """Return title -> PNG of the pictures there is something to show on."""
    drawn = {}
    if diagnosis.missing is not None:
        drawn["Where values are missing"] = _png(missing_map(diagnosis.missing))
    if diagnosis.steps:
        drawn["Loss and gradient norm, step by step"] = _png(step_history(diagnosis.steps))
    return drawn


def missing_map(missing: MissingMap) -> Figure:
    """Draw variables against time; the darker, the larger the share of missing values."""
    import matplotlib.dates as dates
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import PercentFormatter

    rows = len(missing.variables)
    figure, (axes,) = new_figure(7.2, 1.6 + ROW_INCHES * rows)
    axes.grid(visible=False)
    share = np.ma.masked_equal(missing.share, 0)
    low = max(float(share.min()) if share.count() else 0.01, 1e-4)
    edges = dates.date2num(missing.edges)
    mesh = axes.pcolormesh(
        edges, np.arange(rows + 1), share, cmap="Oranges", norm=LogNorm(vmin=min(low, 0.5) / 3, vmax=1.0)
    )
    axes.set_yticks(np.arange(rows) + 0.5, missing.variables, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=8))
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, format=PercentFormatter(1.0, decimals=None))
    bar.set_label("missing, all regions", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8)
    return figure


def step_history(steps: list[tuple[int, float, float]]) -> Figure:
    """Draw loss and gradient norm of the latest steps; a step that was not finite is a mark at the top."""
    from matplotlib.ticker import MaxNLocator

    numbers = np.array([step for step, _, _ in steps])
    figure, panels = new_figure(7.2, 4.6, 2, sharex=True)
    for axes, at, name, colour in ((panels[0], 1, "loss", BLUE), (panels[1], 2, "gradient norm", BLUE)):
        values = np.array([row[at] for row in steps], float)
        finite = np.isfinite(values)
        marker = "o" if len(steps) < FEW_STEPS else ""
        axes.plot(numbers, np.where(finite, values, np.nan), color=colour, linewidth=1.2, marker=marker, markersize=2.5)
        if (values[finite] > 0).any():
            axes.set_yscale("log")
        axes.set_ylabel(name)
    bad = np.array([not (math.isfinite(loss) and math.isfinite(norm)) for _, loss, norm in steps])
    if bad.any():
        for axes in panels:
            axes.plot(
                numbers[bad], np.full(int(bad.sum()), 0.96), "x", color=ORANGE, markersize=7, markeredgewidth=2,
                transform=axes.get_xaxis_transform(), label="not finite, skipped", clip_on=False,
            )  # fmt: skip
        legend(panels[0])
    panels[1].set_xlabel("step", color=INK)
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in panels:
        axes.tick_params(colors=GREY)
    return figure


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DOTS_PER_INCH)
    return target.getvalue()
