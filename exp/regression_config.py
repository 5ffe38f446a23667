"""How amounts of rain are forecast: flags of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

from utils.flag_rules import require


@dataclass(frozen=True, kw_only=True)
class RegressionConfig:
    """Amounts of rain.

    Raises:
        UsageError: ``CONFIG``, a number of quantiles that has no median.
    """

    n_quantiles: int = field(
        default=9,
        metadata={
            "help": "quantiles that a forecast names, at the levels (k - 1/2) / K; odd, so that the middle one is the "
            "median. They are learned by the quantile loss on the scale log(1 + mm), from which a quantile, unlike a "
            "mean, comes back unchanged"
        },
    )

    def __post_init__(self) -> None:
        is_odd = self.n_quantiles >= 3 and self.n_quantiles % 2 == 1
        require(self, "n_quantiles", is_odd, "must be odd and at least 3")
