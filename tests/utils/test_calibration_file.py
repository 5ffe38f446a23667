"""What was fitted comes back to the last bit, and a file that is not the run's is never applied."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from utils import calibration_file
from utils.calibration import Calibration, fit
from utils.calibration_file import CALIBRATION_FILE
from utils.errors import CheckpointError
from utils.files import sha256


def fitted(method, n: int = 400) -> Calibration:
    generator = np.random.default_rng(0)
    rain = generator.random(n)
    return fit(method, np.stack([1 - rain, rain], axis=1), (generator.random(n) < rain**2).astype(int))


def stored(folder: Path, calibration: Calibration) -> dict:
    """Write a calibration and return scores.json as a reader finds it."""
    return json.loads(json.dumps({"calibration": calibration_file.write(folder, calibration)}))


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_calibration_comes_back_to_the_last_bit(method, tmp_path: Path) -> None:
    """A prediction of the test hours has to repeat what the run said about them."""
    before = fitted(method)
    after = calibration_file.read(tmp_path, stored(tmp_path, before))
    rain = np.linspace(0, 1, 200)
    probability = np.stack([1 - rain, rain], axis=1)
    assert np.array_equal(after.apply(probability), before.apply(probability)) and after == before


def test_scores_json_tells_the_temperature_and_leaves_the_curves_to_the_file(tmp_path: Path) -> None:
    """Hundreds of knots between two scores would hide both."""
    told = stored(tmp_path, fitted("temperature"))["calibration"]
    assert told["method"] == "temperature" and told["temperature"] > 0 and told["validation"]["n"] == 400
    assert told["file_sha256"] == sha256(tmp_path / CALIBRATION_FILE)
    assert "curves" not in stored(tmp_path, fitted("isotonic"))["calibration"]


def test_no_calibration_needs_no_file_and_keeps_its_reason(tmp_path: Path) -> None:
    """A reader a year later should see that it was asked for and why it was not done."""
    scores = stored(tmp_path, fitted("isotonic", n=50))
    assert not (tmp_path / CALIBRATION_FILE).exists()
    assert calibration_file.read(tmp_path, scores) == fitted("isotonic", n=50)


def test_a_run_of_an_earlier_version_is_not_calibrated(tmp_path: Path) -> None:
    """Its probabilities were used as they are, and its cut was chosen for them."""
    assert calibration_file.read(tmp_path, {"cut": [0.4]}) == Calibration()
    with pytest.raises(CheckpointError, match="CALIBRATION_DAMAGED"):
        calibration_file.read(tmp_path, {"calibration": ["temperature", 1.2]})


def test_a_missing_file_is_named_with_the_way_to_make_it_again(tmp_path: Path) -> None:
    """Without a word the run would predict uncalibrated probabilities, with a cut that was chosen for others."""
    scores = stored(tmp_path, fitted("temperature"))
    (tmp_path / CALIBRATION_FILE).unlink()
    with pytest.raises(CheckpointError, match="is not there") as told:
        calibration_file.read(tmp_path, scores)
    assert told.value.code == "CALIBRATION_MISSING" and "--calibration temperature" in told.value.next_command


def half_of(text: str) -> str:
    return text[: len(text) // 2]


def another_temperature(text: str) -> str:
    return json.dumps(json.loads(text) | {"temperature": 7.0})


@pytest.mark.parametrize("damage", [half_of, another_temperature, lambda _: ""])
def test_a_file_that_is_not_the_one_of_the_run_is_refused(tmp_path: Path, damage) -> None:
    """One digit changed is still JSON, and still a temperature."""
    scores = stored(tmp_path, fitted("temperature"))
    path = tmp_path / CALIBRATION_FILE
    path.write_text(damage(path.read_text()))
    with pytest.raises(CheckpointError, match="SHA-256") as told:
        calibration_file.read(tmp_path, scores)
    assert told.value.code == "CALIBRATION_DAMAGED" and told.value.exit_code == 4


@pytest.mark.parametrize(
    "content",
    ["[]", "null", "{", "{}", '{"curves": 3}', '{"curves": [], "method": "temperature", "temperature": -1}',
     '{"curves": [], "method": "temperature", "temperature": "1"}', '{"curves": [], "method": "x", "colour": 1}'],
)  # fmt: skip
def test_what_is_no_calibration_is_refused_even_with_the_right_hash(tmp_path: Path, content: str) -> None:
    """Whoever made both files by hand is told what is wrong with the numbers, without a traceback."""
    scores = stored(tmp_path, fitted("temperature"))
    (tmp_path / CALIBRATION_FILE).write_text(content)
    scores["calibration"]["file_sha256"] = sha256(tmp_path / CALIBRATION_FILE)
    with pytest.raises(CheckpointError, match="cannot be read"):
        calibration_file.read(tmp_path, scores)
