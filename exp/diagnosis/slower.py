"""Would a tenth of the learning rate have been finite? Tried in three ways, the nearest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from exp.diagnosis import last_update
from exp.diagnosis.replay import Past, Suspect, own_copy, replay
from exp.guard import gradients

TENTH = 0.1


def proof(suspect: Suspect, past: Past) -> str:
    """Return a sentence that shows the updates to be the cause, empty where none of the three ways shows it."""
    if past.before_update is not None and _finite_at(suspect, past.before_update, TENTH):
        return "with a tenth of that update the same batch is finite"
    if past.epoch_start is None:
        return ""
    if past.steps and _steps_again(suspect, past, past.epoch_start):
        return f"taken again from the start of the epoch at a tenth of the rate, all {len(past.steps)} steps are finite"
    if _finite_at(suspect, past.epoch_start, 0.0):
        growth = _norm(dict(suspect.model.named_parameters())) / max(_norm(past.epoch_start), 1e-30)
        return (
            "with the weights of the epoch's start the same batch is finite; since then their norm has grown "
            f"{growth:.3g}-fold"
        )
    return ""


def _finite_at(suspect: Suspect, weights: Mapping[str, torch.Tensor], share: float) -> bool:
    """Say whether the step is finite with a share of the way from these weights to the present ones."""
    twin = own_copy(suspect.model)
    last_update.move_to_share(twin, weights, share)
    return replay(replace(suspect, model=twin)).is_finite


def _steps_again(suspect: Suspect, past: Past, start: Mapping[str, torch.Tensor]) -> bool:
    """Take the steps since the start of the epoch again, at a tenth of the rate; say whether all are finite."""
    twin = own_copy(suspect.model)
    last_update.move_to_share(twin, start, 0.0)
    parameters = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=past.weight_decay)
    for step in past.steps:
        again = replay(replace(suspect, model=twin, ids=step.ids, random_state=step.random_state))
        if not again.is_finite:
            return False
        if past.clip_grad_norm:
            clip_grads_with_norm_(parameters, past.clip_grad_norm, get_total_norm(gradients(parameters)))
        optimizer.param_groups[0]["lr"] = TENTH * step.learning_rates[0]
        optimizer.step()
    return True


def _norm(weights: Mapping[str, torch.Tensor]) -> float:
    return sum(float(tensor.detach().double().square().sum()) for tensor in weights.values()) ** 0.5
