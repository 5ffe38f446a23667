"""How a forecast is judged: flags of their own, since they change no weight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


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
    oni: str | None = field(
        default=None,
        metadata={
            "help": "file of NOAA's Oceanic Nino Index (https://www.cpc.ncep.noaa.gov/data/indices/oni.ascii.txt): "
            "scores by El Nino, neutral and La Nina too"
        },
    )
