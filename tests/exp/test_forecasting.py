"""Pre-training and forecasting: shifted tokens, honest references, one message for a fault, bitwise resuming."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import run as program
from data_provider.series_factory import SeriesData, load_series
from data_provider.series_splits import SeriesConfig
from data_provider.series_windows import Lengths
from data_provider.splits import TEST, TRAIN, VALIDATION
from exp import command_line, forecast_references, forecast_scoring
from exp.compare import reading
from exp.diagnosis.report import Diagnosis
from exp.forecast_training import ForecastTraining, SeriesExplainer, require_sound_step
from exp.micro_batches import USABLE_SHARE, measure, state_bytes
from exp.settings import Dimensions, shown_groups
from exp.state_keeper import Keeping
from exp.trainer import Trainer
from models import timer_xl
from tests import make_table
from tests.exp.test_resume import Cut, cut_in_step, generators_elsewhere
from tests.run_ends import differences
from utils.errors import ForeseenError, NumericalError, UsageError

pytestmark = pytest.mark.usefixtures("without_figures")
CPU = torch.device("cpu")
SIZES = ["--preset", "smoke", "--batch_size", "128", "--use_norm", "--train_stride", "3", "--test_stride", "5",
         "--test_pred_len", "24", "--device", "cpu"]  # fmt: skip
LENGTHS = Lengths(context=96, ahead=24, input_token=24, output_token=24)


def write(folder: Path, n: int = 600) -> Path:
    """Write two hourly channels with a daily wave; return the folder."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(1)
    hours = np.arange(n)
    wave = np.sin(hours * 2 * np.pi / 24)
    columns = {"a": wave + 0.05 * generator.normal(size=n), "b": 5 - 3 * wave + 0.2 * generator.normal(size=n)}
    pd.DataFrame({"date": pd.date_range("2020-01-01", periods=n, freq="h"), **columns}).to_csv(
        folder / "some.csv", index=False
    )
    return folder


def words(folder: Path, *more: str) -> list[str]:
    places = ["--root_path", str(folder), "--checkpoints", str(folder.parent / "runs"), "--model_id", "own"]
    return ["--task_name", "forecast", *SIZES, *places, *more]


def runs(folder: Path) -> list[Path]:
    return sorted((path.parent for path in (folder.parent / "runs" / "own").glob("*/config.json")), key=str)


def load(folder: Path) -> SeriesData:
    return load_series(SeriesConfig(root_path=str(folder), train_stride=3, test_stride=5), CPU)


def training_of(folder: Path, *more: str) -> ForecastTraining:
    settings = command_line.read(words(folder, *more))
    torch.manual_seed(0)
    return ForecastTraining(timer_xl.Model(settings.model), settings)


def test_a_run_learns_writes_what_it_is_and_beats_persistence(tmp_path: Path) -> None:
    """Targets that are shifted wrongly cannot be learned: a daily wave is, in seconds, when all is right."""
    folder = write(tmp_path / "series")
    assert program.main(words(folder, "--train_epochs", "15", "--learning_rate", "0.01", "--test_pred_len", "24")) == 0
    (run,) = runs(folder)
    names = {path.name for path in run.iterdir()}
    assert {"config.json", "environment.json", "preprocessing.json", "metrics.jsonl", "best.pt", "last.pt"} <= names
    scores = json.loads((run / "scores.json").read_text())
    assert scores["test"]["mse"] < 0.25 * scores["references"]["persistence"]["mse"]
    assert set(scores["test"]["channels"]) == {"some/a", "some/b"} and scores["skipped_steps"] == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"] and rows[0]["train_mae"] > 0
    fitted = json.loads((run / "preprocessing.json").read_text())["some"]
    values = pd.read_csv(folder / "some.csv")["b"].to_numpy(np.float32)
    assert fitted["borders"] == [420, 480, 600] and fitted["mean"][1] == pytest.approx(values[:420].mean(), rel=1e-5)


