"""The classifier: names, pooling, what the head may see, and a frozen encoder that stays bitwise the same.

Axes: B batch, L time steps, C or V variables, M marks.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from models.timer_xl_classifier import Config, Model
from tests.eager_timer_xl import EagerTimerXL, tiny_configs
from utils.errors import UsageError


def window(seed: int = 1) -> torch.Tensor:
    """A batch of windows `(4, 12, 3)`."""
    return torch.randn(4, 12, 3, generator=torch.Generator().manual_seed(seed))


def test_full_size_classifier_has_148_tensors_and_the_published_number_of_parameters():
    """The six tensors of the head come under the names of the case."""
    with torch.device("meta"):
        model: Any = Model(Config(use_norm=True))
    state = model.state_dict()
    assert len(state) == 148
    assert sum(value.numel() for value in state.values()) == 67_411_746
    head = {key: tuple(value.shape) for key, value in state.items() if key.startswith("classifier.")}
    assert head == {
        "classifier.0.weight": (96,),
        "classifier.0.bias": (96,),
        "classifier.1.weight": (128, 96),
        "classifier.1.bias": (128,),
        "classifier.4.weight": (2, 128),
        "classifier.4.bias": (2,),
    }


def test_logits_equal_the_cases_order_of_operations():
    """Forecast of every token, mean over variables, then over tokens; averaging first must give the same."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(n_classes=3, head_init_std=0.5)).double().eval()
    eager: Any = EagerTimerXL(tiny_configs()).double()
    eager.load_state_dict({key: value for key, value in model.state_dict().items() if "classifier" not in key})
    x = 3 + 2 * window().double()
    normalised = (x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-5)
    pooled = eager.head_of_every_token(normalised).mean(dim=1).mean(dim=1)
    assert torch.allclose(model(x), model.classifier(pooled), atol=1e-12)


def test_last_pooling_reads_only_each_variables_newest_token():
    """Named `last`, it must not be the last variable's, or the first token."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(pooling="last", head_init_std=0.5, use_norm=False)).double().eval()
    eager: Any = EagerTimerXL(tiny_configs(use_norm=False)).double()
    eager.load_state_dict({key: value for key, value in model.state_dict().items() if "classifier" not in key})
    x = window().double()
    pooled = eager.head_of_every_token(x)[:, :, -1].mean(dim=1)
    assert torch.allclose(model(x), model.classifier(pooled), atol=1e-12)


def test_encoder_states_and_side_by_side_variables_have_the_widths_they_name():
    """Each option changes what the head's first norm sees, and nothing else."""
    configs = tiny_configs(encoder_features="states", variate_pooling="concat", n_variables=3)
    model: Any = Model(configs)
    assert model.classifier[0].weight.shape == (3 * 8,)
    assert model(window()).shape == (4, 2)
    assert Model(tiny_configs(encoder_features="states")).classifier[0].weight.shape == (8,)


def test_initial_head_is_small_and_normal():
    """The first probabilities are near one half, so the first loss is near log 2."""
    torch.manual_seed(0)
    model: Any = Model(Config(d_model=16, n_heads=2, e_layers=1, d_ff=8))
    assert math.isclose(model.classifier[1].weight.std().item(), 0.01, rel_tol=0.05)
    assert not model.classifier[4].bias.any()
    loss = torch.nn.functional.cross_entropy(model(torch.randn(8, 192, 2)), torch.zeros(8, dtype=torch.long))
    assert abs(loss.item() - math.log(2)) < 0.02


def test_instance_norm_erases_the_level_and_level_statistics_bring_it_back():
    """Absolute humidity and pressure are what instance norm takes away from a classifier."""
    flags = {"use_norm": True, "head_init_std": 0.5, "n_variables": 3}
    x = window()
    for with_levels in (False, True):
        torch.manual_seed(0)
        model: Any = Model(tiny_configs(**flags, level_statistics=with_levels)).eval()
        moved = (model(x + 10) - model(x)).abs().max()
        assert (moved > 0.1) == with_levels


def test_the_short_cut_sees_exactly_the_newest_hours_of_the_raw_window():
    """It must neither read older rows nor the normalised values."""
    torch.manual_seed(0)
    configs = tiny_configs(last_hours=24, step_hours=12, n_variables=3, head_init_std=0.5)
    model: Any = Model(configs).eval()
    assert {key.split(".")[0] for key in model.state_dict()} == {
        "embedding",
        "blocks",
        "head",
        "classifier",
        "shortcut",
    }
    assert model.shortcut[0].in_features == 2 * 3
    seen: list[torch.Tensor] = []
    model.shortcut.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = window()
    model(x)
    assert torch.equal(seen[0], x[:, -2:].flatten(1))


def test_marks_reach_the_head_only_when_asked_for():
    """Season and region are what climatology knows; a model without them starts behind it."""
    marks = torch.randn(4, 9)
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(use_marks=True, n_marks=9, head_init_std=0.5)).eval()
    assert not torch.equal(model(window(), marks), model(window(), marks + 1))
    with pytest.raises(UsageError, match="9 marks"):
        model(window())
    plain = Model(tiny_configs(n_marks=9)).eval()
    assert torch.equal(plain(window(), marks), plain(window()))


