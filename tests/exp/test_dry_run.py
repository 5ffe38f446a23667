"""What a training will cost is told as it is, from an empty folder or a real table, and nothing is left behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import models
import run as program
from exp import command_line, costs, dry_run_material, flops, forecasters, stage_costs
from exp.diagnosis.model_check import random_windows
from exp.forecasters import NetworkForecaster
from exp.micro_batches import Activations, state_bytes
from exp.settings import Dimensions, Settings, context_length
from exp.units import GIB, duration, operations, size
from tests import make_table
from tests.exp import test_forecasting

SMOKE = ["--preset", "smoke", "--root_path", ".", "--data_path", "table.csv", "--dry_run"]
FULL, MIDDLE, SMALL = (
    "--preset full",
    "--e_layers 5 --d_model 640 --d_ff 1280 --seq_len 1440",
    "--preset small",
)
# Flags, batch, GiB as the case calculated them, GB as a T4 showed them. The notes do not name the batches: with these
# four, one and the same share of their figure comes out for all.
OF_THE_CASE = [
    (FULL, 16, 6.6, 6.0),
    (FULL, 32, 12.2, 10.0),
    (MIDDLE, 32, 5.5, 5.0),
    (SMALL, 32, 1.4, 1.5),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def usual(words: str) -> tuple[Settings, Dimensions]:
    """Return settings, and the sizes of a table that is prepared of ERA5."""
    settings = command_line.read(words.split())
    return settings, Dimensions(
        n_classes=2,
        n_variables=27,
        context_length=context_length(settings),
        n_marks=9,
        n_regions=5,
        step_hours=1,
        pressure_index=None,
    )


@pytest.mark.parametrize(("words", "batch", "calculated", "seen"), OF_THE_CASE)
def test_the_configurations_of_the_case_take_what_they_took_on_a_t4(
    words: str, batch: int, calculated: float, seen: float
) -> None:
    """A forecast that is far off sends a user to a card that is too small, or too dear."""
    state, activations = costs.on_a_card(*usual(words))
    needed = (state + activations.of(batch)) / GIB
    assert needed == pytest.approx(calculated, rel=0.1)
    assert needed == pytest.approx(seen, rel=0.15)


def test_a_dry_run_on_a_table_tells_the_real_model_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A forecast of another model is worth nothing, and one that writes is no dry run."""
    make_table.write(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert program.main(SMOKE) == 0
    said = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert program.main([word for word in SMOKE if word != "--dry_run"]) == 0
    (best,) = folder.glob("checkpoints/*/*/best.pt")
    learned = sum(value.numel() for value in torch.load(best).values())
    assert f"parameters    {learned:,}\n" in said
    assert re.search(r"[\d,]+ training windows of 96 rows in table\.csv", said)
    assert re.search(r"time .* an epoch \(.* training, .* validation\)", said)


@pytest.mark.parametrize("name", [name for name in models.classifiers() if models.kind(name) == "network"])
def test_every_network_is_told_without_a_table_and_says_that_its_numbers_are_random(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Before there are data one wants to know which machine to rent; a guess must not look like a measurement."""
    assert program.main([*SMOKE, "--model", name, "--dry_run_memory_gib", "15"]) == 0
    said = capsys.readouterr().out
    titles = ["data", "parameters", "arithmetic", "memory", "this device", "another card", "disk", "time"]
    assert [line[2:15].strip() for line in said.splitlines() if line.startswith("  ")] == titles
    assert "random numbers" in said and "there is no table.csv" in said and "6,224 windows" in said
    assert not list(folder.iterdir())


@pytest.mark.parametrize("is_there", [True, False])
def test_what_is_being_measured_is_said_before_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    """Half a minute without a word looks like a program that hangs."""
    if is_there:
        make_table.write(folder)
    said: list[str] = []
    load = dry_run_material.load
    monkeypatch.setattr(dry_run_material, "load", lambda *a: (said.append(capsys.readouterr().out), load(*a))[1])
    assert program.main(SMOKE) == 0
    assert f"batch of 64 on {'the table table.csv' if is_there else 'random numbers'}, on " in said[0]


def test_a_reference_has_no_such_cost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parameters and memory of gradient boosting would be numbers without a meaning."""
    assert program.main(["--model", "gradient_boosting", "--dry_run"]) == 0
    assert "no such cost" in capsys.readouterr().out and not list(folder.iterdir())


def test_a_table_that_cannot_be_trained_on_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The price of a training that will be refused is of no use."""
    content = make_table.frame()
    content.loc[100:900, "t2m"] = np.nan
    make_table.write(folder, content=content)
    assert program.main(SMOKE) == 3
    assert "DATA_NAN" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "--dry_run --is_training 0",
        "--dry_run --task_name forecast --is_training 0",
        "--dry_run --task_name diagnose",
        "--dry_run_memory_gib 15",
        "--dry_run --dry_run_memory_gib 0",
    ],
)
def test_flags_that_do_not_go_together_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag without an effect would pass for one that had none to tell."""
    assert program.main(words.split()) == 2
    assert "--dry_run" in capsys.readouterr().err


def test_a_long_step_is_timed_on_a_part_of_its_windows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step of the full model takes minutes on a slow machine; nobody waits for several to hear of that."""
    monkeypatch.setattr("exp.dry_run_time.ENOUGH_SECONDS", 1e-9)
    assert program.main(SMOKE) == 0
    assert "(median of 1, of 2 windows each)" in capsys.readouterr().out


def advice(words: str, memory_gib: float, half: float = 1.0) -> costs.Fit:
    """Return how flags stand to a card, where half precision takes this share of the activations."""
    settings, dimensions = usual(words)
    state, activations = costs.on_a_card(settings, dimensions)
    smaller = Activations(activations.fixed, int(half * activations.per_window))
    return costs.fit(settings, dimensions, state, activations, smaller, int(memory_gib * GIB))


def test_a_t4_takes_the_full_model_whole_at_16_and_in_pieces_at_128() -> None:
    """The long command of the notes asks for 128 windows of the full model on a card of 15 GiB."""
    whole, pieces = advice(f"{FULL} --batch_size 16", 15), advice(f"{FULL} --batch_size 128", 15, half=0.5)
    assert whole.is_enough and whole.at_once == 16 and "the whole batch of 16 fits" in whole.advice
    assert pieces.is_enough and pieces.at_once == 16 and "--micro_batch_size 16" in pieces.advice
    assert "32 at once with --amp auto" in pieces.advice


def test_pieces_that_are_too_large_are_told_with_those_that_fit() -> None:
    """Who types --micro_batch_size gets it, and the training ends where the memory does."""
    found = advice(f"{FULL} --batch_size 128 --micro_batch_size 64", 15)
    assert not found.is_enough and found.at_once == 64 and "--micro_batch_size 16 fits" in found.advice


@pytest.mark.parametrize(("memory", "told"), [(0.5, "--preset small"), (0.1, "--preset tiny"), (0.005, "no preset")])
def test_a_model_that_never_fits_is_told_with_the_preset_that_does(memory: float, told: str) -> None:
    """Half the batch does not help where the weights alone fill the card."""
    found = advice(FULL, memory)
    assert not found.is_enough and told in found.advice


def test_the_count_of_this_device_is_that_of_the_precision_of_the_run() -> None:
    """With --amp the activations are smaller, and the forecast must say so."""
    dimensions = usual("--preset tiny")[1]
    found = []
    for words in ("--preset tiny", "--preset tiny --amp bf16"):
        forecaster = forecasters.build(command_line.read(words.split()), dimensions, torch.device("cpu"))
        assert isinstance(forecaster, NetworkForecaster)
        found.append(costs.count(forecaster, dimensions, random_windows(dimensions, torch.device("cpu"))))
    single, half = found
    assert half.here == single.here_half and half.here.per_window < single.here.per_window
    assert half.elsewhere == single.elsewhere_half and half.elsewhere.per_window < single.elsewhere.per_window
    assert single.state == 4 * single.weights


def test_figures_are_written_with_units_a_reader_knows() -> None:
    """1.05e+03 TFLOP and 0.0015 GiB have to be worked out; 1.05 PFLOP and 1.50 MiB are read."""
    assert (size(1.5 * 2**20), size(6.5 * GIB)) == ("1.50 MiB", "6.50 GiB")
    assert (operations(1.05e15), operations(132e6), operations(0)) == ("1.05 PFLOP", "132 MFLOP", "0 FLOP")
    assert [duration(seconds) for seconds in (0.05, 1.31, 130, 8000)] == ["50 ms", "1.31 s", "2.17 min", "2.22 h"]


HEAD = [*SMOKE, "--tune", "head", "--train_epochs", "3"]
STAGED = [*SMOKE, "--freeze_encoder_epochs", "2", "--train_epochs", "6", "--batch_size", "32"]


def lines_of(said: str) -> dict[str, str]:
    """Return title -> text of the lines of a dry run."""
    return {line[2:15].strip(): line[16:] for line in said.splitlines() if line.startswith("  ")}


def test_a_frozen_encoder_is_told_as_it_runs_once_and_what_is_kept_of_it_is_what_a_run_keeps(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A probe told at the price of a whole training is never started, and a cache nobody told of fills a disk."""
    make_table.write(folder)
    assert program.main(HEAD) == 0
    told = lines_of(capsys.readouterr().out)
    assert len(list(folder.iterdir())) == 1
    assert program.main([word for word in HEAD if word != "--dry_run"]) == 0
    (log,) = folder.glob("checkpoints/*/*/train.log")
    kept = re.findall(r"frozen encoder: (\d+) kept for (\d+) (training|validation) windows", log.read_text())
    for width, number, split in kept:
        assert (
            f"{size(4 * int(width) * int(number))} for {int(number):,} {split} windows in the memory" in told["encoder"]
        )
    assert len(kept) == 2 and "once" in told["time encoder"]
    assert told["stage 1"].startswith("epochs 1 to 3: classifier (") and "on what the encoder gave" in told["stage 1"]
    assert "for 3 epochs at most" in told["time"] and "validation" in told["time stage 1"]


def test_each_stage_is_told_with_what_learns_in_it_and_then_the_whole_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frozen epochs cost next to nothing; one figure for an epoch would be wrong for both kinds."""
    make_table.write(folder)
    assert program.main(STAGED) == 0
    told = lines_of(capsys.readouterr().out)
    assert told["stage 1"].startswith("epochs 1 to 2: classifier (")
    assert told["stage 2"].startswith("epochs 3 to 6: embedding, layers.0, norm, head, classifier (")
    assert "on what the encoder gave" not in told["stage 2"]
    assert {"encoder", "time encoder", "time stage 1", "time stage 2"} <= told.keys()
    assert "6 epochs at most" in told["arithmetic"] and "6 epochs at most" in told["time"]


@pytest.mark.parametrize("more", [["--cache_frozen_encoder", "no"], ["--guard_level", "full"]])
def test_an_encoder_that_runs_in_every_step_is_told_so(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """Without the cache, and under the checks of every tensor, frozen epochs cost a forward pass each."""
    assert program.main([*HEAD, *more]) == 0
    told = lines_of(capsys.readouterr().out)
    assert "encoder" not in told and "time encoder" not in told
    assert "on what the encoder gave" not in told["stage 1"]


def test_what_fits_no_memory_is_told_to_lie_on_the_disk_and_is_not_put_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has little room has to know before the run asks for it."""
    monkeypatch.setattr("exp.frozen_encoder.MEMORY_SHARE", 0)
    assert program.main([*HEAD, "--checkpoints", "elsewhere"]) == 0
    assert "on the disk, under elsewhere/peru_rainfall" in lines_of(capsys.readouterr().out)["encoder"]
    assert not list(folder.iterdir())


def test_the_pass_of_the_encoder_and_the_head_together_are_the_forward_pass_of_the_whole() -> None:
    """What is left out of both would be free of charge, and what is counted in both paid twice."""
    settings, dimensions = usual("--preset tiny --freeze_encoder_epochs 2 --train_epochs 5")
    material = dry_run_material.random(settings, dimensions, torch.device("cpu"))
    whole = flops.of_a_window(material.training.model, material.train)
    stages = stage_costs.count(material, material.trainer())
    head, everything = stages.stages
    assert stages.encoder is not None and stages.encoder.forward + head.flops.forward == whole.forward
    assert head.flops.training < 0.05 * everything.flops.training and everything.flops == whole
    assert (head.first, head.last, everything.first, everything.last) == (1, 2, 3, 5)
    n = material.n_train
    expected = n * (stages.encoder.forward + 2 * head.flops.training + 3 * whole.training)
    assert stages.operations(n) == expected
    assert head.state < everything.state == state_bytes(material.training.model)


def test_pre_training_is_told_as_it_will_be_trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Next-token training takes hours too; its windows and its model are others than a classifier's."""
    series = test_forecasting.write(folder / "series")
    words = test_forecasting.words(series)
    before = sorted(folder.rglob("*"))
    assert program.main([*words, "--dry_run", "--dry_run_memory_gib", "15"]) == 0
    told = lines_of(capsys.readouterr().out)
    assert sorted(folder.rglob("*")) == before
    assert program.main(words) == 0
    (run,) = test_forecasting.runs(series)
    learned = sum(value.numel() for value in torch.load(run / "best.pt").values())
    windows, steps = len(test_forecasting.load(series).windows(0, test_forecasting.LENGTHS)), 0
    steps = json.loads((run / "scores.json").read_text())["cost"]["steps"]
    assert told["parameters"] == f"{learned:,}" and told["data"].startswith(f"{windows:,} training windows of 96 rows")
    assert f"an epoch of {steps:,} steps" in told["arithmetic"] and "15.00 GiB" in told["another card"]
    assert "1 epochs at most" in told["time"] and "validation" in told["time"]


def test_pre_training_without_series_is_refused_as_a_training_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no usual set of series whose windows could stand for an epoch."""
    assert program.main(["--task_name", "forecast", "--preset", "smoke", "--root_path", "absent", "--dry_run"]) == 3
    assert "absent" in capsys.readouterr().err and not list(folder.iterdir())
