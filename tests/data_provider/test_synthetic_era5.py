"""The embedded default: shaped like a CDS download, physical, seeded, and labelled synthetic wherever it appears."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from data_provider.era5 import open_era5, read_era5
from data_provider.prepare import PrepareConfig, prepare
from data_provider.regions import CASE, DEFAULT, weights
from data_provider.synthetic_era5 import SyntheticConfig, main, write_month, write_synthetic_era5
from data_provider.synthetic_weather import LATITUDE, LONGITUDE, elevation, generate
from data_provider.units import CORE, QUANTITIES
from utils.errors import UsageError


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One year of files."""
    folder = tmp_path_factory.mktemp("synthetic")
    write_synthetic_era5(SyntheticConfig(output=str(folder), years=(2021,), seed=0))
    return folder


def test_a_year_is_twelve_files_in_the_layout_of_the_cds(year: Path) -> None:
    """The reader of real downloads is what reads them, so it is exercised on every machine."""
    files = sorted(year.glob("*.nc"))
    assert [path.name for path in files] == [f"synthetic_era5_2021{month:02d}.nc" for month in range(1, 13)]
    with zipfile.ZipFile(files[0]) as archive:
        names = archive.namelist()
    assert names == ["data_stream-oper_stepType-instant.nc", "data_stream-oper_stepType-accum.nc"]
    with open_era5(files[1]) as file:
        assert set(file.names) == set(CORE)
        assert len(file.times) == 28 * 24
        member = file.members[1].dataset
        assert {"number", "expver"} <= set(member.variables) and member["expver"].values[0] == "0001"


def test_every_file_says_that_it_is_synthetic(year: Path) -> None:
    """Nobody may take it for ERA5, and it carries no attribution that it does not deserve."""
    for path in sorted(year.glob("*.nc")):
        with open_era5(path) as file:
            assert file.synthetic
            assert all("SYNTHETIC" in member.dataset.attrs["title"] for member in file.members)
    assert "SYNTHETIC" in (year / "SYNTHETIC.json").read_text()


def test_the_weather_is_physical(year: Path) -> None:
    """Dew point below temperature, no negative rain, low pressure over the Andes."""
    data = read_era5(sorted(year.glob("*.nc")))
    assert data.sizes["time"] == 8760
    assert float((data["t2m"] - data["d2m"]).min()) >= 0
    assert float(data["tp"].min()) == 0 and float(data["cape"].min()) == 0
    pressure = data["sp"].mean("time").values
    highest, sea = np.unravel_index(elevation().argmax(), elevation().shape), elevation() == 0
    assert pressure[highest] < 65_000 and (pressure[sea] > 100_000).all()
    for name in CORE:
        quantity = QUANTITIES[name]
        assert quantity.low <= float(data[name].min()) and float(data[name].max()) <= quantity.high
        assert float(data[name].std()) > 0


def test_equal_seeds_make_equal_files_and_others_do_not(tmp_path: Path) -> None:
    """A result on synthetic data can be repeated anywhere."""
    times = np.arange("2020-01-01T00", "2020-01-03T00", dtype="datetime64[h]")
    paths = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        path = tmp_path / f"{name}.nc"
        write_month(path, times, generate(times, seed), {"seed": seed})
        paths.append(path)
    first, second, third = (read_era5(path) for path in paths)
    assert first.equals(second) and not first.equals(third)


def test_files_that_are_there_whole_are_left_alone_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    """The second quick start must not wait, and must not trust a half-written month."""
    settings = SyntheticConfig(output=str(tmp_path), years=(2020,), seed=1)
    files = write_synthetic_era5(settings)
    before = {path: path.stat().st_mtime_ns for path in files}
    assert write_synthetic_era5(settings) == files
    assert {path: path.stat().st_mtime_ns for path in files} == before
    content = files[3].read_bytes()
    files[3].write_bytes(content[:1000])
    write_synthetic_era5(settings)
    assert files[3].read_bytes()[:4] == b"PK\x03\x04" and read_era5(files[3]).sizes["time"] == 30 * 24


@pytest.mark.parametrize("boxes", [DEFAULT, CASE], ids=["default", "case"])
def test_every_region_of_the_presets_has_cells(boxes: dict) -> None:
    """The quick start runs with either."""
    assert (weights(boxes, LATITUDE, LONGITUDE) > 0).any(axis=0).all()


def test_rain_is_neither_rare_nor_constant_and_the_table_is_labelled(year: Path, tmp_path: Path) -> None:
    """A base rate near 0 or 1 would teach nothing; every table made from it says synthetic."""
    for regions in ("default", "case"):
        path = prepare(PrepareConfig(input_dir=str(year), output=str(tmp_path / f"{regions}.nc"), regions=regions))
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert all(0.05 < rate < 0.95 for rate in sidecar["base_rate"].values())
        assert 0.3 < np.mean(list(sidecar["base_rate"].values())) < 0.8
        assert sidecar["synthetic"] == 1 and "SYNTHETIC" in sidecar["title"]
        assert "Copernicus" not in sidecar["attribution"] and sidecar["missing_features"] == []
        assert len(sidecar["feature_names"]) == 27


def test_rain_can_be_learned_but_is_no_simple_rule(year: Path, tmp_path: Path) -> None:
    """Measured on later months: better than the region's base rate, far from perfect."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    path = prepare(PrepareConfig(input_dir=str(year), output=str(tmp_path / "table.nc"), regions="case"))
    with xr.open_dataset(path) as table:
        names = json.loads(table.attrs["feature_names"])
        values = np.stack([table[name].values for name in names], axis=-1)[168:-24:3]
        label = table["rain_24h"].values[168:-24:3].astype(int)
    cut = int(len(values) * 0.7)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(values[:cut].reshape(-1, values.shape[-1]), label[:cut].ravel())
    # Eight steps of three hours: no training label reaches into the test.
    chance = model.predict_proba(values[cut + 8 :].reshape(-1, values.shape[-1]))[:, 1]
    assert 0.7 < roc_auc_score(label[cut + 8 :].ravel(), chance) < 0.95


def test_the_command_line_refuses_impossible_years(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is generated."""
    assert main(["--output", str(tmp_path / "s"), "--years", "2022", "2019"]) == 2
    assert "--years" in capsys.readouterr().err and not (tmp_path / "s").exists()
    with pytest.raises(UsageError):
        SyntheticConfig(seed=-1)
