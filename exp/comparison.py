"""Finished runs side by side on identical test instants, with intervals: `run.py --task_name compare` as a module.

python -m exp.comparison checkpoints/peru                the newest run of each model, seeds together
python -m exp.comparison checkpoints/peru-by_years       the same of --cross_validate: all test years as one record
python -m exp.comparison RUN RUN ... [--ensemble]        these run directories; flags: run.py --task_name compare --help
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from exp.compare import alike, content, folds, picture, reading, tables
from exp.compare.config import CompareConfig
from exp.report import write as report
from utils import flags, last_words, outcome, run_directory

logger = logging.getLogger(__name__)


def compare(config: CompareConfig) -> Path:
    """Compare runs, tell the table and write it.

    Returns:
        The folder with comparison.json, .md, .csv and, where matplotlib and jinja2 are installed, a figure for each
        threshold and for the amounts, and a page.

    Raises:
        UsageError: the runs are none, not finished, or do not belong together.
        DataError: one has no forecasts to compare.
        StorageError: the folder cannot be written.
    """
    paths = reading.at_lead_time(reading.paths_of(config.runs), config.lead_time)
    read = reading.read_all(paths, with_validation=config.ensemble)
    runs = folds.together(read, config.test_year)
    if config.ensemble:
        folds.refuse_ensemble(runs)
    if len(runs) == 1:
        last_words.show("One run is named: it is compared with its own climatology and persistence.")
    command = shlex.join(["python", "run.py", "--task_name", "compare", *_words(config)])
    same = alike.require(runs, common_instants=config.common_instants, command=command)
    found = content.of(same, against=config.against, with_ensemble=config.ensemble, command=command)
    folder = Path(config.output) if config.output else _new_folder(runs[0].home.parent)
    written = [*write(folder, found), *_page(folder, found, config.language)]
    last_words.show(tables.text(found))
    last_words.show(f"written      {', '.join(map(str, written))}")
    return folder


def page_of(runs: Sequence[Path], folder: Path, language: report.Language, command: str) -> list[Path]:
    """Write the page alone, for who tells the rest in a table of its own.

    Args:
        runs: directories of finished runs on the same test instants.
        folder: for report.html.
        language: of the page.
        command: that made the comparison.

    Returns:
        The page; nothing where jinja2 is not installed.
    """
    return _page(folder, content.of(alike.require(reading.read_all(runs)), command=command), language)


def write(folder: Path, found: dict[str, Any]) -> list[Path]:
    """Write a comparison as JSON, Markdown, CSV and, where matplotlib is installed, pictures.

    Raises:
        StorageError: one cannot be written.
    """
    run_directory.make_folder(folder)
    paths = [folder / f"comparison.{suffix}" for suffix in ("json", "md", "csv")]
    run_directory.write_json(paths[0], found)
    run_directory.write_text(paths[1], tables.markdown(found))
    run_directory.write_text(paths[2], tables.comma_separated(found))
    if find_spec("matplotlib") is None:
        return paths
    several = len(found["events"]) > 1
    for event in found["events"]:
        ending = f"_{event['threshold_mm']:g}mm" if several else ""
        paths.append(picture.draw_event(folder / f"comparison{ending}.png", found, event))
    if found["amounts"]:
        paths.append(picture.draw_amounts(folder / "comparison_amounts.png", found, found["amounts"]))
    return paths


def main(words: Sequence[str]) -> int:
    """Compare what the words name, as `run.py --task_name compare` does, and return the exit code."""
    return outcome.of(lambda: _answer(list(words)))


def _answer(words: list[str]) -> None:
    if words in (["-h"], ["--help"]):
        last_words.show(__doc__ or "")
        return
    from exp import command_line

    compare(command_line.read(["--task_name", "compare", *words]).compare)


def _page(folder: Path, found: dict[str, Any], language: report.Language) -> list[Path]:
    if not report.can_be_written():
        logger.info("jinja2 is not installed: no %s.", report.FILE)
        return []
    return [report.write_comparison(folder, found, language)]


def _words(config: CompareConfig) -> list[str]:
    """Return the words that ask for this comparison again."""
    default = CompareConfig()
    given = {name: value for name, value in flags.as_dict(config).items() if value != flags.as_dict(default)[name]}
    words = list(given.pop("runs", []))
    for name, value in given.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


def _new_folder(parent: Path) -> Path:
    return parent / f"comparison-{datetime.now():%Y%m%d-%H%M%S}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
