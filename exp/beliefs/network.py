"""Heads, activations, norms, dropout and size: what the shape of the network has to do with NaN.

Axes: B batch, F features.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from exp.beliefs.learning import Short, plain, short
from exp.beliefs.row import Row, Sizes, percent
from exp.beliefs.training import HEAD_INPUTS, build, for_case, train
from exp.beliefs.weather import case, weeks

DEPTHS = (2, 4, 8)
FACTORS = (1.0, 1e3, 1e6, 1e19, 1e30)
FEW_STEPS = 4


def old_head(seed: int) -> nn.Sequential:
    """The head that the notes replaced: 96-256-64-2 with ReLU, from Xavier's start."""
    torch.manual_seed(seed)
    head = nn.Sequential(
        nn.Linear(HEAD_INPUTS, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, 64), nn.ReLU(), nn.Dropout(0.1),
        nn.Linear(64, 2),
    )  # fmt: skip
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return head


def with_old_head(sizes: Sizes, seed: int) -> Any:
    """The project's model under the old head."""
    model = build(sizes, seed=seed)
    model.classifier = old_head(seed)
    return model


@lru_cache(maxsize=4)
def old_trained(sizes: Sizes) -> Short:
    """A short training with the old head."""
    return short(sizes, lambda seed: with_old_head(sizes, seed))


def new_head(sizes: Sizes) -> Row:
    """The old head against the new one."""
    windows, _ = weeks(sizes)
    x = windows.inputs(torch.arange(min(200, len(windows))))
    with torch.no_grad():
        logits = [model.eval()(x).abs().max().item() for model in (with_old_head(sizes, 0), build(sizes))]
    old, new = old_trained(sizes), plain(sizes)
    return Row(
        belief="a simpler head with LayerNorm (96-128-2, GELU) is stable where 96-256-64-2 (ReLU) is not",
        notes="unstable before, stable now",
        measured=f"largest logit at the start: old {logits[0]:.2f}, new {logits[1]:.4f}; trained: old {old}; new {new}",
        verdict="false",
        reason="Both are finite from the first step to the last.",
        holds=old.non_finite == 0 and new.non_finite == 0,
        figures={"logits": logits, "old": vars(old), "new": vars(new)},
    )


def layer_norm_bounds(sizes: Sizes) -> Row:
    """Both heads on features scaled up."""
    torch.manual_seed(0)
    features = torch.randn(64, HEAD_INPUTS)
    heads = {"old": old_head(0).eval(), "new": build(sizes).classifier.eval()}
    logits = {}
    with torch.no_grad():
        for name, head in heads.items():
            logits[name] = [head(features * factor).abs().max().item() for factor in FACTORS]
        features[0, 0] = float("nan")
        survives = bool(torch.isfinite(heads["new"](features)[0]).all())
    return Row(
        belief="LayerNorm prevents explosive activations",
        notes="for stability",
        measured="largest logit for features times "
        + ", ".join(f"{factor:.0e}" for factor in FACTORS)
        + ": "
        + "; ".join(f"{name} " + ", ".join(f"{value:.2g}" for value in values) for name, values in logits.items())
        + f"; a NaN feature gives {'a finite' if survives else 'a NaN'} output",
        verdict="half true",
        reason="It bounds what is finite, and passes NaN through.",
        holds=max(logits["new"][:3]) < 1 and logits["old"][2] > 1e4 and not survives,
        figures={**logits, "survives_nan": survives},
    )


def layer_norm_converges(sizes: Sizes) -> Row:
    """The new head without its first norm."""

    def bare(seed: int) -> Any:
        model = build(sizes, seed=seed)
        model.classifier[0] = nn.Identity()
        return model

    without, with_norm = short(sizes, bare), plain(sizes)
    return Row(
        belief="a layer norm before the output improves convergence",
        notes="~2 % overhead but improves convergence",
        measured=f"with: {with_norm}; without: {without}",
        verdict="depends",
        reason="Both are finite; which one gets further is a matter of the data and the length of the training.",
        holds=without.non_finite == with_norm.non_finite == 0,
        figures={"with": vars(with_norm), "without": vars(without)},
    )