@pytest.mark.parametrize("flags", [{"variate_pooling": "concat"}, {"level_statistics": True}, {"last_hours": 24}])
def test_options_that_need_the_number_of_variables_say_so(flags):
    """A config object of OpenLTM does not have it."""
    with pytest.raises(UsageError, match="n_variables"):
        Model(tiny_configs(**flags))


def test_hours_that_are_not_whole_steps_or_not_in_the_window_are_refused():
    """Rounding silently would give the head other hours than the flag names."""
    with pytest.raises(UsageError, match="step of 12 hours"):
        Model(tiny_configs(last_hours=18, step_hours=12, n_variables=3))
    with pytest.raises(UsageError, match="--last_hours 24"):
        Model(tiny_configs(last_hours=24, n_variables=3))(window())
    with pytest.raises(UsageError, match="negative"):
        Config(last_hours=-1)


def test_a_frozen_encoder_stays_bitwise_unchanged_and_in_the_file():
    """Weights that drift, or are missing from the saved file, make a frozen run worthless."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(dropout=0.3, head_init_std=0.5))
    model.freeze_encoder()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for step in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(window(step)), torch.tensor([0, 1, 1, 0]))
        loss.backward()
        optimizer.step()
    after = model.state_dict()
    assert after.keys() == before.keys()
    for key, value in after.items():
        assert torch.equal(value, before[key]) == (not key.startswith("classifier.")), key


def test_a_frozen_encoder_stays_in_evaluation_whatever_the_trainer_says():
    """Dropout in a frozen encoder is noise, and cached features would not match it."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(dropout=0.5, head_dropout=0.0))
    model.freeze_encoder()
    model.train()
    assert model.training
    assert model.classifier.training
    assert not any(module.training for part in model.encoder_modules() for module in part.modules())
    assert torch.equal(model(window()), model(window()))
    model.unfreeze_encoder()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_unfreezing_in_evaluation_does_not_switch_training_on():
    """Thawing between two epochs must leave the mode as it was."""
    model: Any = Model(tiny_configs())
    model.eval()
    model.freeze_encoder()
    model.unfreeze_encoder()
    assert not any(module.training for module in model.modules())


def test_cached_features_give_the_same_logits():
    """Encoder features kept from one pass must stand for the encoder in later epochs."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(level_statistics=True, n_variables=3)).eval()
    x = window()
    assert torch.equal(model.classify(model.encode(x), model.extras(x)), model(x))
    assert torch.equal(model.pooled(x), model.encode(x))


def test_every_parameter_gets_a_gradient():
    """A parameter outside the graph stops distributed training and learns nothing."""
    model: Any = Model(tiny_configs(last_hours=4, level_statistics=True, n_variables=3, head_init_std=0.5))
    model(window()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


def test_clamps_are_off_unless_asked_for_and_then_change_no_bit():
    """A clamp nobody asked for would cut heavy rain off in silence."""
    torch.manual_seed(0)
    plain: Any = Model(tiny_configs(head_init_std=0.5)).eval()
    assert plain.config.clamp_inputs is None and plain.config.clamp_logits is None
    wide: Any = Model(tiny_configs(head_init_std=0.5, clamp_inputs=1e9, clamp_logits=1e9)).eval()
    wide.load_state_dict(plain.state_dict())
    x = 1000 * window()
    assert torch.equal(wide(x), plain(x))


def test_clamped_inputs_are_those_of_a_window_clamped_beforehand_everywhere():
    """The short cut and the level statistics see the window too, and must not see past the clamp."""
    flags = {"head_init_std": 0.5, "n_variables": 3, "last_hours": 2, "level_statistics": True, "use_norm": False}
    torch.manual_seed(0)
    clamped: Any = Model(tiny_configs(**flags, clamp_inputs=1.5)).eval()
    plain: Any = Model(tiny_configs(**flags)).eval()
    plain.load_state_dict(clamped.state_dict())
    x = 3 * window()
    assert torch.equal(clamped(x), plain(x.clamp(-1.5, 1.5)))
    assert not torch.equal(clamped(x), plain(x))


def test_clamped_logits_stay_inside_and_learn_nothing_beyond_the_limit():
    """This is what the flag's help says about it."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(head_init_std=50.0, clamp_logits=0.5)).eval()
    logits = model(window())
    assert logits.abs().max() == 0.5
    torch.nn.functional.cross_entropy(logits[:1], logits[:1].argmin(dim=1)).backward()
    beyond = logits[0].detach().abs() == 0.5
    assert beyond.all() and not model.classifier[4].bias.grad.any()


@pytest.mark.parametrize("flags", [{"clamp_inputs": 10.0}, {"clamp_logits": 10.0}, {}])
def test_a_clamp_keeps_nan_as_nan(flags):
    """A NaN turned into a limit would give a finite loss over gradients that are NaN, as in the case."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(**flags)).eval()
    x = window()
    x[1, 5, 2] = float("nan")
    assert model(x).isnan().all(dim=1).tolist() == [False, True, False, False]


@pytest.mark.parametrize("name", ["clamp_inputs", "clamp_logits"])
def test_a_clamp_at_zero_or_below_is_refused(name):
    """It would turn every window, or every answer, into the same constant."""
    with pytest.raises(UsageError, match=f"--{name} 0"):
        Config(**{name: 0.0})
