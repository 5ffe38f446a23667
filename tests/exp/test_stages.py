"""What learns when: a frozen encoder stays bitwise as it was, and a stage that begins disturbs nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from exp.callbacks import BestCheckpoint
from exp.guard import GuardConfig
from exp.objective import Objective
from exp.parts import part_of
from exp.stages import Stages
from exp.trainer import Callback, Trainer, TrainerConfig
from exp.transfer_config import TransferConfig
from layers.low_rank import add_low_rank
from models import timer_xl_classifier
from tests.exp.test_resume import Project
from tests.exp.test_trainer import window_set
from tests.run_ends import differences
from utils import checkpoint
from utils.errors import UsageError

SIZES = {"e_layers": 4, "d_model": 8, "d_ff": 16, "n_heads": 2, "input_token_len": 4, "output_token_len": 4}


class Sizes:
    """Flags of a small classifier."""

    def __init__(self) -> None:
        vars(self).update(SIZES)


def classifier() -> timer_xl_classifier.Model:
    """Return a classifier of four layers for windows of 8 steps in 3 variables."""
    torch.manual_seed(0)
    return timer_xl_classifier.Model(Sizes())


def trainer_of(model: torch.nn.Module, epochs: int = 4, callbacks: tuple[Callback, ...] = (), **flags) -> Trainer:
    """Return a trainer of a few steps an epoch."""
    return Trainer(
        model,
        Objective(loss=torch.nn.functional.cross_entropy, micro_batch_size=64),
        TrainerConfig(batch_size=64, train_epochs=epochs, learning_rate=0.01),
        GuardConfig(),
        window_set(),
        evaluate=lambda _: {},
        seed=0,
        callbacks=callbacks,
        transfer=TransferConfig(**flags),
    )


def test_patience_does_not_end_a_run_before_its_last_stage(tmp_path: Path) -> None:
    """A head that is soon done while the encoder is frozen would end a frozen warm-up as a probe, unsaid."""

    class Scripted(Callback):
        def on_epoch_end(self, trainer: Trainer, row: dict) -> bool:  # noqa: ARG002
            row["validation_loss"] = 0.5 if row["epoch"] == 1 else 0.6
            return False

    best = BestCheckpoint(tmp_path, "loss", 2)
    trainer = trainer_of(classifier(), epochs=9, callbacks=(Scripted(), best), freeze_encoder_epochs=5)
    assert len(trainer.fit()) == 7 and best.best_epoch == 1


def learning(model: torch.nn.Module, epoch: int, epochs: int = 30, **flags) -> set[str]:
    """Return the parts that learn in an epoch."""
    stages = Stages(model, TransferConfig(**flags), epochs)
    return {part_of(name) for name, _ in model.named_parameters() if stages.learns(name, epoch)}


def test_the_head_learns_alone_and_then_everything() -> None:
    """The frozen warm-up of the notes: a fresh head must not pull a good encoder apart."""
    model = classifier()
    assert learning(model, 2, freeze_encoder_epochs=2) == {"classifier"}
    everything = {part_of(name) for name, _ in model.named_parameters()}
    assert learning(model, 3, freeze_encoder_epochs=2) == everything


def test_the_weights_at_the_start_of_an_epoch_are_those_that_learn_in_it() -> None:
    """A frozen encoder is most of the model, and a copy of it at every epoch proves nothing about a step."""
    model = classifier()
    run = trainer_of(model, epochs=2, freeze_encoder_epochs=1)
    kept = []
    run.evaluate = lambda _: kept.append({part_of(name) for name in run.epoch_start}) or {}
    run.fit()
    assert kept == [{"classifier"}, {part_of(name) for name, _ in model.named_parameters()}]


def test_a_schedule_frees_what_it_names_and_nothing_else() -> None:
    """What is not named stays frozen to the end."""
    model, flags = classifier(), {"unfreeze_schedule": ("12:layers.2-3", "25:layers.1")}
    assert learning(model, 11, **flags) == {"classifier"}
    assert learning(model, 12, **flags) == {"classifier", "layers.2", "layers.3"}
    assert learning(model, 30, **flags) == {"classifier", "layers.1", "layers.2", "layers.3"}


@pytest.mark.parametrize(
    ("tune", "parts"),
    [
        ("head", {"classifier"}),
        ("layers:2", {"classifier", "layers.2", "layers.3", "norm", "head"}),
        ("norm", {"classifier", "norm", "layers.0", "layers.1", "layers.2", "layers.3"}),
    ],
)
def test_each_way_to_tune_lets_its_own_parts_learn(tune: str, parts: set[str]) -> None:
    """A probe that trains the encoder is no probe."""
    assert learning(classifier(), 1, tune=tune) == parts


def test_tuning_the_norms_and_low_rank_additions_leaves_every_other_matrix_alone() -> None:
    """Parts are too coarse here: a layer's norms learn and its matrices do not."""
    model = classifier()
    stages = Stages(model, TransferConfig(tune="norm"), 4)
    inside = [name for name, _ in model.named_parameters() if name.startswith("blocks.")]
    assert {name for name in inside if stages.learns(name, 1)} == {name for name in inside if "norm" in name}
    assert add_low_rank(model, ("query_projection", "value_projection"), 2) == 8
    stages = Stages(model, TransferConfig(tune="lora"), 4)
    free = [name for name in stages.begins if stages.learns(name, 1) and not name.startswith("classifier")]
    assert len(free) == 16 and all(".lora_" in name for name in free)


