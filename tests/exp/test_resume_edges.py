"""Where resuming meets the unusual: moved files, changed flags, other seeds, a state that is no longer the newest."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from exp import resumed_run, verified_states
from exp.forecasters import NetworkForecaster
from exp.trainer import Trainer
from tests import make_table
from tests.exp.test_resume import Cut, Project
from utils import checkpoint, run_lock, signals
from utils.errors import LockError

pytestmark = pytest.mark.usefixtures("without_figures")
SAVES = ["--checkpoint_steps", "3"]
SHORT = ["--train_epochs", "1"]


def rows(run: Path) -> list[dict]:
    """Return metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def config(run: Path) -> dict:
    """Return the flags of a run."""
    return json.loads((run / "config.json").read_text())["flags"]


@pytest.mark.parametrize("how", ["typed", "from a file"])
def test_a_rate_that_was_allowed_to_change_is_the_rate_of_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The table of differences would name a rate, and the optimizer would go on with the old one."""
    project = Project(tmp_path)
    run = project.cut_at(5, monkeypatch, *SAVES)
    words = ["--learning_rate", "0.002", "--weight_decay", "0.3"]
    if how == "from a file":
        (tmp_path / "flags.yaml").write_text("learning_rate: 0.002\nweight_decay: 0.3\nseed: 7\n")
        project.words.remove("--learning_rate")
        project.words.remove("0.01")
        words = ["--config", str(tmp_path / "flags.yaml")]
    assert project.start("--resume", str(run), "--allow_resume_changes", *words) == 0
    group = checkpoint.load(run / "last.pt")["optimizer_state_dict"]["param_groups"][0]
    assert (group["lr"], group["weight_decay"]) == (0.002, 0.3)
    assert [row["learning_rate"] for row in rows(run)] == [0.002] * 3


def test_what_was_allowed_to_change_is_what_the_run_says_of_itself_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scoring and predicting rebuild the model from config.json: it must be the one the weights were trained as."""
    project = Project(tmp_path)
    run = project.cut_at(5, monkeypatch, *SAVES)
    (tmp_path / "table.csv").write_bytes((tmp_path / "table.csv").read_bytes() + b"\n")
    before = json.loads((run / "environment.json").read_text())["data_sha256"]
    words = ["--allow_resume_changes", "--resume", str(run), "--train_epochs", "2", "--clamp_logits", "2"]
    assert project.start(*words) == 0
    assert (config(run)["train_epochs"], config(run)["clamp_logits"]) == (2, 2.0)
    assert json.loads((run / "environment.json").read_text())["data_sha256"] != before
    (aside,) = run.glob("before-resume-*")
    assert config(aside)["train_epochs"] == 3
    assert json.loads((aside / "environment.json").read_text())["data_sha256"] == before


def test_a_run_that_stopped_early_is_trained_longer_with_more_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that the program itself names would score the run again and train nothing."""
    project = Project(tmp_path)
    monkeypatch.setattr(NetworkForecaster, "_validate", worse_each_time())
    assert project.start("--patience", "1") == 0
    (run,) = project.runs()
    assert len(rows(run)) == 2
    capsys.readouterr()
    assert project.start("--resume", str(run), "--patience", "1") == 2
    assert "--patience" in capsys.readouterr().err
    last = str(run / "last.pt")
    assert project.start("--resume", last, "--patience", "9", "--allow_resume_changes") == 0
    assert len(rows(run)) == 3


def test_a_run_that_stopped_early_stays_stopped_when_its_scoring_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut while it was scored, it would train epochs that the whole run has not."""
    project = Project(tmp_path)
    monkeypatch.setattr(NetworkForecaster, "_validate", worse_each_time())
    with monkeypatch.context() as patch:
        patch.setattr("exp.scoring.evaluate", raise_cut)
        with pytest.raises(Cut):
            project.start("--patience", "1")
    assert project.start("--patience", "1", "--resume", "auto") == 0
    assert len(rows(project.runs()[0])) == 2


