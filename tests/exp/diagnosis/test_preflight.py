"""Before the first step: what is wrong is named, what is handled is told, and what is sound raises no alarm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import run as program
from exp import command_line
from exp.diagnosis import preflight
from tests import make_table

CPU = torch.device("cpu")


def settings(folder: Path, *words: str):
    given = ["--root_path", str(folder), "--data_path", "table.csv", "--preset", "smoke"]
    return command_line.read([*given, "--checkpoints", str(folder / "runs"), *words])


def diagnose(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, dict]:
    """Run the command; return exit code, all it said, and diagnosis.json."""
    given = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
    code = program.main(["--task_name", "diagnose", *given, "--preset", "smoke", *words])
    said = capsys.readouterr()
    (report,) = (folder / "runs").rglob("diagnosis.json")
    assert (report.parent / "diagnosis.html").is_file()
    return code, said.out + said.err, json.loads(report.read_text())


def test_sound_data_raise_no_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The control: no error, no warning, and the answers to the four questions."""
    make_table.write(tmp_path)
    code, said, report = diagnose(tmp_path, capsys)
    assert code == 0 and report["verdict"] is None
    assert not [finding for finding in report["findings"] if finding["severity"] in ("error", "warning")]
    assert [check["answer"] for check in report["checks"]] == ["innocent", "not checked", *["innocent"] * 3]
    names = [check["name"] for check in report["checks"]]
    assert names == ["configuration", "checkpoint", "forward pass without a checkpoint", "gradients", "data"]
    assert "Nothing is wrong" in said and "gradient norms, largest first" in said
    assert [row["variable"] for row in report["ranges"]][-1] == "target, mm"
    assert report["batch"]["loss"] > 0 and report["batch"]["input"]["nan"] == 0


def test_the_case_is_named_before_the_first_step_and_the_checkpoint_acquitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blank lag rows, not the checkpoint: the answer that took weeks."""
    content = make_table.frame()
    content["tp_lag_3d"] = content.groupby("region")["tp"].shift(72)
    make_table.write(tmp_path, content=content)
    code, said, report = diagnose(tmp_path, capsys, "--fill", "none")
    verdict = report["verdict"]
    assert code == 3 and verdict["code"] == "DATA_NAN" and "tp_lag_3d" in verdict["where"]
    assert any("weights (no checkpoint is loaded) are innocent" in sentence for sentence in verdict["rules_out"])
    assert "without column tp_lag_3d the same step is finite" in verdict["rules_out"]
    assert verdict["figures"]["windows_touched"] > 0 and "--fill" in verdict["next"]
    code = program.main(["--root_path", str(tmp_path), "--data_path", "table.csv", "--preset", "smoke",
                         "--checkpoints", str(tmp_path / "runs"), "--train_epochs", "1"])  # fmt: skip
    said = capsys.readouterr().out
    assert code == 0 and "144 missing values are taken care of" in said and "skipped 0" in said


def test_what_the_flags_handle_is_told_as_handled(tmp_path: Path) -> None:
    """Silence about filled values is how a table with half its rows invented goes unnoticed."""
    content = make_table.frame()
    content.loc[700:702, "t2m"] = np.nan
    make_table.write(tmp_path, content=content)
    found = preflight.examine(settings(tmp_path), CPU)
    handled = {finding.code for finding in found.diagnosis.findings if finding.severity == "handled"}
    assert found.splits is not None and handled == {"DATA_NAN"} and not found.diagnosis.errors
    assert next(check for check in found.diagnosis.checks if check.name == "data").answer == "handled"


def test_a_checkpoint_with_nan_is_guilty_and_the_forward_pass_without_it_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The notes' first two tests, answered."""
    make_table.write(tmp_path)
    program.main(["--root_path", str(tmp_path), "--data_path", "table.csv", "--preset", "smoke",
                  "--checkpoints", str(tmp_path / "trained")])  # fmt: skip
    (best,) = (tmp_path / "trained").rglob("best.pt")
    state = torch.load(best)
    words = ["--adaptation", "--pretrain_model_path", str(tmp_path / "weights.pth")]
    torch.save(state, tmp_path / "weights.pth")
    assert program.main(["--task_name", "diagnose", "--root_path", str(tmp_path), "--data_path", "table.csv",
                         "--preset", "smoke", "--checkpoints", str(tmp_path / "sound"), *words]) == 0  # fmt: skip
    state["head.weight"][1, 2] = float("nan")
    torch.save(state, tmp_path / "weights.pth")
    capsys.readouterr()
    code, _, report = diagnose(tmp_path, capsys, *words)
    assert code == 4 and report["verdict"]["code"] == "CKPT_NONFINITE"
    assert "head.weight: 1 of" in report["verdict"]["evidence"] and "(1, 2)" in report["verdict"]["evidence"]
    answers = {check["name"]: check["answer"] for check in report["checks"]}
    assert answers["checkpoint"] == "guilty" and answers["forward pass without the checkpoint"] == "innocent"
    assert answers["forward pass with the checkpoint"] == "guilty" and answers["data"] == "innocent"


