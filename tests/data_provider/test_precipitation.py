"""The label: sums worked by hand, complete periods only, thresholds in millimetres."""

from __future__ import annotations

import numpy as np
import pytest

from data_provider.precipitation import (
    accumulation_for,
    check_thresholds,
    classes,
    period_sums,
    require_hours,
    require_record,
    require_two_classes,
)
from data_provider.time_axis import examine
from tests.make_era5 import hours
from utils.errors import DataError, UsageError


def sums(millimetres: np.ndarray, times: np.ndarray, lead: int = 24, accumulation: int = 24, **more: int) -> np.ndarray:
    """Sums of one region."""
    axis = examine(times, where="test")
    result = period_sums(
        (millimetres / 1000)[:, None].astype(np.float64),
        times,
        axis,
        lead_time_hours=lead,
        accumulation_hours=accumulation,
        **more,
    )
    return result[:, 0]


def test_the_24_hour_sum_takes_the_24_hours_after_t_and_not_t_itself() -> None:
    """Hour k holds k mm. At t = 0: 1 + 2 + ... + 24 = 300; at t = 1: 2 + ... + 25 = 324."""
    result = sums(np.arange(30.0), hours(30))
    assert result[0] == pytest.approx(300.0)
    assert result[1] == pytest.approx(324.0)


def test_rain_at_t_belongs_to_the_past() -> None:
    """The value at t is the hour that ends at t: it is known, and must not be in the label."""
    rain = np.zeros(50)
    rain[10] = 5.0
    result = sums(rain, hours(50))
    assert result[10] == 0.0
    np.testing.assert_allclose(result[:10], 5.0)


def test_the_hour_that_ends_at_t_plus_24_is_inside() -> None:
    """The period is closed on the right: rain in hour 24 counts at t = 0 but not at t = 24."""
    rain = np.zeros(60)
    rain[24] = 2.0
    result = sums(rain, hours(60))
    assert result[0] == pytest.approx(2.0) and result[23] == pytest.approx(2.0) and result[24] == 0.0


def test_a_longer_lead_takes_the_last_hours_before_it() -> None:
    """Lead 48, accumulation 24: hours 25 to 48 of 0, 1, 2 ...: 25 + ... + 48 = 876."""
    assert sums(np.arange(60.0), hours(60), lead=48)[0] == pytest.approx(876.0)


def test_a_short_accumulation_is_the_end_of_the_lead() -> None:
    """Lead 24, accumulation 6: 19 + 20 + 21 + 22 + 23 + 24 = 129."""
    assert sums(np.arange(30.0), hours(30), accumulation=6)[0] == pytest.approx(129.0)


def test_the_last_24_hours_have_no_label() -> None:
    """Their period is not over; a partial sum would teach that records end dry."""
    result = sums(np.ones(30), hours(30))
    assert np.isfinite(result[:6]).all() and np.isnan(result[6:]).all()


def test_a_missing_hour_leaves_every_period_it_lies_in_without_a_label() -> None:
    """23 of 24 hours are not a 24-hour sum."""
    rain = np.ones(80)
    rain[40] = np.nan
    result = sums(rain, hours(80))
    assert np.isnan(result[16:40]).all()
    assert np.isfinite(result[:16]).all() and np.isfinite(result[40:56]).all()


def test_a_period_never_reaches_across_a_gap_as_if_its_sides_were_neighbours() -> None:
    """Without counting hours, 12 hours before and 12 after a week's gap would make one day."""
    times = np.concatenate([hours(36), hours(36, start="2020-01-10T00")])
    result = sums(np.ones(72), times)
    assert np.isnan(result[12:36]).all()
    np.testing.assert_allclose(result[:12], 24.0)
    np.testing.assert_allclose(result[36:48], 24.0)


def test_incomplete_hours_are_summed_only_when_asked_for() -> None:
    """Two stamps a day: the sum of 2 of 24 hours, or no label at all."""
    times = hours(10, start="2020-01-01T06", step=12)
    np.testing.assert_allclose(sums(np.ones(10), times, stamps_needed=2)[:8], 2.0)
    assert np.isnan(sums(np.ones(10), times, stamps_needed=2)[8:]).all()


def test_an_amount_equal_to_a_threshold_is_rain() -> None:
    """0.1 mm is rain; 0.0999 mm is not."""
    assert classes(np.array([0.0, 0.0999, 0.1, 5.0]), [0.1]).tolist() == [0, 0, 1, 1]


def test_float32_storage_does_not_decide_what_rain_is() -> None:
    """0.0001 m in float32 is 0.0999999975 mm."""
    stored = np.float32(0.0001)
    assert float(stored) * 1000 < 0.1
    assert classes(np.array([float(stored) * 1000]), [0.1]).tolist() == [1]


def test_several_thresholds_make_several_classes_and_missing_is_minus_one() -> None:
    """Class = number of thresholds reached."""
    label = classes(np.array([0.05, 0.5, 1.0, 30.0, np.nan]), [0.1, 1, 10])
    assert label.tolist() == [0, 1, 2, 3, -1] and label.dtype == np.int8


