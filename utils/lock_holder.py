"""Who holds a run directory, as a lock file says, and whether that process can still be alive."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from utils import process_identity
from utils.errors import LockError

STALE_AFTER = timedelta(minutes=15)
MOST_BYTES = 4096
TEXTS = ("host", "boot", "started", "since", "seen")


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a run directory.

    Attributes:
        pid: number of the process; 0 where the file does not say.
        host: name of its machine.
        boot: name of that start of the machine.
        started: when the process was started, which tells it from another one of the same number.
        since: when it took the lock, UTC.
        seen: when it last renewed it, UTC; where the file does not say, when it was written.
    """

    pid: int = 0
    host: str = ""
    boot: str = ""
    started: str = ""
    since: str = ""
    seen: str

    def __str__(self) -> str:
        if not self.pid:
            return "a process that has not said its name"
        return f"process {self.pid} on {self.host} since {self.since}, last seen {self.seen}"

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.host == process_identity.host()

    @property
    def stale_from(self) -> datetime:
        """From when on a lock of another machine no longer counts."""
        return datetime.fromisoformat(self.seen) + STALE_AFTER

    def is_same(self, other: Holder) -> bool:
        """Whether both are the same lock of the same process, however often it was renewed."""
        return (self.pid, self.host, self.since) == (other.pid, other.host, other.since)

    def may_live(self, *, is_locked: bool) -> bool:
        """Whether the process that wrote this still runs, as far as can be known here.

        Args:
            is_locked: the system just gave its own lock, so no process of this machine has it.
        """
        same_boot = self.boot == process_identity.boot()
        if is_locked and (not self.pid or self.is_here or (same_boot and self.boot)):
            return False
        if self.is_here and os.name != "nt":  # Windows cannot be asked in the same way
            return same_boot and process_identity.lives(self.pid, self.started)
        return datetime.now(UTC) < self.stale_from

    def refusal(self, path: Path) -> LockError:
        """Return what to say to whoever wants the directory of this lock file as well."""
        if not self.pid:
            advice = "wait until it ends, then start the same command again"
        elif self.is_here:
            advice = f"wait until it ends, or stop it: kill {self.pid}; then start the same command again"
        else:
            advice = f"wait until it ends, or stop it on {self.host}; a dead one counts no more from "
            advice += f"{self.stale_from.isoformat()} on; sooner, if you know that it is dead: rm {path}"
        return LockError(
            "RUN_LOCKED",
            "Another process holds this run directory.",
            where=str(path.parent),
            evidence=str(self),
            next_command=advice,
        )


def myself() -> Holder:
    """Return this process as a holder, from now on."""
    pid = os.getpid()
    return Holder(
        pid=pid,
        host=process_identity.host(),
        boot=process_identity.boot(),
        started=process_identity.started(pid),
        since=now(),
        seen=now(),
    )


def now() -> str:
    """Return the time as a lock file has it; always of the same length, so that it can be renewed in place."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(descriptor: int, holder: Holder) -> None:
    """Replace what an open lock file says, in place: the system's lock belongs to the file, not to its name."""
    content = f"{json.dumps(asdict(holder))}\n".encode()
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, content)
    os.ftruncate(descriptor, len(content))


def parse(descriptor: int) -> Holder:
    """Return what an open lock file says."""
    written = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC).isoformat(timespec="seconds")
    with suppress(OSError, ValueError, KeyError, TypeError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        content = json.loads(os.read(descriptor, MOST_BYTES))
        holder = Holder(pid=int(content["pid"]), **{name: str(content[name]) for name in TEXTS})
        if holder.pid > 0 and datetime.fromisoformat(holder.seen).tzinfo:
            return holder
    return Holder(seen=written)


def read(path: Path) -> Holder | None:
    """Return what a lock file says; None where there is none to read."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return parse(descriptor)
    finally:
        os.close(descriptor)
