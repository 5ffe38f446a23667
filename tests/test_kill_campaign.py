"""P1 and P2 at random points: short campaigns of kills and signals, and what their checks must notice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kills import checks
from tests.kills.bench import COMMON
from tests.kills.points import Journal
from tests.kills.program import ROOT
from utils import run_lock

KILLS, SIGNALS = 20, 8


def campaign(state: Path, *words: str) -> tuple[dict[str, Any], str]:
    """Run a campaign in a process of its own, as it forks; return its figures and what it printed."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.kill_campaign", "--state", str(state), *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr[-3000:]
    return json.loads(state.read_text()), answer.stdout


def test_p1_runs_killed_at_random_points_end_bitwise_like_the_whole_one(tmp_path: Path) -> None:
    """A weight, a moment, a random number or a metric that differs shows what a kill can still cost.

    In two parts, with a negative control in each: a resumed run without its random numbers must be seen to differ.
    """
    campaign(tmp_path / "kills.json", "--kills", str(KILLS // 2))
    figures, printed = campaign(tmp_path / "kills.json", "--kills", str(KILLS))
    assert sum(figures["events"].values()) >= KILLS and figures["controls"] == 2
    assert figures["equal"] == figures["runs"] and not figures["faults"]
    assert figures["events"]["inside a save"] >= 0.4 * KILLS and figures["several"] >= 2
    assert figures["verdicts"]["VALID"] > KILLS / 2
    assert f"{figures['runs']} of {figures['runs']} ended bitwise equal" in printed


def test_p2_runs_signalled_at_random_times_save_and_end_bitwise_like_the_whole_one(tmp_path: Path) -> None:
    """A queue that takes the machine back gives thirty seconds; start-up is part of the run."""
    figures, _ = campaign(tmp_path / "signals.json", "--signal", "TERM", "--kills", str(SIGNALS))
    assert sum(figures["events"].values()) >= SIGNALS and figures["seconds"] <= 30
    assert figures["equal"] == figures["runs"] and not figures["faults"]
    assert figures["events"]["while it starts"] >= 3 and figures["events"]["after it, state saved"] >= 2


def test_a_campaign_that_is_blind_ends_before_it_begins(tmp_path: Path) -> None:
    """Two hundred of two hundred runs are equal to a comparison that sees nothing."""
    code = (
        "import sys\nfrom tests import kill_campaign\nfrom tests.kills import checks\n"
        "checks.differences = lambda one, other: []\n"
        "sys.exit(kill_campaign.main(['--kills', '1']))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 1 and "does not see" in answer.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that was never stopped."""
    import run as program
    from tests import make_table

    folder = tmp_path_factory.mktemp("finished")
    make_table.write(folder)
    places = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
    assert program.main([*COMMON, "--train_epochs", "1", "--save_every_epochs", "1", "--device", "cpu", *places]) == 0
    (run,) = folder.glob("runs/*/*-seed*")
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that may be damaged."""
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def saved(run: Path, step: int) -> Journal:
    """Return a journal that tells of one state that was saved."""
    journal = Journal(run.parent / "journal.jsonl")
    journal.note(event="saved", file=str(run / "last.pt"), step=step)
    return journal


def test_a_sound_run_passes_the_checks(run: Path, finished: Path) -> None:
    """Checks that always complain are ignored."""
    step = json.loads((run / "last.pt.json").read_text())["metadata"]["step"]
    found = checks.after_kill(run, saved(run, step))
    assert (found["step"], found["faults"]) == (step, []) and found["verdicts"] == {"VALID": 3}
    assert checks.at_end(finished, run, is_killed=False) == []


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def lose_all_states(run: Path) -> None:
    flip(run / "last.pt")
    flip(run / "checkpoint_epoch_1.pt")


@pytest.mark.parametrize(
    ("damage", "step", "said"),
    [
        (lose_all_states, 1, "no state verifies"),
        (lambda run: None, 10_000, "step 10000 was saved"),
        (lambda run: [path.unlink() for path in run.glob("*.pt")], 1, "newest state that verifies is of step None"),
    ],
    ids=["nothing verifies", "too old", "nothing there"],
)
def test_a_state_that_was_saved_and_is_lost_is_a_fault(
    run: Path, damage: Callable[[Path], object], step: int, said: str
) -> None:
    """The promise is that a run never falls behind its last complete save."""
    damage(run)
    assert any(said in fault for fault in checks.after_kill(run, saved(run, step))["faults"])


@pytest.mark.parametrize("name", ["best.pt.writing", "run.lock", "metrics.jsonl", "best.pt"])
def test_what_differs_or_is_left_behind_at_the_end_is_a_fault(run: Path, finished: Path, name: str) -> None:
    """Each of these would be the trace of a kill."""
    if name == "metrics.jsonl":
        (run / name).write_text((run / name).read_text().replace('"epoch": 1', '"epoch": 2'))
    elif name == "best.pt":
        (run / name).write_bytes((run / name).read_bytes() + b"\0")
    else:
        (run / name).touch()
    assert any(name in fault for fault in checks.at_end(finished, run, is_killed=False))
    is_trace_of_a_kill = name in ("best.pt.writing", "run.lock")
    assert bool(checks.at_end(finished, run, is_killed=True)) != is_trace_of_a_kill


def test_a_lock_that_is_still_held_is_a_fault(run: Path, finished: Path) -> None:
    """The next run in this directory would be refused."""
    with run_lock.hold(run):
        assert any("lock is held" in fault for fault in checks.at_end(finished, run, is_killed=True))


def test_a_file_called_valid_that_cannot_be_used_is_a_fault(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word of the validator is what people act on."""
    examine = checks.checkpoint_verdict.examine

    def blind(path: Path):
        verdict = examine(path)
        flip(path)
        return verdict

    monkeypatch.setattr(checks.checkpoint_verdict, "examine", blind)
    faults = checks.after_kill(run, Journal(run.parent / "none.jsonl"))["faults"]
    assert any("last.pt is called VALID and cannot be used" in fault for fault in faults)


def test_how_a_forked_run_ended_is_told_apart(tmp_path: Path) -> None:
    """A run that fails must not be taken for one that was killed. In a process without threads, as it forks."""
    code = f"""
import os, signal
from pathlib import Path
from tests.kills.program import ask, start, wait
log = Path({str(tmp_path / "said.log")!r})
assert wait(start(["--no_such_flag"], log, lambda: None), 60) == 2 and "--no_such_flag" in log.read_text()
assert wait(start([], log, lambda: os.kill(os.getpid(), signal.SIGKILL)), 60) == -signal.SIGKILL
assert ask(lambda: {{"a": 1}}) == {{"a": 1}}
try:
    wait(start([], log, signal.pause), 0.2)
except TimeoutError:
    print("all told apart")
"""
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.stdout == "all told apart\n", answer.stderr
