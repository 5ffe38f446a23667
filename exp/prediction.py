"""Apply a finished run to new ERA5 files: probabilities for every region and time it can, and why not elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.factory import place_table, windows_of
from data_provider.preprocessing import Preprocessing
from data_provider.rain_table import RainTable, table_from_dataset
from data_provider.windows import WindowIndex, WindowSet, with_missing
from exp import scoring
from exp.finished_runs import load_forecaster, stored_settings
from exp.settings import Settings
from utils import run_directory
from utils.errors import DataError, UsageError
from utils.reproducibility import choose_device

logger = logging.getLogger(__name__)


def predict(settings: Settings) -> Path:
    """Prepare the files as the run's table was prepared, and write probabilities as CSV and NetCDF.

    Returns:
        The CSV file.

    Raises:
        UsageError: no run directory is given, or it is not a finished run.
        DataError: nothing can be predicted from the files.
    """
    run = _run_directory(settings)
    stored = run_directory.read_json(run / "config.json")
    own = stored_settings(stored, {})
    device = choose_device(settings.run.device, settings.run.gpu)
    preprocessing = Preprocessing.from_json(run_directory.read_json(run / "preprocessing.json"))
    table = _prepare(Path(settings.predict.input_dir), stored)
    values = preprocessing.apply(table)
    length = stored["dimensions"]["context_length"]
    stride = settings.data.sample_stride_hours if "sample_stride_hours" in settings.given else 1
    index = windows_of(table, length, stride)
    index = _only_whole(index, values, table, preprocessing, length)
    windows = WindowSet(place_table(values, device), index, length, table.regions, device)
    probability = load_forecaster(run, own, device).probabilities(windows)
    cuts = tuple(run_directory.read_json(run / run_directory.FINISHED_FILE)["cut"])
    stem = Path(settings.predict.output)
    stem.parent.mkdir(parents=True, exist_ok=True)
    frame = scoring.write_probabilities(stem, table, index, probability, cuts)
    _report(frame, table, stem)
    return stem.with_suffix(".csv")


def _run_directory(settings: Settings) -> Path:
    runs = [str(run) for run in run_directory.finished_runs(settings.run.checkpoints)][:3]
    if settings.predict.run is None:
        raise UsageError(
            "CONFIG",
            "Say which run shall predict.",
            where="--run",
            evidence=f"newest finished runs: {', '.join(runs) or 'none'}",
            next_command=f"python run.py --task_name predict --run {runs[0] if runs else 'RUN'} --input_dir FOLDER",
        )
    run = Path(settings.predict.run)
    missing = [
        name for name in ("config.json", "preprocessing.json", "best.pt", "scores.json") if not (run / name).is_file()
    ]
    if missing:
        raise UsageError(
            "CONFIG",
            "This is not the directory of a finished run.",
            where=f"--run {run}",
            evidence=f"missing: {', '.join(missing)}; newest finished runs: {', '.join(runs) or 'none'}",
            next_command=f"--run {runs[0] if runs else 'RUN'}",
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
    table = table_from_dataset(prepare_for_prediction(folder, attributes), folder)
    if list(table.regions) != list(stored["regions"]):
        raise DataError(
            "DATA_REGIONS",
            "The files do not give the regions that the run was trained on.",
            where=str(folder),
            evidence=f"run: {', '.join(stored['regions'])}; files: {', '.join(table.regions)}",
            next_command="give files that cover the area of the run",
        )
    return table


def _only_whole(
    index: WindowIndex, values: np.ndarray, table: RainTable, preprocessing: Preprocessing, length: int
) -> WindowIndex:
    """Leave out windows with missing inputs, and say per region which times are affected and why."""
    missing = with_missing(values, index, length)
    for number, name in enumerate(table.regions):
        rows = int(table.present[number].sum())
        mine = index.region == number
        usable = int((mine & ~missing).sum())
        logger.info(
            "  %s: %d forecasts; the first %d hours of a stretch without gap are context%s",
            name,
            usable,
            length * table.step_hours,
            f", {int((mine & missing).sum())} init times have missing inputs ({_blank(values, number, preprocessing)})"
            if (mine & missing).any()
            else f" ({rows} rows read)",
        )
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


def _blank(values: np.ndarray, region: int, preprocessing: Preprocessing) -> str:
    blank = np.isnan(values[region]).any(axis=0)
    names = [name for name, is_blank in zip(preprocessing.variables, blank, strict=True) if is_blank]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _report(frame: pd.DataFrame, table: RainTable, stem: Path) -> None:
    name = f"probability_{table.thresholds_mm[0]:g}mm"
    newest = frame[frame["init_time"] == frame["init_time"].max()]
    logger.info("\nNewest forecasts (%s to %s):", newest["period_start"].iloc[0], newest["period_end"].iloc[0])
    for _, row in newest.iterrows():
        logger.info("  %-20s %5.1f %% chance of at least %g mm", row["region"], 100 * row[name], table.thresholds_mm[0])
    logger.info("%d forecasts: %s and %s", len(frame), stem.with_suffix(".csv"), stem.with_suffix(".nc"))
