"""What a finished run left behind, read for its page; files of earlier versions may lack some of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from exp import stored_forecasts
from utils import run_directory
from utils.errors import UsageError

DIAGNOSIS_FILE, METRICS_FILE, PAGE_FILE = "diagnosis.json", "metrics.jsonl", "report.html"


@dataclass(frozen=True)
class Cases:
    """What was forecast and observed in the test period; unlike `Forecasts` it may come from a run without references.

    Attributes:
        init_time: `(N,)` datetime64.
        region: `(N,)` names.
        probability: `(N,)` of the event.
        observed: `(N,)` 0 or 1.
        cut: probability from which on the event is forecast.
        climatology: `(N,)` probability of the reference; None where the run did not store it.
    """

    init_time: np.ndarray
    region: np.ndarray
    probability: np.ndarray
    observed: np.ndarray
    cut: float
    climatology: np.ndarray | None = None

    @property
    def is_forecast(self) -> np.ndarray:
        """`(N,)` True where the event is forecast."""
        return self.probability >= self.cut

    def select(self, chosen: np.ndarray) -> Cases:
        """Keep the cases of a mask `(N,)`."""
        arrays = {name: values[chosen] for name, values in vars(self).items() if isinstance(values, np.ndarray)}
        return replace(self, **arrays)


@dataclass(frozen=True)
class Event:
    """One yes/no question of a run: does at least this much rain fall?

    Attributes:
        threshold_mm: of rain.
        scores: its part of scores.json: "overall", "by_region", ...
        cases: of the test period.
    """

    threshold_mm: float
    scores: Mapping[str, Any]
    cases: Cases

    @property
    def overall(self) -> Mapping[str, Any]:
        """The scores over all regions and times."""
        return self.scores["overall"]


@dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        run: its directory.
        scores: content of scores.json.
        config: content of config.json; empty where there is none.
        environment: content of environment.json; likewise.
        preprocessing: content of preprocessing.json; likewise.
        diagnosis: content of diagnosis.json; None where there is none.
        history: one row per epoch of metrics.jsonl.
        events: one per threshold, the lowest first.
    """

    run: Path
    scores: Mapping[str, Any]
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    diagnosis: Mapping[str, Any] | None
    history: list[dict[str, Any]]
    events: list[Event]

    @property
    def table(self) -> Mapping[str, Any]:
        """What is recorded about the table the run was made from."""
        return self.config.get("table", {})


def read(run: Path) -> Record:
    """Read a finished run, or the folder `scored-*` in it that a later scoring wrote.

    Raises:
        UsageError: there is no such run, it is not finished, or it says nothing about rain.
        DataError: ``RUN_WITHOUT_PREDICTIONS``.
    """
    run_directory.require_finished(run)
    scores = run_directory.read_json(run / run_directory.FINISHED_FILE)
    tables = _tables(scores)
    if not tables:
        raise UsageError(
            "CONFIG",
            "This run says nothing about whether it rains, and the report is about that.",
            where=f"--run {run}",
            evidence=f"{run_directory.FINISHED_FILE} has no yes/no scores of a test period",
            next_command="--run RUN, a run of --task_name classification or regression",
        )
    frame = stored_forecasts.observed_cases(run)
    home = run_directory.home_of(run)
    return Record(
        run=run,
        scores=scores,
        config=_content(home / "config.json") or {},
        environment=_content(home / "environment.json") or {},
        preprocessing=_content(home / "preprocessing.json") or {},
        diagnosis=_content(home / DIAGNOSIS_FILE),
        history=_lines(home / METRICS_FILE),
        events=[
            Event(threshold, table, _cases(run, frame, threshold, level, cut))
            for level, (table, threshold, cut) in enumerate(
                zip(tables.values(), scores["threshold_mm"], scores["cut"], strict=True)
            )
        ],
    )


def _cases(run: Path, frame: pd.DataFrame, threshold: float, level: int, cut: float) -> Cases:
    name, reference = (f"{part}_{threshold:g}mm" for part in ("probability", "climatology"))
    if name not in frame:
        raise stored_forecasts.without_predictions(run / stored_forecasts.PREDICTIONS_FILE, f"no column {name}")
    return Cases(
        init_time=frame["init_time"].to_numpy().astype("datetime64[s]"),
        region=frame["region"].to_numpy().astype(str),
        probability=frame[name].to_numpy(dtype=np.float64),
        observed=(frame["observed_class"].to_numpy() > level).astype(np.int8),
        cut=cut,
        climatology=frame[reference].to_numpy(dtype=np.float64) if reference in frame else None,
    )


def _tables(scores: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return threshold -> score table of the test period, in the order of the thresholds."""
    test = scores.get("test", {})
    # A regression keeps its amounts there, and the thresholds as events beside them.
    test = test.get("events", test)
    tables = test.get("thresholds", {"": test})
    return {name: table for name, table in tables.items() if "contingency_table" in table.get("overall", {})}


def _content(path: Path) -> Any:
    return run_directory.read_json(path) if path.is_file() else None


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