@pytest.mark.parametrize(("threshold", "amount"), [(0.0001, "0.1 mm"), (0.001, "1 mm")])
def test_a_threshold_in_metres_is_recognised(threshold: float, amount: str) -> None:
    """The case's notes once mixed the two, and every label became 0."""
    with pytest.raises(UsageError) as caught:
        check_thresholds([threshold])
    assert f"threshold_mm is in millimetres; {threshold:g} looks like metres: {amount}" in caught.value.what


@pytest.mark.parametrize("bad", [[], [0.0], [-1.0], [1.0, 0.1], [1.0, 1.0], [float("nan")], [float("inf")]])
def test_thresholds_that_are_no_rising_amounts_are_refused(bad: list[float]) -> None:
    """Falling thresholds would give classes no meaning."""
    with pytest.raises(UsageError):
        check_thresholds(bad)


def test_accumulation_defaults_to_the_shorter_of_lead_and_a_day() -> None:
    """settled.md: min(24, lead)."""
    assert [accumulation_for(lead, None) for lead in (6, 24, 72)] == [6, 24, 24]


def test_an_accumulation_longer_than_the_lead_is_refused() -> None:
    """The label would hold rain that fell before the forecast was made."""
    with pytest.raises(UsageError) as caught:
        accumulation_for(12, 24)
    assert "12" in caught.value.evidence and "24" in caught.value.evidence


@pytest.mark.parametrize(("lead", "accumulation", "first", "last"), [(6, 6, 1, 6), (12, 12, 1, 12), (72, 24, 49, 72)])
def test_each_lead_sums_the_hours_that_end_with_it(lead: int, accumulation: int, first: int, last: int) -> None:
    """By hand: 6 h takes t+1 ... t+6, and 72 h the third day alone, not the three days before it."""
    assert accumulation_for(lead, None) == accumulation
    found = sums(np.arange(100.0), hours(100), lead, accumulation)
    for t in (0, 7, 20):
        assert found[t] == pytest.approx(sum(range(t + first, t + last + 1)))
    assert np.isnan(found[100 - last :]).all() and not np.isnan(found[: 100 - last]).any()


def test_a_lead_longer_than_the_record_is_refused_by_name() -> None:
    """No label could be made, and "no label period is complete" would send the user looking for gaps."""
    first, last = np.datetime64("2020-01-01T00", "ns"), np.datetime64("2020-01-03T00", "ns")
    require_record(48, first, last, where="x")
    with pytest.raises(DataError) as caught:
        require_record(49, first, last, where="x")
    assert caught.value.code == "LEAD_TOO_LONG" and caught.value.exit_code == 3
    assert "49" in caught.value.where and "spans 48 h" in caught.value.evidence


def test_one_class_only_is_refused_with_counts_and_the_likely_unit() -> None:
    """Rain in metres under a unit of millimetres makes every label dry."""
    amounts = np.array([[0.0], [0.0004], [np.nan]])
    with pytest.raises(DataError) as caught:
        require_two_classes(classes(amounts, [0.1]), amounts, [0.1])
    assert caught.value.code == "ONE_CLASS"
    assert "2 of 2 labels" in caught.value.evidence and "metres" in caught.value.evidence


def test_all_wet_is_refused_too() -> None:
    """Rain in millimetres under a unit of metres makes every label wet."""
    amounts = np.array([[50.0], [400.0]])
    with pytest.raises(DataError, match="one class"):
        require_two_classes(classes(amounts, [0.1]), amounts, [0.1])


def test_06_and_18_utc_cannot_make_a_day() -> None:
    """2 of 24 hours: the message counts them."""
    with pytest.raises(DataError) as caught:
        require_hours(
            hours(20, start="2020-01-01T06", step=12), accumulation_hours=24, allow_incomplete=False, where="x"
        )
    assert caught.value.code == "LABEL_HOURS"
    assert "06, 18 UTC" in caught.value.what and "2 of 24" in caught.value.evidence
    assert "--allow_incomplete_hours" in caught.value.next_command


def test_the_flag_takes_the_hours_there_are_and_hourly_rain_needs_no_flag() -> None:
    """The number of stamps is what the label is made of, and is stored."""
    assert require_hours(hours(20, step=6), accumulation_hours=24, allow_incomplete=True, where="x") == 4
    assert require_hours(hours(20), accumulation_hours=24, allow_incomplete=False, where="x") == 24


def test_monthly_means_are_refused_even_with_the_flag() -> None:
    """No stamp of a month lies in most days: there is nothing to label as what it is."""
    months = np.arange("2020-01", "2021-06", dtype="datetime64[M]").astype("datetime64[ns]")
    with pytest.raises(DataError, match="monthly or daily means") as caught:
        require_hours(months, accumulation_hours=24, allow_incomplete=True, where="x")
    assert "--allow_incomplete_hours" not in caught.value.next_command
