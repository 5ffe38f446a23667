"""The reading process: what comes back from it, and what its death means. Real processes, real signals."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_provider.reader_process import ReaderProcess, StoodStillError
from tests.make_faulty_files import write_circle
from tests.processes import runs
from tests.reader_calls import (
    PARTS,
    abort,
    die_by,
    leave,
    lose_the_connection,
    raise_what_cannot_travel,
    read_file,
    refuse,
    remember,
    sleep,
    speak,
    stumble,
)
from utils.errors import CheckpointError, DataError, ForeseenError, StorageError, UsageError

ROOT = Path(__file__).resolve().parents[2]
FILE = Path("raw") / "era5.nc"


@pytest.fixture(scope="module")
def reader() -> Iterator[ReaderProcess[list[int]]]:
    """One reading process for the tests that do not kill it; its object is a list."""
    with ReaderProcess[list[int]]([]) as process:
        yield process


def test_the_object_lives_in_one_child_and_remembers() -> None:
    """A new child for every file would cost its start every time; one in this process would protect nothing."""
    mine = [1]
    with ReaderProcess(mine) as reader:
        first, second = reader.read(FILE, remember, 2), reader.read(FILE, remember, number=3)
    assert first[0] == [1, 2] and second[0] == [1, 2, 3] and mine == [1]
    assert first[1] == second[1] != os.getpid()
    assert not runs(first[1])


@pytest.mark.parametrize("kind", [DataError, UsageError, StorageError, CheckpointError])
def test_a_foreseen_error_comes_back_whole(reader: ReaderProcess[list[int]], kind: type[ForeseenError]) -> None:
    """Exceptions travel by their text alone unless told otherwise: code, evidence and exit code would be lost."""
    with pytest.raises(kind) as caught:
        reader.read(FILE, refuse, kind)
    assert vars(caught.value) == {"code": "SOME_CODE", "what": "it is wrong", "others": ()} | PARTS
    assert caught.value.exit_code == kind.exit_code


def test_what_was_added_to_a_foreseen_error_travels_too() -> None:
    """A later command replaced for a caller must not fall back to the first one."""
    error = DataError("SOME_CODE", "it is wrong", **PARTS)
    error.next_command = "another command"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("function", [stumble, lose_the_connection])
def test_a_fault_of_the_program_keeps_its_kind_and_shows_its_lines(reader: ReaderProcess[list[int]], function) -> None:
    """A bug in the reader that looked like a damaged file would be looked for in the wrong place."""
    with pytest.raises((ZeroDivisionError, ConnectionResetError)) as caught:
        reader.read(FILE, function)
    assert f"in {function.__name__}" in caught.value.__notes__[0]
    assert reader.read(FILE, remember, 1)


def test_an_error_that_cannot_travel_is_told_as_text(reader: ReaderProcess[list[int]]) -> None:
    """Otherwise the answer would never come and the fault would look like a hang."""
    with pytest.raises(RuntimeError, match="the lock is lost"):
        reader.read(FILE, raise_what_cannot_travel)


def test_log_lines_and_warnings_of_the_child_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    """Messages that stay in the child are lost; a level must hold there too."""
    caplog.set_level("INFO")
    with ReaderProcess[list[int]]([]) as reader, pytest.warns(UserWarning, match="the calendar is odd"):
        reader.read(FILE, speak)
    assert [record.getMessage() for record in caplog.records] == ["half of era5.nc is read"]


def test_a_warning_that_all_files_share_is_shown_once() -> None:
    """Seventy times the same line would bury the one that matters."""
    with ReaderProcess[list[int]]([]) as reader, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        for _ in range(3):
            reader.read(FILE, speak)
    assert [str(warning.message) for warning in heard] == ["the calendar is odd"]


@pytest.mark.parametrize(
    ("function", "arguments", "says"),
    [
        (die_by, (signal.SIGSEGV,), "SIGSEGV (Segmentation fault)"),
        (die_by, (signal.SIGBUS,), "SIGBUS"),
        (abort, (), "SIGABRT"),
        (die_by, (signal.SIGKILL,), "memory"),
        (leave, (), "code 11"),
    ],
)
def test_a_death_of_the_child_names_file_and_signal_and_the_next_call_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function, arguments: tuple[int, ...], says: str
) -> None:
    """D11: the death inside the C library must be the file's, not the program's; nothing unpacked stays behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = tmp_path / "era5.nc"
    path.write_bytes(bytes(123))
    with ReaderProcess([7]) as reader:
        with pytest.raises(DataError) as caught:
            reader.read(path, function, *arguments)
        assert reader.read(path, remember, 8)[0] == [7, 8]
    assert list(tmp_path.iterdir()) == [path]
    error = caught.value
    assert error.code == "DATA_FILE" and error.what.startswith("the reader crashed at era5.nc")
    assert error.where == str(path) and says in f"{error.what} {error.evidence}" and "123 bytes" in error.evidence
    assert "download the file again" in error.next_command
    assert "python -m data_provider.prepare" in error.next_command


