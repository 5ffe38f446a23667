"""A dataclass field is a flag: typed, refused by name, and found again on the way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from utils import flags
from utils.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Sample group."""

    seq_len: int = field(default=1440, metadata={"help": "hours, 100 % of them"})
    learning_rate: float = field(default=1e-4, metadata={"help": "rate"})
    loss: Literal["CE", "BCE"] = field(default="CE", metadata={"help": "loss"})
    level: Literal[0, 1] = field(default=1, metadata={"help": "a choice of numbers"})
    use_norm: bool = field(default=False, metadata={"help": "norm"})
    weights: tuple[float, ...] | None = field(default=None, metadata={"help": "weights"})
    names: tuple[str, ...] = field(default=(), metadata={"help": "names", "repeat": True})
    alpha: float | None = field(default=None, metadata={"help": "alpha"})


def read(*words: str) -> Sample:
    return flags.parse("run.py", "", Sample, argv=words)[0]


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--seq_len", "720"], "seq_len", 720),
        (["--learning_rate=3e-05"], "learning_rate", 3e-5),
        (["--loss", "BCE"], "loss", "BCE"),
        (["--level", "0"], "level", 0),
        (["--use_norm"], "use_norm", True),
        (["--use_norm", "no"], "use_norm", False),
        (["--weights", "0.3,0.7"], "weights", (0.3, 0.7)),
        (["--weights", "0.3", "0.7"], "weights", (0.3, 0.7)),
        (["--weights", "none"], "weights", None),
        (["--names", "a", "--names", "b"], "names", ("a", "b")),
        (["--alpha", "none"], "alpha", None),
        (["--alpha", "-0.5"], "alpha", -0.5),
    ],
)
def test_words_become_typed_values(words: list[str], name: str, value: object) -> None:
    """Everything else keeps its default."""
    assert read(*words) == Sample(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sample",
    [
        Sample(),
        Sample(seq_len=3, learning_rate=1e-7, loss="BCE", level=0, use_norm=True, weights=(0.1, 0.9), alpha=0.3),
        Sample(names=("a", "b")),
    ],
)
def test_argv_of_a_config_builds_the_same_config(sample: Sample) -> None:
    """What is stored with a run must bring the run back."""
    assert flags.parse("run.py", "", Sample, argv=flags.to_argv(sample))[0] == sample


@pytest.mark.parametrize(
    ("words", "evidence"),
    [
        (["--seq", "3"], "--seq_len"),
        (["--learning-rat", "3"], "--learning_rate"),
        (["--seq_len", "many"], "whole number"),
        (["--loss", "MSE"], "CE, BCE"),
        (["--use_norm", "maybe"], "neither yes nor no"),
        (["--weights", "a,b"], "not a number"),
        (["stray"], "behind its flag"),
        (["--seq_len"], "expected one argument"),
    ],
)
def test_wrong_words_are_refused_with_the_way_out(words: list[str], evidence: str) -> None:
    """An abbreviation that silently works today means something else tomorrow."""
    with pytest.raises(UsageError) as caught:
        read(*words)
    assert evidence in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize("prog", ["run.py", "-m exp.learning_curve"])
def test_a_flag_like_no_other_is_answered_with_the_help_of_the_program(prog: str) -> None:
    """'see --help' is no command, and whoever copies it gets a second error."""
    with pytest.raises(UsageError) as caught:
        flags.parse(prog, "", Sample, argv=["--zzzzzz", "3"])
    assert caught.value.next_command == f"python {prog} --help"


@pytest.mark.parametrize(
    ("typed", "where", "meant"),
    [
        ("--use_norm maybe", "--use_norm", "--use_norm yes"),
        ("--use_norm nope", "--use_norm", "--use_norm no"),
        ("--loss MSE", "--loss", "--loss CE"),
        ("--loss BCEE", "--loss", "--loss BCE"),
        ("--loss", "--loss", "--loss CE"),
        ("--seq_len many", "--seq_len", "python run.py --help"),
    ],
)
def test_a_value_that_is_refused_is_answered_with_its_flag_and_a_value_that_works(
    typed: str, where: str, meant: str
) -> None:
    """A page of help is a long way to one of two words."""
    with pytest.raises(UsageError) as caught:
        read(*typed.split())
    assert caught.value.where == where and caught.value.next_command == meant


def test_only_what_was_typed_is_given() -> None:
    """Finding a run again by the flags given needs to know which were."""
    assert flags.parse_given("run.py", "", [Sample], argv=["--seq_len", "1440"]) == {"seq_len": 1440}


def test_yaml_values_go_through_the_same_converters(tmp_path: Path) -> None:
    """To YAML 3e-05 is a text; a rate that stays text would fail deep in the optimizer."""
    path = tmp_path / "a.yaml"
    path.write_text("learning_rate: 3e-05\nweights: [0.3, 0.7]\nuse_norm: true\nalpha: null\nnames: small\n")
    values = flags.typed([Sample], flags.read_yaml(path), str(path))
    assert Sample(**values) == Sample(learning_rate=3e-5, weights=(0.3, 0.7), use_norm=True, names=("small",))


@pytest.mark.parametrize("text", ["seq_len: many", "sequence: 3", "- a list", "a: [", ""])
def test_an_unusable_yaml_file_is_named(tmp_path: Path, text: str) -> None:
    """The file is where the user has to look."""
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        flags.typed([Sample], flags.read_yaml(path), str(path))
    assert "a.yaml" in str(caught.value)


def test_the_help_shows_every_flag_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Help that hides defaults teaches nothing."""
    with pytest.raises(SystemExit):
        read("--help")
    shown = capsys.readouterr().out
    assert all(f"--{name}" in shown for name in Sample.__dataclass_fields__)
    assert "Sample group" in shown and "100 % of them (default: 1440)" in shown


def test_words_without_a_flag_are_told_from_the_values_of_flags() -> None:
    """`--ensemble RUN` would take the run for its yes or no, and `--against NAME RUN` the run for another name."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """One of each kind."""

        runs: tuple[str, ...] = field(default=(), metadata={"help": "a list"})
        against: str | None = field(default=None, metadata={"help": "a word"})
        output: str | None = field(default=None, metadata={"help": "a word"})
        common_instants: bool = field(default=False, metadata={"help": "yes or no"})
        ensemble: bool = field(default=False, metadata={"help": "yes or no"})

    words = "A --ensemble B --common_instants no C --against D --output=E F --unknown G --runs H I --ensemble"
    free, others = flags.apart(words.split(" "), [Config])
    assert free == ["A", "B", "C", "F", "G"]
    assert " ".join(others) == "--ensemble --common_instants no --against D --output=E --unknown --runs H I --ensemble"
