"""Repairs of data: dropping, filling, clipping, clamping - what they cure and what they take away.

Axes: N rows or samples, F features.
"""

from __future__ import annotations

import numpy as np
import torch

from data_provider.cleaning import clip_limits
from exp.beliefs.row import Row, Sizes, percent
from exp.beliefs.training import for_case, train
from exp.beliefs.weather import TRAINING_SHARE, case, cells, following_day_mm, regional, scaled

LIMIT = 10.0
LOW, HIGH = 0.01, 0.99
RAINY_MM, HEAVY_MM = 0.1, 10.0
FEATURE_HOURS = (1, 6, 24)
FEATURE_STRIDE = 12


def find_by_counting(sizes: Sizes) -> Row:
    """The notes' third test: count missing cells, look at deviations."""
    mini = case(sizes)
    cells = int(np.isnan(mini.raw).sum())
    columns = int(np.isnan(mini.raw).any(axis=0).sum())
    smallest = float(np.nanstd(mini.raw, axis=0).min())
    return Row(
        belief="`df.isnull().sum()` and `df.std()` show what is wrong",
        notes="test 3",
        measured=f"isnull finds {cells} cells in {columns} of {len(mini.columns)} columns; std passes over NaN and is "
        f"above 0 everywhere (smallest {smallest:.2g})",
        verdict="half true",
        reason="The first line names the cause in a second; the second line cannot see it.",
        holds=cells > 0 and smallest > 0,
        figures={"cells": cells, "columns": columns},
    )


def drop_rows(sizes: Sizes) -> Row:
    """Drop rows with a missing value."""
    mini = case(sizes)
    lost = np.isnan(mini.raw).any(axis=1)
    share = train(for_case(sizes, mini.clean), mini.clean, sizes, steps=4).share
    return Row(
        belief="`df.dropna()` before training cures it",
        notes="solution 4",
        measured=f"{int(lost.sum())} of {len(lost)} rows go; non-finite steps {percent(share)}",
        verdict="true",
        reason="At the head of a region nothing is lost; inside a record it would join hours that are not neighbours.",
        holds=share == 0,
        figures={"rows": int(lost.sum()), "share": share},
    )


def fill_then_zero(sizes: Sizes) -> Row:
    """Forward fill over stacked regions, then zero, before scaling."""
    mini = case(sizes)
    n_head = int(np.isnan(mini.raw[:20]).any(axis=1).sum())
    raw = mini.raw.copy()
    borrowed = 0
    for start in range(0, len(raw), mini.rows_per_region):
        head = np.isnan(raw[start : start + n_head])
        if start:
            raw[start : start + n_head] = np.where(head, raw[start - 1], raw[start : start + n_head])
            borrowed += int(head.sum())
    at = mini.columns.index("t2m_lag_3d")
    zeros = int(np.isnan(raw).sum())
    filled = np.where(np.isnan(raw), 0.0, raw)
    extreme = float(np.abs(scaled(filled)[:, at]).max())
    return Row(
        belief="`ffill` and then `fillna(0)` is a safe repair",
        notes="solution 4",
        measured=f"{borrowed} cells take another region's value, {zeros} become 0; a lagged temperature of 0 K is "
        f"{extreme:.0f} deviations from the mean",
        verdict="false",
        reason="Finite, and wrong: fill inside a region, and put the mean after scaling.",
        holds=borrowed > 0 and extreme > 5,
        figures={"borrowed": borrowed, "zeros": zeros, "extreme": extreme},
    )


def clamp_inputs(sizes: Sizes) -> Row:
    """Clamp scaled inputs at 10."""
    mini, beyond = case(sizes), _beyond(sizes)
    share = train(for_case(sizes, mini.dirty, clamp_inputs=LIMIT), mini.dirty, sizes, steps=4).share
    return Row(
        belief="clamping the inputs at +-10 keeps them sane",
        notes="+-10",
        measured=f"non-finite steps with the blank rows {percent(share)}: a clamp leaves NaN as NaN; "
        f"of all hourly rain it cuts off {percent(beyond['lost_cells'])} in single cells, "
        f"{percent(beyond['lost_means'])} in area means",
        verdict="false",
        reason="No help against NaN, and on rain it cuts the heavy hours off.",
        holds=share == 1,
        figures={"share": share, **beyond},
    )


