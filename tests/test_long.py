"""The runner of the long campaigns: parts that are done stay done, and a fault is not lost in the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import long
from tests.long import PARTS, Part, main

ROOT = Path(__file__).resolve().parent.parent
TINY = {"pairs": "2", "fuzz": "24", "flips": "20", "kills": "0", "coverage": "2", "terminations": "0"}


def short(part: Part) -> Part:
    """Return a part with its number of cases replaced."""
    words = part.words.split()
    number = next(place for place, word in enumerate(words) if word.isdigit())
    words[number] = TINY[part.name]
    return Part(part.name, " ".join(words))


def test_every_part_runs_by_its_own_command_and_ends_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flag that a campaign does not know would be found after an hour of others."""
    monkeypatch.setattr(long, "PARTS", tuple(map(short, PARTS)))
    assert main(["--folder", str(tmp_path)]) == 0
    first = capsys.readouterr().out
    lines = first[first.index("| part |") :].splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == list(TINY)
    assert all("| no fault |" in line for line in lines[2:])
    assert main(["--folder", str(tmp_path)]) == 0
    again = capsys.readouterr().out
    assert again.count("done already") == len(PARTS) and again.endswith("\n".join(lines) + "\n")


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Part:
    """A campaign that ends with the code in a file."""
    (tmp_path / "code").write_text("1")
    script = f"print('1 of 2 right'); raise SystemExit(int(open({str(tmp_path / 'code')!r}).read()))"
    part = Part("broken", "")
    monkeypatch.setattr(Part, "command", lambda self, folder: [sys.executable, "-c", script])
    monkeypatch.setattr(long, "PARTS", (part,))
    return part


def test_a_part_with_faults_ends_with_1_and_is_told(
    tmp_path: Path, broken: Part, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault in the first of five parts scrolls away."""
    for _ in range(2):
        assert main(["broken", "--folder", str(tmp_path)]) == 1
        assert "| broken | faults | 0 | 1 of 2 right |" in capsys.readouterr().out


def test_a_part_that_was_stopped_is_not_taken_for_done(
    tmp_path: Path, broken: Part, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine that is lent for an hour ends in the middle of a part."""
    (tmp_path / "code").write_text("75")
    assert main(["--folder", str(tmp_path)]) == 1
    assert "| broken | not done |" in capsys.readouterr().out
    (tmp_path / "code").write_text("0")
    assert main(["--folder", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "broken.json").read_text())["code"] == 0


def test_an_unknown_part_is_refused_with_the_ones_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A typo must not run an empty list of parts and be green."""
    with pytest.raises(SystemExit, match="2"):
        main(["killings"])
    assert "kills" in capsys.readouterr().err


def test_the_script_of_the_checks_hands_the_long_ones_on() -> None:
    """The one command that people know must lead there."""
    script = (ROOT / "scripts" / "test.sh").read_text()
    assert "--long" in script and "-m tests.long" in script
    answer = subprocess.run([sys.executable, "-m", "tests.long", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0 and all(part.name in answer.stdout for part in PARTS)
