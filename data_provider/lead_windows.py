"""Windows whose targets are the classes at several lead times. N windows, K lead times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from data_provider.factory import Splits
from data_provider.lead_times import index_at
from data_provider.rain_table import RainTable
from data_provider.windows import WindowSet


class LeadWindows(WindowSet):
    """Windows of one split whose targets are the classes at several lead times, `(N, K)`; `at_leads` has each alone.

    Args:
        windows: the same windows, with the class at the first lead time as target.
        further: the table with the label of each further lead time.
    """

    def __init__(self, windows: WindowSet, further: Sequence[RainTable]) -> None:
        super().__init__(windows.table, windows.index, windows.context_length, windows.regions, windows.device)
        self.at_leads = (windows.index, *(index_at(table, windows.index) for table in further))
        self.labels = torch.from_numpy(np.stack([index.label for index in self.at_leads], axis=1)).to(windows.device)


def with_lead_times(splits: Splits) -> Splits:
    """Return the splits with the classes at all lead times as targets; as they are where there is one."""
    if not splits.further:
        return splits
    train, validation, test = (LeadWindows(windows, splits.further) for windows in splits.sets)
    return replace(splits, train=train, validation=validation, test=test)


def at_lead(splits: Splits, number: int) -> Splits:
    """Return the same windows as a data set of one lead time alone.

    Args:
        splits: with `further` tables.
        number: 0 for the first lead time, 1 for the first further one.
    """
    table = (splits.table, *splits.further)[number]
    train, validation, test = (
        WindowSet(part.table, index_at(table, part.index), part.context_length, part.regions, part.device)
        for part in splits.sets
    )
    return replace(
        splits,
        train=train,
        validation=validation,
        test=test,
        table=table,
        all_training=index_at(table, splits.all_training),
        further=(),
    )
