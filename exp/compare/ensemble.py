"""Several models as one forecast: weighted on validation alone, judged on test, and what each member adds to it.

A member is a group: the mean probability of its seeds. Seeds of the same flags are interchangeable, so weights among
them would be fitted to chance, and leaving one of them out would show nothing while the others stand in for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exp.compare import alike, weights
from exp.compare.entries import Entry, mean_probability
from exp.compare.groups import Group
from exp.compare.judging import EventJudge
from exp.compare.reading import StoredRun
from utils import verification
from utils.errors import UsageError
from utils.forecasts import Forecasts

NAME, EQUAL = "ensemble", "equal weights"
SCORE = "brier_score"
NO_WEIGHT = 1e-6
# Chooses the cut where that of the runs was not chosen by a score.
CUT_SCORE = "macro_f1"


@dataclass(frozen=True)
class Ensemble:
    """The forecasts of an ensemble and of its controls, on test.

    Attributes:
        members: names, in the order of the weights.
        weights: of the members.
        entries: the ensemble and the mean with equal weights.
        without: name of member -> the ensemble without it, weighted anew on validation.
        n_validation: validation cases that the weights were found on.
        left_out: validation windows that not all members have.
    """

    members: tuple[str, ...]
    weights: np.ndarray
    entries: tuple[Entry[Forecasts], Entry[Forecasts]]
    without: dict[str, Entry[Forecasts]]
    n_validation: int
    left_out: int

    @property
    def all_entries(self) -> list[Entry[Forecasts]]:
        """Everything that has to be judged on the same draws."""
        return [*self.entries, *self.without.values()]


def require_members(groups: Sequence[Group]) -> None:
    """Refuse an ensemble of one.

    Raises:
        UsageError: there are less than two groups.
    """
    if len(groups) < 2:
        raise UsageError(
            "CONFIG",
            "An ensemble needs at least two models.",
            where="--ensemble",
            evidence=f"got {', '.join(group.name for group in groups)}; seeds of the same flags are one member",
            next_command="name runs of several models, or leave --ensemble away",
        )


def build(groups: Sequence[Group], threshold: float) -> Ensemble:
    """Weigh the groups on validation.

    Args:
        groups: at least two, with validation forecasts, on common test instants.
        threshold: of the event, in millimetres.
    """
    on_validation, left_out = _validation(groups, threshold)
    on_test = [[run.test[threshold] for run in group.runs] for group in groups]
    cut_score = groups[0].runs[0].scores.get("cut_score") or CUT_SCORE
    mixer = _Mixer(on_validation, on_test, cut_score)
    names = tuple(group.name for group in groups)
    everyone = np.arange(len(groups))
    found = mixer.weights(everyone)
    whole = mixer.forecasts(everyone, found)
    # Without a member that has no weight it is the same forecast, not one that differs by rounding.
    without = {
        name: whole if found[place] < NO_WEIGHT else mixer.best(np.delete(everyone, place))
        for place, name in enumerate(names)
    }
    equal = np.full(len(groups), 1 / len(groups))
    return Ensemble(
        members=names,
        weights=found,
        entries=(
            Entry(NAME, "ensemble", (whole,)),
            Entry(EQUAL, "ensemble", (mixer.forecasts(everyone, equal),)),
        ),
        without={name: Entry(f"{NAME} without {name}", "ensemble", (one,)) for name, one in without.items()},
        n_validation=len(on_validation[0][0].observed),
        left_out=left_out,
    )


def content(ensemble: Ensemble, judge: EventJudge, marks: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return weights and contributions as plain values for JSON.

    Args:
        ensemble: as built.
        judge: that has drawn all its entries.
        marks: name of group -> its marks.

    Returns:
        `n_validation`, `left_out`, `against_equal_weights` (a difference) and `members`, each with `name`, `weight`,
        `marks`, `contribution` (how much the Brier score of the test split rises without it, a difference) and
        `verdict`: "adds", "adds nothing" (the interval holds zero), "harms" or, without intervals, "unknown".
    """
    members = []
    for name, weight in zip(ensemble.members, ensemble.weights, strict=True):
        difference = judge.difference(ensemble.without[name].name, NAME, SCORE)
        members.append(
            {
                "name": name,
                "weight": float(weight),
                "marks": [mark["code"] for mark in marks[name]],
                "contribution": difference,
                "verdict": _verdict(difference),
            }
        )
    return {
        "n_validation": ensemble.n_validation,
        "left_out": ensemble.left_out,
        "against_equal_weights": judge.difference(NAME, EQUAL, "brier_skill_score"),
        "members": members,
    }


def _verdict(difference: dict[str, Any]) -> str:
    if difference["is_real"] is None:
        return "unknown"
    if not difference["is_real"]:
        return "adds nothing"
    return "adds" if difference["difference"] > 0 else "harms"


def _validation(groups: Sequence[Group], threshold: float) -> tuple[list[list[Forecasts]], int]:
    """Return the validation forecasts of the seeds of every group, on the instants that all have."""
    runs: list[StoredRun] = [run for group in groups for run in group.runs]
    common, left_out = alike.common_validation(runs)
    found = iter(run.validation[threshold] for run in common)
    return [[next(found) for _ in group.runs] for group in groups], left_out


class _Mixer:
    """Weighs members on validation and mixes them on test.

    Args:
        on_validation: forecasts of the seeds of each member.
        on_test: the same of the test split.
        cut_score: the score on validation that decides from which probability on rain is said.
    """

    def __init__(self, on_validation: list[list[Forecasts]], on_test: list[list[Forecasts]], cut_score: str) -> None:
        self.validation = np.stack([mean_probability(seeds) for seeds in on_validation], axis=1)
        self.test = np.stack([mean_probability(seeds) for seeds in on_test], axis=1)
        self.observed = np.asarray(on_validation[0][0].observed)
        self.template = on_test[0][0]
        self.cut_score = cut_score

    def weights(self, members: np.ndarray) -> np.ndarray:
        """Return the best weights of some members."""
        return weights.of_smallest_brier(self.validation[:, members], self.observed)

    def forecasts(self, members: np.ndarray, own: np.ndarray) -> Forecasts:
        """Return the test forecasts of members with these weights; the cut is chosen on validation too."""
        on_validation = weights.mixed(self.validation[:, members], own)
        cut = verification.choose_cut(on_validation, self.observed, self.cut_score)
        return self.template.replaced(weights.mixed(self.test[:, members], own), cut)

    def best(self, members: np.ndarray) -> Forecasts:
        """Return the test forecasts of members with their best weights."""
        return self.forecasts(members, self.weights(members))