def test_the_loss_is_the_error_of_every_token_against_the_token_after_it(tmp_path: Path) -> None:
    """Written out: four tokens of 24 rows, each held against the next 24 rows; micro-batches change nothing."""
    folder = write(tmp_path / "series")
    training, windows = training_of(folder, "--dropout", "0"), load(folder).windows(TRAIN, LENGTHS)
    ids = torch.arange(5)
    with torch.no_grad():
        output = training.model(windows.inputs(ids))
    rows = torch.cat([windows.inputs(ids), windows.ahead(ids)], dim=1)
    errors = [output[:, 24 * n : 24 * n + 24] - rows[:, 24 * n + 24 : 24 * n + 48] for n in range(4)]
    expected = torch.stack(errors).square().mean()
    for size in (5, 2):
        training.micro_batch_size = size
        loss, absolute = training.objective(CPU).backward(training.model, windows, ids)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert absolute.item() == pytest.approx(5 * torch.stack(errors).abs().mean().item(), rel=1e-5)


def test_a_horizon_beyond_the_output_token_is_rolled_on_with_the_newest_look_back(tmp_path: Path) -> None:
    """A look-back that grew, or one without the forecast so far, would be another model from the second token on."""
    folder = write(tmp_path / "series")
    training = training_of(folder)
    x = load(folder).windows(TRAIN, LENGTHS).inputs(torch.arange(3))
    with torch.no_grad():
        forecast = training.forecast(60, CPU)(x, 0)
        first = training.model(x)[:, -24:]
        second = training.model(torch.cat([x[:, 24:], first], dim=1))[:, -24:]
        third = training.model(torch.cat([x[:, 48:], first, second], dim=1))[:, -24:]
    assert forecast.shape == (3, 60, 1)
    assert torch.allclose(forecast, torch.cat([first, second, third], dim=1)[:, :60], atol=1e-6)


def test_scores_are_means_over_windows_rows_and_channels_by_hand(tmp_path: Path) -> None:
    """Persistence of a ramp is off by 1, 2, ..., A rows: MSE and MAE follow from the rise alone."""
    n = 200
    pd.DataFrame(
        {"date": pd.date_range("2020-01-01", periods=n, freq="h"), "a": np.arange(n), "b": 2.0 * np.arange(n)}
    ).to_csv(tmp_path / "ramp.csv", index=False)
    data = load_series(SeriesConfig(root_path=str(tmp_path)), CPU)
    windows = data.windows(TEST, Lengths(context=8, ahead=3, input_token=4, output_token=4))
    found = forecast_scoring.score(forecast_references.persistence(3), windows, batch_size=7)
    rise = 1 / np.arange(140).std()
    assert found["mse"] == pytest.approx(rise**2 * (1 + 4 + 9) / 3, rel=1e-4)
    assert found["mae"] == pytest.approx(2 * rise, rel=1e-4)
    assert found["windows"] == 2 * 38 and found["channels"]["ramp/b"]["mse"] == pytest.approx(found["mse"], rel=1e-4)
    seasonal = forecast_references.seasonal_naive(3, [2, 2])
    # Rows 6, 7, 6 of the look-back for rows 8, 9, 10.
    assert forecast_scoring.score(seasonal, windows, 7)["mse"] == pytest.approx(rise**2 * (4 + 4 + 16) / 3, rel=1e-4)


def test_scores_of_all_channels_in_one_window_are_those_of_each_alone(tmp_path: Path) -> None:
    """How windows are cut must not move the score of a reference."""
    folder = write(tmp_path / "series")
    found = {}
    for variates in ("univariate", "multivariate"):
        config = SeriesConfig(root_path=str(folder), variates=variates, test_stride=7)
        windows = load_series(config, CPU).windows(TEST, LENGTHS)
        found[variates] = forecast_scoring.score(forecast_references.persistence(24), windows, 16)
    one, other = found.values()
    assert one["mse"] == pytest.approx(other["mse"], rel=1e-6) and list(one["channels"]) == list(other["channels"])


