"""Single panels of the three pictures, drawn onto axes they are given; every number comes from what was counted.

Blue is what is sound, orange what is not; hatches and words say the same to readers who see no colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exp.drawing import BLUE, GREEN, GREY, INK, ORANGE, PALE
from scripts.replay_case import stacked
from scripts.replay_case.commands import CleanRun
from scripts.replay_case.reenactment import FirstStep, Reenactment
from scripts.replay_case.stacked import WINDOW_ROWS, StackedTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHITE_BOX: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 2.5, "alpha": 0.9}
# Rows shown on both sides of a region's head.
ROWS_BEFORE, ROWS_AFTER = 4, 10
SMALL, TEXT = 9.5, 10.5


def dress(axes: Axes, *, grid: bool = True) -> None:
    """Give axes the look of the project's figures."""
    axes.grid(grid, color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=SMALL)


def dead_weights(axes: Axes, act: Reenactment) -> None:
    """Share of the weights that are NaN after each batch, with the batch that made them so."""
    share = np.array([0.0] + [100 * batch.nan_share for batch in act.batches])
    number = np.arange(len(share))
    axes.fill_between(number, share, step="pre", color=ORANGE, alpha=0.13, linewidth=0)
    axes.step(number, share, where="pre", color=ORANGE, linewidth=2.5)
    killer = int(np.argmax(share > 0))
    if share[killer] > 0:
        step = act.first
        text = (
            f"batch {killer}: its loss is {act.batches[killer - 1].loss:.2f}, finite,\n"
            f"so the step is taken; it leaves\n{step.weights} of {step.tensors} tensors NaN"
        )
        axes.annotate(
            text, (killer, share[killer]), (0.07, 0.44), textcoords="axes fraction", fontsize=TEXT, color=INK,
            va="center", bbox={"facecolor": "#faeee5", "edgecolor": "none", "pad": 1},
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.2, "relpos": (0, 0.8)},
        )  # fmt: skip
    axes.set(xlim=(-0.012 * len(share), len(share)), ylim=(-4, 108), yticks=(0, 50, 100))
    axes.set_ylabel("NaN weights\n(%)", fontsize=TEXT)
    for start in _epoch_starts(act)[1:]:
        axes.axvline(start, color=GREY, linestyle="--", linewidth=1)


def batch_ribbon(axes: Axes, act: Reenactment) -> None:
    """A ribbon of all batches: step taken, or skipped because the loss was NaN."""
    starts = [*_epoch_starts(act), len(act.batches)]
    for number, (start, end) in enumerate(zip(starts[:-1], starts[1:], strict=True), start=1):
        axes.axvspan(start, end, facecolor="#f7e0d0", edgecolor="#e0a080", hatch="///", linewidth=0)
        axes.text(
            (start + end) / 2, 0.5, f"epoch {number}: {act.skipped(number)} of {end - start} skipped",
            ha="center", va="center", fontsize=TEXT, color=INK, bbox=WHITE_BOX,
        )  # fmt: skip
        axes.axvline(end, color=GREY, linestyle="--", linewidth=1)
    taken = [place + 0.5 for place, batch in enumerate(act.batches) if batch.applied]
    axes.plot(taken, [0.5] * len(taken), "o", color=BLUE, markersize=9, markeredgecolor="white", clip_on=False)
    axes.set(xlim=(-0.012 * len(act.batches), len(act.batches)), ylim=(0, 1), yticks=[])
    axes.set_xlabel("batch (blue: its loss was finite and the step was taken; hatched: loss NaN)", fontsize=TEXT)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=SMALL)


