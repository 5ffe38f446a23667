"""The curves of one event: ROC, precision and recall, reliability, performance diagram, economic value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exp import curves
from exp.report.chart import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Axis, Chart
from exp.report.record import Event
from exp.report.words import Words, number, share, whole
from utils.probability_scores import COST_LOSS_RATIOS, economic_value_curve

SQUARE = WIDTH - LEFT - RIGHT + TOP + BOTTOM  # height of a chart whose two axes are equally long
TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CSI_LINES = (0.1, 0.3, 0.5, 0.7, 0.9)
BIAS_LINES = (0.5, 1.0, 2.0)
LEAST_VALUE = -0.6  # a forecast that costs a user more than this is drawn no further down


@dataclass(frozen=True)
class Figure:
    """A drawing with its words.

    Attributes:
        title: above it.
        svg: the drawing, whose colours come from the page.
        note: what to look for.
        legend: (class of the look, words) of what is drawn.
    """

    title: str
    svg: str
    note: str
    legend: Sequence[tuple[str, str]] = ()


def of_event(event: Event, words: Words) -> tuple[list[Figure], list[str]]:
    """Return the curves that one event has the numbers for, and the titles of those that are undefined."""
    observed, probability, overall = event.cases.observed, event.cases.probability, event.overall
    found, missing = [], []
    has_both = np.unique(observed).size > 1
    if not has_both:
        missing += [words(f"{name}.title") for name in ("roc", "recall", "performance", "value")]
    else:
        found.append(_roc(observed, probability, overall, words))
        found.append(_recall(observed, probability, overall, words))
    if len(observed):
        found.append(_reliability(observed, probability, words))
    if has_both:
        found.append(_performance(observed, probability, event.scores, words))
        found.append(_value(event, words))
    return found, missing


def _unit(x: str, y: str) -> Chart:
    return Chart(Axis(0, 1, x, TENTHS), Axis(0, 1, y, TENTHS), height=SQUARE)


def _roc(observed: np.ndarray, probability: np.ndarray, overall: Mapping[str, Any], words: Words) -> Figure:
    from sklearn.metrics import roc_curve

    false_detection, detection, _ = roc_curve(observed, probability)
    chart = _unit(words("roc.x"), words("roc.y"))
    chart.area([*false_detection, 1], [*detection, 0], "forecast")
    chart.line([0, 1], [0, 1], "reference dashed")
    chart.line(false_detection, detection, "forecast")
    pod, pofd, cut = (overall[name] for name in ("probability_of_detection", "probability_of_false_detection", "cut"))
    chart.dots([pofd], [pod], "cut", radius=6)
    area = number(overall["roc_auc"])
    return Figure(
        title=words("roc.title"),
        svg=chart.svg(words("roc.alt", area=area, cut=number(cut, 2), pod=number(pod, 2), pofd=number(pofd, 2))),
        note=words("roc.note", area=area),
        legend=[
            ("forecast", words("legend.forecast")),
            ("cut dot", words("legend.cut", cut=number(cut, 2))),
            ("reference dashed", words("legend.no_discrimination")),
        ],
    )


def _recall(observed: np.ndarray, probability: np.ndarray, overall: Mapping[str, Any], words: Words) -> Figure:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(observed, probability)
    base_rate = overall["base_rate"]
    chart = _unit(words("recall.x"), words("recall.y"))
    chart.line([0, 1], [base_rate, base_rate], "reference dashed")
    chart.line(recall, precision, "forecast")
    legend = [("forecast", words("legend.forecast")), ("reference dashed", words("legend.base_rate"))]
    if overall["precision"] is not None:
        chart.dots([overall["recall"]], [overall["precision"]], "cut", radius=6)
        legend.insert(1, ("cut dot", words("legend.cut", cut=number(overall["cut"], 2))))
    average = number(overall["average_precision"])
    return Figure(
        title=words("recall.title"),
        svg=chart.svg(words("recall.alt", average=average, base_rate=number(base_rate, 2))),
        note=words("recall.note", average=average),
        legend=legend,
    )


def _reliability(observed: np.ndarray, probability: np.ndarray, words: Words) -> Figure:
    """The attributes diagram; bars of the number of forecasts stand on its floor, the tallest a fifth of it high."""
    bins = curves.reliability(observed, probability)
    base_rate = float(np.mean(observed))
    chart = _unit(words("reliability.x"), words("reliability.y"))
    chart.area([0, 0, base_rate, base_rate], [0, base_rate / 2, base_rate, 0], "good")
    chart.area([base_rate, base_rate, 1, 1], [base_rate, 1, 1, (1 + base_rate) / 2], "good")
    chart.bars(bins.edges, bins.counts / bins.counts.max() * 0.2, "count")
    chart.line([0, 1], [0, 1], "perfect")
    chart.line([0, 1], [base_rate, base_rate], "reference dashed")
    chart.line(bins.said, bins.rained, "forecast")
    chart.dots(bins.said[~bins.is_rare], bins.rained[~bins.is_rare], "forecast", radius=4.5)
    chart.dots(bins.said[bins.is_rare], bins.rained[bins.is_rare], "forecast hollow", radius=4.5)
    used = bins.counts[bins.counts > 0].tolist()
    points = " ".join(
        words("reliability.alt_point", said=number(said, 2), rained=number(rained, 2), count=whole(count))
        for said, rained, count in zip(bins.said.tolist(), bins.rained.tolist(), used, strict=True)
    )
    legend = [
        ("forecast", words("legend.forecast")),
        ("perfect", words("legend.perfect")),
        ("reference dashed", words("legend.base_rate")),
    ]
    if bins.is_rare.any():
        legend.append(("forecast hollow dot", words("legend.rare", count=curves.FEW_CASES)))
    return Figure(
        title=words("reliability.title"),
        svg=chart.svg(words("reliability.alt", points=points)),
        note=words("reliability.note"),
        legend=legend,
    )


def _performance(observed: np.ndarray, probability: np.ndarray, scores: Mapping[str, Any], words: Words) -> Figure:
    """Success ratio and detection for every cut, between lines of equal critical success index and frequency bias.

    Source: Roebber (2009), Visualizing multiple measures of forecast quality, Weather and Forecasting 24.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(observed, probability)
    chart = _unit(words("performance.x"), words("performance.y"))
    for csi in CSI_LINES:
        success = np.linspace(csi, 1, 60)
        chart.line(success, 1 / (1 / csi + 1 - 1 / success), "faint")
        chart.text(0.97, 1 / (1 / csi + 1 - 1 / 0.97) + 0.015, f"{csi:g}", "small", anchor="end")
    for bias in BIAS_LINES:
        end = min(1.0, 1 / bias)
        chart.line([0, end], [0, end * bias], "faint dashed")
        chart.text(0.62 * end, 0.62 * end * bias + 0.02, f"{bias:g}", "small", anchor="end")
    # The last point of the curve belongs to no cut: nothing is forecast there.
    chart.line(precision[:-1], recall[:-1], "forecast")
    by_region = list(scores.get("by_region", {}).values())
    if len(by_region) > 1:
        known = [entry for entry in by_region if entry["precision"] is not None and entry["recall"] is not None]
        chart.dots([entry["precision"] for entry in known], [entry["recall"] for entry in known], "region", radius=3.5)
    legend = [("forecast", words("legend.forecast")), ("cut dot", words("legend.at_cut"))]
    if len(by_region) > 1:
        legend.append(("region dot", words("legend.regions")))
    for name, entry in (scores.get("references") or {}).items():
        if entry.get("precision") is not None and entry.get("recall") is not None:
            chart.dots([entry["precision"]], [entry["recall"]], f"{name} hollow", radius=5)
            legend.append((f"{name} hollow dot", words.name("legend", name)))
    overall = scores["overall"]
    if overall["precision"] is not None:
        chart.dots([overall["precision"]], [overall["recall"]], "cut", radius=6)
    legend += [("faint", words("legend.csi")), ("faint dashed", words("legend.bias"))]
    alt = words(
        "performance.alt",
        success=number(overall["precision"], 2),
        pod=number(overall["recall"], 2),
        csi=number(overall["critical_success_index"], 2),
        bias=number(overall["frequency_bias"], 2),
    )
    return Figure(words("performance.title"), chart.svg(alt), words("performance.note"), legend)


