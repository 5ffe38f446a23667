"""The three pictures of the acts and the one of all of them, as PNG beside the page."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp.drawing import DOTS_PER_INCH, GREY, INK
from scripts.replay_case import panels
from scripts.replay_case.commands import CLEAN_WINDOW_ROWS, CleanRun, Diagnosis
from scripts.replay_case.reenactment import Reenactment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SYNTHETIC = "synthetic data, not ERA5"
WIDTH, WIDE = 7.0, 8.4
# Letters of the verdict that fit an inch of a line, and its most lines.
LETTERS_PER_INCH, MOST_LINES = 11.4, 8


def draw_all(act: Reenactment, diagnosis: Diagnosis, run: CleanRun, folder: Path) -> list[Path]:
    """Draw the pictures of the three acts, then the one for the front page.

    Args:
        act: what act 1 counted.
        diagnosis: what act 2 said.
        run: what act 3 left.
        folder: where `act1.png`, `act2.png`, `act3.png` and `replay.png` go.
    """
    return [
        _act1(act, folder / "act1.png"),
        _act2(act, diagnosis, folder / "act2.png"),
        _act3(act, run, folder / "act3.png"),
        _together(act, diagnosis, run, folder / "replay.png"),
    ]


def _act1(act: Reenactment, path: Path) -> Path:
    figure = _figure(WIDTH, 6.2)
    weights, ribbon, inside = figure.subplots(3, 1, height_ratios=[2.2, 0.5, 2.2])
    panels.dress(weights)
    panels.dead_weights(weights, act)
    weights.tick_params(labelbottom=False)
    panels.batch_ribbon(ribbon, act)
    panels.dress(inside)
    panels.inside_first_step(inside, act)
    facts = f"the notes' settings, {len(act.batches)} batches of {act.first.windows} windows; {SYNTHETIC}"
    return _save(figure, path, "One finite loss, one step, and no weight is a number any more", facts)


def _act2(act: Reenactment, diagnosis: Diagnosis, path: Path) -> Path:
    figure = _figure(WIDTH, 9.5)
    rows, windows, cells, words = figure.subplots(4, 1, height_ratios=[0.5, 0.5, 4.6, 1.35])
    panels.stacked_rows(rows, act.table)
    panels.touched_windows(windows, act)
    panels.blank_cells(cells, act.table)
    _say(words, _parts(diagnosis, "what", "evidence"), WIDTH)
    n_blank, n_rows = int(act.table.blank_rows.sum()), len(act.table.values)
    title = f"{n_blank} of {n_rows:,} rows, and {100 * act.touched_share:.1f} % of the windows hold a NaN"
    facts = f"orange: {n_blank // len(act.table.regions)} rows at the head of each stacked region; {SYNTHETIC}"
    return _save(figure, path, title, facts)


def _act3(act: Reenactment, run: CleanRun, path: Path) -> Path:
    figure = _figure(WIDTH, 4.4)
    _losses(figure.subplots(1, 2, sharey=True), act, run)
    title = f"The same model, trained cleanly: {run.skipped} of {run.steps} steps skipped"
    facts = (
        f"{act.parameters:,} weights in {act.first.tensors} tensors, windows of {CLEAN_WINDOW_ROWS} rows; {SYNTHETIC}"
    )
    return _save(figure, path, title, facts)


def _together(act: Reenactment, diagnosis: Diagnosis, run: CleanRun, path: Path) -> Path:
    figure = _figure(WIDE, 8.1, bottom=0.025)
    parts: Any = figure.subfigures(3, 1, height_ratios=[2.05, 2.65, 2.6])
    first, second, third = parts
    weights, ribbon = first.subplots(2, 1, height_ratios=[1.7, 0.5])
    panels.dress(weights)
    panels.dead_weights(weights, act)
    weights.tick_params(labelbottom=False)
    panels.batch_ribbon(ribbon, act)
    _heading(first, "1  The notes' settings: one finite loss kills every weight in one step")
    rows, windows, words = second.subplots(3, 1, height_ratios=[0.5, 0.5, 0.85])
    panels.stacked_rows(rows, act.table)
    panels.touched_windows(windows, act)
    _say(words, _parts(diagnosis, "where", "next"), WIDE)
    _heading(second, f"2  The diagnosis names the rows before the first step{_in_seconds(diagnosis)}")
    _losses(third.subplots(1, 2, sharey=True), act, run)
    _heading(third, f"3  The same model trained cleanly: {run.skipped} of {run.steps} steps skipped")
    figure.text(0.995, 0.004, SYNTHETIC, ha="right", va="bottom", fontsize=8.5, color=GREY)
    return _write(figure, path, "The case, replayed", SYNTHETIC, dots=105)


def _losses(axes: Any, act: Reenactment, run: CleanRun) -> None:
    left, right = axes
    limits = panels.loss_limits(act, run)
    panels.dress(left)
    panels.dress(right)
    panels.notes_loss(left, act, limits)
    panels.clean_loss(right, run, limits)
    left.set_title("the notes' settings", fontsize=11, loc="left", color=INK)
    right.set_title("this project's defaults", fontsize=11, loc="left", color=INK)


def _in_seconds(diagnosis: Diagnosis) -> str:
    """How long its checks took, where it says so; the start of Python is told on the page."""
    own = diagnosis.check_seconds
    return "" if own is None else f": its checks take {own:.1f} s"


def _parts(diagnosis: Diagnosis, *names: str) -> list[str]:
    """The cause code of the verdict with the first of these parts, then the others, a paragraph each."""
    verdict = diagnosis.verdict
    first, *rest = names
    return [f"{verdict['code']}: {verdict[first]}", *(f"{name}: {verdict[name]}" for name in rest)]


def _say(axes: Axes, sentences: list[str], width: float) -> None:
    """Write sentences where a panel would be, over the whole width of the figure in inches."""
    lines = [line for text in sentences for line in textwrap.wrap(text, int(LETTERS_PER_INCH * width))]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], lines[MOST_LINES - 1] + " ..."]
    axes.set_axis_off()
    from matplotlib.transforms import blended_transform_factory

    across = blended_transform_factory(axes.figure.transSubfigure, axes.transAxes)
    words = axes.text(
        0.022, 0.5, "\n".join(lines), transform=across, va="center", fontsize=9, color=INK, family="monospace",
        linespacing=1.3,
        bbox={"facecolor": "#f5f5f5", "edgecolor": GREY, "boxstyle": "square,pad=0.5", "linewidth": 0.8},
    )  # fmt: skip
    words.set_in_layout(False)


def _heading(part: Any, text: str) -> None:
    part.suptitle(text, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK)


def _figure(width: float, height: float, bottom: float = 0.0) -> Figure:
    """An empty figure in inches, without pyplot and its global state; the bottom share is left free."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, rect=(0, bottom, 1, 1 - bottom))
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path, title: str, facts: str) -> Path:
    """Put title and facts above the panels and write the picture."""
    # The empty second line keeps room for the facts, which are written smaller.
    figure.suptitle(title + "\n", x=0.015, ha="left", fontsize=14, fontweight="bold", color=INK)
    below = 0.42 / figure.get_figheight()
    figure.text(0.015, 1 - below, facts, ha="left", va="center", fontsize=9.5, color=GREY).set_in_layout(False)
    return _write(figure, path, title, facts, dots=DOTS_PER_INCH)


def _write(figure: Figure, path: Path, title: str, facts: str, *, dots: int) -> Path:
    partial = path.with_name(path.name + ".partial")
    figure.savefig(
        partial, format="png", dpi=dots, metadata={"Title": title, "Description": facts}, pil_kwargs={"optimize": True}
    )
    partial.replace(path)
    return path
