"""A cause that was found, and the same step without it."""

from __future__ import annotations

from dataclasses import dataclass

from exp.diagnosis.replay import Suspect
from utils.findings import Finding


@dataclass(frozen=True)
class Cause:
    """Something in the state of a step that is wrong by itself.

    Attributes:
        finding: what, where, evidence, next.
        without: the same step with this cause taken away.
        removed: such as "without column tp_lag_3d", to begin a sentence with.
    """

    finding: Finding
    without: Suspect
    removed: str
