"""A short fuzzing campaign, and what the campaign itself must notice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import checkpoint_fuzz
from tests.fuzz import sound_files
from tests.fuzz.kinds import KINDS

FILES = 300


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> checkpoint_fuzz.Figures:
    return checkpoint_fuzz.run(FILES, 0, tmp_path_factory.mktemp("fuzz"), None)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[checkpoint_fuzz.Child]:
    started = checkpoint_fuzz.Child(tmp_path)
    yield started
    started.stop()


def test_no_broken_forged_or_hostile_checkpoint_gets_through(campaign: checkpoint_fuzz.Figures) -> None:
    """Code that runs, a crash, a hang, memory without bounds, damage taken for good: each would be listed here."""
    assert campaign.faults == []
    assert campaign.done == FILES and set(campaign.counts) == {kind.group for kind in KINDS}


def test_the_campaign_reaches_past_the_first_check(campaign: checkpoint_fuzz.Figures) -> None:
    """Three hundred files that are all cut off at the first byte would prove nothing."""
    seen = {outcome for row in campaign.counts.values() for outcome in row}
    assert {
        "read, equal",
        "CKPT_HASH_MISMATCH",
        "CKPT_UNSAFE",
        "CKPT_LIMIT",
        "CKPT_INCOMPLETE",
        "CKPT_COVERAGE",
    } <= seen
    assert campaign.most_bytes > 0 or not Path("/proc/self/clear_refs").exists()


def test_every_sound_file_is_read_but_the_legacy_one(tmp_path: Path, child: checkpoint_fuzz.Child) -> None:
    """Where the originals were refused already, refusals of their mutants would say nothing."""
    for name, sound in sound_files.write_all(tmp_path).items():
        (tmp_path / "a.pt").write_bytes(sound.raw)
        answer = child.ask(tmp_path / "a.pt", name)
        assert (answer["content"], answer["code"]) == ((None, "CKPT_UNSAFE") if name == "legacy" else ("equal", None))


def test_a_death_of_the_reader_is_a_fault_and_the_next_file_gets_a_new_one(
    tmp_path: Path, child: checkpoint_fuzz.Child
) -> None:
    """A campaign that stops at its first crash, or passes over it, has no figures."""
    path = tmp_path / "a.pt"
    path.write_bytes(sound_files.write_all(tmp_path)["weights"].raw)
    assert child.ask(path, "weights")["content"] == "equal"
    assert child.process is not None
    child.process.kill()
    assert child.ask(path, "weights")["fault"].startswith("crash")
    assert child.ask(path, "weights")["content"] == "equal"


def test_a_reader_that_does_not_answer_is_a_hang(
    tmp_path: Path, child: checkpoint_fuzz.Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a limit of time the campaign would wait with it."""
    path = tmp_path / "a.pt"
    path.write_bytes(b"")
    assert child.ask(path, "weights")["code"] == "CKPT_NOT_A_CHECKPOINT"
    assert child.process is not None
    os.kill(child.process.pid, signal.SIGSTOP)
    monkeypatch.setattr(checkpoint_fuzz, "SECONDS_PER_FILE", 0.5)
    assert child.ask(path, "weights")["fault"].startswith("hang")


def test_what_must_not_happen_is_told_as_a_fault(tmp_path: Path) -> None:
    """A campaign whose judge accepts everything is green for ever."""
    sounds, kinds = sound_files.write_all(tmp_path), {kind.rule: kind for kind in KINDS}
    canary = tmp_path / "canary"
    refused = {"content": None, "code": "CKPT_UNSAFE", "bytes": 0, "seconds": 0.1}
    other, wide = refused | {"content": "other", "code": None}, refused | {"bytes": 2**40}

    def fault(rule: str, answer: dict, sound: str = "weights") -> str:
        return checkpoint_fuzz.judge(kinds[rule], sounds[sound], answer, canary)[1]

    assert not fault("attack", refused) and not fault("forgery", other) and not fault("damage", other, "safetensors")
    assert fault("attack", other) and fault("damage", other) and fault("attack", wide)
    assert fault("forgery", refused | {"code": "CKPT_DENIED"}) and fault("forgery", refused | {"fault": "KeyError"})
    canary.touch()
    assert fault("attack", refused) == "code was run" and not canary.exists()


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """Ten thousand files are not always read in one sitting."""
    state = tmp_path / "state.json"
    checkpoint_fuzz.run(10, 3, tmp_path, state)
    parts = checkpoint_fuzz.run(17, 3, tmp_path, state)
    whole = checkpoint_fuzz.run(17, 3, tmp_path, None)
    assert parts.done == 17
    assert replace(parts, most_bytes=0, most_seconds=0) == replace(whole, most_bytes=0, most_seconds=0)
