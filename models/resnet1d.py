"""A one-dimensional residual network: the convolutional reference.

Axes: B batch, L time steps, C variables, M marks of the init_time and region.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn

from models._config import dimension, marks, read_config, require_positive, require_share

KERNEL = 7


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the residual network.

    Raises:
        UsageError: ``CONFIG``, a value is out of range.
    """

    resnet_width: int = field(default=32, metadata={"help": "channels of the first of three stages; then twice, four"})
    resnet_dropout: float = field(default=0.1, metadata={"help": "dropout before the last layer"})
    n_classes: int = field(default=2, metadata={"help": "classes; 1 gives a single logit, as --loss BCE wants"})

    def __post_init__(self) -> None:
        require_positive("resnet_width", self.resnet_width)
        require_positive("n_classes", self.n_classes)
        require_share("resnet_dropout", self.resnet_dropout)


class ResidualStage(nn.Module):
    """Two convolutions with batch norm beside a short cut; halves the time steps.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv1d(in_channels, out_channels, KERNEL, stride=2, padding=KERNEL // 2, bias=False),
            nn.BatchNorm1d(out_channels),
            nn.ReLU(),
            nn.Conv1d(out_channels, out_channels, KERNEL, padding=KERNEL // 2, bias=False),
            nn.BatchNorm1d(out_channels),
        )
        self.short_cut = nn.Sequential(
            nn.Conv1d(in_channels, out_channels, 1, stride=2, bias=False), nn.BatchNorm1d(out_channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(B, in, L)` to `(B, out, ceil(L / 2))`."""
        return torch.relu(self.path(x) + self.short_cut(x))


class Model(nn.Module):
    """Three residual stages, the average over time, the marks beside it, and a linear layer.

    Args:
        configs: any object with the flags of `Config`, ``n_variables`` and, where marks are given, ``n_marks``.

    Raises:
        UsageError: ``CONFIG``, the object lacks ``n_variables``.
    """

    kind: ClassVar[str] = "network"

    def __init__(self, configs: Any) -> None:
        super().__init__()
        self.config = config = read_config(Config, configs)
        width = config.resnet_width
        self.n_marks = int(getattr(configs, "n_marks", 0))
        self.stages = nn.Sequential(
            ResidualStage(dimension(configs, "n_variables", "resnet1d"), width),
            ResidualStage(width, 2 * width),
            ResidualStage(2 * width, 4 * width),
        )
        self.dropout = nn.Dropout(config.resnet_dropout)
        self.classifier = nn.Linear(4 * width + self.n_marks, config.n_classes)

    def forward(
        self,
        x: torch.Tensor,
        x_mark: torch.Tensor | None = None,
        y_mark: torch.Tensor | None = None,  # noqa: ARG002 - the place OpenLTM's experiments pass it in
    ) -> torch.Tensor:
        """Classify windows `(B, L, C)` with marks `(B, M)`: logits `(B, n_classes)`."""
        pooled = self.dropout(self.stages(x.transpose(1, 2)).mean(dim=2))
        if self.n_marks:
            pooled = torch.cat((pooled, marks(x_mark, self.n_marks)), dim=1)
        return self.classifier(pooled)
