"""Networks and references behind one interface: fit on windows, save plain tensors, say what they forecast."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

import models
from data_provider.factory import Splits
from data_provider.windows import WindowSet
from exp.callbacks import BestCheckpoint, EpochWarnings, MetricsLog
from exp.frozen_encoder import EncodedWindows, FrozenEncoder
from exp.network_training import METRICS_FILE, NetworkTraining
from exp.objective import Loss, Objective
from exp.reference_inputs import FEATURE_BATCH, collect
from exp.settings import Dimensions, Settings
from exp.state_keeper import Keeping
from exp.trainer import Callback, Explain, Trainer, predict_logits
from layers import losses
from layers.low_rank import add_low_rank
from utils import checkpoint, distributed

logger = logging.getLogger(__name__)
# Enough for quantiles; windows of a long record are many, and neighbours say the same.
INPUT_WINDOWS = 20_000
NOTHING_KEPT = Keeping()
# The maps that the source of low-rank adaptation adds to.
ADAPTED = ("query_projection", "value_projection")


class Forecaster(Protocol):
    """A model as the experiment sees it."""

    def fit(
        self, splits: Splits, run: Path, explain: Explain | None = None, keeping: Keeping = NOTHING_KEPT
    ) -> list[dict[str, Any]]:
        """Fit on the training windows, choose on validation, write best.pt; return the history."""
        ...

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the tensors of best.pt."""
        ...

    def cost(self) -> dict[str, Any]:
        """Return parameters and the like, for the scores file."""
        ...


class ClassForecaster(Forecaster, Protocol):
    """A model that says whether it rains; one that says how much is in `exp.amount_forecasters`."""

    def probabilities(self, windows: WindowSet) -> np.ndarray:
        """Return `(N, n_classes)` class probabilities of the windows, in their order."""
        ...


def build(settings: Settings, dimensions: Dimensions, device: torch.device) -> Forecaster:
    """Build the model that the flags name: a `ClassForecaster`, or for a regression an `AmountForecaster`."""
    if settings.is_regression:
        from exp import amount_forecasters  # here, since it is made of the classes of this module

        return amount_forecasters.build(settings, dimensions, device)
    if dimensions.n_leads > 1:
        from exp import lead_forecasters  # for the same reason

        return lead_forecasters.build(settings, dimensions, device)
    n_outputs = losses.n_outputs(settings.loss, dimensions.n_classes) if _is_network(settings) else dimensions.n_classes
    model = models.build(settings.run.model, settings.model_arguments(dimensions, n_outputs))
    if _is_network(settings):
        return ClassNetwork(adapted(model, settings).to(device), settings, dimensions)
    return ClassReference(model, settings, dimensions)


def adapted(model: torch.nn.Module, settings: Settings) -> torch.nn.Module:
    """Return a network with what `--tune` adds to it."""
    if settings.transfer.tune == "lora":
        add_low_rank(model, ADAPTED, settings.transfer.lora_rank)
    return model


def _is_network(settings: Settings) -> bool:
    return models.kind(settings.run.model) == "network"


