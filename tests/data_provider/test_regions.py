"""Regions: which cells belong to a box, how they are weighted, and what a missing cell does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_provider.regions import (
    CASE,
    DEFAULT,
    Box,
    area_means,
    box_from,
    boxes_for,
    read_boxes,
    shared_cells,
    weights,
)
from utils.errors import DataError, UsageError

# The case's grid, a quarter of a degree, and the coarse one of the synthetic data.
FINE = np.arange(0.0, -18.1, -0.25), np.arange(-82.0, -67.9, 0.25)
COARSE = np.arange(0.0, -18.1, -2.0), np.arange(-82.0, -67.9, 2.0)


def test_a_mean_is_weighted_by_the_cosine_of_latitude() -> None:
    """At 60 N a cell has half the area of one at the equator: (1 x 10 + 0.5 x 40) / 1.5 = 20."""
    matrix = weights({"all": Box(north=60, west=0, south=0, east=0)}, np.array([60.0, 0.0]), np.array([0.0]))
    values = np.array([[[40.0], [10.0]]], dtype=np.float32)
    assert area_means(values, matrix)[0, 0] == pytest.approx(20.0)


def test_each_region_sees_its_own_cells_only() -> None:
    """A leak from a neighbour would make two regions' rain look alike."""
    latitude, longitude = np.array([0.0, -1.0]), np.array([10.0, 11.0])
    boxes = {"west": Box(north=0, west=10, south=-1, east=10), "east": Box(north=0, west=11, south=-1, east=11)}
    matrix = weights(boxes, latitude, longitude)
    values = np.zeros((3, 2, 2), dtype=np.float32)
    values[:, :, 1] = 7.0
    np.testing.assert_allclose(area_means(values, matrix), [[0.0, 7.0]] * 3, rtol=1e-6)


def test_a_missing_cell_empties_its_region_and_no_other() -> None:
    """0 x NaN is NaN: a plain product would empty every region; skipping the cell would change the mean in silence."""
    latitude, longitude = np.array([0.0]), np.array([10.0, 11.0, 12.0])
    boxes = {"a": Box(north=0, west=10, south=0, east=11), "b": Box(north=0, west=12, south=0, east=12)}
    values = np.array([[[1.0, 3.0, 5.0]], [[1.0, np.nan, 5.0]], [[1.0, 3.0, np.nan]]], dtype=np.float32)
    means = area_means(values, weights(boxes, latitude, longitude))
    np.testing.assert_array_equal(means, np.array([[2, 5], [np.nan, 5], [2, np.nan]], dtype=np.float32))


def test_the_sea_surface_is_averaged_over_the_sea() -> None:
    """Sea surface temperature does not exist on land; a region without sea has none."""
    latitude, longitude = np.array([0.0]), np.array([10.0, 11.0, 12.0])
    boxes = {"coast": Box(north=0, west=10, south=0, east=11), "land": Box(north=0, west=12, south=0, east=12)}
    values = np.array([[[290.0, np.nan, np.nan]]] * 2, dtype=np.float32)
    means = area_means(values, weights(boxes, latitude, longitude), missing_cells_take_no_part=True)
    np.testing.assert_array_equal(means, np.array([[290, np.nan]] * 2, dtype=np.float32))


def test_blocks_of_a_long_record_are_joined_in_order() -> None:
    """The product runs block by block to bound memory."""
    values = np.arange(5000, dtype=np.float32)[:, None, None] * np.ones((1, 1, 1), np.float32)
    matrix = weights({"a": Box(north=0, west=0, south=0, east=0)}, np.array([0.0]), np.array([0.0]))
    np.testing.assert_array_equal(area_means(values, matrix)[:, 0], np.arange(5000, dtype=np.float32))


@pytest.mark.parametrize("grid", [FINE, COARSE], ids=["quarter degree", "two degrees"])
def test_the_default_regions_share_no_cell_and_none_is_empty(grid: tuple[np.ndarray, np.ndarray]) -> None:
    """Regions that share cells share rain: scores by region would not be independent."""
    matrix = weights(DEFAULT, *grid)
    assert shared_cells(matrix, list(DEFAULT)) == []
    assert ((matrix > 0).sum(axis=1) <= 1).all() and ((matrix > 0).sum(axis=0) >= 1).all()
    np.testing.assert_allclose(matrix.sum(axis=0), 1.0)


def test_the_regions_of_the_case_are_those_of_its_notes_and_overlap() -> None:
    """They are kept as published, with their faults, and the faults are said."""
    assert CASE["costa_sur"] == Box(north=-10, west=-80, south=-18, east=-70)
    pairs = {(one, other) for one, other, _ in shared_cells(weights(CASE, *FINE), list(CASE))}
    assert ("costa_sur", "sierra_sur") in pairs and ("costa_norte", "sierra_sur") not in pairs


def test_grid_columns_are_one_region_a_longitude() -> None:
    """The real-data bar is measured on the five columns of the Yerevan files."""
    latitude, longitude = np.array([40.5, 40.25, 40.0]), np.array([44.0, 44.25])
    boxes = boxes_for("grid_columns", latitude, longitude)
    assert list(boxes) == ["lon_44", "lon_44.25"]
    assert boxes["lon_44.25"] == Box(north=40.5, west=44.25, south=40.0, east=44.25)
    assert ((weights(boxes, latitude, longitude) > 0).sum(axis=0) == 3).all()


def test_cells_are_the_grid_itself() -> None:
    """Per-cell work: every mean is the cell's own value."""
    latitude, longitude = np.array([0.0, -0.25]), np.array([-80.0, -79.75])
    matrix = weights(boxes_for("cells", latitude, longitude), latitude, longitude)
    np.testing.assert_array_equal(matrix, np.eye(4))


def test_a_region_without_cells_names_both_boxes() -> None:
    """Peru's regions on a file of Armenia."""
    with pytest.raises(DataError) as caught:
        weights(DEFAULT, np.array([40.5, 40.0]), np.array([44.0, 45.0]))
    assert caught.value.code == "REGION_EMPTY"
    assert "coast_north" in caught.value.where and "-81.625" in caught.value.where
    assert "44 to 45" in caught.value.evidence
    assert "grid_columns" in caught.value.next_command


def test_a_file_of_the_users_own_is_read(tmp_path: Path) -> None:
    """Longitudes of either convention mean the same place."""
    path = tmp_path / "my.yaml"
    path.write_text("lima: {north: -11.5, west: 282.5, south: -12.5, east: -76.5}\n")
    assert read_boxes(path) == {"lima": Box(north=-11.5, west=-77.5, south=-12.5, east=-76.5)}


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "lima: {north: 1}",
        "lima: {north: a, west: 1, south: 0, east: 2}",
        "a: {north: -5, west: 0, south: 5, east: 1}",
        "a: {north: .nan, west: 0, south: -5, east: 1}",
        ": : :",
        "",
    ],
)
def test_a_file_of_another_form_is_refused_with_an_example(tmp_path: Path, text: str) -> None:
    """North and south swapped would be an empty region found much later."""
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_boxes(path)
    assert caught.value.code == "CONFIG" and "my.yaml" in caught.value.where and "lima:" in caught.value.next_command


def test_a_misspelt_preset_is_refused() -> None:
    """It is neither a preset nor a file."""
    with pytest.raises(UsageError, match="neither a preset nor a file"):
        boxes_for("cases", *COARSE)


def test_a_box_knows_its_name_in_errors() -> None:
    """A file with thirty regions: which one is wrong?"""
    with pytest.raises(UsageError, match="region piura"):
        box_from({"north": 1}, name="piura", where="x.yaml")
