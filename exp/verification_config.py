"""How a forecast is judged: flags of their own, since they change no weight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from utils.flag_rules import require

# Fewer leave a single draw or none beyond each end of a 95 % interval.
LEAST_DRAWS = 100


@dataclass(frozen=True, kw_only=True)
class VerificationConfig:
    """Verification."""

    cut_score: Literal[
        "macro_f1",
        "heidke_skill_score",
        "peirce_skill_score",
        "critical_success_index",
        "f1",
        "accuracy",
        "matthews_correlation",
    ] = field(
        default="macro_f1", metadata={"help": "score on validation that decides from which probability on it is rain"}
    )
    language: Literal["en", "es"] = field(default="en", metadata={"help": "of report.html: English or Spanish"})
    bootstrap_draws: int = field(
        default=1000,
        metadata={"help": "draws of days that the 95 % intervals of the test scores are made from; 0 makes none"},
    )

    def __post_init__(self) -> None:
        enough = self.bootstrap_draws == 0 or self.bootstrap_draws >= LEAST_DRAWS
        require(self, "bootstrap_draws", enough, f"must be 0 or at least {LEAST_DRAWS}")
