"""Figures are written for every kind of run, and say what they are made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exp import figures
from utils.verification import ClassForecasts, Forecasts, score_table

ROOT = Path(__file__).resolve().parents[2]
HISTORY: list[dict[str, Any]] = [
    {
        "epoch": epoch,
        "train_loss": 0.7 / epoch,
        "validation_loss": 0.8 / epoch,
        "validation_roc_auc": 0.9 - 0.2 / epoch,
        "learning_rate": 1e-3,
        "gradient_norm_median": 1.0 / epoch,
        "gradient_norm_max": 5.0 / epoch,
        "skipped_steps": 0,
        "base_rate_entropy": 0.6,
    }
    for epoch in range(1, 5)
]


def forecasts(n=400, observed=None):
    """Forecasts that know a little."""
    rng = np.random.default_rng(0)
    observed = rng.integers(0, 2, n) if observed is None else np.full(n, observed)
    return Forecasts(
        init_time=np.datetime64("2024-01-01", "s") + np.arange(n) * np.timedelta64(6, "h"),
        region=np.full(n, "a"),
        probability=np.clip(0.3 + 0.4 * observed + rng.normal(0, 0.2, n), 0, 1),
        observed=observed,
        climatology=np.full(n, 0.5),
        persistence=np.roll(observed, 1).astype(float),
        cut=0.4,
    )


def class_forecasts(n=400):
    """Three classes at 0.1 and 5 mm."""
    rng = np.random.default_rng(0)
    observed = rng.integers(0, 3, n)
    weight = rng.random((n, 3)) + np.eye(3)[observed]
    event = forecasts(n)
    return ClassForecasts(
        init_time=event.init_time,
        region=event.region,
        probability=weight / weight.sum(1, keepdims=True),
        observed=observed,
        climatology=np.full((n, 3), 1 / 3),
        persistence=np.eye(3)[np.roll(observed, 1)],
        threshold_mm=(0.1, 5.0),
    )


def read(path):
    """Text and colours `(H, W, 3)` of a PNG."""
    from PIL.PngImagePlugin import PngImageFile

    with PngImageFile(path) as image:
        image.load()
        return dict(image.text), np.asarray(image.convert("RGB"))


def has_colour(path, colour):
    """Whether a good number of pixels have exactly this colour."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return int((read(path)[1] == wanted).all(-1).sum()) > 100


def test_a_run_gets_all_its_figures(tmp_path):
    """A figure would be missing from the report, or be an empty frame."""
    given = forecasts()
    written = figures.write_all(tmp_path, HISTORY, given, score_table(given), "synthetic data")
    names = ["training_curves", "confusion_matrix", "roc_curve", "precision_recall_curve", "reliability_diagram"]
    assert written == [tmp_path / "figures" / f"{name}.png" for name in names]
    assert sorted(written) == sorted((tmp_path / "figures").iterdir())
    for path in written:
        assert read(path)[0]["Description"].endswith("synthetic data"), path
        if path.stem != "training_curves":
            assert f"N = 400, base rate {given.observed.mean():.3f}" in read(path)[0]["Description"], path
        if path.stem != "confusion_matrix":
            assert has_colour(path, figures.BLUE), path


def test_a_reference_has_no_training_curves(tmp_path):
    """Without epochs the drawing would fail at the very end of a run."""
    given = forecasts()
    written = figures.write_all(tmp_path, [], given, score_table(given))
    assert "training_curves.png" not in [path.name for path in written] and len(written) == 4


def test_one_class_leaves_out_what_is_undefined(tmp_path, caplog):
    """A dry test period would end the run, or show a curve that means nothing."""
    for observed in (0, 1):
        given = forecasts(observed=observed)
        written = figures.write_all(tmp_path, [], given, score_table(given))
        assert [path.name for path in written] == ["confusion_matrix.png", "reliability_diagram.png"]
    assert "undefined" in caplog.text


def test_no_forecasts_leave_no_figures(tmp_path, caplog):
    """An empty test period would divide by zero."""
    given = forecasts(n=0)
    assert figures.write_all(tmp_path, [], given, score_table(given)) == []
    assert "no forecasts" in caplog.text


def test_each_threshold_gets_its_own_figures(tmp_path):
    """The figures of the second threshold would replace those of the first."""
    given = class_forecasts()
    written = figures.write_all(tmp_path, HISTORY, given, score_table(given))
    assert len(written) == len(set(written)) == 2 + 2 * 4
    assert (
        f"{given.observed.tolist().count(2) / 400:.3f}"
        in read(tmp_path / "figures/roc_curve_5mm.png")[0]["Description"]
    )


def test_skipped_steps_are_marked(tmp_path):
    """Epochs in which steps were skipped would look like any other."""
    marked = [row | {"skipped_steps": 7 if row["epoch"] == 3 else 0} for row in HISTORY]
    plain = figures.training_curves(HISTORY, tmp_path / "plain.png")
    with_marks = figures.training_curves(marked, tmp_path / "marked.png")
    assert "skipped steps: 7" in read(with_marks)[0]["Description"]
    height = read(plain)[1].shape[0]
    panel = slice(2 * height // 3, None)  # the lowest panel; the text at the top differs in any case
    assert (read(plain)[1][panel] != read(with_marks)[1][panel]).any(-1).sum() > 200


@pytest.mark.parametrize(
    "history",
    [
        HISTORY[:1],
        [{"epoch": 1, "train_loss": 0.7}],
        [row | {"validation_loss": None, "gradient_norm_max": float("inf"), "skipped_steps": None} for row in HISTORY],
        [row | {"train_loss": float("nan"), "gradient_norm_median": 0.0, "gradient_norm_max": 0.0} for row in HISTORY],
    ],
)
def test_histories_with_gaps_are_drawn(tmp_path, history):
    """A run that diverged or was cut needs its curves most of all."""
    assert read(figures.training_curves(history, tmp_path / "curves.png"))[1].shape[2] == 3


def test_certain_and_constant_forecasts_are_drawn(tmp_path):
    """Probabilities of exactly 0 and 1 (persistence) would fall outside the bins; a collapsed run would fail."""
    observed = np.array([0, 1] * 50)
    for probability in (np.array([1.0, 0.0] * 50), np.full(100, 0.3)):
        for draw in (figures.roc_curve, figures.precision_recall_curve):
            assert draw(observed, probability, tmp_path / "curve.png", cut=0.5).is_file()
        assert has_colour(figures.reliability_diagram(observed, probability, tmp_path / "r.png"), figures.BLUE)


def test_drawing_leaves_the_global_state_of_matplotlib_alone():
    """A notebook's own figures would change their look, and importing the module would cost seconds."""
    program = """
import sys, tempfile, pathlib
import numpy as np
from exp import figures
assert "matplotlib" not in sys.modules, "imported too early"
import matplotlib
def settings():  # asking for the backend would itself import pyplot
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
before = settings()
figures.confusion_matrix(np.array([[3, 1], [2, 4]]), ["dry", "rain"], pathlib.Path(tempfile.mkdtemp()) / "c.png")
assert "matplotlib.pyplot" not in sys.modules, "pyplot holds global state"
assert settings() == before
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
