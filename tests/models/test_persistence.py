"""Persistence repeats the last period and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from models import persistence
from utils.errors import DataError


def fitted(label, n_classes=2):
    """A model fitted on the given labels."""
    model = persistence.Model(SimpleNamespace(n_classes=n_classes))
    model.fit({"past_class": np.zeros(len(label), int)}, np.array(label))
    return model


def test_the_last_class_is_certain():
    """Probabilities other than 0 and 1 would not be persistence."""
    probability = fitted([0, 1, 1]).predict_probability({"past_class": np.array([1, 0, 1])})
    assert probability.tolist() == [[0, 1], [1, 0], [0, 1]] and probability.dtype == np.float64


def test_an_unknown_past_gives_the_training_shares():
    """Index -1 would silently say the last class."""
    past = np.array([-1, 2], dtype=np.int8)
    probability = fitted([0, 0, 1, 2], n_classes=3).predict_probability({"past_class": past})
    assert probability.tolist() == [[0.5, 0.25, 0.25], [0, 0, 1]]


def test_a_saved_persistence_gives_the_same_bits():
    """A finished run scored again would show other figures."""
    model, other = fitted([0, 1, 1]), persistence.Model(SimpleNamespace(n_classes=2))
    other.load_state(model.state())
    past = {"past_class": np.array([-1, 0, 1])}
    assert np.array_equal(model.predict_probability(past), other.predict_probability(past))


def test_a_class_the_task_does_not_have_is_refused():
    """A past class of other thresholds would be out of the table, or mean something else."""
    with pytest.raises(DataError, match="past class"):
        fitted([0, 1]).predict_probability({"past_class": np.array([0, 2])})