def test_without_data_it_says_what_it_could_check_and_what_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user who has only a checkpoint wants to know about the checkpoint."""
    code, said, report = diagnose(tmp_path, capsys)
    answers = {check["name"]: check["answer"] for check in report["checks"]}
    assert code == 3 and answers["data"] == "not checked" and answers["forward pass without a checkpoint"] == "innocent"
    assert "random numbers" in said and "prepare_era5.sh" in report["verdict"]["next"]


def test_without_the_checkpoint_it_says_what_it_could_check_and_what_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The data are looked at all the same."""
    make_table.write(tmp_path)
    code, _, report = diagnose(tmp_path, capsys, "--adaptation", "--pretrain_model_path", str(tmp_path / "no.pth"))
    answers = {check["name"]: check["answer"] for check in report["checks"]}
    assert code == 4 and answers["checkpoint"] == "guilty" and answers["data"] == "innocent"
    assert report["verdict"]["code"] == "CKPT_MISSING"


def test_the_notes_name_for_it_is_the_same_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`python debug_nan_source.py` stands in users' notes."""
    import subprocess
    import sys

    root = Path(program.__file__).parent
    answer = subprocess.run(
        [sys.executable, str(root / "debug_nan_source.py"), "--root_path", str(tmp_path), "--checkpoints",
         str(tmp_path / "runs"), "--preset", "smoke", "--task_name", "classification"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 3 and "DATA_MISSING" in answer.stderr and "Diagnosis of" in answer.stdout


def test_the_preflight_leaves_the_result_of_the_run_as_it_was(tmp_path: Path) -> None:
    """Looking twice must not change what is seen: the same seed gives the same numbers with it."""
    make_table.write(tmp_path)
    given = settings(tmp_path)
    first = preflight.examine(given, CPU)
    torch.manual_seed(5)
    second = preflight.examine(given, CPU)
    assert first.diagnosis.batch["loss"] == second.diagnosis.batch["loss"]
    assert first.splits is not None and second.splits is not None
    assert torch.equal(first.splits.train.table, second.splits.train.table)


def test_a_reference_forecast_is_diagnosed_by_its_data_alone(tmp_path: Path) -> None:
    """It takes no steps, and must not be refused for it."""
    make_table.write(tmp_path)
    found = preflight.examine(settings(tmp_path, "--model", "climatology"), CPU)
    assert not found.diagnosis.errors and [check.name for check in found.diagnosis.checks][-1] == "data"


def test_a_device_that_fails_is_named_with_its_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that does not fit torch shows in the first kernel, not in the import."""
    from models import timer_xl_classifier

    def fails(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    make_table.write(tmp_path)
    monkeypatch.setattr(timer_xl_classifier.Model, "forward", fails)
    found = preflight.examine(settings(tmp_path), CPU)
    (error,) = found.diagnosis.errors
    assert error.code == "DEVICE_FAILED" and "no kernel image" in error.evidence
    assert f"torch {torch.__version__}" in error.evidence and error.kind.exit_code == 5


FAULTS = {
    "LABEL_RANGE": lambda c: c.assign(rain_24h=c.rain_24h.where(c.index != 700, 5.0)),
    "DATA_INF": lambda c: c.assign(t2m=c.t2m.where(c.index != 700, np.inf)),
    "DATA_RANGE": lambda c: c.assign(t2m=c.t2m - 273.15),
    "TIME_GAP": lambda c: c.drop(index=range(700, 710)),
    "ONE_CLASS": lambda c: c.assign(rain_24h=c.rain_24h.where(c.rain_24h.isna(), 1.0)),
}


@pytest.mark.parametrize("cause", FAULTS)
def test_blank_lag_rows_that_the_flags_take_care_of_never_hide_the_real_fault(
    cause: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every table with lags has blank head rows; blaming them for everything would be the case all over again."""
    content = make_table.frame()
    content["tp_lag_3d"] = content.groupby("region")["tp"].shift(72)
    make_table.write(tmp_path, content=FAULTS[cause](content))
    code, said, report = diagnose(tmp_path, capsys)
    verdict = report["verdict"]
    assert code == 3 and verdict["code"] == cause and f"verdict: {cause}" in said
    assert not any("the data are" in sentence or "the labels are" in sentence for sentence in verdict["rules_out"])


def test_the_proof_takes_away_the_guilty_column_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Head rows are blank in many columns; four blanks of one column must not be proved by removing all."""
    content = make_table.frame()
    for name in ("t2m", "sp"):
        content[f"{name}_lag_3d"] = content.groupby("region")[name].shift(72)
    content.loc[700:703, "tp"] = np.nan
    make_table.write(tmp_path, content=content)
    code, _, report = diagnose(tmp_path, capsys, "--max_gap_hours", "0")
    assert code == 3 and report["verdict"]["code"] == "DATA_NAN"
    assert "without column tp the same step is finite" in report["verdict"]["rules_out"]


def test_errors_of_several_kinds_lead_with_the_one_that_gives_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Screen, page and exit code must not contradict one another."""
    make_table.write(tmp_path, content=FAULTS["TIME_GAP"](make_table.frame()))
    torch.save({"head.weight": torch.full((2, 2), float("nan"))}, tmp_path / "nan.pth")
    words = ["--adaptation", "--pretrain_model_path", str(tmp_path / "nan.pth")]
    code, _, report = diagnose(tmp_path, capsys, *words)
    others = {other["code"] for other in report["verdict"]["also"]}
    assert code == 3 and report["verdict"]["code"] == "TIME_GAP" and "CKPT_NONFINITE" in others


def test_a_checkpoint_that_is_named_but_not_loaded_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who tests a file must not hear that all is well because nobody opened it."""
    make_table.write(tmp_path)
    code, said, report = diagnose(tmp_path, capsys, "--pretrain_model_path", str(tmp_path / "nan.pth"))
    assert code == 0 and "add --adaptation" in said and "Nothing is wrong" not in said
    assert next(check for check in report["checks"] if check["name"] == "checkpoint")["answer"] == "not checked"


def test_a_context_far_too_long_is_refused_and_does_not_fill_the_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Looking at a model with a million rows of random numbers once ended the process."""
    make_table.write(tmp_path)
    code, _, report = diagnose(tmp_path, capsys, "--seq_len", "1000000")
    assert code == 3 and report["verdict"]["code"] == "CONTEXT_TOO_LONG"


def test_a_number_of_classes_that_does_not_fit_is_found_by_the_diagnosis_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What passes the diagnosis must not be refused a minute later."""
    make_table.write(tmp_path)
    code, _, report = diagnose(tmp_path, capsys, "--n_classes", "3")
    assert code == 2 and report["verdict"]["code"] == "CONFIG" and "--n_classes 2" in report["verdict"]["next"]


def test_weights_that_overflow_before_the_first_step_are_put_down_to_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No rate has done anything yet."""
    make_table.write(tmp_path)
    code, _, report = diagnose(tmp_path, capsys, "--init_gain", "1e30")
    following = report["verdict"]["next"]
    assert code == 5 and "--init_gain 1" in following and "--learning_rate" not in following
