"""The windows of training, validation and test that the flags of a run name."""

from __future__ import annotations

import torch

from data_provider.amounts import with_amounts
from data_provider.factory import Splits, load_splits
from data_provider.lead_windows import with_lead_times
from data_provider.preprocessing import Preprocessing
from data_provider.rain_table import RainTable
from data_provider.splits import Boundaries
from exp.settings import Settings, context_length


def load(
    settings: Settings,
    device: torch.device,
    *,
    preprocessing: Preprocessing | None = None,
    ends: Boundaries | None = None,
    table: RainTable | None = None,
) -> Splits:
    """Read and cut the table of a run; see `data_provider.factory.load_splits`.

    Args:
        settings: of the run.
        device: training device.
        preprocessing: fitted state of an earlier run.
        ends: boundaries of an earlier run.
        table: where it has been read already.

    Raises:
        DataError: faults of the table or of its windows that the flags do not handle.
    """
    splits = load_splits(
        settings.data,
        settings.split,
        settings.cleaning,
        settings.scaling,
        context_length=context_length(settings),
        device=device,
        preprocessing=preprocessing,
        ends=ends,
        table=table,
        batch_size=settings.trainer.batch_size,
        of_amounts=settings.is_regression,
    )
    return with_targets(splits, settings)


def with_targets(splits: Splits, settings: Settings) -> Splits:
    """Give windows the targets of the task: amounts, classes, or the classes at several lead times."""
    return with_amounts(splits) if settings.is_regression else with_lead_times(splits)
