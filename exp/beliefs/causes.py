"""What really turns a step non-finite in the case: checkpoint, scale, constants or blank rows."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F

from exp.beliefs.row import Row, Sizes, percent
from exp.beliefs.training import Outcome, dead_tensors, evaluate, for_case, n_tensors, train
from exp.beliefs.weather import Windows, case, share_of_windows_with_blanks
from models import timer_xl

SCALE = 5.0


@lru_cache(maxsize=2)
def other_run(sizes: Sizes) -> dict[str, torch.Tensor]:
    """Encoder weights of another run: a forecaster trained on the clean windows of the case."""
    windows = case(sizes).clean
    torch.manual_seed(1)
    token = windows.length // 5
    forecaster = timer_xl.Model(
        timer_xl.Config(
            input_token_len=token,
            output_token_len=96,
            d_model=sizes.width,
            d_ff=2 * sizes.width,
            e_layers=sizes.layers,
            n_heads=4,
            dropout=0.0,
        )
    )
    optimizer = torch.optim.AdamW(forecaster.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(1)
    horizon = min(token, 96)
    for _ in range(sizes.cause_steps):
        x = windows.inputs(torch.randint(len(windows), (sizes.batch,), generator=generator))
        forecast = forecaster(x[:, :-token])[:, -96:][:, :horizon]
        optimizer.zero_grad()
        F.mse_loss(forecast, x[:, -token:][:, :horizon]).backward()
        optimizer.step()
    return forecaster.state_dict()


def adapted(sizes: Sizes, windows: Windows, *, keys: tuple[str, ...] | None = None) -> Any:
    """A classifier that starts from `other_run`, whole or only the tensors whose names start with one of `keys`."""
    model = for_case(sizes, windows)
    state = {name: value for name, value in other_run(sizes).items() if keys is None or name.startswith(keys)}
    model.load_state_dict(state, strict=False)
    return model


@lru_cache(maxsize=32)
def outcome(sizes: Sizes, data: str, weights: str) -> Outcome:
    """Train on one kind of data from one kind of weights; a step that is not finite is never taken."""
    windows = _data(sizes, data)
    half = tuple(f"blocks.attn_layers.{number}." for number in range(max(1, sizes.layers // 2)))
    model = {
        "random": lambda: for_case(sizes, windows),
        "other run": lambda: adapted(sizes, windows),
        "half of other run": lambda: adapted(sizes, windows, keys=("embedding.", *half)),
        "frozen": lambda: adapted(sizes, windows),
    }[weights]()
    if weights == "frozen":
        model.freeze_encoder()
    return train(model, windows, sizes, steps=sizes.cause_steps)


def _data(sizes: Sizes, data: str) -> Windows:
    mini = case(sizes)
    table = mini.clean.table
    constant = table.clone()
    constant[:, 0] = 0.0
    divided = table.clone()
    divided[:, 0] = constant[:, 0] / constant[:, 0].std()
    return {
        "clean": mini.clean,
        "blank rows": mini.dirty,
        "times five": mini.clean.with_table(SCALE * table),
        "unscaled": mini.clean.with_table(_unscaled(sizes)),
        "constant": mini.clean.with_table(constant),
        "constant divided by its zero": mini.clean.with_table(divided),
    }[data]


def _unscaled(sizes: Sizes) -> torch.Tensor:
    mini = case(sizes)
    rows = torch.from_numpy(mini.raw[: mini.training_rows]).float()
    return rows[~rows.isnan().any(dim=1)]


def checkpoint_incompatible(sizes: Sizes) -> Row:
    """Random weights against those of another run, on clean data and on the case's."""
    shares = {
        (data, weights): outcome(sizes, data, weights).share
        for data in ("clean", "blank rows")
        for weights in ("random", "other run")
    }
    return Row(
        belief="an incompatible checkpoint is the cause of the NaN",
        notes="90 %",
        measured=f"non-finite steps, clean data: random weights {percent(shares['clean', 'random'])}, weights of "
        f"another run {percent(shares['clean', 'other run'])}; with the blank lag rows: "
        f"{percent(shares['blank rows', 'random'])} and {percent(shares['blank rows', 'other run'])}",
        verdict="false",
        reason="The data decide, the weights change nothing.",
        holds=shares["clean", "other run"] == 0 and shares["blank rows", "random"] == 1,
        figures={f"{data}, {weights}": share for (data, weights), share in shares.items()},
    )


