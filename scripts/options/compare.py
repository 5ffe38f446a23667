"""Several options on equal terms: one table, the same test instants, the notes' promises beside what came out."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

import torch

from data_provider.rain_table import RainTable, read_table_leniently
from exp import (
    command_line,
    comparison,
    ladder,
    option_scores,
    option_verdicts,
    options,
    rain_classification,
    rain_splits,
    resume,
)
from exp.option_scores import Outcome
from exp.settings import Settings, context_length
from scripts.options import single
from utils import signals
from utils.errors import EXIT_OK, NumericalError, UsageError

logger = logging.getLogger(__name__)
FOLDER, LADDER_FOLDER = "compared_options", "ladder"


def run(words: Sequence[str]) -> int:
    """Train what is not finished yet, print and write the table, and return the exit code: 5 where a seed has died.

    Args:
        words: letters, then flags; `--ladder` and `--seeds n` are the comparison's own, the rest is run.py's.

    Raises:
        ForeseenError: a flag, the table or weights are at fault, or the options would not be tested alike.
    """
    letters, typed, is_ladder = read(words)
    prepared = single.prepared(letters, typed)
    settings = {letter: command_line.read(each) for letter, each in prepared.items()}
    _require_training(settings)
    single.require_inputs(prepared)
    _require_same_instants(settings)
    folder = _folder(settings[letters[0]], typed, LADDER_FOLDER if is_ladder else FOLDER)
    outcomes: list[Outcome] = []
    said: list[str] = []
    for letter in letters:
        outcomes.append(_play(letter, prepared[letter], settings[letter], shlex.join(words)))
        verdicts = option_verdicts.of(outcomes)
        concluded = ladder.conclude(verdicts.outcomes) if is_ladder else []
        said += concluded
        told = [*verdicts.sentences(), *said]
        written = option_scores.write(folder, verdicts.outcomes, told, verdicts.differences)
        logger.info("\n%s", option_scores.text(verdicts.outcomes))
        for sentence in (*verdicts.sentences(), *concluded):
            logger.info("%s", sentence)
    runs = [Path(run) for outcome in outcomes for run in outcome.runs]
    if runs:
        command = shlex.join(["bash", "scripts/compare_options.sh", *words])
        written += comparison.page_of(runs, folder, settings[letters[0]].verification.language, command)
    logger.info("written      %s", ", ".join(map(str, written)))
    return NumericalError.exit_code if any(each.failed for each in outcomes) else EXIT_OK


def read(words: Sequence[str]) -> tuple[list[str], list[str], bool]:
    """Return letters, flags for run.py, and whether it is the ladder.

    Raises:
        UsageError: no such option, letters behind a flag or beside `--ladder`, or no number of seeds.
    """
    rest = list(words)
    letters = []
    while rest and not rest[0].startswith("-"):
        letters.append(options.option_of(rest.pop(0)).letter)
    is_ladder = "--ladder" in rest
    late, others = _letters_behind_flags(rest)
    if late and not is_ladder:
        raise UsageError(
            "CONFIG",
            f"The letters {' '.join(late)} stand behind a flag, and belong in front of all flags.",
            where="command line",
            next_command=f"bash scripts/compare_options.sh {shlex.join([*letters, *late, *others])}",
        )
    letters += late
    if is_ladder and letters:
        raise UsageError(
            "CONFIG",
            "The ladder has steps of its own: small, full, transfer.",
            where="--ladder",
            evidence=f"got {' '.join(letters)} too",
            next_command="bash scripts/compare_options.sh --ladder, or the letters without it",
        )
    typed = _seeds_as_itr([word for word in others if word != "--ladder"])
    if is_ladder:
        return list(ladder.ORDER), typed, True
    return list(dict.fromkeys(letters)) or list(options.OPTIONS), typed, False


def _letters_behind_flags(rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the letters of options that stand where no flag of run.py would take them, and the words without them.

    The first word behind a flag is its value, whatever it looks like: an experiment may be called A.
    """
    letters: list[str] = []
    others: list[str] = []
    for before, word in zip(["", *rest], rest, strict=False):
        is_value = before.startswith("-") and before != "--ladder" and "=" not in before
        if word.upper() in options.OPTIONS and not is_value:
            letters.append(word.upper())
        else:
            others.append(word)
    return letters, others


