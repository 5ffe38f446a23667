"""Files that are not what their names say, that harm the library, or that reach out of their archive.

Each fault is a real file given to the real command: the cause code, the exit code and the state of the disk.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from data_provider.prepare import prepare_for_prediction
from tests.make_era5 import ACCUM, INSTANT, LONGITUDE, field, hours, new_layout, write_month, write_packed
from tests.make_faulty_files import write_half_precision
from tests.processes import children, runs
from utils.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
# Two boxes that overlap: the reader says so at its first file, by which a test knows that it reads.
BOXES = "a: {north: 0, west: -80, south: -0.5, east: -79.75}\nb: {north: 0, west: -80, south: -0.5, east: -79.75}\n"


class Place:
    """A folder with raw files, a table from an earlier run, a scratch folder, and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.raw, self.scratch = folder, folder / "raw", folder / "scratch"
        for name in ("raw", "scratch", "out"):
            (folder / name).mkdir()
        (folder / "out" / "table.csv").write_text("an earlier table")
        (folder / "boxes.yaml").write_text(BOXES)
        self.words = [sys.executable, "-m", "data_provider.prepare", "--input_dir", str(self.raw)]
        self.words += ["--output", str(folder / "out" / "table.nc"), "--regions", str(folder / "boxes.yaml")]
        self.environment = os.environ | {"TMPDIR": str(self.scratch), "OMP_NUM_THREADS": "1"}

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Content and time of change of every file below the folder, and of links."""
        return {
            str(path.relative_to(self.folder)): (path.lstat().st_mtime_ns, path.read_bytes())
            for path in sorted(self.folder.rglob("*"))
            if not path.is_dir()
        }

    def run(self) -> tuple[int, str]:
        """Exit code and what was said on stderr."""
        answer = subprocess.run(self.words, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        assert "Traceback" not in answer.stderr + answer.stdout
        return answer.returncode, answer.stderr

    def refused(self, code: str, *says: str) -> str:
        """Run, demand exit code 3, the cause code, all four parts, and a disk as it was; return what was said."""
        before = self.files()
        exit_code, said = self.run()
        assert exit_code == 3 and said.startswith(f"{code}: ")
        assert all(f"\n  {part}" in said for part in ("where:", "evidence:", "next:"))
        assert [text for text in says if text not in said] == []
        assert self.files() == before and list(self.scratch.iterdir()) == []
        return said

    @contextmanager
    def reading(self) -> Iterator[tuple[subprocess.Popen[str], int]]:
        """The command while it reads: the process and the id of its reading child."""
        process = subprocess.Popen(
            self.words, cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "overlap" in line:
                break
        (child,) = children(process.pid)
        try:
            yield process, child
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty place."""
    return Place(tmp_path)


