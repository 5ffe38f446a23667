"""Window features: by hand, by name, and only those that fit."""

from __future__ import annotations

import pytest
import torch

from layers.window_features import WindowFeatures


def test_every_feature_equals_its_definition_in_float64():
    """Merging segments into longer spans must not lose what a plain slice gives."""
    x = torch.randn(4, 720, 3, dtype=torch.float64).cumsum(1) - torch.tensor([0.0, 1000.0, -280.0])
    features = WindowFeatures(3, 720, 1, pressure_index=1)
    names = features.names(["tp", "sp", "t2m"])
    got = dict(zip(names, features(x).T, strict=True))
    for position, variable in enumerate(["tp", "sp", "t2m"]):
        series = x[:, :, position]
        expected = {"now": series[:, -1]}
        expected |= {f"lag_{hours}h": series[:, -1 - hours] for hours in (3, 6, 12, 24, 48, 72)}
        for hours in (24, 72, 168, 720):
            newest = series[:, -hours:]
            expected[f"mean_{hours}h"] = newest.mean(1)
            expected[f"deviation_{hours}h"] = newest.std(1, correction=0)
            expected[f"maximum_{hours}h"] = newest.amax(1)
        for kind, values in expected.items():
            assert torch.allclose(got.pop(f"{variable}_{kind}"), values, atol=1e-10), kind
    pressure = x[:, :, 1]
    assert torch.allclose(got.pop("sp_change_6h"), pressure[:, -1] - pressure[:, -7])
    assert torch.allclose(got.pop("sp_change_24h"), pressure[:, -1] - pressure[:, -25])
    assert not got


def test_single_precision_keeps_small_deviations_beside_large_means():
    """Sums of squares would leave nothing of a deviation of one pascal beside 100,000."""
    x = (100_000 + torch.randn(2, 720, 1, dtype=torch.float64)).float()
    features = WindowFeatures(1, 720, 1)
    got = dict(zip(features.names(["sp"]), features(x).T, strict=True))["sp_deviation_720h"]
    assert torch.allclose(got.double(), x[:, :, 0].double().std(1, correction=0), rtol=1e-3)


def test_only_spans_that_fit_context_and_step_remain():
    """A lag beyond the window would read from the other end of it."""
    features = WindowFeatures(1, 8, 12, pressure_index=0)
    assert features.names(["sp"]) == [
        "sp_now",
        "sp_lag_12h",
        "sp_lag_24h",
        "sp_lag_48h",
        "sp_lag_72h",
        "sp_mean_24h",
        "sp_deviation_24h",
        "sp_maximum_24h",
        "sp_mean_72h",
        "sp_deviation_72h",
        "sp_maximum_72h",
        "sp_change_24h",
    ]
    got = features(torch.arange(8.0).view(1, 8, 1))[0]
    assert got[:5].tolist() == [7, 6, 5, 3, 1]
    assert got[5:8].tolist() == [6.5, 0.5, 7]
    assert got[-1] == 2


@pytest.mark.parametrize(("context_length", "step_hours"), [(1, 1), (24, 1), (720, 1), (200, 3), (5, 24)])
def test_names_and_numbers_agree_at_any_length(context_length, step_hours):
    """A table whose columns are off by one would still be fitted."""
    features = WindowFeatures(2, context_length, step_hours, pressure_index=0)
    got = features(torch.randn(3, context_length, 2))
    assert got.shape == (3, features.n_features)
    assert len(features.names(["sp", "tp"])) == features.n_features
    assert torch.isfinite(got).all()
