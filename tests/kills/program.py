"""Real runs of run.py in forked processes: the libraries are imported once, and every run is a process of its own."""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.processes import hear_all_signals

ROOT = Path(__file__).resolve().parents[2]


def import_all() -> None:
    """Import what a run imports on its way, so that a fork begins where the imports are done."""
    import scores.categorical  # noqa: F401
    import torch._dynamo  # noqa: F401 - an optimizer wants it
    import xarray  # noqa: F401

    import models
    from exp import command_line, openltm_flags, prediction, rain_classification  # noqa: F401
    from exp.diagnosis import command  # noqa: F401

    for name in models.names():
        models.load(name)
    # More threads than one do not survive a fork.
    torch.set_num_threads(1)


def start(words: list[str], log: Path, prepare: Callable[[], None]) -> int:
    """Start `python run.py` with these flags in a fork; return its process id.

    Args:
        words: flags.
        log: file that takes what it says.
        prepare: called in the new process before anything else.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
        os.chdir(ROOT)
        hear_all_signals()
        prepare()
        sys.argv = ["run.py", *words]
        code = _exit_code(lambda: runpy.run_path("run.py", run_name="__main__"))
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def wait(child: int, seconds: float) -> int:
    """Return the exit code of a process, minus the number of the signal that killed it.

    Raises:
        TimeoutError: it did not end in time; it was killed.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"no end after {seconds:.0f} s")


def ask(function: Callable[[], Any]) -> Any:
    """Call a function in a fork and return its JSON-like answer, so that this process never computes with torch.

    Raises:
        RuntimeError: the function did; its traceback is on the screen.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as stream:
                json.dump(function(), stream)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as stream:
        answer = stream.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("a check failed in its process")
    return json.loads(answer)


def _exit_code(program: Callable[[], Any]) -> int:
    try:
        program()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