class NetworkForecaster(NetworkTraining):
    """A network trained by the trainer, by default on classes; what it forecasts is a subclass's to say."""

    def __init__(self, model: torch.nn.Module, settings: Settings, dimensions: Dimensions) -> None:
        super().__init__(model, settings, self.build_loss(settings, dimensions))
        self.dimensions = dimensions

    @staticmethod
    def build_loss(settings: Settings, dimensions: Dimensions) -> Loss:
        """Return the mean loss of a batch."""
        return losses.build_loss(settings.loss, dimensions.n_classes)

    @property
    def target_classes(self) -> int:
        """Number of classes that a target may be, 0 where it is an amount."""
        return self.dimensions.n_classes

    def describe_loss(self) -> str:
        """Return in one line what is minimised."""
        return losses.describe(self.settings.loss)

    def reports(self, splits: Splits, run: Path) -> tuple[Callback, ...]:
        """Return what warns and logs at the end of an epoch."""
        return (
            EpochWarnings(float((splits.validation.index.label > 0).mean())),
            MetricsLog(run / METRICS_FILE, self.base_rate_loss(splits)),
        )

    def base_rate_loss(self, splits: Splits) -> float:
        """Return the loss of always forecasting the class shares of training."""
        return base_rate_entropy(splits.train.index.label)

    def fit(
        self, splits: Splits, run: Path, explain: Explain | None = None, keeping: Keeping = NOTHING_KEPT
    ) -> list[dict[str, Any]]:
        """Train; the model ends with the weights of the best epoch.

        Args:
            splits: windows of the three splits.
            run: directory of the run.
            explain: finds the cause of a step that was not finite.
            keeping: what the state of the run belongs to, and where it goes on.
        """
        config = self.settings.trainer
        logger.info(
            "loss: %s; %d steps an epoch, %d parameters",
            self.describe_loss(),
            -(-len(splits.train) // config.batch_size),
            self.cost()["parameters"],
        )
        if keeping.point is None:
            self._fit_inputs(splits.train)
        self.split_batches(splits.train, keeping)
        best = BestCheckpoint(
            run,
            config.validation_score,
            config.patience,
            description=keeping.description,
            as_safetensors=self.settings.checkpoint.save_safetensors,
        )
        keeper = self.keeper(run, best, keeping)
        frozen = self.frozen_encoder(splits.train.device, run)
        trainer = Trainer(
            self.model,
            self.objective(splits.train.device),
            config,
            self.settings.guard,
            splits.train,
            evaluate=lambda model: self._validate(
                splits.validation
                if frozen is None or model is not frozen.head
                else frozen.encoded(splits.validation, "validation"),
                model,
            ),
            seed=self.settings.run.seed,
            callbacks=(*self.reports(splits, run), best),
            explain=explain,
            keeper=keeper,
            transfer=self.settings.transfer,
            frozen=frozen,
        )
        try:
            return self.train(trainer, keeper)
        finally:
            if frozen is not None:
                frozen.release()

    def _fit_inputs(self, windows: WindowSet) -> None:
        """Let the model take what it wants to know of its inputs from training windows, spread over their time."""
        model: Any = self.model
        if not hasattr(model, "fit_inputs"):
            return
        every = -(-len(windows) // INPUT_WINDOWS)
        ids = torch.arange(0, len(windows), every, device=windows.device)
        model.fit_inputs((windows.inputs(part), windows.marks[part]) for part in ids.split(FEATURE_BATCH))

    def frozen_encoder(self, device: torch.device, folder: Path) -> FrozenEncoder | None:
        """Return what runs a frozen encoder once, for a model whose encoder and head can be told apart.

        Args:
            device: of the training.
            folder: for what fits no memory.
        """
        if not self.settings.transfer.cache_frozen_encoder or not hasattr(self.model, "encode"):
            return None
        return FrozenEncoder(self.model, self.precision(device), self.evaluation_batch, folder)

    def objective(self, device: torch.device) -> Objective:
        """Return what a step of this training minimises."""
        return Objective(
            loss=self.loss,
            micro_batch_size=min(self.micro_batch_size, self.settings.trainer.batch_size),
            precision=self.precision(device),
            weigh=partial(losses.total_weight, self.settings.loss),
            terms=partial(losses.loss_terms, self.settings.loss),
        )

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take all weights, strictly."""
        self.model.load_state_dict(dict(state))

    def _logits(
        self, windows: WindowSet | EncodedWindows, title: str, model: torch.nn.Module | None = None
    ) -> torch.Tensor:
        precision = self.precision(windows.device)
        # While a network is trained all ranks validate it; what it is worth in the end one of them asks alone.
        ranks = distributed.current() if model is not None else None
        return predict_logits(model or self.model, windows, self.evaluation_batch, precision, title=title, ranks=ranks)

    def _validate(
        self, windows: WindowSet | EncodedWindows, model: torch.nn.Module | None = None
    ) -> dict[str, float | None]:
        logits = self._logits(windows, "validation", model)
        loss = self.loss(logits, windows.labels).item()
        probability = losses.probabilities(logits).double().cpu().numpy()
        return {"validation_loss": loss, **validation_scores(probability, windows.index.label)}


class ClassNetwork(NetworkForecaster):
    """A network that says whether it rains."""

    def probabilities(self, windows: WindowSet) -> np.ndarray:
        """Return class probabilities."""
        return losses.probabilities(self._logits(windows, "predicting")).double().cpu().numpy()


class ReferenceForecaster:
    """A reference forecast: fitted in one go on what it asks for."""

    def __init__(self, model: Any, settings: Settings, dimensions: Dimensions) -> None:
        self.model, self.dimensions = model, dimensions
        self.with_history = getattr(settings.model, "history_features", False)
        self.seconds = 0.0

    def fit(
        self,
        splits: Splits,
        run: Path,
        explain: Explain | None = None,  # noqa: ARG002
        keeping: Keeping = NOTHING_KEPT,
    ) -> list[dict[str, Any]]:
        """Fit on the training windows and write best.pt."""
        inputs = self.inputs(splits.train)
        started = time.monotonic()
        self.model.fit(inputs, self.targets(splits.train))
        self.seconds = time.monotonic() - started
        metadata = {"holds": "fitted reference", **keeping.description}
        checkpoint.save(run / "best.pt", self.model.state(), metadata=metadata)
        return []

    def inputs(self, windows: WindowSet) -> dict[str, Any]:
        """Return what the model asks for."""
        return collect(self.model.needs, windows, self.dimensions, with_history=self.with_history)

    def targets(self, windows: WindowSet) -> np.ndarray:
        """Return what the model is to answer, `(N,)`."""
        return windows.index.label

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the fitted tensors."""
        self.model.load_state(state)

    def cost(self) -> dict[str, Any]:
        """Return the time of the fit."""
        return {"fit_seconds": self.seconds}


class ClassReference(ReferenceForecaster):
    """A reference that says whether it rains."""

    def probabilities(self, windows: WindowSet) -> np.ndarray:
        """Return class probabilities."""
        return self.model.predict_probability(self.inputs(windows))


def base_rate_entropy(label: np.ndarray) -> float:
    """Return the cross-entropy, in nats, of always forecasting the class shares of `label`."""
    share = np.bincount(label) / len(label)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def validation_scores(probability: np.ndarray, label: np.ndarray) -> dict[str, float | None]:
    """Return ROC AUC and Brier score of rain (class 1 or higher), None where not finite."""
    from sklearn.metrics import brier_score_loss, roc_auc_score

    rain, observed = probability[:, 1:].sum(axis=1), label > 0
    if not np.isfinite(rain).all():
        return dict.fromkeys(
            ("validation_roc_auc", "validation_brier_score", "validation_rain_share", "rain_probability_deviation")
        )
    return {
        "validation_roc_auc": float(roc_auc_score(observed, rain)),
        "validation_brier_score": float(brier_score_loss(observed, np.clip(rain, 0, 1))),
        "validation_rain_share": float((rain >= 0.5).mean()),
        "rain_probability_deviation": float(rain.std()),
    }