def inside_first_step(axes: Axes, act: Reenactment) -> None:
    """Tensors with NaN on the way through batch 1, as it was and without the blank rows."""
    kinds = ("gradients,\nbackward", "gradients,\nclipped", "weights after\nthe step")
    pairs = (
        (act.first, ORANGE, "////", f"as it was: {act.first.windows_with_nan} of {act.first.windows} windows with NaN"),
        (act.without_blank_rows, BLUE, "", "without the blank rows"),
    )
    for offset, (step, colour, hatch, name) in zip((-0.2, 0.2), pairs, strict=True):
        counts = _counts(step)
        at = np.arange(len(kinds)) + offset
        # A bar of length zero cannot be seen; a dot can.
        none = [place for place, count in zip(at, counts, strict=True) if not count]
        if none:
            axes.plot([0] * len(none), none, "o", color=colour, markersize=6, clip_on=False, zorder=3)
        axes.barh(at, counts, height=0.36, color=colour, hatch=hatch, edgecolor="white", linewidth=0, label=name)
        for place, count in zip(at, counts, strict=True):
            axes.text(
                count + 1.0, place, f"{count} of {step.tensors}", va="center", fontsize=SMALL, color=INK,
                bbox=WHITE_BOX | {"pad": 1},
            )  # fmt: skip
    axes.set(
        yticks=range(len(kinds)),
        yticklabels=kinds,
        xlim=(0, 1.2 * act.first.tensors),
        xticks=range(0, act.first.tensors, 10),
    )
    axes.invert_yaxis()
    axes.set_xlabel("tensors of the model that hold a NaN, inside batch 1", fontsize=TEXT)
    axes.legend(
        fontsize=SMALL, frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, columnspacing=1.2,
        handlelength=1.4, borderaxespad=0.2,
    )  # fmt: skip


def stacked_rows(axes: Axes, table: StackedTable) -> None:
    """The stacked regions as one ribbon, with the rows that hold missing values marked at their heads."""
    ends = [*table.heads[1:], len(table.values)]
    for number, (name, start, end) in enumerate(zip(table.regions, table.heads, ends, strict=True)):
        axes.axvspan(start, end, color="#e9e9e9" if number % 2 else "#d3d3d3", linewidth=0)
        lines = name.replace("_", "\n")
        axes.text((start + end) / 2, 0.5, lines, ha="center", va="center", fontsize=SMALL, color=INK, linespacing=1.05)
    blank = np.flatnonzero(table.blank_rows)
    axes.vlines(blank, 0, 1, color=ORANGE, linewidth=2)
    axes.plot(blank, np.full(len(blank), 1.14), "v", color=ORANGE, markersize=8, clip_on=False)
    axes.set(xlim=(0, len(table.values)), ylim=(0, 1), yticks=[0.5], yticklabels=["rows"], xticks=[])
    axes.spines[["left", "bottom", "top", "right"]].set_visible(False)
    axes.tick_params(length=0, labelsize=TEXT, colors=INK)


def touched_windows(axes: Axes, act: Reenactment) -> None:
    """The training windows by their newest row: with a missing value somewhere in them, or without."""
    touched = stacked.training_windows(act.table).touched
    edges = np.flatnonzero(np.diff(touched.astype(np.int8))) + 1
    bounds = [0, *edges.tolist(), len(touched)]
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        bad = bool(touched[start])
        axes.axvspan(
            start + WINDOW_ROWS - 1, end + WINDOW_ROWS - 1, facecolor="#f0b48c" if bad else "#9cc7e2",
            edgecolor=ORANGE if bad else "white", hatch="////" if bad else "", linewidth=0,
        )  # fmt: skip
    text = f"{100 * act.touched_share:.1f} % of the {act.windows:,}\nhold a NaN (hatched)"
    axes.annotate(
        text, (len(touched) + WINDOW_ROWS - 1, 0.5), (8, 0), textcoords="offset points", ha="left", va="center",
        fontsize=TEXT, color=INK,
    )  # fmt: skip
    axes.set(xlim=(0, len(act.table.values)), ylim=(0, 1), yticks=[0.5], yticklabels=["windows, by\nlast row"])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=TEXT, colors=INK)
    axes.tick_params(axis="x", labelsize=SMALL, colors=INK)
    axes.set_xlabel("row of the stacked table", fontsize=TEXT)