def cut(path: Path, share: float) -> None:
    """Keep the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def whole_hdf5(path: Path) -> None:
    """500 hours of temperature as NetCDF-4."""
    new_layout({"t2m": field("t2m", 500)}, hours(500)).to_netcdf(path, engine="netcdf4")


def whole_netcdf3(path: Path) -> None:
    """500 hours of temperature as NetCDF-3."""
    write_packed(path, "t2m", field("t2m", 500), hours(500))


def damaged_inside(path: Path, longitude: np.ndarray = LONGITUDE) -> None:
    """A file with checksums whose temperatures are overwritten; its header and its rain are whole."""
    data = new_layout({name: field(name, 2000) for name in ("tp", "t2m")}, hours(2000), longitude=longitude)
    checked = {"zlib": True, "fletcher32": True}
    # Without the text of expver nearly all bytes are temperatures: rain is mostly zeros and packs well.
    data.drop_vars("expver").to_netcdf(path, engine="netcdf4", encoding={"tp": checked, "t2m": checked})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)


def many_months(folder: Path, n: int = 60) -> None:
    """`n` files, the same month over and over, so that reading takes a while."""
    first = write_month(folder, "m00.nc", n=480)
    for number in range(1, n):
        shutil.copy(first, folder / f"m{number:02}.nc")


def test_whole_files_raise_no_alarm(place: Place) -> None:
    """The clean run: a check that refuses good files is worse than none."""
    write_month(place.raw, "zip.nc", n=240)
    new_layout({"msl": field("msl", 240)}, hours(240)).to_netcdf(place.raw / "hdf5.nc", engine="netcdf4")
    write_packed(place.raw / "netcdf3.nc", "tcwv", field("tcwv", 240), hours(240))
    exit_code, said = place.run()
    assert exit_code == 0 and said == ""
    assert (place.folder / "out" / "table.nc").is_file() and list(place.scratch.iterdir()) == []


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
@pytest.mark.parametrize(("write", "kind"), [(whole_hdf5, "hdf5"), (whole_netcdf3, "netcdf3")])
def test_d10_a_truncated_file_is_called_truncated(
    place: Place, write: Callable[[Path], None], kind: str, share: float
) -> None:
    """The C library fills the lost end of a NetCDF-3 file with zeros: rain that never fell."""
    path = place.raw / "era5.nc"
    write(path)
    cut(path, share)
    place.refused("DATA_FILE", str(path), f"kind found: truncated {kind}", "download the file again")


@pytest.mark.parametrize(
    ("content", "kind", "advice"),
    [
        (b"<!DOCTYPE html><html><body>Please log in</body></html>", "html", "open the file in a browser"),
        (b"year,month,rain\n2020,1,3.5\n2020,2,4.0\n", "csv", "run.py --data_path FILE.csv"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 123\n", "git-lfs pointer", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "png", "remove it from the folder"),
        (b"", "empty", "download the file again"),
    ],
)
def test_d10_a_foreign_file_named_nc_is_called_what_it_is(place: Place, content: bytes, kind: str, advice: str) -> None:
    """The library's words "Unknown file format" send people looking for the wrong fault."""
    path = place.raw / "era5.nc"
    path.write_bytes(content)
    place.refused("DATA_FILE", str(path), f"kind found: {kind}", "kind expected: NetCDF-4, NetCDF-3 or a ZIP", advice)


def test_d10_a_truncated_member_is_named_with_its_archive(place: Place) -> None:
    """The temporary name of a member means nothing to the user."""
    whole_hdf5(place.folder / "whole.nc")
    with zipfile.ZipFile(place.raw / "era5.nc", "w") as archive:
        archive.writestr(INSTANT, (place.folder / "whole.nc").read_bytes()[:-100])
    place.refused("DATA_FILE", f"era5.nc, member {INSTANT}", "truncated hdf5")


def test_all_unreadable_files_are_named_at_once_before_any_is_read(place: Place) -> None:
    """One message a run means one night a file."""
    many_months(place.raw, 3)
    for number in range(13):
        (place.raw / f"bad{number:02}.nc").write_bytes(b"<html>error</html>" if number % 2 else b"")
    cut(place.raw / "m01.nc", 0.5)
    with zipfile.ZipFile(place.raw / "a.nc", "w") as archive:
        archive.writestr("../a.nc", b"")
    said = place.refused("DATA_FILE", "15 of 17 files cannot be read", "and 5 more", "(ARCHIVE_UNSAFE) a.nc holds")
    assert all(f"{place.raw}/bad{number:02}.nc" in said for number in range(9)) and "bad09.nc" not in said
    assert said.count("delete the file and download it again") == 1


def test_damage_behind_whole_headers_is_named_for_all_files_at_once(place: Place) -> None:
    """These are found only by reading; the good file between them is read, and the table is not written."""
    damaged_inside(place.raw / "a.nc")
    write_month(place.raw, "b.nc", n=240)
    damaged_inside(place.raw / "c.nc")
    place.refused("DATA_FILE", "2 of 3 files cannot be read", f"{place.raw}/a.nc", f"{place.raw}/c.nc", "damaged")


def test_a_damaged_file_of_another_grid_is_named_and_not_the_good_one(place: Place) -> None:
    """Damage can pass for another grid: the good file behind it must not be called the odd one."""
    damaged_inside(place.raw / "a.nc", longitude=LONGITUDE + 0.25)
    write_month(place.raw, "b.nc", n=240)
    said = place.refused("DATA_FILE", f"where:    {place.raw}/a.nc", "damaged")
    assert "DATA_GRID" not in said


