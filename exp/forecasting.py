"""What comes next in a series? From flags to a Timer-XL that was trained and scored on series, in one run directory.

Its best.pt has the published names, so that a classifier can start from it: --adaptation --pretrain_model_path.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

import models
from data_provider.series_factory import SeriesData, load_series
from data_provider.series_windows import Lengths, SeriesWindows
from data_provider.splits import SPLIT_NAMES, TEST, TRAIN, VALIDATION
from exp import (
    forecast_description,
    forecast_figure,
    forecast_references,
    forecast_scoring,
    resume,
    training_run,
)
from exp.diagnosis.report import Diagnosis
from exp.finished_runs import find_run, stored_settings
from exp.forecast_scoring import Forecast
from exp.forecast_training import ForecastTraining, SeriesExplainer, lengths_of, require_sound_step
from exp.scoring import ERA5_ATTRIBUTION
from exp.settings import Dimensions, Settings
from exp.state_keeper import Keeping
from exp.verified_states import Point
from utils import checkpoint, distributed, run_directory
from utils.checkpoint_contents import judge
from utils.errors import NumericalError, UsageError
from utils.findings import require_no_error
from utils.reproducibility import choose_device, seed_everything, seed_rank

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WindowSets:
    """All windows of a run, found before the first step so that none is missing after the last.

    Attributes:
        train: reach an output token ahead.
        validation: the same.
        test: reach the horizon ahead.
        before: training and validation windows that reach the horizon ahead, for the ridge regression.
    """

    train: SeriesWindows
    validation: SeriesWindows
    test: SeriesWindows
    before: tuple[SeriesWindows, SeriesWindows] | None


def train(settings: Settings) -> list[Path]:
    """Train and score one run per seed.

    Returns:
        The run directories.

    Raises:
        ForeseenError: flags, data, checkpoint or numbers are at fault; the message says which.
    """
    plan = resume.plan(settings)
    settings = plan.settings
    _require_loss(settings)
    if resume.without_weights_not_needed(plan).run.adaptation:
        checkpoint.require(Path(settings.run.pretrain_model_path))
    device = choose_device(settings.run.device, settings.run.gpu)
    data = load_series(settings.series, device)
    sets = windows(settings, data)
    runs, results = training_run.each_seed(plan, lambda settings, point: _train_one(settings, data, sets, point))
    if len(runs) > 1 and distributed.current().is_first:
        _summarise(runs, results)
    return runs


def score_again(settings: Settings) -> Path:
    """Score the newest finished run that agrees with the flags given, such as at another --test_pred_len.

    Returns:
        A new folder in that run.

    Raises:
        UsageError: no finished run agrees.
        DataError: these are not its series.
    """
    run = find_run(settings)
    stored = run_directory.read_json(run / "config.json")
    again = stored_settings(stored, settings.given)
    device = choose_device(again.run.device, again.run.gpu)
    fitted = run_directory.read_json(run / "preprocessing.json")
    data = load_series(again.series, device, list(fitted.values()))
    if run_directory.read_json(run / "environment.json")["data_sha256"] != data.sha256:
        logger.warning("The files have changed since the run was trained; its statistics and borders are kept.")
    training = ForecastTraining(model(again, device), again)
    weights = checkpoint.load(run / "best.pt")
    require_no_error(judge(weights, run / "best.pt"))
    training.model.load_state_dict(weights)
    folder = run / f"{run_directory.SCORED_AGAIN}{datetime.now():%Y%m%d-%H%M%S}"
    run_directory.make_folder(folder)
    logger.info("Scoring %s again.", run)
    own = run_directory.read_json(run / run_directory.FINISHED_FILE)
    facts = {name: own[name] for name in ("cost", "skipped_steps", "stopped_by")}
    _score_and_write(training, data, windows(again, data), again, folder, facts)
    return folder


def _require_loss(settings: Settings) -> None:
    if settings.trainer.validation_score != "loss":
        raise UsageError(
            "CONFIG",
            "The best epoch of a forecast is the one of smallest validation MSE.",
            where="--validation_score",
            evidence=f"got {settings.trainer.validation_score}, which is for classes",
            next_command="--validation_score loss, or leave it out",
        )


def windows(settings: Settings, data: SeriesData) -> WindowSets:
    """Cut all windows of a run, and say how many.

    Raises:
        DataError: ``NO_WINDOWS``, a split has none.
    """
    token = lengths_of(settings)
    context = token.context
    dropped = settings.series.seq_len - context
    if dropped:
        logger.info(
            "CONTEXT_TRIMMED: the newest %d rows of each look-back are used and the oldest %d dropped.",
            context,
            dropped,
        )
    horizon = Lengths(**asdict(token) | {"ahead": settings.forecast.test_pred_len})
    before = None
    if "ridge" in settings.forecast.references:
        before = (data.windows(TRAIN, horizon), data.windows(VALIDATION, horizon))
    sets = WindowSets(data.windows(TRAIN, token), data.windows(VALIDATION, token), data.windows(TEST, horizon), before)
    for name, part in zip(SPLIT_NAMES, (sets.train, sets.validation, sets.test), strict=True):
        logger.info("  %-10s %8d windows of %d + %d rows", name, len(part), context, part.lengths.ahead)
    return sets


def dimensions_of(data: SeriesData, sets: WindowSets) -> Dimensions:
    """Return the sizes that only the series know."""
    return Dimensions(0, data.n_channels, sets.train.context_length, 0, len(data.strands), 1, None)


def model(settings: Settings, device: torch.device) -> torch.nn.Module:
    """Return the network of the flags, with fresh weights."""
    return models.build(settings.run.model, settings.model).to(device)


def _train_one(
    settings: Settings, data: SeriesData, sets: WindowSets, point: Point | None
) -> tuple[Path, dict[str, Any]]:
    counts = [len(part) for part in (sets.train, sets.validation, sets.test)]
    if point is not None:
        now = forecast_description.of_data(data, counts)
        resume.require_same_data(now, point, allowed=settings.checkpoint.allow_resume_changes)
    seed_everything(settings.run.seed)
    network = model(settings, data.device)
    loaded = _load(network, settings) if point is None else ""
    training = ForecastTraining(network, settings)
    channels = data.strands[0].channels if data.n_channels > 1 else ("value",)
    require_sound_step(training, sets.train, channels)
    dimensions = dimensions_of(data, sets)
    ranks = distributed.current()
    seed_rank(settings.run.seed)
    with training_run.hold(settings, data.device, point) as held:
        run = held.run
        if loaded:
            logger.info("%s", loaded)
        if held.needs_description:
            forecast_description.write(run, settings, data, counts, dimensions)
        explain = SeriesExplainer(run, settings, dimensions, channels, Diagnosis(subject={"run": str(run)}))
        description = forecast_description.of_state(settings, data, counts, dimensions)
        keeping = Keeping(description=description, point=point, touch=held.touch)
        try:
            training.fit(sets.train, sets.validation, run, explain, keeping)
            if not ranks.is_first:
                return run, {}
            return run, _score_and_write(training, data, sets, settings, run, _facts(training))
        except NumericalError as error:
            try:
                if ranks.is_first and settings.guard.nan_policy == "stop" and training.best_epoch is not None:
                    logger.warning("Stopped by %s: scoring the weights of epoch %d.", error.code, training.best_epoch)
                    _score_and_write(training, data, sets, settings, run, _facts(training, error.code))
            finally:
                ranks.of_all(None)  # a launcher ends all ranks as soon as one of them has ended
            raise


def _load(model: torch.nn.Module, settings: Settings) -> str:
    """Load all weights of a forecaster; a part of them would be another model."""
    if not settings.run.adaptation:
        return ""
    path = Path(settings.run.pretrain_model_path)
    weights = checkpoint.load_weights(path)
    require_no_error(judge(weights, path))
    return checkpoint.load_strict(model, weights, path, fresh_prefixes=())


def _facts(training: ForecastTraining, stopped_by: str | None = None) -> dict[str, Any]:
    skipped = sum(row["skipped_steps"] for row in training.history)
    return {"cost": training.cost(), "skipped_steps": skipped, "stopped_by": stopped_by}


def _references(settings: Settings, sets: WindowSets) -> dict[str, Forecast]:
    ahead = settings.forecast.test_pred_len
    found: dict[str, Forecast] = {}
    hours = [(strand.times[1] - strand.times[0]) / np.timedelta64(1, "h") for strand in sets.test.sequences]
    season = [max(1, round(settings.forecast.season_hours / step)) for step in hours]
    for name in settings.forecast.references:
        if name == "ridge":
            assert sets.before is not None, "windows were cut for every reference"
            logger.info("ridge regression per channel ...")
            ridge = forecast_references.fit_ridge(*sets.before)
            logger.info("  penalty %g", ridge.alpha)
            found[name] = ridge
        else:
            naive = forecast_references.seasonal_naive(ahead, season)
            found[name] = naive if name == "seasonal_naive" else forecast_references.persistence(ahead)
    return found


def _score_and_write(
    training: ForecastTraining,
    data: SeriesData,
    sets: WindowSets,
    settings: Settings,
    folder: Path,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Score, draw, write; scores.json comes last, since it marks a run as finished."""
    forecast = training.forecast(settings.forecast.test_pred_len, data.device)
    test = forecast_scoring.score(forecast, sets.test, training.evaluation_batch, title="test")
    references = _references(settings, sets)
    scored = {
        name: forecast_scoring.score(reference, sets.test, training.evaluation_batch, title=name)
        for name, reference in references.items()
    }
    scores = {
        "task": "forecast",
        "model": settings.run.model,
        "seed": settings.run.seed,
        "synthetic": data.is_synthetic,
        "units": "deviations of each channel in its training rows",
        "seq_len": sets.test.context_length,
        "test_pred_len": settings.forecast.test_pred_len,
        **facts,
        "test": test,
        "references": scored,
    }
    drawn = _draw(folder, forecast, references, data, sets, settings, scores)
    run_directory.write_json(folder / run_directory.FINISHED_FILE, scores)
    _report(folder, scores, drawn)
    return scores


