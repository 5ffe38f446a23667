"""What asks the program to end: SIGTERM of schedulers, Ctrl-C, the hang-up of a lost terminal, or time that is up.

What such a signal does depends on when it comes. While the program starts, it ends at once: an exception in the middle
of importing a library could be swallowed there. After that it raises `Interrupted`, once, so that everything is
cleaned up on the way out. Inside `deferred()` it is only remembered, and the code asks at moments when it can stop.
Without `install()` (tests, use as a library) signals are left alone. Time that is up interrupts nothing by itself: it
is seen where the code asks.

Every import here delays the moment from which signals are answered, so there are few.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from utils import last_words
from utils.message import message

EXIT_INTERRUPTED = 75
NOTHING_TO_SAVE = "nothing to save yet"
START_AGAIN = "start the same command again"
# An interrupt that Python swallowed comes again after this time, outside the callback that swallowed it.
RETRY_SECONDS = 0.02


class _State:
    """What has come and what was done about it; `phase` is not installed, starting, running or finished."""

    phase = "not installed"
    depth = 0
    name: str | None = None
    is_delivered = False
    deadline: float | None = None
    deadline_name = ""


_state = _State()


class Interrupted(KeyboardInterrupt):
    """The program was asked to end; printed as a message of four parts and exit code 75.

    Args:
        where: the run directory, or what was being done.
        evidence: what is saved, and at which step.
        next_command: how to go on.
    """

    def __init__(
        self,
        *,
        where: str | os.PathLike[str] = "",
        evidence: str = NOTHING_TO_SAVE,
        next_command: str = START_AGAIN,
    ) -> None:
        super().__init__()
        self.where = where
        self.evidence = evidence
        self.next_command = next_command

    def __str__(self) -> str:
        what = f"stopped by {_state.name or 'an interrupt'}."
        return message("INTERRUPTED", what, os.fspath(self.where), self.evidence, self.next_command)


def install() -> None:
    """Take charge of the signals that end programs; belongs before all slow imports."""
    _state.phase = "starting"
    for number in _endings():
        signal.signal(number, _on_signal)
    for number in _alarm():
        signal.signal(number, _on_alarm)
    sys.unraisablehook = _deliver_again_if_swallowed


def raise_at_once() -> None:
    """From now on raise `Interrupted` where the program stands; the imports are done."""
    if _state.phase == "starting":
        _state.phase = "running"


class Deferred:
    """The block of `deferred`."""

    def __enter__(self) -> None:
        _state.depth += 1

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        _state.is_delivered |= isinstance(error, Interrupted)
        _state.depth -= 1
        if error is None:
            _deliver()


def deferred() -> Deferred:
    """Only remember signals in the block of this; leaving the outermost one raises a remembered one.

    An error that leaves the block goes before the signal, which then waits for `check` or for the next block.

    Raises:
        Interrupted: a signal came in the block and nobody has dealt with it.
    """
    return Deferred()


def end_after(seconds: float, name: str) -> None:
    """Ask the program to end once so much time has passed, as a signal would.

    Args:
        seconds: from now on.
        name: what is said to have stopped it.
    """
    _state.deadline, _state.deadline_name = time.monotonic() + seconds, name


def remember(name: str) -> None:
    """Treat something as the signal that asked the program to end, unless one has come already."""
    _state.name = _state.name or name


def requested() -> str | None:
    """Return the name of what first asked the program to end, such as ``SIGTERM``."""
    if _state.name is None and _state.deadline is not None and time.monotonic() >= _state.deadline:
        _state.name = _state.deadline_name
    return _state.name


def was_raised() -> bool:
    """Whether an `Interrupted` was raised: an error that comes out instead of it was made from it."""
    return _state.is_delivered


def check() -> None:
    """Stop here if a signal came or time is up.

    Raises:
        Interrupted: it did, in this block or before.
    """
    if requested() is not None:
        _state.is_delivered = True
        raise Interrupted


def finish() -> None:
    """Let the outcome stand: what the program did is done, and a signal can no longer change its exit code."""
    if _state.phase == "not installed":
        return
    _state.phase = "finished"
    for number in [*_endings(), *_alarm()]:
        # Python gives its own handlers back to the system while it shuts down, but leaves an ignored signal ignored.
        signal.signal(number, signal.SIG_IGN)


def tell(interrupt: KeyboardInterrupt) -> int:
    """Say on the way out what was interrupted, whoever raised it.

    Returns:
        The exit code.
    """
    finish()
    told = interrupt if isinstance(interrupt, Interrupted) else Interrupted()
    last_words.say(str(told))
    return EXIT_INTERRUPTED


def _endings() -> list[signal.Signals]:
    numbers = [signal.SIGTERM, signal.SIGINT]
    # `nohup` says by ignoring it that the program is to outlive its terminal.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


def _alarm() -> list[signal.Signals]:
    """The clock that delivers again; Windows has none, and there the next Ctrl-C does."""
    return [signal.SIGALRM] if hasattr(signal, "SIGALRM") else []


def _on_signal(number: int, _frame: object) -> None:
    if _state.name is None:
        _state.name = signal.Signals(number).name
    _deliver()


def _on_alarm(_number: int, _frame: object) -> None:
    _deliver()


def _deliver() -> None:
    """Act on a remembered signal, unless that was done or has to wait."""
    if _state.name is None or _state.depth or _state.is_delivered or _state.phase == "finished":
        return
    _state.is_delivered = True
    if _state.phase == "starting":
        _say_without_python(f"{Interrupted()}\n")
        os._exit(EXIT_INTERRUPTED)
    raise Interrupted


def _say_without_python(text: str) -> None:
    try:
        os.write(2, text.encode())
    except OSError:
        return  # nobody listens


def _deliver_again_if_swallowed(unraisable: sys.UnraisableHookArgs) -> None:
    """Python drops an exception that is raised in `__del__` or in a callback: this one must not be lost."""
    if not issubclass(unraisable.exc_type, Interrupted):
        sys.__unraisablehook__(unraisable)
        return
    _state.depth += 1  # a signal right here would be swallowed as well
    _state.is_delivered = False
    if _alarm():
        signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
    _state.depth -= 1
