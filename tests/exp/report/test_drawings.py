"""Charts, map and calendar show the numbers they are given, where they belong."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from exp.report import calendar, geography, words
from exp.report.chart import Axis, Chart, nice_ticks
from exp.report.record import Cases
from scripts import natural_earth

ENGLISH = words.read("en")
PERU = {"north": (0.0, -81.0, -9.0, -70.0), "south": (-9.0, -80.0, -18.0, -69.0)}


def test_a_point_lies_where_the_axes_say() -> None:
    """A chart that is turned round or shifted looks just as convincing."""
    chart = Chart(Axis(0, 10, "x"), Axis(0, 2, "y"))
    chart.dots([5], [2], "forecast")
    dot = ET.fromstring(chart.svg("")).find("circle")
    assert dot is not None
    middle = (40 + 360 - 12) / 2
    assert (float(dot.get("cx", 0)), float(dot.get("cy", 0))) == (pytest.approx(middle), 26)


def test_a_missing_value_leaves_a_gap_and_words_are_escaped() -> None:
    """A line drawn through a missing epoch shows a value nobody measured; a name with < would break the page."""
    chart = Chart(Axis(0, 3, "<x> & y"), Axis(0, 1, "y"))
    chart.line([0, 1, 2, 3], [0.1, np.nan, 0.3, 0.4], "forecast")
    drawing = ET.fromstring(chart.svg("a < b"))
    (line,) = [path for path in drawing.iter("path") if "line" in (path.get("class") or "")]
    assert (line.get("d") or "").count("M") == 2
    assert "<x> & y" in [text.text for text in drawing.iter("text")]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-0.5, 0.4, [-0.4, -0.2, 0, 0.2, 0.4]), (3, 3, [3])],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    """Ticks at 0.1333 are read wrong."""
    assert nice_ticks(low, high) == expected


def test_a_logarithmic_axis_puts_equal_ratios_equally_far_apart() -> None:
    """Gradient norms of 1, 10 and 100 must be equally spaced, or one spike hides everything."""
    axis = Axis(1, 100, "", is_log=True)
    assert axis.place(np.array([1, 10, 100]), 0, 100).tolist() == [0, 50, 100]
    assert [value for value, _ in axis.marked()] == [1, 10, 100]


def test_boxes_lie_true_to_each_other_on_the_map() -> None:
    """North is up and east is right, and a degree is as long across as it is there, cos(latitude) of one upwards."""
    drawn = geography.skill_map(PERU, {"north": 0.3, "south": -0.2, "elsewhere": None}, ENGLISH)
    north, south = ET.fromstring(drawn.svg).iter("rect")
    assert float(north.get("y", 0)) < float(south.get("y", 0))
    assert "skill-4" in (north.get("class") or "") and "skill-0" in (south.get("class") or "")
    ratio = float(north.get("width", 0)) / float(north.get("height", 0))
    assert ratio == pytest.approx(11 / 9 * np.cos(np.radians(-9)), rel=0.01)
    assert float(south.get("x", 0)) > float(north.get("x", 0))


def test_the_coast_of_peru_is_on_its_map_and_no_line_crosses_from_the_other_end_of_the_world() -> None:
    """Fiji lies on both sides of 180 degrees: a stretch between the two ends would run right through Peru."""
    frame = geography.frame_around(PERU)
    coast = "".join(geography._paths("coast", frame))
    points = [tuple(map(float, pair)) for pair in re.findall(r"(-?[\d.]+) (-?[\d.]+)", coast)]
    x, y = frame.place(-77.15, -12.05)  # Callao
    assert min(np.hypot(a - x, b - y) for a, b in points) < 8
    assert all(-360 < a < 720 for a, _ in points)


def test_a_region_of_one_column_of_cells_is_as_wide_as_a_cell() -> None:
    """A box without a width would be invisible."""
    sized = geography._with_size({"a": (40.5, 44.0, 40.0, 44.0), "b": (40.5, 44.25, 40.0, 44.25)})
    assert sized["a"] == (40.5, 43.875, 40.0, 44.125)


def test_regions_without_a_place_have_no_box() -> None:
    """A table of one's own says nothing about where its regions are."""
    assert geography.boxes_of({}) == {} and geography.boxes_of({"regions": ["costa"]}) == {}


def cases(days: int, regions: int) -> Cases:
    """Hits on the first day, then misses, false alarms and correct negatives in turn, in all regions but the last."""
    place = np.arange(days * regions) % days
    is_odd_one = np.arange(days * regions) // days == regions - 1
    said, came = np.isin(place % 4, (0, 2)) ^ is_odd_one, np.isin(place % 4, (0, 1))
    return Cases(
        init_time=np.datetime64("2024-01-30", "h") + place * np.timedelta64(24, "h"),
        region=np.array([f"r{number}" for number in np.arange(days * regions) // days]),
        probability=np.where(said, 0.9, 0.1),
        observed=came.astype(np.int8),
        cut=0.5,
    )


def test_each_day_of_each_region_is_one_square() -> None:
    """A calendar that is off by a day blames the wrong forecast."""
    found = calendar.draw(cases(4, 2), ENGLISH)
    assert [name for name, _ in found.grids] == ["r0, 2024", "r1, 2024"]
    first, second = (ET.fromstring(svg).get("aria-label") for _, svg in found.grids)
    assert first == "r0, 2024: 1 hits, 1 misses, 1 false alarms, 1 correct negatives."
    assert second == "r1, 2024: 1 hits, 1 misses, 1 false alarms, 1 correct negatives."
    (hits,) = [path for path in ET.fromstring(found.grids[0][1]).iter("path") if path.get("class") == "hits"]
    x, y = map(float, re.findall(r"[\d.]+", hits.get("d") or "")[:2])
    cell = calendar.CELL
    assert (x, y) == (pytest.approx(calendar.LEFT + 29 * cell + 1, abs=0.1), pytest.approx(calendar.TOP + 1, abs=0.1))


def test_many_regions_share_one_calendar_of_what_most_of_them_had() -> None:
    """A hundred grids are read by nobody."""
    found = calendar.draw(cases(4, 11), ENGLISH)
    ((name, svg),) = found.grids
    assert (name, found.n_regions) == ("Most regions, 2024", 11)
    assert "1 hits, 1 misses, 1 false alarms, 1 correct negatives" in (ET.fromstring(svg).get("aria-label") or "")


def test_the_lines_of_the_map_are_thinned_without_moving() -> None:
    """Points that were left out must lie within the tolerance of the line that stays."""
    line = [(0.0, 0.0), (1.0, 0.05), (2.0, 1.0), (3.0, 0.0)]
    assert natural_earth.thinned(line, 0.1) == [(0.0, 0.0), (1.0, 0.05), (2.0, 1.0), (3.0, 0.0)]
    assert natural_earth.thinned([(0.0, 0.0), (1.0, 0.05), (2.0, 0.0)], 0.1) == [(0.0, 0.0), (2.0, 0.0)]
    assert natural_earth.steps([(-77.0, -12.0), (-76.5, -12.25)]) == [-7700, -1200, 50, -25]


def test_the_stored_lines_name_their_source() -> None:
    """Public domain data too is owed the name of who made it."""
    content = json.loads(geography.LINES_FILE.read_text(encoding="utf-8"))
    assert "Natural Earth" in content["source"] and geography.LINES_FILE.stat().st_size < 80_000