def gelu_smoother(sizes: Sizes) -> Row:
    """GELU and ReLU on clean data, on NaN and on infinities."""
    gelu, relu = plain(sizes, activation="gelu"), plain(sizes)
    low = torch.tensor([float("-inf")])
    nan = torch.tensor([float("nan")])
    at_minus_infinity = {"relu": F.relu(low).item(), "gelu": F.gelu(low).item()}
    passed = bool(F.relu(nan).isnan()) and bool(F.gelu(nan).isnan())
    return Row(
        belief="GELU is smoother than ReLU, so there is no NaN",
        notes="no walls",
        measured=f"non-finite steps: GELU {percent(gelu.non_finite)}, ReLU {percent(relu.non_finite)}; loss "
        f"{gelu.loss:.3f} and {relu.loss:.3f}; NaN in, NaN out: {'both' if passed else 'not both'}; of minus infinity "
        f"GELU makes {at_minus_infinity['gelu']}, ReLU {at_minus_infinity['relu']}",
        verdict="false",
        reason="Neither makes NaN of a finite number; of an overflow GELU does and ReLU does not.",
        holds=gelu.non_finite == relu.non_finite == 0 and passed and at_minus_infinity["gelu"] != 0,
        figures={"gelu": vars(gelu), "relu": vars(relu), "nan_passes": passed},
    )


def _shares(sizes: Sizes, **flags: Any) -> tuple[float, float]:
    """Share of non-finite steps on the case's clean and on its blank rows."""
    mini = case(sizes)
    clean, dirty = (
        train(for_case(sizes, windows, **flags), windows, sizes, steps=FEW_STEPS).share
        for windows in (mini.clean, mini.dirty)
    )
    return clean, dirty


def fewer_layers(sizes: Sizes) -> Row:
    """2, 4 and 8 layers."""
    shares = {depth: _shares(sizes, e_layers=depth) for depth in DEPTHS}
    return Row(
        belief="fewer layers are fewer opportunities for NaN",
        notes="4 in place of 8 (or of 6)",
        measured="non-finite steps, clean and with blank rows: "
        + "; ".join(f"{depth} layers {percent(a)}, {percent(b)}" for depth, (a, b) in shares.items()),
        verdict="false",
        reason="Depth neither makes NaN nor takes it away.",
        holds=all(pair == (0, 1) for pair in shares.values()),
        figures={str(depth): pair for depth, pair in shares.items()},
    )


def smaller_model(sizes: Sizes) -> Row:
    """Four times the width, and the sizes of options A and B."""
    shares = {width: _shares(sizes, d_model=width, d_ff=2 * width) for width in (sizes.width, 4 * sizes.width)}
    big, small = _parameters(8, 1024, 2048), _parameters(4, 512, 1024)
    return Row(
        belief="a smaller model (fewer parameters) is more stable",
        notes="option B: d_model 512 saves 75 %",
        measured="non-finite steps, clean and with blank rows: "
        + "; ".join(f"width {width} {percent(a)}, {percent(b)}" for width, (a, b) in shares.items())
        + f"; option B has {percent(1 - small / big)} fewer parameters than A ({small:,} against {big:,})",
        verdict="false",
        reason="It is cheaper, which is reason enough; its finiteness is the same.",
        holds=all(pair == (0, 1) for pair in shares.values()),
        figures={"big": big, "small": small, **{str(width): pair for width, pair in shares.items()}},
    )


def _parameters(layers: int, width: int, inner: int) -> int:
    with torch.device("meta"):
        model = build(Sizes(), e_layers=layers, d_model=width, d_ff=inner, n_heads=8, input_token_len=96)
    return sum(parameter.numel() for parameter in model.parameters())


