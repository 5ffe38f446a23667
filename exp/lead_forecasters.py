"""Models that tell several lead times at once: a network with outputs for each, a reference fitted for each.

N windows, B windows of a batch, K lead times, C classes, Q logits of one lead time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

import models
from data_provider.factory import Splits
from data_provider.lead_windows import LeadWindows
from data_provider.windows import WindowIndex, WindowSet
from exp.forecasters import (
    NOTHING_KEPT,
    ClassReference,
    Forecaster,
    NetworkForecaster,
    adapted,
    base_rate_entropy,
    validation_scores,
)
from exp.frozen_encoder import EncodedWindows
from exp.objective import Loss, Objective, Tally, answers
from exp.settings import Dimensions, Settings
from exp.state_keeper import Keeping
from exp.trainer import Explain
from layers import losses
from utils import checkpoint


class LeadForecaster(Forecaster, Protocol):
    """A model that says for several lead times whether it rains."""

    def lead_probabilities(self, windows: WindowSet) -> np.ndarray:
        """Return `(N, K, C)` class probabilities of the windows, in their order."""
        ...


def build(settings: Settings, dimensions: Dimensions, device: torch.device) -> LeadForecaster:
    """Build the model that the flags name, with all outputs for each lead time."""
    if models.kind(settings.run.model) == "reference":
        arguments = settings.model_arguments(dimensions, dimensions.n_classes)
        parts = [models.build(settings.run.model, arguments) for _ in range(dimensions.n_leads)]
        return LeadReference(parts, settings, dimensions)
    n_outputs = dimensions.n_leads * losses.n_outputs(settings.loss, dimensions.n_classes)
    model = models.build(settings.run.model, settings.model_arguments(dimensions, n_outputs))
    return LeadNetwork(adapted(model, settings).to(device), settings, dimensions)


def _flat(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay logits `(B, K * Q)` and classes `(B, K)` out as `(B * K, Q)` and `(B * K,)`."""
    return logits.reshape(labels.numel(), -1), labels.reshape(-1)


def _right_of_all(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Count right answers, each lead time a share of its window."""
    flat, classes = _flat(logits, labels)
    return (answers(flat) == classes).sum() / labels.shape[1]


class LeadNetwork(NetworkForecaster):
    """A network whose outputs are the classes at every lead time; its loss is the mean over them."""

    @staticmethod
    def build_loss(settings: Settings, dimensions: Dimensions) -> Loss:
        """Return the mean loss of a batch."""
        of_one = losses.build_loss(settings.loss, dimensions.n_classes)
        return lambda logits, labels: of_one(*_flat(logits, labels))

    def describe_loss(self) -> str:
        """Return in one line what is minimised."""
        return f"{super().describe_loss()}; the mean over {self.dimensions.n_leads} lead times"

    def base_rate_loss(self, splits: Splits) -> float:
        """Return the mean loss over the lead times of always forecasting the base rates of training."""
        return float(np.mean([base_rate_entropy(label) for label in splits.train.labels.cpu().numpy().T]))

    def objective(self, device: torch.device) -> Objective:
        """Return what a step of this training minimises."""
        config = self.settings.loss
        return replace(
            super().objective(device),
            weigh=lambda labels: losses.total_weight(config, labels.reshape(-1)),
            terms=lambda logits, labels: losses.loss_terms(config, *_flat(logits, labels)),
            tally=Tally(name="train_accuracy", short="acc", count=_right_of_all),
        )

    def lead_probabilities(self, windows: WindowSet) -> np.ndarray:
        """Return class probabilities at all lead times."""
        return self._by_lead(self._logits(windows, "predicting"))

    def _by_lead(self, logits: torch.Tensor) -> np.ndarray:
        n_windows, n_leads = len(logits), self.dimensions.n_leads
        flat = losses.probabilities(logits.reshape(n_windows * n_leads, -1))
        return flat.reshape(n_windows, n_leads, -1).double().cpu().numpy()

    def _validate(
        self, windows: WindowSet | EncodedWindows, model: torch.nn.Module | None = None
    ) -> dict[str, float | None]:
        logits = self._logits(windows, "validation", model)
        of_first = validation_scores(self._by_lead(logits)[:, 0], windows.index.label)
        return {"validation_loss": self.loss(logits, windows.labels).item(), **of_first}


class LeadReference:
    """A reference of its own for each lead time, all fitted on the same inputs.

    Args:
        parts: the models, not fitted.
        settings: of the run.
        dimensions: of the data.
    """

    def __init__(self, parts: Sequence[Any], settings: Settings, dimensions: Dimensions) -> None:
        self.parts = [ClassReference(model, settings, dimensions) for model in parts]

    def fit(
        self,
        splits: Splits,
        run: Path,
        explain: Explain | None = None,  # noqa: ARG002 - the common interface
        keeping: Keeping = NOTHING_KEPT,
    ) -> list[dict[str, Any]]:
        """Fit each on the training windows of its lead time and write best.pt."""
        windows = splits.train
        shared = self.parts[0].inputs(windows)
        for part, index in zip(self.parts, _at_leads(windows), strict=True):
            started = time.monotonic()
            part.model.fit(_with_past(shared, index), index.label)
            part.seconds = time.monotonic() - started
        state = {
            f"{number}.{name}": tensor
            for number, part in enumerate(self.parts)
            for name, tensor in part.model.state().items()
        }
        checkpoint.save(run / "best.pt", state, metadata={"holds": "fitted reference", **keeping.description})
        return []

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the fitted tensors of all lead times."""
        for number, part in enumerate(self.parts):
            own = f"{number}."
            part.load_state({name.removeprefix(own): each for name, each in state.items() if name.startswith(own)})

    def cost(self) -> dict[str, Any]:
        """Return the time of all fits."""
        return {"fit_seconds": sum(part.seconds for part in self.parts)}

    def lead_probabilities(self, windows: WindowSet) -> np.ndarray:
        """Return class probabilities at all lead times."""
        shared = self.parts[0].inputs(windows)
        told = [
            part.model.predict_probability(_with_past(shared, index))
            for part, index in zip(self.parts, _at_leads(windows), strict=True)
        ]
        return np.stack(told, axis=1)


def _at_leads(windows: WindowSet) -> tuple[WindowIndex, ...]:
    assert isinstance(windows, LeadWindows), "lead times are asked of windows that have their labels"
    return windows.at_leads


def _with_past(shared: Mapping[str, Any], index: WindowIndex) -> dict[str, Any]:
    """Return inputs in which the class of the period before is that of a lead time; all others are the same."""
    return {**shared, **({"past_class": index.past_class} if "past_class" in shared else {})}
