"""Functions that tests send into a reading process; a module of its own, because the child imports it."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
import warnings
from pathlib import Path

from utils.errors import ForeseenError

PARTS = {"where": "a file", "evidence": "7 of 9", "next_command": "type this"}


def remember(numbers: list[int], number: int) -> tuple[list[int], int]:
    numbers.append(number)
    return numbers, os.getpid()


def refuse(_: list[int], kind: type[ForeseenError]) -> None:
    raise kind("SOME_CODE", "it is wrong", **PARTS)


def stumble(_: list[int]) -> None:
    raise ZeroDivisionError("a fault of the program")


def lose_the_connection(_: list[int]) -> None:
    raise ConnectionResetError("a server said no")


def raise_what_cannot_travel(_: list[int]) -> None:
    error = RuntimeError("the lock is lost")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


def speak(_: list[int]) -> None:
    logging.getLogger("some.reader").info("half of %s is read", Path("raw/era5.nc").name)
    logging.getLogger("some.reader").debug("too much")
    warnings.warn("the calendar is odd", UserWarning, stacklevel=1)


def abort(_: list[int]) -> None:
    os.abort()


def die_by(_: list[int], number: int) -> None:
    tempfile.mkdtemp()
    os.kill(os.getpid(), number)


def leave(_: list[int]) -> None:
    os._exit(11)


def sleep(_: list[int]) -> None:
    time.sleep(600)


def read_file(_: list[int], path: Path) -> list[str]:
    from data_provider.era5 import read_era5

    return sorted(map(str, read_era5(path).data_vars))
