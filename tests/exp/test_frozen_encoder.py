"""A frozen encoder runs once per window, and the head learns the same as if it ran in every step."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from exp import frozen_benchmark
from exp.frozen_encoder import FrozenEncoder
from exp.trainer import Trainer
from models import timer_xl_classifier
from tests.exp.test_resume import Project
from tests.exp.test_stages import classifier, trainer_of
from tests.run_ends import differences
from utils import checkpoint
from utils.signals import Interrupted

pytestmark = pytest.mark.usefixtures("without_figures")
WAYS = {
    "mean": [],
    "last token, variables side by side": ["--pooling", "last", "--variate_pooling", "concat"],
    "attention": ["--pooling", "attention", "--variate_mode", "independent"],
    "all layers, learned": ["--encoder_features", "all_layers", "--layer_mixing", "learned"],
    "beside raw hours and levels": ["--last_hours", "24", "--level_statistics", "--use_marks", "--use_norm"],
}


def frozen_of(model: torch.nn.Module, folder: Path) -> FrozenEncoder:
    return FrozenEncoder(model, None, 50, folder)


@pytest.mark.parametrize("name", WAYS)
def test_the_head_learns_as_if_the_encoder_ran_in_every_step(tmp_path: Path, name: str) -> None:
    """Dropout in the head included: the frozen encoder draws nothing."""
    words = ["--tune", "head", "--train_epochs", "2", *WAYS[name]]
    weights, rows = [], []
    for place, kept in (("a", "yes"), ("b", "no")):
        project = Project(tmp_path / place, [*words, "--cache_frozen_encoder", kept])
        assert project.start() == 0
        (run,) = project.runs()
        weights.append(checkpoint.load(run / "best.pt"))
        rows.append([json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()])
        assert ("frozen encoder:" in (run / "train.log").read_text()) is (kept == "yes")
        assert not (run / "encoded").exists()
    assert all(torch.allclose(weights[0][key], weights[1][key], atol=1e-5) for key in weights[0])
    for cached, plain in zip(*rows, strict=True):
        assert cached["train_loss"] == pytest.approx(plain["train_loss"], abs=1e-5)
        assert cached["validation_loss"] == pytest.approx(plain["validation_loss"], abs=1e-5)


def test_the_encoder_runs_once_per_window_and_again_when_it_thaws(tmp_path: Path, monkeypatch) -> None:
    """A cache that is filled every epoch saves nothing; one that is used after the thaw trains on the past."""
    model = classifier()
    run = trainer_of(model, epochs=4, freeze_encoder_epochs=3)
    run.frozen = frozen_of(model, tmp_path)
    seen: list[tuple[int, int]] = []
    usual = timer_xl_classifier.Model.encode
    monkeypatch.setattr(
        timer_xl_classifier.Model, "encode", lambda self, x: (seen.append((run.epoch, len(x))), usual(self, x))[1]
    )
    run.fit()
    assert sum(count for epoch, count in seen if epoch == 1) == len(run.train)
    assert not [epoch for epoch, _ in seen if epoch in (2, 3)]
    assert sum(count for epoch, count in seen if epoch == 4) == len(run.train)


def test_weights_that_changed_are_encoded_anew(tmp_path: Path) -> None:
    """After going back to another state, what the encoder gave before is another encoder's."""
    model = classifier()
    run = trainer_of(model)
    frozen = frozen_of(model, tmp_path)
    before = frozen.encoded(run.train, "training").values.clone()
    assert frozen.encoded(run.train, "training").values is frozen.encoded(run.train, "training").values
    with torch.no_grad():
        model.embedding.weight.add_(0.5)
    after = frozen.encoded(run.train, "training").values
    ids = torch.arange(10)
    model.eval()
    assert not torch.allclose(before, after)
    assert torch.allclose(after[ids], model.encode(run.train.inputs(ids)), atol=1e-6)


def test_what_learns_after_the_encoder_leaves_what_is_kept_as_it_is(tmp_path: Path) -> None:
    """A part that a later model adds to its head would else have the encoder run again in every epoch."""
    model = classifier()
    model.gate = torch.nn.Linear(2, 2)
    run = trainer_of(model)
    frozen = frozen_of(model, tmp_path)
    before = frozen.encoded(run.train, "training").values
    with torch.no_grad():
        model.gate.weight.add_(0.5)
    assert frozen.encoded(run.train, "training").values is before


def test_a_run_that_is_stopped_while_its_encoder_runs_goes_on_bitwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation windows are encoded after the steps of an epoch, and all of them again when the run goes on."""
    words = ["--tune", "head"]
    whole, project = Project(tmp_path / "a", words), Project(tmp_path / "b", words)
    assert whole.start() == 0
    stop_in_batch(4, monkeypatch)
    assert project.start() == 75
    (run,) = project.runs()
    assert checkpoint.load(run / "last.pt")["step"] == 10
    stop_in_batch(2, monkeypatch)
    assert project.start("--resume", str(run)) == 75
    monkeypatch.undo()
    assert project.start("--resume", str(run)) == 0
    assert differences(whole.runs()[0], run) == []


def stop_in_batch(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the encoder find in one of its batches that a signal came."""
    batches = count(1)

    def check() -> None:
        if next(batches) == number:
            raise Interrupted

    monkeypatch.setattr("utils.distributed.signals", SimpleNamespace(check=check))


def test_what_does_not_fit_the_memory_is_kept_on_the_disk_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention over the tokens of 27 variables keeps thousands of values a window."""
    model = classifier()
    windows = trainer_of(model).train
    in_memory = frozen_of(model, tmp_path).encoded(windows, "training").values
    monkeypatch.setattr("exp.frozen_encoder.total_memory", lambda _: 100)
    frozen = frozen_of(model, tmp_path)
    on_disk = frozen.encoded(windows, "training")
    assert (tmp_path / "encoded" / "training.npy").stat().st_size > in_memory.nbytes
    assert torch.equal(on_disk.values, in_memory)
    assert torch.equal(on_disk.inputs(torch.tensor([3, 1]))[0], in_memory[[3, 1]])
    frozen.release()
    assert not (tmp_path / "encoded").exists()


def test_a_full_look_at_every_tensor_includes_the_encoder(tmp_path: Path) -> None:
    """--guard_level full names the first bad layer: it has to run."""
    project = Project(tmp_path, ["--tune", "head", "--train_epochs", "1", "--guard_level", "full"])
    assert project.start() == 0
    (run,) = project.runs()
    assert "frozen encoder:" not in (run / "train.log").read_text()


def test_a_run_cut_while_its_encoder_is_frozen_goes_on_bitwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the encoder gives is worked out again, in the same pieces, to the same bits."""
    words = ["--freeze_encoder_epochs", "2"]
    whole, project = Project(tmp_path / "a", words), Project(tmp_path / "b", words)
    assert whole.start() == 0
    run = project.cut_at(14, monkeypatch, "--checkpoint_steps", "3")
    assert project.start("--resume", str(run)) == 0
    assert differences(whole.runs()[0], run) == []


def test_steps_see_the_whole_model_where_nothing_is_frozen() -> None:
    """The usual training must not go through any of this."""
    run: Trainer = trainer_of(classifier(), epochs=1)
    run.fit()
    assert run.seen == (run.model, run.train)


def test_the_benchmark_compares_trainings_that_end_alike() -> None:
    """A faster training of something else would be no gain."""
    found = frozen_benchmark.measure("smoke", 2)
    assert found["largest_difference_of_logits"] < 1e-5 and found["seconds_with"] > 0 and found["windows"] == 128
