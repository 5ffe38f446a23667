"""Random pairs of faults, injected into real trainings: is the verdict one of the two, and the one that acts first?

    python -m tests.fault_campaign --pairs 200 --seed 0

Prints a confusion table in Markdown. The truth is measured too: each fault of a pair runs alone with the same random
numbers, and the one whose step is bad earlier acts first; in the same step the order is that of the step itself.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np

from tests.faults import FAULTS, STAGE, Bench


def run(names: tuple[str, ...], seed: int) -> tuple[int, str, tuple[str, ...]] | None:
    """Train with these faults; return step, code and further codes of the first verdict, None when nothing is bad."""
    bench = Bench(seed=seed % 7)
    for name in names:
        FAULTS[name](bench, np.random.default_rng([seed, list(FAULTS).index(name)]))
    found = bench.first_verdict()
    if found is None:
        return None
    number, verdict = found
    return number, verdict.code, tuple(other.code for other in verdict.also)


def pairs(count: int, seed: int) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield random pairs of different faults and a seed for each."""
    chance = np.random.default_rng(seed)
    for number in range(count):
        first, second = chance.choice(list(FAULTS), 2, replace=False)
        yield (str(first), str(second)), seed * 100_000 + number


def first_to_act(pair: tuple[str, str], seed: int) -> set[str]:
    """Return the fault of a pair that acts first when each runs alone, both when they act together."""
    alone = {name: run((name,), seed) for name in pair}
    when = {name: (result[0], STAGE[name]) for name, result in alone.items() if result is not None}
    if not when:
        return set()
    earliest = min(when.values())
    return {name for name, at in when.items() if at == earliest}


def judge(pair: tuple[str, str], seed: int) -> tuple[str, str]:
    """Return the verdict's code and one of: first, other, unsure, wrong, silent."""
    result = run(pair, seed)
    if result is None:
        return "none", "silent" if first_to_act(pair, seed) else "first"
    _, code, _ = result
    if code == "NOT_REPRODUCIBLE":
        return code, "unsure"
    if code not in pair:
        return code, "wrong"
    return code, "first" if code in first_to_act(pair, seed) else "other"


def main(words: list[str]) -> int:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    table: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    for pair, seed in pairs(given.pairs, given.seed):
        code, how = judge(pair, seed)
        totals[how] += 1
        for name in pair:
            table[name, code] += 1
        if how in ("wrong", "silent", "other"):
            print(f"{how}: {pair}, seed {seed}, verdict {code}", file=sys.stderr)
    codes = sorted({code for _, code in table}, key=lambda code: (code not in FAULTS, code))
    print("| injected \\ verdict | " + " | ".join(codes) + " |")
    print("|---" * (len(codes) + 1) + "|")
    for name in FAULTS:
        print(f"| {name} | " + " | ".join(str(table[name, code] or "") for code in codes) + " |")
    print("\n" + ", ".join(f"{how}: {totals[how]}" for how in ("first", "other", "unsure", "silent", "wrong")))
    return int(totals["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
