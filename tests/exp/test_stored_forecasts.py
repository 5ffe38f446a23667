"""What a run wrote about its test split is enough to score it again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from data_provider.cleaning import CleaningConfig
from data_provider.factory import DataConfig, Splits, load_splits
from data_provider.scaling import ScalingConfig
from data_provider.splits import SplitConfig
from data_provider.windows import WindowSet
from exp import scoring, stored_forecasts
from exp.verification_config import VerificationConfig
from tests import make_table
from utils import regression_scores, verification
from utils.errors import DataError

UNCALIBRATED = VerificationConfig(calibration="none", bootstrap_draws=0)


class Noise:
    """Probabilities that know nothing."""

    def probabilities(self, windows: WindowSet) -> np.ndarray:
        rain = np.random.default_rng(0).random(len(windows))
        return np.stack([1 - rain, rain], axis=1)


@pytest.fixture
def splits(tmp_path: Path) -> Splits:
    """Two regions, six-hourly rows."""
    make_table.write(tmp_path, content=make_table.frame(n_times=800, step_hours=6))
    return load_splits(
        DataConfig(root_path=str(tmp_path), data_path="table.csv", seq_len=20, sample_stride_hours=6),
        SplitConfig(),
        CleaningConfig(),
        ScalingConfig(),
        context_length=20,
        device=torch.device("cpu"),
    )


def written(splits: Splits, folder: Path) -> scoring.Evaluation:
    result = scoring.evaluate(Noise(), splits, UNCALIBRATED)  # type: ignore[arg-type]
    scoring.write_probabilities(
        folder / "predictions", splits.table, splits.test.index, result.probability, result.cuts, result.forecasts
    )
    (folder / "scores.json").write_text(json.dumps({"threshold_mm": [0.1], "cut": list(result.cuts)}))
    return result


def test_scores_made_from_the_file_are_those_of_the_run(splits: Splits, tmp_path: Path) -> None:
    """A comparison that read other numbers than the run scored would judge something else."""
    result = written(splits, tmp_path)
    again = verification.score_table(stored_forecasts.read(tmp_path)[0.1])["overall"]
    assert set(result.test["overall"]) - set(again) == {"intervals"}
    for name, value in again.items():
        expected = result.test["overall"][name]
        assert value == (pytest.approx(expected, abs=1e-12) if isinstance(expected, float) else expected), name


def test_persistence_is_the_class_of_the_period_before(splits: Splits, tmp_path: Path) -> None:
    """Persistence that looked at the label period itself would be a perfect forecast."""
    written(splits, tmp_path)
    read = stored_forecasts.read(tmp_path)[0.1]
    one = read.region == read.region[0]
    day = 4
    assert np.array_equal(read.persistence[one][day:], read.observed[one][:-day])


def test_a_run_without_its_predictions_is_named(splits: Splits, tmp_path: Path) -> None:
    """Runs of an earlier version lack the reference forecasts; a KeyError would not say so."""
    written(splits, tmp_path)
    path = tmp_path / "predictions.csv"
    path.write_text(path.read_text().replace("persistence_", "something_"))
    with pytest.raises(DataError, match="persistence_0.1mm") as told:
        stored_forecasts.read(tmp_path)
    assert told.value.code == "RUN_WITHOUT_PREDICTIONS"
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        stored_forecasts.read(tmp_path)


def test_validation_forecasts_are_kept_beside_those_of_the_test(splits: Splits, tmp_path: Path) -> None:
    """An ensemble that had to find its weights on the test split would judge itself."""
    result = scoring.evaluate(Noise(), splits, VerificationConfig())  # type: ignore[arg-type]
    scoring.write_evaluation(tmp_path, splits, result)
    (tmp_path / "scores.json").write_text(json.dumps({"threshold_mm": [0.1], "cut": list(result.cuts)}))
    on_validation, on_test = (stored_forecasts.read(tmp_path, split)[0.1] for split in ("validation", "test"))
    assert on_validation.init_time.max() < on_test.init_time.min()
    again = verification.score(on_validation)
    assert again["brier_score"] == pytest.approx(result.validation["overall"]["brier_score"], abs=1e-12)
    (tmp_path / "validation_predictions.csv").unlink()
    with pytest.raises(DataError, match="no validation forecasts"):
        stored_forecasts.read(tmp_path, "validation")


def test_scores_of_amounts_made_from_the_file_are_those_of_the_run(amount_runs: Path) -> None:
    """The CRPS of climatology needs its quantiles, and a comparison has nothing but the file."""
    runs = sorted(amount_runs.glob("*-seed0-*"))
    assert len(runs) == 2
    for run in runs:
        stored = json.loads((run / "scores.json").read_text())
        read = stored_forecasts.read_amounts(run)
        assert read is not None and stored["cut_score"] == "macro_f1"
        for name, expected in {"forecast": stored["test"]["overall"], **stored["test"]["references"]}.items():
            own = read if name == "forecast" else read.reference(name)  # type: ignore[arg-type]
            again = regression_scores.score(own, stored["threshold_mm"][0])
            assert again == pytest.approx({key: expected[key] for key in again}, abs=1e-9), name
        for split in ("test", "validation"):
            (event,) = stored_forecasts.read(run, split).values()  # type: ignore[arg-type]
            table = stored[split]["events"]["overall"]
            assert verification.score(event)["brier_score"] == pytest.approx(table["brier_score"], abs=1e-12)
            if split == "test":
                assert np.array_equal(event.init_time, read.init_time) and np.array_equal(event.region, read.region)


def test_amounts_of_an_earlier_version_are_missed_by_name(splits: Splits, amount_runs: Path, tmp_path: Path) -> None:
    """They lack the quantiles of climatology; a classification has no amounts, and that is no fault."""
    written(splits, tmp_path)
    assert stored_forecasts.read_amounts(tmp_path) is None and stored_forecasts.lacks(tmp_path) == ""
    run = Path(shutil.copytree(next(amount_runs.glob("ridge_regression-*")), tmp_path / "run"))
    assert stored_forecasts.lacks(run) == ""
    path = run / "predictions.csv"
    path.write_text(path.read_text().replace("climatology_quantile_", "something_"))
    with pytest.raises(DataError, match="forecasts that scores could be made from") as told:
        stored_forecasts.read_amounts(run)
    assert "climatology_quantile_10_mm" in told.value.evidence
    assert "climatology_quantile_10_mm" in stored_forecasts.lacks(run)
