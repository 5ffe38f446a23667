"""The last message of a program, whose exit code has to stand though nobody may be left to read the message.

A terminal that was closed or a reader of a pipe that has ended refuses every byte. `utils/signals.py` needs this before
anything slow is imported, so there are few imports here too.
"""

from __future__ import annotations

import os
import sys


class _Voice:
    """Whose words these are, where several processes share a terminal."""

    name = ""


def speak_as(name: str) -> None:
    """Begin every last word with a name, such as that of a rank."""
    _Voice.name = f"[{name}] "


def say(text: str = "") -> None:
    """Write out what standard output still holds, then a text to standard error.

    Args:
        text: without a line break at its end; none writes out what both streams hold.
    """
    _write("stdout", "")
    _write("stderr", f"{_Voice.name}{text}" if text else "")


def show(text: str) -> None:
    """Write the answer of a program to standard output, which a reader such as `head` may close at any time."""
    _write("stdout", text)


def _write(name: str, text: str) -> None:
    stream = getattr(sys, name)
    if stream is None:  # the program was started without it: `>&-`
        return
    try:
        stream.write(f"{text}\n" if text else "")
        stream.flush()
    except OSError:
        _forget(stream.fileno())


def _forget(descriptor: int) -> None:
    """Send to nowhere what a stream did not take, or Python fails with it at its end and makes the exit code 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
