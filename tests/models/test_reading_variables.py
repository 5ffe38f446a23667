"""How the classifier reads many variables: jointly or one by one, features, poolings, and what of it is fixed.

Axes: B batch, K layers, V variables, N tokens, D width.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from models.timer_xl_classifier import Config, Model
from tests.eager_timer_xl import tiny_configs
from utils.errors import UsageError

POOLINGS = ("mean", "last", "attention")
FEATURES = (("forecast", "mean"), ("states", "mean"), ("all_layers", "mean"), ("all_layers", "learned"))
CHOICES = [
    {"variate_mode": mode, "pooling": pooling, "variate_pooling": variate, "encoder_features": features,
     "layer_mixing": mixing}
    for mode, pooling, variate, (features, mixing)
    in product(("joint", "independent"), POOLINGS, ("mean", "concat"), FEATURES)
]  # fmt: skip


def window(seed: int = 1) -> torch.Tensor:
    """A batch of windows `(4, 12, 3)`: three tokens of three variables."""
    return torch.randn(4, 12, 3, generator=torch.Generator().manual_seed(seed))


def model_of(**flags: object) -> Any:
    """A small classifier whose trainable poolings are not at their even start."""
    torch.manual_seed(0)
    model: Any = Model(tiny_configs(n_variables=3, head_init_std=0.5, output_token_len=8, e_layers=3, **flags))
    for name, parameter in model.named_parameters():
        if name.startswith(("token_attention.", "layer_mixing.")):
            torch.nn.init.normal_(parameter)
    return model.eval()


@pytest.mark.parametrize("flags", CHOICES, ids=lambda flags: "-".join(flags.values()))
def test_every_choice_gives_the_shape_it_names_and_trains_what_comes_after_the_encoder(flags) -> None:
    """A cache is sized by that shape, and a part outside the graph would never learn."""
    model = model_of(**flags)
    encoded = model.encode(window())
    assert encoded.shape == (4, *model.encoded_shape(3, 12)) and encoded[0].numel() == model.cached_width(3, 12)
    assert model.pool(encoded).shape == (4, model.classifier[0].normalized_shape[0])
    assert torch.equal(model.classify(encoded, model.extras(window())), model(window()))
    model(window()).square().sum().backward()
    unused = {"head.weight", "head.bias"} if flags["encoder_features"] != "forecast" else set()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is None} == unused


def test_what_is_cached_is_as_small_as_the_choice_allows() -> None:
    """One wrong axis, and a cache of a table's windows takes gigabytes in place of megabytes."""
    sizes = {
        "mean": model_of().cached_width(3, 12),
        "concat": model_of(variate_pooling="concat").cached_width(3, 12),
        "attention": model_of(pooling="attention").cached_width(3, 12),
        "attention over mixed layers": model_of(
            pooling="attention", encoder_features="all_layers", layer_mixing="learned"
        ).cached_width(3, 12),
    }
    assert sizes == {"mean": 8, "concat": 24, "attention": 72, "attention over mixed layers": 216}


@pytest.mark.parametrize("flags", CHOICES[::5], ids=lambda flags: "-".join(flags.values()))
def test_with_a_frozen_encoder_the_encoded_window_never_changes_and_its_pooling_learns(flags) -> None:
    """What is cached in the first epoch must still be true in the last."""
    model = model_of(**flags, dropout=0.3)
    model.freeze_encoder()
    model.train()
    before, pooled = model.encode(window()), model.pool(model.encode(window())).detach()
    assert not before.requires_grad
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for step in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(window(step)), torch.tensor([0, 1, 1, 0]))
        loss.backward()
        optimizer.step()
    assert torch.equal(model.encode(window()), before) and torch.equal(model.pooled(window()), before)
    has_trained_pooling = "attention" in flags.values() or "learned" in flags.values()
    assert torch.equal(model.pool(before), pooled) != has_trained_pooling


