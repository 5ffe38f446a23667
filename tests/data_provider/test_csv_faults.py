"""A CSV that is damaged or written for another program is refused with its line and the code that mends it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from data_provider.rain_table import read_table
from tests import make_table
from utils.errors import DataError


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.exit_code == 3 and str(path) in caught.value.where
    return caught.value


def mended(error: DataError) -> None:
    """Run the line that a message offers."""
    line = next(part for part in error.next_command.split(": ") if part.startswith("pd."))
    exec(line, {"pd": pd})


def test_a_file_that_was_cut_off_is_refused_with_its_last_line(tmp_path: Path) -> None:
    """Half a number in the last line was taken for a temperature of 29 kelvin."""
    path = make_table.write(tmp_path, content=make_table.frame(n_times=100))
    whole = path.read_text()
    for keep in (whole[:-50], whole[: len(whole) // 2].rsplit(",", 2)[0] + "\n"):
        path.write_text(keep)
        error = refused(path)
        number = len(keep.splitlines())
        assert error.code == "DATA_FILE" and "ends in the middle of a line" in error.what
        assert error.where.endswith(f", line {number}")
    path.write_text(whole[:-50])
    mended(refused(path))
    assert read_table(path).present.sum() == 199


def test_a_file_without_a_last_line_break_or_with_blank_lines_is_whole(tmp_path: Path) -> None:
    """Editors leave the last line break out, or add some."""
    path = make_table.write(tmp_path, content=make_table.frame(n_times=100).assign(rain_24h=1.0))
    whole = path.read_text()
    for text in (whole.rstrip("\n"), whole + "\n\n"):
        path.write_text(text)
        assert read_table(path).present.sum() == 200


@pytest.mark.parametrize("decimal", [".", ","])
def test_semicolons_are_recognised_with_the_line_that_mends_them(tmp_path: Path, decimal: str) -> None:
    """Spreadsheets in Spanish write decimals with commas, which look like the separator of another table."""
    path = tmp_path / "table.csv"
    make_table.frame(n_times=50).to_csv(path, sep=";", decimal=decimal, index=False)
    error = refused(path)
    assert error.code == "DATA_TABLE" and "semicolons" in error.what
    assert ("decimal=','" in error.next_command) is (decimal == ",")
    mended(error)
    assert read_table(path).features == make_table.FEATURES


def test_utf_16_is_named_with_the_line_that_converts_it(tmp_path: Path) -> None:
    """Spreadsheets call it "Unicode text"; a byte that cannot be decoded tells nobody."""
    path = tmp_path / "table.csv"
    make_table.frame(n_times=50).to_csv(path, index=False, encoding="utf-16")
    error = refused(path)
    assert error.code == "DATA_FILE" and "UTF-16" in error.what
    mended(error)
    assert len(read_table(path).times) == 50


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    """A filter that matched nothing leaves a header; "fewer than two times" hides that."""
    error = refused(make_table.write(tmp_path, content=make_table.frame().iloc[:0]))
    assert error.what == "The table has no rows."


def test_a_text_cell_is_named_by_line_and_value(tmp_path: Path) -> None:
    """One `--` among a hundred thousand numbers cannot be found by the name of its column."""
    content = make_table.frame(n_times=100).astype({"sp": object})
    content.loc[[57, 60], "sp"] = "--"
    error = refused(make_table.write(tmp_path, content=content))
    assert "sp '--' in line 59 (2 of 200 cells)" in error.evidence and "column sp" in error.where
    assert error.next_command.startswith("leave these cells blank: df['sp'] = pd.to_numeric(")
    content = make_table.frame(n_times=100).assign(note="hello")
    error = refused(make_table.write(tmp_path, content=content))
    assert error.next_command.startswith("leave the column out: df.drop(columns=['note'])")


@pytest.mark.parametrize(("form", "day_first"), [("%d/%m/%Y %H:%M", True), ("%m/%d/%Y %H:%M", False)])
def test_dates_with_the_year_last_are_named_with_how_to_read_them(tmp_path: Path, form: str, day_first: bool) -> None:
    """Read the wrong way round, the first twelve days of every month would trade places with the months."""
    content = make_table.frame(n_times=1000)
    content["timestamp"] = content["timestamp"].dt.strftime(form)
    error = refused(make_table.write(tmp_path, content=content))
    assert error.where.endswith("line 2") and "'01/01/2019 00:00'" in error.evidence
    assert f"dayfirst={day_first}" in error.next_command


def test_mending_the_file_is_told_before_making_another(tmp_path: Path) -> None:
    """A user's own measurements are not replaced by a download."""
    said = refused(make_table.write(tmp_path, content=make_table.frame().drop(columns="region"))).next_command
    assert said.index("mend the file") < said.index("prepare_era5.sh")