def test_a_child_that_stands_still_is_ended() -> None:
    """A hang in the night costs the night; the system's own clock ends it, whatever the library does."""
    with ReaderProcess[list[int]]([]) as reader:
        reader.read(FILE, remember, 1)
        reader.least_seconds = 0.5
        with pytest.raises(StoodStillError, match="came to no end") as caught:
            reader.read(FILE, sleep)
    assert caught.value.code == "DATA_FILE" and "era5.nc" in caught.value.where and "SIGALRM" in caught.value.evidence


def test_a_real_file_that_sends_the_library_in_circles_is_ended(tmp_path: Path) -> None:
    """One zeroed byte in the heap of a NetCDF-4 file makes HDF5 2.2.0 walk round for ever when it is opened."""
    path = write_circle(tmp_path / "circle.nc")
    with ReaderProcess[list[int]]([]) as reader:
        reader.read(path, remember, 1)
        reader.least_seconds = 8
        try:
            names = reader.read(path, read_file, path)
        except StoodStillError as error:
            assert "circle.nc" in error.what
        except DataError as error:
            pytest.skip(f"this NetCDF library refuses the file: {error.evidence}")
        else:
            pytest.skip(f"this NetCDF library reads the file: {names}")


def test_a_child_ended_by_somebody_else_is_an_interruption_not_a_bad_file() -> None:
    """A scheduler ends all processes of a job at once: the child may die before its parent is told."""
    with ReaderProcess[list[int]]([]) as reader, pytest.raises(KeyboardInterrupt):
        reader.read(FILE, die_by, signal.SIGTERM)


def test_a_child_that_cannot_start_is_no_fault_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation must not send the user to download files again."""
    monkeypatch.setattr("data_provider.reader_process.START", "import sys; sys.exit(5)  # {descriptor}")
    with ReaderProcess[list[int]]([]) as reader, pytest.raises(RuntimeError, match="did not start"):
        reader.read(FILE, remember, 1)


def test_no_place_for_temporary_files_is_a_storage_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On clusters TMPDIR often names a folder of a job that is gone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError) as caught:
        ReaderProcess(None)
    assert caught.value.code == "STORAGE_DENIED" and "TMPDIR" in caught.value.next_command


def test_a_script_without_a_main_guard_can_use_it_and_no_child_outlives_its_parent(tmp_path: Path) -> None:
    """Multiprocessing would run such a script again in the child; a parent killed outright can end nobody."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from data_provider.reader_process import ReaderProcess\n"
        "from tests.reader_calls import remember\n"
        "print('started', flush=True)\n"
        "reader = ReaderProcess([])\n"
        "print(reader.read(Path('a.nc'), remember, 1)[1], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    answer = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    started, child = answer.stdout.split()
    assert answer.returncode == -signal.SIGKILL and started == "started" and answer.stderr == ""
    deadline = time.monotonic() + 60
    while runs(int(child)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(int(child))
