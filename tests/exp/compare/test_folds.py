"""Runs of --cross_validate are compared as one record of all their test years."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import run as program
from exp.compare import alike, entries, folds, reading
from exp.compare.costs import of_run
from exp.cross_validation import Years
from tests.exp.compare import stored
from utils.forecasts import Forecasts


def write_folds(tmp_path: Path, model: str, seeds: tuple[int, ...] = (0,), skill: float = 0.5, **flags: object) -> Path:
    """Write two years of a model and return their folder; the cut and the marks differ from year to year."""
    folder = tmp_path / "own-by_years"
    for seed in seeds:
        for year, cut in ((2023, 0.3), (2024, 0.6)):
            stored.write(
                folder,
                model,
                seed,
                first=f"{year}-01-01",
                skill=skill,
                flags={
                    "train_until": str(year - 2),
                    "validation_until": str(year - 1),
                    "test_until": str(year),
                    **flags,
                },
                splits={"train_end": f"{year - 1}-01-01T00", "validation_end": f"{year}-01-01T00"},
                scores={
                    "cut": [cut],
                    "cost": {"fit_seconds": 2.0},
                    "marks": [{"code": "NO_SKILL", "sentence": "none"}] if year == 2023 else [],
                    "test": {"references": {"climatology": {"cut": cut}, "persistence": {"cut": 0.5}}},
                },
            )
    return folder


def together(folder: Path) -> list[reading.StoredRun]:
    return folds.together(reading.read_all(reading.paths_of([str(folder)])))


def test_the_years_of_one_seed_are_one_run_and_each_keeps_its_cut(tmp_path: Path) -> None:
    """One cut for all years would have been chosen by looking at a year that another run was trained on."""
    (one, other) = together(write_folds(tmp_path, "resnet1d", seeds=(0, 1)))
    assert {one.seed, other.seed} == {0, 1}
    forecasts = one.first
    year = forecasts.init_time.astype("datetime64[Y]").astype(str)
    assert len(year) == 2 * stored.DAYS * len(stored.REGIONS)
    assert set(np.asarray(forecasts.cut)[year == "2023"]) == {0.3} and set(forecasts.cut[year == "2024"]) == {0.6}
    assert len(one.paths) == 2 and of_run(one)["training_seconds"] == 4.0
    assert one.scores["marks"] == [{"code": "NO_SKILL", "sentence": "tested on 2023: none"}]
    assert not set(reading.YEARS) & one.own_flags.keys()


def test_the_flags_that_are_left_out_are_those_of_a_fold() -> None:
    """A year that is left in would keep the folds of one model apart."""
    assert tuple(field.name for field in fields(Years)) == reading.YEARS


def test_references_keep_the_cut_of_their_year_on_the_days_that_all_have(tmp_path: Path) -> None:
    """A mask over days and a list of cuts that are not cut with them would score days with another year's cut."""
    (run,) = together(write_folds(tmp_path, "resnet1d"))
    some = set(alike.keys_of(run.test)[::3])
    (chosen,) = alike.require([run]).runs
    assert chosen.first.observed.tolist() == run.first.observed.tolist()
    chosen = alike._at(run, some)
    reference = entries.stored_reference(chosen, 0.1, "climatology")
    assert isinstance(reference, Forecasts) and len(reference.observed) == len(some) == len(chosen.first.observed)
    year = reference.init_time.astype("datetime64[Y]").astype(str)
    assert set(np.asarray(reference.cut)[year == "2024"]) == {0.6}


def test_folds_are_compared_and_shown_with_all_their_years(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest year alone would stand for a record that was made to be longer."""
    write_folds(tmp_path, "residual_mlp", skill=0.9)
    folder = write_folds(tmp_path, "resnet1d")
    output = tmp_path / "compared"
    assert program.main(["--task_name", "compare", str(folder), "--output", str(output)]) == 0
    found = json.loads((output / "comparison.json").read_text())
    assert found["instants"]["n"] == 2 * stored.DAYS * len(stored.REGIONS)
    assert found["splits"]["test_first"][:4] == "2023" and found["splits"]["test_last"][:4] == "2024"
    assert found["events"][0]["best"] == "residual_mlp" and len(found["models"][0]["runs"]) == 2
    assert "2021-12-31 … 2022-12-31" in (output / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert program.main(["--task_name", "compare", str(folder), "--ensemble"]) == 2
    assert "one for each year" in capsys.readouterr().err


def test_one_year_of_several_folders_is_compared_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Presets of one model lie in folders of their own, and a benchmark names its year."""
    folders = [
        write_folds(tmp_path / name, "resnet1d", skill=skill, d_model=width)
        for name, skill, width in (("a", 0.3, 8), ("b", 0.9, 16))
    ]
    words = ["--task_name", "compare", *map(str, folders)]
    output = tmp_path / "compared"
    assert program.main([*words, "--test_year", "2024", "--output", str(output)]) == 0
    found = json.loads((output / "comparison.json").read_text())
    assert found["splits"]["test_first"][:4] == "2024" and found["instants"]["days"] == stored.DAYS
    assert len(found["models"]) == 2 and all(len(model["runs"]) == 1 for model in found["models"])
    capsys.readouterr()
    assert program.main([*words, "--test_year", "2020"]) == 2
    assert "own-by_years tests 2023, 2024" in capsys.readouterr().err
    ordinary = stored.write(tmp_path / "ordinary", "residual_mlp", first="2023-01-01")
    assert program.main([*words, str(ordinary), "--test_year", "2024"]) == 2
    assert "ordinary tests 2023" in capsys.readouterr().err
