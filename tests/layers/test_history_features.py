"""Features of the past month: against their definitions in numpy, and only those that fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from layers.history_features import HistoryFeatures

VARIABLES = ("tp", "t2m", "sp", "u10", "v10")
CENTRE, SPREAD = (0.0001, 280.0, 86_000.0, 0.5, -0.5), (0.0003, 9.0, 600.0, 2.0, 3.0)


def weather(length: int, windows: int = 3) -> np.ndarray:
    """Windows `(B, L, V)` in the units of a table, with dry spells."""
    rng = np.random.default_rng(7)
    rain = rng.gamma(0.3, 0.0008, (windows, length)) * (rng.random((windows, length)) < 0.2)
    others = rng.normal(size=(windows, length, 4)) * SPREAD[1:] + CENTRE[1:]
    return np.concatenate([rain[..., None], others], axis=2)


def named(length: int, step_hours: int = 1) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Windows in units, and every feature of their scaled values by name."""
    raw = weather(length)
    features = HistoryFeatures(VARIABLES, CENTRE, SPREAD, length, step_hours)
    got = features(torch.from_numpy((raw - CENTRE) / SPREAD).double())
    assert got.shape == (len(raw), features.n_features)
    return raw, dict(zip(features.names(), got.numpy().T, strict=True))


def test_features_equal_their_definitions():
    """A lag that is off by an hour, or a rain in other units, would still be learned from, and worse."""
    raw, got = named(720)
    t2m = (raw[:, :, 1] - CENTRE[1]) / SPREAD[1]
    assert got["t2m_now"] == pytest.approx(t2m[:, -1])
    assert got["t2m_tendency_6h"] == pytest.approx(t2m[:, -1] - t2m[:, -7])
    assert got["t2m_curvature_24h"] == pytest.approx(t2m[:, -1] - 2 * t2m[:, -25] + t2m[:, -49])
    assert got["t2m_mean_72h"] == pytest.approx(t2m[:, -72:].mean(1))
    assert got["t2m_day_tendency_48h"] == pytest.approx(t2m[:, -24:].mean(1) - t2m[:, -72:-48].mean(1))
    assert got["t2m_day_anomaly_720h"] == pytest.approx(t2m[:, -24:].mean(1) - t2m.mean(1))
    assert got["t2m_unusual_7d"] == pytest.approx(t2m[:, -1] - t2m[:, [-1 - 24 * day for day in range(1, 8)]].mean(1))
    assert got["t2m_mean_6h_before_12h"] == pytest.approx(t2m[:, -18:-12].mean(1))
    weight = 0.5 ** (np.arange(720)[::-1] / 12)
    assert got["t2m_half_life_12h"] == pytest.approx(t2m @ weight / weight.sum())
    assert got["t2m_deviation_24h"] == pytest.approx(t2m[:, -24:].std(1))
    assert got["t2m_minimum_168h"] == pytest.approx(t2m[:, -168:].min(1))
    speed = np.hypot(raw[:, :, 3], raw[:, :, 4])
    assert got["wind_speed_maximum_24h"] == pytest.approx(speed[:, -24:].max(1))
    u, v = raw[:, -24:, 3].mean(1), raw[:, -24:, 4].mean(1)
    assert got["wind_north_24h"] == pytest.approx(v / (np.hypot(u, v) + 0.2))
    assert got["wind_steady_24h"] == pytest.approx(np.hypot(u, v) / (speed[:, -24:].mean(1) + 0.2))


def test_rain_is_told_in_millimetres_hours_and_days():
    """The table has metres; wet hours and dry spells are counted against amounts that people know."""
    raw, got = named(720)
    mm = raw[:, :, 0] * 1000
    assert got["tp_now"] == pytest.approx(np.log1p(10 * mm[:, -1]))
    assert got["tp_amount_48h"] == pytest.approx(np.log1p(10 * mm[:, -48:].sum(1)))
    assert got["tp_wet_0.1mm_72h"] == pytest.approx((mm[:, -72:] >= 0.1).mean(1))
    dry = [720 if not wet.any() else int(np.argmax(wet[::-1])) for wet in mm >= 0.5]
    assert got["tp_since_0.5mm"] == pytest.approx(np.log1p(dry))
    of_days = np.stack([mm[:, end - 24 : end].sum(1) >= 0.1 for end in range(721 - 168, 721)], axis=1)
    assert got["tp_wet_days_168h"] == pytest.approx(of_days.mean(1))


@pytest.mark.parametrize(("length", "step_hours"), [(1, 1), (24, 1), (100, 3), (200, 1), (5, 24), (15, 48), (720, 1)])
def test_only_spans_that_fit_remain_and_names_agree(length: int, step_hours: int) -> None:
    """A mean over rows that are not there would be that of other rows."""
    _, got = named(length, step_hours)
    assert all(np.isfinite(values).all() for values in got.values())
    assert ("t2m_mean_720h" in got) == (length * step_hours >= 720)


def test_a_table_without_wind_or_rain_has_the_other_features():
    """Forecasts of temperature have no use for the turning of a wind that nobody measured."""
    features = HistoryFeatures(("t2m", "sp"), (0.0, 0.0), (1.0, 1.0), 48)
    assert not any(name.startswith(("tp", "wind")) for name in features.names())
    assert features(torch.randn(2, 48, 2)).shape == (2, features.n_features)


def test_a_missing_value_is_not_hidden():
    """A feature that skips NaN would feed the model a guess that nobody can trace."""
    features = HistoryFeatures(VARIABLES, CENTRE, SPREAD, 48)
    x = torch.randn(2, 48, 5)
    x[1, 10, 2] = torch.nan
    got = features(x)
    assert torch.isfinite(got[0]).all() and torch.isnan(got[1]).any()
