"""Flags of a forecast of series."""

from __future__ import annotations

from dataclasses import dataclass, field

from utils.errors import UsageError
from utils.flag_rules import require

REFERENCES = ("ridge", "seasonal_naive", "persistence")


@dataclass(frozen=True, kw_only=True)
class ForecastConfig:
    """Forecast."""

    test_pred_len: int = field(
        default=96, metadata={"help": "horizon in rows; beyond one output token the forecast is rolled on"}
    )
    references: tuple[str, ...] = field(
        default=REFERENCES, metadata={"help": "scored on the same windows; none leaves them out"}
    )
    season_hours: float = field(default=24.0, metadata={"help": "what the seasonal naive forecast repeats"})

    def __post_init__(self) -> None:
        for name in ("test_pred_len", "season_hours"):
            require(self, name, getattr(self, name) > 0, "must be above 0")
        unknown = [name for name in self.references if name not in REFERENCES]
        if unknown:
            raise UsageError(
                "CONFIG",
                f"There is no reference {unknown[0]!r}.",
                where="--references",
                evidence=f"references: {', '.join(REFERENCES)}",
                next_command=f"--references {' '.join(REFERENCES)}, or --references none",
            )
