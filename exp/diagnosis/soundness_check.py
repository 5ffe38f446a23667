"""Choices that run without a fault and are known to be unsound: for the weights that are loaded, or for the variables.

What a file was trained on stands in the JSON that this project writes beside its weights. A foreign file has none: then
only the size of the released checkpoint is recognised, and what cannot be known is not claimed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from exp.diagnosis.origin import Origin
from exp.settings import Settings, context_length
from models import timer_xl, timer_xl_classifier
from utils.checkpoint_layout import RELEASED, Sizes
from utils.findings import Finding

Tensors = Mapping[str, torch.Tensor]
BIAS_ENDING = "attn_bias.emb.weight"
# Mean and deviation of drawn numbers stay within so many of their own deviations but once in some hundred draws.
WITHIN = 3.0
LEVEL_NAMES = ("d2m", "sp", "msl", "tcwv", "td_spread")
LEVEL_WORDS = ("humidity", "pressure")
SHOWN = 6


def examine(settings: Settings, variables: Sequence[str], state: Tensors | None) -> list[Finding]:
    """Look for choices that are known to be unsound.

    Args:
        settings: flags of the run.
        variables: what the model reads, in order; empty where the data cannot be read.
        state: the tensors of the checkpoint that is loaded, None without one.

    Raises:
        CheckpointError: the checkpoint has changed since it was read.
    """
    if not isinstance(settings.model, timer_xl.Config):
        return []
    findings = _levels(settings, variables)
    if state is None or settings.model.variate_mode != "joint" or len(variables) < 2:
        return findings
    origin = Origin.of(Path(settings.run.pretrain_model_path))
    return [*findings, *_bias(settings, variables, state, origin), *_positions(settings, variables, origin)]


def _levels(settings: Settings, variables: Sequence[str]) -> list[Finding]:
    """Tell when instance norm hides the level of humidity and pressure from the classifier."""
    model = settings.model
    if not isinstance(model, timer_xl_classifier.Config) or not model.use_norm:
        return []
    hidden = [name for name in variables if _is_level(name)]
    if not hidden or model.level_statistics or model.last_hours:
        return []
    return [
        Finding(
            code="LEVEL_ERASED",
            severity="warning",
            what="Instance norm takes mean and deviation out of every window, so of humidity and pressure the model "
            "sees the shape and never how high they stand.",
            where="--use_norm",
            evidence=f"{len(hidden)} of {len(variables)} variables: {_some(hidden)}; neither --level_statistics nor "
            "--last_hours gives the levels to the head",
            next_command="add --level_statistics, which fits any checkpoint; leave out --use_norm when training from "
            "scratch",
            figures={"variables": hidden},
        )
    ]


def _is_level(name: str) -> bool:
    base = name.split("_lag_")[0]
    return base in LEVEL_NAMES or ("tendency" not in name and any(word in name for word in LEVEL_WORDS))


def _bias(settings: Settings, variables: Sequence[str], state: Tensors, origin: Origin | None) -> list[Finding]:
    """Tell when variables are joined by a bias that no training has ever moved.

    With one variable in a sequence the bias adds one number to a whole row of attention, which softmax takes out
    again: its gradient is exactly zero. A file cannot show that by itself, since a trained bias begins with the same
    random numbers; so it is said as known only where the JSON or the released size tells it.
    """
    biases = [value.double() for name, value in state.items() if name.endswith(BIAS_ENDING) and value.ndim == 2]
    if not biases or all(torch.equal(other, same) for other, same in biases):
        return []  # equal rows treat all variables alike: nothing random acts
    numbers = torch.cat([value.flatten() for value in biases])
    acts = _what_it_does(biases, settings.model.d_model // settings.model.n_heads)
    where = f"{settings.run.pretrain_model_path}: {BIAS_ENDING} of {len(biases)} layers, --variate_mode joint"
    is_released = origin is None and asdict(Sizes.read(state)) == RELEASED
    if is_released or (origin is not None and origin.has_untrained_bias):
        known = f"{_how_it_is_known(origin)}; {acts}; {_positions_met(settings, variables, origin)}"
        return [_untrained(where, known, numbers)]
    if origin is not None or not _looks_drawn(numbers):
        return []
    return [_perhaps_untrained(where, acts, numbers)]


def _untrained(where: str, evidence: str, numbers: torch.Tensor) -> Finding:
    return Finding(
        code="VARIATE_BIAS_UNTRAINED",
        severity="warning",
        what="This encoder was trained on single variables, so the bias that tells variables apart never learned; read "
        "jointly, the variables are weighed by its random initial numbers.",
        where=where,
        evidence=evidence,
        next_command="--variate_mode independent reads each variable as a sequence of its own, as the file was trained",
        figures=_statistics(numbers),
    )


def _perhaps_untrained(where: str, acts: str, numbers: torch.Tensor) -> Finding:
    figures = _statistics(numbers)
    return Finding(
        code="VARIATE_BIAS_UNTRAINED",
        severity="information",
        what="The file does not say whether it was trained on several variables at once; the bias that tells them "
        "apart looks like the random numbers it begins with, as it also does after a short training.",
        where=where,
        evidence=f"{figures['numbers']} numbers with mean {figures['mean']:.2f} and deviation "
        f"{figures['deviation']:.2f}, begun with 0 and 1; {acts}",
        next_command="if it was trained on single variables, --variate_mode independent",
        figures=figures,
    )


def _statistics(numbers: torch.Tensor) -> dict[str, float]:
    return {"numbers": len(numbers), "mean": float(numbers.mean()), "deviation": float(numbers.std())}


def _what_it_does(biases: Sequence[torch.Tensor], head_width: int) -> str:
    """Say how much the bias alone raises or lowers the weight of another variable's token."""
    ratios = torch.cat([torch.exp((other - same) * head_width**-0.5) for other, same in biases])
    return (
        f"by these numbers another variable counts {float(ratios.min()):.2f} to {float(ratios.max()):.2f} times as "
        "much as a token's own, by layer and head"
    )