def data_scale(sizes: Sizes) -> Row:
    """Data five times too large, and not scaled at all; the latter in both of the project's attention paths."""
    clean, times, raw = (outcome(sizes, name, "random") for name in ("clean", "times five", "unscaled"))
    windows = _data(sizes, "unscaled")
    written_out = train(for_case(sizes, windows, dropout=0.1), windows, sizes, steps=sizes.cause_steps)
    return Row(
        belief="the scale of the data is the cause",
        notes="40 %",
        measured=f"non-finite steps: scaled {percent(clean.share)}, times 5 {percent(times.share)}, unscaled (pressure "
        f"1e5) {percent(written_out.share)} with dropout and {percent(raw.share)} without; last loss "
        f"{clean.losses[-1]:.2f}, {times.losses[-1]:.2f}, {written_out.losses[-1]:.2f}, {raw.losses[-1]:.2f}",
        verdict="half true" if raw.share else "false",
        reason="Norms inside the encoder take a factor out again; unscaled pressure leaves the attention no digits.",
        holds=times.share == 0 and written_out.share == 0,
        figures={"times_five": times.share, "unscaled": raw.share, "unscaled_written_out": written_out.share},
    )


def zero_variance(sizes: Sizes) -> Row:
    """A constant column, scaled safely and scaled by its own zero deviation."""
    safe = outcome(sizes, "constant", "random").share
    divided = outcome(sizes, "constant divided by its zero", "random").share
    return Row(
        belief="a column of zero variance collapses the normalisation",
        notes="30 %",
        measured=f"non-finite steps: constant column {percent(safe)}, the same divided by its own zero deviation "
        f"{percent(divided)}",
        verdict="depends",
        reason="Only a scaler that divides by zero does it; scikit-learn's and ours put 1 there.",
        holds=safe == 0 and divided == 1,
        figures={"constant": safe, "divided": divided},
    )


def blank_lag_rows(sizes: Sizes) -> Row:
    """The rows that lags leave blank."""
    full = share_of_windows_with_blanks(1440)
    mini = case(sizes).dirty.missing().float().mean().item()
    steps = outcome(sizes, "blank rows", "random").share
    return Row(
        belief="lag columns that begin with NaN spread it to everything",
        notes="named under zero variance, 30 %",
        measured=f"{percent(full)} of the case's windows hold a blank row ({percent(mini)} at a third of its size): "
        f"{percent(steps)} of the steps are not finite; a batch of 16 is clean with probability {(1 - full) ** 16:.0e}",
        verdict="true",
        reason="This alone is the cause; it has nothing to do with variance.",
        holds=steps == 1,
        figures={"windows": full, "windows_small": mini, "steps": steps},
    )


def exploding_gradients(sizes: Sizes) -> Row:
    """The largest gradient norm on clean data, from random and from other weights."""
    random, other = (outcome(sizes, "clean", name) for name in ("random", "other run"))
    first_random, first_other = random.norms[0], other.norms[0]
    return Row(
        belief="gradients explode when pre-trained weights meet a new head",
        notes="cause 1 of three notes",
        measured=f"gradient norm on clean data: first step {first_other:.2f} with the other run's weights, "
        f"{first_random:.2f} from scratch; largest {max(other.norms):.2f} and {max(random.norms):.2f}; non-finite "
        f"steps {percent(other.share)}",
        verdict="false",
        reason="Nothing explodes; in the case the first norm that is not finite comes from a missing value.",
        holds=other.share == 0 and max(other.norms) < 100,
        figures={"largest_other": max(other.norms), "largest_random": max(random.norms)},
    )


def partial_load(sizes: Sizes) -> Row:
    """Embedding and the first half of the layers loaded, the rest random."""
    clean = outcome(sizes, "clean", "half of other run").share
    dirty = outcome(sizes, "blank rows", "half of other run").share
    return Row(
        belief="loading only the embedding and the first half of the layers cures it",
        notes="solution 3: first 4 of 8 layers",
        measured=f"non-finite steps: clean data {percent(clean)}, blank rows {percent(dirty)}",
        verdict="false",
        reason="As finite, or not, as a whole load or none.",
        holds=clean == 0 and dirty == 1,
        figures={"clean": clean, "blank": dirty},
    )


