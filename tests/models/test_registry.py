"""The registry: a model's name is its file's name."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

import models
from utils.errors import UsageError

NETWORKS = ("timer_xl", "timer_xl_classifier", "resnet1d", "residual_mlp")


def test_every_model_file_is_an_entry_and_nothing_else_is():
    """A helper module must not be offered as a model."""
    assert set(NETWORKS) <= set(models.names())
    assert not any(name.startswith("_") for name in models.names())


@pytest.mark.parametrize("name", models.names())
def test_every_entry_keeps_the_contract(name):
    """Flags, their help and the kind of training are read from every model file alike."""
    config: Any = models.config_class(name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().anything = 1
    for field in dataclasses.fields(config):
        assert field.default is not dataclasses.MISSING, field.name
        assert field.metadata["help"], field.name
    assert models.kind(name) in ("network", "reference")


@pytest.mark.parametrize("name", models.regressors())
def test_every_model_of_amounts_keeps_the_contract(name):
    """A reference of amounts without one of these would fail in the middle of a run."""
    module = models.load(name)
    if models.kind(name) == "network":
        return
    model = module.AmountModel
    assert model.kind == "reference" and set(model.needs) <= {"features", "region", "month", "past_mm"}
    assert all(callable(getattr(model, part)) for part in ("fit", "predict_amounts", "state", "load_state"))


def test_the_lists_of_models_say_what_the_files_hold():
    """The help would offer a model for a task that it cannot do."""
    for name in models.names():
        module = models.load(name)
        is_network = name not in models.AMOUNTS_ONLY and module.Model.kind == "network"
        assert (name in models.classifiers()) == (hasattr(module, "Model") and name not in models.OF_SERIES)
        wanted = hasattr(module, "AmountModel") or (is_network and name not in models.OF_SERIES)
        assert (name in models.regressors()) == wanted


def test_a_model_is_not_built_for_a_task_it_cannot_do():
    """A mistake would end in an AttributeError, and not in the name of a model that can."""
    with pytest.raises(UsageError, match="ridge_regression tells amounts") as caught:
        models.build("ridge_regression", None)
    assert "--task_name regression" in caught.value.next_command
    with pytest.raises(UsageError, match="logistic_regression tells classes") as caught:
        models.build_for_amounts("logistic_regression", None)
    assert "ridge_regression" in caught.value.next_command


@pytest.mark.parametrize("name", NETWORKS)
def test_build_makes_the_model_of_that_file(name):
    """Import by file name must not return another model."""
    configs = SimpleNamespace(d_model=8, n_heads=2, e_layers=1, d_ff=8, n_variables=2, context_length=96)
    model = models.build(name, configs)
    assert type(model).__module__ == f"models.{name}"
    assert models.kind(name) == "network"


@pytest.mark.parametrize(
    ("typed", "meant"), [("timer-xl-classifer", "timer_xl_classifier"), ("resnet", "resnet1d"), ("TimerXL", "timer_xl")]
)
def test_an_unknown_name_is_refused_with_the_nearest(typed, meant):
    """A typing error should cost one line."""
    with pytest.raises(UsageError) as caught:
        models.build(typed, None)
    assert caught.value.code == "CONFIG"
    assert meant in caught.value.next_command
    assert "timer_xl" in caught.value.evidence
