"""Real runs that are killed or asked to end at random points, resumed, and compared bitwise with one that was not.

    python -m tests.kill_campaign --kills 200 --state kills.json
    python -m tests.kill_campaign --kills 100 --signal TERM --state terminations.json

Of ten runs four are killed inside a save, at the n-th call that reaches the disk; one twice in an epoch; the others in
validation, in scoring, or at any time; some of them once more in a save after resuming. With `--signal TERM` SIGTERM
and SIGINT take the place of SIGKILL: each run must end with 75 within 30 seconds and leave a state that verifies.
Before the first run, one is resumed without its random numbers: a comparison that does not see it ends the campaign.

With --state the campaign goes on where it was stopped. Prints its figures in Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from tests.kills import killed, program, signalled
from tests.kills.bench import CONFIGURATIONS, Bench
from tests.kills.killed import Outcome


@dataclass
class Figures:
    """What came of the runs so far.

    Attributes:
        runs: number of runs.
        equal: those without a fault.
        events: where they were ended -> number.
        several: runs that were ended more than once.
        per_configuration: configuration -> number of kills or signals.
        verdicts: word of the validator -> number of files found after them.
        faults: what must not have happened, a line each.
        controls: runs resumed without their random numbers in which the comparison saw it.
        seconds: longest time from a signal to the end.
    """

    seed: int
    sign: str
    runs: int = 0
    equal: int = 0
    events: dict[str, int] = field(default_factory=dict)
    several: int = 0
    per_configuration: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    controls: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """Kills or signals so far."""
        return sum(self.events.values())

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self.runs += 1
        self.equal += not outcome.faults
        self.events = dict(Counter(self.events) + Counter(outcome.events))
        self.several += len(outcome.events) > 1
        self.verdicts = dict(Counter(self.verdicts) + Counter(outcome.verdicts))
        configuration = Counter({outcome.configuration: len(outcome.events)})
        self.per_configuration = dict(Counter(self.per_configuration) + configuration)
        self.seconds = max(self.seconds, outcome.seconds)

    def table(self) -> str:
        """Lay the figures out in Markdown."""
        what = "SIGKILL" if self.sign == "KILL" else "SIGTERM or SIGINT"
        lines = [f"| {what} | times |", "|---|---|"]
        lines += [f"| {place} | {count} |" for place, count in sorted(self.events.items())]
        lines += [f"| *{name}* | {count} |" for name, count in self.per_configuration.items()]
        files = ", ".join(f"{count} {word}" for word, count in sorted(self.verdicts.items()))
        told = f"{self.done} times in {self.runs} runs ({self.several} more than once), seed {self.seed}; "
        told += f"{self.equal} of {self.runs} ended bitwise equal; files found after them: {files}"
        told += "" if self.sign == "KILL" else f"; longest time to the end: {self.seconds:.1f} s"
        return "\n".join([*lines, "", f"{told}; negative controls seen: {self.controls}"])


def run(kills: int, seed: int, sign: str, folder: Path, state: Path | None) -> Figures:
    """Kill or signal runs until there were so many, on from where the state was left."""
    figures = _begin(state, seed, sign)
    bench = Bench(folder)
    names = list(CONFIGURATIONS)
    _control(bench, names[figures.controls % len(names)], figures)
    seconds_to_import = signalled.measured_import(bench.attempt(names[0])) if sign == "TERM" else 0.0
    while figures.done < kills:
        number, chance = figures.runs, np.random.default_rng([seed, figures.runs])
        configuration = names[chance.integers(len(names))]
        attempt = bench.attempt(configuration)
        if sign == "TERM":
            outcome = signalled.run_one(bench, attempt, number, chance, seconds_to_import)
        else:
            plan = killed.planned(number, chance, bench.reference(configuration))
            outcome = killed.run_one(bench, attempt, plan, by_name=chance.random() < 0.5)
        bench.discard(attempt)
        figures.add(outcome)
        for fault in outcome.faults:
            figures.faults.append(f"run {number}, {configuration}, {outcome.events}: {fault}")
            print(figures.faults[-1], file=sys.stderr, flush=True)
        _note(figures, kills, state)
    return figures


def _begin(state: Path | None, seed: int, sign: str) -> Figures:
    if state is None or not state.exists():
        return Figures(seed, sign)
    figures = Figures(**json.loads(state.read_text(encoding="utf-8")))
    if (figures.seed, figures.sign) != (seed, sign):
        raise SystemExit(f"{state} is of --seed {figures.seed} --signal {figures.sign}")
    return figures


def _control(bench: Bench, configuration: str, figures: Figures) -> None:
    attempt = bench.attempt(configuration)
    if not killed.control(bench, attempt):
        raise SystemExit("the comparison does not see that the random numbers were not restored")
    bench.discard(attempt)
    figures.controls += 1


def _note(figures: Figures, kills: int, state: Path | None) -> None:
    told = f"{figures.done} of {kills}, {figures.runs} runs, {figures.equal} bitwise equal"
    print(told, file=sys.stderr, flush=True)
    if state is not None:
        writing = state.with_name(state.name + ".writing")
        writing.write_text(json.dumps(asdict(figures)), encoding="utf-8")
        writing.replace(state)


def main(words: list[str]) -> int:
    """Run the campaign and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills, or signals")
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="file with the figures so far; made where it is not there")
    given = parser.parse_args(words)
    program.import_all()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(given.kills, given.seed, given.signal, Path(folder), given.state)
    print(figures.table())
    for fault in figures.faults:
        print(fault)
    return int(bool(figures.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
