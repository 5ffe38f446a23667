"""Two real processes train one network: the steps of one, one log, one checkpoint, and no hang when one is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests import make_table
from tests.processes import children, hear_all_signals
from tests.ranks import PATIENCE_SECONDS, ROOT, WORDS, Ranks
from tests.run_ends import differences
from utils import checkpoint, distributed

NO_CHANCE = ["--dropout", "0", "--head_dropout", "0", "--learning_rate", "0.003", "--train_epochs", "5"]
CHANCE = ["--dropout", "0.2", "--train_epochs", "4", "--learning_rate", "0.003"]
LONG = ["--train_epochs", "5000", "--patience", "5000", "--checkpoint_minutes", "0"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_table.write(tmp_path)
    return tmp_path


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_ranks_take_the_steps_of_one(folder: Path) -> None:
    """Fifty steps: the mean over a batch is one mean, however many have computed it."""
    together, alone = Ranks(folder, *NO_CHANCE, name="two"), Ranks(folder, *NO_CHANCE, count=1, name="one")
    assert [code for code, _, _ in together.ended()] == [0, 0] and alone.ended()[0][0] == 0
    two, one = metrics(together.run()), metrics(alone.run())
    assert len(one) == 5 and one[-1]["step"] == 50
    for name in ("train_loss", "validation_loss", "gradient_norm_median", "validation_brier_score"):
        np.testing.assert_allclose([row[name] for row in two], [row[name] for row in one], rtol=1e-5, err_msg=name)


def test_only_the_first_rank_writes_and_tells(folder: Path) -> None:
    """Two logs of one training would be read as two trainings."""
    # A rank's share of one window is a single number with the stride of the batch, and has to be kept too.
    together = Ranks(folder, "--train_epochs", "2", "--batch_size", "2")
    (code, said, _), (other_code, other_said, other_error) = together.ended()
    assert (code, other_code) == (0, 0) and "epoch 2/2" in said and other_said == other_error == ""
    assert len(metrics(together.run())) == 2
    assert not list(together.runs_folder.rglob("run.lock"))


def test_ranks_pre_train_on_series_as_one_does(tmp_path: Path) -> None:
    """The forecaster has a training of its own around the same steps."""
    generator = np.random.default_rng(0)
    times = pd.date_range("2020-01-01", periods=600, freq="h")
    values = {name: np.sin(np.arange(600) / 4) + 0.3 * generator.normal(size=600) for name in ("one", "two")}
    pd.DataFrame({"date": times, **values}).to_csv(tmp_path / "some.csv", index=False)
    words = ["--task_name", "forecast", "--use_norm", "--train_stride", "3", "--test_stride", "5", "--dropout", "0"]
    words += ["--test_pred_len", "24", "--train_epochs", "2", "--itr", "2"]
    together, alone = Ranks(tmp_path, *words, name="two"), Ranks(tmp_path, *words, count=1, name="one")
    assert [code for code, _, _ in together.ended()] == [0, 0] and alone.ended()[0][0] == 0
    runs = [sorted(folder.glob("*/*/metrics.jsonl")) for folder in (together.runs_folder, alone.runs_folder)]
    assert len(runs[0]) == len(runs[1]) == 2
    for two, one in zip(*runs, strict=True):
        losses = [[row["train_loss"] for row in metrics(path.parent)] for path in (two, one)]
        np.testing.assert_allclose(*losses, rtol=1e-5)


def test_ranks_train_a_head_on_a_frozen_encoder_as_one_does(folder: Path) -> None:
    """Each rank keeps what the encoder gives, and takes its share of the head's steps."""
    words = [*NO_CHANCE, "--tune", "head", "--train_epochs", "3"]
    together, alone = Ranks(folder, *words, name="two"), Ranks(folder, *words, count=1, name="one")
    assert [code for code, _, _ in together.ended()] == [0, 0] and alone.ended()[0][0] == 0
    losses = [[row["train_loss"] for row in metrics(ranks.run())] for ranks in (together, alone)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert not list(together.run().glob("encoded*"))


def test_r1_a_killed_rank_ends_the_others_with_its_number(folder: Path) -> None:
    """Without a word the others would wait for ever, and the cluster would bill it."""
    together = Ranks(folder, *LONG)
    together.wait_for_line("epoch 2/")
    together.processes[1].send_signal(signal.SIGKILL)
    started = time.monotonic()
    (code, _, error), (killed, _, _) = together.ended()
    assert time.monotonic() - started < 30 and (code, killed) == (8, -signal.SIGKILL)
    assert "PEER_LOST: rank 1 is gone" in error and "--resume auto" in error and "Traceback" not in error
    state = checkpoint.load(together.run() / "last.pt")
    assert state["step"] >= 10


def test_r1_a_signal_after_a_lost_peer_still_ends_with_its_code(folder: Path) -> None:
    """Launchers send SIGTERM to the others at once; that a peer was lost is what the user must hear."""
    together = Ranks(folder, *LONG)
    together.wait_for_line("epoch 2/")
    together.processes[1].send_signal(signal.SIGKILL)
    together.processes[0].send_signal(signal.SIGTERM)
    (code, _, error), _ = together.ended()
    assert code == 8 and "PEER_LOST" in error


def test_r2_nan_on_one_rank_is_named_with_its_rank_and_sample(folder: Path) -> None:
    """All skip the same step and keep the same weights; the one that saw it says where."""
    words = ["--train_epochs", "1", "--nan_policy", "stop"]
    together = Ranks(folder, *words, script="tests/rank_with_nan.py")
    (code, _, error), (other, _, _) = together.ended()
    assert (code, other) == (5, 5)
    assert "DATA_NAN" in error and "rank 1 of 2" in error and "region" in error and "Traceback" not in error
    (bundle,) = together.run().glob("bundle-step*")
    assert bundle.name == "bundle-step4"


def test_a_backward_pass_that_is_cut_short_on_one_rank_does_not_mix_up_the_sums(folder: Path) -> None:
    """With `--detect_anomaly` one rank has no gradients where the others have theirs."""
    words = ["--train_epochs", "1", "--nan_policy", "stop", "--detect_anomaly"]
    for code, _, error in Ranks(folder, *words, script="tests/rank_with_nan.py").ended():
        assert code == 5 and "rank 1 of 2" in error


def test_r2_a_skipped_step_leaves_all_ranks_alike(folder: Path) -> None:
    """The run goes on: a rank whose weights drifted away would spoil the next sum."""
    together = Ranks(folder, "--train_epochs", "2", "--max_skipped_steps", "20", script="tests/rank_with_nan.py")
    assert [code for code, _, _ in together.ended()] == [0, 0]
    rows = metrics(together.run())
    assert rows[0]["skipped_steps"] >= 1 and rows[0]["skip_cause"] == "DATA_NAN"
    assert all(row["train_loss"] is not None for row in rows)


def test_r3_a_signal_to_one_rank_stops_all_after_the_same_step(folder: Path) -> None:
    """Schedulers signal one process first; what is saved is one step of all."""
    together = Ranks(folder, *LONG)
    together.wait_for_line("epoch 2/")
    together.processes[1].send_signal(signal.SIGTERM)
    (code, _, error), (other, _, other_error) = together.ended()
    assert (code, other) == (75, 75) and "a signal to rank 1" in error
    step = checkpoint.load(together.run() / "last.pt")["step"]
    assert f"step {step} (epoch" in error and f"step {step} (epoch" in other_error


def test_a_run_that_was_cut_ends_bitwise_like_the_whole_one(folder: Path) -> None:
    """Each rank draws dropout of its own, and has to go on with it."""
    whole = Ranks(folder, *CHANCE, name="whole")
    assert [code for code, _, _ in whole.ended()] == [0, 0]
    cut = Ranks(folder, *CHANCE, "--checkpoint_steps", "1", name="cut")
    cut.wait_for_line("epoch 1/")
    cut.processes[0].send_signal(signal.SIGTERM)
    assert [code for code, _, _ in cut.ended()] == [75, 75]
    again = Ranks(folder, *CHANCE, "--checkpoint_steps", "1", "--resume", "auto", name="cut")
    assert [code for code, _, _ in again.ended()] == [0, 0]
    assert differences(whole.run(), again.run()) == []


def test_another_number_of_ranks_is_no_resumption(folder: Path) -> None:
    """The random numbers of a rank that is not there any more cannot be gone on with."""
    cut = Ranks(folder, *LONG)
    cut.wait_for_line("epoch 1/")
    cut.processes[0].send_signal(signal.SIGTERM)
    cut.ended()
    ((code, _, error),) = Ranks(folder, *LONG, "--resume", str(cut.run()), count=1).ended()
    assert code == 2 and "RESUME_MISMATCH" in error and "ranks" in error and "run: 2  now: 1" in error
    assert "bash scripts/launch_distributed.sh --ranks 2" in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "climatology"], "without torchrun"),
        (["--batch_size", "1"], "--batch_size 2 or more"),
        (["--task_name", "predict", "--run", "none", "--input_dir", "none"], "without torchrun"),
    ],
)
def test_what_several_cannot_do_together_is_refused_by_all(folder: Path, words: list[str], said: str) -> None:
    """One that goes on alone would wait for the others."""
    for code, _, error in Ranks(folder, *words).ended():
        assert code == 2 and said in error and "Traceback" not in error


