"""Small, full, transfer: what the outcome of each step allows one to conclude, and what it does not."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from exp.option_scores import Outcome

ORDER = ("B", "A", "C")
# Two seeds against two are apart by chance in one of three cases; three against three in one of ten.
FEWEST_SEEDS = 3
SKILL, RANKING = "brier_skill_score", "roc_auc"
NAMES = {"Brier skill": SKILL, "ROC AUC": RANKING}
State = Literal["learns", "collapses", "is divided", "has no skill", "fails"]
Difference = Literal["better", "worse", "within the spread", "unknown"]
DIAGNOSE = "Look at the data: python run.py --task_name diagnose, with the data flags of this command."
BROKEN = ("collapses", "fails")


def state(outcome: Outcome) -> State:
    """Say what the seeds of an option did, all of them or not."""
    bad = sum(outcome.collapsed) + len(outcome.failed or {})
    if bad == outcome.n_seeds + len(outcome.failed or {}):
        return "collapses" if any(outcome.collapsed) else "fails"
    if bad:
        return "is divided"
    return "learns" if all((value or 0) > 0 for value in outcome.scores[SKILL]) else "has no skill"


def difference(one: Outcome, other: Outcome) -> Difference:
    """Compare two options by Brier skill and ROC AUC of their seeds, and claim nothing within their spread.

    Better is an option whose worst seed beats the best seed of the other in both scores.
    """
    if min(one.n_seeds, other.n_seeds) < FEWEST_SEEDS:
        return "unknown"
    pairs = [(_known(one, name), _known(other, name)) for name in (SKILL, RANKING)]
    if not all(mine and theirs for mine, theirs in pairs):
        return "unknown"
    if all(min(mine) > max(theirs) for mine, theirs in pairs):
        return "better"
    if all(max(mine) < min(theirs) for mine, theirs in pairs):
        return "worse"
    return "within the spread"


def differing_flags(one: Outcome, other: Outcome) -> list[str]:
    """Return the flags in which two options differ, as `name value (not value)`; paths are left out."""
    mine, theirs = one.flags or {}, other.flags or {}
    return [
        f"{name} {mine[name]} (not {theirs[name]})"
        for name in sorted(set(mine) & set(theirs))
        if mine[name] != theirs[name] and name not in ("pretrain_model_path", "adaptation")
    ]


def conclude(played: Sequence[Outcome]) -> list[str]:
    """Return what the newest step allows one to say.

    Args:
        played: outcomes in the order of the ladder, the newest last.
    """
    *before, newest = played
    known = {each.option.letter: each for each in before}
    sentences = [describe(newest)]
    if newest.option.letter == "B":
        sentences += _first(newest)
    elif newest.option.letter == "A":
        sentences += _second(newest, known["B"])
    else:
        sentences += _third(newest, known["A"], known["B"])
    return [*sentences, *_caution(played)]


def describe(outcome: Outcome) -> str:
    """Say in one sentence what an option came to."""
    what = {
        "learns": "beats climatology in every seed",
        "collapses": "says the same every time",
        "is divided": f"collapses or fails in {sum(outcome.collapsed) + len(outcome.failed or {})} of its seeds",
        "has no skill": "answers, but does not beat climatology in every seed",
        "fails": f"ended with {', '.join(sorted(set((outcome.failed or {}).values())))}",
    }[state(outcome)]
    size = "" if outcome.parameters is None else f", {outcome.parameters:,} parameters"
    scores = [f"{title} {_spread(_known(outcome, name))}" for title, name in NAMES.items()]
    return f"Option {outcome.option.letter} ({outcome.option.title}{size}) {what}: {', '.join(scores)}."


def _first(small: Outcome) -> list[str]:
    found = state(small)
    if found == "learns":
        return ["So this table can be learned from with these windows and this loss. Of A and C it says nothing."]
    if found == "is divided":
        return [_divided()]
    if found == "has no skill":
        return ["It has not shown that this table can be learned from; nor that it cannot. " + DIAGNOSE]
    return ["One option alone cannot tell the data from its own rate. " + DIAGNOSE]


def _second(full: Outcome, small: Outcome) -> list[str]:
    found, first = state(full), state(small)
    if found in BROKEN and first in BROKEN:
        return ["Both options break: suspect what they share, the data before all. " + DIAGNOSE]
    if found in BROKEN and first == "learns":
        return [
            f"B has learned from the same table, so the data are not it. {_what_differs(full, small)}: the size or the "
            "rate. A lower rate with a warm-up tells which: bash scripts/option_a_from_scratch.sh --learning_rate 1e-5 "
            "--warmup_epochs 5"
        ]
    if found == "learns" and first in BROKEN:
        return [f"A has learned from the same table, so the data are not what broke B. {_what_differs(small, full)}."]
    if found == "is divided":
        return [_divided()]
    return [_unlearned(full, small)] if "learns" not in (found, first) else [_compared(full, small)]


def _third(transfer: Outcome, full: Outcome, small: Outcome) -> list[str]:
    found, others = state(transfer), (state(full), state(small))
    if found in BROKEN and all(each in BROKEN for each in others):
        return ["All three break: suspect the data. " + DIAGNOSE]
    control = "bash scripts/option_c_transfer.sh --adaptation no trains the same without the loaded weights"
    if found in BROKEN and "learns" in others:
        return [
            "The same table was learned from scratch, so the data are not it; the loaded weights or the flags of C "
            f"are. {_what_differs(transfer, full)}. {control} and tells which."
        ]
    if found == "is divided":
        return [_divided()]
    if "learns" not in (found, others[0]):
        return [_unlearned(transfer, full)]
    verdict = difference(transfer, full)
    if verdict in ("within the spread", "worse"):
        how = "No better than from scratch (A) within" if verdict == "within the spread" else "Worse than A beyond"
        return [
            f"{how} the spread of the seeds: pre-training, as option C uses it, did not help here. "
            f"{_what_differs(transfer, full)}; {control}."
        ]
    if verdict == "better":
        return [
            f"Better than from scratch (A), beyond the spread of the seeds. {_what_differs(transfer, full)}, so the "
            f"gain is that of the whole option. {control}: only against that is it the gain of pre-training."
        ]
    return [_compared(transfer, full)]


def _compared(one: Outcome, other: Outcome) -> str:
    verdict = difference(one, other)
    pair = f"{one.option.letter} and {other.option.letter}"
    if verdict == "unknown":
        fewest = min(one.n_seeds, other.n_seeds)
        return (
            f"Whether {pair} differ cannot be said with {fewest} finished seed{'s' * (fewest != 1)}: less than "
            f"{FEWEST_SEEDS} show no spread worth the name. --itr {FEWEST_SEEDS} adds the missing ones."
        )
    if verdict == "within the spread":
        return f"{pair} do not differ beyond the spread of their seeds: the larger cost of one buys nothing seen here."
    return f"{one.option.letter} is {verdict} than {other.option.letter} in every seed, by Brier skill and by ROC AUC."


def _unlearned(one: Outcome, other: Outcome) -> str:
    pair = f"{one.option.letter} nor {other.option.letter}"
    return (
        f"Neither {pair} beats climatology in every seed, so which is better is not worth asking yet: more "
        "--train_epochs or a higher --learning_rate first."
    )


def _divided() -> str:
    return (
        "Its seeds differ in nothing but chance, so the data alone do not explain it: it stands at the edge of what "
        "its rate and size bear. A lower --learning_rate or a --warmup_epochs of 5 leads away from there."
    )


def _what_differs(one: Outcome, other: Outcome) -> str:
    found = differing_flags(one, other)
    pair = f"{one.option.letter} differs from {other.option.letter}"
    return f"{pair} in {', '.join(found)}" if found else f"{pair} in none of the flags that were recorded"


def _caution(played: Sequence[Outcome]) -> list[str]:
    if any(each.synthetic for each in played):
        return ["On SYNTHETIC data: this shows how the ladder is read, and nothing about Peru."]
    return ["On one test period; another may order the options differently."]


def _known(outcome: Outcome, name: str) -> list[float]:
    return [value for value in outcome.scores.get(name, ()) if value is not None]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "undefined"
    if len(values) == 1:
        return f"{values[0]:.3f} (one seed)"
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}, {len(values)} seeds)"
