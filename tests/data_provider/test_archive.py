"""ZIP archives: what the Climate Data Store sends is unpacked, what could harm is refused before a byte is written.

Parent folders, absolute paths, links and bombs, through the command: test_file_faults.py.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from data_provider.archive import unpack
from utils.errors import DataError

MEMBER = "data_stream-oper_stepType-instant.nc"


def write(path: Path, members: dict[str, bytes], *, mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, compress_type=method)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "inside" / "target"
    folder.mkdir(parents=True)
    return folder


def everything_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_netcdf_members_are_unpacked_in_order_and_others_left_alone(tmp_path: Path, target: Path) -> None:
    """A licence text beside the data must not be taken for data."""
    archive = write(tmp_path / "a.nc", {MEMBER: b"one", "licence.txt": b"text", "data_1.nc": b"two"})
    members = unpack(archive, target)
    assert [(member.name, member.path.read_bytes()) for member in members] == [(MEMBER, b"one"), ("data_1.nc", b"two")]


@pytest.mark.parametrize(
    "name",
    ["C:\\evil.nc", "\\\\host\\evil.nc", "..\\evil.nc"],
)
def test_a_member_that_leaves_the_folder_is_refused_and_nothing_is_written(
    tmp_path: Path, target: Path, name: str
) -> None:
    """A path in an archive must never decide where a file of the user is overwritten."""
    archive = write(tmp_path / "a.nc", {MEMBER: b"good", name: b"bad"})
    before = everything_below(tmp_path)
    with pytest.raises(DataError) as caught:
        unpack(archive, target)
    assert caught.value.code == "ARCHIVE_UNSAFE"
    assert "evil.nc" in caught.value.where
    assert everything_below(tmp_path) == before


def test_a_crowd_of_members_is_refused(tmp_path: Path, target: Path) -> None:
    """A million empty members would fill the inodes of the disk."""
    archive = write(tmp_path / "a.nc", {f"{i}.nc": b"" for i in range(201)})
    with pytest.raises(DataError) as caught:
        unpack(archive, target)
    assert caught.value.code == "ARCHIVE_UNSAFE"


def test_an_archive_without_netcdf_names_what_it_holds(tmp_path: Path, target: Path) -> None:
    """The user asked for GRIB by mistake: the members' names say so."""
    archive = write(tmp_path / "a.nc", {"data.grib": b"GRIB"})
    with pytest.raises(DataError) as caught:
        unpack(archive, target)
    assert caught.value.code == "DATA_FILE"
    assert "data.grib" in caught.value.evidence


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_archive_is_called_truncated(tmp_path: Path, target: Path, share: float) -> None:
    """The central directory stands at the end: a download that was cut off has none."""
    archive = write(tmp_path / "a.nc", {MEMBER: bytes(range(256)) * 40}, method=zipfile.ZIP_STORED)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match="truncated or damaged") as caught:
        unpack(archive, target)
    assert caught.value.code == "DATA_FILE"


def test_a_flipped_byte_is_found_by_its_checksum(tmp_path: Path, target: Path) -> None:
    """A member that changed on the way must not become weather."""
    archive = write(tmp_path / "a.nc", {MEMBER: bytes(10_000)}, method=zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[5000] ^= 1
    archive.write_bytes(data)
    with pytest.raises(DataError) as caught:
        unpack(archive, target)
    assert caught.value.code == "DATA_FILE"
