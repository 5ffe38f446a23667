"""Scaling against statistics worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from data_provider.scaling import fit_scaling

ROWS = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, np.nan], [4.0, 5.0], [5.0, 5.0]])


@pytest.mark.parametrize(
    ("kind", "centre", "spread"),
    [("standard", 3, np.sqrt(2)), ("robust", 3, 2 / 1.349), ("minmax", 1, 4), ("none", 0, 1)],
)
def test_centre_and_spread_follow_their_definition(kind: str, centre: float, spread: float) -> None:
    """Five numbers from 1 to 5 have these by hand."""
    found = fit_scaling(ROWS, kind)  # type: ignore[arg-type]
    assert found[0][0] == pytest.approx(centre) and found[1][0] == pytest.approx(spread)


@pytest.mark.parametrize("kind", ["standard", "robust", "minmax"])
def test_a_constant_column_is_not_divided_by_zero(kind: str) -> None:
    """Zero variance was one of the case's suspects: it must give zeros, not NaN."""
    centre, spread = fit_scaling(ROWS, kind)  # type: ignore[arg-type]
    assert centre[1] == 5 and spread[1] == 1


def test_robust_scaling_of_rain_uses_the_deviation_where_the_quartiles_coincide() -> None:
    """Rain is zero in most hours: quartiles are all zero and would leave it unscaled."""
    rain = np.zeros((100, 1))
    rain[:10] = 4.0
    assert fit_scaling(rain, "robust")[1][0] == pytest.approx(rain.std())
