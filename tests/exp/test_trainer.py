"""The loop: learns, repeats itself to the last bit, splits batches without changing the step."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from data_provider.windows import WindowIndex, WindowSet
from exp.callbacks import BestCheckpoint, MetricsLog
from exp.guard import GuardConfig
from exp.micro_batches import fitting_batch_size, saved_bytes, total_memory
from exp.objective import Objective
from exp.precision import amp_dtype
from exp.state_keeper import CheckpointConfig, Keeping, StateKeeper
from exp.trainer import Callback, Trainer, TrainerConfig, predict_logits
from layers.losses import LossConfig, build_loss, total_weight
from utils.errors import NumericalError, UsageError


def window_set(n: int = 256, length: int = 8, variables: int = 3) -> WindowSet:
    """Windows whose label is the sign of the newest value of the first variable."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(n + length, variables)).astype(np.float32)
    end = np.arange(length - 1, n + length - 1)
    index = WindowIndex(
        end=end,
        region=np.zeros(n, np.int64),
        init_time=np.datetime64("2020-01-01", "s") + np.arange(n) * np.timedelta64(3600, "s"),
        label=(values[end, 0] > 0).astype(np.int64),
        past_class=np.zeros(n, np.int64),
        precipitation_mm=np.zeros(n, np.float32),
    )
    return WindowSet(torch.from_numpy(values), index, length, ("a",), torch.device("cpu"))


