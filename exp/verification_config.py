"""How a forecast is judged: flags of their own, since they change no weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from utils.calibration import Method
from utils.errors import UsageError
from utils.flag_rules import require

# Fewer leave a single draw or none beyond each end of a 95 % interval.
LEAST_DRAWS = 100


def require_one_rule(values: Mapping[str, Any]) -> None:
    """Refuse flags that name two rules for one cut.

    Args:
        values: flag -> value, of what was typed or stands in a file; no defaults.

    Raises:
        UsageError: ``CONFIG``.
    """
    if "cut_score" in values and values.get("cost_loss_ratio") is not None:
        raise UsageError(
            "CONFIG",
            "A cut is chosen by a score or given by what protecting costs, not by both.",
            where="--cut_score and --cost_loss_ratio",
            evidence=f"got {values['cut_score']} and {' '.join(map(str, values['cost_loss_ratio']))}",
            next_command="leave one of the two out",
        )


@dataclass(frozen=True, kw_only=True)
class VerificationConfig:
    """Verification."""

    calibration: Method = field(
        default="temperature",
        metadata={
            "help": "how validation corrects the probabilities: temperature, one number that makes them all bolder or "
            "milder and keeps their order; isotonic, a step curve per threshold that mends more, needs 200 cases and "
            "may say exactly 0 or 100 %; none. Climatology and persistence are never corrected"
        },
    )
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
    cost_loss_ratio: tuple[float, ...] | None = field(
        default=None,
        metadata={
            "help": "instead of --cut_score: cost of protecting / loss without protection, such as 0.2 where covering "
            "costs 20 and an uncovered loss 100. Rain is then said from this probability on, since above it protecting "
            "is cheaper on average; one for all thresholds, or one for each"
        },
    )
    oni: str | None = field(
        default=None,
        metadata={
            "help": "file of NOAA's Oceanic Nino Index (https://www.cpc.ncep.noaa.gov/data/indices/oni.ascii.txt): "
            "scores by El Nino, neutral and La Nina too"
        },
    )
    language: Literal["en", "es"] = field(default="en", metadata={"help": "of report.html: English or Spanish"})
    bootstrap_draws: int = field(
        default=1000,
        metadata={"help": "draws of days that the 95 % intervals of the test scores are made from; 0 makes none"},
    )

    def __post_init__(self) -> None:
        enough = self.bootstrap_draws == 0 or self.bootstrap_draws >= LEAST_DRAWS
        require(self, "bootstrap_draws", enough, f"must be 0 or at least {LEAST_DRAWS}")
        ratios = self.cost_loss_ratio
        if ratios is not None:
            rule = "must be above 0 and below 1: at 0 protecting is free, from 1 on it never pays"
            holds = bool(ratios) and all(0 < ratio < 1 for ratio in ratios)
            require(self, "cost_loss_ratio", holds, rule, "--cost_loss_ratio 0.2")

    def require_fits(self, thresholds_mm: tuple[float, ...]) -> None:
        """Refuse ratios that are not as many as the thresholds of a table, before anything is trained on it.

        Args:
            thresholds_mm: thresholds in millimetres.

        Raises:
            UsageError: ``CONFIG``.
        """
        ratios = self.cost_loss_ratio
        if ratios is None or len(ratios) in (1, len(thresholds_mm)):
            return
        raise UsageError(
            "CONFIG",
            f"{len(ratios)} cost/loss ratios do not fit {len(thresholds_mm)} thresholds.",
            where="--cost_loss_ratio",
            evidence=f"got {' '.join(map(str, ratios))}; thresholds {', '.join(f'{mm:g} mm' for mm in thresholds_mm)}",
            next_command=f"--cost_loss_ratio {ratios[0]} for all of them, or one for each",
        )
