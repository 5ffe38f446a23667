"""Figures of one run: training curves, confusion matrix, ROC, precision-recall and reliability with counts.

Every title states N and the base rate.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exp import curves
from exp.drawing import BLUE, GREEN, GREY, INK, ORANGE, legend, new_figure, save
from utils.forecasts import ClassForecasts, Forecasts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)


def write_all(
    run_directory: Path,
    history: Sequence[Mapping[str, Any]],
    forecasts: Forecasts | ClassForecasts,
    scores: Mapping[str, Any],
    label: str = "",
) -> list[Path]:
    """Draw all figures a run has the numbers for into `<run_directory>/figures`.

    Args:
        run_directory: folder of the run.
        history: one row per epoch as in metrics.jsonl; empty for references.
        forecasts: forecasts of the test split.
        scores: `verification.score_table` of these forecasts.
        label: what every figure has to say about its data, such as "synthetic data".

    Returns:
        The files written, in the order a reader wants them. Curves that are undefined (one class only) are left out
        with a line in the log.
    """
    folder = run_directory / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if history:
        written.append(training_curves(history, folder / "training_curves.png", label=label))
    if isinstance(forecasts, Forecasts):
        return written + _event_figures(folder, forecasts, scores["overall"], "", label)
    names = _class_names(forecasts.threshold_mm)
    counts = np.array(scores["classes"]["confusion_matrix"])
    written.append(confusion_matrix(counts, names, folder / "confusion_matrix.png", label=label))
    for j, threshold in enumerate(forecasts.threshold_mm):
        name = f"{threshold:g} mm"
        overall = scores["thresholds"][name]["overall"]
        written += _event_figures(folder, forecasts.exceedance(j), overall, name, label)
    return written


def _class_names(threshold_mm: Sequence[float]) -> list[str]:
    """Words for the K classes between and beyond the thresholds."""
    steps = [f"{threshold:g}" for threshold in threshold_mm]
    between = [f"{low} to {high} mm" for low, high in zip(steps[:-1], steps[1:], strict=True)]
    return [f"< {steps[0]} mm", *between, f"≥ {steps[-1]} mm"]


def _event_figures(
    folder: Path, forecasts: Forecasts, overall: Mapping[str, Any], threshold: str, label: str
) -> list[Path]:
    """The four figures of one yes/no event; the threshold is part of the file names where there are several."""
    ending = f"_{threshold.replace(' ', '')}.png" if threshold else ".png"
    label = ", ".join(part for part in (f"rain ≥ {threshold}" if threshold else "", label) if part)
    table = overall["contingency_table"]
    counts = np.array([[table["correct_negatives"], table["false_alarms"]], [table["misses"], table["hits"]]])
    if not overall["n"]:
        logger.warning("no forecasts to draw")
        return []
    written = [confusion_matrix(counts, ["dry", "rain"], folder / f"confusion_matrix{ending}", label=label)]
    observed, probability = np.asarray(forecasts.observed), np.asarray(forecasts.probability, dtype=np.float64)
    if overall["roc_auc"] is None:
        logger.warning("only one class was observed: ROC and precision-recall curves are undefined and not drawn")
    else:
        for name, draw in (("roc_curve", roc_curve), ("precision_recall_curve", precision_recall_curve)):
            written.append(draw(observed, probability, folder / (name + ending), cut=overall["cut"], label=label))
    path = folder / f"reliability_diagram{ending}"
    return [*written, reliability_diagram(observed, probability, path, label=label)]


def training_curves(history: Sequence[Mapping[str, Any]], path: Path, *, label: str = "") -> Path:
    """Draw losses, validation scores and gradient norms over the epochs; epochs with skipped steps are marked.

    Args:
        history: rows with `epoch`, `train_loss`, `validation_loss`, `validation_<score>`, `gradient_norm_median`,
            `gradient_norm_max`, `skipped_steps`, `base_rate_entropy`; a value may be missing or None.
        path: PNG to write.
        label: what the figure has to say about its data.
    """
    from matplotlib.ticker import MaxNLocator

    epoch = _column(history, "epoch")
    names = sorted({name for row in history for name in row if name.startswith("validation_")} - {"validation_loss"})
    figure, axes = new_figure(7.0, 8.0, 3, sharex=True)
    loss, score, norm = axes
    _curve(loss, epoch, _column(history, "train_loss"), BLUE, "training")
    _curve(loss, epoch, _column(history, "validation_loss"), ORANGE, "validation", marker="s")
    entropy = _column(history, "base_rate_entropy")
    if np.isfinite(entropy).any():
        level = entropy[np.isfinite(entropy)][-1]
        loss.axhline(level, color=GREY, linestyle="--", linewidth=1.2, label="entropy of the base rate (no skill)")
    loss.set_ylabel("loss")
    for name, colour, marker in zip(names, (GREEN, ORANGE, BLUE, INK), "osD^", strict=False):
        _curve(score, epoch, _column(history, name), colour, name.removeprefix("validation_").replace("_", " "), marker)
    score.set_ylabel("validation score")
    _curve(norm, epoch, _column(history, "gradient_norm_median"), BLUE, "median")
    _curve(norm, epoch, _column(history, "gradient_norm_max"), ORANGE, "largest", marker="s")
    if any(np.nanmax(line.get_ydata(), initial=0) > 0 for line in norm.get_lines()):
        norm.set_yscale("log")
    norm.set_ylabel("gradient norm")
    norm.set_xlabel("epoch")
    norm.set_xlim(np.nanmin(epoch) - 0.5, np.nanmax(epoch) + 0.5)
    norm.xaxis.set_major_locator(MaxNLocator(integer=True))
    skipped = np.where(np.isfinite(_column(history, "skipped_steps")), _column(history, "skipped_steps"), 0)
    for at, count in zip(epoch[skipped > 0], skipped[skipped > 0], strict=True):
        norm.axvline(at, color=INK, linestyle=":", linewidth=1.2)
        norm.annotate(
            f"{int(count)} skipped", (at, 0.03), xycoords=("data", "axes fraction"), rotation=90, fontsize=8, color=INK,
            ha="center", va="bottom", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    for panel in axes:
        legend(panel)
    total = int(skipped.sum())
    facts = f"epochs: {len(history)}, skipped steps: {total}"
    return save(figure, axes[0], path, "Training", facts, label)


def confusion_matrix(counts: np.ndarray, names: Sequence[str], path: Path, *, label: str = "") -> Path:
    """Draw `(K, K)` counts, rows observed and columns forecast; colours are shares of the row.

    Args:
        counts: number of cases.
        names: K class names.
        path: PNG to write.
        label: what the figure has to say about its data.
    """
    counts = np.asarray(counts)
    total = counts.sum(1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    size = 2.6 + 1.1 * len(names)
    figure, (axes,) = new_figure(max(size, 5.2), size + 0.5)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xticks=range(len(names)), yticks=range(len(names)), xticklabels=names, yticklabels=names)
    axes.set_xlabel("forecast")
    axes.set_ylabel("observed")
    axes.grid(False)
    axes.tick_params(length=0)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if share[row, column] > 0.55 else INK
        axes.text(column, row - 0.08, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=13)
        note = f"{100 * share[row, column]:.0f} % of row" if total[row, 0] else "none observed"
        axes.text(column, row + 0.18, note, ha="center", va="center", color=colour, fontsize=8)
    rates = f"base rate {total[1, 0] / counts.sum():.3f}" if len(names) == 2 else "base rates " + ", ".join(
        f"{part / counts.sum():.3f}" for part in total[:, 0]
    )  # fmt: skip
    return save(figure, axes, path, "Confusion matrix", f"N = {counts.sum():,}, {rates}", label)


def roc_curve(observed: np.ndarray, probability: np.ndarray, path: Path, *, cut: float, label: str = "") -> Path:
    """Draw the probability of detection over the probability of false detection, for every cut.

    Args:
        observed: `(N,)` 0 or 1, both of which occur.
        probability: `(N,)` forecast probability.
        path: PNG to write.
        cut: the chosen cut, marked on the curve.
        label: what the figure has to say about its data.
    """
    from sklearn import metrics

    false_detection, detection, _ = metrics.roc_curve(observed, probability)
    figure, (axes,) = new_figure(5.6, 6.0)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="no discrimination")
    axes.fill_between(false_detection, detection, false_detection, color=BLUE, alpha=0.10, linewidth=0)
    axes.plot(false_detection, detection, color=BLUE, linewidth=2, label="forecast")
    said, rain = probability >= cut, np.asarray(observed) == 1
    axes.plot([said[~rain].mean()], [said[rain].mean()], "o", color=ORANGE, markersize=8, label=f"cut {cut:.2f}")
    _unit_square(axes, "probability of false detection", "probability of detection")
    legend(axes, loc="lower right")
    area = metrics.roc_auc_score(observed, probability)
    return save(figure, axes, path, f"ROC curve: area {area:.3f}", _facts(observed), label)


def precision_recall_curve(
    observed: np.ndarray, probability: np.ndarray, path: Path, *, cut: float, label: str = ""
) -> Path:
    """Draw precision over recall for every cut, with the base rate a forecast without skill has as precision.

    Args:
        observed: `(N,)` 0 or 1, both of which occur.
        probability: `(N,)` forecast probability.
        path: PNG to write.
        cut: the chosen cut, marked on the curve.
        label: what the figure has to say about its data.
    """
    from sklearn import metrics

    precision, recall, _ = metrics.precision_recall_curve(observed, probability)
    figure, (axes,) = new_figure(5.6, 6.0)
    base_rate = float(np.mean(observed))
    axes.axhline(base_rate, color=GREY, linestyle="--", linewidth=1.2, label=f"base rate {base_rate:.3f}")
    axes.step(recall, precision, color=BLUE, linewidth=2, where="post", label="forecast")
    said, rain = probability >= cut, np.asarray(observed) == 1
    if said.any():
        axes.plot([said[rain].mean()], [rain[said].mean()], "o", color=ORANGE, markersize=8, label=f"cut {cut:.2f}")
    _unit_square(axes, "recall (probability of detection)", "precision (1 - false alarm ratio)")
    legend(axes, loc="best")
    average = metrics.average_precision_score(observed, probability)
    return save(figure, axes, path, f"Precision and recall: average {average:.3f}", _facts(observed), label)


def reliability_diagram(observed: np.ndarray, probability: np.ndarray, path: Path, *, label: str = "") -> Path:
    """Draw how often it rained when a probability was forecast, and how often each was forecast (sharpness).

    Points in the shaded part, on the far side of the no-skill line (half-way from the base rate to the diagonal),
    add to the Brier skill against a constant forecast of the base rate.
    Source: Hsu and Murphy (1986), The attributes diagram.

    Args:
        observed: `(N,)` 0 or 1.
        probability: `(N,)` forecast probability.
        path: PNG to write.
        label: what the figure has to say about its data.
    """
    bins = curves.reliability(observed, probability)
    base_rate = float(np.mean(observed))
    figure, (axes, histogram) = new_figure(5.6, 7.6, 2, sharex=True, height_ratios=[4, 1])
    shade: dict[str, Any] = {"color": GREEN, "alpha": 0.10, "linewidth": 0}
    axes.fill_between([0, base_rate], 0, [base_rate / 2, base_rate], **shade)
    axes.fill_between([base_rate, 1], [base_rate, (1 + base_rate) / 2], 1, **shade)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1.2, label="perfect")
    axes.axhline(base_rate, color=GREY, linestyle="--", linewidth=1.2, label=f"base rate {base_rate:.3f}")
    axes.plot([0, 1], [base_rate / 2, (1 + base_rate) / 2], color=GREY, linestyle=":", linewidth=1.4, label="no skill")
    axes.plot(bins.said, bins.rained, color=BLUE, linewidth=2, marker="o", markersize=6, label="forecast")
    few = bins.is_rare
    if few.any():
        axes.plot(
            bins.said[few], bins.rained[few], "o", markersize=6, markerfacecolor="white", markeredgecolor=BLUE,
            zorder=3, label=f"fewer than {curves.FEW_CASES} cases",
        )  # fmt: skip
    _unit_square(axes, "", "observed frequency of rain")
    legend(axes, loc="upper left")
    width = 1 / curves.RELIABILITY_BINS
    histogram.bar(bins.edges[:-1], bins.counts, width=width, align="edge", color=BLUE, alpha=0.75, edgecolor="w")
    histogram.set_xlabel("forecast probability of rain")
    histogram.set_ylabel("cases")
    histogram.yaxis.set_major_formatter("{x:,.0f}")
    return save(figure, axes, path, "Reliability", _facts(observed), label)


def _column(history: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """One value per epoch; NaN, which leaves a gap in the curve, where it is missing or not finite."""
    values = np.array([np.nan if row.get(name) is None else float(row[name]) for row in history])
    return np.where(np.isfinite(values), values, np.nan)


def _curve(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, name: str, marker: str = "o") -> None:
    """Draw a curve unless all of it is missing."""
    if np.isfinite(y).any():
        axes.plot(x, y, color=colour, linewidth=2, marker=marker, markersize=4, label=name)


def _unit_square(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x_label, ylabel=y_label, aspect="equal")


def _facts(observed: np.ndarray) -> str:
    return f"N = {len(observed):,}, base rate {float(np.mean(observed)):.3f}"
