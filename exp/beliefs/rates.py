"""Learning rates and their schedules, all with AdamW."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from exp.beliefs.causes import adapted
from exp.beliefs.learning import plain, short
from exp.beliefs.row import Row, Sizes, percent
from exp.beliefs.training import RATE, build, evaluate, train
from exp.beliefs.weather import case, weeks

SWEEP = tuple(10.0**exponent for exponent in range(-4, 6))
SWEEP_STEPS = 30
WARM_UP_EPOCHS, STEPS_PER_EPOCH = 5, 389


def five_or_six(sizes: Sizes) -> Row:
    """1e-5 against 1e-6 in the same number of steps."""
    runs = {rate: plain(sizes, rate=rate) for rate in (1e-3, 1e-5, 1e-6)}
    return Row(
        belief="1e-5 is too high and 1e-6 is more stable",
        notes="1e-5 to 1e-6",
        measured="; ".join(f"{rate:.0e}: {run}" for rate, run in runs.items()) + f"; after {sizes.steps} steps",
        verdict="false",
        reason="Equally finite; a rate ten times lower gets less far in the same steps.",
        holds=all(run.non_finite == 0 for run in runs.values()) and runs[1e-5].loss < runs[1e-6].loss,
        figures={f"{rate:g}": vars(run) for rate, run in runs.items()},
    )


def halving(sizes: Sizes) -> Row:
    """The rates that the notes halved."""
    pairs = ((1e-3, 5e-4), (1e-4, 5e-5))
    runs = {rate: plain(sizes, rate=rate) for pair in pairs for rate in pair}
    return Row(
        belief="halving the learning rate ends the NaN",
        notes="1e-3 to 5e-4, 1e-4 to 5e-5",
        measured="; ".join(f"{rate:g}: {run}" for rate, run in runs.items()),
        verdict="false",
        reason="Neither the higher nor the lower rate makes a step non-finite.",
        holds=all(run.non_finite == 0 for run in runs.values()),
        figures={f"{rate:g}": vars(run) for rate, run in runs.items()},
    )


def lower_rate_cures(sizes: Sizes) -> Row:
    """The case's data at ever lower rates."""
    shares = {}
    for rate in (1e-4, 1e-5, 1e-6):
        windows = case(sizes).dirty
        shares[rate] = train(adapted(sizes, windows), windows, sizes, steps=4, rate=rate).share
    return Row(
        belief="if NaN still occurs, reduce the learning rate further",
        notes="1e-5; another 50 %",
        measured="non-finite steps on the case's data: "
        + ", ".join(f"{percent(share)} at {rate:.0e}" for rate, share in shares.items()),
        verdict="false",
        reason="No rate repairs a missing value.",
        holds=all(share == 1 for share in shares.values()),
        figures={f"{rate:g}": share for rate, share in shares.items()},
    )


@lru_cache(maxsize=4)
def sweep(sizes: Sizes, dropout: float) -> dict[float, tuple[float, float]]:
    """Rate -> share of non-finite steps, and ROC AUC on later weeks (NaN where outputs are)."""
    training, validation = weeks(sizes)
    result = {}
    for rate in SWEEP:
        model = build(sizes, dropout=dropout)
        outcome = train(model, training, sizes, steps=min(SWEEP_STEPS, sizes.steps), rate=rate, protection="none")
        result[rate] = (outcome.share, evaluate(model, validation)[1])
    return result


def rate_sweep(sizes: Sizes) -> Row:
    """From 1e-4 to 1e5 with nothing held back, in both of the project's attention paths."""
    usual, without = sweep(sizes, 0.1), sweep(sizes, 0.0)
    return Row(
        belief="too high a learning rate (1e-4, 1e-3) overflows and gives NaN",
        notes="1e-4 and 0.001 are too high",
        measured="non-finite steps and ROC AUC without any guard: "
        + "; ".join(
            f"{rate:g} {percent(share)}, {'NaN' if math.isnan(score) else f'{score:.2f}'}"
            for rate, (share, score) in usual.items()
        )
        + f"; first rate with a non-finite step: {_first_bad(usual)} with dropout 0.1, {_first_bad(without)} without",
        verdict="half true",
        reason="AdamW bounds its step: far too high a rate ruins the fit long before anything is NaN.",
        holds=all(share == 0 for result in (usual, without) for rate, (share, _) in result.items() if rate <= 1),
        figures={
            name: {f"{rate:g}": pair for rate, pair in result.items()}
            for name, result in (("dropout 0.1", usual), ("dropout 0", without))
        },
    )


