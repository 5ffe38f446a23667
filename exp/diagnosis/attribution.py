"""Why is this step not finite? A cause is looked for, taken away, and the rest is looked at again.

The order is that of the step itself: weights, inputs, labels, then forward pass, loss, backward pass and norm. What is
named either makes a step not finite by its nature (a NaN weight or input), or was shown to: the step is finite without
it, or it is the first place that turns finite into not finite.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from exp.diagnosis import arithmetic, batch_data, weights
from exp.diagnosis.cause import Cause
from exp.diagnosis.replay import Replay, Suspect, replay
from exp.diagnosis.verdict import Verdict
from utils.errors import NumericalError
from utils.findings import Finding

Examination = Callable[[Suspect], Cause | str]
STATES: tuple[Examination, ...] = (weights.examine, batch_data.examine_inputs, batch_data.examine_labels)


def attribute(suspect: Suspect, *, with_record: bool = True) -> Verdict:
    """Find the cause of a step that was not finite.

    Args:
        suspect: the step; its model is used up by the experiments.
        with_record: also take the step as it was, for its figures; without, only what proves the cause is computed.

    Returns:
        One verdict. Its code is ``NOT_REPRODUCIBLE`` where the step, taken again, is finite.
    """
    started = time.monotonic()
    causes, innocent, cleaned = _states(suspect)
    # A label that is no class cannot be fed to a loss: there the record is that of the step without it.
    countable = not any(cause.finding.code == "LABEL_RANGE" for cause in causes)
    last = replay(cleaned)
    original = replay(suspect) if causes and countable and with_record else last
    findings = [cause.finding for cause in causes]
    if not last.is_finite:
        further, sentences = arithmetic.examine(cleaned, last)
        findings += further
        innocent += sentences
    elif causes:
        innocent.append(f"{', '.join(cause.removed for cause in causes)} the same step is finite")
    else:
        findings.append(_not_reproducible(suspect, last))
    return Verdict(
        finding=findings[0],
        also=tuple(findings[1:]),
        rules_out=tuple(sentence for sentence in innocent if sentence),
        record=original.figures | {"seconds": time.monotonic() - started},
    )


def _states(suspect: Suspect) -> tuple[list[Cause], list[str], Suspect]:
    """Return the causes that lie in weights, inputs and labels, what is innocent, and the step without the causes."""
    causes: list[Cause] = []
    innocent: list[str] = []
    for examine in STATES:
        found = examine(suspect)
        if isinstance(found, Cause):
            causes.append(found)
            suspect = found.without
        else:
            innocent.append(found)
    return causes, innocent, suspect


def _not_reproducible(suspect: Suspect, again: Replay) -> Finding:
    return Finding(
        code="NOT_REPRODUCIBLE",
        severity="error",
        kind=NumericalError,
        what="The step was not finite, and taken again with the same weights, data and random numbers it is finite.",
        where=suspect.name,
        evidence=f"then: loss {suspect.seen_loss}, gradient norm {suspect.seen_norm}; "
        f"now: loss {again.loss:.6g}, gradient norm {again.norm:.6g}",
        next_command="--guard_level full names the first bad tensor when it happens again; if it comes and goes, "
        "suspect the memory or the card",
    )
