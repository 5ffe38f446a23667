"""A comparison as plain values: everything that comparison.json, the tables, the figure and the page are made from.

The shape of comparison.json, with `difference` for `{"difference": x | null, "interval": [low, high] | null, "is_real":
bool | null, "in_every_seed": bool | null}`:

    command, made_at, synthetic, attribution
    label           {"threshold_mm": [..], "lead_time_hours", "accumulation_hours"}
    regions         [names]
    splits          {"train_end", "validation_end", "test_first", "test_last"}; the first two are lists, one for each
                    test year, where runs of --cross_validate are compared
    instants        {"n", "days", "left_out": {run: windows that others lack}}
    references      {"from": run, "largest_difference": of any run's own climatology from this one}
    interval        {"level", "draws", "block_days", "why_none": a sentence or "", "of": a sentence}
    models          [{"name", "model", "kind", "runs": [paths], "seeds": [..], "cut_score", "cost": {..}, "marks":
                     [..]}]
    events          one for each threshold:
        threshold_mm, n, base_rate, best (name), against (name)
        table           best Brier score first: [{"name", "kind", "seeds", "scores": {score: x | null}, "intervals":
                         {score: [low, high] | null}, "spread": {score: {"deviation", "lowest", "highest"} | null},
                         "by_seed": {score: [..]}, "cut": [..], "predicted_rain_share": [..], "constant_answer"}]
        differences     [{"name", "from", "scores": {score: difference}, "diebold_mariano": {..} | null}]
        ensemble        null, or {"n_validation", "left_out", "against_equal_weights": difference,
                         "members": [{"name", "weight", "marks", "contribution": difference, "verdict"}]}
    amounts         null without a regression, else
        n, mean_observed (mm), quantiles, without [names of those that forecast no amounts], best, against
        references      {"from": run, "largest_difference": of any run's own expected climatology from this one, mm}
        table, differences    as of an event, best CRPS first, without what is of cuts and of two Brier scores alone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any

import numpy as np

from exp.compare import costs, ensemble, entries, groups
from exp.compare.alike import Alike
from exp.compare.entries import Entry
from exp.compare.groups import Group
from exp.compare.judging import EventJudge, Judge
from exp.compare.shape import AMOUNT, EVENT, Shape
from exp.scoring import ERA5_ATTRIBUTION
from utils.forecasts import REFERENCES
from utils.intervals import F
from utils.judgement import of_amounts

MEANING = (
    "of the score on other days like these: days are drawn in blocks, all regions and hours of a day together, the "
    "same for all models; of several seeds it is the interval of their mean score, seeds kept"
)


def of(alike: Alike, *, against: str | None = None, with_ensemble: bool = False, command: str = "") -> dict[str, Any]:
    """Judge runs on identical instants.

    Args:
        alike: the runs.
        against: what all are compared with beside the best one; the best reference when None.
        with_ensemble: weigh all groups into one forecast; the runs have their validation forecasts.
        command: that made the comparison.

    Raises:
        UsageError: `against` names none of the compared, or an ensemble of one is asked for.
    """
    together = groups.of(alike.runs)
    if with_ensemble:
        ensemble.require_members(together)
    first, times = alike.runs[0], alike.runs[0].first.init_time
    stored = [name for name in REFERENCES if name not in {group.name for group in together}]
    reference = against if against in stored or against is None else groups.named(together, against, stored)
    judged = [_event(together, alike, threshold, reference, with_ensemble) for threshold in first.test]
    events, settings = [event for event, _ in judged], judged[0][1]
    amounts = _amounts(together, alike, reference) if alike.amount_reference else None
    return {
        "command": command,
        "made_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "synthetic": bool(first.scores["synthetic"]),
        "attribution": first.config.get("table", {}).get("attribution", ERA5_ATTRIBUTION),
        "label": {name: first.scores[name] for name in ("threshold_mm", "lead_time_hours", "accumulation_hours")},
        "regions": list(first.config["regions"]),
        "splits": {
            **{name: first.config["splits"][name] for name in ("train_end", "validation_end")},
            "test_first": str(times.min()),
            "test_last": str(times.max()),
        },
        "instants": {
            "n": len(times),
            "days": len(np.unique(times.astype("datetime64[D]"))),
            "left_out": dict(alike.left_out),
        },
        "references": {"from": alike.reference.name, "largest_difference": alike.reference_difference},
        "interval": {**settings, "of": MEANING},
        "models": [_model(group) for group in together],
        "events": events,
        "amounts": amounts,
    }


def _model(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "model": group.model,
        "kind": "reference" if group.is_reference else "model",
        "runs": [path for run in group.runs for path in run.paths],
        "seeds": group.seeds,
        "cut_score": group.runs[0].scores.get("cut_score"),
        "cost": costs.of_group(group),
        "marks": costs.marks_of(group),
    }


def _event(
    together: Sequence[Group], alike: Alike, threshold: float, against: str | None, with_ensemble: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    compared = entries.of_event(together, alike, threshold)
    mixed = ensemble.build(together, threshold) if with_ensemble else None
    shown = [*compared, *(mixed.entries if mixed else ())]
    lead = alike.reference.scores["lead_time_hours"]
    judge = EventJudge([*compared, *(mixed.all_entries if mixed else ())], lead_time_hours=lead)
    marks = {group.name: costs.marks_of(group) for group in together}
    observed = np.asarray(compared[0].forecasts[0].observed)
    return {
        "threshold_mm": threshold,
        "n": len(observed),
        "base_rate": float(observed.mean()),
        **_judged(EVENT, shown, judge, against),
        "ensemble": ensemble.content(mixed, judge, marks) if mixed else None,
    }, judge.settings


def _amounts(together: Sequence[Group], alike: Alike, against: str | None) -> dict[str, Any]:
    reference = alike.amount_reference
    assert reference is not None, "asked for where there is one"
    theirs = entries.amounts_of(reference)
    shown = entries.of_amounts([group for group in together if group.has_amounts], theirs)
    judge = Judge(of_amounts(reference.scores["threshold_mm"][0]), shown)
    return {
        "n": len(theirs.observed),
        "mean_observed": float(theirs.observed.mean()),
        "quantiles": theirs.forecast.quantiles.shape[1],
        "without": [group.name for group in together if not group.has_amounts],
        "references": {"from": reference.name, "largest_difference": alike.amount_reference_difference},
        **_judged(AMOUNT, shown, judge, against),
    }


def _judged(shape: Shape, shown: Sequence[Entry[F]], judge: Judge[F], against: str | None) -> dict[str, Any]:
    """Return the table of forecasts and their differences from the best one and from `against`.

    Where `against` is not among them, such as a classification where amounts are compared, it is the best reference.
    """
    rows = [_row(entry, judge, shape) for entry in shown]
    table = sorted(rows, key=lambda row: inf if row["scores"][shape.order] is None else row["scores"][shape.order])
    # An ensemble is made of the others, so it is compared with them and none of them with it.
    single = [row for row in table if row["kind"] != "ensemble"]
    best = single[0]["name"]
    is_there = any(row["name"] == against for row in single)
    chosen = against if is_there else next(row["name"] for row in single if row["kind"] == "reference")
    return {
        "best": best,
        "against": chosen,
        "table": table,
        "differences": [
            _differences(row["name"], other, judge, shape)
            for other in dict.fromkeys((chosen, best))
            for row in table
            if row["name"] != other
        ],
    }


def _row(entry: Entry[F], judge: Judge[F], shape: Shape) -> dict[str, Any]:
    names = list(shape.columns.values())
    return {
        "name": entry.name,
        "kind": entry.kind,
        "seeds": list(entry.seeds),
        "scores": {score: judge.value(entry.name, score) for score in names},
        "intervals": {score: judge.interval(entry.name, score) for score in names},
        "spread": {score: judge.spread(entry.name, score) for score in names},
        "by_seed": {score: judge.of_seeds(entry.name, score) for score in names},
        **judge.facts(entry.name),
    }


def _differences(name: str, other: str, judge: Judge[F], shape: Shape) -> dict[str, Any]:
    return {
        "name": name,
        "from": other,
        "scores": {score: judge.difference(name, other, score) for score in shape.columns.values()},
        **judge.tests(name, other),
    }


def marked(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the models whose marks have to be told: that climatology has no skill is what skill is measured from."""
    return [model for model in content["models"] if model["marks"] and model["model"] not in REFERENCES]
