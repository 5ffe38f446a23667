"""P2: a signal in any phase but training ends with 75, its message, and nothing left behind. Real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import make_table
from tests.processes import children, hear_all_signals, runs
from utils import checkpoint
from utils.files import TEMPORARY_SUFFIX

ROOT = Path(__file__).resolve().parent.parent
# Seconds after the handlers are there.
TURNS = [(0.0, "SIGTERM"), (0.1, "SIGINT"), (0.4, "SIGTERM"), (1.0, "SIGINT"), (2.0, "SIGTERM")]
PATIENCE_SECONDS = 60


class Program:
    """One `run.py` in a process of its own, with a folder of its own for everything it writes."""

    def __init__(self, folder: Path, *words: str, script: str = "run.py") -> None:
        self.folder = folder
        places = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
        self.process = subprocess.Popen(
            [sys.executable, script, "--preset", "smoke", "--device", "cpu", *places, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_all_signals,
        )

    def wait_for_line(self, text: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text in line:
                return
        pytest.fail(f"it ended before it said {text!r}: {self.process.communicate()[1]}")

    def wait_until(self, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)

    def takes_charge_of_signals(self) -> bool:
        """Whether the handlers are there: what comes before them, the system answers."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not Path("/proc/self").exists():
            pytest.skip("only /proc tells when the handlers are there")
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def is_interrupted_by(self, *numbers: int) -> str:
        """Send signals, and return what was said when all is over and nothing is left."""
        descendants = children(self.process.pid)
        for number in numbers:
            self.process.send_signal(number)
        shown, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 75, said
        assert said.startswith(f"INTERRUPTED: stopped by {signal.Signals(numbers[0]).name}.")
        assert "Traceback" not in said + shown and said.count("INTERRUPTED") == 1
        assert not [path for path in self.folder.rglob("*") if path.name.endswith(TEMPORARY_SUFFIX)]
        assert all(json.loads(path.read_text()) for path in self.folder.rglob("*.json"))
        assert not any(map(runs, descendants))
        return said


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start the program on a small table; whatever still runs at the end of the test is ended."""
    started = []

    def begin(*words: str, script: str = "run.py") -> Program:
        started.append(Program(tmp_path, *words, script=script))
        return started[-1]

    make_table.write(tmp_path)
    yield begin
    for program in started:
        program.process.kill()
        program.process.communicate()


@pytest.mark.parametrize(("delay", "name"), TURNS)
def test_a_signal_while_the_program_starts(start: Callable[..., Program], delay: float, name: str) -> None:
    """Importing torch takes seconds in which a queue may already have changed its mind."""
    program = start("--train_epochs", "5000", "--patience", "5000")
    program.wait_until(program.takes_charge_of_signals)
    time.sleep(delay)
    said = program.is_interrupted_by(signal.Signals[name])
    assert "nothing to save yet" in said and "start the same command again" in said


def test_the_diagnosis_by_its_other_name_takes_charge_as_early(start: Callable[..., Program]) -> None:
    """It imports run.py, which then is no main program."""
    program = start(script="debug_nan_source.py")
    program.wait_until(program.takes_charge_of_signals)
    program.is_interrupted_by(signal.SIGTERM)


@pytest.mark.parametrize(("delay", "name"), [(0.0, "SIGINT"), (0.2, "SIGTERM")])
def test_a_signal_while_the_table_is_read_and_looked_at(
    start: Callable[..., Program], tmp_path: Path, delay: float, name: str
) -> None:
    """Preflight has no weights to save, and leaves no half report."""
    make_table.write(tmp_path, content=make_table.frame(n_times=80_000))
    program = start()
    program.wait_for_line("Looking at data")
    time.sleep(delay)
    assert "nothing to save yet" in program.is_interrupted_by(signal.Signals[name])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_while_a_reference_is_fitted(start: Callable[..., Program], name: str) -> None:
    """Boosting works in C for most of its time."""
    program = start("--model", "gradient_boosting", "--boosting_trees", "100000")
    program.wait_for_line("gradient_boosting, seed")
    time.sleep(0.5)
    program.is_interrupted_by(signal.Signals[name])
    assert not list(program.folder.rglob("scores.json"))


@pytest.mark.parametrize("there", ["best.pt", "predictions.csv", "figures"])
def test_a_signal_while_a_run_is_scored_written_and_drawn(start: Callable[..., Program], there: str) -> None:
    """The weights are there already; files that are being written are whole or absent."""
    program = start("--model", "gradient_boosting")
    program.wait_until(lambda: list(program.folder.glob(f"runs/*/*/{there}")))
    program.is_interrupted_by(signal.SIGTERM)
    assert not list(program.folder.rglob("scores.json"))


def test_a_burst_of_signals_is_one(start: Callable[..., Program]) -> None:
    """An impatient user and a scheduler's second warning come while the program is on its way out."""
    program = start("--model", "gradient_boosting", "--boosting_trees", "100000")
    program.wait_for_line("gradient_boosting, seed")
    program.is_interrupted_by(*[signal.SIGTERM] * 10)


