"""Weights and data are finite, the step is not: precision, rate, an empty attention row, a layer, loss or gradient."""

from __future__ import annotations

from dataclasses import dataclass

from exp.diagnosis import batch_data, last_update, record, slower
from exp.diagnosis.replay import Replay, Suspect, replay
from exp.precision import describe
from utils.errors import NumericalError, UsageError
from utils.findings import Finding

# Scaled inputs lie within some tens of deviations; a fill value of NetCDF (9.97e36) does not.
EXTREME = 1e4
# A healthy update moves the weights by about a thousandth; below this the rate is not suspected at all.
SUSPICIOUS_UPDATE = 0.1
FLOAT16_LARGEST = 65504.0


@dataclass(frozen=True)
class Suspicion:
    """Something without which the step gets further than with it.

    Attributes:
        finding: the cause.
        without: the step without it.
        after: what that step came to.
    """

    finding: Finding
    without: Suspect
    after: Replay


def examine(suspect: Suspect, seen: Replay) -> tuple[list[Finding], list[str]]:
    """Find what the arithmetic of a step with finite weights and inputs broke on.

    A suspicion is a cause when the step without it gets further: finite outputs where there were none, a finite loss,
    finite gradients. What then still is not finite is looked at again.

    Args:
        suspect: the step; weights, inputs and labels are in order.
        seen: its replay, which is not finite.

    Returns:
        The causes, the one that acts first before the others, and sentences about what it is not.
    """
    found: list[Finding] = []
    innocent: list[str] = []
    for suspicion_of in (_precision, _extreme_data, _learning_rate):
        result = suspicion_of(suspect, seen)
        if isinstance(result, Suspicion):
            found.append(result.finding)
            suspect, seen = result.without, result.after
        elif result:
            innocent.append(result)
        if seen.is_finite:
            return found, innocent
        if suspect.objective.precision is not None:
            # The simplest form that still fails: a second cause must not hide behind the precision.
            suspect = suspect.in_float32()
            seen = replay(suspect)
    return [*found, _place(suspect, seen)], innocent


def _precision(suspect: Suspect, seen: Replay) -> Suspicion | str:
    if suspect.objective.precision is None:
        return "the precision is innocent: the step ran in float32"
    wide = replay(suspect.in_float32())
    if wide.stage <= seen.stage:
        return "not the precision alone: float32 is not finite either"
    name = describe(suspect.objective.precision)
    place = seen.first_place
    if place is not None:
        largest = wide.largest.get(place.module, float("nan"))
        where = f"{place}, at {suspect.name}"
        reached = f"its output reaches {largest:.4g} in float32"
    else:
        where = f"gradient of {seen.first_gradient}, at {suspect.name}"
        reached = f"gradient norm in float32 {wide.norm:.4g}"
    limit = f"; {name} ends at {FLOAT16_LARGEST:g}" if name == "float16" else ""
    finding = _finding(
        "PRECISION_OVERFLOW",
        f"The {seen.stage.words} is not finite in {name} and finite in float32.",
        where,
        f"{reached}{limit}; loss in float32 {wide.loss:.4g}",
        "--amp off, or --amp bf16 where the card has it",
    )
    return Suspicion(finding, suspect.in_float32(), wide)


def _extreme_data(suspect: Suspect, seen: Replay) -> Suspicion | str:
    cells = batch_data.extreme_cells(suspect, EXTREME)
    if cells is None:
        return ""
    names = batch_data.listed(cells.names(suspect))
    tame = batch_data.without_columns(suspect, cells)
    after = replay(tame)
    if after.stage <= seen.stage:
        return f"not the extreme values of {names}: without them the step gets no further"
    largest = float(suspect.windows.inputs(suspect.ids).abs().max())
    finding = _finding(
        "DATA_EXTREME",
        "Values of this batch are so far from the training mean that the arithmetic overflows.",
        batch_data.where(suspect, cells),
        f"up to {largest:.4g} deviations in {names}; without these columns the {seen.stage.words} is finite",
        batch_data.TAME[suspect.windows.kind],
    )
    return Suspicion(finding, tame, after)


def _learning_rate(suspect: Suspect, seen: Replay) -> Suspicion | str:
    past = suspect.past()
    if past.before_update is None:
        if suspect.last_good:
            return "the learning rate was not examined: the weights before the last update are not known"
        return "the learning rate is innocent: no update was made before this step"
    ratio = last_update.update_ratio(suspect.model, past.before_update)
    if ratio < SUSPICIOUS_UPDATE:
        return f"the learning rate is innocent: the last update moved the weights by {100 * ratio:.2g} %"
    proof = slower.prove(suspect, past, seen)
    if proof is None:
        return (
            f"not the learning rate: the last update was {ratio:.3g} times the weights, but with a tenth of it the "
            "step gets no further"
        )
    finding = _finding(
        "LEARNING_RATE",
        "The updates threw the weights so far that this step overflows.",
        f"{suspect.name}; last good step: {suspect.last_good}",
        f"batch finite, weights finite; the last update was {ratio:.3g} times the weights it changed (usual: 0.001); "
        f"{proof.sentence}",
        f"--learning_rate {past.learning_rate / 10:g} --warmup_epochs 1"
        if past.learning_rate
        else "a tenth of --learning_rate, and --warmup_epochs 1",
    )
    return Suspicion(finding, proof.without, proof.after)


