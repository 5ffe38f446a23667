"""Apply a finished run to new ERA5 files: probabilities for every region and time it can, and why not elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from data_provider.amounts import AmountWindows
from data_provider.cutting import windows_of
from data_provider.factory import place_table
from data_provider.lead_times import as_prepared, index_at, tables_at
from data_provider.lead_windows import LeadWindows
from data_provider.preprocessing import Preprocessing
from data_provider.rain_table import RainTable, table_from_dataset
from data_provider.windows import WindowIndex, WindowSet, with_missing
from exp import amount_columns, amount_scoring, scoring, settling
from exp.amount_forecasters import AmountForecaster
from exp.finished_runs import is_forecast, load_forecaster, stored_settings
from exp.forecasters import ClassForecaster, Forecaster
from exp.lead_forecasters import LeadForecaster
from exp.settings import Settings
from utils import run_directory
from utils.errors import DataError, UsageError
from utils.reproducibility import choose_device

logger = logging.getLogger(__name__)
NEEDED = ("config.json", "preprocessing.json", "best.pt", run_directory.FINISHED_FILE)


def predict(settings: Settings) -> Path:
    """Prepare the files as the run's table was prepared, and write probabilities, or amounts, as CSV and NetCDF.

    Returns:
        The CSV file.

    Raises:
        UsageError: no run directory is given, or it is not a finished run.
        CheckpointError: its weights or its calibration are missing or damaged.
        DataError: nothing can be predicted from the files.
    """
    run = _run_directory(settings)
    _warn_of_no_skill(run)
    stored = run_directory.read_json(run / "config.json")
    own, settled = stored_settings(stored, {}), settling.read(run)
    device = choose_device(settings.run.device, settings.run.gpu)
    preprocessing = Preprocessing.from_json(run_directory.read_json(run / "preprocessing.json"))
    table, *further = tables_at(_prepare(Path(settings.predict.input_dir), stored), own.data.lead_times)
    values = preprocessing.apply(table)
    length = stored["dimensions"]["context_length"]
    index = windows_of(table, length, settings.data.sample_stride_hours)
    index = _only_whole(index, values, table, length)
    windows = WindowSet(place_table(values, device), index, length, table.regions, device)
    forecaster = load_forecaster(run, own, device)
    stem = Path(settings.predict.output or run / f"predicted-{datetime.now():%Y%m%d-%H%M%S}")
    run_directory.make_folder(stem.parent)
    columns: dict[str, np.ndarray] = {}
    further_told: Sequence[np.ndarray] = ()
    if own.is_regression:
        amounts = cast(AmountForecaster, forecaster).amounts(AmountWindows(windows, table))
        probability = amount_scoring.class_probabilities(amounts, table.thresholds_mm)
        columns = amount_columns.of_forecast(amounts)
    else:
        probability, *further_told = _classes(forecaster, windows, further)
        probability = settled.calibration.apply(probability)
    frame = scoring.write_probabilities(stem, table, index, probability, settled.decision.cut, amounts=columns)
    _report(frame, table, stem)
    for line in settling.in_words(settled, {"expense": None}):
        logger.info("%s", line)
    for each, told in zip(further, further_told, strict=True):
        _write_further(run, stem, each, index, told)
    return stem.with_name(stem.name + ".csv")


def _classes(forecaster: Forecaster, windows: WindowSet, further: Sequence[RainTable]) -> list[np.ndarray]:
    """Return `(N, n_classes)` at each lead time, as the model gives them."""
    if not further:
        return [cast(ClassForecaster, forecaster).probabilities(windows)]
    told = cast(LeadForecaster, forecaster).lead_probabilities(LeadWindows(windows, further))
    return list(told.transpose(1, 0, 2))


def _write_further(run: Path, stem: Path, table: RainTable, index: WindowIndex, told: np.ndarray) -> None:
    """Write what is said of a further lead time beside the first, with what its validation settled."""
    name = run_directory.lead_folder(table.lead_time_hours)
    _warn_of_no_skill(run / name)
    settled = settling.read(run / name)
    own = stem.with_name(f"{stem.name}-{name}")
    frame = scoring.write_probabilities(
        own, table, index_at(table, index), settled.calibration.apply(told), settled.decision.cut
    )
    _report(frame, table, own)


def _run_directory(settings: Settings) -> Path:
    command = "python run.py --task_name predict --run RUN --input_dir FOLDER"
    run = run_directory.named(settings.predict.run, settings.run.checkpoints, command)
    home = run_directory.home_of(run)
    if home != run:
        raise UsageError(
            "CONFIG",
            "This folder has scores of a run, not its weights.",
            where=f"--run {run}",
            evidence="predict tells all lead times of a run at once",
            next_command=command.replace("RUN", str(home)),
        )
    run_directory.require_finished(run, NEEDED)
    if is_forecast(run_directory.read_json(run / "config.json")):
        raise UsageError(
            "CONFIG",
            "This run forecasts series and says nothing about rain.",
            where=f"--run {run}",
            evidence="config.json: task_name forecast",
            next_command=f"train a classifier from it: --adaptation --pretrain_model_path {run / 'best.pt'}",
        )
    return run


def _prepare(folder: Path, stored: dict) -> RainTable:
    from data_provider.prepare import prepare_for_prediction

    attributes = stored["table"]
    if "recipe" not in attributes:
        raise UsageError(
            "CONFIG",
            "This run was trained on a table whose making is not recorded, so new files cannot be prepared alike.",
            where=f"--run, trained on {attributes.get('title', 'a CSV without a .json beside it')}",
            evidence="no recipe among the attributes of the table",
            next_command="prepare ERA5 with bash scripts/prepare_era5.sh and train on that table",
        )
    try:
        table = table_from_dataset(prepare_for_prediction(folder, as_prepared(attributes)), folder)
    except DataError as error:
        if error.code == "REGION_EMPTY":
            error.next_command = "give files that cover the regions the run was trained on"
        raise
    if list(table.regions) != list(stored["regions"]):
        raise DataError(
            "DATA_REGIONS",
            "The files do not give the regions that the run was trained on.",
            where=str(folder),
            evidence=f"run: {', '.join(stored['regions'])}; files: {', '.join(table.regions)}",
            next_command="give files that cover the area of the run",
        )
    return table


def _only_whole(index: WindowIndex, values: np.ndarray, table: RainTable, length: int) -> WindowIndex:
    """Leave out windows with missing inputs, and say for which regions and why."""
    missing = with_missing(values, index, length)
    said: dict[str, list[str]] = {}
    for number, name in enumerate(table.regions):
        mine = index.region == number
        text = f"{int((mine & ~missing).sum())} forecasts, from the first {length * table.step_hours} h of context on"
        if (mine & missing).any():
            text += (
                f"; {int((mine & missing).sum())} init times left out, blank in their context: {_blank(table, number)}"
            )
        said.setdefault(text, []).append(name)
    for text, names in said.items():
        logger.info("  %s: %s", ", ".join(names), text)
    if missing.all():
        raise DataError(
            "DATA_NAN",
            "No init time has a whole context: nothing can be predicted.",
            where=str(table.source),
            evidence=f"{len(index)} init times, all with missing inputs; context {length * table.step_hours} h, and "
            "lags and rolling means need the days before it",
            next_command="add files of the weeks before",
        )
    return index.select(~missing)


def _blank(table: RainTable, region: int) -> str:
    """Name the features of a region that have blanks; at the head of a record these are lags and rolling means."""
    blank = (np.isnan(table.values[region]) & table.present[region][:, None]).any(axis=0)
    names = [name for name, is_blank in zip(table.features, blank, strict=True) if is_blank]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _warn_of_no_skill(run: Path) -> None:
    """Say how a run was marked in its test, before its probabilities are believed."""
    content = run_directory.read_json(run / run_directory.FINISHED_FILE)
    for mark in content.get("marks", ()):
        ahead = f", {content['lead_time_hours']} h ahead," if run != run_directory.home_of(run) else ""
        logger.warning("%s: in the test of this run%s %s", mark["code"], ahead, mark["sentence"])
    if "marks" in content:
        return
    skill = scoring.main_scores(content["test"])["brier_skill_score"]  # a run of an earlier version
    if content["collapsed"]:
        logger.warning("COLLAPSED: this run said the same every time in its test; its probabilities mean nothing.")
    elif skill is not None and skill <= 0:
        logger.warning("NO_SKILL: in its test this run was no better than climatology (Brier skill %.3f).", skill)


def _report(frame: pd.DataFrame, table: RainTable, stem: Path) -> None:
    newest = frame[frame["init_time"] == frame["init_time"].max()]
    first = newest.iloc[0]
    logger.info("\nNewest forecasts, %s to %s UTC:", first["period_start"], first["period_end"])
    for _, row in newest.iterrows():
        chances = [
            f"{100 * row[f'probability_{mm:g}mm']:5.1f} % for {mm:g} mm"
            f" ({'reached' if row[f'forecast_{mm:g}mm'] else 'not reached'})"
            for mm in table.thresholds_mm
        ]
        amount = f"median {row['median_mm']:.1f} mm; " if "median_mm" in frame else ""
        logger.info("  %-20s %s%s", row["region"], amount, ", ".join(chances))
    logger.info("%d forecasts: %s.csv and %s.nc", len(frame), stem, stem)