def _value(event: Event, words: Words) -> Figure:
    """The relative economic value over the ratio of cost to loss, beside that of climatology and persistence."""
    cases = event.cases
    shown = {"forecast": cases.probability, "climatology": cases.climatology}
    values = {name: economic_value_curve(cases.observed, each) for name, each in shown.items() if each is not None}
    low = min(-0.2, *(float(np.clip(np.nanmin(each), LEAST_VALUE, 0)) for each in values.values()))
    chart = Chart(Axis(0, 1, words("value.x"), TENTHS), Axis(low, 1, words("value.y")), height=SQUARE)
    chart.line([0, 1], [0, 0], "reference dashed")
    for name in reversed(values):
        chart.line(COST_LOSS_RATIOS, np.where(values[name] >= low, values[name], np.nan), name)
    best = int(np.nanargmax(values["forecast"]))
    alt = words("value.alt", best=number(float(values["forecast"][best]), 2), ratio=f"{COST_LOSS_RATIOS[best]:g}")
    legend = [(name, words(f"legend.{name}")) for name in values]
    return Figure(words("value.title"), chart.svg(alt), words("value.note"), legend)


def confusion(counts: Sequence[Sequence[int]], names: Sequence[str], words: Words) -> list[dict[str, Any]]:
    """Return the rows of a table of `(K, K)` counts, observed by forecast, with the share of each in its row."""
    rows = []
    for number_of_row, (name, row) in enumerate(zip(names, counts, strict=True)):
        total = sum(row)
        shares = [count / total if total else None for count in row]
        cells = [
            {
                "count": whole(count),
                "share": words("confusion.none") if part is None else words("confusion.share", share=share(part)),
                "strength": 0 if part is None else round(100 * part),
                "is_right": column == number_of_row,
            }
            for column, (count, part) in enumerate(zip(row, shares, strict=True))
        ]
        rows.append({"name": name, "cells": cells})
    return rows