def test_ridge_is_the_closed_form_with_the_penalty_that_does_best_on_validation(tmp_path: Path) -> None:
    """A reference that is too weak flatters the network."""
    data = load(write(tmp_path / "series"))
    train, validation = data.windows(TRAIN, LENGTHS), data.windows(VALIDATION, LENGTHS)
    ridge = forecast_references.fit_ridge(train, validation, alphas=(0.1, 10.0, 1e6))

    def pairs(windows, number: int = 1) -> tuple[np.ndarray, np.ndarray]:
        ids = windows.of_sequence(number)
        return windows.inputs(ids)[:, :, 0].double().numpy(), windows.ahead(ids)[:, :, 0].double().numpy()

    def solved(x: np.ndarray, y: np.ndarray, alpha: float, new: np.ndarray) -> np.ndarray:
        x, y = x - (level := x.mean(axis=1, keepdims=True)), y - level
        weights = np.linalg.solve(
            (x - x.mean(0)).T @ (x - x.mean(0)) + alpha * np.eye(96), (x - x.mean(0)).T @ (y - y.mean(0))
        )
        rest = new - (own := new.mean(axis=1, keepdims=True))
        return (rest - x.mean(0)) @ weights + y.mean(0) + own

    errors = dict.fromkeys((0.1, 10.0, 1e6), 0.0)
    for number in range(2):
        (x, y), (new, came) = pairs(train, number), pairs(validation, number)
        for alpha in errors:
            errors[alpha] += np.square(solved(x, y, alpha, new) - came).mean()
    best = min(errors, key=errors.__getitem__)
    assert ridge.alpha == best != 1e6
    test = data.windows(TEST, LENGTHS)
    both = np.concatenate([x, new]), np.concatenate([y, came])
    expected = solved(*both, best, pairs(test)[0])
    assert np.allclose(ridge(test.inputs(test.of_sequence(1)), 1)[:, :, 0].numpy(), expected, atol=1e-4)


def test_a_run_cut_twice_in_one_epoch_ends_bitwise_like_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of pre-training on a machine that is taken away must not have to begin again, nor end elsewhere."""
    more = ["--train_epochs", "3", "--dropout", "0.2", "--batch_size", "32", "--checkpoint_steps", "2"]
    more += ["--references", "persistence"]
    whole, folder = write(_made(tmp_path / "a")), write(_made(tmp_path / "b"))
    assert program.main(words(whole, *more)) == 0
    for step in (9, 11):
        with monkeypatch.context() as patch, pytest.raises(Cut):
            cut_in_step(patch, step)
            program.main(words(folder, *more, "--resume", "auto"))
        generators_elsewhere()
    # As the message of an interruption tells it.
    assert program.main(["--resume", str(runs(folder)[0])]) == 0
    assert len(runs(folder)) == 1 and len((runs(folder)[0] / "resumes.jsonl").read_text().splitlines()) == 2
    assert differences(runs(whole)[0], runs(folder)[0]) == []


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder / "series"


def test_a_run_is_not_gone_on_with_on_other_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second half of a training on other data is a third experiment that nobody planned."""
    folder = write(tmp_path / "series")
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_in_step(patch, 3)
        program.main(words(folder, "--checkpoint_steps", "1", "--batch_size", "32"))
    (run,) = runs(folder)
    write(folder, n=601)
    assert program.main(["--task_name", "forecast", "--resume", str(run)]) == 2
    assert "RESUME_MISMATCH" in capsys.readouterr().err
    assert program.main(words(folder, "--resume", "auto", "--batch_size", "32")) == 0
    assert len(runs(folder)) == 2


def test_best_weights_start_a_classifier_with_adaptation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """This is what pre-training is for: every tensor of the encoder arrives, the head alone is fresh."""
    folder = write(tmp_path / "series")
    assert program.main(words(folder, "--references", "none")) == 0
    best = runs(folder)[0] / "best.pt"
    make_table.write(tmp_path)
    table = ["--root_path", str(tmp_path), "--data_path", "table.csv", "--checkpoints", str(tmp_path / "rain")]
    start = ["--adaptation", "--pretrain_model_path", str(best)]
    assert program.main(["--preset", "smoke", "--use_norm", "--device", "cpu", *table, *start]) == 0
    count = len(torch.load(best))
    assert f"{count} of {count} tensors loaded from {best}, 6 fresh" in capsys.readouterr().out
    # And a forecaster goes on from it: at a rate of nothing its scores are those of the weights.
    again = ["--adaptation", "--pretrain_model_path", str(best), "--references", "none", "--learning_rate", "1e-12"]
    assert program.main(words(folder, *again)) == 0
    one, other = (json.loads((run / "scores.json").read_text())["test"]["mse"] for run in runs(folder))
    assert other == pytest.approx(one, rel=1e-5)


