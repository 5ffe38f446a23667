"""Timer-XL: published names and numbers, causality to the bit, and what each flag means.

Axes: B batch, L time steps, C or V variables, N tokens, P token length.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models.timer_xl import Config, Model
from tests.eager_timer_xl import GOLDEN, EagerTimerXL, gradient_norms, tiny_configs, write_golden
from utils.errors import UsageError

PUBLISHED_FILES = ("univariate", "multivariate", "multivariate_no_norm", "covariate_gelu")


def assert_golden(y: torch.Tensor, norms: dict[str, float], expected_y: torch.Tensor, expected: dict) -> None:
    """Outputs within 1e-5 of the largest; gradient norms within 1e-4, plus 1e-6 of the largest norm."""
    assert (y - expected_y).abs().max() <= 1e-5 * expected_y.abs().max()
    assert norms.keys() == expected.keys()
    largest = max(expected.values())
    for name, norm in norms.items():
        assert abs(norm - expected[name]) <= 1e-4 * expected[name] + 1e-6 * largest, name


@pytest.mark.parametrize("name", PUBLISHED_FILES)
def test_outputs_and_gradients_equal_the_published_implementation(shared: Path, name):
    """A checkpoint that loads into different arithmetic would be worse than none."""
    stored = np.load(shared / "golden" / f"{name}.npz")
    model: Any = Model(SimpleNamespace(**json.loads(str(stored["config"]))))
    model.load_state_dict({key[2:]: torch.tensor(stored[key]) for key in stored.files if key.startswith("w.")})
    y = model(torch.tensor(stored["x"]))
    expected = json.loads(str(stored["grad_norms"]))
    assert_golden(y.detach(), gradient_norms(model, y), torch.tensor(stored["y"]), expected)


@pytest.mark.parametrize("mode", ["joint", "covariate"])
@pytest.mark.parametrize("model_class", [Model, EagerTimerXL])
def test_outputs_and_gradients_equal_our_own_golden_file(model_class, mode):
    """A clone without the reference data must still notice when the arithmetic changes."""
    stored = np.load(GOLDEN)
    model: Any = model_class(tiny_configs(covariate=mode == "covariate"))
    state = model.state_dict()
    parts = torch.tensor(stored["weights"]).split([value.numel() for value in state.values()])
    model.load_state_dict({key: part.view(state[key].shape) for key, part in zip(state, parts, strict=True)})
    y = model(torch.tensor(stored["x"]))
    names = [name for name, _ in EagerTimerXL(tiny_configs()).named_parameters()]
    expected = dict(zip(names, stored[f"gradient_norms.{mode}"].tolist(), strict=True))
    assert_golden(y.detach(), gradient_norms(model, y), torch.tensor(stored[f"y.{mode}"]), expected)


def test_our_own_golden_file_is_the_one_its_script_writes(tmp_path):
    """A golden file nobody can make again proves nothing."""
    write_golden(tmp_path / "again.npz")
    stored, again = np.load(GOLDEN), np.load(tmp_path / "again.npz")
    assert set(stored.files) == set(again.files)
    for name in ("y.joint", "y.covariate"):
        np.testing.assert_allclose(again[name], stored[name], rtol=1e-9)


def test_full_size_model_has_the_published_keys_and_shapes(shared: Path):
    """The released checkpoint must load with not one key renamed."""
    expected = json.loads((shared / "golden" / "timer_xl_base_state_dict.json").read_text())
    with torch.device("meta"):
        state = Model(Config(use_norm=True)).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == expected
    assert list(state) == list(expected)


def test_full_size_model_has_142_tensors_and_the_published_number_of_parameters():
    """Counted without memory, on the meta device."""
    with torch.device("meta"):
        model: Any = Model(Config())
    assert len(model.state_dict()) == 142
    assert sum(parameter.numel() for parameter in model.parameters()) == 67_398_880
    assert model.blocks.attn_layers[0].conv1.weight.shape == (2048, 1024, 1)


def test_an_object_with_few_attributes_takes_the_defaults_for_the_rest():
    """OpenLTM's experiments pass a namespace of their own."""
    model: Any = Model(SimpleNamespace(d_model=16, n_heads=2, d_ff=8, e_layers=1, input_token_len=4, unknown="ignored"))
    assert model.config.output_token_len == 96
    y = model(torch.randn(2, 8, 3), torch.zeros(2, 8, 4), torch.zeros(2, 8, 4))
    assert y.shape == (2, 2 * 96, 3)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("variate_mode", ["joint", "independent"])
def test_a_later_token_changes_no_earlier_output_by_a_single_bit(variate_mode, grad):
    """The slightest leak of the future is a forecast that knows the answer."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(use_norm=False, d_model=32, n_heads=4, variate_mode=variate_mode)).eval()
    x = torch.randn(3, 24, 5)
    with torch.set_grad_enabled(grad):
        before = model(x)
        for token in range(1, 6):
            changed = x.clone()
            changed[:, token * 4 :] = 100 * torch.randn(3, 24 - token * 4, 5)
            after = model(changed)
            assert torch.equal(after[:, : token * 4], before[:, : token * 4])
            assert not torch.equal(after[:, token * 4 :], before[:, token * 4 :])


def test_a_token_sees_the_other_variables_of_its_own_time():
    """A causal mask over the flattened index would hide them."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(use_norm=False)).eval()
    x = torch.randn(1, 8, 3)
    changed = x.clone()
    changed[:, 4:, 2] += 1
    difference = (model(changed) - model(x))[0]
    assert difference[4:, 0].abs().min() > 0


