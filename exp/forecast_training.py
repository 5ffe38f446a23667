"""Pre-training: every token of a window forecasts the token after it, in the loop that all networks share.

B windows of a batch, L look-back rows, C channels of a window, N tokens, O length of an output token.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data_provider.series_windows import Lengths, SeriesWindows
from exp import forecast_scoring
from exp.callbacks import BestCheckpoint, EpochWarnings
from exp.diagnosis.attribution import attribute
from exp.diagnosis.explain import Explainer
from exp.diagnosis.replay import Suspect, own_copy, replay
from exp.diagnosis.verdict import Verdict
from exp.network_training import METRICS_FILE, NetworkTraining
from exp.objective import Objective, Tally
from exp.settings import Settings, context_length
from exp.state_keeper import Keeping
from exp.trainer import Callback, Explain, Row, Trainer
from utils.run_directory import append_json_line

logger = logging.getLogger(__name__)
LOGGED = ("train_loss", "validation_loss", "validation_mae", "gradient_norm_median")


def _absolute(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the sum over the windows of the mean absolute error of `(B, N * O, C)`."""
    return (output.float() - target).abs().flatten(1).mean(dim=1).sum()


ABSOLUTE_ERROR = Tally(name="train_mae", short="mae", count=_absolute)


def lengths_of(settings: Settings) -> Lengths:
    """Return how long the windows of training and validation are: they reach an output token ahead."""
    config = settings.model
    return Lengths(
        context=context_length(settings),
        ahead=config.output_token_len,
        input_token=config.input_token_len,
        output_token=config.output_token_len,
    )


class ForecastLog(Callback):
    """Writes each row to metrics.jsonl and one line to the log.

    Args:
        path: metrics.jsonl.
        figures: of the row, that the line tells.
    """

    def __init__(self, path: Path, figures: tuple[str, ...] = LOGGED) -> None:
        self.path, self.figures = path, figures

    def on_epoch_end(self, trainer: Trainer, row: Row) -> bool:
        """Log the row; never stops."""
        if trainer.ranks.is_first:
            append_json_line(self.path, row)
        shown = {name: "undefined" if value is None else value for name, value in row.items()}
        told = [f"{name.replace('_', ' ')} {_short(shown[name])}" for name in self.figures]
        seconds = row["train_seconds"] + row["evaluation_seconds"]
        logger.info(
            "epoch %d/%d  %s  rate %.1e  skipped %d  %.0f s",
            row["epoch"],
            trainer.config.train_epochs,
            "  ".join(told),
            row["learning_rate"],
            row["skipped_steps"],
            seconds,
        )
        return False


class ForecastTraining(NetworkTraining):
    """Trains Timer-XL on series.

    Args:
        model: on its device.
        settings: flags of the run.
    """

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        super().__init__(model, settings, nn.functional.mse_loss)

    def fit(
        self, train: SeriesWindows, validation: SeriesWindows, run: Path, explain: Explain, keeping: Keeping
    ) -> list[Row]:
        """Train; the model ends with the weights of the epoch of smallest validation MSE.

        Args:
            train: windows that reach an output token ahead.
            validation: the same, later.
            run: directory of the run.
            explain: finds the cause of a step that was not finite.
            keeping: what the state of the run belongs to, and where it goes on.
        """
        settings, config = self.settings, self.settings.trainer
        self.split_batches(train, keeping)
        best = BestCheckpoint(
            run,
            "loss",
            config.patience,
            description=keeping.description,
            as_safetensors=settings.checkpoint.save_safetensors,
            advice="--guard_level full, which names the first tensor that is not finite",
        )
        keeper = self.keeper(run, best, keeping)
        trainer = Trainer(
            self.model,
            self.objective(train.device),
            config,
            settings.guard,
            train,
            evaluate=lambda _: self._validate(validation),
            seed=settings.run.seed,
            callbacks=(EpochWarnings(), ForecastLog(run / METRICS_FILE), best),
            explain=explain,
            keeper=keeper,
        )
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        logger.info("next-token MSE; %d steps an epoch, %d parameters", trainer.steps_per_epoch, parameters)
        return self.train(trainer, keeper)

    def objective(self, device: torch.device) -> Objective:
        """Return what a step of this training minimises."""
        return Objective(
            loss=self.loss,
            micro_batch_size=min(self.micro_batch_size, self.settings.trainer.batch_size),
            precision=self.precision(device),
            tally=ABSOLUTE_ERROR,
        )

    def forecast(self, ahead: int, device: torch.device) -> forecast_scoring.Forecast:
        """Return the forecast of the present weights, `ahead` rows far."""
        self.model.eval()
        return forecast_scoring.rolled(self.model, self.settings.model.output_token_len, ahead, self.precision(device))

    def cost(self) -> dict[str, Any]:
        """Return the number of parameters, how batches were split, and what the training took."""
        return super().cost() | {
            "epochs": len(self.history),
            "steps": self.history[-1]["step"] if self.history else 0,
            "train_seconds": sum(row["train_seconds"] for row in self.history),
        }

    def _validate(self, windows: SeriesWindows) -> dict[str, float | None]:
        forecast = self.forecast(windows.lengths.ahead, windows.device)
        found = forecast_scoring.score(forecast, windows, self.evaluation_batch, title="validation")
        return {"validation_loss": found["mse"], "validation_mae": found["mae"]}


class SeriesExplainer(Explainer):
    """Explains bad steps of a training on series; the report is written, a replay bundle is not."""

    def keep(self, trainer: Trainer, suspect: Suspect, verdict: Verdict, number: int) -> None:
        """Do without a bundle: it holds windows with classes."""


def require_sound_step(training: ForecastTraining, windows: SeriesWindows, channels: tuple[str, ...]) -> None:
    """Take one step on the first and the last window, without an update, and refuse to begin where it is not finite.

    Raises:
        ForeseenError: under the name of its cause.
    """
    ids = torch.tensor([0, len(windows) - 1], device=windows.device)
    suspect = Suspect(
        model=own_copy(training.model),
        objective=training.objective(windows.device),
        windows=windows,
        ids=ids,
        variables=channels,
        step_hours=1,
        n_classes=0,
        name="the first and the last training window",
        is_loaded=training.settings.run.adaptation,
    )
    if not replay(suspect).is_finite:
        raise attribute(suspect).finding.as_error()


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"