def test_a_finished_run_is_scored_again_also_at_another_horizon(tmp_path: Path) -> None:
    """Scores must follow from the run directory and the files alone."""
    folder = write(tmp_path / "series")
    assert program.main(words(folder, "--test_pred_len", "48", "--references", "persistence")) == 0
    (run,) = runs(folder)
    place = ["--task_name", "forecast", "--is_training", "0", "--checkpoints", str(folder.parent / "runs")]
    assert program.main([*place, "--references", "none"]) == 0
    (again,) = run.glob("scored-*/scores.json")
    first = json.loads((run / "scores.json").read_text())["test"]
    assert json.loads(again.read_text())["test"] == first
    again.parent.rename(run / "kept")
    assert program.main([*place, "--test_pred_len", "24"]) == 0
    (shorter,) = run.glob("scored-*/scores.json")
    # 24 more starts fit before the end of the test; a window begins every 5 rows in each of two channels.
    assert json.loads(shorter.read_text())["test"]["windows"] == 2 * len(range(0, 120 - 24 + 1, 5))
    assert first["windows"] == 2 * len(range(0, 120 - 48 + 1, 5))


def test_runs_on_series_are_not_taken_for_runs_that_say_whether_it_rains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their scores have no base rate; a comparison or a second scoring that met one would break."""
    folder = write(tmp_path / "series")
    assert program.main(words(folder, "--references", "none", "--itr", "2")) == 0
    assert len(runs(folder)) == 2 and len(list((folder.parent / "runs" / "own").glob("summary-*.json"))) == 1
    with pytest.raises(UsageError, match="do not say whether it rains"):
        reading.paths_of([str(folder.parent / "runs" / "own")])
    assert program.main(["--is_training", "0", "--checkpoints", str(folder.parent / "runs")]) == 2
    capsys.readouterr()
    assert program.main(["--task_name", "predict", "--run", str(runs(folder)[0])]) == 2
    assert "says nothing about rain" in capsys.readouterr().err


@pytest.mark.parametrize("row", [120, 299], ids=["in the look-back", "in what is to be forecast alone"])
def test_a_value_that_breaks_in_training_is_named_by_series_and_hour(tmp_path: Path, row: int) -> None:
    """NaN in a target spoils the loss as one in the input does; the verdict must find both."""
    folder = write(tmp_path / "series")
    training, data = training_of(folder, "--max_skipped_steps", "0"), load(folder)
    train, validation = (data.windows(split, LENGTHS) for split in (TRAIN, VALIDATION))
    if row == 299:
        (last,) = np.flatnonzero(train.index.start == 180)
        train = train.subset(torch.arange(int(last) + 1))
        train.table[-1] = float("nan")
    else:
        train.table[row] = float("nan")
    run = tmp_path / "run"
    run.mkdir()
    dimensions = Dimensions(0, 1, 96, 0, 2, 1, None)
    explain = SeriesExplainer(run, training.settings, dimensions, ("value",), Diagnosis())
    before = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
    training.settings = _in_one_step(training)
    with pytest.raises(NumericalError) as caught:
        training.fit(train, validation, run, explain, Keeping())
    hour = np.datetime64("2020-01-01T00:00:00") + np.timedelta64(row, "h")
    assert caught.value.code == "DATA_NAN" and f"{hour}, series some/a" in caught.value.where
    assert "--resume" in caught.value.next_command and "--fill" not in caught.value.next_command
    assert json.loads((run / "diagnosis.json").read_text())["verdict"]["code"] == "DATA_NAN"
    assert all(torch.equal(tensor, before[name]) for name, tensor in training.model.state_dict().items())


def test_the_size_of_micro_batches_is_that_of_the_precision_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half precision keeps half as much: counted in float32, the same memory would be left half empty."""
    folder = write(tmp_path / "series")
    training, data = training_of(folder, "--amp", "bf16"), load(folder)
    train, validation = (data.windows(split, LENGTHS) for split in (TRAIN, VALIDATION))
    plain, half = (
        measure(training.model, torch.nn.functional.mse_loss, train, precision) for precision in (None, torch.bfloat16)
    )
    memory = state_bytes(training.model) + int(half.of(128) / USABLE_SHARE) + 1
    monkeypatch.setattr("exp.micro_batches.total_memory", lambda _: memory)
    assert half.of(128) < plain.of(128)
    training.fit(train, validation, _made(tmp_path), None, Keeping())
    assert training.cost()["micro_batch_size"] == 128


