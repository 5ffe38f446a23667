"""The part about training: loss, validation scores and gradient norms over the epochs, and skipped steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exp.report.chart import Axis, Chart, nice_ticks
from exp.report.figures import Figure
from exp.report.record import Record
from exp.report.words import Words, number, share, whole

LOOKS = ("forecast", "cut", "region", "perfect")


@dataclass(frozen=True)
class _Epochs:
    """The epochs of a training.

    Attributes:
        numbers: `(N,)` of all.
        best: the one whose weights were kept.
        with_skipped_steps: those in which steps were skipped.
    """

    numbers: np.ndarray
    best: int | None
    with_skipped_steps: np.ndarray


def part(record: Record, words: Words) -> dict[str, Any]:
    """Return "facts", "figures" and "cost" of a run's training."""
    history = record.history
    cost = _cost(record.scores.get("cost") or {}, history, words)
    if not history:
        return {"facts": words("training.none"), "figures": [], "cost": cost}
    clipped = [row["clipped_share"] for row in history if row.get("clipped_share") is not None]
    skipped = record.scores.get("skipped_steps")
    facts = words(
        "training.facts",
        epochs=len(history),
        best=(record.scores.get("cost") or {}).get("best_epoch", "?"),
        skipped=whole(skipped or 0),
        clipped=f"{share(float(np.mean(clipped)) if clipped else None)} %",
    )
    return {"facts": facts, "figures": list(filter(None, _figures(record, words))), "cost": cost}


def _figures(record: Record, words: Words) -> list[Figure | None]:
    history = record.history
    epoch = _column(history, "epoch")
    best = (record.scores.get("cost") or {}).get("best_epoch")
    skipped = epoch[_column(history, "skipped_steps") > 0]
    scores = sorted({name for row in history for name in row if name.startswith("validation_")} - {"validation_loss"})
    named = {name: words.name("score", name.removeprefix("validation_")) for name in scores[: len(LOOKS)]}
    losses = {"train_loss": words("legend.training"), "validation_loss": words("legend.validation")}
    norms = {"gradient_norm_median": words("legend.median"), "gradient_norm_max": words("legend.largest")}
    training = _column(history, "train_loss")
    known = training[np.isfinite(training)]
    ends = {"first": number(known[0]), "last": number(known[-1])} if len(known) else {"first": "?", "last": "?"}
    largest = np.nanmax(_column(history, "gradient_norm_max"), initial=0)
    level = _column(history, "base_rate_entropy")
    about = _Epochs(epoch, best, skipped)
    return [
        _curves("loss", history, losses, words, about, level=level, alt=ends),
        _curves("score", history, named, words, about),
        _curves("norm", history, norms, words, about, is_log=True, alt={"largest": f"{largest:.3g}"}),
    ]


def _curves(
    key: str,
    history: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    words: Words,
    about: _Epochs,
    *,
    level: np.ndarray | None = None,
    is_log: bool = False,
    alt: Mapping[str, str] | None = None,
) -> Figure | None:
    """Draw one or more columns over the epochs; None where none of them has a number."""
    columns = {name: _column(history, name) for name in names}
    columns = {name: np.where(values > 0, values, np.nan) if is_log else values for name, values in columns.items()}
    columns = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    if not columns:
        return None
    epoch, best, skipped = about.numbers, about.best, about.with_skipped_steps
    reference = level[np.isfinite(level)][-1:] if level is not None else np.array([])
    chart = Chart(_epochs(epoch, words), _range(np.concatenate([*columns.values(), reference]), is_log))
    legend = []
    if len(reference):
        chart.line([epoch[0] - 0.5, epoch[-1] + 0.5], [reference[0]] * 2, "reference dashed")
    for at in skipped.tolist():
        chart.line([at, at], [chart.y.low, chart.y.high], "bad dashed")
    if best is not None:
        chart.line([best, best], [chart.y.low, chart.y.high], "faint")
        legend.append(("faint", words("legend.best")))
    for look, (name, values) in zip(LOOKS, columns.items(), strict=False):
        chart.line(epoch, values, look)
        chart.dots(epoch, values, look, radius=3)
        legend.insert(len(legend) - (best is not None), (look, names[name]))
    if len(reference):
        legend.append(("reference dashed", words("legend.entropy")))
    if len(skipped):
        legend.append(("bad dashed", words("legend.skipped")))
    spoken = words(f"training.{key}_alt", epochs=len(history), **(alt or {}))
    return Figure(words(f"training.{key}"), chart.svg(spoken), words(f"training.{key}_note"), legend)


def _epochs(epoch: np.ndarray, words: Words) -> Axis:
    low, high = float(epoch[0]) - 0.5, float(epoch[-1]) + 0.5
    ticks = [tick for tick in nice_ticks(low, high, 6) if tick == int(tick)]
    return Axis(low, high, words("training.epoch"), ticks)


def _range(values: np.ndarray, is_log: bool) -> Axis:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if is_log:
        return Axis(low / 1.3, high * 1.3, "", is_log=True)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.5
    return Axis(low - margin, high + margin, "")


def _column(history: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """Return one value per epoch; NaN, which leaves a gap, where it is missing or not finite."""
    values = np.array([np.nan if row.get(name) is None else float(row[name]) for row in history])
    return np.where(np.isfinite(values), values, np.nan)


def _cost(cost: Mapping[str, Any], history: Sequence[Mapping[str, Any]], words: Words) -> list[tuple[str, str]]:
    rows = []
    if cost.get("parameters") is not None:
        rows.append((words("training.parameters"), whole(cost["parameters"])))
    seconds = sum(float(row.get("train_seconds") or 0) + float(row.get("evaluation_seconds") or 0) for row in history)
    if seconds:
        key, value = ("minutes_text", seconds / 60) if seconds >= 120 else ("seconds_text", seconds)
        rows.append((words("training.seconds"), words(f"training.{key}", **{key.removesuffix("_text"): whole(value)})))
    return rows
