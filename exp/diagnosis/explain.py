"""While a run trains: turn a bad step into a verdict, a report in the run directory and a replay bundle."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

from torch import nn

from exp.diagnosis import bundle, last_update
from exp.diagnosis.attribution import attribute
from exp.diagnosis.replay import Past, Suspect, own_copy
from exp.diagnosis.report import Diagnosis
from exp.diagnosis.verdict import Verdict
from exp.guard import Outcome, StepRecord
from exp.settings import Dimensions, Settings
from exp.trainer import Trainer
from utils.errors import NumericalError, StorageError
from utils.findings import Finding

logger = logging.getLogger(__name__)


class Explainer:
    """Explains bad steps of one run.

    Args:
        run: directory of the run.
        settings: flags of the run.
        dimensions: sizes of the data.
        variables: names of the inputs.
        diagnosis: what the checks before the first step found; verdicts are added to it.
    """

    def __init__(
        self, run: Path, settings: Settings, dimensions: Dimensions, variables: tuple[str, ...], diagnosis: Diagnosis
    ) -> None:
        self.run, self.settings, self.dimensions = run, settings, dimensions
        self.variables, self.diagnosis = variables, diagnosis
        self._bundled: set[str] = set()

    def __call__(self, trainer: Trainer, outcome: Outcome) -> Verdict:
        """Find the cause of a bad step, and keep it; ``NOT_EXPLAINED`` where the step cannot be taken again."""
        started = time.monotonic()
        logger.warning(
            "NOT_FINITE: loss %s, gradient norm %s at %s; it changed nothing. Looking for the cause ...",
            outcome.loss,
            outcome.norm,
            _name(outcome.step),
        )
        n_classes = 0 if self.settings.is_regression else self.dimensions.n_classes
        sizes = {"step_hours": self.dimensions.step_hours, "n_classes": n_classes}
        try:
            suspect = suspect_of_step(trainer, outcome, self.variables, **sizes)
            suspect = replace(suspect, is_loaded=self.settings.run.adaptation)
            verdict = attribute(suspect)
        except (RuntimeError, MemoryError) as error:
            # Such as no memory for a second model on the card: the training itself can go on.
            return _not_explained(outcome, error)
        number, anomaly = trainer.anomaly
        if number == outcome.step.number:
            evidence = f"{verdict.evidence}; --detect_anomaly: {anomaly}"
            verdict = replace(verdict, finding=replace(verdict.finding, evidence=evidence))
        logger.info("explained in %.1f s", time.monotonic() - started)
        try:
            self._write(trainer, suspect, verdict, outcome.step.number)
        except StorageError as error:
            # The cause is worth more than its file: it is told on the screen whatever the disk says.
            logger.warning("The report of this step could not be written.\n%s", error)
        return verdict

    def _write(self, trainer: Trainer, suspect: Suspect, verdict: Verdict, number: int) -> None:
        # A step that is taken again after a resumption is told once.
        others = [earlier for earlier in self.diagnosis.bad_steps if earlier.parts() != verdict.parts()]
        self.diagnosis.bad_steps[:] = [*others, verdict]
        self.diagnosis.verdict = verdict
        self.diagnosis.batch = verdict.record
        self.diagnosis.steps = list(trainer.watch.recent)
        logger.info("report       %s", self.diagnosis.write(self.run))
        self.keep(trainer, suspect, verdict, number)

    def keep(self, trainer: Trainer, suspect: Suspect, verdict: Verdict, number: int) -> None:
        """Keep the first step of each cause as a replay bundle.

        Raises:
            StorageError: it cannot be written.
        """
        if verdict.code in self._bundled:
            return
        self._bundled.add(verdict.code)
        folder = bundle.save(
            self.run / f"bundle-step{number}",
            replace(suspect, model=own_copy(trainer.model, trainer.guard.statistics_before())),
            self.settings,
            self.dimensions,
            verdict.to_json(),
        )
        logger.info("to look at this step again: python run.py --task_name diagnose --bundle %s", folder)


def suspect_of_step(
    trainer: Trainer, outcome: Outcome, variables: tuple[str, ...], *, step_hours: int, n_classes: int
) -> Suspect:
    """Return the step that came to this outcome, on a copy of the model as it was before."""
    applied = trainer.guard.last_applied
    model = trainer.plain_model
    twin = own_copy(model, trainer.guard.statistics_before())
    twin.train()
    return Suspect(
        model=twin,
        objective=trainer.objective,
        windows=trainer.train,
        ids=outcome.step.ids,
        variables=variables,
        step_hours=step_hours,
        n_classes=n_classes,
        random_state=outcome.step.random_state,
        loss_scale=outcome.loss_scale,
        past=lambda: _past(trainer, model, outcome.step),
        name=_name(outcome.step),
        last_good=_name(applied) if applied else "",
        seen_loss=outcome.loss,
        seen_norm=outcome.norm,
    )


def _past(trainer: Trainer, model: nn.Module, step: StepRecord) -> Past:
    applied, first = trainer.guard.last_applied, trainer.watch.first_steps
    before = last_update.weights_before(model, trainer.optimizer, applied.learning_rates) if applied else None
    return Past(
        before_update=before,
        epoch_start=trainer.epoch_start or None,
        steps=tuple(first) if step in first and trainer.epoch_start else (),
        windows=trainer.train,
        learning_rate=applied.learning_rates[0] if applied else None,
        weight_decay=trainer.config.weight_decay,
        clip_grad_norm=trainer.guard.clip_grad_norm,
    )


def _not_explained(outcome: Outcome, error: RuntimeError | MemoryError) -> Verdict:
    return Verdict(
        finding=Finding(
            code="NOT_EXPLAINED",
            severity="error",
            kind=NumericalError,
            what="The step was not finite, and taking it again on a copy of the model failed.",
            where=_name(outcome.step),
            evidence=f"loss {outcome.loss}, gradient norm {outcome.norm}; {type(error).__name__}: "
            f"{str(error).partition(chr(10))[0][:200]}",
            next_command="--guard_level full names the first bad tensor without a copy; where memory is short, a "
            "smaller --micro_batch_size",
        )
    )


def _name(step: StepRecord) -> str:
    return f"step {step.number}, epoch {step.epoch}, batch {step.batch}"
