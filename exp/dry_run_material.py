"""What a dry run measures with: the network of the flags, and windows of its data or random ones of their size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from data_provider.series_factory import load_series
from exp import forecasters, forecasting, rain_splits
from exp.costs import Training
from exp.diagnosis.model_check import random_windows
from exp.diagnosis.preflight import dimensions_of, usual_dimensions
from exp.forecast_training import ForecastTraining
from exp.forecasters import NetworkForecaster
from exp.objective import Windows
from exp.settings import Dimensions, Settings, context_length
from exp.trainer import Trainer

# Training windows of the case: what an epoch is where there is no table to count them in.
WINDOWS_OF_THE_CASE = 6224


@dataclass(frozen=True)
class Material:
    """What the cost is measured with.

    Attributes:
        training: the network and its flags.
        dimensions: of the data.
        train: windows to take steps on.
        n_train: training windows of an epoch.
        validation: windows scored after each epoch; None where there is no table.
        told: where the windows come from.
    """

    training: Training
    dimensions: Dimensions
    train: Windows
    n_train: int
    validation: Windows | None
    told: str

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-self.n_train // self.training.settings.trainer.batch_size)

    @property
    def n_encoded(self) -> int:
        """Windows that a frozen encoder sees."""
        return self.n_train + (0 if self.validation is None else len(self.validation))

    @property
    def folder(self) -> Path:
        """Where the runs of these flags lie."""
        run = self.training.settings.run
        return Path(run.checkpoints) / run.model_id

    def trainer(self) -> Trainer:
        """Return the trainer of these flags, which keeps nothing."""
        training, device = self.training, self.train.device
        settings, is_classifier = training.settings, isinstance(training, NetworkForecaster)
        return Trainer(
            training.model,
            training.objective(device),
            settings.trainer,
            settings.guard,
            self.train,
            evaluate=lambda _: {},
            seed=settings.run.seed,
            transfer=settings.transfer if is_classifier else None,
            frozen=training.frozen_encoder(device, self.folder) if isinstance(training, NetworkForecaster) else None,
        )


def load(settings: Settings, device: torch.device) -> Material:
    """Return what the flags name; without a table, random windows of the usual size.

    Raises:
        ForeseenError: the flags make no model, or the data are there and at fault, or there are no series.
    """
    if settings.run.task_name == "forecast":
        return _of_series(settings, device)
    if settings.data.path.is_file():
        return _of_table(settings, device)
    n_leads = max(len(settings.data.lead_times), 1)
    dimensions = usual_dimensions(context_length(settings), n_classes=settings.run.n_classes or 2, n_leads=n_leads)
    return random(settings, dimensions, device)


def source(settings: Settings) -> str:
    """Return in words what `load` will take, before it takes the time to read it."""
    if settings.run.task_name == "forecast":
        return f"the series in {settings.series.path}"
    return f"the table {settings.data.path}" if settings.data.path.is_file() else "random numbers"


def random(settings: Settings, dimensions: Dimensions, device: torch.device) -> Material:
    """Return random windows of these sizes."""
    told = (
        f"random numbers, {dimensions.context_length} rows of {dimensions.n_variables} variables: there is no "
        f"{settings.data.path}; an epoch is taken as {WINDOWS_OF_THE_CASE:,} windows"
    )
    windows = random_windows(dimensions, device)
    return Material(_classifier(settings, dimensions, device), dimensions, windows, WINDOWS_OF_THE_CASE, None, told)


def _of_table(settings: Settings, device: torch.device) -> Material:
    splits = rain_splits.load(settings, device)
    told = f"{len(splits.train):,} training windows of {splits.train.context_length} rows in {settings.data.path}"
    dimensions = dimensions_of(splits)
    training = _classifier(settings, dimensions, device)
    return Material(training, dimensions, splits.train, len(splits.train), splits.validation, told)


def _of_series(settings: Settings, device: torch.device) -> Material:
    data = load_series(settings.series, device)
    sets = forecasting.windows(settings, data)
    training = ForecastTraining(forecasting.model(settings, device), settings)
    dimensions = forecasting.dimensions_of(data, sets)
    told = (
        f"{len(sets.train):,} training windows of {dimensions.context_length} rows and {dimensions.n_variables} "
        f"channels in {settings.series.path}"
    )
    return Material(training, dimensions, sets.train, len(sets.train), sets.validation, told)


def _classifier(settings: Settings, dimensions: Dimensions, device: torch.device) -> NetworkForecaster:
    forecaster = forecasters.build(settings, dimensions, device)
    assert isinstance(forecaster, NetworkForecaster)
    return forecaster
