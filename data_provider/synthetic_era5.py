"""The embedded default: SYNTHETIC files in the shape of ERA5, one a month, in the layout of the Climate Data Store.

Each file is a ZIP named .nc with an instant and an accum member, `valid_time`, `number` and `expver`: the same reader
reads them as reads real downloads. They say everywhere that they are synthetic: in the file name, in the title and in
the global attribute `synthetic`. See docs/data.md.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm import tqdm

from data_provider.synthetic_weather import LATITUDE, LONGITUDE, Fields, generate
from data_provider.units import QUANTITIES
from utils import flags, signals
from utils.files import sha256, storage_error
from utils.flag_rules import require

logger = logging.getLogger(__name__)

RECORD = "SYNTHETIC.json"
# Counted up whenever the generator makes other numbers, so that older files are made again.
GENERATOR_VERSION = 1
TITLE = "SYNTHETIC data in the shape of ERA5, made by a random generator; not ERA5, not observed, not Copernicus data"
MEMBERS = {
    "data_stream-oper_stepType-instant.nc": ("t2m", "d2m", "sp", "msl", "u10", "v10", "tcwv", "cape"),
    "data_stream-oper_stepType-accum.nc": ("tp",),
}
# One date for all members makes equal archives from equal data.
ZIP_DATE = (2000, 1, 1, 0, 0, 0)
EXAMPLES = """example:
  python -m data_provider.synthetic_era5 --years 2019 2022 --seed 0
  python -m data_provider.prepare --input_dir datasets/synthetic_era5 --output datasets/processed/synthetic_peru.nc