def _in_one_step(training: ForecastTraining):
    """All windows in one step, so that the step in question is the first."""
    return replace(training.settings, trainer=replace(training.settings.trainer, batch_size=10_000))


def test_a_model_that_cannot_take_a_step_is_refused_before_it_begins(tmp_path: Path) -> None:
    """A broken weight is found before a run directory is made, under its own name."""
    folder = write(tmp_path / "series")
    training, windows = training_of(folder), load(folder).windows(TRAIN, LENGTHS)
    require_sound_step(training, windows, ("value",))
    with torch.no_grad():
        training.model.head.bias[0] = float("nan")
    with pytest.raises(ForeseenError) as caught:
        require_sound_step(training, windows, ("value",))
    assert caught.value.code == "WEIGHT_NONFINITE" and "head.bias" in caught.value.where


FAULTS = [
    (["--model", "timer_xl_classifier"], 2, "--model timer_xl"),
    (["--test_pred_len", "0"], 2, "--test_pred_len"),
    (["--references", "arima"], 2, "ridge"),
    (["--validation_score", "roc_auc"], 2, "--validation_score"),
    (["--seq_len", "12"], 2, "--seq_len"),
    (["--split_rows", "300", "400", "700"], 2, "--split_rows"),
    (["--is_training", "0"], 2, "no finished run"),
    (["--data_path", "absent.csv"], 3, "DATA_MISSING"),
    (["--exclude_series", "some*"], 3, "1 of them left out"),
    (["--test_pred_len", "480"], 3, "NO_WINDOWS"),
    (["--adaptation", "--pretrain_model_path", "absent.pt"], 4, "absent.pt"),
    (["--adaptation", "--pretrain_model_path", "WIDE"], 4, "CKPT_SHAPE"),
]


@pytest.mark.parametrize(("more", "code", "told"), FAULTS, ids=[" ".join(more) for more, _, _ in FAULTS])
def test_bad_input_ends_with_one_message_and_without_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, told: str
) -> None:
    """Found after hours, or as a traceback, the same fault costs a day."""
    folder = write(tmp_path / "series")
    config = timer_xl.Config(e_layers=1, d_model=32, d_ff=32, n_heads=2, input_token_len=24, output_token_len=24)
    torch.save(timer_xl.Model(config).state_dict(), tmp_path / "wide.pth")
    typed = [str(tmp_path / "wide.pth") if word == "WIDE" else word for word in more]
    assert program.main(words(folder, *typed)) == code
    said = capsys.readouterr().err
    assert told in said and "next:" in said and "Traceback" not in said and not runs(folder)


def test_the_diagnosis_of_a_training_on_series_is_refused_with_what_looks_at_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To hear of a prepared table that is missing, or of another model, helps nobody whose forecast met NaN."""
    folder = write(tmp_path / "series")
    assert program.main(words(folder, "--references", "none")) == 0
    (run,) = runs(folder)
    capsys.readouterr()
    places = ["--root_path", str(folder), "--device", "cpu"]
    for more, where in (
        (["--model", "timer_xl"], "--model timer_xl"),
        (["--split_rows", "300", "400", "500", "--references", "none"], "--split_rows, --references"),
        (["--run", str(run)], f"--run {run}"),
    ):
        assert program.main(["--task_name", "diagnose", *places, *more]) == 2
        said = capsys.readouterr().err
        assert said.startswith("CONFIG: The diagnosis looks at trainings that say whether it rains")
        assert f"where:    {where}\n" in said and "python run.py --task_name forecast --guard_level full" in said
    assert program.main(words(folder, "--references", "none", "--guard_level", "full")) == 0
    # OpenLTM's scripts give a forecast length whatever the task is.
    assert program.main(["--task_name", "diagnose", *places, "--test_pred_len", "2", "--preset", "smoke"]) == 3
    assert "DATA_MISSING" in capsys.readouterr().err


def test_help_shows_the_flags_of_a_forecast_to_a_forecast_alone() -> None:
    """Flags of rain and of series side by side would each seem to matter for both."""
    forecast, rain = (
        {name for group in shown_groups(task, model) for name in group.__dataclass_fields__}
        for task, model in (("forecast", "timer_xl"), ("classification", "timer_xl_classifier"))
    )
    assert {"split_rows", "references", "learning_rate", "e_layers", "resume"} <= forecast
    assert not {"sample_stride_hours", "fill", "loss"} & forecast and not {"split_rows", "references"} & rain


def test_the_help_of_a_forecast_shows_the_defaults_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever types the default that is shown must get what comes without it."""
    for task, model, experiment in (
        ("forecast", "timer_xl", "pretrained"),
        ("classification", "timer_xl_classifier", "peru_rainfall"),
    ):
        settings = command_line.read(["--task_name", task])
        assert (settings.run.model, settings.run.model_id) == (model, experiment)
        with pytest.raises(SystemExit):
            program.main(["--task_name", task, "--help"])
        shown = " ".join(capsys.readouterr().out.split())
        for name, default in (("model", model), ("model_id", experiment)):
            own = shown.partition(f"--{name} TEXT ")[2].partition(" --")[0]
            assert own.endswith(f"(default: {default})")
    assert "timer_xl" in shown.partition("--model TEXT ")[2].partition(" (default")[0].split("series: ")[1]


