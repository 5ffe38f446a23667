"""A message that nobody can read must not change the exit code. Real processes whose streams are dead or missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUFFERED, UNBUFFERED = {"PYTHONUNBUFFERED": ""}, {"PYTHONUNBUFFERED": "1"}  # as in most containers
COMMANDS = {
    "a flag that run.py refuses": (["run.py", "--no_such_flag"], BUFFERED, 2),
    "the help of a tool": (["-m", "utils.cleanup_checkpoints", "--help"], BUFFERED, 0),
    "a flag that a tool refuses": (["-m", "utils.cleanup_checkpoints", "--no_such_flag"], BUFFERED, 2),
    "a table": (["-m", "exp.comparison", "--help"], BUFFERED, 0),
    "a table that is written at once": (["-m", "exp.comparison", "--help"], UNBUFFERED, 0),
    "a folder that the comparison refuses": (["-m", "exp.comparison", "no/such/folder"], BUFFERED, 2),
    "an option that there is not": (["-m", "scripts.options", "g"], BUFFERED, 2),
    "a comparison that is refused": (["-m", "scripts.options", "compare", "--seeds", "0"], UNBUFFERED, 2),
}


@pytest.fixture
def dead() -> Iterator[int]:
    """The end of a pipe that takes nothing, since the other end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def execute(words: list[str], variables: dict[str, str] = BUFFERED, **streams: int) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's folder; a stream that is not given is captured."""
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    environment = os.environ | variables
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, check=False, timeout=60, **both)


def script(*lines: str) -> list[str]:
    return ["-c", "\n".join(["import os, sys", "from utils.last_words import say", *lines])]


@pytest.mark.parametrize("title", COMMANDS)
def test_a_command_whose_reader_is_gone_leaves_its_own_exit_code(title: str, dead: int) -> None:
    """`... | head -1` closes the pipe; a scheduler would read 120 or 1 and take the run for broken."""
    words, variables, code = COMMANDS[title]
    assert execute(words, variables, stdout=dead, stderr=dead).returncode == code


FAULTY = (
    "from dataclasses import dataclass",
    "from utils import flags",
    "@dataclass(frozen=True, kw_only=True)",
    "class Config:",
    '    """Nothing."""',
    "def work(config): raise RuntimeError('a bug')",
    "sys.exit(flags.run_tool('-m tool', 'A tool.', Config, work, argv=[]))",
)


def test_a_fault_of_a_tool_is_told_as_one_of_the_program() -> None:
    """Exit code 1 says "a broken checkpoint was found" of one tool and nothing of the others."""
    answer = execute(script(*FAULTY))
    assert answer.returncode == 70 and "RuntimeError: a bug" in answer.stderr
    assert answer.stderr.rstrip().splitlines()[-1].startswith("INTERNAL: ")


def test_what_was_printed_comes_before_the_message() -> None:
    """Where both go to one file, a message that overtakes the log stands above the lines it is about."""
    answer = execute(script("print('log')", "say('message')"), stderr=subprocess.STDOUT)
    assert answer.stdout == "log\nmessage\n" and answer.returncode == 0


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_dead_stream_does_not_silence_the_other(name: str, dead: int) -> None:
    """A log whose reader has gone is no reason to keep the message from the terminal, nor the other way round."""
    answer = execute(script("print('log')", "say('message')", "sys.exit(6)"), **{name: dead})
    assert answer.returncode == 6
    assert (answer.stderr == "message\n") if name == "stdout" else (answer.stdout == "log\n")


def test_a_dead_stream_costs_no_descriptor(dead: int) -> None:
    """A program that speaks often to nobody would run out of files."""
    free = "os.close(number := os.open(os.devnull, os.O_RDONLY))"
    lines = [free, "before = number", "say('message')", free, "sys.exit(before != number)"]
    assert execute(script(*lines), stderr=dead).returncode == 0


def test_a_program_that_was_started_without_streams_still_ends_well() -> None:
    """`run.py >&- 2>&-` is how some schedulers start a job; there Python has no streams at all."""
    command = [sys.executable, *script("say('message')", "sys.exit(6)")]
    answer = subprocess.run(["bash", "-c", '"$@" >&- 2>&-', "bash", *command], cwd=ROOT, check=False, timeout=60)
    assert answer.returncode == 6
