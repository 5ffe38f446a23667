"""One run that is asked to end, must do so with its state saved, and is resumed and compared."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.kills import program
from tests.kills.bench import SECONDS_PER_RUN, Attempt, Bench
from tests.kills.killed import OF_THE_TIME, Outcome, compare, go_on
from tests.processes import hear_all_signals
from utils.signals import EXIT_INTERRUPTED, NOTHING_TO_SAVE

SECONDS_TO_END = 30.0
SECONDS_TO_START = 60.0
SAVED = re.compile(r"step (\d+)\b.*? is saved in last\.pt")
# Of ten runs three are signalled while they start, in a new interpreter, which imports everything; three at any time;
# four soon after some save.
AT_START, ANY_TIME = 3, 6
AFTER_SECONDS = 0.1


def run_one(
    bench: Bench, attempt: Attempt, number: int, chance: np.random.Generator, seconds_to_import: float
) -> Outcome:
    """Signal a run, look at what it has left, resume it and compare.

    Args:
        bench: the references.
        attempt: a new attempt.
        number: of the attempt; decides which signal, and whether it comes while the program starts.
        chance: the rest.
        seconds_to_import: time that a new interpreter takes to start.
    """
    outcome = Outcome(attempt.configuration)
    signals = [signal.SIGTERM if number % 2 else signal.SIGINT]
    if chance.random() < 0.2:
        signals.append(signal.SIGTERM)
    is_early = number % 10 < AT_START
    child = _new_interpreter(attempt) if is_early else attempt.start()
    _wait_until_it_listens(child)
    reference = bench.reference(attempt.configuration)
    if is_early:
        time.sleep(seconds_to_import * chance.random())
    elif number % 10 < ANY_TIME:
        time.sleep(OF_THE_TIME * reference.seconds * chance.random())
    else:
        _wait_for_saves(attempt, 1 + int(chance.integers(reference.saves)))
        time.sleep(AFTER_SECONDS * chance.random())
    code = _ended(child, signals, chance, outcome)
    if code == EXIT_INTERRUPTED:
        _look(attempt, outcome, is_early=is_early)
    elif code:
        outcome.faults.append(f"ended with {code}: {attempt.said()[-500:]}")
        return outcome
    if not attempt.finished():
        runs = attempt.runs()
        step = outcome.look(runs[-1], attempt) if runs else None
        go_on(attempt, outcome, ["--resume", "auto"], step)
    compare(bench, attempt, outcome)
    return outcome


def measured_import(attempt: Attempt) -> float:
    """Return how long a new interpreter takes from taking charge of signals to its first line."""
    child = _new_interpreter(attempt)
    _wait_until_it_listens(child)
    started = time.monotonic()
    while not attempt.said() and time.monotonic() - started < SECONDS_TO_START:
        time.sleep(0.01)
    seconds = time.monotonic() - started
    os.kill(child, signal.SIGKILL)
    program.wait(child, SECONDS_TO_START)
    return seconds


def _new_interpreter(attempt: Attempt) -> int:
    """Start the program as a user does; return its process id."""
    with attempt.log.open("w") as log:
        words = [sys.executable, "run.py", *attempt.words]
        process = subprocess.Popen(
            words, cwd=program.ROOT, stdout=log, stderr=subprocess.STDOUT, preexec_fn=hear_all_signals
        )
    # It is waited for by its number.
    process.returncode = 0
    return process.pid


def _wait_until_it_listens(child: int) -> None:
    """Wait for the handlers of the program: what comes before them, the system answers."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        status = Path(f"/proc/{child}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)
    raise TimeoutError("the program does not take charge of signals")


def _wait_for_saves(attempt: Attempt, number: int) -> None:
    """Wait until so many files were saved."""
    deadline = time.monotonic() + SECONDS_PER_RUN
    while len(attempt.journal.lines("saved")) < number and time.monotonic() < deadline:
        time.sleep(0.002)


def _ended(child: int, signals: Sequence[int], chance: np.random.Generator, outcome: Outcome) -> int:
    """Send the signals; return the exit code."""
    started = time.monotonic()
    for number in signals:
        if number is not signals[0]:
            time.sleep(0.05 * chance.random())
        os.kill(child, number)
    code = program.wait(child, SECONDS_PER_RUN)
    outcome.seconds = time.monotonic() - started
    if outcome.seconds > SECONDS_TO_END:
        outcome.faults.append(f"took {outcome.seconds:.1f} s to end")
    return code


def _look(attempt: Attempt, outcome: Outcome, *, is_early: bool) -> None:
    """Hold what was said against what is there."""
    said = attempt.said()
    found = SAVED.search(said)
    if "INTERRUPTED: stopped by SIG" not in said or (found is None and NOTHING_TO_SAVE not in said):
        outcome.faults.append(f"what was said does not tell of the state: {said[-500:]}")
    runs = attempt.runs()
    step = outcome.look(runs[-1], attempt) if runs else None
    told = None if found is None else int(found[1])
    if step != told:
        outcome.faults.append(f"step {told} was told, and the newest state that verifies is of step {step}")
    moment = "before the first step" if told is None else "after it, state saved"
    outcome.events.append("while it starts" if is_early else moment)
