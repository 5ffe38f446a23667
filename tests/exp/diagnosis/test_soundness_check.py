"""Choices that run without a fault and are unsound: told where it is known, as unknown where it is not, else silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import models
import run as program
from exp import command_line
from exp.diagnosis import soundness_check
from tests import make_table
from utils import checkpoint
from utils.findings import Finding

VARIABLES = ("tp", "t2m", "wind_speed")
SMALL = ("--d_model", "16", "--n_heads", "2", "--d_ff", "8", "--e_layers", "6", "--seq_len", "96")
TOKEN = ("--input_token_len", "24", "--output_token_len", "24")


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """An encoder as it is before any training."""
    torch.manual_seed(0)
    sizes = {"d_model": 16, "n_heads": 2, "d_ff": 8, "e_layers": 6, "input_token_len": 24, "output_token_len": 24}
    return dict(models.build("timer_xl", SimpleNamespace(**sizes)).state_dict())


def metadata(**changes: Any) -> dict[str, Any]:
    """What one of our runs on three variables says of its best weights."""
    flags = {"variate_mode": "joint", "rotary_positions": "flattened", "input_token_len": 24, "adaptation": False}
    flags |= {name: value for name, value in changes.items() if name in flags or name == "variate_attention"}
    return {
        "config": flags,
        "dimensions": {"n_variables": changes.get("n_variables", 3), "context_length": changes.get("length", 96)},
        "feature_order": list(changes.get("order", VARIABLES)),
    }


@pytest.fixture
def found(tmp_path: Path, weights: dict[str, torch.Tensor]) -> Callable[..., list[Finding]]:
    """Save weights with what is said of them, and look at them with these flags."""

    def look(
        *words: str, said: dict[str, Any] | None = None, variables: tuple[str, ...] = VARIABLES, **changed: Any
    ) -> list[Finding]:
        path = tmp_path / "weights.pt"
        state = weights | changed
        if said is None:
            torch.save(state, path)
        else:
            checkpoint.save(path, state, metadata=said)
        settings = command_line.read([*SMALL, *TOKEN, "--adaptation", "--pretrain_model_path", str(path), *words])
        return soundness_check.examine(settings, variables, state)

    return look


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in findings]


@pytest.mark.parametrize(
    "said",
    [metadata(n_variables=1), metadata(variate_mode="independent"), metadata(variate_attention="independent")],
    ids=["one variable", "independent", "independent, by its first name"],
)
def test_a_univariate_file_that_is_read_jointly_is_told_with_what_its_random_bias_does(found, said) -> None:
    """Attention over 27 variables would be weighed by numbers that no training ever touched."""
    said["config"] = {name: value for name, value in said["config"].items()
                      if name != "variate_mode" or "variate_attention" not in said["config"]}  # fmt: skip
    (finding,) = found(said=said)
    assert (finding.code, finding.severity) == ("VARIATE_BIAS_UNTRAINED", "warning")
    assert "its JSON says" in finding.evidence and "positions run from 0 to 11" in finding.evidence
    assert "the file's to 3" in finding.evidence and "--variate_mode independent" in finding.next_command
    assert finding.figures["numbers"] == 24
    assert found("--variate_mode", "independent", said=said) == [] == found(said=said, variables=("tp",))


def test_the_random_bias_is_told_as_the_factor_that_it_is(found, weights) -> None:
    """The figure is computed from logits; written out for one layer that alone is not even."""
    even = {name: torch.zeros_like(value) for name, value in weights.items() if name.endswith("emb.weight")}
    first = next(iter(even))
    uneven = even | {first: torch.tensor([[8**0.5, 0.0], [0.0, 8**0.5]])}
    (finding,) = found(said=metadata(n_variables=1), **uneven)
    assert "counts 0.37 to 2.72 times" in finding.evidence
    assert found(said=metadata(n_variables=1), **even) == []


def test_a_file_that_was_trained_jointly_or_began_from_another_raises_no_alarm(found) -> None:
    """The control: a warning that always comes is read by nobody."""
    assert found(said=metadata()) == []
    assert found(said=metadata(variate_mode="independent", adaptation=True)) == []


def test_a_foreign_file_is_told_as_unknown_and_only_while_its_bias_looks_drawn(found, weights) -> None:
    """Nothing in a foreign file proves how it was trained, so nothing is claimed as known."""
    (finding,) = found()
    assert (finding.code, finding.severity) == ("VARIATE_BIAS_UNTRAINED", "information")
    assert "does not say" in finding.what and "24 numbers" in finding.evidence
    moved = {name: 3 + value for name, value in weights.items() if name.endswith("emb.weight")}
    shrunk = {name: 0.1 * value for name, value in weights.items() if name.endswith("emb.weight")}
    assert found(**moved) == [] == found(**shrunk)


def test_a_file_of_the_released_size_is_taken_for_the_released_one(tmp_path: Path) -> None:
    """It is the one that users have, it has no JSON of ours, and it was trained on single variables."""
    with torch.device("meta"):
        state = dict(models.build("timer_xl", SimpleNamespace()).state_dict())
    generator = torch.Generator().manual_seed(0)
    state |= {name: torch.randn(2, 8, generator=generator) for name in state if name.endswith("emb.weight")}
    torch.save({}, tmp_path / "checkpoint.pth")
    settings = command_line.read(["--adaptation", "--pretrain_model_path", str(tmp_path / "checkpoint.pth")])
    (finding,) = soundness_check.examine(settings, tuple(f"v{number}" for number in range(27)), state)
    assert finding.severity == "warning" and "size of the released checkpoint" in finding.evidence
    assert "positions run from 0 to 404 where one variable has 15" in finding.evidence


@pytest.mark.parametrize(
    ("said", "words", "evidence"),
    [
        (metadata(), ("--rotary_positions", "time"), "--rotary_positions flattened in the file, time now"),
        (metadata(rotary_positions="time"), (), "--rotary_positions time in the file, flattened now"),
        (metadata(order=("t2m", "tp", "wind_speed")), (), "variable 0 is t2m in the file, tp now"),
        (metadata(order=VARIABLES[:2], n_variables=2), (), "2 variables in the file, 3 now"),
        (metadata(length=48), (), "2 tokens of each variable in the file, 4 now"),
    ],
)
def test_other_joint_positions_than_the_files_are_told(found, said, words, evidence) -> None:
    """Flattened positions tie a model to the order and number of variables and to the context."""
    (finding,) = found(*words, said=said)
    assert (finding.code, finding.severity) == ("POSITIONS_CHANGED", "warning") and evidence in finding.evidence
    assert found(*words, "--variate_mode", "independent", said=said) == []


def forecast(*channels: str) -> dict[str, Any]:
    """What a pre-training on two places with these channels says of its best weights."""
    said = metadata(order=("weather/coast", "weather/jungle"))
    said["config"]["task_name"] = "forecast"
    return said | {"preprocessing": {name: {"channels": list(channels)} for name in said["feature_order"]}}


def test_the_channels_of_a_pretraining_are_its_variables_and_not_the_names_of_its_places(found) -> None:
    """Else an encoder that was pre-trained on these very variables is accused with "variable 0 is weather/coast"."""
    assert found(said=forecast(*VARIABLES)) == []
    (finding,) = found(said=forecast("t2m", "tp", "wind_speed"))
    assert finding.evidence == "variable 0 is t2m in the file, tp now (3 and 3 variables)"


def test_time_positions_on_both_sides_are_bound_to_no_order(found) -> None:
    """They are the way out that the message itself offers."""
    said = metadata(rotary_positions="time", order=("t2m", "tp", "wind_speed"), length=48)
    assert found("--rotary_positions", "time", said=said) == []


def test_time_positions_on_a_foreign_file_are_told_as_not_the_published_ones(found) -> None:
    """Published files were trained with flattened positions, which for single variables are the same."""
    assert ("POSITIONS_CHANGED", "information") in told(found("--rotary_positions", "time"))


@pytest.mark.parametrize(
    ("words", "is_told"),
    [((), True), (("--level_statistics",), False), (("--last_hours", "24"), False), (("--use_norm", "false"), False)],
)
def test_instance_norm_that_hides_humidity_and_pressure_is_told(words, is_told) -> None:
    """Both vanish without an error, and with them what the forecast lives on."""
    settings = command_line.read([*SMALL, *TOKEN, "--use_norm", *words])
    names = ("tp", "sp", "pressure_tendency_12h", "tcwv_lag_1d", "relative_humidity", "td_spread")
    findings = soundness_check.examine(settings, names, None)
    assert told(findings) == [("LEVEL_ERASED", "warning")] * is_told
    if is_told:
        assert findings[0].figures["variables"] == ["sp", "tcwv_lag_1d", "relative_humidity", "td_spread"]
        assert "4 of 6 variables" in findings[0].evidence
    assert soundness_check.examine(settings, ("tp", "t2m"), None) == []


def test_models_without_the_encoder_have_nothing_to_be_told(tmp_path: Path) -> None:
    """Their flags have neither norm nor variables in sequences."""
    assert soundness_check.examine(command_line.read(["--model", "resnet1d"]), ("sp",), None) == []


def test_the_program_tells_it_before_the_first_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a run that read its variables one by one to a joint run with a pooling of its own, through files on disk."""
    make_table.write(tmp_path)
    words = ["--root_path", str(tmp_path), "--data_path", "table.csv", "--checkpoints", str(tmp_path / "runs"),
             "--preset", "smoke", "--device", "cpu", "--use_norm"]  # fmt: skip
    assert program.main([*words, "--model_id", "first", "--variate_mode", "independent", "--level_statistics"]) == 0
    said = capsys.readouterr()
    assert "VARIATE_BIAS" not in said.out + said.err and "LEVEL_ERASED" not in said.out + said.err
    (best,) = (tmp_path / "runs" / "first").rglob("best.pt")
    encoder = {name: value for name, value in torch.load(best).items() if not name.startswith("classifier.")}
    checkpoint.save(tmp_path / "encoder.pt", encoder, metadata=checkpoint.metadata(best))
    again = ["--adaptation", "--pretrain_model_path", str(tmp_path / "encoder.pt"), "--pooling", "attention"]
    assert program.main([*words, "--model_id", "second", *again]) == 0
    said = capsys.readouterr()
    text = said.out + said.err
    assert text.count("VARIATE_BIAS_UNTRAINED") == 1 and text.count("LEVEL_ERASED") == 1
    assert text.index("VARIATE_BIAS_UNTRAINED") < text.index("loss:") and "7 fresh" in text
    (report,) = (tmp_path / "runs" / "second").rglob("diagnosis.json")
    codes = [finding["code"] for finding in json.loads(report.read_text())["findings"]]
    assert {"VARIATE_BIAS_UNTRAINED", "LEVEL_ERASED"} <= set(codes)
