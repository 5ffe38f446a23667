"""One run that is killed, looked at, resumed, and compared with the run that was never stopped."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.kills import checks, program
from tests.kills.bench import SECONDS_PER_RUN, Attempt, Bench, Reference
from tests.kills.points import CALL, WRITE, Kill, forget_generators

USAGE = 2
# A later kill hits a run that has less before it.
OF_THE_REST = 0.5
# The run that times are taken from was the first, and a little slower.
OF_THE_TIME = 0.85


@dataclass
class Outcome:
    """What came of one run.

    Attributes:
        configuration: of the run.
        events: where it was ended, in order.
        verdicts: word of the validator -> number of files after a kill.
        faults: what must not have happened.
        seconds: longest time from a signal to the end.
    """

    configuration: str
    events: list[str] = field(default_factory=list)
    verdicts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def look(self, run: Path, attempt: Attempt) -> int | None:
        """Look at the files of a run; return the step of the newest state that verifies."""
        found: dict[str, Any] = program.ask(lambda: checks.after_kill(run, attempt.journal))
        for word, count in found["verdicts"].items():
            self.verdicts[word] = self.verdicts.get(word, 0) + count
        self.faults += found["faults"]
        step: int | None = found["step"]
        return step


def planned(number: int, chance: np.random.Generator, reference: Reference) -> list[Kill]:
    """Return how run number `number` is killed: of ten, four in a save, one twice in an epoch, five elsewhere."""
    how = number % 10
    if how in (0, 1, 5, 6):
        kills = [_in_a_save(chance, reference)]
    elif how == 2:
        epoch = int(chance.integers(len(reference.steps)))
        last, first = reference.steps[epoch], ([0, *reference.steps])[epoch]
        one, two = sorted(chance.choice(range(first + 1, last + 1), 2, replace=False))
        return [Kill("step", int(one)), Kill("step", int(two))]
    elif how in (3, 4):
        phase = "validation" if how == 3 else "scoring"
        times = reference.phases[phase]
        place = int(chance.integers(len(times)))
        kills = [Kill(phase, place + 1, times[place] * chance.random())]
    else:
        kills = [Kill("time", seconds=OF_THE_TIME * reference.seconds * chance.random())]
    if chance.random() < 0.3:
        kills.append(_in_a_save(chance, reference, OF_THE_REST))
    return kills


def run_one(bench: Bench, attempt: Attempt, kills: list[Kill], *, by_name: bool) -> Outcome:
    """Kill a run, resume it until it ends, and compare.

    Args:
        bench: the references.
        attempt: a new attempt.
        kills: one after the other.
        by_name: resume the directory, else ``auto``.
    """
    outcome, words, step = Outcome(attempt.configuration), list[str](), None
    for kill in kills:
        code = _killed(attempt, words, kill)
        if code == 0:
            break
        if code != -signal.SIGKILL:
            outcome.faults.append(f"ended with {code}: {attempt.said()[-500:]}")
            return outcome
        outcome.events.append(kill.place)
        if attempt.finished():
            break
        words, step = _how_to_go_on(attempt, outcome, by_name=by_name)
    is_killed = bool(attempt.finished()) and code != 0
    if not attempt.finished():
        go_on(attempt, outcome, words, step)
    compare(bench, attempt, outcome, is_killed=is_killed)
    return outcome


def control(bench: Bench, attempt: Attempt) -> bool:
    """Resume a run without its random numbers; return whether the comparison sees it."""
    steps = bench.reference(attempt.configuration).steps
    code = attempt.finish(kill=Kill("step", steps[0] + 4))
    assert code == -signal.SIGKILL, attempt.said()
    assert attempt.finish("--resume", "auto", prepare=forget_generators) == 0, attempt.said()
    outcome = Outcome(attempt.configuration)
    compare(bench, attempt, outcome)
    return any("model_state_dict" in fault for fault in outcome.faults)


def go_on(attempt: Attempt, outcome: Outcome, words: list[str], step: int | None) -> None:
    """Resume to the end; it must begin at the step that was found."""
    code = attempt.finish(*words)
    if code or (step is not None and f"RESUMED at step {step} " not in attempt.said()):
        outcome.faults.append(f"resumed from step {step}, ended with {code}: {attempt.said()[-500:]}")


def compare(bench: Bench, attempt: Attempt, outcome: Outcome, *, is_killed: bool = False) -> None:
    """Compare the finished run with the one that was never stopped.

    Args:
        bench: the references.
        attempt: the run.
        outcome: takes what differs.
        is_killed: the process that finished the run was killed right after.
    """
    finished = attempt.finished()
    if len(finished) != 1:
        outcome.faults.append(f"{len(finished)} finished runs")
        return
    reference = bench.reference(attempt.configuration).run
    outcome.faults += program.ask(lambda: checks.at_end(reference, finished[0], is_killed=is_killed))


def _in_a_save(chance: np.random.Generator, reference: Reference, share: float = 1.0) -> Kill:
    kind = WRITE if chance.random() < 0.5 else CALL
    return Kill(kind, 1 + int(chance.integers(max(1, int(share * reference.calls[kind])))))


def _killed(attempt: Attempt, words: list[str], kill: Kill) -> int:
    """Run until the kill; return how it ended."""
    child = attempt.start(*words, kill=kill)
    if kill.how == "time":
        time.sleep(kill.seconds)
        os.kill(child, signal.SIGKILL)
    return program.wait(child, SECONDS_PER_RUN)


def _how_to_go_on(attempt: Attempt, outcome: Outcome, *, by_name: bool) -> tuple[list[str], int | None]:
    """Return the flags that resume, and the step that they must lead to."""
    runs = attempt.runs()
    if not runs:
        return ["--resume", "auto"], None
    step = outcome.look(runs[-1], attempt)
    if not by_name:
        return ["--resume", "auto"], step
    if step is not None:
        return ["--resume", str(runs[-1])], step
    # Nothing was saved: by its name the run is refused, and auto begins anew.
    code = attempt.finish("--resume", str(runs[-1]))
    if code != USAGE:
        outcome.faults.append(f"a run without a state is resumed with {code}: {attempt.said()[-500:]}")
    return ["--resume", "auto"], None