LONG = ["--train_epochs", "5000", "--patience", "5000", "--batch_size", "8"]


@pytest.mark.parametrize("numbers", [["SIGTERM"], ["SIGINT"], ["SIGTERM"] * 5], ids=" ".join)
def test_a_signal_in_training_saves_the_step_in_progress_and_says_how_to_go_on(
    start: Callable[..., Program], numbers: list[str]
) -> None:
    """Schedulers send SIGTERM and wait half a minute; what was learned until then is not lost."""
    program = start(*LONG)
    program.wait_for_line("epoch 2/")
    said = program.is_interrupted_by(*(signal.Signals[name] for name in numbers))
    (run,) = program.folder.glob("runs/*/*")
    state = checkpoint.load(run / "last.pt")
    assert state["step"] >= 20 and f"step {state['step']} (epoch" in said and "is saved in last.pt" in said
    assert f"python run.py --resume {run}" in said and not (run / "run.lock").exists()
    again = start(*LONG, "--resume", str(run))
    again.wait_for_line(f"RESUMED at step {state['step']}")
    assert "is saved in last.pt" in again.is_interrupted_by(signal.SIGTERM)


def test_time_that_is_up_saves_the_step_in_progress_and_the_run_goes_on_from_it(start: Callable[..., Program]) -> None:
    """A machine lent for two hours takes the work with it when it goes."""
    program = start(*LONG, "--max_minutes", "0.05")
    _, said = program.process.communicate(timeout=PATIENCE_SECONDS)
    assert program.process.returncode == 75 and "stopped by --max_minutes 0.05" in said and "Traceback" not in said
    (run,) = program.folder.glob("runs/*/*")
    state = checkpoint.load(run / "last.pt")
    assert f"step {state['step']} (epoch" in said and f"python run.py --resume {run}" in said
    again = start(*LONG, "--resume", str(run))
    again.wait_for_line(f"RESUMED at step {state['step']}")
    again.is_interrupted_by(signal.SIGTERM)


def test_a_signal_while_a_frozen_encoder_runs_ends_before_all_windows_are_encoded(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    """The released encoder takes hours for a long table on a CPU; a scheduler waits half a minute."""
    make_table.write(tmp_path, content=make_table.frame(n_times=20_000))
    large = ["--e_layers", "4", "--d_model", "512", "--d_ff", "2048", "--seq_len", "960", "--sample_stride_hours", "1"]
    program = start("--tune", "head", *large, "--batch_size", "2", "--micro_batch_size", "2")
    program.wait_for_line("stage 1 of 1")
    said = program.is_interrupted_by(signal.SIGTERM)
    (run,) = program.folder.glob("runs/*/*")
    assert "frozen encoder:" not in (run / "train.log").read_text()
    assert "nothing to save yet" in said and not (run / "encoded").exists()


@pytest.mark.parametrize("second", ["SIGTERM", "SIGINT"])
def test_p3_a_second_signal_during_the_save_does_no_harm(start: Callable[..., Program], second: str) -> None:
    """Ctrl-C twice is what people do; the first one began to save."""
    program = start(*LONG, "--d_model", "512", "--d_ff", "1024", "--e_layers", "4")
    program.wait_for_line("epoch 1/")
    program.process.send_signal(signal.SIGTERM)
    program.wait_until(lambda: list(program.folder.rglob(f"last.pt{TEMPORARY_SUFFIX}")))
    program.process.send_signal(signal.Signals[second])
    _, said = program.process.communicate(timeout=PATIENCE_SECONDS)
    assert program.process.returncode == 75 and said.count("INTERRUPTED") == 1 and "Traceback" not in said
    (run,) = program.folder.glob("runs/*/*")
    checkpoint.load(run / "last.pt")
    assert not list(run.glob(f"*{TEMPORARY_SUFFIX}"))


def test_p7_a_second_process_in_a_run_directory_is_refused_and_a_dead_one_gives_it_free(
    start: Callable[..., Program],
) -> None:
    """Two processes in one directory would overwrite each other's states; a killed one must not keep the third out."""
    first = start(*LONG)
    first.wait_for_line("epoch 2/")
    (run,) = first.folder.glob("runs/*/*")
    second = start("--resume", str(run))
    _, said = second.process.communicate(timeout=PATIENCE_SECONDS)
    assert second.process.returncode == 7 and said.startswith("RUN_LOCKED") and str(first.process.pid) in said
    assert first.process.poll() is None
    first.process.kill()
    first.process.communicate()
    third = start("--resume", "auto", *LONG)
    third.wait_for_line("RESUMED at step")
    third.is_interrupted_by(signal.SIGTERM)
