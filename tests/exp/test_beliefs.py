"""What the field guide says about beliefs is what the measurements give, at a tiny size.

Axes: B batch, L time steps, C columns.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from exp.beliefs import __main__ as tool
from exp.beliefs import costs, expectations, losses, network, replacing, weather
from exp.beliefs.catalogue import BELIEFS
from exp.beliefs.row import Row, Sizes, markdown
from exp.beliefs.training import dead_tensors, for_case, n_tensors, train

ROOT = Path(__file__).resolve().parent.parent.parent
TINY = Sizes(
    days=60,
    width=16,
    layers=1,
    steps=4,
    cause_steps=3,
    seeds=1,
    batch=8,
    pairs=2,
    timed_width=16,
    timed_layers=1,
    timed_batch=4,
)
# What needs a longer training than a test has, or a quiet machine, to come out as it does.
SLOW = {"nan_checks", "clamp_cost", "layer_norm_cost", "small_model_time", "five_or_six", "rate_sweep", "large_norm"}


def measured(name: str) -> Row:
    return BELIEFS[name](TINY)


@pytest.mark.parametrize("name", [name for name in BELIEFS if name not in SLOW])
def test_the_measurement_bears_the_verdict(name: str) -> None:
    """A verdict that its own figures do not bear would be one more belief."""
    row = measured(name)
    assert row.holds, row.measured
    json.dumps(row.to_json(name), allow_nan=False)
    assert row.belief and row.notes and row.reason and row.verdict in ("true", "half true", "false", "depends")


def test_xaviers_bound_is_0_131_and_not_a_quarter() -> None:
    """The notes took the inputs alone."""
    figures = measured("xavier_bound").figures
    assert round(figures["bound"], 3) == 0.131
    assert figures["largest"] <= figures["bound"]
    assert math.sqrt(6 / 96) == 0.25


def test_one_nan_gradient_makes_every_gradient_nan_when_clipped() -> None:
    """The count is the reason why the guard looks at the norm before anything is scaled by it."""
    figures = measured("clip_spreads_nan").figures
    assert (figures["before"], figures["after"]) == (1, figures["tensors"]) and figures["tensors"] > 20


def test_the_written_out_replacement_has_the_gradient_of_the_usual_function() -> None:
    """Otherwise the row would measure something that nobody types."""
    values = torch.tensor([1.0, float("nan"), -3.0])
    gradients = []
    for replace in (replacing.without_nan, torch.nan_to_num):
        x = values.clone().requires_grad_()
        (2 * replace(x)).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(gradients[0], gradients[1])  # type: ignore[arg-type]
    assert torch.equal(replacing.without_nan(values), torch.nan_to_num(values))


def test_the_usual_replacement_kills_every_tensor_in_one_step() -> None:
    """One step of the case: a finite loss, and no weight left."""
    windows = weather.case(TINY).dirty
    model = for_case(TINY, windows)
    outcome = train(
        model, windows, TINY, steps=1, protection="notes", loss=lambda a, b: F.cross_entropy(torch.nan_to_num(a), b)
    )
    figures = measured("replace_in_logits").figures
    assert math.isfinite(outcome.losses[0]) and outcome.non_finite == 1
    assert dead_tensors(model) == n_tensors(model) == figures["dead"] == figures["tensors"]
    assert figures["dead_unclipped"] == n_tensors(model) - 1, "the last bias alone has a finite gradient"


def test_the_guarded_training_of_the_measurements_changes_nothing_on_a_bad_step() -> None:
    """The shares compare steps from the same weights only if a bad step leaves them."""
    windows = weather.case(TINY).dirty
    model = for_case(TINY, windows)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    assert train(model, windows, TINY, steps=3).share == 1
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    clean = weather.case(TINY).clean
    assert train(model, clean, TINY, steps=1).share == 0
    assert not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_case_has_the_published_share_of_windows_with_a_blank_row() -> None:
    """64.1 % is what a re-run of the case gave; six rows at the head of each of five stacked regions."""
    assert round(weather.share_of_windows_with_blanks(1440), 3) == 0.641
    mini = weather.case(TINY)
    head = np.isnan(mini.raw[: mini.rows_per_region]).any(axis=1)
    assert head[:6].all() and not head[6:].any()
    x = mini.dirty.inputs(torch.arange(len(mini.dirty)))
    assert torch.equal(x.isnan().flatten(1).any(dim=1), mini.dirty.missing())


def test_validation_weeks_lie_after_training_weeks_and_labels_after_windows() -> None:
    """A score on weeks that were learned would flatter every setting."""
    training, validation = weather.weeks(TINY)
    n_times = TINY.days * 24
    last = (training.starts % n_times).max() + weather.WEEK_HOURS - 1 + 24
    assert last < (validation.starts % n_times).min()
    rain = weather.next_day_rain_mm(TINY.days)
    tp = weather.regional(TINY.days)[1][..., 0].astype(np.float64)
    assert rain[100, 2] == pytest.approx(1000 * tp[101:125, 2].sum())
    ends = training.starts[:5] % n_times + weather.WEEK_HOURS - 1
    assert training.labels[:5].tolist() == (rain[ends.numpy(), 0] >= weather.RAIN_MM).astype(int).tolist()


def test_gelu_makes_nan_of_minus_infinity_and_relu_does_not() -> None:
    """The smoother function is the one that is less forgiving after an overflow."""
    low = torch.tensor(float("-inf"))
    assert F.gelu(low).isnan() and F.relu(low) == 0
    assert "nan" in measured("gelu_smoother").measured


def test_layer_norm_bounds_what_is_finite_and_passes_nan() -> None:
    """Both halves of the verdict."""
    figures = measured("layer_norm_bounds").figures
    assert figures["old"][2] == pytest.approx(1e6 * figures["old"][0], rel=1e-3)
    assert figures["new"][2] == pytest.approx(figures["new"][0], rel=1e-3)
    assert not figures["survives_nan"]


def test_the_textbook_focal_loss_equals_ours_where_it_is_finite() -> None:
    """Otherwise the comparison at extreme logits would be between two different losses."""
    logits = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 2
    assert torch.allclose(losses.textbook_focal(logits, labels), losses.ours(logits, labels))


def test_a_constant_forecast_of_rain_beats_most_of_the_expected_f1() -> None:
    """2p/(1+p) at 4730 of 7664 rows."""
    p = 4730 / 7664
    figures = expectations.expected_scores(TINY).figures
    assert figures["constant_f1"] == pytest.approx(2 * p / (1 + p)) and 0.76 < figures["constant_f1"] < 0.77


def test_the_old_head_is_the_one_of_the_notes() -> None:
    """96-256-64-2 with ReLU, every weight inside Xavier's bound."""
    layers = [layer for layer in network.old_head(0) if isinstance(layer, torch.nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in layers] == [(256, 96), (64, 256), (2, 64)]
    assert layers[0].weight.abs().max() <= math.sqrt(6 / (96 + 256))


def test_a_paired_ratio_tells_slow_from_quick_and_takes_turns() -> None:
    """Timings that always run second would be compared with a warmer machine."""
    order: list[str] = []
    costs.paired_ratio(lambda: order.append("a"), lambda: order.append("b"), 4)
    assert order == list("ba") + list("ab") + list("ba") + list("ab") + list("ba")


def test_the_checks_look_at_every_gradient_and_every_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timing that looked at less would flatter the claim."""
    looked: list[int] = []
    monkeypatch.setattr(costs, "_look", lambda tensors: looked.append(len(list(tensors))))
    model = costs._model(TINY)
    x, labels = costs._windows(TINY)
    costs._step(model, x, labels, check=True)()
    assert looked == [1, 2, n_tensors(model), n_tensors(model)]


def test_every_timing_names_its_noise() -> None:
    """A ratio without that of a step to itself cannot be judged."""
    figures = measured("clamp_cost").figures
    assert len(figures["ratio"]) == len(figures["noise"]) == 3
    assert statistics.median(figures["ratio"]) > 0


def test_the_table_has_a_row_a_belief_and_names_a_command_that_is_understood() -> None:
    """The command beside a figure is the only way to check it."""
    rows = [(name, measured(name)) for name in ("xavier_bound", "keras_or_torch")]
    lines = markdown(rows).splitlines()
    assert len(lines) == 4 and all(line.count("|") == 6 for line in lines)
    commands = re.findall(r"`python -m exp\.beliefs --only (\w+)`", "\n".join(lines))
    assert commands == ["xavier_bound", "keras_or_torch"] and set(commands) <= set(BELIEFS)


def test_a_run_that_does_not_bear_the_verdict_says_so() -> None:
    """Other machines and versions must not print a verdict that their figures contradict."""
    row = Row(belief="b", notes="n", measured="m", verdict="false", reason="r", holds=False)
    assert "| depends |" in markdown([("x", row)]) and "does not bear" in markdown([("x", row)])
    assert row.to_json("x")["verdict"] == "depends"


def test_the_tool_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both come from the same rows, so figures in the guide can be traced."""
    file = tmp_path / "beliefs.json"
    threads = torch.get_num_threads()
    assert tool.main(["--only", "xavier_bound", "log_of_zero", "--output", str(file)]) == 0
    torch.set_num_threads(threads)
    content = json.loads(file.read_text())
    assert [row["name"] for row in content["rows"]] == ["xavier_bound", "log_of_zero"] and content["synthetic"]
    assert "0.131" in capsys.readouterr().out


def test_an_unknown_belief_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """The names are many; a typo must not measure everything."""
    assert tool.main(["--only", "xavier_bond"]) == 2
    assert "--only xavier_bound" in capsys.readouterr().err
    assert tool.main(["--threads", "0"]) == 2


def test_a_folder_that_is_not_there_is_found_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After minutes of measuring the figures would be lost."""
    assert tool.main(["--only", "xavier_bound", "--output", str(tmp_path / "absent" / "rows.json")]) == 6
    said = capsys.readouterr()
    assert "STORAGE_DENIED" in said.err and "xavier_bound" not in said.out


@pytest.mark.parametrize("name", ["clamp_inputs", "clamp_logits"])
def test_a_clamp_is_no_cure_for_blank_rows(name: str) -> None:
    """Every step stays non-finite, since a clamp keeps NaN."""
    assert measured(name).figures["share"] == 1