@pytest.mark.parametrize(("features", "mixing"), FEATURES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_independent_variables_are_encoded_as_windows_of_one_variable_each(pooling, features, mixing) -> None:
    """Else a univariate encoder would meet positions and neighbours it was never trained on."""
    flags = {"pooling": pooling, "encoder_features": features, "layer_mixing": mixing}
    model = model_of(**flags, variate_mode="independent", variate_pooling="concat")
    x = window()
    alone = [model.pool(model.encode(x[:, :, [variable]])) for variable in range(3)]
    assert torch.allclose(model.pool(model.encode(x)), torch.cat(alone, dim=1), atol=1e-6)
    joint = model_of(**flags, variate_mode="joint", variate_pooling="concat")
    joint.load_state_dict(model.state_dict())
    one_variable = [joint.pool(joint.encode(x[:, :, [variable]])) for variable in range(3)]
    assert all(torch.equal(mine, same) for mine, same in zip(one_variable, alone, strict=True))


def test_independent_variables_never_move_the_untrained_bias_between_variables() -> None:
    """With one variable the bias shifts whole rows: its gradient is exactly zero, so what it holds means nothing."""
    for mode, moves in (("independent", False), ("joint", True)):
        model = model_of(variate_mode=mode)
        model(window()).square().sum().backward()
        for layer in model.blocks.attn_layers:
            assert bool(layer.attention.inner_attention.attn_bias.emb.weight.grad.any()) == moves


@pytest.mark.parametrize("variate_pooling", ["mean", "concat"])
@pytest.mark.parametrize("features", ["forecast", "states", "all_layers"])
def test_attention_over_tokens_begins_as_their_mean_with_a_query_per_head(features, variate_pooling) -> None:
    """Then any difference between the two poolings is what the queries have learned."""
    flags = {"encoder_features": features, "variate_pooling": variate_pooling}
    mean, attention = model_of(**flags), model_of(**flags, pooling="attention")
    attention.load_state_dict(mean.state_dict(), strict=False)
    torch.nn.init.zeros_(attention.token_attention.query)
    assert attention.token_attention.query.shape == (2, 4)
    x = window()
    assert torch.allclose(attention.pool(attention.encode(x)), mean.pool(mean.encode(x)), atol=1e-6)


@pytest.mark.parametrize("features", ["states", "all_layers"])
def test_all_layers_end_with_the_last_one(features) -> None:
    """Mixing everything into the last layer must give the states themselves."""
    model = model_of(encoder_features=features, use_norm=False)
    given: list[torch.Tensor] = []
    model.blocks.attn_layers[0].register_forward_hook(lambda module, inputs, output: given.append(output))
    torch.nn.init.constant_(model.blocks.norm.weight, 2.0)
    states = model.layer_states(window())
    assert states.shape == (4, 3, 3, 3, 8) and torch.equal(states[:, 0], given[0].unflatten(1, (3, 3)))
    assert torch.equal(states[:, -1], model.states(window()))
    last = model.states(window()).mean(dim=(1, 2))
    assert torch.allclose(model.encode(window()), last, atol=1e-6) == (features == "states")
    mixed = model_of(encoder_features="all_layers", layer_mixing="learned", use_norm=False)
    mixed.load_state_dict(model.state_dict(), strict=False)
    mixed.layer_mixing.logits.data = torch.tensor([-1e4, -1e4, 0.0])
    assert torch.allclose(mixed.pool(mixed.encode(window())), last, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_time_only_positions_let_the_variables_come_in_any_order(pooling) -> None:
    """With flattened positions a model is bound to the order of columns that its table happened to have."""
    order = [2, 0, 1]
    for positions, is_bound in (("flattened", True), ("time", False)):
        model = model_of(rotary_positions=positions, pooling=pooling, variate_pooling="concat").double()
        x = window().double()
        told = model.pool(model.encode(x)).unflatten(1, (3, -1))[:, order]
        moved = (model.pool(model.encode(x[:, :, order])).unflatten(1, (3, -1)) - told).abs().max()
        assert (moved > 1e-4) == is_bound and (is_bound or moved < 1e-12)


def test_level_statistics_bring_the_level_back_in_independent_mode_too() -> None:
    """Instance norm erases each variable's level whether or not the variables see one another."""
    for with_levels in (False, True):
        model = model_of(variate_mode="independent", use_norm=True, level_statistics=with_levels)
        moved = (model(window() + 10) - model(window())).abs().max()
        assert (moved > 0.1) == with_levels
        levels = model.extras(window())
        assert [part.shape for part in levels] == [(4, 3)] * 2 * with_levels
        if with_levels:
            assert torch.allclose(levels[0], window().mean(dim=1), atol=1e-6)


def test_learned_mixing_of_one_layer_is_refused_with_a_way_out() -> None:
    """A flag that does nothing would be reported as a result."""
    with pytest.raises(UsageError, match="--encoder_features all_layers"):
        Config(layer_mixing="learned")
    with pytest.raises(UsageError, match="mean, last, attention"):
        Config(pooling="max")  # type: ignore[arg-type]
