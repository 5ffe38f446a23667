"""Bad steps are counted, explained once an epoch, and end the run when there are too many; spikes are only told."""

from __future__ import annotations

import logging

import pytest
import torch

from exp.diagnosis.verdict import Verdict
from exp.guard import GuardConfig, Outcome, StepRecord
from exp.step_watch import StepWatch
from utils.errors import NumericalError
from utils.findings import Finding
from utils.reproducibility import RandomState

NAN = float("nan")
STATE = RandomState.capture(torch.device("cpu"))


def outcome(number: int, loss: float = 0.7, norm: float = 0.5, scale: float | None = None) -> Outcome:
    bad = not (loss == loss and abs(norm) < float("inf") and norm == norm)
    step = StepRecord(number, 1, number + 1, torch.arange(3), STATE, (1e-3,))
    return Outcome(step, loss, norm, bad, scale, is_scale_lowered=bad and scale is not None)


def watch(explain=None, steps_per_epoch: int = 100, **flags) -> StepWatch:
    return StepWatch(GuardConfig(**flags), steps_per_epoch, explain)


def blames(code: str):
    asked: list[Outcome] = []

    def explain(seen: Outcome) -> Verdict:
        asked.append(seen)
        return Verdict(finding=Finding(code=code, severity="error", what="A cell.", where="row 7", evidence="1 NaN"))

    return explain, asked


def test_the_budget_is_a_share_of_the_epoch_but_at_least_three_steps() -> None:
    """The fourth skip of a short epoch stops the run with the exit code of numerical faults."""
    seen = watch(max_skipped_steps=0.01)
    with pytest.raises(NumericalError) as caught:
        for number in range(10):
            seen.see(outcome(2 * number, loss=NAN))
            seen.see(outcome(2 * number + 1))
    assert caught.value.code == "SKIP_BUDGET" and caught.value.exit_code == 5 and seen.skipped == 4
    assert "4 of 3" in str(caught.value)
    assert watch(max_skipped_steps=0).budget == 0, "none means none"
    assert watch(steps_per_epoch=1000).budget == 10 and watch(max_skipped_steps=7).budget == 7


def test_ten_in_a_row_always_stop() -> None:
    """However large the budget: ten in a row is no accident."""
    seen = watch(max_skipped_steps=1000)
    with pytest.raises(NumericalError):
        for number in range(11):
            seen.see(outcome(number, norm=float("inf")))
    assert seen.skipped == 10


def test_nine_in_a_row_and_a_good_one_begin_anew() -> None:
    """Single bad batches of a long epoch do not add up to a row."""
    seen = watch(max_skipped_steps=1000)
    for number in range(30):
        seen.see(outcome(number, loss=0.7 if number % 10 == 9 else NAN))
    assert seen.skipped == 27


def test_the_first_bad_step_of_an_epoch_is_explained_and_gives_the_end_its_name() -> None:
    """A run that ends with a count instead of a cause sends its user guessing for weeks."""
    explain, asked = blames("DATA_NAN")
    seen = watch(explain)
    with pytest.raises(NumericalError) as caught:
        for number in range(4):
            seen.see(outcome(number, loss=NAN))
    assert [seen.step.number for seen in asked] == [0, 3], "the first of the epoch, and the one that ends the run"
    assert caught.value.code == "DATA_NAN" and caught.value.exit_code == 5
    assert "another cause" not in caught.value.evidence
    assert "SKIP_BUDGET: 4 of 3" in str(caught.value) and "row 7" in str(caught.value)
    assert seen.row()["skip_cause"] == "DATA_NAN"
    seen.start_epoch()
    seen.see(outcome(5, loss=NAN))
    assert len(asked) == 3, "the next epoch asks again: its cause may be another"


def test_a_run_ends_under_the_name_of_the_step_that_ended_it_and_tells_the_first_cause_too() -> None:
    """A missing cell early in the epoch would be blamed for a weight that broke later: a confident wrong verdict."""
    codes = iter(["DATA_NAN", "GRAD_HUGE"])
    seen = watch(lambda _: blames(next(codes))[0](outcome(0)), max_skipped_steps=1000)
    with pytest.raises(NumericalError) as caught:
        seen.see(outcome(0, loss=NAN))
        seen.see(outcome(1))
        for number in range(2, 20):
            seen.see(outcome(number, norm=float("inf")))
    assert caught.value.code == "GRAD_HUGE" and "another cause, DATA_NAN: row 7" in caught.value.evidence
    assert seen.first_verdict is not None and seen.first_verdict.code == "DATA_NAN"


def test_the_policy_stop_ends_at_the_first_bad_step() -> None:
    """Some would rather look at once than lose an epoch."""
    explain, _ = blames("LOSS_NONFINITE")
    with pytest.raises(NumericalError, match="--nan_policy stop"):
        watch(explain, nan_policy="stop").see(outcome(3, loss=NAN))


