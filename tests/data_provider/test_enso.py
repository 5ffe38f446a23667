"""Months and their ENSO phase: NOAA's file read line by line, the five-season rule, and what is not known yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_provider.enso import EL_NINO, LA_NINA, NEUTRAL, read_oni
from tests import make_oni
from utils.errors import DataError


def phases(folder: Path, *anomalies: float) -> list[str]:
    """Phase of each month of a record that begins in January 2000."""
    return read_oni(make_oni.write(folder, anomalies)).phase.tolist()


def months(*names: str) -> np.ndarray:
    return np.array(names, "datetime64[M]").astype("datetime64[s]")


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as told:
        read_oni(path)
    assert "cpc.ncep.noaa.gov/data/indices/oni.ascii.txt" in told.value.next_command
    return told.value


def test_five_seasons_make_an_event_and_four_do_not(tmp_path: Path) -> None:
    """A month that is warm for a season or two is weather, not El Nino: the rule needs five."""
    four, five = [0.0, *[0.6] * 4, 0.0, 0.1], [0.0, *[0.6] * 5, 0.0]
    assert phases(tmp_path, *four) == [NEUTRAL] * 7
    assert phases(tmp_path, *five) == [NEUTRAL, *[EL_NINO] * 5, NEUTRAL]
    assert phases(tmp_path, *(-value for value in five)) == [NEUTRAL, *[LA_NINA] * 5, NEUTRAL]


def test_half_a_degree_counts_and_a_hundredth_less_does_not(tmp_path: Path) -> None:
    """The rule says +0.5 or more; a strict comparison would lose events that just reach it."""
    assert phases(tmp_path, 0.0, *[0.5] * 5, 0.49) == [NEUTRAL, *[EL_NINO] * 5, NEUTRAL]
    assert phases(tmp_path, 0.0, 0.5, 0.5, 0.49, 0.5, 0.5, 0.0) == [NEUTRAL] * 7


def test_warm_and_cold_seasons_do_not_make_one_run(tmp_path: Path) -> None:
    """Two warm and three cold seasons in a row are five seasons beyond half a degree, and no event."""
    assert phases(tmp_path, 0.0, 0.7, 0.7, -0.7, -0.7, -0.7, 0.0) == [NEUTRAL] * 7


def test_a_season_belongs_to_its_centre_month(tmp_path: Path) -> None:
    """DJF is January of the year in the file and NDJ December; one month off would move the wet season."""
    oni = read_oni(make_oni.write(tmp_path, [0.0] * 7 + [0.9] * 5 + [0.0] * 2))
    found = oni.phase_of(months("2000-07", "2000-08", "2000-12", "2001-01"))
    assert found.tolist() == [NEUTRAL, EL_NINO, EL_NINO, NEUTRAL]


def test_a_run_at_an_end_of_the_record_is_neutral_so_far_and_named(tmp_path: Path) -> None:
    """Four warm seasons that reach the newest one may become an El Nino: that is unknown, not decided."""
    oni = read_oni(make_oni.write(tmp_path, [-0.8, -0.8, 0.0, 0.0, 0.6, 0.6, 0.6, 0.6]))
    assert oni.phase.tolist() == [NEUTRAL] * 8
    every = months(*(f"2000-{month:02d}" for month in range(1, 9)))
    assert oni.undecided_months(every) == ["2000-01", "2000-02", "2000-05", "2000-06", "2000-07", "2000-08"]
    decided = read_oni(make_oni.write(tmp_path, [0.0, *[0.6] * 5]))
    assert decided.undecided_months(every) == [], "five seasons are an event, however long it will last"


def test_a_missing_value_ends_a_run_and_leaves_it_undecided(tmp_path: Path) -> None:
    """-99.9 read as a number would be the strongest La Nina ever."""
    oni = read_oni(make_oni.write(tmp_path, [0.0, 0.6, 0.6, -99.9, 0.6, 0.6, 0.0]))
    assert set(oni.phase.tolist()) == {NEUTRAL}
    assert oni.undecided_months(months("2000-02", "2000-06", "2000-07")) == ["2000-02", "2000-06"]
    with pytest.raises(DataError, match="too short") as told:
        oni.phase_of(months("2000-03", "2000-04"))
    assert told.value.code == "ONI_TOO_SHORT" and "no value for 2000-04" in told.value.evidence


def test_months_that_the_file_does_not_have_are_named(tmp_path: Path) -> None:
    """An old copy of the file would put the newest year into some phase, or end in an IndexError."""
    oni = read_oni(make_oni.write(tmp_path, [0.0] * 12))
    with pytest.raises(DataError) as told:
        oni.phase_of(months("1999-12", "2000-01", "2001-01", "2001-02"))
    assert told.value.exit_code == 3 and told.value.code == "ONI_TOO_SHORT"
    assert "no value for 1999-12, 2001-01, 2001-02" in told.value.evidence
    assert "from 2000-01 to 2000-12" in told.value.evidence
    with pytest.raises(DataError, match="too short") as told:
        oni.phase_of(months(*(f"2003-{month:02d}" for month in range(1, 10))))
    assert "2003-06 and 3 more" in told.value.evidence


def test_fewer_than_five_seasons_decide_nothing(tmp_path: Path) -> None:
    """With four seasons every month would be called neutral, for want of a fifth."""
    error = refused(make_oni.write(tmp_path, [0.0] * 4))
    assert error.code == "ONI_TOO_SHORT" and "4 seasons" in error.evidence


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "empty"),
        ("<!DOCTYPE html><html><body>404</body></html>", "html"),
        ("SEAS,YR,TOTAL,ANOM\nDJF,1950,24.72,-1.53\n", "csv"),
        (" YR   MON  TOTAL  ClimAdjust  ANOM\n1950   1   24.56  26.18  -1.62\n", "YR   MON"),
        (" 1950 2024\n1950 -1.53 -1.34 -1.16 -1.18 -1.07 -0.85 -0.54 -0.42 -0.39 -0.44 -0.60 -0.80\n", "1950 2024"),
        (" SEAS  YR   TOTAL   ANOM\n", "no line follows"),
        (" SEAS  YR   TOTAL   ANOM\n  DJF 1950  24.72  -1.53\n  JAN 1950  25.17  -1.34\n", "line 3"),
        (" SEAS  YR   TOTAL   ANOM\n  DJF 1950  24.72  -1.53\n  FMA 1950  25.75  -1.16\n", "1950-03 follows 1950-01"),
        (" SEAS  YR   TOTAL   ANOM\n  DJF 1950  24.72  -1.53\n  JFM 1950  25.17  warm\n", "line 3"),
        (" SEAS  YR   TOTAL   ANOM\n  DJF 1950  24.72  -1.53\n  JFM 1950  25.17  nan\n", "line 3"),
        (" SEAS  YR   TOTAL   ANOM\n  DJF 1950  -1.53  24.72\n", "an anomaly of 24.72"),
    ],
)
def test_a_file_of_another_format_is_refused_with_what_it_is(tmp_path: Path, content: str, found: str) -> None:
    """Other indices have files much like this one; their columns must not be taken for the anomaly."""
    path = tmp_path / "oni.txt"
    path.write_text(content)
    error = refused(path)
    assert error.code == "ONI_FORMAT" and error.exit_code == 3
    assert found in error.evidence and str(path) in error.where


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path: Path) -> None:
    """A traceback of Python says nothing about where the file is published."""
    assert refused(tmp_path / "none.txt").code == "ONI_FILE"
    assert "folder" in refused(tmp_path).evidence


def test_the_published_file_gives_the_known_events(shared: Path) -> None:
    """El Nino of 1997/98 and 2015/16, three years of La Nina from 2020 on, and the El Nino of 2023/24."""
    folder = shared / "data" / "oni"
    if not folder.is_dir():
        pytest.skip(f"no Oceanic Nino Index at {folder}")
    oni = read_oni(folder / "oni.ascii.txt")
    wanted = {"1997-12": EL_NINO, "2015-12": EL_NINO, "1988-12": LA_NINA, "2010-12": LA_NINA, "2020-12": LA_NINA,
              "2022-10": LA_NINA, "2023-12": EL_NINO, "2013-06": NEUTRAL, "2024-08": NEUTRAL}  # fmt: skip
    assert oni.phase_of(months(*wanted)).tolist() == list(wanted.values())
    assert oni.first == np.datetime64("1950-01") and oni.last == np.datetime64("2026-01")
    older = read_oni(folder / "oni.ascii_to-2024-NDJ.txt")
    assert older.undecided_months(months("2024-11", "2024-12")) == ["2024-12"]
