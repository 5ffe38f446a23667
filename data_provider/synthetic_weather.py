"""A random generator of Peru-shaped weather: synthetic from end to end, seeded, physical enough to learn from.

Axis letters: T hours, A latitudes, O longitudes.

What it holds, so that there is skill to be learned but no simple rule: seasons, a diurnal cycle, a coast-to-Andes
gradient, a slow mode like El Nino, and rain that starts where moisture and instability meet, prefers falling pressure,
and keeps going once it has begun. Nothing here is ERA5 and nothing is fitted to it.
"""

from __future__ import annotations

import numpy as np

LATITUDE = np.arange(0.0, -18.1, -2.0)
LONGITUDE = np.arange(-82.0, -67.9, 2.0)
LONGITUDE_OF_LOCAL_TIME = -75.0
ANDES_METRES = 4200.0
RIDGE_HALF_WIDTH = 1.6
SEA_LEVEL_PA = 101_300.0
HOURS_PER_YEAR = 8766.0
# Half-lives are told as the time, in hours, in which a correlation falls to 1/e.
MOISTURE_HOURS, INSTABILITY_HOURS, PRESSURE_HOURS, WIND_HOURS, NOISE_HOURS = 90.0, 48.0, 72.0, 30.0, 5.0
SLOW_MODE_HOURS = 5000.0
MAGNUS_SLOPE, MAGNUS_CELSIUS, ZERO_CELSIUS = 17.625, 243.04, 273.15

Fields = dict[str, np.ndarray]


def generate(times: np.ndarray, seed: int) -> Fields:
    """Nine ERA5-named variables on the 2-degree grid.

    Args:
        times: `(T,)` datetime64, hourly, without gaps.
        seed: of the random generator.

    Returns:
        short name -> `(T, A, O)` float32 in the units of ERA5 (m, K, Pa, m s-1, kg m-2, J kg-1).
    """
    rng = np.random.default_rng(seed)
    n = len(times)
    season, day = _cycles(times)
    height = elevation()
    slow = _slow_mode(n, rng)
    lowland, jungle, ocean = _surface(height)
    moisture = _red_noise(n, MOISTURE_HOURS, rng)
    instability = _red_noise(n, INSTABILITY_HOURS, rng)
    pressure = _red_noise(n, PRESSURE_HOURS, rng) - 0.35 * moisture
    # El Nino wets and warms the coast and dries the southern highlands.
    wet = moisture + 0.7 * season * (1 - 0.6 * jungle) + slow * (0.6 * ocean + 0.3 * lowland - 0.3 * (1 - lowland))
    heat = _afternoon(day) * (1 - 0.8 * ocean)
    potential = instability + 0.4 * season + 0.8 * heat + 0.5 * jungle - 0.9 * ocean
    tp = _rain(wet, potential, pressure, ocean, jungle, 1 - lowland, rng)
    return _observed(wet, potential, pressure, season, heat, slow, height, ocean, tp, rng)


def elevation() -> np.ndarray:
    """Height of the synthetic surface in metres, `(A, O)`: sea, the Andes from north-west to south-east, jungle."""
    distance = _degrees_east_of_the_ridge()
    andes = ANDES_METRES * np.exp(-((distance / RIDGE_HALF_WIDTH) ** 2))
    return np.where(distance < -2.4, 0.0, np.maximum(andes, np.where(distance > 0, 200.0, 20.0)))


def _degrees_east_of_the_ridge() -> np.ndarray:
    ridge = np.interp(LATITUDE, [-18.0, -16.0, -14.0, -12.0, -6.0, 0.0], [-69.0, -70.5, -73.0, -75.7, -78.4, -78.8])
    return LONGITUDE[None, :] - ridge[:, None]


