"""What an epoch warns of: a loss far too high, a loss that rises, a forecast that says the same every time."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from exp.callbacks import EpochWarnings
from tests.faults import Bench


def codes(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return the codes of the warnings, epoch by epoch."""
    warnings, trainer = EpochWarnings(base_rate=0.7), Bench().trainer()
    for number, row in enumerate(rows, start=1):
        row |= {"epoch": number, "train_loss": row.get("train_loss", 0.6)}
        assert not warnings.on_epoch_end(trainer, row), "a warning never stops a run"
    return [row["warnings"] for row in rows]


def test_a_validation_loss_that_rises_three_epochs_in_a_row_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Twice up is noise; a level stretch or an undefined epoch is no rise."""
    losses = [0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 1.0, 1.1]
    with caplog.at_level(logging.WARNING):
        told = codes([{"validation_loss": loss} for loss in losses])
    assert [bool(found) for found in told] == [False, False, False, True, True, False, False, False]
    assert "0.5, 0.6, 0.7, 0.8" in caplog.text and "--patience" in caplog.text
    assert codes([{"validation_loss": None} for _ in range(5)]) == [[]] * 5


def test_a_training_loss_above_1000_is_told() -> None:
    """The notes' limit; exactly 1000 and an epoch without any finite step are not above it."""
    assert codes([{"train_loss": 1000.0}, {"train_loss": 1000.1}, {"train_loss": None}]) == [[], ["LOSS_HIGH"], []]


@pytest.mark.parametrize(
    ("share", "deviation", "is_told"),
    [(1.0, 0.001, True), (0.0, 0.019, True), (1.0, 0.02, False), (0.5, 0.001, False), (None, None, False)],
)
def test_a_forecast_of_one_class_and_nearly_one_probability_has_collapsed(share, deviation, is_told: bool) -> None:
    """A forecast that always favours rain but with differing probabilities still says something."""
    row = {"validation_rain_share": share, "rain_probability_deviation": deviation}
    assert codes([row]) == [["COLLAPSED"] if is_told else []]
