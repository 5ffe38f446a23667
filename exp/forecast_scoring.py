"""How far a forecast of series is off: MSE and MAE on standardised values, every window and channel counted alike.

B windows of a batch, L look-back rows, A rows ahead, C channels of a window, P and O token lengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from data_provider.series_windows import SeriesWindows
from exp.precision import autocast
from utils import distributed

# Look-back `(B, L, C)` and number of the sequence -> forecast `(B, A, C)`.
Forecast = Callable[[torch.Tensor, int], torch.Tensor]


def rolled(model: nn.Module, output_token: int, ahead: int, precision: torch.dtype | None) -> Forecast:
    """Return the forecast of a network; beyond its output token its own answer becomes the newest look-back.

    Args:
        model: Timer-XL; called as `model(x (B, L, C))`, its newest output token counts.
        output_token: O.
        ahead: A.
        precision: of the forward pass, None for float32.
    """

    def forecast(x: torch.Tensor, _: int) -> torch.Tensor:
        parts: list[torch.Tensor] = []
        for _ in range(-(-ahead // output_token)):
            with autocast(x.device, precision):
                newest = model(x)[:, -output_token:].float()
            parts.append(newest)
            x = torch.cat([x, newest], dim=1)[:, -x.shape[1] :]
        return torch.cat(parts, dim=1)[:, :ahead]

    return forecast


@torch.no_grad()
def score(forecast: Forecast, windows: SeriesWindows, batch_size: int, *, title: str = "") -> dict[str, Any]:
    """Return MSE and MAE over all windows, and for each sequence and channel.

    Args:
        forecast: gives A rows.
        windows: of one split.
        batch_size: windows per forward pass.
        title: of the progress bar; none without.

    Returns:
        `windows`, `mse`, `mae` (None where not finite) and `channels`: name -> the same for one channel.
    """
    totals: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    chosen = [(number, windows.of_sequence(number)) for number in range(len(windows.sequences))]
    parts = [(number, part) for number, ids in chosen if len(ids) for part in ids.split(batch_size)]
    for number, ids in tqdm(parts, disable=None if title else True, leave=False, desc=title, unit="batch"):
        distributed.current().check_signals()
        error = (forecast(windows.inputs(ids), number) - windows.ahead(ids)).double()
        totals.append((number, error.square().mean(dim=1).sum(dim=0), error.abs().mean(dim=1).sum(dim=0)))
    channels = {}
    for number, ids in chosen:
        own = [total for total in totals if total[0] == number]
        if not own:
            continue
        squared = torch.stack([total[1] for total in own]).sum(dim=0)
        absolute = torch.stack([total[2] for total in own]).sum(dim=0)
        sequence = windows.sequences[number]
        for channel, name in enumerate(sequence.channels):
            whole = sequence.name if sequence.name.endswith(f"/{name}") else f"{sequence.name}/{name}"
            channels[whole] = _means(squared[channel].item(), absolute[channel].item(), len(ids))
    count = sum(row["windows"] for row in channels.values())
    undefined = any(row["mse"] is None for row in channels.values())
    means = {
        name: None if undefined else sum(row[name] * row["windows"] for row in channels.values()) / count
        for name in ("mse", "mae")
    }
    return {"windows": len(windows), **means, "channels": channels}


def _means(squared: float, absolute: float, count: int) -> dict[str, Any]:
    mse, mae = squared / count, absolute / count
    finite = math.isfinite(mse) and math.isfinite(mae)
    return {"windows": count, "mse": mse if finite else None, "mae": mae if finite else None}
