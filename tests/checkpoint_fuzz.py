"""Thousands of broken, forged and hostile checkpoints through the real reader: what does it do with each?

    python -m tests.checkpoint_fuzz --files 10000 --seed 0 --state fuzz.json

One child process reads them all and is started anew only when it dies or hangs. Every file must be refused with a
cause code, or be read: no code run, no crash, no hang, bounded memory, and nothing accepted that a check sum in the
file contradicts. With --state the campaign goes on where it was stopped. Prints its figures in Markdown.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import sound_files
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.sound_files import Sound

ROOT = Path(__file__).resolve().parent.parent
SECONDS_PER_FILE = 20.0
SECONDS_TO_START = 120.0
BYTES_PER_FILE = 400 * 1024**2
FILES_BETWEEN_NOTES = 200
CODES = (
    "CKPT_TRUNCATED", "CKPT_HASH_MISMATCH", "CKPT_NOT_A_CHECKPOINT", "CKPT_UNSAFE", "CKPT_LIMIT", "CKPT_INCOMPLETE",
    "CKPT_VERSION", "CKPT_NONFINITE", "CKPT_SUSPECT", "CKPT_SHAPE", "CKPT_COVERAGE", "CKPT_LAYOUT",
)  # fmt: skip


class Child:
    """The reading process; a new one when the last one has died or was killed.

    Args:
        folder: a place of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def ask(self, path: Path, sound: str) -> dict[str, Any]:
        """Return the answer of the process for a file; `fault` where there is none."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps({"path": str(path), "sound": sound}) + "\n")
        process.stdin.flush()
        return self._answer(process, SECONDS_PER_FILE)

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None:
            words = [sys.executable, "-m", "tests.fuzz.reading_child", str(self.folder)]
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
            )
            assert self._line(self.process, SECONDS_TO_START) == "ready\n", "the reading process does not start"
        return self.process

    def _answer(self, process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
        line = self._line(process, seconds)
        if line:
            return dict(json.loads(line))
        self.stop()
        end = f"crash: ended with {process.returncode}" if line == "" else f"hang: no answer in {seconds:.0f} s"
        return {"content": None, "code": None, "fault": end, "bytes": 0, "seconds": seconds}

    def _line(self, process: subprocess.Popen[str], seconds: float) -> str | None:
        """Return a line, an empty one at the end of the output, None when there is none in time."""
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return process.stdout.readline() if ready else None


@dataclass
class Figures:
    """What came of the files so far.

    Attributes:
        done: number of files.
        counts: group -> outcome -> number.
        faults: what must not have happened, a line each.
        most_bytes: highest use of memory for one file.
        most_seconds: longest reading.
    """

    seed: int
    done: int = 0
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    most_bytes: int = 0
    most_seconds: float = 0.0

    def add(self, group: str, outcome: str, answer: dict[str, Any]) -> None:
        """Count one file."""
        self.done += 1
        row = self.counts.setdefault(group, {})
        row[outcome] = row.get(outcome, 0) + 1
        self.most_bytes = max(self.most_bytes, answer["bytes"])
        self.most_seconds = max(self.most_seconds, answer["seconds"])

    def table(self) -> str:
        """Lay the figures out in Markdown."""
        total = Counter[str]()
        for row in self.counts.values():
            total.update(row)
        columns = [name for name in ("read, equal", "read, other", *CODES, "fault") if total[name]]
        lines = ["| | files | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
        for group, row in [*self.counts.items(), ("**all**", total)]:
            cells = [str(row.get(name) or "") for name in columns]
            lines.append(f"| {group} | {sum(row.values())} | " + " | ".join(cells) + " |")
        told = (
            f"{self.done} files, seed {self.seed}; {len(self.faults)} faults; at most {self.most_bytes / 2**20:.0f} MiB"
        )
        return "\n".join([*lines, "", f"{told} and {self.most_seconds:.1f} s for one file"])


def chosen(number: int, seed: int, sounds: dict[str, Sound]) -> tuple[Kind, Sound, np.random.Generator]:
    """Return what is done to which file as number `number`, whatever was done before."""
    chance = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    return kind, sounds[kind.sounds[chance.integers(len(kind.sounds))]], chance


def judge(kind: Kind, sound: Sound, answer: dict[str, Any], canary: Path) -> tuple[str, str]:
    """Return the outcome of one file and, where it must not be so, why."""
    fault = answer.get("fault", "")
    if canary.exists():
        canary.unlink()
        fault = "code was run"
    elif answer["bytes"] > BYTES_PER_FILE:
        fault = f"took {answer['bytes'] / 2**20:.0f} MiB"
    elif "allocate" in answer.get("message", ""):
        fault = "tried to take more memory than there is: " + answer["message"]
    elif answer["code"] not in (None, *CODES):
        fault = f"unknown code {answer['code']}"
    elif kind.rule == "attack" and answer["content"] is not None:
        fault = "an attack was read"
    elif kind.rule == "damage" and sound.has_sums and answer["content"] == "other":
        fault = "damage was read, though the file has check sums"
    return ("fault" if fault else answer["code"] or f"read, {answer['content']}"), fault


def run(files: int, seed: int, folder: Path, state: Path | None, kept: Path | None = None) -> Figures:
    """Read `files` files, on from where the state was left; keep those at fault in `kept`."""
    sounds = sound_files.write_all(folder)
    figures = Figures(seed)
    if state is not None and state.exists():
        figures = Figures(**json.loads(state.read_text()))
        assert figures.seed == seed, f"{state} belongs to --seed {figures.seed}"
    child, path, canary = Child(folder), folder / "mutated.pt", folder / "canary"
    try:
        for number in range(figures.done, files):
            kind, sound, chance = chosen(number, seed, sounds)
            path.write_bytes(kind.make(sound, chance, canary))
            answer = child.ask(path, sound.name)
            outcome, fault = judge(kind, sound, answer, canary)
            figures.add(kind.group, outcome, answer)
            if fault:
                figures.faults.append(f"file {number}, {kind.group}, {sound.name}: {fault}")
                print(figures.faults[-1], file=sys.stderr, flush=True)
                if kept is not None:
                    (kept / f"{seed}-{number}.pt").write_bytes(path.read_bytes())
            if figures.done % FILES_BETWEEN_NOTES == 0 or figures.done == files:
                _note(figures, files, state)
    finally:
        child.stop()
    return figures


def _note(figures: Figures, files: int, state: Path | None) -> None:
    print(f"{figures.done} of {files} files, {len(figures.faults)} faults", file=sys.stderr, flush=True)
    if state is not None:
        writing = state.with_name(state.name + ".writing")
        writing.write_text(json.dumps(asdict(figures)))
        writing.replace(state)


def main(words: list[str]) -> int:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="file with the figures so far; made where it is not there")
    parser.add_argument("--keep", type=Path, help="folder that takes the files at fault")
    given = parser.parse_args(words)
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        figures = run(given.files, given.seed, Path(folder), given.state, given.keep)
    print(figures.table())
    for fault in figures.faults:
        print(fault)
    return int(bool(figures.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