def test_weights_that_are_not_finite_end_the_run_at_once() -> None:
    """No later step can heal them."""
    explain, _ = blames("WEIGHT_NONFINITE")
    with pytest.raises(NumericalError) as caught:
        watch(explain, max_skipped_steps=50).see(outcome(3, loss=NAN))
    assert caught.value.code == "WEIGHT_NONFINITE"


def test_a_scaler_overflow_is_counted_apart() -> None:
    """It is float16 finding its scale, not a fault."""
    seen = watch()
    for number in range(30):
        seen.see(outcome(number, norm=float("inf"), scale=1024.0))
    assert seen.row()["scaler_overflows"] == 30 and seen.skipped == 0
    with pytest.raises(NumericalError):
        for number in range(10):
            seen.see(outcome(number, norm=float("inf"), scale=1.0))


def test_a_loss_ten_times_the_usual_is_a_spike_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """A spike is a reason to look, not to stop."""
    seen = watch()
    with caplog.at_level(logging.WARNING):
        for number in range(20):
            seen.see(outcome(number, loss=0.69))
        seen.see(outcome(20, loss=6.8))
        assert seen.spikes == 0, "nearly ten times is not yet a spike"
        seen.see(outcome(20, loss=7.0))
    assert seen.spikes == 1 and "SPIKE: loss 7" in caplog.text and "batch 21" in caplog.text


def test_the_first_losses_of_a_run_are_no_measure_of_a_spike() -> None:
    """The very first loss may be small by luck; seven steps of it are no habit."""
    seen = watch()
    for number in range(7):
        seen.see(outcome(number, loss=0.05))
    seen.see(outcome(7, loss=0.7))
    assert seen.spikes == 0


def test_no_more_than_the_first_steps_of_an_epoch_are_kept_for_taking_them_again() -> None:
    """Each holds the state of the generators: kept for every step they would fill the memory."""
    seen = watch()
    for number in range(9):
        seen.see(outcome(number))
    assert [step.number for step in seen.first_steps] == [0, 1, 2]
    seen.start_epoch()
    seen.see(outcome(9))
    assert [step.number for step in seen.first_steps] == [9]


def test_a_gradient_a_hundred_times_the_clip_value_is_a_spike(caplog: pytest.LogCaptureFixture) -> None:
    """Clipping hides it from the weights, not from the user."""
    seen = watch(clip_grad_norm=0.5)
    with caplog.at_level(logging.WARNING):
        seen.see(outcome(0, norm=49.0))
        seen.see(outcome(1, norm=51.0))
    assert seen.spikes == 1 and "gradient norm 51" in caplog.text


def test_three_spikes_of_an_epoch_are_named_and_the_rest_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each would push everything else off the screen."""
    seen = watch(clip_grad_norm=0.5)
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            seen.see(outcome(number, norm=51.0))
        seen.end_epoch(1)
    assert caplog.text.count("SPIKE: gradient norm") == 3 and "SPIKE: 5 in epoch 1" in caplog.text


def test_without_clipping_no_gradient_is_a_spike() -> None:
    """A hundred times a clip value of 0 is 0: every step would be one."""
    seen = watch(clip_grad_norm=0)
    seen.see(outcome(0, norm=51.0))
    assert seen.spikes == 0 and seen.row()["clipped_share"] == 0


def test_frequent_large_gradients_bring_the_advice_to_lower_the_rate(caplog: pytest.LogCaptureFixture) -> None:
    """The notes' rule of a norm of 10, with a count behind it."""
    seen = watch()
    with caplog.at_level(logging.WARNING):
        for number in range(10):
            seen.see(outcome(number, norm=11.0 if number < 2 else 1.0))
        seen.end_epoch(1)
    assert "GRADIENT_NORM" in caplog.text and "20 %" in caplog.text and "--learning_rate by 30 to 50" in caplog.text
    row = seen.row()
    assert row["gradient_norm_median"] == 1.0 and row["gradient_norm_max"] == 11.0
    assert row["clipped_share"] == pytest.approx(0.2)


def test_an_epoch_with_skips_ends_with_count_cause_and_next_step(caplog: pytest.LogCaptureFixture) -> None:
    """The last line of an epoch is what a user who was away reads first."""
    explain, _ = blames("DATA_NAN")
    seen = watch(explain)
    with caplog.at_level(logging.WARNING):
        seen.see(outcome(0, loss=NAN))
        seen.see(outcome(1))
        seen.end_epoch(1)
    assert "SKIPPED: 1 steps of epoch 1" in caplog.text and "cause:    DATA_NAN" in caplog.text
