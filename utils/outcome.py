"""From what a program does to its exit code: whatever goes wrong ends in a message, whoever reads it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from utils import last_words, signals
from utils.errors import EXIT_INTERNAL, EXIT_OK, ForeseenError

REPORT = "INTERNAL: this is a fault of the program; please report the lines above."


def of(work: Callable[[], Any], *, when_interrupted: str = signals.NOTHING_TO_SAVE) -> int:
    """Do the work of a program.

    Args:
        work: a whole number it returns is the exit code.
        when_interrupted: what is left of the work where an interrupt does not say it itself.

    Returns:
        The exit code.
    """
    try:
        code = _done(work, when_interrupted)
        signals.finish()
    except KeyboardInterrupt as interrupt:
        return signals.tell(_told(interrupt, when_interrupted))
    finally:
        last_words.say()
    return code


def _done(work: Callable[[], Any], when_interrupted: str) -> int:
    try:
        answer = work()
    except ForeseenError as error:
        last_words.say(str(error))
        return error.exit_code
    except Exception as error:
        if signals.was_raised():  # libraries in C turn an interrupt into an error of their own
            seen = f"{when_interrupted} ({type(error).__name__}: {error})"
            raise signals.Interrupted(evidence=seen) from error
        last_words.say(f"{traceback.format_exc()}{REPORT}")
        return EXIT_INTERNAL
    return answer if isinstance(answer, int) else EXIT_OK


def _told(interrupt: KeyboardInterrupt, when_interrupted: str) -> signals.Interrupted:
    if isinstance(interrupt, signals.Interrupted) and (
        interrupt.where or interrupt.evidence != signals.NOTHING_TO_SAVE
    ):
        return interrupt
    return signals.Interrupted(evidence=when_interrupted)