def _first_bad(result: dict[float, tuple[float, float]]) -> str:
    bad = [rate for rate, (share, _) in result.items() if share > 0]
    return f"{min(bad):g}" if bad else "none"


def warm_up(sizes: Sizes) -> Row:
    """The notes' warm-up against none, by the way it can go."""
    steps = min(sizes.steps, WARM_UP_EPOCHS * STEPS_PER_EPOCH)
    per_epoch = max(1, steps // WARM_UP_EPOCHS)
    warm = short(sizes, lambda seed: build(sizes, seed=seed), rate=lambda step: 1e-7 * (min(step // per_epoch, 4) + 1))
    cold = plain(sizes, rate=1e-6)
    return Row(
        belief="a warm-up of 1e-7 * (epoch + 1) over five epochs, then 1e-6, is needed",
        notes="1e-7 to 5e-7",
        measured=f"{sizes.steps} steps of warm-up: {warm}; the same steps at 1e-6: {cold}",
        verdict="false",
        reason="Both are finite and neither moves; warm-up helps rates a thousand times higher.",
        holds=warm.non_finite == cold.non_finite == 0,
        figures={"warm": vars(warm), "cold": vars(cold)},
    )


def warm_up_and_cosine(sizes: Sizes) -> Row:
    """Three parts of warm-up and a cosine with restarts, against a constant rate."""
    part = max(1, sizes.steps // 10)

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / (3 * part))
        phase = (step - 3 * part) % (3 * part) / (3 * part) if step >= 3 * part else 0.0
        return max(1e-8, RATE * warm * 0.5 * (1 + math.cos(math.pi * phase)))

    shaped = short(sizes, lambda seed: build(sizes, seed=seed), rate=rate)
    constant = plain(sizes)
    return Row(
        belief="warm-up and a cosine with restarts prevent NaN",
        notes="3 epochs, restarts",
        measured=f"with: {shaped}; constant rate: {constant}",
        verdict="false",
        reason="A schedule is a matter of the fit; there was no NaN to prevent.",
        holds=shaped.non_finite == constant.non_finite == 0,
        figures={"shaped": vars(shaped), "constant": vars(constant)},
    )


def lowest_rate(sizes: Sizes) -> Row:
    """How many weights a step of 1e-8 changes at all in float32."""
    training, _ = weeks(sizes)
    changed = {}
    for rate in (1e-4, 1e-6, 1e-8):
        model = build(sizes)
        before = torch.cat([parameter.detach().flatten().clone() for parameter in model.parameters()])
        train(model, training, sizes, steps=1, rate=rate)
        after = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        changed[rate] = (before != after).float().mean().item()
    lowest = plain(sizes, rate=1e-8)
    return Row(
        belief="a lowest rate of 1e-8 keeps the rate from being too low",
        notes="min 1e-8",
        measured="weights that one step changes at all in float32: "
        + ", ".join(f"{percent(share)} at {rate:.0e}" for rate, share in changed.items())
        + f"; loss after {sizes.steps} steps at 1e-08 {lowest.loss:.3f}, at the first step {lowest.first_loss:.3f}",
        verdict="false",
        reason="The last bits of the weights move and nothing is learned; a floor that low is as good as none.",
        holds=abs(lowest.loss - lowest.first_loss) < 0.01,
        figures={f"{rate:g}": share for rate, share in changed.items()} | {"loss": lowest.loss},
    )


ALL = (five_or_six, halving, lower_rate_cures, rate_sweep, warm_up, warm_up_and_cosine, lowest_rate)
