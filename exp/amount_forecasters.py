"""Networks and references that say how much it rains: the same training as for classes, other targets and outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch

import models
from data_provider.amounts import AmountWindows
from data_provider.factory import Splits
from data_provider.windows import WindowSet
from exp.callbacks import EpochWarnings
from exp.forecast_training import ForecastLog
from exp.forecasters import Forecaster, NetworkForecaster, ReferenceForecaster, adapted
from exp.frozen_encoder import EncodedWindows
from exp.network_training import METRICS_FILE
from exp.objective import Loss, Objective, Tally
from exp.settings import Dimensions, Settings
from exp.trainer import Callback
from layers import quantiles
from utils.amounts import Amounts
from utils.errors import UsageError

ABSOLUTE_ERROR = Tally(name="train_mae", short="mae", count=quantiles.absolute_error)
LOGGED = ("train_loss", "validation_loss", "validation_mae", "validation_crps", "gradient_norm_median")


class AmountForecaster(Forecaster, Protocol):
    """A model of amounts as the experiment sees it."""

    def amounts(self, windows: AmountWindows) -> Amounts:
        """Return what is said about the rain of the windows, in their order."""
        ...


def build(settings: Settings, dimensions: Dimensions, device: torch.device) -> AmountForecaster:
    """Build the model that the flags name, with an output for each quantile.

    Raises:
        UsageError: ``CONFIG``, the model gives no amounts, or the best epoch is asked for by a score of classes.
    """
    if settings.data.lead_times:
        raise UsageError(
            "CONFIG",
            "A regression tells the amount of one lead time, that of its table.",
            where="--lead_times",
            evidence=f"got {' '.join(map(str, settings.data.lead_times))}",
            next_command="leave it out, or prepare a table with another --lead_time_hours",
        )
    arguments = settings.model_arguments(dimensions, settings.regression.n_quantiles)
    model = models.build_for_amounts(settings.run.model, arguments)
    if models.kind(settings.run.model) == "reference":
        return AmountReference(model, settings, dimensions)
    if settings.trainer.validation_score != "loss":
        raise UsageError(
            "CONFIG",
            "The best epoch of a regression is the one of smallest validation loss.",
            where="--validation_score",
            evidence=f"got {settings.trainer.validation_score}, which is for classes",
            next_command="--validation_score loss, or leave it out",
        )
    return AmountNetwork(adapted(model, settings).to(device), settings, dimensions)


class AmountNetwork(NetworkForecaster):
    """A network whose outputs are quantiles of the rain."""

    @staticmethod
    def build_loss(settings: Settings, dimensions: Dimensions) -> Loss:  # noqa: ARG004 - the common interface
        """Return the quantile loss, which needs neither flags nor sizes."""
        return quantiles.quantile_loss

    @property
    def target_classes(self) -> int:
        """A target is an amount and no class."""
        return 0

    def describe_loss(self) -> str:
        """Return in one line what is minimised."""
        return f"quantile loss of {self.settings.regression.n_quantiles} quantiles on the scale log(1 + mm)"

    def reports(self, splits: Splits, run: Path) -> tuple[Callback, ...]:  # noqa: ARG002 - the common interface
        """Return what warns and logs at the end of an epoch."""
        return EpochWarnings(), ForecastLog(run / METRICS_FILE, LOGGED)

    def objective(self, device: torch.device) -> Objective:
        """Return what a step of this training minimises."""
        return Objective(
            loss=self.loss,
            micro_batch_size=min(self.micro_batch_size, self.settings.trainer.batch_size),
            precision=self.precision(device),
            terms=lambda outputs, amounts: {"quantile_loss": quantiles.quantile_losses(outputs, amounts)},
            tally=ABSOLUTE_ERROR,
        )

    def amounts(self, windows: AmountWindows) -> Amounts:
        """Return quantiles, and their mean as the expected amount."""
        return self._amounts(self._logits(windows, "predicting"))

    @staticmethod
    def _amounts(outputs: torch.Tensor) -> Amounts:
        return Amounts.of_quantiles(quantiles.in_millimetres(outputs).double().cpu().numpy())

    def _validate(
        self, windows: WindowSet | EncodedWindows, model: torch.nn.Module | None = None
    ) -> dict[str, float | None]:
        outputs = self._logits(windows, "validation", model)
        loss = self.loss(outputs, windows.labels).item()
        # In the training itself no package of scores is needed: the CRPS is twice the quantile loss in millimetres.
        said, happened = quantiles.in_millimetres(outputs).double(), windows.labels.double()
        return {
            "validation_loss": loss,
            "validation_mae": (said[:, said.shape[1] // 2] - happened).abs().mean().item(),
            "validation_crps": 2 * quantiles.mean_quantile_losses(said, happened).mean().item(),
        }


class AmountReference(ReferenceForecaster):
    """A reference forecast of amounts."""

    def targets(self, windows: WindowSet) -> np.ndarray:
        """Return the rain of the label periods in millimetres, `(N,)`."""
        return np.asarray(windows.index.precipitation_mm, dtype=np.float64)

    def amounts(self, windows: AmountWindows) -> Amounts:
        """Return what the reference says."""
        return self.model.predict_amounts(self.inputs(windows))
