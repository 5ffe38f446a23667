"""The pictures of a diagnosis are drawn for any length of record, without a warning on the screen."""

from __future__ import annotations

import numpy as np
import pytest

from exp.diagnosis.pictures import missing_map
from exp.diagnosis.report import MissingMap


@pytest.mark.parametrize("days", [2, 30, 365, 1461, 4018])
def test_the_map_of_missing_values_dates_a_record_of_any_length(days: int) -> None:
    """Four years of hours, the usual table, made matplotlib complain in every run."""
    edges = np.datetime64("2019-01-01", "s") + np.arange(11) * np.timedelta64(days * 8640, "s")
    share = np.zeros((2, 10))
    share[1, 3] = 0.2
    figure = missing_map(MissingMap(share, ("tp", "t2m"), edges))
    figure.canvas.draw()
    shown = [tick.get_text() for tick in figure.axes[0].get_xticklabels() if tick.get_text()]
    assert 2 <= len(shown) <= 9
