"""How every picture looks: colours, canvas, title, legend; no picture of its own.

Drawn through matplotlib's object interface (no pyplot, no global state) and written under a temporary name first.
Colours are those of Okabe and Ito, told apart by colour-blind readers too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, INK, GREY = "#0072B2", "#D55E00", "#009E73", "#222222", "#6b6b6b"
PALE = "#d9d9d9"
DOTS_PER_INCH = 150


def new_figure(width: float, height: float, rows: int = 1, **given: Any) -> tuple[Figure, list[Axes]]:
    """An empty figure in inches, its panels dressed alike, one below the other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1), facecolor="white")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, 1, squeeze=False, **given)[:, 0])
    for axes in panels:
        axes.grid(color=PALE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        axes.tick_params(colors=INK, labelsize=9)
    return figure, panels


def save(figure: Figure, top: Axes, path: Path, title: str, facts: str, label: str) -> Path:
    """Put title, facts and label above the top panel and into the PNG's own text, and write it in one move."""
    lines = [line for part in (facts, label) if part for line in part.split("\n")]
    top.set_title(title, loc="left", fontsize=14, fontweight="bold", color=INK, pad=10 + 13 * len(lines))
    top.annotate(
        "\n".join(lines), (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points",
        fontsize=9.5, color=GREY, va="bottom",
    )  # fmt: skip
    about = {"Title": title, "Description": "; ".join(lines)}
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH, metadata=about))
    return path


def legend(axes: Axes, **given: Any) -> None:
    """Show the names of the curves where there are any."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=9, frameon=True, framealpha=0.85, edgecolor="none", **given)