def frozen_encoder(sizes: Sizes) -> Row:
    """A frozen encoder on the case's data, with no step held back."""
    windows = case(sizes).dirty
    model = adapted(sizes, windows)
    model.freeze_encoder()
    train(model, windows, sizes, steps=1, protection="none")
    head, encoder = dead_tensors(model.classifier), dead_tensors(model) - dead_tensors(model.classifier)
    return Row(
        belief="freezing the encoder for some epochs avoids the NaN",
        notes="5-10 epochs",
        measured=f"after one unguarded step on the blank rows: {head} of {n_tensors(model.classifier)} head tensors "
        f"NaN, {encoder} of the encoder; guarded: {percent(outcome(sizes, 'blank rows', 'frozen').share)} of the steps "
        "not finite",
        verdict="false",
        reason="The encoder is spared because it does not learn; the head dies in the first step.",
        holds=head > 0 and encoder == 0,
        figures={"head": head, "encoder": encoder},
    )


def from_the_forward_pass(sizes: Sizes) -> Row:
    """NaN outputs before the first step, and after one step of a finite but meaningless loss."""
    windows = case(sizes).dirty
    ids = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))[: sizes.batch]
    model = for_case(sizes, windows)
    with torch.no_grad():
        before = model(windows.inputs(ids)).isnan().any(dim=1)
    train(model, windows, sizes, steps=1, protection="none")
    with torch.no_grad():
        after = model(case(sizes).clean.inputs(torch.arange(sizes.batch))).isnan().any(dim=1).float().mean().item()
    agree = bool((before == windows.missing()[ids]).all())
    return Row(
        belief="outputs are NaN from the forward pass, not through training",
        notes="critical conclusion",
        measured=f"first forward pass: {int(before.sum())} of {sizes.batch} outputs NaN, "
        f"{'exactly' if agree else 'not only'} the windows with a blank row; after one unguarded step {percent(after)} "
        "of the outputs of clean windows",
        verdict="half true",
        reason="It begins in the input; one step later the weights are NaN and the output no longer says which.",
        holds=agree and after == 1,
        figures={"before": int(before.sum()), "after": after},
    )


