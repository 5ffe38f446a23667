"""Are the weights finite? If so the checkpoint is innocent."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from exp.diagnosis.cause import Cause
from exp.diagnosis.replay import Past, Suspect, own_copy
from utils.errors import NumericalError
from utils.findings import Finding

NAMES_SHOWN = 3


def examine(suspect: Suspect) -> Cause | str:
    """Return the weights that are not finite as a cause, or a sentence that clears them."""
    bad = not_finite(suspect.model)
    tensors = len(suspect.model.state_dict())
    if not bad:
        which = "checkpoint is" if suspect.is_loaded else "weights (no checkpoint is loaded) are"
        return f"the {which} innocent: all {tensors} tensors of the model are finite"
    first = next(iter(bad))
    count, index = bad[first]
    finding = Finding(
        code="WEIGHT_NONFINITE",
        severity="error",
        kind=NumericalError,
        what=f"{len(bad)} of {tensors} tensors of the model are not finite; nothing it says can be.",
        where=f"{', '.join(list(bad)[:NAMES_SHOWN])}{' ...' if len(bad) > NAMES_SHOWN else ''}, at {suspect.name}",
        evidence=f"{first}: {count} values not finite, first at {index}; "
        + (f"last good step: {suspect.last_good}" if suspect.last_good else "no step was applied before"),
        next_command="start again from the last checkpoint that is whole; something outside the optimizer wrote into "
        "the weights",
        figures={"tensors": {name: count for name, (count, _) in bad.items()}},
    )
    healed = own_copy(suspect.model)
    with torch.no_grad():
        for tensor in healed.state_dict().values():
            if tensor.is_floating_point():
                tensor[~torch.isfinite(tensor)] = 0.0
    without = replace(suspect, model=healed, past=Past)
    return Cause(finding, without, "with those weights set to zero")


def not_finite(model: nn.Module) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Return tensor -> (number of values that are not finite, index of the first), for the tensors that have any."""
    found = {}
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            at = (~torch.isfinite(tensor)).nonzero()
            found[name] = (len(at), tuple(at[0].tolist()))
    return found