def dropout_unstable(sizes: Sizes) -> Row:
    """Dropout of 0.5 and 0.3 against 0.15 and none."""
    runs = {share: plain(sizes, dropout=share, head_dropout=share) for share in (0.5, 0.3, 0.15, 0.0)}
    return Row(
        belief="dropout 0.3 is too aggressive and makes training unstable; 0.15 does not",
        notes="0.5 to 0.3, 0.3 to 0.15",
        measured="; ".join(f"{share:g}: {run}" for share, run in runs.items()),
        verdict="false",
        reason="Dropout multiplies by a finite number or by zero; it changes the fit, not finiteness.",
        holds=all(run.non_finite == 0 for run in runs.values()),
        figures={f"{share:g}": vars(run) for share, run in runs.items()},
    )


def _warm_up(step: int) -> float:
    return 1e-7 * (step + 1)


def other_fixes(sizes: Sizes) -> Row:
    """Every other change of the model or its training on the case's data, one at a time and together."""
    windows = case(sizes).dirty

    def share(model: Any, **flags: Any) -> float:
        return train(model, windows, sizes, steps=FEW_STEPS, **flags).share

    old, bare = for_case(sizes, windows), for_case(sizes, windows)
    old.classifier = old_head(0)
    bare.classifier[0] = nn.Identity()
    gentle = {"dropout": 0.15, "head_dropout": 0.15, "encoder_init": "xavier", "init_gain": 0.5}
    shares = {
        "old head": share(old),
        "no layer norm": share(bare),
        "GELU": share(for_case(sizes, windows, activation="gelu")),
        "dropout 0.15": share(for_case(sizes, windows, dropout=0.15, head_dropout=0.15)),
        "gain 0.5": share(for_case(sizes, windows, encoder_init="xavier", init_gain=0.5)),
        "clipping 0.25": share(for_case(sizes, windows), clip=0.25),
        "warm-up": share(for_case(sizes, windows), rate=_warm_up),
        "the last four together": share(for_case(sizes, windows, **gentle), clip=0.25, rate=_warm_up),
    }
    return Row(
        belief="one of the other fixes, or all of them together, will end the NaN",
        notes="fixes applied, waiting for validation",
        measured="non-finite steps on the case's data: "
        + ", ".join(f"{name} {percent(value)}" for name, value in shares.items()),
        verdict="false",
        reason="They change the model, and the NaN is in the data.",
        holds=all(value == 1 for value in shares.values()),
        figures=shares,
    )


def batch_norm_in_evaluation(_sizes: Sizes) -> Row:
    """Batch norm after one batch with a missing value."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(8)
    model = nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(16, 4)
    poisoned = x.clone()
    poisoned[0, 0] = float("nan")
    outputs = int(model(poisoned).isnan().any(dim=1).sum())
    statistics = sum(bool(buffer.isnan().any()) for buffer in norm.buffers())
    in_training = float(model.train()(x).isnan().any(dim=1).float().mean())
    in_evaluation = float(model.eval()(x).isnan().any(dim=1).float().mean())
    return Row(
        belief="in evaluation, batch norm's running statistics make it safe",
        notes="use batch norm carefully",
        measured=f"one missing value in a batch of 16: {outputs} of 16 outputs NaN and {statistics} of 2 running "
        f"statistics; clean batch afterwards: {percent(in_training)} NaN in training, "
        f"{percent(in_evaluation)} in evaluation",
        verdict="false",
        reason="One bad forward pass poisons the statistics for ever, with no step taken; our guard puts them back.",
        holds=outputs == 16 and in_training == 0 and in_evaluation == 1,
        figures={"outputs": outputs, "training": in_training, "evaluation": in_evaluation},
    )


ALL = (
    new_head, layer_norm_bounds, layer_norm_converges, gelu_smoother, fewer_layers, smaller_model, dropout_unstable,
    other_fixes, batch_norm_in_evaluation,
)  # fmt: skip
