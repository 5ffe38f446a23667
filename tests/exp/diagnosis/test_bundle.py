"""A bad step in a folder gives the same verdict when it is opened again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import run as program
from exp import command_line, forecasters
from exp.diagnosis import bundle, preflight
from exp.diagnosis.attribution import attribute
from exp.diagnosis.explain import Explainer
from tests import make_table
from utils.errors import CheckpointError, NumericalError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory whose training met a NaN cell that was not there before the first step."""
    place = tmp_path_factory.mktemp("bundle")
    make_table.write(place)
    words = ["--root_path", str(place), "--data_path", "table.csv", "--preset", "smoke", "--nan_policy", "stop"]
    settings = command_line.read([*words, "--batch_size", "8", "--dropout", "0.2"])
    found = preflight.examine(settings, CPU)
    assert found.splits is not None and found.diagnosis.verdict is None
    found.splits.train.table[700, 2] = float("nan")
    dimensions = preflight.dimensions_of(found.splits)
    forecaster = forecasters.build(settings, dimensions, CPU)
    names = found.splits.preprocessing.variables
    run = place / "run"
    run.mkdir()
    with pytest.raises(NumericalError, match="A value of this batch is missing"):
        forecaster.fit(found.splits, run, Explainer(run, settings, dimensions, names, found.diagnosis))
    (made,) = run.glob("bundle-step*")
    return made


def test_the_step_of_a_bundle_gets_the_verdict_it_got_in_the_run(folder: Path) -> None:
    """Otherwise what a user sends to an advisor is not what happened."""
    stored = json.loads((folder.parent / "diagnosis.json").read_text())["verdict"]
    suspect, description = bundle.load(folder, CPU)
    verdict = attribute(suspect)
    assert verdict.code == stored["code"] == description["verdict"]["code"] == "DATA_NAN"
    assert verdict.finding.figures["column"] == stored["figures"]["column"] == "sp"
    assert verdict.finding.figures["window"] == stored["figures"]["window"] >= len(suspect.ids)
    assert verdict.finding.figures["timestamp"] == stored["figures"]["timestamp"]
    assert verdict.finding.figures["region"] == stored["figures"]["region"] == "costa"
    # The random numbers of the dropout are those of the step, so the norms agree bit for bit.
    assert {name: norm for name, norm in verdict.record["gradient_norms"].items() if norm == norm} == {
        name: norm for name, norm in stored["record"]["gradient_norms"].items() if norm is not None
    }


def test_a_bundle_holds_all_that_the_step_depends_on(folder: Path) -> None:
    """With other random numbers, pieces or weights before it, it is another step; NaN norms would not show it."""
    suspect, description = bundle.load(folder, CPU)
    stored = torch.load(folder / "bundle.pt", weights_only=True)
    assert suspect.random_state is not None and torch.equal(suspect.random_state.cpu, stored["random_state_cpu"])
    assert suspect.objective.micro_batch_size == description["micro_batch_size"] == 8
    assert suspect.name == description["step"] and suspect.last_good == description["last_good"]
    assert suspect.model.training and set(suspect.past().before_update or {}) == set(stored["weights_before_update"])
    assert set(suspect.past().epoch_start or {}) == set(dict(suspect.model.named_parameters()))


def test_diagnose_opens_a_bundle_and_ends_with_the_code_of_its_cause(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that the log has named."""
    code = program.main(["--task_name", "diagnose", "--bundle", str(folder)])
    said = capsys.readouterr()
    assert code == 3 and "then: DATA_NAN" in said.out and "now:  DATA_NAN" in said.out
    assert (folder / "diagnosis.html").is_file() and "column sp" in (folder / "diagnosis.html").read_text()


def test_a_bundle_of_another_version_says_so(folder: Path, tmp_path: Path) -> None:
    """It must not be read as if it were of this one."""
    other = tmp_path / "bundle"
    other.mkdir()
    description = json.loads((folder / "bundle.json").read_text()) | {"bundle_version": 99}
    (other / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError) as caught:
        bundle.load(other, CPU)
    assert caught.value.code == "CKPT_VERSION" and "99" in caught.value.evidence and caught.value.exit_code == 4


@pytest.mark.parametrize("content", [None, "{", "[]", '{"flags": {}}'])
def test_what_is_no_bundle_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    """A run directory or a damaged description is the usual mistake."""
    if content is not None:
        (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(CheckpointError, match="no replay bundle") as caught:
        bundle.load(tmp_path, CPU)
    assert "bundle-step" in caught.value.next_command


def test_a_bundle_whose_tensors_are_cut_off_is_refused(folder: Path, tmp_path: Path) -> None:
    """Half a file must not become half a verdict."""
    (tmp_path / "bundle.json").write_text((folder / "bundle.json").read_text())
    (tmp_path / "bundle.pt").write_bytes((folder / "bundle.pt").read_bytes()[:5000])
    with pytest.raises(CheckpointError):
        bundle.load(tmp_path, CPU)
