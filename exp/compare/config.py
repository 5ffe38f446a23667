"""What is compared, and with what: flags of `--task_name compare` alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Comparison."""

    runs: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "run directories, or folders of experiments for the newest run of each model in them; "
            "the words without a flag are these too"
        },
    )
    against: str | None = field(
        default=None,
        metadata={
            "help": "model or run that all others are compared with, beside the best one "
            "(default: the best of the references)"
        },
    )
    test_year: int | None = field(
        default=None,
        metadata={
            "help": "of the runs of --cross_validate those alone that test this year (default: all years as one)"
        },
    )
    lead_time: int | None = field(
        default=None,
        metadata={"help": "of the runs with several --lead_times the forecasts of this one (default: the run's first)"},
    )
    common_instants: bool = field(
        default=False,
        metadata={"help": "compare at the test instants that all runs have, where they differ; says how many go"},
    )
    output: str | None = field(
        default=None,
        metadata={"help": "folder for table, figure and page (default: comparison-<time> beside the first run)"},
    )
    language: Literal["en", "es"] = field(default="en", metadata={"help": "of report.html: English or Spanish"})
    ensemble: bool = field(
        default=False,
        metadata={"help": "weigh all models into one forecast, by validation alone, and say what each adds on test"},
    )