def _seeds_as_itr(words: Sequence[str]) -> list[str]:
    """Return the words with `--seeds n` as `--itr n`; a number that is none is refused under the name it was typed."""
    typed: list[str] = []
    parts = [part for word in words for part in (word.split("=", 1) if word.startswith("--seeds=") else [word])]
    for word, number in zip(parts, [*parts[1:], ""], strict=False):
        if word == "--seeds" and not (number.isdecimal() and int(number)):
            raise UsageError(
                "CONFIG",
                "--seeds must be a whole number from 1.",
                where="--seeds",
                evidence=f"got {number or 'nothing'}",
                next_command="--seeds 3",
            )
        typed.append("--itr" if word == "--seeds" else word)
    return typed


def _require_training(settings: dict[str, Settings]) -> None:
    for each in settings.values():
        if not single.trains(each) or "resume" in each.given:
            raise UsageError(
                "CONFIG",
                "A comparison trains every option and goes on with what was cut by itself.",
                where="--task_name, --is_training, --dry_run, --resume",
                next_command="leave these away, or type them behind one option: scripts/option_b_small.sh --dry_run",
            )


def _require_same_instants(settings: dict[str, Settings]) -> None:
    """Refuse contexts that would leave the options different test windows, before hours are spent on them.

    A window counts where all its context is there, so a gap in the table costs more windows the longer the context is.
    """
    lengths = {letter: context_length(each) for letter, each in settings.items()}
    if len(set(lengths.values())) == 1:
        return
    table = read_table_leniently(next(iter(settings.values())).data.path)
    counted: dict[int, set[tuple[str, int]]] = {}
    for letter, length in lengths.items():
        if length not in counted:
            counted[length] = _test_windows(settings[letter], table)
    if len(set(map(frozenset, counted.values()))) > 1:
        raise UsageError(
            "CONFIG",
            "With contexts of their own these options would not be tested at the same instants.",
            where="--seq_len",
            evidence="; ".join(f"{length} rows: {len(found)} test windows" for length, found in counted.items()),
            next_command=f"--seq_len {max(lengths.values())} for all of them",
        )
    logger.info("contexts of %s rows, the same test windows", " and ".join(map(str, counted)))


def _test_windows(settings: Settings, table: RainTable) -> set[tuple[str, int]]:
    index = rain_splits.load(settings, torch.device("cpu"), table=table).test.index
    return set(zip(map(str, index.init_time), map(int, index.region), strict=True))


def _play(letter: str, words: Sequence[str], settings: Settings, typed: str) -> Outcome:
    """Train the seeds of one option that are not finished; a seed that dies of its numbers is noted and left."""
    option = options.option_of(letter)
    logger.info("\n[option %s] %s: python run.py %s", letter, option.title, shlex.join(words))
    finished = resume.finished_runs(settings, to_be_judged=True)
    failed: dict[int, str] = {}
    for seed in range(settings.run.seed, settings.run.seed + settings.run.itr):
        if seed in finished:
            logger.info("seed %d is finished: %s", seed, finished[seed])
            continue
        one = command_line.read([*words, "--seed", str(seed), "--itr", "1", "--resume", "auto"])
        try:
            (finished[seed],) = rain_classification.train(one, is_brief=True)
        except NumericalError as error:
            logger.error("%s", error)
            failed[seed] = error.code
        except signals.Interrupted as stop:
            stop.next_command = f"the same command goes on: bash scripts/compare_options.sh {typed}"
            raise
    return option_scores.read(option, [finished[seed] for seed in sorted(finished)], failed)


def _folder(settings: Settings, typed: Sequence[str], name: str) -> Path:
    """Return where the table goes: beside the runs where they have one folder, else into one of its own."""
    given = options.typed_flags(typed)
    smoke = f"{options.SMOKE}_" if options.SMOKE in given.get("preset", ()) else ""
    return Path(settings.run.checkpoints) / given.get("model_id", f"{smoke}{name}")
