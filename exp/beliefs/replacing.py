"""NaN replaced by a number, batches skipped, checkpoints from before: what one step leaves alive.

The replacement is written out as ``torch.where(torch.isnan(x), 0, x)``: its gradient is that of the usual function.
"""

from __future__ import annotations

import copy
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn

from exp.beliefs.row import Row, Sizes, percent
from exp.beliefs.training import Loss, dead_tensors, evaluate, for_case, n_tensors, train
from exp.beliefs.weather import case

NAN = float("nan")


def without_nan(x: torch.Tensor) -> torch.Tensor:
    """Replace NaN by zero: finite forward, deadly backward, because 0 x NaN is NaN behind it."""
    return torch.where(torch.isnan(x), torch.zeros_like(x), x)


def on_logits(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of logits whose NaN became zero."""
    return F.cross_entropy(without_nan(logits), labels)


def on_the_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in which the NaN of single samples became zero."""
    return without_nan(F.cross_entropy(logits, labels, reduction="none")).mean()


@lru_cache(maxsize=8)
def one_step(sizes: Sizes, loss: Loss, clip: float) -> tuple[float, int, int, float]:
    """Loss of the first step on the case, tensors dead after it, tensors, share of clean steps skipped after it."""
    windows = case(sizes).dirty
    model = for_case(sizes, windows)
    first = train(model, windows, sizes, steps=1, loss=loss, clip=clip, protection="notes")
    later = train(model, case(sizes).clean, sizes, steps=5, protection="notes")
    return first.losses[0], dead_tensors(model), n_tensors(model), later.share


def replace_in_logits(sizes: Sizes) -> Row:
    """Replace NaN in the model's output."""
    value, dead, total, skipped = one_step(sizes, on_logits, 1.0)
    _, dead_unclipped, _, _ = one_step(sizes, on_logits, 0.0)
    return Row(
        belief="replacing NaN in the outputs by a number protects the training",
        notes="`nan_to_num`, a safety net",
        measured=f"loss of the first step {value:.2f}, so nothing is skipped; tensors dead after it: {dead} of {total} "
        f"({dead_unclipped} without clipping); every clean batch later skipped: {percent(skipped)}",
        verdict="false",
        reason="It is what killed the case: a finite loss hides gradients that are NaN.",
        holds=dead == total and skipped == 1,
        figures={"dead": dead, "tensors": total, "dead_unclipped": dead_unclipped, "loss": value},
    )


def replace_in_the_loss(sizes: Sizes) -> Row:
    """Replace NaN in the loss."""
    value, dead, total, skipped = one_step(sizes, on_the_loss, 1.0)
    return Row(
        belief="replacing NaN in the loss by a safe value protects the training",
        notes="safe fallback values",
        measured=f"loss of the first step {value:.2f}; tensors dead after it: {dead} of {total}; clean batches later "
        f"skipped: {percent(skipped)}",
        verdict="false",
        reason="The gradient of what was replaced is 0 x NaN.",
        holds=dead == total,
        figures={"dead": dead, "tensors": total, "loss": value},
    )


def skip_batch(sizes: Sizes) -> Row:
    """Skip a batch whose loss is not finite, with and without a replacement before it."""
    windows = case(sizes).dirty
    model = for_case(sizes, windows)
    alone = train(model, windows, sizes, steps=5, protection="notes")
    _, dead, total, _ = one_step(sizes, on_logits, 1.0)
    return Row(
        belief="skipping batches whose loss is NaN protects the weights",
        notes="389 of 389 skipped",
        measured=f"tensors dead: {dead_tensors(model)} of {total} where the loss is looked at as it is, "
        f"{dead} of {total} after a replacement; with the blank rows {percent(alone.share)} of the batches are skipped",
        verdict="half true",
        reason="It looks at the loss and not at the gradients, never says why, and may leave nothing to learn from.",
        holds=dead_tensors(model) == 0 and dead == total,
        figures={"dead_alone": dead_tensors(model), "dead": dead, "skipped": alone.share},
    )


def detect_and_stop(sizes: Sizes) -> Row:
    """Train on with NaN, without any check."""
    windows = case(sizes).dirty
    model = for_case(sizes, windows)
    train(model, windows, sizes, steps=1, protection="none")
    guarded = for_case(sizes, windows)
    before = copy.deepcopy(guarded.state_dict())
    train(guarded, windows, sizes, steps=3)
    same = all(torch.equal(value, before[name]) for name, value in guarded.state_dict().items())
    return Row(
        belief="no NaN detection: training went on and corrupted everything",
        notes="all 78 parameters",
        measured=f"one unguarded step: {dead_tensors(model)} of {n_tensors(model)} tensors NaN; guarded, three such "
        f"steps: weights {'bitwise as before' if same else 'changed'}",
        verdict="true",
        reason="A check on loss and gradient norm before the update is enough.",
        holds=same and dead_tensors(model) == n_tensors(model),
        figures={"dead": dead_tensors(model), "unchanged": same},
    )


def best_before_nan(sizes: Sizes) -> Row:
    """Keep the best epoch under two rules that look alike."""
    losses = [0.61, 0.52, NAN, 0.57]
    strict = unless_worse = losses[0]
    for value in losses[1:]:
        if value < strict:
            strict = value
        if not value > unless_worse:
            unless_worse = value
    windows = case(sizes).clean
    model = for_case(sizes, windows)
    train(model, windows, sizes, steps=5)
    kept = copy.deepcopy(model)
    poisoned = windows.with_table(torch.full_like(windows.table, NAN))
    train(model, poisoned, sizes, steps=1, protection="none")
    loss, _ = evaluate(kept, windows)
    return Row(
        belief="the best model from before the NaN can be used",
        notes="use best model even if interrupted",
        measured=f"kept before: {dead_tensors(kept)} tensors NaN, loss {loss:.2f}; validation losses 0.61, 0.52, NaN, "
        f"0.57: saving when smaller keeps {strict:.2f}, saving unless larger keeps {unless_worse:.2f} or NaN",
        verdict="half true",
        reason="Only if NaN can never win: not larger is not smaller.",
        holds=dead_tensors(kept) == 0 and strict == 0.52 and unless_worse != 0.52,
        figures={"kept": dead_tensors(kept), "strict": strict, "unless_worse": unless_worse},
    )


def resume_before_nan(sizes: Sizes) -> Row:
    """Resume from before the NaN over the same data, at the old rate and at a twentieth of it."""
    shares = {}
    for rate in (1e-3, 5e-5):
        windows = case(sizes).clean
        model = for_case(sizes, windows)
        train(model, windows, sizes, steps=3)
        shares[rate] = train(model, case(sizes).dirty, sizes, steps=4, rate=rate).share
    return Row(
        belief="resuming from the epoch before the NaN, at a lower rate, continues well",
        notes="recommended; rates halved",
        measured="non-finite steps after resuming over the same blank rows: "
        + ", ".join(f"{percent(share)} at {rate:g}" for rate, share in shares.items()),
        verdict="depends",
        reason="The cause is still there unless it was the rate; find it first.",
        holds=all(share == 1 for share in shares.values()),
        figures={f"{rate:g}": share for rate, share in shares.items()},
    )


def accuracy_of_nan(_sizes: Sizes) -> Row:
    """The accuracy of NaN outputs."""
    rows, dry = 7664, 2934
    answer = int(torch.full((1, 2), NAN).argmax(dim=1))
    constant = max(dry, rows - dry) / rows
    return Row(
        belief="an accuracy of 38 % is nearly random; the baseline is 50 %, and 58.3 % shows the fix works",
        notes="38.19 %, 50 %, 58.3 %",
        measured=f"argmax of NaN is class {answer}, whose share is {percent(dry / rows)}; always saying rain scores "
        f"{percent(constant)}",
        verdict="false",
        reason="38 % is the share of one class, and 58.3 % is below a constant answer.",
        holds=answer == 0 and constant > 0.583,
        figures={"share": dry / rows, "constant": constant},
    )


def valid_checkpoint(sizes: Sizes) -> Row:
    """Finite weights that predict nothing."""
    windows = case(sizes).clean
    model = for_case(sizes, windows)
    with torch.no_grad():
        model.classifier[-1].weight.mul_(1e15)
    loss, _ = evaluate(model, windows)
    return Row(
        belief="a checkpoint whose values are finite is VALID",
        notes="valid, loss 4.9 trillion",
        measured=f"one layer times 1e15: {dead_tensors(model)} tensors not finite, loss {loss:.1e}",
        verdict="half true",
        reason="Finite is necessary; absurd sizes and the validation score have to be looked at too.",
        holds=dead_tensors(model) == 0 and loss > 1e3,
        figures={"loss": loss},
    )


def quiet_means_cured(sizes: Sizes) -> Row:
    """A training without NaN in its loss that has stopped learning."""
    windows = case(sizes).dirty
    model = for_case(sizes, windows)
    outcome = train(model, windows, sizes, steps=5, loss=on_logits, protection="notes")
    finite = sum(value == value for value in outcome.losses)
    return Row(
        belief="no NaN in the loss means that the fixes work",
        notes="epoch 27 without NaN",
        measured=f"with NaN replaced in the outputs: {finite} of {outcome.steps} losses finite "
        f"(last {outcome.losses[-1]:.4f}), {dead_tensors(model)} of {n_tensors(model)} tensors NaN",
        verdict="false",
        reason="Every output is 0 and every loss is log 2; look at weights and scores.",
        holds=finite == outcome.steps and dead_tensors(model) == n_tensors(model),
        figures={"finite": finite, "dead": dead_tensors(model), "last": outcome.losses[-1]},
    )


def clip_spreads_nan(sizes: Sizes) -> Row:
    """Clip with one NaN among all gradients."""
    model = for_case(sizes, case(sizes).clean)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(model.parameters()).grad.view(-1)[0] = NAN
    before = sum(bool(parameter.grad.isnan().any()) for parameter in model.parameters())
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    after = sum(bool(parameter.grad.isnan().all()) for parameter in model.parameters())
    return Row(
        belief="gradient clipping protects against NaN gradients",
        notes="max_norm 1.0",
        measured=f"gradients with a NaN: {before} of {n_tensors(model)} before clipping, {after} of {n_tensors(model)} "
        "wholly NaN after it",
        verdict="false",
        reason="The total norm is NaN and every gradient is multiplied by it.",
        holds=before == 1 and after == n_tensors(model),
        figures={"before": before, "after": after, "tensors": n_tensors(model)},
    )


ALL = (
    replace_in_logits, replace_in_the_loss, skip_batch, clip_spreads_nan, detect_and_stop, best_before_nan,
    resume_before_nan, accuracy_of_nan, valid_checkpoint, quiet_means_cured,
)  # fmt: skip
