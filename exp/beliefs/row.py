"""One belief, one row: what is said, what was measured, and whether the measurement bears the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

Verdict = Literal["true", "half true", "false", "depends"]
NOT_MEASURED = "not measured here"


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the defaults take some minutes on two cores.

    Attributes:
        days: length of the synthetic weather.
        width: model width; the inner width of its layers is twice that.
        layers: encoder layers.
        steps: optimizer steps of a short training.
        cause_steps: optimizer steps where only their being finite is counted.
        seeds: trainings per setting; losses are means over them.
        batch: windows a step.
        pairs: interleaved pairs of a timing.
        timed_width: model width of a timing.
        timed_layers: encoder layers of a timing.
        timed_batch: windows a step of a timing.
    """

    days: int = 365
    width: int = 64
    layers: int = 2
    steps: int = 150
    cause_steps: int = 25
    seeds: int = 2
    batch: int = 16
    pairs: int = 40
    timed_width: int = 128
    timed_layers: int = 4
    timed_batch: int = 8

    def __str__(self) -> str:
        return (
            f"synthetic weather of {self.days} days, 5 regions; Timer-XL of {self.layers} layers, width {self.width}; "
            f"batches of {self.batch}; trainings of {self.steps} steps x {self.seeds} seeds, causes counted over "
            f"{self.cause_steps} steps; timings {self.timed_layers} layers, width {self.timed_width}, "
            f"{self.timed_batch} windows of 672 x 27, medians of {self.pairs} interleaved pairs"
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """A belief and its measurement.

    Attributes:
        belief: what is said, in a few words.
        notes: the number that is said with it, or the words.
        measured: our figures, as text.
        verdict: ours.
        reason: one sentence.
        holds: False where the figures of this run do not bear the verdict.
        figures: the same figures under names, for machines.
    """

    belief: str
    notes: str
    measured: str
    verdict: Verdict
    reason: str
    holds: bool = True
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self, name: str) -> dict[str, Any]:
        """Return plain values; the verdict of a run that does not bear it is ``depends``."""
        content = _plain(asdict(self))
        return {"name": name, **content, "verdict": self.stated_verdict, "command": command(name)}

    @property
    def stated_verdict(self) -> Verdict:
        """The verdict, or ``depends`` where this run's figures do not bear it."""
        return self.verdict if self.holds else "depends"


Belief = Callable[[Sizes], Row]


def _plain(value: Any) -> Any:
    """Turn figures into what JSON holds; numbers that are not finite become their names."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def command(name: str) -> str:
    """The command that measures one belief."""
    return f"python -m exp.beliefs --only {name}"


def markdown(rows: Iterable[tuple[str, Row]]) -> str:
    """Lay out named rows as a Markdown table."""
    lines = ["| belief | notes | measured | verdict | command |", "|---|---|---|---|---|"]
    for name, row in rows:
        doubt = "" if row.holds else "This run does not bear the usual verdict. "
        cells = (
            row.belief, row.notes, f"{row.measured}. {doubt}{row.reason}", row.stated_verdict, f"`{command(name)}`",
        )  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def not_measured(belief: str, notes: str, why: str) -> Row:
    """A row for what cannot be measured here, with the reason."""
    return Row(belief=belief, notes=notes, measured=NOT_MEASURED, verdict="depends", reason=why)


def percent(share: float) -> str:
    """Write a share in per cent, with as many digits as small shares need."""
    value = 100 * share
    return f"{value:.0f} %" if value == round(value) else f"{value:.1f} %" if value >= 0.1 else f"{value:.2g} %"