def test_a_file_that_promises_more_than_the_memory_holds_is_refused_by_name(place: Place) -> None:
    """A few kilobytes can declare a hundred terabytes; the system would end the program without a word."""
    path = place.raw / "era5.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 24), ("latitude", 1_000_000), ("longitude", 1_000_000)):
            file.createDimension(name, size)
            file.createVariable(name, "f4", (name,), zlib=True)[:] = np.arange(size, dtype=np.float32)
        file["time"].units = "hours since 2020-01-01"
        file.createVariable("t2m", "f4", ("time", "latitude", "longitude"), zlib=True, chunksizes=(1, 100, 100))
    place.refused("DATA_FILE", str(path), "t2m does not fit into memory", "9.6e+13 bytes")


def test_d11_a_real_file_that_crashes_the_library_is_named(place: Place) -> None:
    """A number format that the NetCDF library does not know ends it with a segmentation fault."""
    write_month(place.raw, "good.nc", n=240)
    path = write_half_precision(place.raw / "half.nc")
    opened = subprocess.run(
        [sys.executable, "-c", "import sys, xarray; xarray.load_dataset(sys.argv[1])", str(path)],
        capture_output=True,
        check=False,
    )
    if opened.returncode >= 0:
        pytest.skip("this NetCDF library survives the file")
    place.refused("DATA_FILE", "the reader crashed at half.nc", str(path), "SIGSEGV", "move it to another folder")


def test_d11_prediction_survives_a_real_file_that_crashes_the_library(place: Place) -> None:
    """A forecast service must not fall over a file; prediction reads by another way than preparation."""
    write_month(place.raw, "good.nc", n=240)
    assert place.run()[0] == 0
    path = write_half_precision(place.raw / "half.nc")
    attributes = json.loads((place.folder / "out" / "table.json").read_text())
    try:
        prepare_for_prediction(place.raw, attributes)
    except DataError as error:
        assert error.code == "DATA_FILE" and "the reader crashed at half.nc" in error.what and error.where == str(path)
    else:
        pytest.skip("this NetCDF library survives the file")


def test_d11_a_crash_in_the_middle_is_reported_with_the_file_that_was_read(place: Place) -> None:
    """The signal is real, sent to the reading process as the kernel would; the other files are still looked at."""
    many_months(place.raw)
    before = place.files()
    with place.reading() as (process, child):
        os.kill(child, signal.SIGSEGV)
        shown, said = process.communicate(timeout=120)
    assert process.returncode == 3 and said.startswith("DATA_FILE: the reader crashed at m")
    assert "SIGSEGV" in said and f"where:    {place.raw}/m" in said and "Traceback" not in said + shown
    assert place.files() == before and list(place.scratch.iterdir()) == [] and not runs(child)


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["alone", "group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_reader_and_program_with_75(
    place: Place, number: int, send: Callable[[int, int], None]
) -> None:
    """Ctrl-C goes to all processes of the terminal: no traceback of the child, no orphan, no unpacked file."""
    many_months(place.raw)
    before = place.files()
    with place.reading() as (process, child):
        send(process.pid, number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75 and said.startswith("INTERRUPTED: stopped by") and "Traceback" not in said
    assert place.files() == before and list(place.scratch.iterdir()) == [] and not runs(child)


def archive_of(path: Path, name: str, content: bytes, mode: int = 0) -> None:
    """A ZIP of one harmless and one other member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ACCUM, b"harmless")
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content, compress_type=zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("name", "content", "mode", "reason"),
    [
        ("../evil.nc", b"bad", 0, "a path that leaves the folder (..)"),
        ("a/../../../evil.nc", b"bad", 0, "a path that leaves the folder (..)"),
        ("{outside}/evil.nc", b"bad", 0, "an absolute path"),
        ("link.nc", b"/etc/passwd", stat.S_IFLNK | 0o777, "a link"),
        ("bomb.nc", bytes(20_000_000), 0, "a bomb"),
    ],
    ids=["parent", "deep parent", "absolute", "link", "bomb"],
)
def test_d12_a_harmful_archive_is_refused_before_a_byte_is_written(
    place: Place, name: str, content: bytes, mode: int, reason: str
) -> None:
    """A path in an archive must never decide what is overwritten, nor its size how full the disk gets."""
    name = name.replace("{outside}", str(place.folder))
    archive_of(place.raw / "era5.nc", name, content, mode)
    if reason == "a bomb":
        with zipfile.ZipFile(place.raw / "era5.nc") as archive:
            assert archive.infolist()[1].file_size / archive.infolist()[1].compress_size > 900
    place.refused("ARCHIVE_UNSAFE", f"member {name!r}", reason, "nothing was written", "download it again")
