"""What watch, guard and callbacks remember outlives a cut: put back, they go on as if nothing had been."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from exp import verified_states
from exp.callbacks import BestCheckpoint, EpochWarnings
from exp.guard import Guard, StepRecord
from exp.step_watch import StepWatch
from tests.exp.test_guard import Bench
from tests.exp.test_step_watch import NAN, blames, outcome, watch
from utils import checkpoint
from utils.errors import NumericalError


def put_back(before: StepWatch, explain=None) -> StepWatch:
    """Return a new watch with what another one remembers."""
    after = StepWatch(before.config, 100, explain)
    after.load_state(before.state())
    return after


def test_bad_steps_in_a_row_are_counted_across_a_cut() -> None:
    """A run that is cut every few minutes would never come to ten in a row."""
    first = watch(max_skipped_steps=50)
    for number in range(6):
        first.see(outcome(number, NAN))
    second = put_back(first)
    for number in range(6, 9):
        second.see(outcome(number, NAN))
    with pytest.raises(NumericalError, match="allowed steps"):
        second.see(outcome(9, NAN))


def test_the_budget_of_an_epoch_is_not_given_anew_by_a_cut() -> None:
    """Nor are its overflows, spikes and norms forgotten, which stand in its row."""
    first = watch(max_skipped_steps=3)
    for number, loss in enumerate([0.7] * 9 + [NAN, 0.7, NAN, 0.7, 90.0, NAN]):
        first.see(outcome(number, loss))
    first.see(outcome(15, 0.7, NAN, scale=1024.0))
    second = put_back(first)
    assert second.row() == first.row() and second.row()["spikes"] == second.row()["scaler_overflows"] == 1
    second.see(outcome(16))
    with pytest.raises(NumericalError, match="4 of 3"):
        second.see(outcome(17, NAN))


def test_what_is_usual_is_known_after_a_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A spike right after a resumption is a spike."""
    first = watch()
    for number in range(10):
        first.see(outcome(number, 0.7))
    second = put_back(first)
    with caplog.at_level(logging.WARNING):
        second.see(outcome(10, 90.0))
    assert "SPIKE" in caplog.text and list(second.recent)[:10] == list(first.recent)


def test_a_cause_found_before_a_cut_is_told_when_another_one_ends_the_run() -> None:
    """The last cause names the end; the first one of the epoch is named beside it, and not asked for again."""
    first = watch(blames("DATA_NAN")[0], max_skipped_steps=1)
    first.see(outcome(1, NAN))
    explain, asked = blames("GRAD_NONFINITE")
    second = put_back(first, explain)
    assert second.verdict is not None and second.verdict.code == "DATA_NAN"
    with pytest.raises(NumericalError, match="A cell") as error:
        second.see(outcome(2, NAN))
    assert error.value.code == "GRAD_NONFINITE" and "another cause, DATA_NAN" in error.value.evidence
    assert len(asked) == 1 and second.first_verdict is not None and second.first_verdict.code == "DATA_NAN"


def test_a_cause_of_an_epoch_before_stays_the_first_but_not_that_of_this_one() -> None:
    """Mixed up, the row of an epoch without a bad step would name the cause of another."""
    first = watch(blames("DATA_NAN")[0])
    first.see(outcome(1, NAN))
    first.start_epoch()
    second = put_back(first)
    assert second.verdict is None and second.first_verdict is not None


def guard_of(bench: Bench) -> Guard:
    """Return another guard over the same network."""
    return Guard(bench.model, bench.optimizer, clip_grad_norm=1.0, scaler=bench.scaler, reads_late=True)


def test_the_guard_knows_the_last_good_step_and_a_scale_that_is_too_low() -> None:
    """Without the one a verdict cannot take back the last update, without the other the scale falls below its floor."""
    bench = Bench(scale=1.0)
    bench.step(torch.randn(6, 4))
    for _ in range(2):
        bench.step(torch.full((6, 4), NAN))
    bench.guard.read_pending()
    state = bench.guard.state()
    assert state["is_scale_too_low"] is True and state["last_applied"]["number"] == 0
    other = guard_of(bench)
    other.load_state(state)
    again = other.state()
    told = ("number", "epoch", "batch", "learning_rates")
    assert again["is_scale_too_low"] and [again["last_applied"][name] for name in told] == [0, 1, 1, [0.1]]
    assert isinstance(other.last_applied, StepRecord) and other.last_applied.ids.tolist() == list(range(6))


def test_a_step_nobody_has_heard_of_is_forgotten_with_the_state_before_it() -> None:
    """Gone back to, its outcome would be counted against a step that is taken again."""
    bench = Bench()
    state = bench.guard.state()
    bench.step(torch.full((6, 4), NAN))
    bench.guard.load_state(state)
    bench.guard.read_pending()
    assert bench.outcomes == []


def test_two_undefined_epochs_end_a_run_that_was_cut_between_them(tmp_path: Path) -> None:
    """A run without a score would go on for as long as it is cut once an epoch."""
    stages = SimpleNamespace(first_epochs=[1])
    trainer = SimpleNamespace(watch=SimpleNamespace(first_verdict=None), stages=stages, epoch=1)
    first, second = (BestCheckpoint(tmp_path, "loss", 5) for _ in range(2))
    first.on_epoch_end(trainer, {"epoch": 1, "validation_loss": None})
    second.load_state(first.state())
    with pytest.raises(NumericalError, match="not finite"):
        second.on_epoch_end(trainer, {"epoch": 2, "validation_loss": None})


@pytest.mark.parametrize("epochs_before", [1, 2, 3])
def test_a_loss_that_rises_across_a_cut_is_told(epochs_before: int) -> None:
    """Three epochs in a row are three epochs, wherever the cut is."""
    rows = [{"epoch": number, "train_loss": 0.5, "validation_loss": 0.1 * number} for number in range(1, 5)]
    first, second = EpochWarnings(0.5), EpochWarnings(0.5)
    for row in rows[:epochs_before]:
        first.on_epoch_end(None, row)
    second.load_state(first.state())
    for row in rows[epochs_before:]:
        second.on_epoch_end(None, row)
    assert [row["warnings"] for row in rows] == [[], [], [], ["LOSS_RISING"]]


def test_states_without_their_json_are_tried_by_name_the_newest_first(tmp_path: Path) -> None:
    """An old epoch taken for the newest would cost all that came after it."""
    names = ["checkpoint_epoch_2.pt", "last_good.pt", "checkpoint_epoch_10.pt", "last.pt"]
    for name in [*names, "best.pt", "checkpoint_epoch_3.pt.json"]:
        (tmp_path / name).touch()
    newest_first = ["last.pt", "last_good.pt", "checkpoint_epoch_10.pt", "checkpoint_epoch_2.pt"]
    assert [path.name for path in verified_states._candidates(tmp_path)] == newest_first


def test_of_states_of_one_step_last_pt_comes_first_and_a_file_without_json_after_one_that_tells(tmp_path: Path) -> None:
    """The same step twice is no reason to read another file than the usual one."""
    for name in ("last.pt", "checkpoint_epoch_1.pt"):
        checkpoint.save(tmp_path / name, {}, metadata={"step": 4})
    (tmp_path / "checkpoint_epoch_9.pt").touch()
    found = [path.name for path in verified_states._candidates(tmp_path)]
    assert found == ["last.pt", "checkpoint_epoch_1.pt", "checkpoint_epoch_9.pt"]