def test_covariates_see_only_themselves_and_the_target_sees_their_future():
    """In covariate mode known future covariates may inform the target; nothing else may leak."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(use_norm=False, covariate=True)).eval()
    x = torch.randn(1, 12, 3)
    future = x.clone()
    future[:, 8:, 0] += 1
    target = x.clone()
    target[:, :, 2] += 1
    before, with_future, with_target = model(x)[0], model(future)[0], model(target)[0]
    assert (with_future - before)[:4, 2].abs().min() > 0
    assert torch.equal(with_future[:8, :2], before[:8, :2])
    assert torch.equal(with_future[:, 1], before[:, 1])
    assert torch.equal(with_target[:, :2], before[:, :2])


def permutation_difference(**flags: object) -> float:
    """How far outputs move when the variables come in another order."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(use_norm=False, d_model=32, n_heads=2, **flags)).double().eval()
    x = torch.randn(2, 16, 6, dtype=torch.float64)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        return float((model(x[:, :, order]) - model(x)[:, :, order]).abs().max())


def test_time_only_positions_and_independence_ignore_the_order_of_variables():
    """With flattened positions the order is part of a model; with these two options it must not be."""
    assert permutation_difference() > 1e-3
    assert permutation_difference(rotary_positions="time") < 1e-12
    assert permutation_difference(variate_mode="independent") < 1e-12


def test_independent_variables_equal_one_window_at_a_time():
    """Channel independence means every variable is its own univariate sample."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(variate_mode="independent")).eval()
    x = torch.randn(2, 12, 3)
    alone = torch.cat([model(x[:, :, [v]]) for v in range(3)], dim=2)
    assert torch.allclose(model(x), alone, atol=1e-6)


def test_the_newest_hours_are_kept_and_it_says_so_once(caplog):
    """The reference drops the newest hours in silence."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs()).eval()
    x = torch.randn(2, 14, 3)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(model(x), model(x[:, 2:]))
        model(x)
    assert [record.getMessage() for record in caplog.records] == [
        "the window of 14 steps is not a multiple of --input_token_len 4: the oldest 2 steps are not used"
    ]


def test_instance_norm_makes_forecasts_follow_the_level():
    """Normalised and restored: a window shifted and stretched gives the forecast shifted and stretched."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(use_norm=True)).double().eval()
    x = 10 * torch.randn(2, 12, 3, dtype=torch.float64)
    assert torch.allclose(model(5 + 2 * x), 5 + 2 * model(x), rtol=1e-5)


def test_accepted_flags_change_no_numbers():
    """OpenLTM's flash path computes something else; ours has one attention."""
    x = torch.randn(2, 12, 3)
    outputs = []
    for flags in ({}, {"flash_attention": True}, {"output_attention": True}):
        torch.manual_seed(0)
        outputs.append(Model(tiny_configs(**flags)).eval()(x))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_dropout_is_on_in_training_everywhere_and_off_in_evaluation():
    """Dropout that some path ignores makes training and its twin differ."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(dropout=0.5))
    x = torch.randn(2, 12, 3)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_bfloat16_autocast_trains():
    """Mixed precision on the CPU must pass through attention's own gradients."""
    torch.manual_seed(0)
    for dropout in (0.0, 0.1):
        model: Any = Model(tiny_configs(dropout=dropout))
        with torch.autocast("cpu", torch.bfloat16):
            y = model(torch.randn(2, 12, 3))
        y.float().square().mean().backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"d_model": 640, "n_heads": 7}, ("--n_heads 7", "640", "4 or 5 or 8")),
        ({"d_model": 12, "n_heads": 2}, ("multiple of 4", "--n_heads 1 or 3")),
        ({"d_model": 6, "n_heads": 1}, ("--d_model 24",)),
        ({"e_layers": 0}, ("--e_layers 0",)),
        ({"dropout": 1.0}, ("--dropout 1.0", "[0, 1)")),
        ({"activation": "swish"}, ("swish", "relu, gelu")),
        ({"covariate": True, "variate_mode": "independent"}, ("--covariate",)),
    ],
)
def test_impossible_flags_are_refused_with_a_way_out(flags, words):
    """A reshape error deep inside attention does not tell a user which flag to change."""
    with pytest.raises(UsageError) as caught:
        Config(**flags)
    assert caught.value.code == "CONFIG"
    for word in words:
        assert word in str(caught.value)


def test_a_window_shorter_than_a_token_is_refused():
    """It would have no token at all."""
    with pytest.raises(UsageError, match="shorter than one token"):
        Model(tiny_configs())(torch.randn(1, 3, 2))
