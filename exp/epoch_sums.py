"""Loss, and what is counted beside it, over an epoch, summed on the device so that no step waits for the host."""

from __future__ import annotations

import torch


class EpochSums:
    """Loss and count of the steps that were finite.

    Args:
        device: where the steps are computed.
        name: of the mean of what is counted.
    """

    def __init__(self, device: torch.device, name: str) -> None:
        self.name = name
        self.values = torch.zeros(3, device=device, dtype=torch.float64)

    def add(self, loss: torch.Tensor, counted: torch.Tensor, count: int) -> None:
        """Add a step of `count` windows, unless its loss is not finite."""
        step = torch.stack((loss * count, counted.to(loss.dtype), torch.full_like(loss, count))).double()
        self.values += torch.where(torch.isfinite(loss), step, torch.zeros_like(step))

    def means(self) -> dict[str, float | None]:
        """Return the mean loss and the mean of what is counted, None where no step was finite."""
        loss, counted, count = self.values.tolist()
        return {
            "train_loss": loss / count if count else None,
            self.name: counted / count if count else None,
        }
