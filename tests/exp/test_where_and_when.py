"""Scores by ENSO phase and latitude: from the flag to scores.json, and what is said of what is not there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import run as program
from data_provider.enso import read_oni
from exp import where_and_when
from exp.where_and_when import Surroundings
from tests import make_oni, make_table
from utils import verification
from utils.errors import DataError
from utils.event_scores import score
from utils.forecasts import ClassForecasts, Forecasts
from utils.verification import format_table

LATITUDE = {"north": -4.0, "middle": -8.0, "south": -12.0}
# El Nino from January to May 2000, La Nina from August to December.
TWO_EVENTS = [0.8] * 5 + [0.0] * 2 + [-0.9] * 5


def forecasts(n_days: int = 366, regions: tuple[str, ...] = tuple(LATITUDE), seed: int = 0) -> Forecasts:
    """One forecast a day and region from January 2000 on."""
    generator = np.random.default_rng(seed)
    n = n_days * len(regions)
    observed = generator.integers(0, 2, n)
    return Forecasts(
        init_time=np.repeat(np.datetime64("2000-01-01") + np.arange(n_days), len(regions)).astype("datetime64[s]"),
        region=np.tile(regions, n_days),
        probability=np.clip(0.3 * observed + 0.7 * generator.random(n), 0, 1),
        observed=observed,
        climatology=np.full(n, 0.5),
        persistence=generator.integers(0, 2, n).astype(float),
    )


def completed(folder: Path, made: Forecasts, anomalies: list[float]) -> dict:
    about = Surroundings(LATITUDE, read_oni(make_oni.write(folder, anomalies)))
    return where_and_when.complete(verification.score_table(made), made, about)


def test_each_phase_is_scored_with_its_own_months(tmp_path: Path) -> None:
    """A month in the wrong phase would mix the wet season of one with that of another."""
    made = forecasts()
    found = completed(tmp_path, made, TWO_EVENTS)
    json.dumps(found, allow_nan=False)
    assert list(found["by_enso"]) == ["el_nino", "neutral", "la_nina"]
    warm = made.select(made.init_time < np.datetime64("2000-06-01"))
    assert found["by_enso"]["el_nino"] == score(warm)
    assert sum(each["n"] for each in found["by_enso"].values()) == len(made.observed)
    assert found["enso"]["months"] == {"el_nino": 5, "neutral": 2, "la_nina": 5}
    assert found["enso"]["calendar_months"]["el_nino"] == ["01", "02", "03", "04", "05"]
    assert "El Nino here is of months 01 02 03 04 05, La Nina of 08 09 10 11 12" in format_table(found)
    difference = found["enso_difference"]["roc_auc"]
    values = [found["by_enso"][name]["roc_auc"] for name in ("el_nino", "la_nina")]
    assert difference["difference"] == pytest.approx(values[0] - values[1]) and len(difference["interval"]) == 2


def test_a_phase_that_the_test_does_not_have_is_said_and_no_error(tmp_path: Path) -> None:
    """A single test year has seldom both phases."""
    found = completed(tmp_path, forecasts(), [0.8] * 5 + [0.0] * 7)
    assert set(found["by_enso"]) == {"el_nino", "neutral"} and found["enso_difference"] is None
    assert "no month of la_nina in these forecasts" in format_table(found)


def test_months_not_decided_yet_are_counted_as_neutral_and_named(tmp_path: Path) -> None:
    """Four warm seasons at the end of the file are not an El Nino yet, nor are they surely none."""
    found = completed(tmp_path, forecasts(), [0.0] * 8 + [0.7] * 4)
    assert set(found["by_enso"]) == {"neutral"}
    assert found["enso"]["undecided"] == ["2000-09", "2000-10", "2000-11", "2000-12"]


def test_each_threshold_has_its_own_phases_and_gradient(tmp_path: Path) -> None:
    """Heavy rain may hang on El Nino where light rain does not."""
    made = forecasts()
    probability = np.stack([1 - made.probability, made.probability * 0.6, made.probability * 0.4], axis=1)
    several = ClassForecasts(
        init_time=made.init_time, region=made.region, probability=probability, observed=made.observed * 2,
        climatology=probability, persistence=probability, threshold_mm=(0.1, 5),
    )  # fmt: skip
    about = Surroundings(LATITUDE, read_oni(make_oni.write(tmp_path, TWO_EVENTS)))
    found = where_and_when.complete(verification.score_table(several), several, about)["thresholds"]
    for number, name in enumerate(("0.1 mm", "5 mm")):
        alone = several.exceedance(number)
        expected = score(alone.select(alone.init_time < np.datetime64("2000-06-01")))
        assert found[name]["by_enso"]["el_nino"] == expected and found[name]["gradient"]["reason"] is None


def test_seasons_and_hours_are_scored_with_their_own_forecasts() -> None:
    """December belongs to the wet season with the months after it, and an hour is that of the init time in UTC."""
    made = forecasts()
    table = verification.score_table(made)
    assert list(table["by_season"]) == ["wet", "dry"] and list(table["by_hour"]) == ["00"]
    month = made.init_time.astype("datetime64[M]").astype(int) % 12 + 1
    assert table["by_season"]["wet"] == score(made.select(np.isin(month, (12, 1, 2, 3))))
    shifted = Forecasts(**{**vars(made), "init_time": made.init_time + np.timedelta64(18, "h")})
    assert list(verification.score_table(shifted)["by_hour"]) == ["18"]


def test_a_group_with_one_class_is_said_to_be_undefined_and_the_rest_is_made() -> None:
    """A dry season without rain has no ROC AUC; it must neither be 0 nor end the run."""
    made = forecasts()
    month = made.init_time.astype("datetime64[M]").astype(int) % 12 + 1
    dry = Forecasts(**{**vars(made), "observed": np.where(np.isin(month, (12, 1, 2, 3)), made.observed, 0)})
    table = verification.score_table(dry)
    assert table["by_season"]["dry"]["roc_auc"] is None and table["by_month"]["06"]["roc_auc"] is None
    assert table["by_season"]["wet"]["roc_auc"] is not None and table["overall"]["roc_auc"] is not None
    line = next(line for line in format_table(table).splitlines() if line.startswith("Apr-Nov"))
    assert "-" in line.split()


def test_the_printed_table_stays_within_a_screen(tmp_path: Path) -> None:
    """Months, hours and a hundred grid cells would push the overall scores out of sight."""
    found = completed(tmp_path, forecasts(), TWO_EVENTS)
    text = format_table(found)
    assert len(text.splitlines()) <= 45 and all(len(line) <= 140 for line in text.splitlines())
    assert "by month" not in text and "by hour" not in text
    assert "Dec-Mar" in text and "El Nino minus La Nina" in text and "per degree of latitude" in text
    many = verification.score_table(forecasts(n_days=10, regions=tuple(f"cell_{number}" for number in range(40))))
    assert "and 28 more in scores.json" in format_table(many)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, without_figures: None) -> Path:
    """A folder with a small table of 2019 whose regions' latitudes are known."""
    folder = tmp_path_factory.mktemp("enso")
    table = make_table.frame(n_times=1400, step_hours=6, regions=tuple(LATITUDE))
    make_table.write(folder, content=table)
    (folder / "table.json").write_text(json.dumps({"region_latitude": LATITUDE}))
    return folder