class Net(nn.Module):
    """A linear map on the whole window, with dropout so that the random state matters."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.map = nn.Linear(24, 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
        return self.map(self.dropout(x.flatten(1)))


def trainer(
    windows: WindowSet,
    callbacks=(),
    dropout: float = 0.1,
    micro: int = 32,
    guard: dict | None = None,
    keeper: StateKeeper | None = None,
    **flags,
) -> Trainer:
    torch.manual_seed(0)
    config = TrainerConfig(**{"batch_size": 32, "train_epochs": 3, "learning_rate": 0.02} | flags)
    model = Net(dropout)

    def evaluate(network: nn.Module) -> dict[str, float | None]:
        logits = predict_logits(network, windows, 64, None)
        return {
            "validation_loss": nn.functional.cross_entropy(logits, windows.labels).item(),
            "validation_roc_auc": 0.5,
        }

    precision = amp_dtype(config.amp, windows.device)
    return Trainer(
        model,
        Objective(loss=nn.functional.cross_entropy, micro_batch_size=micro, precision=precision),
        config,
        GuardConfig(**(guard or {})),
        windows,
        evaluate=evaluate,
        seed=0,
        callbacks=callbacks,
        keeper=keeper,
    )


def without_times(history: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.endswith(("_seconds", "_per_second"))} for row in history]


def test_training_learns_and_the_same_seed_gives_the_same_bits() -> None:
    """A published figure that its own command cannot repeat is worth little."""
    first = trainer(window_set(), learning_rate=0.1)
    history = first.fit()
    second = trainer(window_set(), learning_rate=0.1)
    again = second.fit()
    assert history[-1]["validation_loss"] < 0.5 * history[0]["train_loss"]
    assert without_times(history) == without_times(again)
    # Figures draw every validation_* of a row as a score.
    assert {name for name in history[0] if name.startswith("validation_")} == {"validation_loss", "validation_roc_auc"}
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))


def test_another_seed_gives_another_order() -> None:
    """Repeats with one order would hide the spread of the result."""
    one = trainer(window_set())
    one.seed = 1
    one.epoch = 1
    other = trainer(window_set())
    other.epoch = 1
    first, second = one._batches()[0], other._batches()[0]
    other.epoch = 2
    assert not torch.equal(other._batches()[0], second), "every epoch has an order of its own"
    assert not torch.equal(first, second) and len(set(torch.cat(other._batches()).tolist())) == 256


@pytest.mark.parametrize("micro", [7, 16])
def test_micro_batches_give_the_step_of_the_whole_batch(micro: int) -> None:
    """A batch of 128 that is split to fit the memory must train like a batch of 128."""
    whole, split = trainer(window_set(), dropout=0.0), trainer(window_set(), dropout=0.0, micro=micro)
    a, b = whole.fit(), split.fit()
    assert a[-1]["train_loss"] == pytest.approx(b[-1]["train_loss"], rel=1e-5)
    assert torch.allclose(whole.model.map.weight, split.model.map.weight, atol=1e-5)  # type: ignore[union-attr]
    assert a[-1]["step"] == b[-1]["step"] == 24


def test_micro_batches_of_a_weighted_loss_give_the_step_of_the_whole_batch() -> None:
    """A weighted mean divides by the weights of its part: parts must be joined by weight, not by count."""
    config = LossConfig(class_weights=(0.2, 0.8))
    runs = []
    for micro in (32, 5):
        run = trainer(window_set(), dropout=0.0, micro=micro)
        run.objective = replace(run.objective, loss=build_loss(config, 2), weigh=partial(total_weight, config))
        runs.append(run.fit()[-1]["train_loss"])
    assert runs[0] == pytest.approx(runs[1], rel=1e-5)


def test_a_poisoned_window_is_skipped_and_counted_every_epoch() -> None:
    """One NaN row touches some batches; the others go on and the weights stay finite."""
    windows = window_set()
    windows.table[100, 1] = float("nan")
    history = trainer(windows, guard={"max_skipped_steps": 20}).fit()
    assert all(1 <= row["skipped_steps"] <= 8 for row in history)
    assert all(math.isfinite(row["train_loss"]) for row in history)


def test_a_bad_last_batch_counts_in_its_own_epoch_where_the_host_hears_of_it_a_step_late() -> None:
    """On a GPU the last step of an epoch would else be told of in the next one, after the validation."""
    windows = window_set()
    run = trainer(windows, train_epochs=1, guard={"max_skipped_steps": 20})
    run.guard._reads_late = True
    run.epoch = 1
    windows.table[windows.index.end[int(run._batches()[-1][0])], 1] = float("nan")
    (row,) = run.fit()
    assert run.watch.latest is not None and run.watch.latest.is_bad and run.watch.latest.step.batch == 8
    assert row["skipped_steps"] == run.watch.skipped and len(run.watch.recent) == row["step"] == 8


def test_the_rate_follows_its_schedule_step_by_step() -> None:
    """A warm-up that never ends, or never begins, looks like a model that cannot learn."""
    run = trainer(window_set(), learning_rate=0.08, warmup_epochs=1.0, train_epochs=1)
    rates = []
    see = run.guard.on_outcome
    run.guard.on_outcome = lambda outcome: (rates.append(outcome.step.learning_rates[0]), see(outcome))  # type: ignore[assignment]
    run.fit()
    assert rates == pytest.approx([0.01 * step for step in range(8)])


def test_bf16_trains_to_nearly_the_same_loss() -> None:
    """Mixed precision is a choice of speed, not of result."""
    full, half = trainer(window_set()).fit(), trainer(window_set(), amp="bf16").fit()
    assert half[-1]["train_loss"] == pytest.approx(full[-1]["train_loss"], rel=0.1)
    assert amp_dtype("auto", torch.device("cpu")) is None


def test_the_weights_at_the_start_of_an_epoch_bear_the_names_of_the_plain_model() -> None:
    """A compiled model has other names: under these its learning rate could never be convicted by them."""
    run = trainer(window_set(), train_epochs=1)
    run.model = torch.compile(run.model, backend="eager")  # type: ignore[assignment]
    run.fit()
    assert set(run.epoch_start) == {"map.weight", "map.bias"}


class Talk(TorchDispatchMode):
    """Lists operations that wait for the device, or send it a number from the host."""

    WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.equal", "aten.lift_fresh")

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.heard += [name for name in self.WAITS if str(operation).startswith(f"{name}.")]
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("config", [LossConfig(), LossConfig(class_weights=(0.2, 0.8))], ids=["plain", "weighted"])
@pytest.mark.parametrize("is_float16", [False, True], ids=["float32", "float16"])
def test_a_step_that_is_read_late_never_waits_for_the_device(config: LossConfig, is_float16: bool) -> None:
    """One number asked for, or sent from the host, would stop a GPU in every step; the guard promises none."""
    run = trainer(window_set(), micro=8, amp="fp16" if is_float16 else "off")
    run.objective = replace(run.objective, loss=build_loss(config, 2), weigh=partial(total_weight, config))
    run.guard._reads_late = True
    run.model.train()
    first, second, *_ = run._batches()
    run._step(first)
    with Talk() as talk:
        run._step(second)
    assert talk.heard == []
    with Talk() as talk:
        torch.tensor(1.0).item()
    assert talk.heard == ["aten.lift_fresh", "aten._local_scalar_dense"], "the listener itself must hear them"


def keeper_of(best: BestCheckpoint) -> StateKeeper:
    """Return what writes last.pt beside the best weights."""
    return StateKeeper(best.run, CheckpointConfig(), best, Keeping(), can_roll_back=False)


class Scripted(Callback):
    """Replaces the validation score by a script, as if the validation had given it."""

    def __init__(self, values: list[float]) -> None:
        self.values = iter(values)

    def on_epoch_end(self, trainer: Trainer, row: dict) -> bool:
        row["validation_loss"] = next(self.values)
        return False


def test_the_best_epoch_is_kept_and_patience_stops(tmp_path: Path) -> None:
    """best.pt holds the weights of the best epoch, not of the last; last.pt holds the last."""
    best = BestCheckpoint(tmp_path, "loss", 2)
    log = MetricsLog(tmp_path / "metrics.jsonl", 0.69)
    callbacks = (Scripted([0.5, 0.3, 0.4, 0.35, 0.1]), log, best)
    run = trainer(window_set(), callbacks, train_epochs=5, keeper=keeper_of(best))
    history = run.fit()
    assert len(history) == 4 and best.best_epoch == 2
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4
    assert not torch.equal(torch.load(tmp_path / "best.pt")["map.weight"], run.model.map.weight)  # type: ignore[union-attr]
    last = torch.load(tmp_path / "last.pt")
    assert torch.equal(last["model_state_dict"]["map.weight"], run.model.map.weight)  # type: ignore[union-attr]
    assert last["epoch"] == 4 and last["step"] == 32


@pytest.mark.parametrize("place", ["weight", "moment"])
def test_a_state_that_is_not_finite_never_replaces_the_last_good_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    """The notes tell of 78 of 78 parameters NaN on the disk, and nothing left from before."""

    class Spoiler(Callback):
        def on_epoch_end(self, trainer: Trainer, row: dict) -> bool:
            if row["epoch"] == 2:
                weight = trainer.model.map.weight  # type: ignore[union-attr]
                tensor = weight.data if place == "weight" else trainer.optimizer.state[weight]["exp_avg"]
                tensor[0, 0] = float("nan")
            return row["epoch"] == 2

    best = BestCheckpoint(tmp_path, "loss", 5)
    run = trainer(window_set(), (Spoiler(), best), train_epochs=2, keeper=keeper_of(best))
    with caplog.at_level(logging.WARNING):
        run.fit()
    last = torch.load(tmp_path / "last.pt")
    assert last["epoch"] == 1 and bool(torch.isfinite(last["model_state_dict"]["map.weight"]).all())
    assert run._row()["skipped_saves"] == 1, "counted in the row of the next epoch"
    assert "CKPT_NOT_SAVED: Not saving checkpoint" in caplog.text and ("exp_avg" in caplog.text) is (place == "moment")


def test_a_run_without_any_finite_score_has_no_weights_to_offer(tmp_path: Path) -> None:
    """Scoring the weights of such a run would end in a message about data."""
    best = BestCheckpoint(tmp_path, "loss", 5)
    run = trainer(window_set(), (Scripted([math.nan]), best), train_epochs=1)
    run.fit()
    with pytest.raises(NumericalError):
        best.require_an_epoch(run)


def test_a_score_that_is_not_finite_is_never_the_best_and_two_in_a_row_end_the_run(tmp_path: Path) -> None:
    """In the case NaN compared as an improvement and was saved as the best model."""
    best = BestCheckpoint(tmp_path, "loss", 5)
    with pytest.raises(NumericalError) as caught:
        trainer(window_set(), (Scripted([0.5, math.nan, 0.6, math.nan, math.nan]), best), train_epochs=5).fit()
    assert caught.value.code == "METRIC_UNDEFINED" and best.best_epoch == 1 and (tmp_path / "best.pt").is_file()


def test_a_batch_larger_than_the_memory_is_halved_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The long command of the notes asks for 128 windows of the full model: 30 to 44 GiB."""
    windows, model = window_set(), Net()
    per_window = saved_bytes(model, nn.functional.cross_entropy, windows) / 2
    needed = 16 * sum(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr("exp.micro_batches.total_memory", lambda device: int(needed + 2 * per_window * 40))
    assert fitting_batch_size(model, nn.functional.cross_entropy, windows, 128) == 32
    assert fitting_batch_size(model, nn.functional.cross_entropy, windows, 16) == 16


def test_the_probe_changes_neither_statistics_nor_the_random_state() -> None:
    """Looking at the memory must not change the result of the run."""
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(24), nn.Dropout(0.5), nn.Linear(24, 2))
    wrapped = _IgnoresMarks(model)
    before = {name: value.clone() for name, value in wrapped.state_dict().items()}
    state = torch.get_rng_state()
    assert saved_bytes(wrapped, nn.functional.cross_entropy, window_set()) > 0
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in wrapped.state_dict().items())
    assert total_memory(torch.device("cpu")) > 2**28


def test_two_undefined_epochs_that_are_not_in_a_row_do_not_end_the_run(tmp_path: Path) -> None:
    """A single bad epoch now and then is survived."""
    best = BestCheckpoint(tmp_path, "loss", 9)
    trainer(window_set(), (Scripted([math.nan, 0.5, math.nan, 0.4]), best), train_epochs=4).fit()
    assert best.best_epoch == 4


def test_a_callback_that_sees_no_epoch_is_refused_when_it_is_made() -> None:
    """It would end the run after the first epoch, hours later."""

    class Forgetful(Callback):
        def stops(self, trainer: Trainer) -> bool:
            return trainer.epoch > 3

    with pytest.raises(TypeError, match="on_epoch_end"):
        Forgetful()  # type: ignore[abstract]


class _IgnoresMarks(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


@pytest.mark.parametrize("flag", ["batch_size", "train_epochs", "learning_rate", "weight_decay", "tmax"])
def test_impossible_values_are_refused_by_flag(flag: str) -> None:
    """The flag, the value and one that works."""
    with pytest.raises(UsageError, match=f"--{flag}"):
        TrainerConfig(**{flag: -1})
