"""One verdict for all ranks: whose share of a step was not finite looks for the cause, and tells the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from exp.diagnosis.verdict import Verdict
from exp.guard import Outcome

if TYPE_CHECKING:
    from exp.trainer import Trainer


def explained(explain: Callable[[Trainer, Outcome], Verdict], trainer: Trainer, outcome: Outcome) -> Verdict:
    """Return the cause of a bad step, with the rank it was found on where there are several.

    Args:
        explain: finds the cause in this rank's share of the step.
        trainer: of this rank.
        outcome: of the whole step, the same on all ranks.
    """
    ranks = trainer.ranks
    if ranks.count == 1:
        return explain(trainer, outcome)
    guilty = trainer.guilty_rank(outcome.step.number)
    own = explain(trainer, outcome) if ranks.number == guilty else None
    verdict = Verdict.from_json(ranks.told_by(guilty, own and own.to_json()))
    where = f"rank {guilty} of {ranks.count}, {verdict.where}"
    verdict = replace(verdict, finding=replace(verdict.finding, where=where))
    # Whoever writes the next report tells of this step too.
    diagnosis = getattr(explain, "diagnosis", None)
    if own is None and diagnosis is not None:
        diagnosis.bad_steps.append(verdict)
    return verdict
