"""Files below a folder, linked ones too."""

from __future__ import annotations

from pathlib import Path

from data_provider import era5, series_files
from utils.files import below


def test_files_below_a_linked_folder_are_found(tmp_path: Path) -> None:
    """Drive and scratch disks are linked into a project; data that are there must not be called missing."""
    far, project = tmp_path / "far", tmp_path / "project"
    far.mkdir(), project.mkdir()
    (far / "a.nc").touch(), (project / "b.nc").touch()
    (project / "linked").symlink_to(far)
    wanted = [project / "b.nc", project / "linked" / "a.nc"]
    assert below(project) == series_files.find(project) == era5.find_files(project) == wanted


def test_a_link_to_a_folder_above_ends(tmp_path: Path) -> None:
    """A ring of links must be neither endless nor give a file twice."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.nc").touch()
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    assert below(tmp_path) == [tmp_path / "data" / "a.nc"]


def test_a_file_stands_for_itself_and_nothing_for_nothing(tmp_path: Path) -> None:
    """`--root_path FILE` is allowed, and an absent folder is told by the caller."""
    (tmp_path / "a.nc").touch()
    assert below(tmp_path / "a.nc") == [tmp_path / "a.nc"] and below(tmp_path / "absent") == []
