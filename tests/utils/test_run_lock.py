"""P7: two runs in one directory, and the locks of the dead. Real processes, real kills, real locks of the system."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.processes import runs
from utils import lock_holder, run_lock
from utils.errors import LockError, StorageError

ROOT = Path(__file__).resolve().parents[2]
HEAD = (
    "import os, subprocess, sys, time\nfrom pathlib import Path\nfrom utils import run_lock\nrun = Path(sys.argv[1])\n"
)
HOLD = HEAD + "with run_lock.hold(run):\n    print('held', flush=True)\n    sys.stdin.read()\n"
ELSEWHERE = {"host": "another-host", "boot": "another-boot"}


@contextmanager
def process(run: Path, script: str = HOLD) -> Iterator[subprocess.Popen[str]]:
    """Run a script that holds a directory until its input ends, from its first line on."""
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(run)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def refused(run: Path) -> LockError:
    with pytest.raises(LockError) as caught, run_lock.hold(run):
        pass
    assert caught.value.exit_code == 7 and caught.value.code == "RUN_LOCKED"
    return caught.value


def leave_lock(run: Path, *, minutes_ago: float = 0, **fields: object) -> Path:
    """Write the lock of a process that has no lock of the system: of this one, but for the fields given."""
    seen = (datetime.now(UTC) - timedelta(minutes=minutes_ago)).isoformat(timespec="seconds")
    path = run / "run.lock"
    path.write_text(json.dumps(asdict(lock_holder.myself()) | {"seen": seen} | fields))
    return path


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, and where the file system has no locks."""
    monkeypatch.setattr(run_lock, "fcntl", None)


def test_a_second_run_is_refused_with_the_name_of_the_first_which_goes_on(tmp_path: Path) -> None:
    """Two runs that save into one directory leave a mixture of both."""
    with process(tmp_path) as first:
        assert line_of(first) == "held"
        before = (tmp_path / "run.lock").read_bytes()
        error = refused(tmp_path)
        assert error.where == str(tmp_path) and f"process {first.pid} on {socket.gethostname()}" in error.evidence
        assert json.loads(before)["since"] in error.evidence and f"kill {first.pid}" in error.next_command
        assert (tmp_path / "run.lock").read_bytes() == before and first.poll() is None
        first.communicate("")
        assert first.returncode == 0 and list(tmp_path.iterdir()) == []
    with run_lock.hold(tmp_path):
        assert (tmp_path / "run.lock").is_file()


