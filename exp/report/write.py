"""Write the pages: report.html beside the scores of a run, and of a comparison."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from exp.report import page, record, words
from exp.report.words import Language
from exp.settings import Settings
from utils import run_directory
from utils.errors import UsageError

logger = logging.getLogger(__name__)
FILE = record.PAGE_FILE


def write_run(run: Path, language: Language) -> Path:
    """Write the page of a finished run into its directory.

    Args:
        run: directory of a finished run, or the folder in it that a later scoring wrote.
        language: of the page.

    Raises:
        UsageError: it is not a finished run, or jinja2 is not installed.
        DataError: it has no predictions.
        StorageError: the page cannot be written.
    """
    _require_jinja2()
    path = run / FILE
    run_directory.write_text(path, page.of_run(record.read(run), words.read(language)))
    return path


def write_comparison(folder: Path, content: Mapping[str, Any], language: Language) -> Path:
    """Write the page of a comparison.

    Args:
        folder: of the comparison.
        content: what its comparison.json holds.
        language: of the page.

    Raises:
        UsageError: jinja2 is not installed.
        StorageError: the page cannot be written.
    """
    from exp.report import comparison

    _require_jinja2()
    path = folder / FILE
    run_directory.write_text(path, comparison.of_comparison(content, words.read(language)))
    return path


def can_be_written() -> bool:
    """Return whether jinja2 is installed, without which there are scores and no page."""
    return find_spec("jinja2") is not None


def again(settings: Settings) -> Path:
    """Write the page of the run that `--run` names anew.

    Raises:
        UsageError: no run is named, or it is not a finished one.
        DataError: it has no predictions.
    """
    command = "python run.py --task_name report --run RUN"
    run = run_directory.named(settings.predict.run, settings.run.checkpoints, command)
    path = write_run(run, settings.verification.language)
    for lead in sorted(run.glob(f"{run_directory.AT_LEAD}*/{run_directory.FINISHED_FILE}")):
        write_run(lead.parent, settings.verification.language)
    logger.info("report       %s", path)
    return path


def _require_jinja2() -> None:
    if not can_be_written():
        raise UsageError(
            "CONFIG",
            "The report is made with jinja2, which is not installed.",
            where="--task_name report",
            evidence="no module named jinja2",
            next_command="pip install jinja2",
        )