def extreme_values(sizes: Sizes) -> Row:
    """Values beyond 10 deviations are taken for faults."""
    beyond = _beyond(sizes)
    return Row(
        belief="scaled values beyond +-10 are invalid data",
        notes="+-10",
        measured=f"hourly rain of single cells beyond 10 deviations: {percent(beyond['rain_share'])} of the hours, "
        f"largest {beyond['rain_largest']:.0f}; any other column: {percent(beyond['other_share'])}, largest "
        f"{beyond['other_largest']:.0f}",
        verdict="half true",
        reason="A good alarm for temperature or pressure; for rain it is the signal.",
        holds=beyond["rain_largest"] > beyond["other_largest"],
        figures=beyond,
    )


def rain_scale(sizes: Sizes) -> Row:
    """The notes' ranges of scaled columns."""
    names, values = regional(sizes.days)
    flat = scaled(values.reshape(-1, len(names)).astype(np.float64))
    ranges = {
        name: (flat[:, names.index(name)].min(), flat[:, names.index(name)].max()) for name in ("t2m", "sp", "tp")
    }
    return Row(
        belief="after scaling, temperature lies in -2 to 2, pressure in -3 to 3, rain in 0 to 5",
        notes="-2 to 2, -3 to 3, 0 to 5",
        measured=", ".join(f"{name} {low:.1f} to {high:.1f}" for name, (low, high) in ranges.items()),
        verdict="half true",
        reason="Right for the smooth columns, far too narrow for rain (synthetic weather).",
        holds=ranges["tp"][1] > 5,
        figures={name: list(map(float, pair)) for name, pair in ranges.items()},
    )


def clip_features(sizes: Sizes) -> Row:
    """Clip every column, rain included, at its 1 % and 99 % quantiles, cell by cell as in a table of cells."""
    names, values = cells(sizes.days)
    cut = int(TRAINING_SHARE * len(values))
    training = values[:cut].reshape(-1, len(names)).astype(np.float64)
    every = np.quantile(training, (LOW, HIGH), axis=0)
    ours = clip_limits(training, names, (LOW, HIGH))
    rain, limit = training[:, names.index("tp")], every[1, names.index("tp")]
    lost = float((rain - np.minimum(rain, limit)).sum() / rain.sum())
    hours = float((rain > limit).sum() / max(1, (rain * 1000 > RAINY_MM).sum()))
    limits = {"none": np.array([[-np.inf], [np.inf]]), "all": every, "not rain": ours}
    scores = {name: _scores(values, names, pair) for name, pair in limits.items()}
    return Row(
        belief="clipping every column at its 1 % and 99 % quantiles stabilises",
        notes="q01, q99",
        measured=f"{percent(lost)} of all hourly rain of single cells is cut away, in {percent(hours)} of the rainy "
        f"hours; ROC AUC of a logistic regression for rain of {RAINY_MM:g} mm and of {HEAVY_MM:g} mm a day: unclipped "
        f"{_pair(scores['none'])}, all clipped {_pair(scores['all'])}, all but rain {_pair(scores['not rain'])}",
        verdict="false",
        reason="No NaN goes, much rain does; the order of the days bears it. `--clip_quantiles` spares rain.",
        holds=lost > 0,
        figures={"rain_lost": lost, "rainy_hours": hours, **scores},
    )


def _pair(scores: tuple[float, float]) -> str:
    return f"{scores[0]:.3f} and {scores[1]:.3f}"


