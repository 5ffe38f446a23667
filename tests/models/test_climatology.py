"""Climatology is the zero of every skill score: a wrong share would shift all of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from models import climatology
from utils.errors import DataError

MODEL = SimpleNamespace(n_classes=2, n_regions=3)


def fitted(region, month, label, config=MODEL):
    """A model fitted on the given samples."""
    model = climatology.Model(config)
    model.fit({"region": np.array(region), "month": np.array(month)}, np.array(label))
    return model


def ask(model, region, month):
    """Probabilities of one sample."""
    return model.predict_probability({"region": np.array([region]), "month": np.array([month])})[0].tolist()


def test_the_share_of_each_region_and_month_is_given():
    """Another region's or month's share would be given."""
    model = fitted([0, 0, 0, 0, 1, 1], [1, 1, 1, 12, 1, 12], [1, 1, 0, 0, 1, 0])
    assert ask(model, 0, 1) == pytest.approx([1 / 3, 2 / 3])
    assert ask(model, 0, 12) == [1, 0]
    assert ask(model, 1, 1) == [0, 1]
    assert ask(model, 1, 12) == [1, 0]


def test_an_empty_cell_takes_the_region_and_an_empty_region_takes_all():
    """A month that training does not hold would divide by zero."""
    model = fitted([0, 0, 0, 0, 1, 1], [1, 1, 1, 12, 1, 12], [1, 1, 0, 0, 0, 0])
    assert ask(model, 0, 6) == [0.5, 0.5]
    assert ask(model, 1, 6) == [1, 0]
    assert ask(model, 2, 6) == pytest.approx([2 / 3, 1 / 3])


def test_several_classes_sum_to_one():
    """A class would be lost."""
    rng = np.random.default_rng(0)
    inputs = {"region": rng.integers(0, 3, 500), "month": rng.integers(1, 13, 500)}
    label = rng.integers(0, 4, 500)
    model = climatology.Model(SimpleNamespace(n_classes=4, n_regions=3))
    model.fit(inputs, label)
    probability = model.predict_probability(inputs)
    assert probability.shape == (500, 4) and probability.dtype == np.float64
    assert probability.sum(1) == pytest.approx(1)
    chosen = (inputs["region"] == 1) & (inputs["month"] == 5)
    assert probability[chosen][0].tolist() == pytest.approx(np.bincount(label[chosen], minlength=4) / chosen.sum())


def test_a_saved_climatology_gives_the_same_bits():
    """A finished run scored again would show other figures."""
    model = fitted([0, 0, 0, 1], [1, 1, 1, 2], [1, 1, 0, 0])
    other = climatology.Model(MODEL)
    other.load_state(model.state())
    assert ask(other, 0, 1) == ask(model, 0, 1)
    assert ask(other, 2, 4) == ask(model, 2, 4)


@pytest.mark.parametrize(("region", "month", "words"), [(3, 1, "region"), (-1, 1, "region"), (0, 0, "month")])
def test_regions_and_months_that_do_not_exist_are_refused(region, month, words):
    """Index -1 would silently give the last region."""
    with pytest.raises(DataError, match=words):
        ask(fitted([0], [1], [1]), region, month)


def test_labels_that_are_not_complete_are_refused():
    """Class -1 (label period not complete) would count as the last class."""
    with pytest.raises(DataError, match="1 of 2 training labels") as caught:
        fitted([0, 0], [1, 1], [1, -1])
    assert caught.value.code == "LABEL_RANGE"
    with pytest.raises(DataError, match="no samples"):
        fitted(np.array([], int), np.array([], int), np.array([], int))
