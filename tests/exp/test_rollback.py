"""`--nan_policy rollback`: back to the last verified state at half the rates, twice at most."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path

import pytest
import torch

from data_provider.windows import WindowSet
from exp.guard import Guard
from exp.objective import Objective
from exp.state_keeper import StateKeeper
from exp.trainer import Trainer
from tests.exp.test_resume import Project
from tests.run_ends import differences
from utils import signals
from utils.errors import NumericalError

WORDS = ["--nan_policy", "rollback", "--checkpoint_steps", "4", "--max_skipped_steps", "0"]


def break_weight_at(patch: pytest.MonkeyPatch, step: int, times: int, norms: list[float] | None = None) -> None:
    """Set a weight to NaN before an attempted step, the first so many times that it is reached."""
    usual, left = Trainer._step, times

    def broken(trainer: Trainer, ids: torch.Tensor):
        nonlocal left
        if trainer.step_number + 1 == step and left:
            left -= 1
            with torch.no_grad():
                next(iter(trainer.model.parameters())).view(-1)[0] = float("nan")
        return usual(trainer, ids)

    patch.setattr(Trainer, "_step", broken)


def rows(run: Path) -> list[dict]:
    """Return metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_weight_that_turned_nan_is_healed_by_going_back_at_half_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One flipped bit in memory at night need not cost the run."""
    project = Project(tmp_path, WORDS)
    break_weight_at(monkeypatch, 15, times=1)
    assert project.start() == 0
    said = capsys.readouterr().out
    assert "WEIGHT_NONFINITE" in said and "ROLLED_BACK: to step 12 (epoch 2, batch 2)" in said and "1 of 2" in said
    (run,) = project.runs()
    found = rows(run)
    assert [row["epoch"] for row in found] == [1, 2, 3] and [row["step"] for row in found] == [10, 20, 30]
    assert [row.get("rollbacks") for row in found] == [None, 1, 1]
    assert found[0]["learning_rate"] == 0.01 and found[1]["learning_rate"] == found[2]["learning_rate"] == 0.005


def test_the_third_time_ends_the_run_under_the_name_of_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault that comes back each time is none that a lower rate heals; the last good file stays."""
    project = Project(tmp_path, WORDS)
    break_weight_at(monkeypatch, 15, times=9)
    assert project.start() == 5
    said = capsys.readouterr()
    assert "rates halved to 0.005" in said.out and "rates halved to 0.0025" in said.out
    assert said.out.count("ROLLED_BACK") == 2 and said.err.startswith("WEIGHT_NONFINITE")
    (run,) = project.runs()
    state = torch.load(run / "last.pt", weights_only=True)
    assert state["step"] == 12 and all(bool(value.isfinite().all()) for value in state["model_state_dict"].values())
    assert rows(run)[-1]["cut_short"] and len(rows(run)) == 2


def test_before_the_first_save_the_run_goes_back_to_its_very_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first steps are the ones that a high rate breaks."""
    project = Project(tmp_path, WORDS)
    break_weight_at(monkeypatch, 3, times=1)
    assert project.start() == 0
    assert "ROLLED_BACK: to step 0 (epoch 0, batch 0)" in capsys.readouterr().out


def test_what_the_data_did_is_never_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same rows come again at any rate."""
    usual = Trainer._begin_epoch

    def spoil(trainer: Trainer) -> None:
        usual(trainer)
        trainer.train.table[200:] = float("nan")

    project = Project(tmp_path, WORDS)
    monkeypatch.setattr(Trainer, "_begin_epoch", spoil)
    assert project.start() == 5
    said = capsys.readouterr()
    assert "ROLLED_BACK" not in said.out and said.err.startswith("DATA_NAN")


def test_a_run_that_was_rolled_back_and_cut_ends_like_one_that_was_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The halved rate belongs to the state."""
    whole, project = Project(tmp_path / "a", WORDS), Project(tmp_path / "b", WORDS)
    with monkeypatch.context() as patch:
        break_weight_at(patch, 15, times=1)
        assert whole.start() == 0
    with monkeypatch.context() as patch:
        break_weight_at(patch, 15, times=1)
        run = project.cut_at(23, monkeypatch)
    assert project.start("--resume", "auto") == 0
    assert differences(whole.runs()[0], run) == []


def test_float16_is_rolled_back_where_the_host_hears_of_a_step_one_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a GPU the error comes in the middle of the next step, whose gradients the scaler has divided already."""
    project = Project(tmp_path, [*WORDS, "--amp", "fp16"])
    monkeypatch.setattr("exp.trainer.Guard", partial(Guard, reads_late=True))
    break_weight_at(monkeypatch, 15, times=1)
    assert project.start() == 0
    assert "ROLLED_BACK: to step 12" in capsys.readouterr().out


def test_too_large_a_batch_is_not_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not fit at half the rate either, and the user waits three times to be told so."""
    usual = Objective.backward

    def backward(objective: Objective, model: torch.nn.Module, windows: WindowSet, ids: torch.Tensor, **words: object):
        steps.append(ids)
        if len(steps) >= 15:
            raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB")
        return usual(objective, model, windows, ids, **words)

    steps: list[torch.Tensor] = []
    project = Project(tmp_path, WORDS)
    monkeypatch.setattr(Objective, "backward", backward)
    assert project.start() == 5
    said = capsys.readouterr()
    assert "ROLLED_BACK" not in said.out and said.err.startswith("OUT_OF_MEMORY")


def test_a_signal_after_a_bad_step_that_nobody_has_heard_of_yet_leaves_it_to_be_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict of the last step arrives while the state is saved, and must go the way of every other."""
    monkeypatch.setattr("exp.trainer.Guard", partial(Guard, reads_late=True))
    monkeypatch.setattr(signals, "_state", signals._State())
    project = Project(tmp_path, WORDS)
    break_weight_at(monkeypatch, 15, times=1)
    with monkeypatch.context() as patch:
        usual = Trainer._step

        def step(trainer: Trainer, ids: torch.Tensor):
            answer = usual(trainer, ids)
            if trainer.step_number == 15:
                signals._on_signal(signal.SIGTERM, None)
            return answer

        patch.setattr(Trainer, "_step", step)
        assert project.start() == 75
    said = capsys.readouterr()
    assert "ROLLED_BACK: to step 12" in said.out and "is saved in last.pt" in said.err


def test_a_diagnosis_after_going_back_uses_no_weights_of_the_course_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights at the start of the epoch belong to what was undone: a replay from them proves nothing."""
    usual, kept = StateKeeper.rolled_back, []

    def rolled_back(keeper: StateKeeper, trainer: Trainer, error: NumericalError) -> bool:
        before = len(trainer.epoch_start)
        answer = usual(keeper, trainer, error)
        kept.append((before > 0, len(trainer.epoch_start)))
        return answer

    project = Project(tmp_path, [*WORDS, "--train_epochs", "1"])
    monkeypatch.setattr(StateKeeper, "rolled_back", rolled_back)
    break_weight_at(monkeypatch, 6, times=1)
    assert project.start() == 0
    assert kept == [(True, 0)]