def _draw(
    folder: Path,
    forecast: Forecast,
    references: dict[str, Forecast],
    data: SeriesData,
    sets: WindowSets,
    settings: Settings,
    scores: dict[str, Any],
) -> Path | None:
    if find_spec("matplotlib") is None:
        logger.info("matplotlib is not installed: no figure.")
        return None
    run_directory.make_folder(folder / "figures")
    told = [f"{name} MSE {_short(row['mse'])}" for name, row in _rows(scores)]
    names = [one.name for one in data.series]
    label = f"{settings.run.model}, seed {settings.run.seed}; {len(names)} series: {', '.join(names[:3])}"
    if data.is_synthetic:
        label += "\nsynthetic data, not ERA5"
    if any(one.is_era5 for one in data.series):
        label += f"\n{ERA5_ATTRIBUTION}"
    return forecast_figure.write(
        folder / "figures" / "forecasts.png", forecast, references, sets.test, "; ".join(told), label
    )


def _rows(scores: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(scores["model"], scores["test"]), *scores["references"].items()]


def _report(folder: Path, scores: dict[str, Any], drawn: Path | None) -> None:
    title = "SYNTHETIC data: " if scores["synthetic"] else ""
    logger.info(
        "\n%stest split, %d rows back, %d ahead, %d windows\n%-16s %8s %8s",
        title,
        scores["seq_len"],
        scores["test_pred_len"],
        scores["test"]["windows"],
        "",
        "MSE",
        "MAE",
    )
    for name, row in _rows(scores):
        logger.info("%-16s %8s %8s", name, _short(row["mse"]), _short(row["mae"]))
    logger.info("scores       %s", folder / run_directory.FINISHED_FILE)
    if drawn is not None:
        logger.info("figure       %s", drawn)


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _summarise(runs: Sequence[Path], results: Sequence[dict[str, Any]]) -> None:
    """Write mean and deviation over the seeds beside the runs."""
    summary: dict[str, Any] = {"runs": [run.name for run in runs], "seeds": [result["seed"] for result in results]}
    for name in ("mse", "mae"):
        values = [result["test"][name] for result in results if result["test"][name] is not None]
        if len(values) > 1:
            summary[name] = {"mean": statistics.mean(values), "deviation": statistics.stdev(values), "values": values}
            logger.info("  %s  %.4f  %.4f", name, summary[name]["mean"], summary[name]["deviation"])
    path = runs[-1].parent / f"summary-{results[0]['model']}-{datetime.now():%Y%m%d-%H%M%S}.json"
    run_directory.write_json(path, summary)
    logger.info("summary      %s", path)
