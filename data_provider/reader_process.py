"""A child process that reads data files, so that a file which crashes the C library takes only that process with it.

`ReaderProcess` keeps one Python object in a child and calls functions on it there. The child is a plain new Python,
not a fork: forking a program whose libraries have threads is not safe, and a script without a main guard is not run
twice. Results, foreseen errors, log lines and warnings come back; open files and the C library stay there.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import QueueHandler
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from utils.errors import DataError, ForeseenError
from utils.files import storage_error

Subject = TypeVar("Subject")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

# A disk that gives one MB a second is slow, one that gives less stands still; the rest is for start-up and unpacking.
LEAST_SECONDS, SECONDS_PER_BYTE = 600.0, 1e-6
# Its end of the pipe is gone a moment before its exit code is there.
DYING_SECONDS = 10.0
START = "from data_provider.reader_process import serve; serve({descriptor})"
WITHOUT_IT = (
    "download the file again from the Climate Data Store, or move it to another folder; then start the same command "
    "again, such as python -m data_provider.prepare"
)


class StoodStillError(DataError):
    """Reading a file took longer than any file of its size can take: after one there is no use in trying others."""


class ReaderProcess(Generic[Subject]):
    """Calls functions on an object that lives in a child process; leaving the `with` block ends the child.

    Args:
        subject: what the functions get as their first argument there; sent once, and again after a crash.
        least_seconds: how long reading a file may take at least, before its size is counted.

    Raises:
        StorageError: there is no folder for temporary files.
    """

    connection: Connection

    def __init__(self, subject: Subject, *, least_seconds: float = LEAST_SECONDS) -> None:
        self.subject, self.least_seconds = subject, least_seconds
        self.warned: dict[Any, Any] = {}
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def read(
        self,
        path: Path,
        function: Callable[Concatenate[Subject, Arguments], Result],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        """Return ``function(subject, *arguments)``, worked out in the child.

        Args:
            path: the file that is read, named when the child dies of it.
            function: a function of a module, found there by its name.
            *arguments: what it gets besides the subject.
            **named: the same by name.

        Raises:
            DataError: ``DATA_FILE``: the child died at this file; the next call starts a fresh one.
            StoodStillError: ``DATA_FILE``: it took longer than a file of this size can take.
            KeyboardInterrupt: somebody ended the child; that is no fault of the file.
            Exception: whatever `function` raises, foreseen errors whole.
        """
        if self.process is None:
            self._start()
        size = path.stat().st_size if path.is_file() else 0
        limit = self.least_seconds + SECONDS_PER_BYTE * size
        try:
            self.connection.send((limit, function, arguments, named))
            kind, content = self._answer()
        except (EOFError, ConnectionError):
            code = self._stop(patience=DYING_SECONDS)
            if -code in (signal.SIGINT, signal.SIGTERM):
                raise KeyboardInterrupt from None
            if not self.started:
                raise RuntimeError(f"the reading process did not start, and ended with code {code}") from None
            raise _died(path, code, size, limit) from None
        if kind == "error":
            raise content
        return content

    def _answer(self) -> tuple[str, Any]:
        """Wait for the result or the error; what the child says meanwhile is said here."""
        while True:
            kind, content = self.connection.recv()
            self.started = True
            if kind in ("result", "error"):
                return kind, content
            if kind == "warning":
                # With a registry of ours, what the files have in common is shown once, as in a single process.
                text, category, filename, line = content
                warnings.warn_explicit(text, category, filename, line, registry=self.warned)
            elif kind == "log" and (logger := logging.getLogger(content.name)).isEnabledFor(content.levelno):
                logger.handle(content)

    def _start(self) -> None:
        self.started = False
        try:
            # Ours, so that what a crash leaves unpacked goes too.
            self.folder = tempfile.TemporaryDirectory(prefix="reader-")
        except OSError as error:
            place = Path(os.environ.get("TMPDIR", "/tmp"))
            raise storage_error(error, place, "set TMPDIR to a folder that can be written") from error
        self.connection, theirs = Pipe()
        environment = os.environ | {
            "TMPDIR": self.folder.name,
            "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path),
        }
        with theirs:
            # A process group of its own: Ctrl-C goes to this process alone, which then ends the child.
            self.process: subprocess.Popen[bytes] | None = subprocess.Popen(
                [sys.executable, "-c", START.format(descriptor=theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
                env=environment,
            )
        with suppress(ConnectionError):  # dead already: the first call finds it and says so
            self.connection.send((self.subject, logging.getLogger().getEffectiveLevel()))

    def _stop(self, *, patience: float = 0.0) -> int:
        """End the child and return its exit code, which is its own when it ends within `patience` seconds."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        self.connection.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        process.kill()
        code = process.wait()
        self.folder.cleanup()
        return code


def serve(descriptor: int) -> None:
    """Work in the child: take the subject, then answer calls until the other side is gone."""
    import resource

    # An interrupt ends the child without a word, and a crash leaves no core file in the user's folder.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    connection = Connection(descriptor)
    try:
        subject, level = connection.recv()
        logging.getLogger().addHandler(_LogSender(connection))
        logging.getLogger().setLevel(level)
        while True:
            limit, function, arguments, named = connection.recv()
            connection.send(("started", None))
            # The system ends this process when the time is over, also inside the C library or without a parent.
            signal.setitimer(signal.ITIMER_REAL, limit)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")  # the filters of the parent decide
                answer = _outcome(function, subject, arguments, named)
            signal.setitimer(signal.ITIMER_REAL, 0)
            for warning in caught:
                connection.send(("warning", (str(warning.message), warning.category, warning.filename, warning.lineno)))
            connection.send(answer)
    except (EOFError, ConnectionError):
        return


class _LogSender(QueueHandler):
    """Sends log records to the parent, their text made here: what they quote need not be able to travel."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(queue=None)  # type: ignore[arg-type]
        self.connection = connection

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self.connection.send(("log", record))


def _outcome(function: Callable[..., Any], subject: Any, arguments: Any, named: Any) -> tuple[str, Any]:
    try:
        return "result", function(subject, *arguments, **named)
    except ForeseenError as error:
        return "error", error
    except Exception as error:  # raised again by the parent, so nothing is hidden
        error.add_note(f"in the reading process:\n{traceback.format_exc()}")
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an error that cannot travel is told as text
            return "error", RuntimeError(traceback.format_exc())
        return "error", error


def _died(path: Path, code: int, size: int, limit: float) -> DataError:
    """What it means that the child ended with `code` at a file of `size` bytes."""
    kind: type[DataError] = DataError
    reason, advice = "the NetCDF library does not survive this file", WITHOUT_IT
    if code == -signal.SIGALRM:
        kind, reason = StoodStillError, f"it came to no end in {limit:.0f} s, as the NetCDF library on damaged files"
        advice += " (where the disk itself stands still, copy the files to another one)"
    if code == -signal.SIGKILL:
        reason = "it was killed, as systems do when memory runs out"
        advice = f"give the program more memory; where the file should be small, {WITHOUT_IT}"
    ended = f"by {signal.Signals(-code).name} ({signal.strsignal(-code)})" if code < 0 else f"with code {code}"
    return kind(
        "DATA_FILE",
        f"the reader crashed at {path.name}: {reason}",
        where=str(path),
        evidence=f"the reading process ended {ended}; the file has {size} bytes",
        next_command=advice,
    )
