"""Errors the project foresees: each says what, where, with which evidence, and what to type next.

Exit codes are part of the public contract: 0 ok, 2 usage, 3 data, 4 input checkpoint, 5 numerical,
6 storage, 7 run directory in use, 8 a process of several is gone, 9 a remote service failed or refused, 70 internal,
75 interrupted with the state saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from utils.message import message

EXIT_OK = 0
EXIT_INTERNAL = 70


class ForeseenError(ValueError):
    """A fault with a known cause; printed as a message of four parts, never as a traceback.

    Args:
        code: cause code in capitals, such as ``DATA_FILE``; stable, asserted by tests.
        what: one plain sentence that says what is wrong.
        where: file, column, rows, times, region, flag, layer or step.
        evidence: the figures or the text that prove it.
        next_command: what the user should type or change now.
    """

    exit_code: ClassVar[int] = EXIT_INTERNAL

    def __init__(self, code: str, what: str, *, where: str = "", evidence: str = "", next_command: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.evidence = evidence
        self.next_command = next_command
        self.others: tuple[ForeseenError, ...] = ()

    def __str__(self) -> str:
        own = message(self.code, self.what, self.where, self.evidence, self.next_command)
        return "\n".join([own, *map(str, self.others)])

    def __reduce__(self) -> tuple[Callable[[], ForeseenError], tuple[()], dict[str, Any]]:
        # An exception is by default made again from its text alone; this one comes whole out of another process.
        return partial(type(self), self.code, self.what), (), vars(self)


def join(errors: Sequence[ForeseenError]) -> ForeseenError:
    """Make one of several that were found together: each is told in full, and the smallest exit code is that of all."""
    first, *rest = sorted(errors, key=lambda error: error.exit_code)
    first.others = tuple(rest)
    return first


class UsageError(ForeseenError):
    """A flag, a value or a combination of flags is wrong."""

    exit_code = 2


class DataError(ForeseenError):
    """The data are missing, unreadable or not what a forecast can be made from."""

    exit_code = 3


class CheckpointError(ForeseenError):
    """An input checkpoint is missing, damaged or does not fit."""

    exit_code = 4


class NumericalError(ForeseenError):
    """Training or validation produced numbers that are not finite."""

    exit_code = 5


class StorageError(ForeseenError):
    """A file or folder could not be written."""

    exit_code = 6


class LockError(ForeseenError):
    """Another run works in the same directory."""

    exit_code = 7


class PeerError(ForeseenError):
    """One of several processes that train together is gone."""

    exit_code = 8


class RemoteError(ForeseenError):
    """A server cannot be reached, refuses, or does not send what it promised."""

    exit_code = 9
