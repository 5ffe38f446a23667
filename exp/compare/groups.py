"""Seeds of the same flags are one group, and every group has a name that nobody has to look up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import models
from exp.compare.reading import DRAW, StoredRun
from utils import run_directory
from utils.errors import UsageError

SHOWN_FLAGS = 3


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed, or the draw of their training windows.

    Attributes:
        name: what it is called in every table.
        runs: one for each seed and draw, at least one.
    """

    name: str
    runs: tuple[StoredRun, ...]

    @property
    def model(self) -> str:
        """Name of its model."""
        return self.runs[0].model

    @property
    def is_reference(self) -> bool:
        """True for what is no network: climatology, persistence, logistic regression, gradient boosting."""
        return self.model in models.names() and models.kind(self.model) == "reference"

    @property
    def has_amounts(self) -> bool:
        """True for regressions."""
        return self.runs[0].amounts is not None

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order of the runs."""
        return [run.seed for run in self.runs]


def of(runs: Sequence[StoredRun]) -> list[Group]:
    """Put runs together by their flags and name the groups: by the model, and by more where that is not enough."""
    found: dict[str, list[StoredRun]] = {}
    for run in runs:
        flags = {name: value for name, value in run.own_flags.items() if name != DRAW}
        found.setdefault(json.dumps(flags, sort_keys=True), []).append(run)
    together = [sorted(group, key=lambda run: run.seed) for group in found.values()]
    names = [group[0].model for group in together]
    for name, count in Counter(names).items():
        if count > 1:
            places = [place for place, its_name in enumerate(names) if its_name == name]
            longer = _longer_names([together[place][0] for place in places])
            for place, its_name in zip(places, longer, strict=True):
                names[place] = its_name
    return [Group(name, tuple(group)) for name, group in zip(names, together, strict=True)]


def named(groups: Sequence[Group], word: str, stored: Sequence[str] = ()) -> str:
    """Return the name of the group that a word means: its name, its model, or the directory of one of its runs.

    Args:
        groups: the compared.
        word: as it was typed.
        stored: references that need no run, for the message.

    Raises:
        UsageError: it means none, or several.
    """
    meant = [group.name for group in groups if word == group.name]
    meant = meant or [group.name for group in groups if word in _words_for(group)]
    if len(meant) == 1:
        return meant[0]
    raise UsageError(
        "CONFIG",
        f"{word!r} means several of the compared." if meant else f"Nothing that is compared is called {word!r}.",
        where="--against",
        evidence="; ".join(meant or [*(group.name for group in groups), *stored]),
        next_command=f"--against {json.dumps((meant or [groups[0].name])[0])}",
    )


def _words_for(group: Group) -> set[str]:
    paths = {word for run in group.runs for word in (str(run.path), run.name, str(run.path.resolve()))}
    return {group.model, *paths}


def _longer_names(runs: Sequence[StoredRun]) -> list[str]:
    """Return the shortest kind of name that tells groups of one model apart."""
    kinds: list[Callable[[StoredRun], str]] = [
        lambda run: f"{run.model} ({_experiment(run)})",
        lambda run: f"{run.model} ({_flags(run, runs)})",
        lambda run: f"{run.model} ({_experiment(run)}, {_flags(run, runs)})",
    ]
    for kind in kinds:
        names = [kind(run) for run in runs]
        if len(set(names)) == len(names):
            return names
    return [f"{run.model} ({run.name})" for run in runs]


def _experiment(run: StoredRun) -> str:
    """Return the name that was given to the experiment."""
    return run.home.parent.name.removesuffix(run_directory.BY_YEARS)


def _flags(run: StoredRun, runs: Sequence[StoredRun]) -> str:
    """Return the first flags in which a run differs from the others of its model."""
    different = [name for name, value in run.own_flags.items() if any(_get(one, name) != value for one in runs)]
    named_apart = [name for name in different if name != "model_id"] or different
    return ", ".join(f"{name} {run.own_flags[name]}" for name in named_apart[:SHOWN_FLAGS])


def _get(run: StoredRun, name: str) -> Any:
    return run.own_flags.get(name)
