"""Would smaller updates have been finite? Tried with a tenth of the last one, then from the start of the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from exp.diagnosis import last_update
from exp.diagnosis.replay import Past, Replay, Suspect, own_copy, replay
from exp.guard import gradients

TENTH = 0.1
SMALLEST = 1e-30


@dataclass(frozen=True)
class Proof:
    """That the updates are to blame.

    Attributes:
        sentence: how it was shown.
        without: the step with weights that were moved less.
        after: what that step came to.
    """

    sentence: str
    without: Suspect
    after: Replay


def prove(suspect: Suspect, past: Past, seen: Replay) -> Proof | None:
    """Show that the step gets further with smaller updates; None where it does not.

    Args:
        suspect: the step.
        past: weights before.
        seen: what the step came to.
    """
    if past.before_update is not None:
        less, after = _at(suspect, past.before_update, TENTH)
        if after.stage > seen.stage:
            return Proof(f"with a tenth of that update the {seen.stage.words} is finite", less, after)
    if past.epoch_start is None:
        return None
    fresh, after = _at(suspect, past.epoch_start, 0.0)
    if after.stage <= seen.stage:
        return None
    now = {name: weight for name, weight in suspect.model.named_parameters() if name in past.epoch_start}
    growth = _norm(now) / max(_norm(past.epoch_start), SMALLEST)
    sentence = f"since the start of the epoch the norm of the weights has grown {growth:.3g}-fold, and with the "
    sentence += f"weights it began with the {seen.stage.words} is finite"
    if past.steps and _steps_again(suspect, past, past.epoch_start):
        sentence += f"; taken again from there at a tenth of the rate, all {len(past.steps)} steps are finite"
    return Proof(sentence, fresh, after)


def _at(suspect: Suspect, weights: Mapping[str, torch.Tensor], share: float) -> tuple[Suspect, Replay]:
    """Return the step with a share of the way from these weights to the present ones, and what it comes to."""
    twin = own_copy(suspect.model)
    last_update.move_to_share(twin, weights, share)
    moved = replace(suspect, model=twin)
    return moved, replay(moved)


def _steps_again(suspect: Suspect, past: Past, start: Mapping[str, torch.Tensor]) -> bool:
    """Take the steps since the start of the epoch again, at a tenth of the rate; say whether all are finite."""
    twin = own_copy(suspect.model)
    last_update.move_to_share(twin, start, 0.0)
    parameters = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=past.weight_decay)
    windows = past.windows or suspect.windows
    for step in past.steps:
        again = replay(replace(suspect, model=twin, windows=windows, ids=step.ids, random_state=step.random_state))
        if not again.is_finite:
            return False
        if past.clip_grad_norm:
            clip_grads_with_norm_(parameters, past.clip_grad_norm, get_total_norm(gradients(parameters)))
        optimizer.param_groups[0]["lr"] = TENTH * step.learning_rates[0]
        optimizer.step()
    return True


def _norm(weights: Mapping[str, torch.Tensor]) -> float:
    return sum(float(tensor.detach().double().square().sum()) for tensor in weights.values()) ** 0.5