def test_the_lock_of_a_killed_run_is_taken_over_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a kill -9 nobody removes the file; it must not keep the run from being continued."""
    with process(tmp_path) as first:
        assert line_of(first) == "held"
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert run_lock.held_by(tmp_path) is None and (tmp_path / "run.lock").is_file()
        with caplog.at_level(logging.INFO), run_lock.hold(tmp_path):
            holder = run_lock.held_by(tmp_path)
            assert holder is not None and holder.pid == os.getpid()
    (line,) = caplog.messages
    assert f"process {first.pid}" in line and "taken over" in line


@pytest.mark.parametrize(
    "start",
    [
        "child = subprocess.Popen(['sleep', '60']).pid",
        "child = os.fork()\nif not child:\n    time.sleep(60)\n    os._exit(0)",
        "child = os.fork()\nif not child:\n    os.close(1)\n    subprocess.run(['sleep', '60'])\n    os._exit(0)",
    ],
    ids=["subprocess", "fork", "fork and subprocess"],
)
def test_a_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path, start: str) -> None:
    """A reading process that outlives the run for a moment would block its continuation."""
    body = f"{start}\nprint(child, flush=True)\nsys.stdin.read()".replace("\n", "\n    ")
    with process(tmp_path, f"{HEAD}with run_lock.hold(run):\n    {body}\n") as first:
        child = int(line_of(first))
        refused(tmp_path)
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert runs(child)
        with run_lock.hold(tmp_path):
            pass
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_that_leaves_the_block_does_not_unlock_its_parent(tmp_path: Path) -> None:
    """It would remove the file of a run that is still there."""
    script = HEAD + (
        "with run_lock.hold(run) as lock:\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        os.waitpid(child, 0)\n"
        "        print('held', flush=True)\n"
        "        sys.stdin.read()\n"
        "    else:\n"
        "        lock.touch()\n"
    )
    with process(tmp_path, script) as first:
        assert line_of(first) == "held"
        assert f"process {first.pid} " in refused(tmp_path).evidence


@pytest.mark.parametrize("minutes_ago", [0, 1000])
def test_without_locks_of_the_system_a_living_process_still_holds(
    tmp_path: Path, without_flock: None, minutes_ago: float
) -> None:
    """A run that has not come to renew its lock, as in a long epoch, is alive all the same."""
    leave_lock(tmp_path, minutes_ago=minutes_ago)
    holder = run_lock.held_by(tmp_path)
    assert holder is not None and holder.pid == os.getpid()
    refused(tmp_path)


@pytest.mark.parametrize(
    "fields", [{"started": "1"}, {"pid": 2**22 + 1}, {"boot": "before the restart"}], ids=["reused", "gone", "restart"]
)
@pytest.mark.parametrize("has_flock", [True, False])
def test_a_number_that_was_given_to_another_process_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], has_flock: bool
) -> None:
    """After a restart of the machine the old number belongs to somebody else, often at once."""
    if not has_flock:
        monkeypatch.setattr(run_lock, "fcntl", None)
    leave_lock(tmp_path, **fields)
    assert run_lock.held_by(tmp_path) is None
    with run_lock.hold(tmp_path):
        refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_machine_holds_while_it_was_seen_lately(tmp_path: Path) -> None:
    """Two Colab machines share a Drive, but no locks."""
    path = leave_lock(tmp_path, pid=42, minutes_ago=14, **ELSEWHERE)
    error = refused(tmp_path)
    stale_from = datetime.fromisoformat(json.loads(path.read_text())["seen"]) + timedelta(minutes=15)
    assert "process 42 on another-host" in error.evidence and stale_from.isoformat() in error.next_command
    holder = run_lock.held_by(tmp_path)
    assert holder is not None and holder.host == "another-host"
    # What the message says to type does what it says.
    subprocess.run(shlex.split(f"rm {error.next_command.rpartition('rm ')[2]}"), check=True)
    with run_lock.hold(tmp_path):
        pass


@pytest.mark.parametrize(("minutes_ago", "fields"), [(16, ELSEWHERE), (0, {"host": "an-earlier-container"})])
def test_a_run_of_another_machine_or_container_that_cannot_live_is_taken_over(
    tmp_path: Path, minutes_ago: float, fields: dict[str, object]
) -> None:
    """A container that was started anew has another name and the same machine, whose own lock decides."""
    leave_lock(tmp_path, minutes_ago=minutes_ago, **fields)
    assert run_lock.held_by(tmp_path) is None
    with run_lock.hold(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff" * 5000])
def test_a_lock_that_says_nothing_counts_only_where_the_system_cannot_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """A run killed between making the file and writing it leaves it empty."""
    path = tmp_path / "run.lock"
    path.write_bytes(content)
    with run_lock.hold(tmp_path):
        pass
    path.write_bytes(content)
    monkeypatch.setattr(run_lock, "fcntl", None)
    assert "has not said its name" in refused(tmp_path).evidence
    os.utime(path, (0, 0))
    with run_lock.hold(tmp_path):
        pass


def test_of_many_processes_that_want_a_directory_one_has_it_at_a_time(tmp_path: Path) -> None:
    """Between opening a lock file and locking it its holder may remove it: two would hold two files of one name."""
    script = HEAD + (
        "from utils.errors import LockError\n"
        "taken = 0\n"
        "while taken < 20:\n"
        "    run_lock.held_by(run)\n"
        "    try:\n"
        "        with run_lock.hold(run):\n"
        "            os.close(os.open(run / 'alone', os.O_CREAT | os.O_EXCL))\n"
        "            time.sleep(0.001)\n"
        "            (run / 'alone').unlink()\n"
        "            taken += 1\n"
        "    except LockError: pass\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT) for _ in range(4)]
    assert [child.wait(120) for child in started] == [0] * 4
    assert list(tmp_path.iterdir()) == []


def test_looking_at_a_lock_does_not_keep_a_run_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clean-up looks by holding the lock for a moment."""
    monkeypatch.setattr(run_lock, "ATTEMPTS", 200)
    script = HEAD + (
        "import fcntl\n"
        "file = (run / 'run.lock').open('w')\n"
        "fcntl.flock(file, fcntl.LOCK_SH)\n"
        "print('looks', flush=True)\n"
        "time.sleep(0.2)\n"
    )
    with process(tmp_path, script) as looker:
        assert line_of(looker) == "looks"
        with run_lock.hold(tmp_path):
            pass


