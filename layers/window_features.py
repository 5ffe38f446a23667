"""Engineered features of a window: what a table-based reference sees of the past hours.

Axes: B batch, L time steps, C variables, F features.

Value now; lags of 3 to 72 hours; rolling mean, deviation and maximum over 24 to 720 hours of every variable;
pressure change over 6 and 24 hours. A span that is not whole steps or does not fit the window is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

LAG_HOURS = (3, 6, 12, 24, 48, 72)
ROLLING_HOURS = (24, 72, 168, 720)
PRESSURE_CHANGE_HOURS = (6, 24)


class WindowFeatures:
    """Compute the features of windows.

    Args:
        n_variables: number of variables C.
        context_length: time steps L of a window.
        step_hours: hours between two steps.
        pressure_index: position of the pressure among the variables; none leaves its changes out.
    """

    def __init__(
        self, n_variables: int, context_length: int, step_hours: int, pressure_index: int | None = None
    ) -> None:
        def whole_steps(hours: Sequence[int], fewest: int, most: int) -> dict[int, int]:
            return {h: h // step_hours for h in hours if h % step_hours == 0 and fewest <= h // step_hours <= most}

        self.n_variables = n_variables
        self.context_length = context_length
        self.pressure_index = pressure_index
        self.lags = whole_steps(LAG_HOURS, 1, context_length - 1)
        # One step has no deviation, so the shortest rolling window has two.
        self.rolling = whole_steps(ROLLING_HOURS, 2, context_length)
        changes = whole_steps(PRESSURE_CHANGE_HOURS, 1, context_length - 1)
        self.pressure_changes = {} if pressure_index is None else changes

    @property
    def n_features(self) -> int:
        """Number of features F."""
        return self.n_variables * (1 + len(self.lags) + 3 * len(self.rolling)) + len(self.pressure_changes)

    def names(self, variable_names: Sequence[str]) -> list[str]:
        """Name the F features in their order, from the names of the C variables."""
        kinds = ["now", *(f"lag_{hours}h" for hours in self.lags)]
        for hours in self.rolling:
            kinds += [f"mean_{hours}h", f"deviation_{hours}h", f"maximum_{hours}h"]
        named = [f"{variable}_{kind}" for kind in kinds for variable in variable_names]
        if self.pressure_index is not None:
            pressure = variable_names[self.pressure_index]
            named += [f"{pressure}_change_{hours}h" for hours in self.pressure_changes]
        return named

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features of windows `(B, L, C)`: `(B, F)`."""
        parts = [x[:, -1], *(x[:, -1 - steps] for steps in self.lags.values()), *self._rolling_parts(x)]
        if self.pressure_index is not None:
            pressure = x[:, :, self.pressure_index]
            parts += [pressure[:, -1:] - pressure[:, -1 - steps, None] for steps in self.pressure_changes.values()]
        return torch.cat(parts, dim=1)

    def _rolling_parts(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Mean, population deviation and maximum of each span, `(B, C)` each.

        The spans end at the same step, so each adds one segment to the one before: every step is read once, and
        the squares are taken about each segment's own mean, which keeps the accuracy a running sum would lose.
        """
        parts: list[torch.Tensor] = []
        series = x[:, x.shape[1] - max(self.rolling.values(), default=0) :].transpose(1, 2).contiguous()
        newer = 0
        mean = squares = maximum = x.new_zeros(())
        for steps in self.rolling.values():
            segment = series[:, :, series.shape[2] - steps : series.shape[2] - newer]
            added = steps - newer
            variance, segment_mean = torch.var_mean(segment, dim=2, correction=0)
            difference = segment_mean - mean
            squares = squares + added * variance + difference.square() * (newer * added / steps)
            mean = mean + difference * (added / steps)
            highest = segment.amax(dim=2)
            maximum = torch.maximum(maximum, highest) if newer else highest
            parts += [mean, torch.sqrt(squares / steps), maximum]
            newer = steps
        return parts