def words(folder: Path, *more: str) -> list[str]:
    return [
        "--model", "climatology", "--root_path", str(folder), "--data_path", "table.csv", "--seq_len", "20",
        "--sample_stride_hours", "24", "--checkpoints", str(folder / "runs"), *more,
    ]  # fmt: skip


def test_the_flag_leads_to_scores_by_phase_and_a_run_without_it_can_get_them_later(project: Path) -> None:
    """The index may be found after the training; the run must not be trained again for it."""
    assert program.main(words(project)) == 0
    (path,) = project.glob("runs/*/*/scores.json")
    before = json.loads(path.read_text())["test"]
    assert "by_enso" not in before and before["gradient"]["reason"] is None
    oni = make_oni.write(project, [0.0] * 6 + [0.9] * 6, first_year=2019)
    assert program.main(["--is_training", "0", "--checkpoints", str(project / "runs"), "--oni", str(oni)]) == 0
    (again,) = project.glob("runs/*/*/scored-*/scores.json")
    after = json.loads(again.read_text())["test"]
    assert "el_nino" in after["by_enso"] and after["enso"]["file"] == "oni.ascii.txt"
    assert after["overall"] == before["overall"]


def test_an_index_that_is_no_use_ends_with_3_before_the_training(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told after hours of training, it would have cost them."""
    runs = len(list(project.glob("runs/*/*")))
    foreign, old = tmp_path / "nino34.txt", make_oni.write(tmp_path, [0.0] * 12, first_year=2018)
    foreign.write_text(" YR   MON  TOTAL  ANOM\n1950   1   24.56  -1.62\n")
    for path, code in ((foreign, "ONI_FORMAT"), (old, "ONI_TOO_SHORT"), (tmp_path / "none", "ONI_FILE")):
        assert program.main(words(project, "--oni", str(path))) == 3
        shown = capsys.readouterr().err
        assert shown.startswith(code) and "cpc.ncep.noaa.gov" in shown
    assert len(list(project.glob("runs/*/*"))) == runs


def test_months_that_the_index_lacks_are_told_with_the_flag(project: Path, tmp_path: Path) -> None:
    """The same for whoever uses the function."""
    from data_provider.rain_table import read_table

    table = read_table(project / "table.csv")
    oni = make_oni.write(tmp_path, [0.0] * 12, first_year=2018)
    with pytest.raises(DataError, match="too short"):
        where_and_when.surroundings(str(oni), table, table.times)
    assert where_and_when.surroundings(None, table, table.times) == Surroundings(LATITUDE)