def worse_each_time():
    """Return a validation whose loss rises."""
    usual, calls = NetworkForecaster._validate, 0

    def validate(*seen: Any) -> dict:
        nonlocal calls
        calls += 1
        return usual(*seen) | {"validation_loss": float(calls)}

    return validate


def raise_cut(*_: object, **__: object) -> None:
    """End the run here."""
    raise Cut


@pytest.mark.parametrize("place", ["a file alone", "a file kept aside", "a damaged config.json"])
def test_a_state_outside_of_a_run_directory_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """What to do with it is one sentence; a traceback is none."""
    project = Project(tmp_path)
    run = project.cut_at(5, monkeypatch, *SAVES)
    named = run
    if place == "a damaged config.json":
        (run / "config.json").write_text("{")
    else:
        folder = tmp_path / "alone" if place == "a file alone" else run / "before-resume-20260101-000000"
        folder.mkdir()
        named = Path(shutil.copy2(run / "last.pt", folder))
    assert project.start("--resume", str(named)) == 2
    said = capsys.readouterr().err
    assert said.startswith("CONFIG") and "config.json" in said


def test_auto_passes_over_a_run_whose_config_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One broken run of many must not keep all others from being resumed."""
    project = Project(tmp_path, SHORT)
    run = project.cut_at(5, monkeypatch, *SAVES)
    broken = run.with_name(run.name + "-1")
    shutil.copytree(run, broken)
    (broken / "config.json").write_text("{}")
    assert project.start("--resume", "auto") == 0
    said = capsys.readouterr().out
    assert f"passed over {broken}" in said and "RESUMED at step 3" in said and (run / "scores.json").is_file()


@pytest.mark.parametrize("kind", ["file", "folder", "slash", "copy"])
def test_a_run_is_found_through_a_link_a_slash_or_as_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Names that lead to the same bytes lead to the same run; a copy goes on where it lies."""
    project = Project(tmp_path, SHORT)
    run = project.cut_at(5, monkeypatch, *SAVES)
    named, goes_on = f"{run}/", run
    if kind == "copy":
        goes_on = tmp_path / "copy"
        named = str(shutil.copytree(run, goes_on))
    elif kind != "slash":
        (tmp_path / "link").symlink_to(run / "last.pt" if kind == "file" else run)
        named = "link"
    monkeypatch.chdir(tmp_path)
    assert project.start("--resume", named) == 0
    assert (goes_on / "scores.json").is_file() and (run / "scores.json").exists() is (kind != "copy")


def test_auto_keeps_no_finished_seed_of_another_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over three seeds would be one over two tables."""
    project = Project(tmp_path, SHORT)
    assert project.start("--seed", "0") == 0
    content = make_table.frame()
    content.loc[5, "t2m"] += 1
    make_table.write(tmp_path, content=content)
    project.cut_at(5, monkeypatch, "--seed", "1", *SAVES)
    assert project.start("--itr", "2", "--resume", "auto") == 0
    assert sorted(config(run)["seed"] for run in project.runs()) == [0, 0, 1]


def test_auto_keeps_the_finished_seeds_of_a_command_cut_before_the_next_one_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kill in the first minutes of the second seed would cost the night of the first one."""
    project = Project(tmp_path, SHORT)
    assert project.start("--seed", "0") == 0
    project.cut_at(2, monkeypatch, "--seed", "1")
    assert project.start("--itr", "2", "--resume", "auto") == 0
    assert sorted(config(run)["seed"] for run in project.runs()) == [0, 1, 1]
    assert "seed 0 is finished" in capsys.readouterr().out