def _how_it_is_known(origin: Origin | None) -> str:
    if origin is None:
        return "it has the size of the released checkpoint, which was trained on single variables"
    if origin.n_variables == 1:
        return "its JSON says 1 variable"
    return "its JSON says --variate_mode independent"


def _positions_met(settings: Settings, variables: Sequence[str], origin: Origin | None) -> str:
    tokens = context_length(settings) // settings.model.input_token_len
    if settings.model.rotary_positions == "time":
        return f"positions run from 0 to {tokens - 1}"
    known = f", the file's to {origin.tokens - 1}" if origin is not None and origin.tokens else ""
    return f"positions run from 0 to {len(variables) * tokens - 1} where one variable has {tokens}{known}"


def _looks_drawn(numbers: torch.Tensor) -> bool:
    """Whether mean and deviation are those of a standard normal draw, as far as so few numbers can show."""
    count = len(numbers)
    near_zero = abs(float(numbers.mean())) <= WITHIN / math.sqrt(count)
    return near_zero and abs(float(numbers.std()) - 1) <= WITHIN / math.sqrt(2 * count)


def _positions(settings: Settings, variables: Sequence[str], origin: Origin | None) -> list[Finding]:
    """Tell when a token gets another position than the one it had when the file was trained jointly."""
    now = settings.model.rotary_positions
    if origin is None:
        return [_not_as_published(settings)] if now == "time" else []
    if origin.is_univariate:
        return []  # told with the bias
    before = origin.flags.get("rotary_positions", "flattened")
    tokens = context_length(settings) // settings.model.input_token_len
    changed = [f"--rotary_positions {before} in the file, {now} now"] if before != now else []
    if before == now == "flattened":
        if origin.variables and origin.variables != tuple(variables):
            changed.append(_other_order(origin.variables, variables))
        if origin.tokens and origin.tokens != tokens:
            changed.append(f"{origin.tokens} tokens of each variable in the file, {tokens} now")
    if not changed:
        return []
    return [
        Finding(
            code="POSITIONS_CHANGED",
            severity="warning",
            what="The encoder was trained with other positions of its tokens: what it learned of which variable stands "
            "where does not hold any more.",
            where=f"{settings.run.pretrain_model_path}, --variate_mode joint",
            evidence="; ".join(changed),
            next_command=f"--rotary_positions {before}, with the variables and the context of the run that wrote the "
            "file; or --variate_mode independent, in which no position depends on the variable",
            figures={"before": before, "now": now},
        )
    ]


def _other_order(before: Sequence[str], now: Sequence[str]) -> str:
    place = next((at for at, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]), None)
    if place is None:
        return f"{len(before)} variables in the file, {len(now)} now"
    return f"variable {place} is {before[place]} in the file, {now[place]} now ({len(before)} and {len(now)} variables)"


def _not_as_published(settings: Settings) -> Finding:
    return Finding(
        code="POSITIONS_CHANGED",
        severity="information",
        what="Published checkpoints were trained with flattened positions; for one that was trained on several "
        "variables at once, time-only positions are others.",
        where=f"{settings.run.pretrain_model_path}, --rotary_positions time",
        evidence="the file has no JSON of this project that says how it was trained",
        next_command="--rotary_positions flattened, unless the file was trained on single variables",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
