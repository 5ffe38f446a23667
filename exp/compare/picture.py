"""The skill of all models with its intervals, one below the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp.compare.shape import AMOUNT, EVENT, Shape
from exp.drawing import BLUE, GREEN, GREY, INK, ORANGE, new_figure, save
from exp.scoring import ERA5_ATTRIBUTION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"model": BLUE, "reference": ORANGE, "ensemble": GREEN}
ROW_INCHES, MARGIN_INCHES = 0.34, 0.9


def draw_event(path: Path, content: Mapping[str, Any], event: Mapping[str, Any]) -> Path:
    """Draw Brier skill and ROC AUC of one event of a comparison; see `draw`."""
    facts = f"base rate {event['base_rate']:.3f}, rain ≥ {event['threshold_mm']:g} mm"
    return draw(path, content, event, EVENT, facts)


def draw_amounts(path: Path, content: Mapping[str, Any], amounts: Mapping[str, Any]) -> Path:
    """Draw the CRPS skill of the amounts of a comparison; see `draw`."""
    return draw(path, content, amounts, AMOUNT, f"mean rain {amounts['mean_observed']:.2f} mm")


def draw(path: Path, content: Mapping[str, Any], part: Mapping[str, Any], shape: Shape, facts: str) -> Path:
    """Draw a point for each model and score with its 95 % interval; single seeds are small marks on the same line.

    Args:
        path: PNG to write.
        content: of the comparison.
        part: its amounts, or one of its events.
        shape: which scores are drawn.
        facts: what the title says of the cases.
    """
    rows = part["table"][::-1]
    height = 1.0 + len(shape.drawn) * (MARGIN_INCHES + ROW_INCHES * len(rows))
    figure, panels = new_figure(7.6, height, len(shape.drawn))
    for axes, (title, (score, without_skill)) in zip(panels, shape.drawn.items(), strict=True):
        _panel(axes, rows, score, without_skill)
        axes.set_xlabel(f"{title}: dashed line without skill")
    data = "synthetic data, not ERA5" if content["synthetic"] else ERA5_ATTRIBUTION
    splits = content["splits"]
    label = f"test {splits['test_first'][:10]} to {splits['test_last'][:10]}\n{data}"
    return save(figure, panels[0], path, "Comparison", f"N = {part['n']:,}, {facts}; 95 % intervals", label)


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]], score: str, without_skill: float) -> None:
    axes.axvline(without_skill, color=GREY, linestyle="--", linewidth=1.2)
    for place, row in enumerate(rows):
        value, interval, colour = row["scores"][score], row["intervals"][score], COLOURS[row["kind"]]
        if interval is not None:
            axes.plot(interval, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        seeds = [one for one in row["by_seed"][score] if one is not None]
        if len(seeds) > 1:
            axes.plot(seeds, [place] * len(seeds), "|", color=INK, markersize=9)
        if value is not None:
            face = "white" if row["constant_answer"] else colour
            axes.plot([value], [place], "o", color=colour, markerfacecolor=face, markersize=7)
    names = [f"{row['name']}{' (constant)' if row['constant_answer'] else ''}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(-0.7, len(rows) - 0.3)