What you get: hourly weather on a 2-degree grid over 0..-18 N, -82..-68 E, nine variables, seasons, a day and a night,
a coast, the Andes and a jungle, a slow mode like El Nino. It exists so that everything can be tried without an account
and without a download; nothing learned on it says anything about Peru. Real data: docs/data.md"""


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """What to generate, and where to."""

    output: str = field(default="datasets/synthetic_era5", metadata={"help": "folder for the monthly files"})
    years: tuple[int, ...] = field(default=(2019, 2022), metadata={"help": "one year, or FIRST LAST"})
    seed: int = field(default=0, metadata={"help": "seed of the random generator; equal seeds make equal files"})

    def __post_init__(self) -> None:
        """Refuse years and seeds that cannot be."""
        years = self.years
        known = 1 <= len(years) <= 2 and list(years) == sorted(years) and 1900 <= years[0] <= years[-1] <= 2200
        require(self, "years", known, "takes one year, or the first and the last")
        require(self, "seed", self.seed >= 0, "cannot be negative")


def write_synthetic_era5(config: SyntheticConfig) -> list[Path]:
    """Write one file a month, or nothing where the same files are already there whole.

    Args:
        config: the flags.

    Returns:
        the monthly files, in order of time.

    Raises:
        StorageError: ``STORAGE_DENIED`` or ``STORAGE_FULL``; what is there then is never taken for whole.
    """
    folder = Path(config.output)
    recipe = {"generator_version": GENERATOR_VERSION, "years": list(config.years), "seed": config.seed}
    present = _files_already_whole(folder, recipe)
    if present:
        logger.info("synthetic files are already in %s (%d months); nothing to do", folder, len(present))
        return present
    logger.info("generating synthetic weather for %s", " to ".join(map(str, config.years)))
    first, last = config.years[0], config.years[-1]
    times = np.arange(f"{first}-01-01T00", f"{last + 1}-01-01T00", dtype="datetime64[h]")
    fields = generate(times, config.seed)
    months = times.astype("datetime64[M]")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Without the record, files that an interrupted run left behind are never taken for whole ones.
        (folder / RECORD).unlink(missing_ok=True)
        hashes = {}
        for month in tqdm(np.unique(months), desc="writing", unit="month", disable=None):
            rows = np.flatnonzero(months == month)
            chosen = slice(rows[0], rows[-1] + 1)
            path = folder / f"synthetic_era5_{str(month).replace('-', '')}.nc"
            write_month(path, times[chosen], {name: values[chosen] for name, values in fields.items()}, recipe)
            hashes[path.name] = sha256(path)
        record = {"title": TITLE, "recipe": recipe, "files": hashes}
        temporary = folder / f".{RECORD}.part"
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        temporary.replace(folder / RECORD)
    except (OSError, RuntimeError) as error:
        raise storage_error(error, folder / "synthetic_era5") from error
    logger.info("wrote %d synthetic files to %s", len(hashes), folder)
    return [folder / name for name in hashes]


def write_month(path: Path, times: np.ndarray, fields: Fields, recipe: dict[str, object]) -> None:
    """Write one ZIP named .nc with an instant and an accum member, through a temporary name.

    Args:
        path: the file.
        times: `(T,)` datetime64, hourly.
        fields: short name -> `(T, latitude, longitude)`.
        recipe: how the data were made; stored in the members.
    """
    temporary = path.with_name(f".{path.name}.part")
    # Members are compressed inside, so the archive only stores them, as the Climate Data Store does.
    with (
        tempfile.TemporaryDirectory(prefix="synthetic-era5-") as folder,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for member, names in MEMBERS.items():
            inner = Path(folder) / member
            _write_member(inner, times, {name: fields[name] for name in names}, recipe)
            archive.writestr(zipfile.ZipInfo(member, ZIP_DATE), inner.read_bytes())
    temporary.replace(path)


def _write_member(path: Path, times: np.ndarray, fields: Fields, recipe: dict[str, object]) -> None:
    dataset = xr.Dataset(
        {
            name: (
                ("valid_time", "latitude", "longitude"),
                values,
                {"units": QUANTITIES[name].unit.replace("s-1", "s**-1").replace("m-2", "m**-2").replace("g-1", "g**-1")}
                | {"long_name": f"synthetic {QUANTITIES[name].long_name}"},
            )
            for name, values in fields.items()
        },
        coords={
            "number": ((), 0, {"long_name": "ensemble member numerical id", "units": "1"}),
            "valid_time": (
                "valid_time",
                times.astype("datetime64[ns]"),
                {"standard_name": "time", "long_name": "time"},
            ),
            "latitude": ("latitude", LATITUDE, {"units": "degrees_north", "standard_name": "latitude"}),
            "longitude": ("longitude", LONGITUDE, {"units": "degrees_east", "standard_name": "longitude"}),
            "expver": ("valid_time", np.full(len(times), "0001")),
        },
        attrs={
            "title": TITLE,
            "synthetic": np.int32(1),
            "synthetic_recipe": json.dumps(recipe),
            "Conventions": "CF-1.7",
            "institution": "none: synthetic data",
        },
    )
    packing = {
        name: {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": fields[name].shape} for name in fields
    }
    time_units: dict[str, dict[str, object]] = {"valid_time": {"units": "seconds since 1970-01-01", "dtype": "int64"}}
    dataset.to_netcdf(path, engine="netcdf4", encoding=packing | time_units)


def _files_already_whole(folder: Path, recipe: dict[str, object]) -> list[Path]:
    """The files of an earlier run of the same recipe, when every one of them is unchanged; else none."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["recipe"] != recipe:
            return []
        paths = [folder / name for name in record["files"]]
        return paths if all(sha256(path) == record["files"][path.name] for path in paths) else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    description = "Write SYNTHETIC hourly weather of a Peru-shaped box as monthly files laid out like ERA5 downloads."
    return flags.run_tool(
        "-m data_provider.synthetic_era5",
        description,
        SyntheticConfig,
        write_synthetic_era5,
        argv=argv,
        epilog=EXAMPLES,
    )


if __name__ == "__main__":
    signals.install()
    sys.exit(main())