def test_a_run_keeps_the_experiment_that_it_was_begun_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default of a new run must not move a finished one, nor one that goes on."""
    folder = write(tmp_path / "series")
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_in_step(patch, 3)
        program.main(words(folder, "--checkpoint_steps", "1", "--batch_size", "32", "--references", "none"))
    (run,) = runs(folder)
    assert program.main(["--task_name", "forecast", "--resume", str(run)]) == 0
    assert json.loads((run / "config.json").read_text())["flags"]["model_id"] == "own"
    place = ["--checkpoints", str(folder.parent / "runs"), "--references", "none"]
    assert program.main(["--task_name", "forecast", "--is_training", "0", *place]) == 0
    assert list(run.glob("scored-*"))
    plain = [word for word in words(folder, "--references", "none") if word not in ("--model_id", "own")]
    assert program.main(plain) == 0
    assert len(list((folder.parent / "runs" / "pretrained").glob("timer_xl-seed0-*"))) == 1


def test_the_figure_is_drawn_and_names_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is passed on has to say what it shows."""
    from PIL import Image

    monkeypatch.setattr("exp.forecasting.find_spec", lambda _: object())
    folder = write(tmp_path / "series")
    assert program.main(words(folder, "--references", "persistence")) == 0
    with Image.open(runs(folder)[0] / "figures" / "forecasts.png") as picture:
        assert "1 series: some" in picture.info["Description"] and "persistence MSE" in picture.info["Description"]


def test_the_loop_counts_errors_where_there_are_no_classes(tmp_path: Path) -> None:
    """An accuracy beside a forecast of series would be a number without a meaning."""
    folder = write(tmp_path / "series")
    training, windows = training_of(folder), load(folder).windows(TRAIN, LENGTHS)
    settings = training.settings
    given = (training.model, training.objective(CPU), settings.trainer, settings.guard, windows)
    trainer = Trainer(*given, evaluate=lambda _: {}, seed=0)
    (row,) = trainer.fit()
    assert row["train_mae"] > 0 and "train_accuracy" not in row


def test_the_script_that_pretrains_leaves_ett_out_and_takes_later_words(tmp_path: Path) -> None:
    """What the script says is run as it stands; a file that must not be learned from would break the run here."""
    folder = write(tmp_path / "series", n=1200)
    (folder / "ETTh1.csv").write_text("not to be read")
    text = (Path(__file__).resolve().parents[2] / "scripts" / "pretrain.sh").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith('exec "$PYTHON" run.py ')]
    typed = shlex.split(line.removeprefix('exec "$PYTHON" run.py ').removesuffix('"$@"'))
    own = ["--root_path", str(folder), "--checkpoints", str(tmp_path / "runs"), "--device", "cpu"]
    assert program.main([*typed, *own, "--preset", "smoke"]) == 0
    (run,) = (tmp_path / "runs" / "pretrained").glob("timer_xl-seed0-*")
    config = json.loads((run / "config.json").read_text())
    assert [one["series"] for one in config["series"]] == ["some"] and config["flags"]["d_model"] == 16
    model = command_line.read(typed).model
    assert sum(weights.numel() for weights in timer_xl.Model(model).parameters()) * 4 < 8e6