class Launched:
    """The script that starts two ranks, in a session of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        places = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
        command = ["bash", "scripts/launch_distributed.sh", "--ranks", "2", *WORDS, *places, *words]
        self.log = folder / "launched.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, preexec_fn=hear_all_signals)

    def wait_for_line(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def ranks(self) -> list[int]:
        """Return the processes of the ranks, in the order they were started."""
        (launcher,) = [pid for pid in children(self.process.pid) if children(pid)]
        return sorted(children(launcher))

    def ended(self) -> tuple[int, str]:
        """Wait, and return exit code and log."""
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
        return code, self.log.read_text()


def test_the_launcher_ends_with_eight_when_a_rank_was_killed(folder: Path) -> None:
    """It ends with 1 itself, whatever has happened; a script on a cluster decides by the code."""
    launched = Launched(folder, *LONG)
    launched.wait_for_line("epoch 2/")
    os.kill(launched.ranks()[1], signal.SIGKILL)
    code, said = launched.ended()
    assert code == 8 and "PEER_LOST: rank 1 is gone" in said and "Traceback" not in said


def test_the_launcher_hands_a_signal_on_and_ends_with_its_code(folder: Path) -> None:
    """What a scheduler stops is saved, and goes on with the same command."""
    launched = Launched(folder, *LONG)
    launched.wait_for_line("epoch 2/")
    launched.process.send_signal(signal.SIGTERM)
    code, said = launched.ended()
    assert code == 75 and "is saved in last.pt" in said and "Traceback" not in said


def test_a_run_that_is_stopped_is_scored_before_the_launcher_ends_it(folder: Path) -> None:
    """It signals the first rank as soon as another has ended."""
    words = ["--train_epochs", "40", "--patience", "40", "--nan_policy", "stop", "--learning_rate", "1e18"]
    code, said = Launched(folder, *words, "--warmup_epochs", "2", "--warmup_start_lr", "1e-4").ended()
    assert code == 5 and "INTERRUPTED" not in said and "Traceback" not in said
    assert "scoring the weights of epoch" in said or "nothing to score" in said


def test_the_launcher_ends_with_the_code_of_a_refusal(folder: Path) -> None:
    """The cause goes before what follows from it."""
    code, said = Launched(folder, "--learning_rate", "-1").ended()
    assert code == 2 and "--learning_rate" in said and "Traceback" not in said


def test_alone_everything_is_as_it_was() -> None:
    """A single process asks nobody."""
    ranks = distributed.current()
    ids = torch.arange(5)
    assert ranks.count == 1 and ranks.is_first and torch.equal(ranks.share(ids), ids)
    assert ranks.first_raised([False, True]) == [None, 0]
    assert ranks.told_by(0, "x") == "x" and ranks.of_all(3) == [3]
