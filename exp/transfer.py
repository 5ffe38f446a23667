"""From a checkpoint to a model: an explicit plan of what is loaded, what starts fresh and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from exp.forecasters import Forecaster, NetworkForecaster
from exp.parts import part_of, parts_of, select, shortened
from exp.settings import Settings
from exp.stages import ADDED_BY_LORA
from utils import checkpoint
from utils.checkpoint_contents import Weights, judge, unwrap
from utils.checkpoint_layout import OF_A_CLASSIFIER, refuse_other_layouts, refuse_what_does_not_fit
from utils.errors import CheckpointError, UsageError
from utils.findings import require_no_error

Tensors = Mapping[str, torch.Tensor]
Decision = Literal["loaded", "fresh", "left out"]
PLAN_FILE = "load_plan.json"
FITS = "same name and shape"
ENCODER_ALONE = "--load_parts encoder takes the encoder and lets the head start fresh"
# A file need not hold these.
FRESH_PARTS = OF_A_CLASSIFIER


@dataclass(frozen=True)
class Row:
    """What happens to one tensor.

    Attributes:
        name: of the tensor.
        shape: of the tensor.
        decision: loaded from the file into the model, fresh in the model, or left out of the file.
        reason: why.
    """

    name: str
    shape: tuple[int, ...]
    decision: Decision
    reason: str


@dataclass(frozen=True)
class LoadPlan:
    """What a checkpoint becomes in a model.

    Attributes:
        source: the file.
        rows: one for every tensor of model and file.
        note: what was unwrapped, empty for a plain file.
    """

    source: Path
    rows: tuple[Row, ...]
    note: str = field(default="")

    def names(self, decision: Decision) -> list[str]:
        """Return the tensors with one decision, in order."""
        return [row.name for row in self.rows if row.decision == decision]

    @property
    def summary(self) -> str:
        """Totals in one line."""
        count = Counter(row.decision for row in self.rows)
        of_the_file = count["loaded"] + count["left out"]
        left_out = f", {count['left out']} left out" if count["left out"] else ""
        fresh = f"{count['fresh']} fresh"
        return f"{count['loaded']} of {of_the_file} tensors loaded from {self.source}, {fresh}{left_out}"

    def table(self) -> str:
        """Return one line for each part of the model: tensors, parameters, decision and reason."""
        groups: dict[tuple[str, str, str], list[Row]] = {}
        for row in self.rows:
            groups.setdefault((part_of(row.name), row.decision, row.reason), []).append(row)
        lines = [f"  {'part':<14}{'tensors':>8}{'parameters':>13}  what"]
        for (part, decision, reason), rows in groups.items():
            size = sum(torch.Size(row.shape).numel() for row in rows)
            lines.append(f"  {part:<14}{len(rows):>8}{size:>13,}  {decision}" + (f": {reason}" if reason else ""))
        return "\n".join([*lines, f"  {self.summary}"])

    def to_json(self) -> dict[str, Any]:
        """Return plain values for load_plan.json."""
        totals = {
            decision: {
                "tensors": len(self.names(decision)),
                "parameters": sum(torch.Size(row.shape).numel() for row in self.rows if row.decision == decision),
            }
            for decision in get_args(Decision)
        }
        return {
            "source": str(self.source),
            "unwrapped": self.note,
            "summary": self.summary,
            "totals": totals,
            "tensors": [asdict(row) for row in self.rows],
        }


def make_plan(own: Tensors, given: Tensors, source: Path, load_parts: tuple[str, ...] = ()) -> LoadPlan:
    """Decide for every tensor, or refuse the file.

    Args:
        own: state dict of the model.
        given: tensors of the file, without wrapping.
        source: where they were read.
        load_parts: parts to load; the rest of the model starts fresh, the rest of the file is left out. Without any,
            all of the file has to fit, and only what a classifier adds may be missing from it.

    Raises:
        UsageError: there is no such part.
        CheckpointError: ``CKPT_LAYOUT``, ``CKPT_SHAPE`` or ``CKPT_COVERAGE``.
    """
    refuse_other_layouts(given, source)
    published = {name: value for name, value in own.items() if ADDED_BY_LORA not in name or name in given}
    if not load_parts:
        refuse_what_does_not_fit(published, given, source, FRESH_PARTS, without_head=ENCODER_ALONE)
        chosen = set(given)
    else:
        parts = select(load_parts, parts_of(own), "--load_parts")
        wanted = {name: value for name, value in published.items() if part_of(name) in parts}
        there = {name: value for name, value in given.items() if part_of(name) in parts}
        _require_parts(parts, given, there, source)
        refuse_what_does_not_fit(wanted, there, source, ())
        chosen = set(there)
    not_asked = "not in --load_parts" if load_parts else ""
    rows = [_row_of_model(name, value, given, chosen, not_asked) for name, value in own.items()]
    rows += [
        Row(name, tuple(value.shape), "left out", not_asked or "not in the model")
        for name, value in given.items()
        if name not in own
    ]
    return LoadPlan(source, tuple(rows))


def _require_parts(parts: frozenset[str], given: Tensors, there: Tensors, source: Path) -> None:
    """Refuse parts of which a file has nothing at all; layers that are too few are told with the sizes."""
    has = parts_of(there)
    absent = sorted(part for part in parts.difference(has) if not part.startswith("layers."))
    if not absent:
        return
    raise CheckpointError(
        "CKPT_COVERAGE",
        f"The checkpoint holds nothing of {' and '.join(absent)}.",
        where=f"{source}, --load_parts",
        evidence=f"parts of the file: {', '.join(shortened(parts_of(given)))}",
        next_command=f"--load_parts {','.join(shortened(has))}" if has else ENCODER_ALONE,
    )


def _row_of_model(name: str, value: torch.Tensor, given: Tensors, chosen: set[str], not_asked: str) -> Row:
    if name in chosen:
        return Row(name, tuple(value.shape), "loaded", FITS)
    return Row(name, tuple(value.shape), "fresh", not_asked if name in given else "not in the file")


def load(forecaster: Forecaster, settings: Settings, state: Tensors | None = None) -> LoadPlan | None:
    """Load the weights that the flags name into a network.

    Args:
        forecaster: its model is changed.
        settings: with `--adaptation`, else nothing happens.
        state: the checkpoint's tensors where they were read and judged already.

    Returns:
        What was done; None without `--adaptation`.

    Raises:
        UsageError: the model has no encoder, or there is no such part.
        CheckpointError: the file cannot be read, holds values that are not finite, or does not fit; the model is as
            it was.
    """
    if not settings.run.adaptation:
        return None
    if not isinstance(forecaster, NetworkForecaster) or not hasattr(forecaster.model, "freeze_encoder"):
        raise UsageError(
            "CONFIG",
            f"{settings.run.model} has no encoder to load weights into.",
            where="--adaptation",
            next_command="--model timer_xl_classifier, or leave out --adaptation",
        )
    path = Path(settings.run.pretrain_model_path)
    weights = _judged(path) if state is None else Weights(dict(state), "")
    given = weights.tensors
    plan = make_plan(forecaster.model.state_dict(), given, path, settings.transfer.load_parts)
    plan = replace(plan, note=weights.note)
    forecaster.model.load_state_dict({name: given[name] for name in plan.names("loaded")}, strict=False)
    return plan


def _judged(path: Path) -> Weights:
    """Read weights and refuse what is not finite, as the file may have changed since the checks before training.

    Those checks have told what was unwrapped and what is suspect; it is not told again.
    """
    weights = unwrap(checkpoint.load(path), path)
    require_no_error(judge(weights.tensors, path))
    return weights