def test_auto_takes_no_seed_up_again_that_was_finished_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run given up last week would be finished in place of the seed that was cut today."""
    project = Project(tmp_path, SHORT)
    old = project.cut_at(5, monkeypatch, *SAVES)
    old = old.rename(old.with_name("timer_xl_classifier-seed0-20200101-000000"))
    assert project.start("--seed", "0") == 0
    cut = project.cut_at(5, monkeypatch, "--seed", "1", *SAVES)
    assert project.start("--itr", "2", "--resume", "auto") == 0
    assert (cut / "scores.json").is_file() and not (old / "scores.json").exists()


def test_a_run_that_is_at_work_and_has_saved_nothing_yet_is_not_started_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scheduler that starts its job again too early must hear of the first one."""
    project = Project(tmp_path)
    run = project.cut_at(2, monkeypatch)
    with run_lock.hold(run):
        assert project.start("--resume", "auto") == 7
    assert capsys.readouterr().err.startswith("RUN_LOCKED") and project.runs() == [run]


def test_a_state_that_another_process_went_on_from_meanwhile_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands find the same state; the slower one would put aside what the faster one has done since."""
    project = Project(tmp_path, SHORT)
    run = project.cut_at(5, monkeypatch, *SAVES)
    point = verified_states.newest(run)
    assert project.start("--resume", str(run)) == 0
    before = sorted(path.name for path in run.iterdir())
    assert point is not None
    with pytest.raises(LockError, match="gone on"):
        resumed_run.prepare(point, torch.device("cpu"))
    assert sorted(path.name for path in run.iterdir()) == before


def test_a_kill_while_later_files_are_put_aside_leaves_no_run_that_looks_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scores.json without its weights would be found by --is_training 0, and what is left would be overwritten."""
    project = Project(tmp_path, ["--train_epochs", "2", "--save_every_epochs", "1"])
    assert project.start() == 0
    (run,) = project.runs()
    moved = []
    usual = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if "before-resume" in str(target) and len(moved) == 2:
            raise Cut
        moved.append(path.name)
        return usual(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(Cut):
            project.start("--resume", str(run / "checkpoint_epoch_1.pt"))
    assert not (run / "scores.json").exists() and (run / "last.pt").exists()
    metrics = [path.read_text() for path in run.rglob("metrics.jsonl")]
    assert project.start("--resume", str(run / "checkpoint_epoch_1.pt")) == 0
    assert metrics[0] in [path.read_text() for path in run.glob("before-resume-*/metrics.jsonl")]


def test_best_weights_are_written_as_safetensors_when_that_is_asked_for_at_the_resumption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best epoch may lie before the cut, and no later one would write the file."""
    project = Project(tmp_path)
    monkeypatch.setattr(NetworkForecaster, "_validate", worse_each_time())
    run = project.cut_at(14, monkeypatch, *SAVES)
    assert project.start("--resume", str(run), "--save_safetensors") == 0
    assert checkpoint.metadata(run / "best.safetensors")["epoch"] == "1"


def test_a_directory_that_does_not_let_itself_be_made_ready_ends_with_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log that is a folder stands for one that may not be written; neither is a fault of the program."""
    project = Project(tmp_path, SHORT)
    run = project.cut_at(5, monkeypatch, *SAVES)
    (run / "train.log").unlink()
    (run / "train.log").mkdir()
    assert project.start("--resume", str(run)) == 6
    assert capsys.readouterr().err.startswith("STORAGE_DENIED")
    (run / "train.log").rmdir()
    (run / "last.pt.writing").mkdir()
    assert project.start("--resume", str(run)) == 6
    assert capsys.readouterr().err.startswith("STORAGE_DENIED")


def test_causes_found_before_the_cut_stay_in_the_diagnosis_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second bad step of a night would wipe out the first, which is the one that matters."""
    project = Project(tmp_path)
    bad_steps(monkeypatch, 4, 14, 18)
    run = project.cut_at(16, monkeypatch, *SAVES)
    (first, second) = json.loads((run / "diagnosis.json").read_text())["bad_steps"]
    (run / "last.pt").unlink()  # so that last_good.pt of step 12 is gone on from, and step 14 comes again
    assert project.start("--resume", str(run)) == 0
    found = json.loads((run / "diagnosis.json").read_text())
    assert [step["where"] for step in found["bad_steps"]][:2] == [first["where"], second["where"]]
    assert len(found["bad_steps"]) == 2 and found["bad_steps"][0] == first
    assert first["where"] in (run / "diagnosis.html").read_text()


def bad_steps(patch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Make the loss of these attempted steps NaN."""
    usual = Trainer._backward

    def backward(trainer: Trainer, ids: torch.Tensor, of: torch.Tensor):
        loss, correct = usual(trainer, ids, of)
        return (loss * float("nan") if trainer.step_number + 1 in numbers else loss), correct

    patch.setattr(Trainer, "_backward", backward)


@pytest.mark.parametrize("is_finite", [True, False], ids=["saved", "nothing worth saving"])
def test_the_command_that_an_interruption_names_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_finite: bool
) -> None:
    """A folder with a space in its name ends it half-way, and a state that was not saved cannot be resumed."""
    usual = Trainer._step

    def step(trainer: Trainer, ids: torch.Tensor):
        answer = usual(trainer, ids)
        if trainer.step_number == 2:
            if not is_finite:
                next(iter(trainer.model.parameters())).data.fill_(float("inf"))
            signals._on_signal(signal.SIGTERM, None)
        return answer

    project = Project(tmp_path / "my runs", SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(signals, "_state", signals._State())
        patch.setattr(Trainer, "_step", step)
        assert project.start() == 75
    said = capsys.readouterr().err
    if is_finite:
        typed = shlex.split(said.partition("next:")[2])
        assert typed[:3] == ["python", "run.py", "--resume"] and project.start(*typed[2:]) == 0
    else:
        assert "--resume" not in said and "not finite" in said and "last.pt" not in said


def test_the_room_that_a_resumed_run_lacks_is_not_sought_under_another_checkpoints_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that goes on stays where it is: --checkpoints does not move it."""
    project = Project(tmp_path, SHORT)
    run = project.cut_at(5, monkeypatch, *SAVES)
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    with monkeypatch.context() as patch:
        patch.setattr("utils.files.shutil.disk_usage", lambda _: usage)
        assert project.start("--resume", str(run)) == 6
    said = capsys.readouterr().err
    assert said.startswith("STORAGE_FULL") and "--checkpoints" not in said and "copy the run" in said


def test_auto_on_a_run_that_ended_with_nan_ends_the_same_way_and_counts_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that starts itself again must get the same cause and exit code, not a second run or rows twice."""
    project = Project(tmp_path, ["--max_skipped_steps", "1"])
    bad_steps(monkeypatch, 14, 16)
    ends = []
    for words in ([], ["--resume", "auto"], ["--resume", "auto"]):
        ends.append((project.start(*SAVES, *words), capsys.readouterr().err))
    (run,) = project.runs()
    assert [code for code, _ in ends] == [5, 5, 5] and len({said.partition(":")[0] for _, said in ends}) == 1
    assert [row.get("cut_short", False) for row in rows(run)] == [False, True]


def test_of_many_states_only_the_newest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a state for each of fifty epochs, a gigabyte each, going on would begin with minutes of hashing."""
    project = Project(tmp_path, ["--save_every_epochs", "1"])
    run = project.cut_at(25, monkeypatch, *SAVES)
    looked_at = []
    usual = checkpoint._verify
    monkeypatch.setattr(checkpoint, "_verify", lambda path: [looked_at.append(path.name), usual(path)][1])
    point = verified_states.newest(run)
    assert point is not None and point.state["step"] == 24 and set(looked_at) == {"last.pt"}


def test_a_later_state_that_is_damaged_is_put_aside_like_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left where it is, it would stand beside states of another course of the same run."""
    project = Project(tmp_path, ["--train_epochs", "2", "--save_every_epochs", "1"])
    assert project.start() == 0
    (run,) = project.runs()
    (run / "checkpoint_epoch_2.pt").write_bytes(b"damaged")
    monkeypatch.setattr("exp.scoring.evaluate", raise_cut)
    with pytest.raises(Cut):
        project.start("--resume", str(run / "checkpoint_epoch_1.pt"))
    (aside,) = run.glob("before-resume-*")
    assert (aside / "checkpoint_epoch_2.pt").read_bytes() == b"damaged"
