"""Amounts as chances of thresholds, and references that know the training split alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data_provider.amounts import AmountWindows
from data_provider.factory import Splits
from exp import amount_columns, amount_scoring, command_line, forecasters, rain_splits
from exp.diagnosis.preflight import dimensions_of
from tests import make_table
from utils.amounts import Amounts

WORDS = ["--task_name", "regression", "--model", "climatology", "--preset", "smoke", "--data_path", "table.csv"]


def load(folder: Path) -> Splits:
    settings = command_line.read([*WORDS, "--root_path", str(folder)])
    return rain_splits.load(settings, torch.device("cpu"))


def test_the_classes_of_amounts_are_ordered_and_sum_to_one() -> None:
    """The thresholds are asked one by one, and a class between two of them must not be less than impossible."""
    generator = np.random.default_rng(0)
    quantiles = np.sort(generator.gamma(0.4, 5, (300, 9)) * (generator.random((300, 9)) < 0.7), axis=1)
    amounts = Amounts.of_quantiles(quantiles)
    probability = amount_scoring.class_probabilities(amounts, (0.1, 1.0, 5.0, 10.0))
    assert probability.shape == (300, 5) and probability.min() >= 0
    assert probability.sum(axis=1) == pytest.approx(1)
    assert probability[:, 4] == pytest.approx(amounts.exceedance(10.0))
    assert probability[:, 1:].sum(axis=1) == pytest.approx(amounts.exceedance(0.1))


def test_the_columns_of_a_forecast_name_the_levels_of_its_quantiles() -> None:
    """A reader of predictions.csv has nothing else that says which quantile a number is."""
    columns = amount_columns.of_forecast(Amounts.of_quantiles(np.array([[0.0, 1.0, 5.0]])))
    assert list(columns) == ["median_mm", "mean_mm", "quantile_16.67_mm", "quantile_50_mm", "quantile_83.33_mm"]
    assert columns["median_mm"] == columns["quantile_50_mm"] == 1 and columns["mean_mm"] == 2


def test_rain_after_training_changes_neither_climatology_nor_a_fitted_reference(tmp_path: Path) -> None:
    """A climatology that has seen the test is harder to beat there, and nobody would know why."""
    content = make_table.frame()
    make_table.write(tmp_path, content=content)
    before = load(tmp_path)
    late = content["timestamp"] >= str(before.ends.train_end)
    content.loc[late, "precipitation"] *= 10
    make_table.write(tmp_path, content=content)
    after = load(tmp_path)
    assert after.test.index.precipitation_mm.sum() > 5 * before.test.index.precipitation_mm.sum()
    said = []
    for splits in (before, after):
        settings = command_line.read([*WORDS, "--root_path", str(tmp_path)])
        forecaster = forecasters.build(settings, dimensions_of(splits), torch.device("cpu"))
        forecaster.fit(splits, tmp_path)
        references = amount_scoring._References(splits, 9)
        assert isinstance(splits.test, AmountWindows)
        own = forecaster.amounts(splits.test)  # type: ignore[attr-defined]
        said.append((own.quantiles, references.beside(splits.test, own).climatology.quantiles))
    assert all(np.array_equal(one, other) for one, other in zip(*said, strict=True))


def test_the_mean_amount_of_a_climatology_is_that_of_its_month_and_region(tmp_path: Path) -> None:
    """Skill is measured against it: a mean over regions would be easy to beat."""
    make_table.write(tmp_path)
    splits = load(tmp_path)
    assert isinstance(splits.train, AmountWindows)
    forecasts = amount_scoring._References(splits, 3).beside(
        splits.train, Amounts.of_quantiles(np.zeros((len(splits.train), 3)))
    )
    january = (splits.train.index.month == 1) & (splits.train.index.region == 1)
    expected = splits.train.amount_mm[january].mean()
    assert forecasts.climatology.mean[january] == pytest.approx(expected)
    assert forecasts.observed[january].mean() == pytest.approx(expected)
