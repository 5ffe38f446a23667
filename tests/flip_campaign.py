"""Flipped bits and zeroed pages at random places of files of ours: is each refused, or read bitwise equal?

    python -m tests.flip_campaign --flips 10000 --seed 0 --state flips.json

Prints a table in Markdown and ends with 1 where anything else was read. With `--state` a campaign that was stopped goes
on where it was; each flip has random numbers of its own, so the figures are those of a campaign in one piece.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.utils.checkpoint_files import sound, training_state
from utils import checkpoint
from utils.checkpoint_hash import content_hash
from utils.errors import CheckpointError
from utils.run_directory import write_json

PAGE_BYTES = 4096
# One in so many changes zeroes a page, as a disk does, the others flip a bit.
PAGES = 10
ABOUT = {"epoch": 3, "score": 0.25}
EVERY = 500


@dataclass
class Tally:
    """What has become of the flips so far.

    Attributes:
        done: how many were made.
        results: "file kind result" -> how often.
        wrong: those that were neither refused nor read as they were.
    """

    done: int = 0
    results: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Bench:
    """Sound files of ours, to be damaged one at a time and made whole again.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        state = {"schema_version": 1, **training_state(sound())}
        checkpoint.save(folder / "best.pt", sound(), metadata=ABOUT)
        checkpoint.save(folder / "last.pt", state, metadata=ABOUT)
        checkpoint.save_safetensors(folder / "best.safetensors", sound(), {"epoch": "3"})
        (folder / "alone").mkdir()
        (folder / "alone" / "last.pt").write_bytes((folder / "last.pt").read_bytes())
        self.files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.folder = folder
        self.whole = {path: path.read_bytes() for path in self.files}
        self.truth = {path: self.read(path) for path in self.files}

    def read(self, path: Path) -> tuple[str, dict[str, Any] | None]:
        """Return the hash of the content and the metadata of the checkpoint that a file belongs to."""
        weights = path.with_suffix("") if path.suffix == ".json" else path
        return content_hash(checkpoint.load(weights)), checkpoint.metadata(weights)

    def damage(self, seed: int, number: int) -> tuple[str, str]:
        """Change one thing in one file, read it, and make it whole again; return what was done and what came of it."""
        chance = np.random.default_rng([seed, number])
        path = self.files[chance.integers(len(self.files))]
        raw = bytearray(self.whole[path])
        place = int(chance.integers(len(raw)))
        if chance.integers(PAGES) == 0:
            kind, begin = "page", place - place % PAGE_BYTES
            raw[begin : begin + PAGE_BYTES] = bytes(len(raw[begin : begin + PAGE_BYTES]))
        else:
            kind = "bit"
            raw[place] ^= 1 << int(chance.integers(8))
        path.write_bytes(raw)
        try:
            result = self._judge(path)
        finally:
            path.write_bytes(self.whole[path])
        return f"{path.relative_to(self.folder)} {kind}", result

    def _judge(self, path: Path) -> str:
        try:
            content, metadata = self.read(path)
        except CheckpointError as error:
            return error.code
        except Exception as error:
            return f"WRONG: {type(error).__name__}: {error}"
        wanted, about = self.truth[path]
        return "equal" if content == wanted and metadata == about else "WRONG: read as something else"


def go_on(bench: Bench, tally: Tally, flips: int, seed: int) -> None:
    """Make the flips up to a number, or as far as the next pause."""
    for number in range(tally.done, min(flips, tally.done + EVERY)):
        what, result = bench.damage(seed, number)
        tally.results[f"{what} {result.partition(':')[0]}"] += 1
        tally.wrong += [f"flip {number}: {what}: {result}"] if result.startswith("WRONG") else []
        tally.done = number + 1


def table(tally: Tally) -> str:
    """Return the figures as Markdown: a row a file and kind of change, a column a result."""
    cells = {tuple(name.split(" ")): count for name, count in tally.results.items()}
    results = sorted({result for _, _, result in cells})
    lines = ["| file | change | " + " | ".join(results) + " |", "|---" * (len(results) + 2) + "|"]
    for file, kind in sorted({(file, kind) for file, kind, _ in cells}):
        counts = " | ".join(str(cells.get((file, kind, result), "")) for result in results)
        lines.append(f"| {file} | {kind} | {counts} |")
    return "\n".join(lines)


def _begin(state: Path | None, seed: int) -> Tally:
    """Return what an earlier part of the campaign has left."""
    if state is None or not state.exists():
        return Tally()
    left = json.loads(state.read_text(encoding="utf-8"))
    if left["seed"] != seed:
        raise SystemExit(f"{state} is of seed {left['seed']}, not {seed}")
    return Tally(left["done"], Counter(left["results"]), left["wrong"])


def main(words: list[str]) -> int:
    """Run the campaign and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path)
    given = parser.parse_args(words)
    tally = _begin(given.state, given.seed)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        while tally.done < given.flips:
            go_on(bench, tally, given.flips, given.seed)
            if given.state:
                write_json(given.state, {"seed": given.seed, **vars(tally)})
            print(f"{tally.done} of {given.flips}, {len(tally.wrong)} wrong", file=sys.stderr)
    print(table(tally))
    print("\n".join([f"\n{tally.done} changes, {len(tally.wrong)} wrong", *tally.wrong]))
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
