"""One option: from the words typed to run.py, skipped where it is finished, gone on with where it was cut."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from data_provider.rain_table import require_table
from exp import command_line, options, resume
from exp.settings import RunConfig, Settings
from scripts.options import smoke
from utils import run_directory
from utils.errors import EXIT_OK, ForeseenError, join

logger = logging.getLogger(__name__)


def run(letter: str, typed: Sequence[str], program: Callable[[list[str]], int]) -> int:
    """Train and score one option, or do with its flags what else was typed, and return the exit code.

    Args:
        letter: of the option.
        typed: words of the user.
        program: run.py.

    Raises:
        ForeseenError: the table or the weights are not there, or a flag is refused.
    """
    words = prepared([letter], typed)[letter]
    settings = command_line.read(words)
    if not trains(settings) or "resume" in settings.given:
        logger.info("python run.py %s", shlex.join(words))
        return program(words)
    require_inputs({letter: words})
    finished = resume.finished_runs(settings)
    if len(finished) == settings.run.itr:
        for seed, folder in finished.items():
            logger.info("option %s, seed %d is finished: %s", letter, seed, folder / run_directory.FINISHED_FILE)
        logger.info("another seed: --seed %d; the same once more: --resume none", max(finished) + 1)
        return EXIT_OK
    words = [*words, "--resume", "auto"]
    logger.info("python run.py %s", shlex.join(words))
    return program(words)


def prepared(letters: Sequence[str], typed: Sequence[str]) -> dict[str, list[str]]:
    """Return the words for run.py of several options; the smoke preset has its table and its encoder made first."""
    weights = None
    if options.SMOKE in options.presets_typed(typed):
        given = options.typed_flags(typed)
        if not {"data_path", "root_path"} & set(given):
            typed = [*smoke.table_words(), *typed]
        is_wanted = given.get("adaptation", True) and "pretrain_model_path" not in given
        if is_wanted and any(options.option_of(letter).has_weights for letter in letters):
            weights = smoke.encoder(given.get("checkpoints", RunConfig.checkpoints))
    return {letter: options.command(letter, typed, smoke_weights=weights) for letter in letters}


def trains(settings: Settings) -> bool:
    """True for flags that train a classifier, and not just look at it."""
    run = settings.run
    return bool(run.task_name == "classification" and run.is_training and not run.dry_run)


def require_inputs(words: dict[str, list[str]]) -> None:
    """Name every table and file of weights that is missing in one message.

    Args:
        words: letter -> words for run.py.

    Raises:
        ForeseenError: the first of what is missing, with all others.
    """
    tables: set[Path] = {command_line.read(each).data.path for each in words.values()}
    checks: list[Callable[[], None]] = [partial(require_table, path) for path in sorted(tables)]
    checks += [partial(options.require_weights, letter, each) for letter, each in words.items()]
    errors: dict[str, ForeseenError] = {}
    for check in checks:
        try:
            check()
        except ForeseenError as error:
            errors.setdefault(error.where, error)
    if errors:
        raise join(list(errors.values()))