def test_a_frozen_encoder_stays_bitwise_is_in_evaluation_and_its_optimizer_state_never_begins() -> None:
    """Weight decay and dropout of a frozen encoder are the usual ways in which it changes all the same."""
    model = classifier()
    run = trainer_of(model, epochs=2, tune="head")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run.fit()
    after = model.state_dict()
    changed = {part_of(name) for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"classifier"}
    model.train()
    run.stages.enter(model, 1)
    assert not any(module.training for module in model.blocks.modules()) and model.classifier.training
    assert {part_of(name) for name, value in model.named_parameters() if run.optimizer.state.get(value)} == {
        "classifier"
    }


def test_a_stage_that_begins_leaves_the_moments_of_the_others_as_they_were() -> None:
    """A new optimizer at every stage forgets what the head has learned of its own gradients."""
    model = classifier()
    run = trainer_of(model, epochs=3, freeze_encoder_epochs=1)
    run._finish_epoch()
    head = list(model.classifier.parameters())
    before = [{name: value.clone() for name, value in run.optimizer.state[weight].items()} for weight in head]
    run._begin_epoch()
    run.model.train()
    run.stages.enter(model, run.epoch)
    for weight, state in zip(head, before, strict=True):
        assert all(torch.equal(run.optimizer.state[weight][name], value) for name, value in state.items())
    run._step(run._batches()[0])
    assert float(run.optimizer.state[head[0]]["step"]) == run.steps_per_epoch + 1
    assert float(run.optimizer.state[model.embedding.weight]["step"]) == 1


def test_a_part_that_joins_later_warms_up_on_its_own() -> None:
    """At full rate its first steps would be the largest of all: its moments are empty."""
    run = trainer_of(classifier(), epochs=4, freeze_encoder_epochs=1, stage_warmup_epochs=1.0)
    steps = run.steps_per_epoch
    rates = []
    for _ in range(3 * steps):
        rates.append({group.begin: rate for group, rate in zip(run.groups, run.schedule.get_last_lr(), strict=True)})
        run.optimizer.step()
        run.schedule.step()
    assert {row[1] for row in rates} == {0.01}
    assert [row[2] for row in rates[:steps]] == [0.0] * steps
    assert rates[steps][2] == pytest.approx(0.01 / steps) and rates[2 * steps - 1][2] == pytest.approx(0.01)
    assert {row[2] for row in rates[2 * steps :]} == {0.01}


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ({"unfreeze_schedule": ("9:layers.0",)}, "--unfreeze_schedule"),
        ({"unfreeze_schedule": ("2:layers.7",)}, "layers.0-3"),
        ({"freeze_encoder_epochs": 4}, "--freeze_encoder_epochs"),
        ({"tune": "layers:9"}, "--tune layers:4"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_2(flags: dict, names: str) -> None:
    """A schedule longer than the run would end with parts that never learned, and nobody would know."""
    with pytest.raises(UsageError) as caught:
        Stages(classifier(), TransferConfig(**flags), 4)
    assert names in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    "flags",
    [
        {"tune": "everything"},
        {"unfreeze_schedule": ("layers.0",)},
        {"unfreeze_schedule": ("2:layers.0",), "freeze_encoder_epochs": 1},
        {"unfreeze_schedule": ("2:layers.0",), "tune": "head"},
        {"rate_ratios": (1.0, 2.0)},
        {"layer_decay": 0.0},
        {"lora_rank": 0},
        {"freeze_encoder_epochs": -1},
    ],
)
def test_flags_that_contradict_themselves_are_refused(flags: dict) -> None:
    """Each names its flag and a value that works."""
    with pytest.raises(UsageError) as caught:
        TransferConfig(**flags)
    assert caught.value.next_command


def test_a_model_without_an_encoder_cannot_be_frozen() -> None:
    """Nothing would be frozen, and the run would say that it was."""
    with pytest.raises(UsageError):
        Stages(torch.nn.Linear(2, 2), TransferConfig(tune="head"), 4)


@pytest.mark.parametrize("words", [["--freeze_encoder_epochs", "1"], ["--tune", "lora"]])
def test_a_run_cut_around_a_stage_change_ends_bitwise_like_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """The stage belongs to the state: cut in the last of the 10 steps of the first one and the first of the next."""
    whole, project = Project(tmp_path / "a", words), Project(tmp_path / "b", words)
    assert whole.start() == 0
    saves = ["--checkpoint_steps", "1"]
    run = project.cut_at(10, monkeypatch, *saves)
    project.cut_at(11, monkeypatch, "--resume", str(run), *saves)
    assert project.start("--resume", str(run), *saves) == 0
    assert differences(whole.runs()[0], run) == []


def test_a_run_with_low_rank_additions_is_scored_again_and_a_frozen_encoder_is_in_its_file(tmp_path: Path) -> None:
    """The reference tool drops frozen weights when it saves, and cannot load its own file again."""
    project = Project(tmp_path, ["--tune", "lora", "--train_epochs", "1"])
    assert project.start() == 0
    (run,) = project.runs()
    weights = checkpoint.load(run / "best.pt")
    assert any(".lora_up" in name for name in weights) and "embedding.weight" in weights
    assert project.start("--is_training", "0") == 0
    (again,) = run.glob("scored-*/scores.json")
    own = json.loads((run / "scores.json").read_text())
    assert json.loads(again.read_text())["test"] == own["test"]
