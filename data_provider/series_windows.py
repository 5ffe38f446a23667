"""Windows of series: a look-back, and the rows after it that are to be forecast. A batch is one gather.

B windows of a batch, L look-back rows, A rows ahead, C channels of a window (1 where each channel is alone), N tokens,
P and O lengths of an input and an output token, R rows of all sequences one below the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from data_provider.series import Series
from data_provider.series_splits import Borders
from utils.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """What windows are cut from: a series, or one channel of it.

    Attributes:
        name: series, and the channel behind it where it is alone.
        channels: `C` names.
        first_row: where it begins among the R rows.
        times: of its rows, datetime64[s].
        borders: ends of training, validation and test in its own rows.
    """

    name: str
    channels: tuple[str, ...]
    first_row: int
    times: np.ndarray
    borders: Borders


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long windows and their tokens are, in rows: look-back L, ahead A, input token P, output token O."""

    context: int
    ahead: int
    input_token: int
    output_token: int


@dataclass(frozen=True)
class SeriesIndex:
    """Which windows there are, in the order of sequence, then time.

    Attributes:
        start: `(K,)` int64, row of the oldest value among the R rows.
        sequence: `(K,)` int64.
    """

    start: np.ndarray
    sequence: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


def lay_out(series: list[Series], scaled: list[np.ndarray], borders: list[Borders], channels: list[tuple[str, ...]],
            *, alone: bool) -> tuple[np.ndarray, list[Sequence]]:  # fmt: skip
    """Put all sequences one below the other.

    Args:
        series: the series.
        scaled: `(T, V)` standardised values of each.
        borders: of each.
        channels: kept channels of each.
        alone: each channel is a sequence of its own.

    Returns:
        `(R, C)` float32 and the sequences.

    Raises:
        UsageError: the series have different numbers of channels and are not to be taken alone.
    """
    counts = {one.name: len(names) for one, names in zip(series, channels, strict=True)}
    if not alone and len(set(counts.values())) > 1:
        examples = {count: name for name, count in reversed(counts.items())}  # the first series of each count
        raise UsageError(
            "CONFIG",
            "Windows of all channels need series with equally many channels.",
            where="--variates multivariate",
            evidence=", ".join(f"{name} has {count}" for count, name in examples.items()),
            next_command="--variates univariate, or one file at a time with --data_path",
        )
    parts, sequences, row = [], [], 0
    for one, values, ends, names in zip(series, scaled, borders, channels, strict=True):
        groups = [(n,) for n in range(len(names))] if alone else [tuple(range(len(names)))]
        for group in groups:
            own = tuple(names[n] for n in group)
            name = f"{one.name}/{own[0]}" if alone else one.name
            sequences.append(Sequence(name=name, channels=own, first_row=row, times=one.times, borders=ends))
            parts.append(values[:, list(group)])
            row += len(values)
    return np.concatenate(parts), sequences


def build_index(
    rows: np.ndarray, sequences: list[Sequence], split: int, lengths: Lengths, stride: int
) -> tuple[SeriesIndex, int]:
    """List the windows of a split that touch no missing value.

    The rows ahead lie inside the split; the look-back may reach into an earlier one.

    Args:
        rows: `(R, C)`.
        sequences: in their order.
        split: 0 training, 1 validation, 2 test.
        lengths: of the windows.
        stride: rows from one window to the next.

    Returns:
        The windows, and how many were left out because they touch a missing value.
    """
    missing = np.concatenate([[0], np.cumsum(~np.isfinite(rows).all(axis=1))])
    length = lengths.context + lengths.ahead
    starts, numbers, left_out = [], [], 0
    for number, sequence in enumerate(sequences):
        begin = 0 if split == 0 else max(0, sequence.borders[split - 1] - lengths.context)
        last = sequence.borders[split] - length
        start = sequence.first_row + np.arange(begin, max(begin, last + 1), stride, dtype=np.int64)
        whole = missing[start + length] == missing[start]
        left_out += int((~whole).sum())
        starts.append(start[whole])
        numbers.append(np.full(int(whole.sum()), number, np.int64))
    return SeriesIndex(np.concatenate(starts), np.concatenate(numbers)), left_out


class SeriesWindows:
    """Windows of one split, with their rows on a device.

    Args:
        table: `(R, C)` float32, shared by all splits.
        index: the windows.
        lengths: of the windows.
        sequences: what they are cut from.
        device: where batches are wanted.
    """

    kind: ClassVar[str] = "series"

    def __init__(
        self,
        table: torch.Tensor,
        index: SeriesIndex,
        lengths: Lengths,
        sequences: list[Sequence],
        device: torch.device,
    ) -> None:
        self.table, self.index, self.lengths, self.sequences, self.device = table, index, lengths, sequences, device
        self.context_length = lengths.context
        self.marks = torch.zeros(len(index), 0, device=device)
        self._starts = torch.from_numpy(index.start).to(table.device)
        self._origin = index.start
        self._next_tokens = _next_tokens(lengths).to(table.device)

    def __len__(self) -> int:
        return len(self.index)

    def inputs(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the look-back `(B, L, C)` of the windows `ids` on the device."""
        return self._rows(ids, torch.arange(self.lengths.context, device=self.table.device))

    def ahead(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows to be forecast `(B, A, C)`."""
        first = self.lengths.context
        return self._rows(ids, torch.arange(first, first + self.lengths.ahead, device=self.table.device))

    def targets(self, ids: torch.Tensor) -> torch.Tensor:
        """Return, for each token, the output token after it: `(B, N * O, C)`, laid out as the model's output."""
        return self._rows(ids, self._next_tokens)

    def cells(self, ids: torch.Tensor) -> torch.Tensor:
        """Return every value that a training step on these windows sees, `(B, L + A, C)`."""
        return torch.cat([self.inputs(ids), self.ahead(ids)], dim=1)

    def place(self, window: int, row: int, step_hours: int = 1) -> tuple[str, str]:  # noqa: ARG002 - each has its own
        """Return time and name of the sequence of a row of a window."""
        sequence = self.sequences[self.index.sequence[window]]
        time = sequence.times[self._origin[window] - sequence.first_row + row]
        return str(time), sequence.name

    def subset(self, ids: torch.Tensor) -> SeriesWindows:
        """Return the windows `ids` alone, with a copy of their rows that nobody else sees; its ids begin at 0."""
        chosen = ids.cpu().numpy()
        length = self.lengths.context + self.lengths.ahead
        own = replace(self.index, start=np.arange(len(ids)) * length, sequence=self.index.sequence[chosen])
        alone = SeriesWindows(self.cells(ids).flatten(0, 1).clone(), own, self.lengths, self.sequences, self.device)
        alone._origin = self._origin[chosen]
        return alone

    def of_sequence(self, number: int) -> torch.Tensor:
        """Return the ids of the windows of one sequence, in time order, on the device."""
        first, last = np.searchsorted(self.index.sequence, [number, number + 1])
        return torch.arange(int(first), int(last), device=self.device)

    def _rows(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        rows = self._starts[ids.to(self.table.device)][:, None] + offsets
        return torch.nn.functional.embedding(rows, self.table).to(self.device, non_blocking=True)


def _next_tokens(lengths: Lengths) -> torch.Tensor:
    """Return the rows `(N * O,)` of a window that the tokens are to forecast, token after token."""
    begins = torch.arange(lengths.input_token, lengths.context + 1, lengths.input_token)
    return (begins[:, None] + torch.arange(lengths.output_token)).flatten()
