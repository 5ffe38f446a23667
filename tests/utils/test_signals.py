"""A signal ends the program once, with its message, or waits where the code asked it to. Real processes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import hear_all_signals
from utils import signals

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
import gc, os, signal, sys, time, weakref
from utils import signals
from utils.signals import Interrupted
def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
signals.install()
"""
RUNNING = HEAD + "signals.raise_at_once()\n"
# How Python comes to run code whose exceptions it drops.
SWALLOWED = {
    "__del__": "class Thing:\n    def __del__(self): send()\nthing = Thing()\ndel thing\n",
    "weakref": "class Thing: pass\nthing = Thing()\nref = weakref.ref(thing, lambda _: send())\ndel thing\n",
    "gc": "gc.callbacks.append(lambda phase, _: gc.callbacks.clear() or send())\ngc.collect()\n",
}


def execute(script: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own, in the project's folder."""
    return subprocess.run(
        [*before, sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=hear_all_signals,
    )


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_during_start_up_ends_at_once_with_its_message(name: str) -> None:
    """An exception raised while torch is imported may be swallowed there, and the run would go on."""
    answer = execute(HEAD + f"try: send(signal.{name})\nfinally: print('still here')")
    assert answer.returncode == 75 and answer.stdout == ""
    first, *rest = answer.stderr.splitlines()
    assert first == f"INTERRUPTED: stopped by {name}."
    assert "nothing to save yet" in rest[0] and rest[1] == "  next:     start the same command again"


def test_what_answers_signals_is_there_before_anything_slow() -> None:
    """Until the handlers are there a signal ends the program without a word: every import before them counts."""
    script = "import sys\nfrom utils import signals\nprint({'typing', 'contextlib', 'dataclasses'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-S", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


def test_a_program_under_nohup_outlives_its_terminal() -> None:
    """That is what nohup was typed for."""
    script = HEAD + "send(signal.SIGHUP)\nsignals.raise_at_once()\nsend(signal.SIGHUP)\nprint('still here')"
    answer = execute(script, "nohup")
    assert answer.returncode == 0 and answer.stdout == "still here\n"


def test_a_signal_raises_once_and_the_next_ones_leave_the_clean_up_alone() -> None:
    """A second Ctrl-C in the middle of removing a temporary file would leave it there."""
    answer = execute(
        RUNNING + "try: send(signal.SIGINT)\n"
        "except Interrupted as interrupt:\n"
        "    for _ in range(10): send(); send(signal.SIGINT)\n"
        "    print(signals.requested(), isinstance(interrupt, KeyboardInterrupt))\n"
    )
    assert answer.stdout == "SIGINT True\n" and answer.returncode == 0 and answer.stderr == ""


@pytest.mark.parametrize("place", SWALLOWED)
def test_an_interrupt_that_python_swallows_comes_again(place: str) -> None:
    """Python drops what is raised in a destructor or a callback: the run would never hear of the signal."""
    answer = execute(
        RUNNING + "signals.RETRY_SECONDS = 1\n"  # so that a busy machine comes to print in between
        "try:\n"
        + "".join(f"    {line}\n" for line in SWALLOWED[place].splitlines())
        + "    print('swallowed')\n"
        "    time.sleep(50)\n"
        "except Interrupted: print('delivered')\n"
    )  # fmt: skip
    assert answer.stdout == "swallowed\ndelivered\n" and answer.stderr == ""


def test_an_interrupt_that_is_swallowed_twice_comes_a_third_time() -> None:
    """A list of a thousand objects with destructors is destroyed for a while."""
    answer = execute(
        RUNNING + "class Thing:\n"
        "    def __del__(self):\n"
        "        send()\n"
        "        time.sleep(0.2)\n"
        "try:\n"
        "    things = [Thing(), Thing(), Thing()]\n"
        "    things.clear()\n"
        "    time.sleep(50)\n"
        "except Interrupted: print('delivered')\n"
    )
    assert answer.stdout == "delivered\n" and answer.stderr == ""


def test_other_errors_in_a_destructor_are_still_shown() -> None:
    """The hook that watches for lost interrupts must not hide a fault."""
    answer = execute(RUNNING + "class Thing:\n    def __del__(self): 1 / 0\nthing = Thing()\ndel thing\nprint('on')\n")
    assert answer.stdout == "on\n" and "ZeroDivisionError" in answer.stderr


def test_a_deferred_signal_is_remembered_until_the_code_asks() -> None:
    """An optimizer step that is cut in half can be neither saved nor continued."""
    answer = execute(
        RUNNING + "try:\n"
        "    with signals.deferred():\n"
        "        print(signals.requested())\n"
        "        for _ in range(10): send()\n"
        "        send(signal.SIGINT)\n"
        "        print(signals.requested())\n"
        "        signals.check()\n"
        "        print('not here')\n"
        "except Interrupted: print('checked')\n"
        "send(); print('only noted')\n"
    )
    assert answer.stdout == "None\nSIGTERM\nchecked\nonly noted\n" and answer.returncode == 0, answer.stderr


def test_leaving_the_outermost_deferred_block_raises_a_remembered_signal() -> None:
    """A block inside another one must not let a signal through, and none may be forgotten."""
    answer = execute(
        RUNNING + "try:\n"
        "    with signals.deferred():\n"
        "        with signals.deferred(): send()\n"
        "        print('inner left')\n"
        "    print('not here')\n"
        "except Interrupted: print('raised')\n"
        "with signals.deferred(): print('quiet')\n"
    )
    assert answer.stdout == "inner left\nraised\nquiet\n" and answer.returncode == 0, answer.stderr


def test_a_block_left_without_a_signal_raises_at_once_again() -> None:
    """Scoring after training has to stop at once."""
    answer = execute(
        RUNNING + "with signals.deferred(): signals.check()\n"
        "try:\n    send()\n    print('not here')\nexcept Interrupted: print('raised')\n"
    )
    assert answer.stdout == "raised\n"


def test_an_error_goes_before_a_remembered_signal_and_the_signal_waits() -> None:
    """A full disk during the last save is the news; the signal is told at the next occasion."""
    answer = execute(
        RUNNING + "try:\n"
        "    with signals.deferred():\n"
        "        send()\n"
        "        raise ValueError('full')\n"
        "except ValueError as error: print(error)\n"
        "try: signals.check()\n"
        "except Interrupted: print('told')\n"
    )
    assert answer.stdout == "full\ntold\n"


def test_code_that_raises_its_own_interrupt_is_not_interrupted_again() -> None:
    """Training says what it saved; a second message on top would say that nothing was."""
    answer = execute(
        RUNNING + "try:\n"
        "    with signals.deferred():\n"
        "        send()\n"
        "        raise Interrupted(where='runs/a', evidence='step 3 is saved in last.pt', next_command='resume it')\n"
        "except Interrupted as interrupt:\n"
        "    send()\n"
        "    print(interrupt)\n"
    )
    assert answer.stdout.splitlines() == [
        "INTERRUPTED: stopped by SIGTERM.",
        "  where:    runs/a",
        "  evidence: step 3 is saved in last.pt",
        "  next:     resume it",
    ]


def test_a_signal_after_the_work_is_done_changes_nothing() -> None:
    """Scores are written, libraries take a second to shut down, and the scheduler's list says that the run failed."""
    answer = execute(RUNNING + "import atexit\natexit.register(send)\nsignals.finish()\nsend()\nsys.exit(6)\n")
    assert answer.returncode == 6 and answer.stderr == ""


def test_without_install_nothing_is_touched() -> None:
    """Tests and notebooks that use the library keep the handlers of their own program."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with signals.deferred(), signals.deferred():
        signals.raise_at_once()
        signals.check()
        assert signals.requested() is None
    signals.finish()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    with pytest.raises(KeyboardInterrupt), signals.deferred():
        raise KeyboardInterrupt


def test_an_interrupt_that_a_library_turned_into_an_error_is_still_one() -> None:
    """NumPy's start from C replaces any exception by an ImportError; that is no fault of the program."""
    answer = execute(
        RUNNING + "import run\n"
        "def dispatch(words):\n"
        "    try: send()\n"
        "    except KeyboardInterrupt: raise ImportError('multiarray failed to import')\n"
        "run._dispatch = dispatch\n"
        "sys.exit(run.main([]))\n"
    )
    assert answer.returncode == 75 and answer.stderr.startswith("INTERRUPTED: stopped by SIGTERM.")
    assert "multiarray" in answer.stderr and "Traceback" not in answer.stderr


def test_a_fault_of_the_program_after_a_deferred_signal_is_still_one() -> None:
    """A bug in saving must not be told as a state that is saved."""
    answer = execute(
        RUNNING + "import run\n"
        "def dispatch(words):\n"
        "    with signals.deferred():\n"
        "        send()\n"
        "        raise TypeError('a bug in saving')\n"
        "run._dispatch = dispatch\n"
        "sys.exit(run.main([]))\n"
    )
    assert answer.returncode == 70 and "a bug in saving" in answer.stderr and "Traceback" in answer.stderr


def dispatching(*lines: str) -> str:
    """Return a script in which run.py does this and ends with its exit code."""
    body = "".join(f"    {line}\n" for line in lines)
    return (
        RUNNING + f"import logging, run\ndef dispatch(words):\n{body}run._dispatch = dispatch\nsys.exit(run.main([]))\n"
    )


def end_without_terminal(script: str, number: signal.Signals | None = None) -> int:
    """Start a script on a terminal, take the terminal away once it said `ready`, and return its exit code."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=hear_all_signals,
    ) as process:
        os.close(theirs)
        said = b""
        # The whole line: a program whose print fails half-way is another test.
        while not said.endswith(b"\n"):
            said += os.read(ours, 100)
        assert said == b"ready\r\n"
        os.close(ours)
        if number is not None:
            process.send_signal(number)
        return process.wait(60)


def test_a_terminal_that_goes_away_still_leaves_the_exit_code() -> None:
    """Nobody is there to read the message, but the scheduler reads the code."""
    waiting = dispatching(
        "print('ready', flush=True)", "try: time.sleep(50)", "finally: logging.info('the last words')"
    )
    assert end_without_terminal(waiting, signal.SIGHUP) == 75


@pytest.mark.parametrize(
    ("ending", "code"),
    [("pass", 0), ("raise run.UsageError('CONFIG', 'no such flag')", 2), ("raise RuntimeError('a fault')", 70)],
)
def test_a_run_that_ends_after_its_terminal_leaves_its_own_exit_code(ending: str, code: int) -> None:
    """Under nohup a run outlives its terminal; a message that nobody reads must not become another error."""
    script = dispatching("print('ready', flush=True)", "time.sleep(0.3)", "logging.info('on its own')", ending)
    assert end_without_terminal(script) == code
