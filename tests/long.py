"""The long campaigns, in parts of under 80 minutes on two cores that can be stopped and go on (pairs: begin again).

    bash scripts/test.sh --long                    all parts that are not done yet
    bash scripts/test.sh --long kills fuzz         some of them
    bash scripts/test.sh --long --folder other     with their state elsewhere than in .long/

A part that is done is not done again: delete its file in the folder for that. Prints a table for docs/log.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.run_directory import make_folder, read_json, write_json

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Part:
    """One campaign.

    Attributes:
        name: as it is asked for.
        words: module and flags; `{state}` stands for the file it keeps its state in.
    """

    name: str
    words: str

    def command(self, folder: Path) -> list[str]:
        """Return what is run."""
        return [sys.executable, "-m", *self.words.format(state=folder / f"{self.name}.state.json").split()]


PARTS = (
    Part("pairs", "tests.fault_campaign --pairs 200"),
    Part("fuzz", "tests.checkpoint_fuzz --files 10000 --state {state}"),
    Part("flips", "tests.flip_campaign --flips 10000 --state {state}"),
    Part("kills", "tests.kill_campaign --kills 200 --state {state}"),
    Part("coverage", "tests.coverage_campaign --sets 1000"),
    Part("terminations", "tests.kill_campaign --kills 100 --signal TERM --state {state}"),
)


def run(part: Part, folder: Path) -> bool:
    """Run a part unless it is done; keep what it printed; return whether it is without fault."""
    done = folder / f"{part.name}.json"
    if done.exists():
        print(f"[long] {part.name}: done already ({done})", flush=True)
        return bool(read_json(done)["code"] == 0)
    print(f"[long] {part.name}: {part.words}", flush=True)
    started = time.monotonic()
    answer = subprocess.run(
        part.command(folder),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(answer.stdout, flush=True)
    told = {"code": answer.returncode, "minutes": (time.monotonic() - started) / 60, "printed": answer.stdout}
    # What was interrupted is no result: the part goes on the next time.
    if answer.returncode in (0, 1):
        write_json(done, told)
    return answer.returncode == 0


def table(parts: Iterable[Part], folder: Path) -> str:
    """Return the last line of what each part printed, and how long it took without its earlier pieces."""
    lines = ["| part | result | minutes | figures |", "|---|---|---|---|"]
    for part in parts:
        done = folder / f"{part.name}.json"
        told: dict[str, Any] = read_json(done) if done.exists() else {"code": -1, "minutes": 0, "printed": ""}
        result = {0: "no fault", 1: "faults"}.get(told["code"], "not done")
        figures = (told["printed"].strip().splitlines() or [""])[-1]
        lines.append(f"| {part.name} | {result} | {told['minutes']:.0f} | {figures} |")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Run the parts and print their table."""
    names = {part.name: part for part in PARTS}
    listed = "parts:\n" + "\n".join(f"  {part.name:<14}python -m {part.words}" for part in PARTS)
    parser = argparse.ArgumentParser(
        prog="bash scripts/test.sh --long",
        description=__doc__,
        epilog=listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--folder", type=Path, default=ROOT / ".long", help="where state and figures are kept")
    given = parser.parse_args(words)
    unknown = sorted(set(given.parts) - set(names))
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(names)}")
    chosen = [names[name] for name in given.parts] or list(PARTS)
    make_folder(given.folder)
    sound = [run(part, given.folder) for part in chosen]
    print(table(chosen, given.folder))
    return int(not all(sound))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