def blank_cells(axes: Axes, table: StackedTable) -> None:
    """The columns and rows around the head of the second region, cell by cell."""
    head = table.heads[1]
    first, end = head - ROWS_BEFORE, head + ROWS_AFTER
    cells = table.missing[first:end].T
    width, height = cells.shape[1], cells.shape[0]
    axes.pcolormesh(
        np.arange(width + 1), np.arange(height + 1), np.where(cells, 1.0, 0.0), cmap=_two_colours(),
        edgecolors="white", linewidth=0.8, vmin=0, vmax=1,
    )  # fmt: skip
    for column, row in zip(*np.nonzero(cells), strict=True):
        axes.text(row + 0.5, column + 0.52, "NaN", ha="center", va="center", fontsize=7, color="white", weight="bold")
    axes.axvline(ROWS_BEFORE, color=INK, linewidth=2)
    names = table.regions[:2]
    text: dict[str, Any] = {"va": "bottom", "fontsize": SMALL, "color": INK}
    axes.text(ROWS_BEFORE - 0.15, -0.25, f"\N{LEFTWARDS ARROW} {names[0]}", ha="right", **text)
    axes.text(ROWS_BEFORE + 0.15, -0.25, f"{names[1]} \N{RIGHTWARDS ARROW}", ha="left", **text)
    axes.set(yticks=np.arange(height) + 0.5, ylim=(height, 0), xticks=np.arange(1, width, 3) + 0.5)
    axes.set_yticklabels(table.columns)
    axes.set_xticklabels([f"{first + row:,}" for row in range(1, width, 3)])
    axes.tick_params(axis="y", length=0, labelsize=8.5, colors=INK)
    axes.tick_params(axis="x", labelsize=SMALL, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("row of the stacked table, near the head of the second region", fontsize=TEXT)


def notes_loss(axes: Axes, act: Reenactment, limits: tuple[float, float]) -> None:
    """The loss of every batch of the notes' training: what is not a number cannot be drawn, so that part is hatched."""
    starts = [*_epoch_starts(act), len(act.batches)]
    position = np.interp(np.arange(len(act.batches)) + 0.5, starts, range(len(starts)))
    loss = np.array([batch.loss for batch in act.batches])
    known = np.isfinite(loss)
    if not known.all():
        first = position[np.argmax(~known)]
        axes.axvspan(first, len(starts) - 1, facecolor="#faeee5", edgecolor="#eabf9f", hatch="//", linewidth=0)
    axes.plot(position[known], loss[known], "o", color=ORANGE, markersize=8, clip_on=False, zorder=3)
    axes.text(
        (len(starts) - 1) / 2, sum(limits) / 2,
        f"loss nan, validation loss nan\n{sum(~known)} of {len(known)} batches skipped",
        ha="center", va="center", fontsize=TEXT, color=INK, bbox=WHITE_BOX,
    )  # fmt: skip
    axes.annotate(
        f"batch 1: {loss[0]:.2f}", (position[0], loss[0]), (12, 0), textcoords="offset points", fontsize=SMALL,
        color=INK, va="center", bbox=WHITE_BOX,
    )  # fmt: skip
    axes.set(xlim=(0, len(starts) - 1), ylim=limits, xticks=range(len(starts)))
    axes.set_xlabel("epoch", fontsize=TEXT)
    axes.set_ylabel("loss", fontsize=TEXT)


def clean_loss(axes: Axes, run: CleanRun, limits: tuple[float, float]) -> None:
    """Losses of the clean run by epoch, with the loss of a forecast that always gives the base rate."""
    epochs = [row["epoch"] for row in run.epochs]
    entropy = run.epochs[-1]["base_rate_entropy"]
    axes.axhline(entropy, color=GREY, linestyle="--", linewidth=1.4)
    axes.annotate(
        f"always the base rate: {entropy:.3f}", (0, entropy), (4, 4), textcoords="offset points", fontsize=SMALL,
        color=INK, va="bottom",
    )  # fmt: skip
    curves = (("training", "train_loss", BLUE, "o"), ("validation", "validation_loss", GREEN, "s"))
    for name, column, colour, marker in curves:
        losses = [row[column] for row in run.epochs]
        axes.plot(epochs, losses, color=colour, marker=marker, markersize=7, linewidth=2, label=name)
    axes.set(xlim=(0, max(epochs) + 0.25), ylim=limits, xticks=[0, *epochs])
    axes.set_xlabel("epoch", fontsize=TEXT)
    axes.legend(fontsize=SMALL, frameon=False, loc="lower left")


def loss_limits(act: Reenactment, run: CleanRun) -> tuple[float, float]:
    """Return one range of losses for both sides, so that they can be compared."""
    seen = [batch.loss for batch in act.batches if np.isfinite(batch.loss)]
    for row in run.epochs:
        seen += [row["train_loss"], row["validation_loss"], row["base_rate_entropy"]]
    room = 0.25 * (max(seen) - min(seen))
    return min(seen) - room, max(seen) + room


def _epoch_starts(act: Reenactment) -> list[int]:
    starts = [0]
    for epoch in act.epochs[:-1]:
        starts.append(starts[-1] + act.batches_in(epoch.number))
    return starts


def _counts(step: FirstStep) -> tuple[int, int, int]:
    return step.gradients, step.clipped_gradients, step.weights


def _two_colours() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(["#d6e6f2", ORANGE])