def _surface(height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of lowland, jungle and ocean or coastal desert, each `(A, O)` in 0..1."""
    distance = _degrees_east_of_the_ridge()
    lowland = 1.0 - height / ANDES_METRES
    jungle = 1.0 / (1.0 + np.exp(-2.0 * (distance - 2.0)))
    ocean = 1.0 / (1.0 + np.exp(2.0 * (distance + 1.4)))
    return lowland, jungle, ocean


def _cycles(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Season (1 in early February) and local hour, each `(T, 1, 1)`."""
    hours = (times - np.datetime64("2000-01-01T00", "h")) / np.timedelta64(1, "h")
    season = np.cos(2 * np.pi * (hours / HOURS_PER_YEAR - 35 / 365.25))
    local = (hours + LONGITUDE_OF_LOCAL_TIME / 15.0) % 24
    return season[:, None, None], local[:, None, None]


def _afternoon(local_hour: np.ndarray) -> np.ndarray:
    """A wave with its crest at 15 h local time."""
    return np.cos(2 * np.pi * (local_hour - 15.0) / 24.0)


def _slow_mode(n: int, rng: np.random.Generator) -> np.ndarray:
    """An index like that of El Nino, `(T, 1, 1)`, of variance about one and months of memory."""
    steps = n // 24 + 2
    keep = np.exp(-24.0 / SLOW_MODE_HOURS)
    index = np.empty(steps)
    index[0] = rng.standard_normal()
    for i in range(1, steps):
        index[i] = keep * index[i - 1] + np.sqrt(1 - keep**2) * rng.standard_normal()
    return np.interp(np.arange(n), np.arange(steps) * 24.0, index)[:, None, None]


def _red_noise(n: int, memory_hours: float, rng: np.random.Generator) -> np.ndarray:
    """Correlated in time and, between neighbours, in space; unit variance; `(T, A, O)` float32."""
    keep = np.float32(np.exp(-1.0 / memory_hours))
    shocks = rng.standard_normal((n, len(LATITUDE), len(LONGITUDE)), dtype=np.float32)
    shocks = _smooth(shocks)
    shocks *= np.sqrt(1 - keep**2)
    shocks[0] /= np.sqrt(1 - keep**2)
    for i in range(1, n):
        shocks[i] += keep * shocks[i - 1]
    return shocks


def _smooth(noise: np.ndarray) -> np.ndarray:
    """Average with neighbours twice, then back to unit variance."""
    for _ in range(2):
        for axis in (1, 2):
            noise = noise + 0.7 * (_shifted(noise, 1, axis) + _shifted(noise, -1, axis))
    return noise / noise.std(axis=0, keepdims=True)


def _shifted(noise: np.ndarray, by: int, axis: int) -> np.ndarray:
    return np.roll(noise, by, axis=axis)


def _rain(
    wet: np.ndarray,
    potential: np.ndarray,
    pressure: np.ndarray,
    ocean: np.ndarray,
    jungle: np.ndarray,
    highland: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Hourly rain in metres: a chain that starts with moisture AND instability and tends to go on; `(T, A, O)`."""
    n = len(wet)
    push = 1.1 * wet + 0.7 * potential + 0.5 * np.maximum(wet, 0) * np.maximum(potential, 0)
    push -= 0.5 * np.gradient(pressure, axis=0) * 24 + 0.25 * pressure
    chance = 1.15 * push + 0.4 * jungle - 1.1 * ocean + 1.0 * highland - 5.2
    luck = _red_noise(n, NOISE_HOURS, rng)
    # Logistic noise makes "push exceeds luck" a logistic regression that nobody can do better than.
    luck = 1.2 * luck + 0.8 * rng.standard_normal(luck.shape, dtype=np.float32)
    raining = np.zeros(wet.shape, dtype=bool)
    before = np.zeros(wet.shape[1:])
    for i in range(n):
        raining[i] = chance[i] + 2.2 * before > luck[i]
        before = raining[i]
    amount = rng.gamma(0.7, 1.0, wet.shape).astype(np.float32)
    return np.where(raining, 4e-4 * amount * np.exp(0.3 * np.clip(wet, -2, 3)) * (1 - 0.6 * ocean), 0.0)


def _observed(
    wet: np.ndarray,
    potential: np.ndarray,
    pressure: np.ndarray,
    season: np.ndarray,
    heat: np.ndarray,
    slow: np.ndarray,
    height: np.ndarray,
    ocean: np.ndarray,
    tp: np.ndarray,
    rng: np.random.Generator,
) -> Fields:
    """What ERA5 would show of the hidden state, with noise of its own."""
    cooled = np.minimum(tp * 1e3, 2.0)
    celsius = 27.0 - 0.0058 * height + 1.2 * season + 4.0 * heat + 0.8 * slow * ocean - 4.0 * ocean - 1.2 * cooled
    celsius = celsius + 0.9 * _red_noise(len(wet), WIND_HOURS, rng)
    humidity = 1.0 / (1.0 + np.exp(-(0.9 + 0.8 * wet - 0.9 * heat + 0.8 * cooled)))
    dew_point = _dew_point(celsius, np.clip(humidity, 0.08, 1.0))
    tide = 90.0 * np.cos(4 * np.pi * np.arange(len(wet)) / 24.0)[:, None, None]
    msl = SEA_LEVEL_PA + 180.0 * pressure + tide - 120.0 * season
    eastward, northward = _red_noise(len(wet), WIND_HOURS, rng), _red_noise(len(wet), WIND_HOURS, rng)
    return {
        "tp": tp.astype(np.float32),
        "t2m": _quantised(celsius + ZERO_CELSIUS, 1e-2),
        "d2m": _quantised(np.minimum(dew_point, celsius) + ZERO_CELSIUS, 1e-2),
        "sp": _quantised(msl * (1 - 2.25577e-5 * height) ** 5.2559, 1.0),
        "msl": _quantised(msl, 1.0),
        "u10": _quantised(-1.5 + 1.8 * eastward + 1.2 * heat - 0.3 * wet, 1e-2),
        "v10": _quantised(2.5 * ocean + 1.8 * northward + 0.4 * pressure, 1e-2),
        "tcwv": _quantised(
            np.minimum((44.0 * np.exp(-height / 2400.0) + 2.0) * np.exp(0.12 * wet - 0.3 * ocean), 85.0), 1e-2
        ),
        "cape": _quantised(np.maximum(700.0 * (potential + 0.4 * wet - 0.4) * np.exp(-height / 4000.0), 0.0), 1.0),
    }


def _dew_point(celsius: np.ndarray, humidity: np.ndarray) -> np.ndarray:
    """Dew point in degrees Celsius (inverse Magnus formula)."""
    exponent = np.log(humidity) + MAGNUS_SLOPE * celsius / (MAGNUS_CELSIUS + celsius)
    return MAGNUS_CELSIUS * exponent / (MAGNUS_SLOPE - exponent)


def _quantised(values: np.ndarray, step: float) -> np.ndarray:
    """Rounded as packed data are, which also lets them compress."""
    return (np.round(values / step) * step).astype(np.float32)
