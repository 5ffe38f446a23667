"""What the steps of an epoch came to: counted, warned about, explained, and ended when there are too many bad ones."""

from __future__ import annotations

import logging
import math
import statistics
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from exp.diagnosis.verdict import Verdict
from exp.guard import GuardConfig, Outcome, StepRecord
from utils.errors import NumericalError

logger = logging.getLogger(__name__)
MINIMUM_BUDGET = 3
LONGEST_RUN_OF_SKIPS = 10
SPIKE_LOSS_FACTOR = 10.0
SPIKE_NORM_FACTOR = 100.0
LARGE_NORM = 10.0
FREQUENT_SHARE = 0.1
LOSSES_REMEMBERED = 64
LOSSES_NEEDED = 8
STEPS_REMEMBERED = 2000
# So many steps of an epoch can be taken again in seconds, to see what a lower rate would have done.
FIRST_STEPS_KEPT = 3
LINES_PER_EPOCH = 3
# No later step can heal these: the fault is in the model as it stands.
PERMANENT = ("WEIGHT_NONFINITE",)


class StepWatch:
    """Sees every step; on a GPU one step late.

    Args:
        config: clipping, policy and budget.
        steps_per_epoch: attempted steps of an epoch, for the budget.
        explain: finds the cause of a bad step; called for the first of each epoch, and for the one that ends the run,
            which need not have the same cause. None: nobody is asked.
    """

    def __init__(
        self, config: GuardConfig, steps_per_epoch: int, explain: Callable[[Outcome], Verdict] | None = None
    ) -> None:
        self.config = config
        self.explain = explain
        self.budget = _budget(config.max_skipped_steps, steps_per_epoch)
        self.latest: Outcome | None = None
        self.first_verdict: Verdict | None = None
        self._losses: deque[float] = deque(maxlen=LOSSES_REMEMBERED)
        self.recent: deque[tuple[int, float, float]] = deque(maxlen=STEPS_REMEMBERED)
        self._in_a_row = 0
        self.start_epoch()

    def start_epoch(self) -> None:
        """Count anew."""
        self.skipped = self.scaler_overflows = self.spikes = 0
        self.verdict: Verdict | None = None
        self._verdict_before: Verdict | None = None
        self.norms: list[float] = []
        self.first_steps: list[StepRecord] = []

    def see(self, outcome: Outcome) -> None:
        """Count a step.

        Raises:
            NumericalError: the policy ends the run here.
        """
        self.latest = outcome
        if len(self.first_steps) < FIRST_STEPS_KEPT:
            self.first_steps.append(outcome.step)
        self.recent.append((outcome.step.number, outcome.loss, outcome.norm))
        if outcome.is_scaler_overflow:
            self.scaler_overflows += 1
        elif outcome.is_bad:
            self._see_bad(outcome)
        else:
            self._in_a_row = 0
            self.norms.append(outcome.norm)
            self._look_for_spike(outcome)
            self._losses.append(outcome.loss)

    def row(self) -> dict[str, Any]:
        """Return the epoch's part of a history row: counts, median and maximum norm, share that was clipped."""
        limit = self.config.clip_grad_norm or math.inf
        norms = self.norms
        return {
            "skipped_steps": self.skipped,
            "skip_cause": self.verdict.code if self.verdict else None,
            "scaler_overflows": self.scaler_overflows,
            "spikes": self.spikes,
            "gradient_norm_median": statistics.median(norms) if norms else None,
            "gradient_norm_max": max(norms, default=None),
            "clipped_share": sum(norm > limit for norm in norms) / len(norms) if norms else None,
            "large_norm_share": sum(norm > LARGE_NORM for norm in norms) / len(norms) if norms else None,
        }

    def end_epoch(self, epoch: int) -> None:
        """Say once what was not as it should be."""
        row = self.row()
        if self.skipped:
            cause = f"{self.verdict.code}: {self.verdict.what}" if self.verdict else "not explained"
            logger.warning(
                "SKIPPED: %d steps of epoch %d were not finite and changed nothing (allowed: %d).\n"
                "  cause:    %s\n  next:     %s",
                self.skipped,
                epoch,
                self.budget,
                cause,
                self.verdict.next_command if self.verdict else "--guard_level full names the first bad tensor",
            )
        if self.scaler_overflows:
            logger.info("  float16: %d steps repeated at a lower loss scale, as is normal", self.scaler_overflows)
        if (row["large_norm_share"] or 0) > FREQUENT_SHARE:
            logger.warning(
                "GRADIENT_NORM: above %g in %.0f %% of the steps of epoch %d (median %.3g, largest %.3g): lower "
                "--learning_rate by 30 to 50 %%.",
                LARGE_NORM,
                100 * row["large_norm_share"],
                epoch,
                row["gradient_norm_median"],
                row["gradient_norm_max"],
            )
        if self.spikes > LINES_PER_EPOCH:
            logger.warning("SPIKE: %d in epoch %d, the first %d named above.", self.spikes, epoch, LINES_PER_EPOCH)

    def state(self) -> dict[str, Any]:
        """Return what has been seen, as plain values; figures that are not finite become None."""
        verdicts = (self.verdict, self.first_verdict, self._verdict_before)
        return {
            "skipped": self.skipped,
            "scaler_overflows": self.scaler_overflows,
            "spikes": self.spikes,
            "in_a_row": self._in_a_row,
            "norms": list(self.norms),
            "losses": list(self._losses),
            "recent": [[number, _plain(loss), _plain(norm)] for number, loss, norm in self.recent],
            "verdicts": [verdict and verdict.parts() for verdict in verdicts],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.start_epoch()
        self.skipped, self.scaler_overflows = state["skipped"], state["scaler_overflows"]
        self.spikes, self._in_a_row = state["spikes"], state["in_a_row"]
        self.norms = list(state["norms"])
        self._losses.clear()
        self._losses.extend(state["losses"])
        self.recent.clear()
        self.recent.extend((number, _number(loss), _number(norm)) for number, loss, norm in state["recent"])
        verdicts = (parts and Verdict.from_parts(parts) for parts in state["verdicts"])
        self.verdict, self.first_verdict, self._verdict_before = verdicts

    def _see_bad(self, outcome: Outcome) -> None:
        self.skipped += 1
        self._in_a_row += 1
        is_last = (
            self.config.nan_policy == "stop" or self.skipped > self.budget or self._in_a_row >= LONGEST_RUN_OF_SKIPS
        )
        if self.explain and (self.verdict is None or is_last):
            self._verdict_before, self.verdict = self.verdict, self.explain(outcome)
            self.first_verdict = self.first_verdict or self.verdict
            logger.warning("%s", self.verdict)
        if is_last or (self.verdict and self.verdict.code in PERMANENT):
            raise self._end(outcome)

    def _end(self, outcome: Outcome) -> NumericalError:
        """Return the error that ends the run; the cause gives it its name where it is known."""
        step = f"step {outcome.step.number}, epoch {outcome.step.epoch}, batch {outcome.step.batch}"
        spent = (
            f"SKIP_BUDGET: {self.skipped} of {self.budget} allowed steps of this epoch were not finite"
            f" ({self._in_a_row} in a row, {LONGEST_RUN_OF_SKIPS} always end a run); none of them changed anything"
        )
        if self.verdict is None:
            return NumericalError(
                "SKIP_BUDGET",
                f"{self.skipped} of {self.budget} allowed steps of this epoch were not finite.",
                where=step,
                evidence=f"loss {outcome.loss}, gradient norm {outcome.norm}; {self._in_a_row} in a row; they were "
                "skipped and changed nothing",
                next_command="add --guard_level full to name the first bad tensor",
            )
        verdict, before = self.verdict, self._verdict_before
        reason = f"--nan_policy stop: ended at {step}" if self.config.nan_policy == "stop" else f"{spent}; {step}"
        if before and before.code != verdict.code:
            reason += f"; the first bad step of this epoch had another cause, {before.code}: {before.where}"
        return NumericalError(
            verdict.code,
            verdict.what,
            where=verdict.where,
            evidence=f"{verdict.evidence}; {reason}",
            next_command=verdict.next_command,
        )

    def _look_for_spike(self, outcome: Outcome) -> None:
        usual = statistics.median(self._losses) if len(self._losses) >= LOSSES_NEEDED else math.inf
        clip = self.config.clip_grad_norm
        if outcome.loss > SPIKE_LOSS_FACTOR * usual:
            self._spike(outcome, f"loss {outcome.loss:.4g}, usually {usual:.4g}")
        elif clip and outcome.norm > SPIKE_NORM_FACTOR * clip:
            self._spike(outcome, f"gradient norm {outcome.norm:.4g}, clipped to {clip:g}")

    def _spike(self, outcome: Outcome, evidence: str) -> None:
        self.spikes += 1
        if self.spikes <= LINES_PER_EPOCH:
            step = outcome.step
            logger.warning("SPIKE: %s (epoch %d, batch %d).", evidence, step.epoch, step.batch)


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _budget(max_skipped_steps: float, steps_per_epoch: int) -> int:
    if max_skipped_steps == 0 or max_skipped_steps >= 1:
        return int(max_skipped_steps)
    return max(MINIMUM_BUDGET, int(max_skipped_steps * steps_per_epoch))