def _scores(values: np.ndarray, names: tuple[str, ...], limits: np.ndarray) -> tuple[float, float]:
    """ROC AUC on later times, of rain and of heavy rain, of a logistic regression on means and maxima over hours."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    rain = following_day_mm(values[..., names.index("tp")])
    rows = np.arange(max(FEATURE_HOURS), len(values) - 24, FEATURE_STRIDE)
    clipped = np.clip(values, *limits.astype(values.dtype))
    windows = np.lib.stride_tricks.sliding_window_view(clipped, max(FEATURE_HOURS), axis=0)
    recent = windows[rows - max(FEATURE_HOURS) + 1]
    parts = [recent[..., -hours:].mean(axis=-1) for hours in FEATURE_HOURS] + [recent.max(axis=-1)]
    features = np.concatenate(parts, axis=-1).astype(np.float64)
    early = rows < TRAINING_SHARE * len(values)
    fit, later = (features[mask].reshape(-1, features.shape[-1]) for mask in (early, ~early))
    centre, spread = fit.mean(axis=0), fit.std(axis=0)
    result = []
    for threshold in (RAINY_MM, HEAVY_MM):
        observed = rain[rows] >= threshold
        model = LogisticRegression(max_iter=2000).fit((fit - centre) / spread, observed[early].reshape(-1))
        score = model.decision_function((later - centre) / spread)
        result.append(float(roc_auc_score(observed[~early].reshape(-1), score)))
    return result[0], result[1]


def _beyond(sizes: Sizes) -> dict[str, float]:
    """How much of each kind of column lies beyond the limit, cell by cell; and how much rain, also of area means."""
    names, values = cells(sizes.days)
    at = names.index("tp")
    flat = np.abs(scaled(values.reshape(-1, len(names)).astype(np.float64)))
    other = np.delete(flat, at, axis=1)
    return {
        "rain_share": float((flat[:, at] > LIMIT).mean()),
        "rain_largest": float(flat[:, at].max()),
        "other_share": float((other > LIMIT).any(axis=1).mean()),
        "other_largest": float(other.max()),
        "lost_cells": _lost(values[..., at]),
        "lost_means": _lost(regional(sizes.days)[1][..., at]),
    }


def _lost(rain: np.ndarray) -> float:
    """Share of all rain that lies above the limit."""
    limit = rain.mean(dtype=np.float64) + LIMIT * rain.std(dtype=np.float64)
    return float((rain - np.minimum(rain, limit)).sum(dtype=np.float64) / rain.sum(dtype=np.float64))


def infinite_input(sizes: Sizes) -> Row:
    """How large a finite input may be, and what an infinite one does."""
    windows = case(sizes).clean
    model = for_case(sizes, windows).eval()
    x = windows.inputs(torch.arange(2))
    largest = 0
    with torch.no_grad():
        for exponent in range(39):
            scaled_up = x * 10.0**exponent
            if torch.isfinite(scaled_up).all() and torch.isfinite(model(scaled_up)).all():
                largest = exponent
        x[0, 0, 0] = float("inf")
        finite = bool(torch.isfinite(model(x)[0]).all())
    return Row(
        belief="extreme values or Inf in the input make the output NaN",
        notes="data issues",
        measured=f"inputs times 1e{largest} still give finite outputs; one Inf cell: output "
        f"{'finite' if finite else 'not finite'}",
        verdict="half true",
        reason="Inf does, as NaN does; large finite values do not before squares leave float32.",
        holds=not finite and largest >= 10,
        figures={"largest_exponent": largest, "inf_is_finite": finite},
    )


def exhausted_memory(_sizes: Sizes) -> Row:
    """Ask for more memory than any machine has."""
    try:
        torch.empty(2**60)
        raised = "nothing"
    except RuntimeError as error:
        raised = type(error).__name__
    return Row(
        belief="exhausted memory may be behind the NaN",
        notes="verify that memory is not exhausted",
        measured=f"asking for 4 EiB raises {raised}",
        verdict="false",
        reason="A lack of memory is an error, never a NaN.",
        holds=raised == "RuntimeError",
        figures={"raised": raised},
    )


ALL = (
    find_by_counting, drop_rows, fill_then_zero, clip_features, clamp_inputs, extreme_values, rain_scale,
    infinite_input, exhausted_memory,
)  # fmt: skip
