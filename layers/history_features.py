"""What a forecaster would note of the past month: amounts, wet hours, tendencies, anomalies and turning winds.

Axes: B batch, L time steps, V variables, S series, K linear functions of a series, F features.

Most of it is linear in a series (a lag, a mean, a tendency, the distance from the usual of this hour), so it is one
product with a matrix that is made once; what is not linear (extremes, deviations, wet hours, directions) is worked out
beside it. Amounts of rain are first put on a logarithmic scale. A span that does not fit the window is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

MILLIMETRES_PER_METRE = 1000.0
LOG_SCALE = 10.0  # log(1 + 10 mm): drizzle below a tenth of a millimetre is near 0, storms are not far away
TENDENCY_HOURS = (1, 3, 6, 12, 18, 24, 36, 48, 72, 96, 120)
CURVATURE_HOURS = (12, 24, 48)
MEAN_HOURS = (6, 24, 72, 168, 720)
USUAL_DAYS = (7, 29)
HALF_LIVES = (3, 12, 48)
BLOCK_HOURS, BLOCKS = 6, 8
SPREAD_HOURS = (24, 72, 168, 720)
AMOUNT_HOURS = (1, 3, 6, 12, 24, 48, 72, 168, 336, 720)
WET_MM = (0.01, 0.1, 0.5)
WET_HOURS = (6, 24, 72, 168, 720)
WET_DAY_MM, ROUNDING_MM = 0.1, 1e-6
WET_DAY_HOURS = (72, 168, 720)
DIRECTION_HOURS = (1, 6, 12, 24, 72, 168)
CALM = 0.2  # m/s: below it a direction means little


class HistoryFeatures(nn.Module):
    """Compute the features of windows in the units of the table.

    Args:
        variables: names of the V variables, `tp` in metres, `u10` and `v10` in m/s.
        centre: subtracted from each when it was scaled, `(V,)`.
        spread: divided by, `(V,)`.
        context_length: time steps L of a window.
        step_hours: hours between two steps.
    """

    matrix: torch.Tensor

    def __init__(
        self,
        variables: Sequence[str],
        centre: Sequence[float],
        spread: Sequence[float],
        context_length: int,
        step_hours: int = 1,
    ) -> None:
        super().__init__()
        self.variables, self.step_hours, self.context_length = tuple(variables), step_hours, context_length
        self._centre, self._spread = np.asarray(centre), np.asarray(spread)
        self._rain = self.variables.index("tp") if "tp" in self.variables else None
        has_wind = {"u10", "v10"} <= set(self.variables)
        self._wind = (self.variables.index("u10"), self.variables.index("v10")) if has_wind else None
        functions = dict(self._linear())
        self._linear_names = list(functions)
        matrix = torch.from_numpy(np.stack(list(functions.values()), axis=1).astype(np.float32))
        # Made anew from the arguments, so it is no part of a file.
        self.register_buffer("matrix", matrix, persistent=False)
        self._spans = [hours for hours in SPREAD_HOURS if self._fits(hours) and hours // step_hours > 1]

    @property
    def n_features(self) -> int:
        """Number of features F."""
        return len(self.names())

    def names(self) -> list[str]:
        """Name the features in their order."""
        series = [*self.variables, *(["wind_speed"] if self._wind else [])]
        kinds = [*self._linear_names]
        for hours in self._spans:
            kinds += [f"deviation_{hours}h", f"maximum_{hours}h", f"minimum_{hours}h"]
        found = [f"{name}_{kind}" for name in series for kind in kinds]
        if self._rain is not None:
            found += [f"tp_amount_{hours}h" for hours in AMOUNT_HOURS if self._fits(hours)]
            for mm in WET_MM:
                found += [f"tp_wet_{mm:g}mm_{hours}h" for hours in WET_HOURS if self._fits(hours)]
                found.append(f"tp_since_{mm:g}mm")
            found += [f"tp_wet_days_{hours}h" for hours in self._wet_day_spans()]
        if self._wind is not None:
            for hours in self._direction_hours():
                found += [f"wind_east_{hours}h", f"wind_north_{hours}h", f"wind_steady_{hours}h"]
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features `(B, F)` of scaled windows `(B, L, V)`."""
        series = self._series(x)
        parts = [torch.cat([series @ self.matrix.to(series.dtype), self._spreads(series)], dim=2).flatten(1)]
        if self._rain is not None:
            parts += self._of_rain(self._in_units(x, self._rain) * MILLIMETRES_PER_METRE)
        if self._wind is not None:
            parts.append(self._of_wind(*(self._in_units(x, place) for place in self._wind)))
        return torch.cat(parts, dim=1)

    def _fits(self, hours: int) -> bool:
        return hours % self.step_hours == 0 and self.step_hours <= hours <= self.context_length * self.step_hours

    def _in_units(self, x: torch.Tensor, place: int) -> torch.Tensor:
        return x[:, :, place] * float(self._spread[place]) + float(self._centre[place])

    def _series(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(B, S, L)`: the scaled variables, rain as a logarithm, and the speed of the wind."""
        series = x.transpose(1, 2).contiguous()
        if self._rain is not None:
            rain = self._in_units(x, self._rain).clamp(min=0) * MILLIMETRES_PER_METRE
            series[:, self._rain] = torch.log1p(LOG_SCALE * rain)
        if self._wind is None:
            return series
        speed = torch.hypot(*(self._in_units(x, place) for place in self._wind))
        return torch.cat([series, speed[:, None]], dim=1)

    def _linear(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield name and weights `(L,)` of every linear function, the newest step last."""
        step, length = self.step_hours, self.context_length

        def mean(hours: int, back: int = 0) -> np.ndarray:
            weights = np.zeros(length)
            end = length - back // step
            weights[end - hours // step : end] = step / hours
            return weights

        def at(back: int) -> np.ndarray:
            return mean(step, back)

        def fits(*hours: int) -> bool:
            return all(each % step == 0 for each in hours) and sum(hours) + step <= length * step

        yield "now", at(0)
        for hours in TENDENCY_HOURS:
            if fits(hours):
                yield f"tendency_{hours}h", at(0) - at(hours)
        for hours in CURVATURE_HOURS:
            if fits(2 * hours):
                yield f"curvature_{hours}h", at(0) - 2 * at(hours) + at(2 * hours)
        for hours in MEAN_HOURS:
            if self._fits(hours):
                yield f"mean_{hours}h", mean(hours)
        for hours in (24, 48):
            if self._fits(24) and self._fits(24 + hours):
                yield f"day_tendency_{hours}h", mean(24) - mean(24, hours)
        for hours in (168, 720):
            if self._fits(24) and self._fits(hours):
                yield f"day_anomaly_{hours}h", mean(24) - mean(hours)
        for days in USUAL_DAYS:
            if fits(24 * days) and fits(24):
                yield f"unusual_{days}d", at(0) - sum(at(24 * day) for day in range(1, days + 1)) / days
        for back in range(0, BLOCK_HOURS * BLOCKS, BLOCK_HOURS):
            if self._fits(BLOCK_HOURS) and self._fits(back + BLOCK_HOURS):
                yield f"mean_{BLOCK_HOURS}h_before_{back}h", mean(BLOCK_HOURS, back)
        for hours in HALF_LIVES:
            weights = 0.5 ** (np.arange(length)[::-1] * step / hours)
            yield f"half_life_{hours}h", weights / weights.sum()

    def _spreads(self, series: torch.Tensor) -> torch.Tensor:
        """Return deviation, maximum and minimum over each span, `(B, S, 3 * spans)`."""
        parts = []
        for hours in self._spans:
            span = series[:, :, -(hours // self.step_hours) :]
            parts += [span.std(dim=2, correction=0), span.amax(dim=2), span.amin(dim=2)]
        return torch.stack(parts, dim=2) if parts else series[:, :, :0]

    def _of_rain(self, mm: torch.Tensor) -> list[torch.Tensor]:
        """Return features of the rain `(B, L)` in millimetres."""
        mm = mm.clamp(min=0)
        parts = [torch.log1p(LOG_SCALE * self._sum(mm, hours)) for hours in AMOUNT_HOURS if self._fits(hours)]
        for threshold in WET_MM:
            wet = (mm >= threshold - ROUNDING_MM).to(mm)
            parts += [self._mean(wet, hours) for hours in WET_HOURS if self._fits(hours)]
            dry = torch.cumprod(1 - wet.flip(1), dim=1).sum(dim=1)
            parts.append(torch.log1p(dry * self.step_hours))
        spans = self._wet_day_spans()
        if spans:
            day, total = 24 // self.step_hours, torch.cumsum(mm.double(), dim=1)
            wet_day = (total[:, day:] - total[:, :-day] >= WET_DAY_MM - ROUNDING_MM).to(mm)
            parts += [self._mean(wet_day, hours) for hours in spans]
        return [part[:, None] for part in parts]

    def _wet_day_spans(self) -> list[int]:
        return [hours for hours in WET_DAY_HOURS if self._fits(24) and self._fits(hours + 24)]

    def _of_wind(self, east: torch.Tensor, north: torch.Tensor) -> torch.Tensor:
        """Return where to the mean wind of each span blows, and how steadily, from its parts `(B, L)`."""
        speed, parts = torch.hypot(east, north), []
        for hours in self._direction_hours():
            u, v, mean_speed = (self._mean(each, hours) for each in (east, north, speed))
            resultant = torch.hypot(u, v)
            parts += [u / (resultant + CALM), v / (resultant + CALM), resultant / (mean_speed + CALM)]
        return torch.stack(parts, dim=1) if parts else east[:, :0]

    def _direction_hours(self) -> list[int]:
        return [hours for hours in DIRECTION_HOURS if self._fits(hours)]

    def _sum(self, series: torch.Tensor, hours: int) -> torch.Tensor:
        return series[:, -(hours // self.step_hours) :].sum(dim=1)

    def _mean(self, series: torch.Tensor, hours: int) -> torch.Tensor:
        return self._sum(series, hours) * (self.step_hours / hours)