def test_a_file_that_its_holder_removes_in_this_moment_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking, the name may be gone: a lock on a file without a name keeps nobody out."""
    with run_lock.hold(tmp_path) as first:
        real = run_lock._flock

        def lock_late(descriptor: int) -> object:
            first.release()
            return real(descriptor)

        monkeypatch.setattr(run_lock, "_flock", lock_late)
        with run_lock.hold(tmp_path) as second:
            monkeypatch.setattr(run_lock, "_flock", real)
            assert second.path.is_file()
            refused(tmp_path)


def test_touching_renews_the_lock_in_place_and_not_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renaming a new file into place would lose the system's lock; writing at every step would cost training time."""
    path = tmp_path / "run.lock"
    with run_lock.hold(tmp_path) as lock:
        lock.holder = replace(lock.holder, seen="2026-01-01T00:00:00+00:00")
        before, inode = path.read_text(), path.stat().st_ino
        lock.touch()
        assert path.read_text() == before
        monkeypatch.setattr(run_lock, "TOUCH_SECONDS", 0)
        monkeypatch.setattr(lock_holder, "now", lambda: "2099-01-01T00:00:00+00:00")
        lock.touch()
        assert json.loads(path.read_text()) == json.loads(before) | {"seen": "2099-01-01T00:00:00+00:00"}
        assert (path.stat().st_ino, path.stat().st_size) == (inode, len(before))
        refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_taken_for_dead_stops_and_leaves_the_lock_of_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop that slept for an hour must not write over what another machine has trained meanwhile."""
    monkeypatch.setattr(run_lock, "TOUCH_SECONDS", 0)
    with pytest.raises(LockError, match="RUN_LOCKED") as caught, run_lock.hold(tmp_path) as lock:
        path = leave_lock(tmp_path, pid=42, **ELSEWHERE)
        lock.touch()
    assert "another-host" in caught.value.evidence and json.loads(path.read_text())["pid"] == 42


def test_a_lock_removed_by_hand_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on, and its end does not fail."""
    monkeypatch.setattr(run_lock, "TOUCH_SECONDS", 0)
    with run_lock.hold(tmp_path) as lock:
        (tmp_path / "run.lock").unlink()
        lock.touch()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_directory_that_takes_no_lock_is_a_storage_fault(tmp_path: Path, how: str) -> None:
    """A real mount, since permission bits do not bind root: full, or read-only."""
    if shutil.which("unshare") is None:
        pytest.skip("no mounts of one's own on this system")
    script = HEAD + (
        "from utils.errors import StorageError\n"
        "try:\n"
        "    with run_lock.hold(run): pass\n"
        "except StorageError as error: print(error.code, sorted(path.name for path in run.iterdir()))\n"
    )
    fill = 'head -c 1000000 /dev/zero > "$0"/big 2> /dev/null' if how == "full" else 'mount -o remount,ro "$0"'
    commands = f'mount -t tmpfs -o size=64k none "$0" && ({fill}; exec "$1" -c "$2" "$0")'
    answer = subprocess.run(
        ["unshare", "-rm", "sh", "-c", commands, str(tmp_path), sys.executable, script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        pytest.skip(f"no mounts of one's own here: {answer.stderr}")
    assert answer.stdout in ("STORAGE_FULL ['big']\n", "STORAGE_DENIED []\n")
    assert ("FULL" in answer.stdout) == (how == "full")


def test_a_directory_that_is_not_there_is_a_storage_fault(tmp_path: Path) -> None:
    """The mount has vanished."""
    with pytest.raises(StorageError), run_lock.hold(tmp_path / "gone"):
        pass
    assert run_lock.held_by(tmp_path / "gone") is None


def test_a_lock_through_a_link_is_refused(tmp_path: Path) -> None:
    """A link named run.lock would let the lock overwrite a file elsewhere."""
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "run.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError), run_lock.hold(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "kept"
