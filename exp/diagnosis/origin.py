"""What the JSON beside a checkpoint of this project says of the training that wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp.finished_runs import current_names
from utils import checkpoint


@dataclass(frozen=True)
class Origin:
    """What the JSON beside a file of ours says of its training; None where it says nothing.

    Attributes:
        n_variables: variables of the table it was trained on.
        variables: their names in order; empty where the series of a forecast differ in theirs.
        flags: flag -> value.
        tokens: tokens of one variable.
    """

    n_variables: int | None
    variables: tuple[str, ...]
    flags: Mapping[str, Any]
    tokens: int | None

    @classmethod
    def of(cls, path: Path) -> Origin | None:
        """Read the JSON beside a file; None for a file from elsewhere, or of which nothing was said.

        Raises:
            CheckpointError: the file is none of those that the JSON names.
        """
        told = checkpoint.metadata(path)
        if told is None or "config" not in told:
            return None
        flags, dimensions = current_names(told["config"]), told.get("dimensions", {})
        length, token = dimensions.get("context_length"), flags.get("input_token_len")
        return cls(
            n_variables=dimensions.get("n_variables"),
            variables=_variables(told, flags),
            flags=flags,
            tokens=length // token if length and token else None,
        )

    @property
    def is_univariate(self) -> bool:
        """Whether that training never saw two variables in one sequence."""
        return self.n_variables == 1 or self.flags.get("variate_mode") == "independent"

    @property
    def has_untrained_bias(self) -> bool:
        """Whether no training can have moved the bias between variables; one it started from might have."""
        return self.is_univariate and not self.flags.get("adaptation")


def _variables(told: Mapping[str, Any], flags: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables of one window: a forecast orders its series, and each of them names its channels."""
    if flags.get("task_name") != "forecast":
        return tuple(told.get("feature_order", ()))
    orders = {tuple(fitted["channels"]) for fitted in told.get("preprocessing", {}).values()}
    return orders.pop() if len(orders) == 1 else ()