def nan_spreads(sizes: Sizes) -> Row:
    """One window with one missing value in a batch of clean ones."""
    windows = case(sizes).clean
    model = for_case(sizes, windows)
    x = windows.inputs(torch.arange(sizes.batch))
    x[3, 7, 2] = float("nan")
    logits = model(x)
    F.cross_entropy(logits, windows.labels[: sizes.batch]).backward()
    outputs = int(logits.isnan().any(dim=1).sum())
    bad = sum(not torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    return Row(
        belief="once NaN appears it spreads through all operations",
        notes="propagation",
        measured=f"1 missing value in 1 of {sizes.batch} windows: {outputs} of {sizes.batch} outputs NaN, "
        f"{bad} of {n_tensors(model)} gradients",
        verdict="half true",
        reason="Forward it stays in its window; backward it reaches every tensor.",
        holds=outputs == 1 and bad == n_tensors(model),
        figures={"outputs": outputs, "gradients": bad, "tensors": n_tensors(model)},
    )


def corrupt_weights(sizes: Sizes) -> Row:
    """One NaN in one tensor, tensor by tensor."""
    windows = case(sizes).clean
    model = for_case(sizes, windows).eval()
    x = windows.inputs(torch.arange(4))
    deadly = 0
    with torch.no_grad():
        for parameter in model.parameters():
            flat = parameter.view(-1)
            kept = flat[0].item()
            flat[0] = float("nan")
            deadly += bool(model(x).isnan().any(dim=1).all())
            flat[0] = kept
    return Row(
        belief="one NaN in a checkpoint makes the whole forward pass NaN",
        notes="possible problem B",
        measured=f"one NaN as first value of a tensor: all outputs NaN for {deadly} of {n_tensors(model)} tensors",
        verdict="true",
        reason="Such a file must be refused by name before it is used; the case's file was clean.",
        holds=deadly == n_tensors(model),
        figures={"deadly": deadly, "tensors": n_tensors(model)},
    )


def hidden_dimensions(sizes: Sizes) -> Row:
    """Weights of another width, and of another number of variables."""
    windows = case(sizes).clean
    wide = for_case(sizes, windows, d_model=2 * sizes.width, d_ff=4 * sizes.width)
    try:
        wide.load_state_dict(other_run(sizes), strict=False)
        refused = False
    except RuntimeError:
        refused = True
    model = adapted(sizes, windows).eval()
    x = windows.inputs(torch.arange(4))
    with torch.no_grad():
        finite = all(bool(torch.isfinite(model(x[..., :n])).all()) for n in (1, x.shape[2]))
    return Row(
        belief="a hidden mismatch of dimensions (1 variable against 27) gives NaN",
        notes="possible problem A",
        measured=f"another width: loading {'is refused' if refused else 'passes'}; 1 and {x.shape[2]} variables "
        f"through the same weights: {'all' if finite else 'not all'} outputs finite",
        verdict="false",
        reason="No shape depends on the number of variables, and shapes that differ are an error, never NaN.",
        holds=refused and finite,
        figures={"refused": refused, "finite": finite},
    )


def other_layer_names(sizes: Sizes) -> Row:
    """A checkpoint whose layers are called otherwise, loaded without checking."""
    windows = case(sizes).clean
    model = for_case(sizes, windows)
    answer = model.load_state_dict({f"encoder.{name}": value for name, value in other_run(sizes).items()}, strict=False)
    loaded = len(other_run(sizes)) - len(answer.unexpected_keys)
    loss, _ = evaluate(model, windows)
    return Row(
        belief="layers of other names (another version) give NaN",
        notes="possible problem C",
        measured=f"{loaded} of {len(other_run(sizes))} tensors loaded without a word, loss {loss:.2f}",
        verdict="false",
        reason="The result is finite and silently from scratch, which is worse: coverage has to be counted.",
        holds=loaded == 0 and loss == loss,
        figures={"loaded": loaded, "loss": loss},
    )


def without_checkpoint(sizes: Sizes) -> Row:
    """The notes' test: a forward pass without the checkpoint, on a clean window and on one with a blank row."""
    mini = case(sizes)
    missing = mini.dirty.missing()
    clean, blank = (torch.nonzero(mask)[:8, 0] for mask in (~missing, missing))
    shares = []
    for model in (for_case(sizes, mini.dirty), adapted(sizes, mini.dirty)):
        with torch.no_grad():
            shares += [model(mini.dirty.inputs(ids)).isnan().any(dim=1).float().mean().item() for ids in (clean, blank)]
    return Row(
        belief="a finite output without the checkpoint proves the checkpoint guilty",
        notes="test 2",
        measured=f"NaN outputs without checkpoint: clean windows {percent(shares[0])}, with a blank row "
        f"{percent(shares[1])}; with it: {percent(shares[2])} and {percent(shares[3])}",
        verdict="false",
        reason="The test says which windows were drawn; compare both models on the same windows.",
        holds=shares == [0, 1, 0, 1],
        figures={"shares": shares},
    )


def small_model_decides(_sizes: Sizes) -> Row:
    """Option B also halves the context, and with it the share of windows with a blank row."""
    long, short = (share_of_windows_with_blanks(context) for context in (1440, 720))
    return Row(
        belief="if the small model trains, the transfer was the problem",
        notes="option B, 95 % sure",
        measured=f"windows with a blank row: {percent(long)} at 1440 steps, {percent(short)} at option B's 720; clean "
        f"batches of 16: {percent((1 - long) ** 16)} and {percent((1 - short) ** 16)}",
        verdict="false",
        reason="The test changes the data with the model, and with this data the small model fails too.",
        holds=short < long,
        figures={"long": long, "short": short},
    )


def from_scratch(sizes: Sizes) -> Row:
    """Random weights, Xavier and Kaiming, on the case's data."""
    shares = {}
    for scheme in ("published", "xavier", "kaiming"):
        model = for_case(sizes, case(sizes).dirty, encoder_init=scheme)
        shares[scheme] = train(model, case(sizes).dirty, sizes, steps=4).share
    return Row(
        belief="training from scratch (Xavier, Kaiming) is numerically stable",
        notes="solution 1, five stars",
        measured="non-finite steps on the case's data: "
        + ", ".join(f"{name} {percent(share)}" for name, share in shares.items()),
        verdict="false",
        reason="With the rows repaired every start is stable, and without it none.",
        holds=all(share == 1 for share in shares.values()),
        figures=shares,
    )


ALL = (
    checkpoint_incompatible, data_scale, zero_variance, blank_lag_rows, exploding_gradients, hidden_dimensions,
    corrupt_weights, other_layer_names, partial_load, frozen_encoder, from_the_forward_pass, nan_spreads,
    without_checkpoint, small_model_decides, from_scratch,
)  # fmt: skip
