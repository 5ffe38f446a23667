"""One run directory, one process: two would overwrite each other's checkpoints.

The lock is a file `run.lock` that the system locks (`flock`) and that says who holds it. The system lets go of it when
the process ends, however it ends. Where it does not know such locks, or does not share them with other machines
(network drives, Drive in Colab), what the file says decides: a lock of another machine counts as live as long as it
was renewed in the last 15 minutes.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from utils import lock_holder
from utils.files import storage_error
from utils.lock_holder import Holder

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

logger = logging.getLogger(__name__)
LOCK_FILE = "run.lock"
TOUCH_SECONDS = 60.0
# Whoever only looks at a lock holds it for a moment: that is no reason to refuse a run.
ATTEMPTS, ATTEMPT_SECONDS = 10, 0.05


class Lock:
    """A lock that is held; made by `hold`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor: int | None = descriptor
        self.holder = lock_holder.myself()
        self.touched = time.monotonic()

    def touch(self) -> None:
        """Say that the run is alive, at most once a minute, so that it may be called at every step.

        Raises:
            LockError: ``RUN_LOCKED``: another machine took this run for dead, and holds its directory now.
        """
        if self.descriptor is None or time.monotonic() - self.touched < TOUCH_SECONDS:
            return
        self.touched = time.monotonic()
        other = lock_holder.read(self.path)
        if other is not None and other.pid and not self.holder.is_same(other):
            raise other.refusal(self.path)
        self.holder = replace(self.holder, seen=lock_holder.now())
        # The content keeps its length, so that a full disk is no matter; a lost one is told when something is saved.
        with suppress(OSError):
            lock_holder.write(self.descriptor, self.holder)

    def release(self) -> None:
        """Remove the file and let go of it; in that order, so that nobody gets hold of a file about to be removed."""
        if self.descriptor is None:
            return
        other = lock_holder.read(self.path)
        descriptor, self.descriptor = self.descriptor, None
        _held.discard(self)
        if fcntl is None:  # Windows removes no open file
            os.close(descriptor)
        if other is None or self.holder.is_same(other):
            with suppress(OSError):
                self.path.unlink()
        if fcntl is not None:
            os.close(descriptor)


_held: set[Lock] = set()


@contextmanager
def hold(run: Path) -> Iterator[Lock]:
    """Hold a run directory for the time of the block.

    Args:
        run: the directory; it has to be there.

    Raises:
        LockError: ``RUN_LOCKED``: another process holds it.
        StorageError: the lock file cannot be written.
    """
    lock = _acquire(run / LOCK_FILE)
    try:
        yield lock
    finally:
        lock.release()


def held_by(run: Path) -> Holder | None:
    """Return who holds a run directory, this process included; None when nobody does."""
    path = run / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError:
        return Holder(seen=lock_holder.now())  # what may not be looked at is somebody's
    try:
        state = _flock(descriptor, shared=True)
        if state == "ours":
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        holder = lock_holder.parse(descriptor)
        return holder if state == "busy" or holder.may_live(is_locked=state == "ours") else None
    finally:
        os.close(descriptor)


def require_free(run: Path) -> None:
    """Refuse to touch a directory that a run holds.

    Raises:
        LockError: ``RUN_LOCKED``.
    """
    if holder := held_by(run):
        raise holder.refusal(run / LOCK_FILE)


def _acquire(path: Path) -> Lock:
    holder: Holder
    for _ in range(ATTEMPTS):
        descriptor, is_new = _open(path)
        try:
            state = _flock(descriptor)
            holder = lock_holder.parse(descriptor)
            if state != "busy" and _is_still(path, descriptor):
                if not is_new and holder.may_live(is_locked=state == "ours"):
                    raise holder.refusal(path)
                return _take(path, descriptor, holder)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(ATTEMPT_SECONDS)
    raise holder.refusal(path)


def _open(path: Path) -> tuple[int, bool]:
    """Open a lock file, and say whether it was made just now: then nobody else can have it."""
    how = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    try:
        with suppress(FileExistsError):
            return os.open(path, how | os.O_CREAT | os.O_EXCL, 0o666), True
        return os.open(path, how | os.O_CREAT, 0o666), False
    except OSError as error:
        raise storage_error(error, path, "choose another folder with --checkpoints") from error


def _take(path: Path, descriptor: int, before: Holder) -> Lock:
    """Write this process's name into a lock file that is open and free."""
    lock = Lock(path, descriptor)
    try:
        lock_holder.write(descriptor, lock.holder)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise storage_error(error, path, "choose another folder with --checkpoints") from error
    if before.pid:
        logger.info("%s was left behind and is taken over: %s is gone.", path, before)
    _held.add(lock)
    _watch_forks()
    return lock


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_let_go_in_child)


def _let_go_in_child() -> None:
    """A forked child shares the parent's lock, and would keep it when the parent is dead."""
    for lock in _held:
        if lock.descriptor is not None:
            os.close(lock.descriptor)
            lock.descriptor = None
    _held.clear()


def _flock(descriptor: int, *, shared: bool = False) -> Literal["ours", "busy", "unsupported"]:
    if fcntl is None:
        return "unsupported"
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return "busy" if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES) else "unsupported"
    return "ours"


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that has the name: its holder may just have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
