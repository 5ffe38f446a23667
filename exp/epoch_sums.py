"""Loss and right answers of an epoch, summed on the device so that no step waits for the host."""

from __future__ import annotations

import torch


class EpochSums:
    """Loss and right answers of the steps that were finite.

    Args:
        device: where the steps are computed.
    """

    def __init__(self, device: torch.device) -> None:
        self.values = torch.zeros(3, device=device, dtype=torch.float64)

    def add(self, loss: torch.Tensor, correct: torch.Tensor, count: int) -> None:
        """Add a step of `count` windows, unless its loss is not finite."""
        step = torch.stack((loss * count, correct.to(loss.dtype), torch.full_like(loss, count))).double()
        self.values += torch.where(torch.isfinite(loss), step, torch.zeros_like(step))

    def means(self) -> dict[str, float | None]:
        """Return mean loss and accuracy, None where no step was finite."""
        loss, correct, count = self.values.tolist()
        return {
            "train_loss": loss / count if count else None,
            "train_accuracy": correct / count if count else None,
        }
