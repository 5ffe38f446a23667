"""How long a NetCDF-3 file must be, computed from its header.

The C library fills the missing end of a truncated NetCDF-3 file with zeros and says nothing: rain that never fell.
Source: "The NetCDF classic format specification" (CDF-1, CDF-2 and CDF-5), Unidata.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
TAG_DIMENSION, TAG_VARIABLE, TAG_ATTRIBUTE = 10, 11, 12
MOST_ITEMS = 100_000


@dataclass(frozen=True)
class _Variable:
    """One variable: bytes of one record (or of the whole, when fixed), and where it begins."""

    is_record: bool
    data_bytes: int
    begin: int


class _Header:
    """A cursor over the header that knows the widths of its version."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        version = self.take(4)[3]
        self.count_bytes = 8 if version == 5 else 4
        self.offset_bytes = 4 if version == 1 else 8

    def take(self, count: int) -> bytes:
        """The next `count` bytes, or EOFError."""
        data = self.stream.read(count)
        if len(data) < count:
            raise EOFError("the NetCDF-3 header is cut off")
        return data

    def integer(self, width: int = 4) -> int:
        """A big-endian unsigned integer."""
        return int.from_bytes(self.take(width), "big")

    def count(self) -> int:
        """A length; its width depends on the version."""
        return self.integer(self.count_bytes)

    def skip_padded(self, count: int) -> None:
        """Skip `count` bytes and the padding to a multiple of four."""
        if count > 1 << 24:
            raise ValueError("a name or an attribute of impossible length in the NetCDF-3 header")
        self.take(count + (-count) % 4)

    def items(self, tag: int) -> int:
        """Number of items of a list that must carry `tag` (or be absent)."""
        found, number = self.integer(), self.count()
        if (found, number) != (0, 0) and found != tag:
            raise ValueError(f"tag {found} where {tag} was expected in the NetCDF-3 header")
        if number > MOST_ITEMS:
            raise ValueError("an impossible number of items in the NetCDF-3 header")
        return number

    def skip_attributes(self) -> None:
        """Skip a list of attributes."""
        for _ in range(self.items(TAG_ATTRIBUTE)):
            self.skip_padded(self.count())
            width = self.type_bytes()
            self.skip_padded(self.count() * width)

    def type_bytes(self) -> int:
        """Bytes of one value of the type that follows."""
        kind = self.integer()
        if kind not in TYPE_BYTES:
            raise ValueError(f"unknown type {kind} in the NetCDF-3 header")
        return TYPE_BYTES[kind]

    def variable(self, dimensions: list[int]) -> _Variable:
        """One entry of the list of variables."""
        self.skip_padded(self.count())
        indices = [self.count() for _ in range(min(self.count(), 1024))]
        if any(index >= len(dimensions) for index in indices):
            raise ValueError("a variable names a dimension that does not exist in the NetCDF-3 header")
        self.skip_attributes()
        width = self.type_bytes()
        self.count()  # vsize: redundant, and wrong by definition for large variables
        begin = self.integer(self.offset_bytes)
        lengths = [dimensions[index] for index in indices]
        is_record = bool(lengths) and lengths[0] == 0
        return _Variable(is_record, width * prod(lengths[1:] if is_record else lengths), begin)


def expected_size(path: Path) -> int | None:
    """Bytes a complete NetCDF-3 file of this header has at least; None when it does not say (a streamed file).

    Raises:
        EOFError: the header itself is cut off.
        ValueError: the header contradicts the format.
    """
    with path.open("rb") as stream:
        header = _Header(stream)
        n_records = header.count()
        dimensions = []
        for _ in range(header.items(TAG_DIMENSION)):
            header.skip_padded(header.count())
            dimensions.append(header.count())
        header.skip_attributes()
        variables = [header.variable(dimensions) for _ in range(header.items(TAG_VARIABLE))]
        end_of_header = stream.tell()
    if n_records == (1 << (8 * header.count_bytes)) - 1:
        return None
    ends = [end_of_header] + [v.begin + v.data_bytes for v in variables if not v.is_record]
    records = [variable for variable in variables if variable.is_record]
    if records and n_records:
        # One record variable alone is stored without padding.
        sizes = [v.data_bytes + ((-v.data_bytes) % 4 if len(records) > 1 else 0) for v in records]
        ends += [v.begin + (n_records - 1) * sum(sizes) + v.data_bytes for v in records]
    return max(ends)
