"""A network ends with the weights of its best epoch, in memory as on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from data_provider.windows import WindowSet
from exp import command_line, forecasters
from exp.diagnosis.preflight import dimensions_of
from exp.forecasters import NetworkForecaster, base_rate_entropy
from exp.frozen_encoder import EncodedWindows
from exp.rain_classification import _load
from tests import make_table


class WorseEveryEpoch(NetworkForecaster):
    """Its first epoch is its best, whatever the weights say."""

    epochs = 0

    def _validate(self, windows: WindowSet | EncodedWindows, model: torch.nn.Module | None = None):
        self.epochs += 1
        return super()._validate(windows, model) | {"validation_loss": float(self.epochs)}


def first_epochs_weights(run: Path) -> Mapping[str, torch.Tensor]:
    return torch.load(run / "best.pt")


def test_after_training_the_model_holds_the_weights_of_its_best_epoch(tmp_path: Path) -> None:
    """Scores of the last epoch under the name of the best would be neither."""
    make_table.write(tmp_path)
    words = ["--preset", "smoke", "--root_path", str(tmp_path), "--data_path", "table.csv", "--train_epochs", "3"]
    settings = command_line.read([*words, "--learning_rate", "0.01"])
    splits = _load(settings, torch.device("cpu"))
    dimensions = dimensions_of(splits)
    model = forecasters.build(settings, dimensions, torch.device("cpu"))
    assert isinstance(model, NetworkForecaster)
    forecaster = WorseEveryEpoch(model.model, settings, dimensions)
    history = forecaster.fit(splits, tmp_path)
    own = forecaster.model.state_dict()
    last = torch.load(tmp_path / "last.pt")["model_state_dict"]
    assert len(history) == 3 and forecaster.best_epoch == 1
    assert all(torch.equal(value, own[name]) for name, value in first_epochs_weights(tmp_path).items())
    assert not all(torch.equal(value, own[name]) for name, value in last.items())


def test_the_entropy_of_the_base_rate_is_the_loss_of_always_giving_it() -> None:
    """The first epoch's loss is read beside it: above it nothing has been learned."""
    label = np.array([0, 0, 0, 1])
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert base_rate_entropy(label) == pytest.approx(expected)
    assert base_rate_entropy(np.zeros(4, np.int64)) == 0
