"""The cut is chosen on validation, the climatology fitted on training, and the test split only scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data_provider.cleaning import CleaningConfig
from data_provider.factory import DataConfig, Splits, load_splits
from data_provider.scaling import ScalingConfig
from data_provider.splits import SplitConfig
from data_provider.windows import WindowSet
from exp import scoring
from exp.reference_inputs import collect
from exp.settings import Dimensions
from exp.verification_config import VerificationConfig
from layers.window_features import WindowFeatures
from tests import make_table

UNCALIBRATED = VerificationConfig(calibration="none", bootstrap_draws=0)


@pytest.fixture
def splits(tmp_path: Path) -> Splits:
    """Six-hourly rows, 24-hour rain that ends 48 hours after the init time."""
    content = make_table.frame(n_times=1200, step_hours=6)
    make_table.write(tmp_path, content=content)
    (tmp_path / "table.json").write_text('{"lead_time_hours": 48, "accumulation_hours": 24, "label_name": "rain_24h"}')
    return load_splits(
        DataConfig(root_path=str(tmp_path), data_path="table.csv", seq_len=20, sample_stride_hours=12),
        SplitConfig(),
        CleaningConfig(),
        ScalingConfig(),
        context_length=20,
        device=torch.device("cpu"),
    )


class Scripted:
    """A forecaster that separates the classes at 0.2 on validation and at 0.8 on the test split."""

    def __init__(self, splits: Splits) -> None:
        self.validation = splits.validation

    def probabilities(self, windows: WindowSet) -> np.ndarray:
        centre = 0.2 if windows is self.validation else 0.8
        rain = centre + np.where(windows.index.label > 0, 0.05, -0.05)
        return np.stack([1 - rain, rain], axis=1)


def test_the_cut_comes_from_validation_and_the_test_only_suffers_it(splits: Splits) -> None:
    """A cut chosen on the test split would make this forecaster perfect there."""
    result = scoring.evaluate(Scripted(splits), splits, UNCALIBRATED)  # type: ignore[arg-type]
    assert 0.15 < result.cuts[0] < 0.25
    assert result.validation["overall"]["accuracy"] == 1.0
    assert result.test["overall"]["accuracy"] == pytest.approx(splits.test.index.label.mean())
    assert result.is_collapsed, "everything on the test split lies above the cut"


def test_the_climatology_is_that_of_the_training_split(splits: Splits) -> None:
    """Skill against a climatology that knows the test year would be too low, and dishonest."""
    result = scoring.evaluate(Scripted(splits), splits, UNCALIBRATED)  # type: ignore[arg-type]
    train, test = splits.train.index, splits.test.index
    first = (test.region[0], test.month[0])
    here = (train.region == first[0]) & (train.month == first[1])
    expected = train.label[here].mean() if here.any() else train.label[train.region == first[0]].mean()
    assert result.forecasts.climatology[0] == pytest.approx(expected)


def test_predictions_name_the_period_they_are_for(splits: Splits, tmp_path: Path) -> None:
    """With a lead of 48 h and sums of 24 h the period begins a day after the init time."""
    result = scoring.evaluate(Scripted(splits), splits, UNCALIBRATED)  # type: ignore[arg-type]
    scoring.write_probabilities(tmp_path / "out.v1", splits.table, splits.test.index, result.probability, result.cuts)
    frame = pd.read_csv(tmp_path / "out.v1.csv", parse_dates=["init_time", "period_start", "period_end"])
    assert (frame["period_start"] - frame["init_time"] == pd.Timedelta(hours=24)).all()
    assert (frame["period_end"] - frame["init_time"] == pd.Timedelta(hours=48)).all()
    assert np.array_equal(frame["observed_class"], splits.test.index.label)


def test_label_periods_and_persistence_follow_the_lead_of_the_table(splits: Splits) -> None:
    """Six-hourly rows and a lead of 48 h: the past class lies eight rows back, splits end 48 h before the next."""
    table, index = splits.table, splits.test.index
    row = index.end - index.region * len(table.times)
    assert np.array_equal(index.past_class, table.label[index.region, row - 8])
    assert splits.train.index.init_time.max() + np.timedelta64(48, "h") <= splits.ends.train_end
    assert splits.validation.index.init_time.min() + np.timedelta64(24, "h") >= splits.ends.train_end


def test_every_window_gets_its_own_features_and_marks(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are joined in order: rows of the second batch must not get the marks of the first."""
    monkeypatch.setattr("exp.forecasters.FEATURE_BATCH", 7)
    dimensions = Dimensions(
        n_classes=2, n_variables=5, context_length=20, n_marks=6, n_regions=2, step_hours=6, pressure_index=2
    )
    found = collect(("features",), splits.train, dimensions)["features"]
    engineered = WindowFeatures(5, 20, 6, 2)
    for number in (0, 6, 7, len(splits.train) - 1):
        ids = torch.tensor([number])
        expected = torch.cat([engineered(splits.train.inputs(ids)), splits.train.marks[ids]], dim=1)[0].numpy()
        assert np.allclose(found[number], expected, atol=1e-5)