def _place(suspect: Suspect, seen: Replay) -> Finding:
    """Name the first place that is not finite, in the order of the step."""
    # Where the kernel gives 0 for such a row, the gradient of the layer's bias is what is not finite.
    place = seen.first_place.module if seen.first_place else seen.first_gradient or ""
    blind = [(module, row) for module, row in seen.blind_rows if place.startswith(module)]
    if blind:
        return blind_rows(blind, suspect.name)
    if seen.bad_term is None and seen.first_gradient is not None:
        return _gradient(suspect, seen)
    if not seen.outputs_finite and seen.first_place is not None:
        return _activation(suspect, seen)
    if seen.bad_term is not None:
        return _loss(suspect, seen)
    return _finding(
        "GRAD_HUGE",
        "All gradients are finite, but so large that their norm overflows float32; this is not NaN.",
        f"{next(iter(seen.figures['gradient_norms']))}, at {suspect.name}",
        f"exact norm {seen.norm:.4g}; largest: {_largest(seen)}",
        "a tenth of --learning_rate, and look at the loss before this step for a rise",
    )


def blind_rows(rows: list[tuple[str, int]], step: str) -> Finding:
    """Return the finding for attention rows that see nothing.

    Args:
        rows: (module, row of the mask).
        step: which step.
    """
    module, row = rows[0]
    return Finding(
        code="ATTENTION_MASK_EMPTY",
        severity="error",
        kind=UsageError,
        what=f"{len(rows)} rows of an attention mask see no token at all; softmax over nothing is undefined.",
        where=f"{module}, row {row}, at {step}",
        evidence="some kernels return 0 for such a row, others NaN; neither is an answer",
        next_command="let every token see at least itself (layers/masks.py builds such masks)",
        figures={"rows": [list(pair) for pair in rows[:100]]},
    )


def _activation(suspect: Suspect, seen: Replay) -> Finding:
    place = seen.first_place
    assert place is not None
    figures = place.outputs or place.inputs
    return _finding(
        "ACTIVATION_NONFINITE",
        "Finite weights and finite inputs give an activation that is not finite.",
        f"{place}, at {suspect.name}",
        f"{figures.get('nan', 0)} NaN and {figures.get('infinite', 0)} infinite values; its input: "
        f"{record.sentence(place.inputs) if place.inputs else 'none'}",
        "--guard_level full --detect_anomaly names the operation; if the inputs of that layer are large, a tenth of "
        "--learning_rate"
        if suspect.seen_loss is not None
        else "no step was taken yet, so it is the start: --encoder_init published --init_gain 1, or another checkpoint",
    )


def _loss(suspect: Suspect, seen: Replay) -> Finding:
    output = seen.figures["output"]
    term = seen.figures["loss_terms"][seen.bad_term]
    return _finding(
        "LOSS_NONFINITE",
        "The outputs are finite and the loss is not.",
        f"term {seen.bad_term}, at {suspect.name}",
        f"{term['nan']} NaN and {term['infinite']} infinite values in it; outputs {output['minimum']:.4g} to "
        f"{output['maximum']:.4g}",
        "--loss CE without class weights; then add one option of the loss after the other",
    )


def _gradient(suspect: Suspect, seen: Replay) -> Finding:
    hidden = ""
    if seen.first_place is not None:
        hidden = (
            f"; the forward pass was not finite at {seen.first_place}, and something after it replaces NaN by a number"
        )
    return _finding(
        "GRAD_NONFINITE",
        "The loss is finite and a gradient is not.",
        f"{seen.first_gradient} (first in the backward pass), at {suspect.name}",
        f"loss {seen.loss:.4g}; gradients not finite in "
        f"{sum(norm != norm or norm == float('inf') for norm in seen.figures['gradient_norms'].values())} of "
        f"{len(seen.figures['gradient_norms'])} tensors{hidden}",
        "--detect_anomaly names the operation; look for something that replaces NaN by a number (torch.nan_to_num)",
    )


def _largest(seen: Replay) -> str:
    norms = list(seen.figures["gradient_norms"].items())[:3]
    return ", ".join(f"{name} {norm:.3g}" for name, norm in norms)


def _finding(code: str, what: str, where: str, evidence: str, next_command: str) -> Finding:
    return Finding(
        code=code,
        severity="error",
        kind=NumericalError,
        what=what,
        where=where,
        evidence=evidence,
        next_command=next_command,
    )
