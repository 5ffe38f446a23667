"""A run that was cut and resumed ends bitwise like one that was not, and refuses to mix two experiments."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import run as program
from exp import training_state
from exp.forecasters import NetworkForecaster
from exp.guard import Guard
from exp.trainer import Trainer
from tests import make_table
from tests.run_ends import differences
from utils import checkpoint

pytestmark = pytest.mark.usefixtures("without_figures")
WORDS = ["--preset", "smoke", "--batch_size", "8", "--train_epochs", "3", "--dropout", "0.2", "--learning_rate", "0.01"]
NETWORKS = {
    "timer_xl": [],
    "micro batches and bf16": ["--micro_batch_size", "3", "--amp", "bf16", "--cosine", "--warmup_epochs", "0.5"],
    "batch norm": ["--model", "resnet1d"],
    "float16, told a step late": ["--amp", "fp16", "--model", "resnet1d", "--guard_level", "full"],
}


class Cut(BaseException):
    """The run ends here, as if the process had been killed."""


class Project:
    """A folder with a table and runs of the program on it.

    Args:
        folder: an empty folder.
        words: flags of every run.
    """

    def __init__(self, folder: Path, words: list[str] | None = None) -> None:
        self.folder, self.words = folder, [*WORDS, *(words or [])]
        folder.mkdir(exist_ok=True)
        make_table.write(folder)

    def start(self, *words: str) -> int:
        """Run the program with all flags; return the exit code."""
        places = [
            "--root_path",
            str(self.folder),
            "--data_path",
            "table.csv",
            "--checkpoints",
            str(self.folder / "runs"),
        ]
        return program.main([*self.words, *places, *words])

    def cut_at(self, step: int, monkeypatch: pytest.MonkeyPatch, *words: str) -> Path:
        """Start a run that is cut in this attempted step; return its directory."""
        with monkeypatch.context() as patch:
            cut_in_step(patch, step)
            with pytest.raises(Cut):
                self.start(*words)
        return self.runs()[-1]

    def runs(self) -> list[Path]:
        """Return the runs, oldest first."""
        return sorted((path.parent for path in self.folder.glob("runs/*/*/config.json")), key=lambda run: run.name)


def cut_in_step(patch: pytest.MonkeyPatch, step: int) -> None:
    """Let a run end in the middle of an attempted step."""
    usual = Trainer._backward

    def backward(trainer: Trainer, ids: torch.Tensor, of: torch.Tensor):
        answer = usual(trainer, ids, of)
        if trainer.step_number + 1 == step:
            raise Cut
        return answer

    patch.setattr(Trainer, "_backward", backward)


def generators_elsewhere() -> None:
    """Draw from every generator, as another process would stand elsewhere in them."""
    random.random()
    np.random.random()
    torch.rand(3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    project = Project(tmp_path_factory.mktemp("whole"))
    assert project.start() == 0
    return project.runs()[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_cut_twice_in_one_epoch_ends_bitwise_like_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A difference in weights, moments, generators, metrics or forecasts shows that something is not kept."""
    if "late" in name:
        monkeypatch.setattr("exp.trainer.Guard", partial(Guard, reads_late=True))
    whole = Project(tmp_path / "a", NETWORKS[name])
    assert whole.start() == 0
    project = Project(tmp_path / "b", NETWORKS[name])
    saves = ["--checkpoint_steps", "3"]
    run = project.cut_at(14, monkeypatch, *saves)
    generators_elsewhere()
    assert project.cut_at(17, monkeypatch, "--resume", str(run), *saves) == run
    generators_elsewhere()
    assert project.start("--resume", "auto", *saves) == 0
    assert project.runs() == [run] and differences(whole.runs()[0], run) == []
    assert [json.loads(line)["step"] for line in (run / "resumes.jsonl").read_text().splitlines()] == [12, 15]


def test_a_generator_that_is_not_put_back_is_seen_by_the_comparison(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: a comparison that finds nothing here would find nothing anywhere."""
    project = Project(tmp_path)
    run = project.cut_at(14, monkeypatch, "--checkpoint_steps", "3")
    generators_elsewhere()
    with monkeypatch.context() as patch:
        patch.setattr(training_state, "restore_generators", lambda states, device: None)
        assert project.start("--resume", str(run)) == 0
    found = differences(whole, run)
    assert any("model_state_dict" in name for name in found) and any("rng_state" in name for name in found)


@pytest.mark.parametrize("moment", ["validation", "between best.pt and last.pt", "scoring"])
def test_a_run_cut_outside_its_steps_ends_bitwise_like_the_whole_one(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """An epoch lasts longer than its steps: validation, two saves, and at the end the scores."""
    project = Project(tmp_path)
    with monkeypatch.context() as patch:
        cut_at_moment(patch, moment)
        with pytest.raises(Cut):
            project.start("--checkpoint_steps", "4")
    generators_elsewhere()
    (run,) = project.runs()
    assert project.start("--resume", str(run)) == 0
    assert differences(whole, run) == []


def cut_at_moment(patch: pytest.MonkeyPatch, moment: str) -> None:
    """Let a run end in its second validation, after its second best.pt, or while it is scored."""
    calls = 0

    def cut(*_: object, **__: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2 or moment == "scoring":
            raise Cut

    if moment == "validation":
        usual = NetworkForecaster._validate
        patch.setattr(NetworkForecaster, "_validate", lambda *a: [usual(*a), cut()][0])
    elif moment == "scoring":
        patch.setattr("exp.scoring.evaluate", cut)
    else:
        patch.setattr("exp.state_keeper.StateKeeper.epoch_ended", cut_then_save(cut))


def cut_then_save(cut: Callable[[], None]) -> Callable:
    """Return an end of epoch that is cut before the state is written."""
    from exp.state_keeper import StateKeeper

    usual = StateKeeper.epoch_ended

    def epoch_ended(keeper: StateKeeper, trainer: Trainer) -> None:
        cut()
        usual(keeper, trainer)

    return epoch_ended


def test_a_file_of_an_earlier_epoch_is_gone_on_from_and_what_came_later_is_kept(tmp_path: Path, whole: Path) -> None:
    """Going back before a fault must not cost the only copy of what came after it."""
    project = Project(tmp_path)
    assert project.start("--save_every_epochs", "1") == 0
    (run,) = project.runs()
    later = {name: (run / name).read_bytes() for name in ("last.pt", "scores.json", "metrics.jsonl")}
    assert project.start("--resume", str(run / "checkpoint_epoch_1.pt"), "--save_every_epochs", "1") == 0
    (aside,) = run.glob("before-resume-*")
    assert {name: (aside / name).read_bytes() for name in later} == later
    assert (aside / "checkpoint_epoch_2.pt").is_file() and (run / "checkpoint_epoch_3.pt").is_file()
    assert differences(whole, run) == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--learning_rate", "0.02"], "--learning_rate"),
        (["--encoder_features", "states"], "--encoder_features"),
        (["--train_epochs", "9"], "--train_epochs"),
    ],
)
def test_p8_other_flags_are_refused_with_a_table_of_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], name: str
) -> None:
    """A run that changes its rate half-way is neither of two experiments."""
    project = Project(tmp_path)
    run = project.cut_at(5, monkeypatch, "--checkpoint_steps", "3")
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.name != "train.log"}
    assert project.start("--resume", str(run), *words) == 2
    said = capsys.readouterr().err
    assert said.startswith("RESUME_MISMATCH") and name in said and "run:" in said and "now:" in said
    assert "--allow_resume_changes" in said
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.name != "train.log"} == before


def test_p8_another_table_is_refused_and_a_flag_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data that were mended in between are other data: the scores before and after do not belong together."""
    project = Project(tmp_path)
    run = project.cut_at(5, monkeypatch, "--checkpoint_steps", "3")
    content = make_table.frame()
    content.loc[5, "t2m"] += 1
    make_table.write(tmp_path, content=content)
    assert project.start("--resume", str(run)) == 2
    said = capsys.readouterr().err
    assert said.startswith("RESUME_MISMATCH") and "SHA-256" in said
    assert project.start("--resume", "auto") == 0 and len(project.runs()) == 2, "auto starts anew on another table"
    assert project.start("--resume", str(run), "--allow_resume_changes") == 0
    assert "RESUME_MISMATCH allowed" in capsys.readouterr().out


def test_p8_features_in_another_order_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same columns in another order would feed pressure to the weights of temperature, without a word."""
    project = Project(tmp_path)
    run = project.cut_at(5, monkeypatch, "--checkpoint_steps", "3")
    content = make_table.frame()
    make_table.write(tmp_path, content=content[[*content.columns[:2], "t2m", "tp", *content.columns[4:]]])
    assert project.start("--resume", str(run), "--allow_resume_changes", "no") == 2
    assert capsys.readouterr().err.startswith("RESUME_MISMATCH")


def test_auto_starts_anew_and_says_so_where_nothing_was_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script can hold --resume auto from the first day."""
    project = Project(tmp_path)
    assert project.start("--resume", "auto") == 0
    assert "starting anew" in capsys.readouterr().out
    assert project.start("--resume", "auto") == 0 and len(project.runs()) == 2, "a finished run is not resumed"


def test_auto_goes_on_with_the_seed_that_was_cut_and_keeps_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three seeds over a night: the second was cut, the first need not be done again."""
    project = Project(tmp_path)
    assert project.start("--seed", "0") == 0
    cut = project.cut_at(8, monkeypatch, "--seed", "1", "--checkpoint_steps", "3")
    assert project.start("--itr", "3", "--resume", "auto") == 0
    seeds = {run.name.split("-seed")[1][0] for run in project.runs()}
    assert seeds == {"0", "1", "2"} and len(project.runs()) == 3
    assert (cut / "scores.json").is_file()
    (summary,) = (tmp_path / "runs" / "peru_rainfall").glob("summary-*.json")
    assert json.loads(summary.read_text())["seeds"] == [0, 1, 2]


def test_p6_a_broken_newest_file_is_passed_over_and_said(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A drive that was torn off leaves its newest file broken, and the one before it whole."""
    project = Project(tmp_path)
    run = project.cut_at(14, monkeypatch, "--checkpoint_steps", "3")
    damaged = bytearray((run / "last.pt").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (run / "last.pt").write_bytes(damaged)
    assert project.start("--resume", str(run)) == 0
    said = capsys.readouterr().out
    assert "passed over: CKPT_HASH_MISMATCH" in said and "RESUMED at step 10" in said and "last_good.pt" in said
    assert differences(whole, run) == []


def test_a_run_without_any_state_that_verifies_is_refused_with_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is guessed: each file is named with what is wrong with it."""
    project = Project(tmp_path)
    run = project.cut_at(14, monkeypatch, "--checkpoint_steps", "3")
    for name in ("last.pt", "last_good.pt"):
        (run / name).write_bytes((run / name).read_bytes()[:-300])
    assert project.start("--resume", str(run)) == 4
    said = capsys.readouterr().err
    assert "last.pt" in said and "last_good.pt" in said


@pytest.mark.parametrize("place", ["nowhere", "empty", "finished", "weights"])
def test_what_cannot_be_resumed_is_told_by_name(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """Each has another next step."""
    project = Project(tmp_path)
    run = tmp_path / "copy"
    shutil.copytree(whole, run)
    (tmp_path / "empty").mkdir()
    named = {"nowhere": tmp_path / "x", "empty": tmp_path / "empty", "finished": run, "weights": run / "best.pt"}[place]
    code, said = project.start("--resume", str(named)), capsys.readouterr().err
    assert (code, said.split(":")[0]) == ((4, "CKPT_INCOMPLETE") if place == "weights" else (2, "CONFIG"))
    assert ("finished" in said) is (place == "finished")


def test_the_best_weights_are_written_as_safetensors_on_request(tmp_path: Path) -> None:
    """Other tools read them without torch; the same numbers as in best.pt."""
    project = Project(tmp_path)
    assert project.start("--save_safetensors", "--train_epochs", "1") == 0
    (run,) = project.runs()
    plain, other = checkpoint.load(run / "best.pt"), checkpoint.load(run / "best.safetensors")
    assert plain.keys() == other.keys() and all(torch.equal(plain[name], other[name]) for name in plain)
    assert checkpoint.metadata(run / "best.safetensors")["epoch"] == "1"


def test_a_finished_run_is_trained_longer_from_its_last_state(tmp_path: Path, whole: Path) -> None:
    """Three epochs were too few: the fourth follows, and the scores of the three are kept."""
    project = Project(tmp_path)
    assert project.start() == 0
    (run,) = project.runs()
    assert project.start("--resume", str(run / "last.pt"), "--train_epochs", "4", "--allow_resume_changes") == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    (aside,) = run.glob("before-resume-*")
    assert (aside / "scores.json").is_file() and (run / "scores.json").is_file()


def test_a_state_of_a_gpu_goes_on_on_the_cpu_and_says_that_it_is_not_bitwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained on a borrowed card, finished on a laptop."""
    project = Project(tmp_path)
    run = project.cut_at(14, monkeypatch, "--checkpoint_steps", "3")
    state = checkpoint.load(run / "last.pt")
    state["device"] = "NVIDIA T4"
    state["rng_state"]["cuda"] = torch.zeros(16, dtype=torch.uint8)
    checkpoint.save(run / "last.pt", state, metadata=checkpoint.metadata(run / "last.pt"))
    assert project.start("--resume", str(run)) == 0
    assert "saved on NVIDIA T4 and goes on on cpu: not bitwise" in capsys.readouterr().out


def test_numpy_draws_the_same_after_its_generator_is_put_back() -> None:
    """The second normal of a pair is kept by NumPy beside its key; without it the next draw differs."""
    from utils.reproducibility import generator_states, restore_generators

    np.random.standard_normal()
    random.gauss(0, 1)
    states = generator_states(torch.device("cpu"))
    first = (np.random.standard_normal(3).tolist(), random.gauss(0, 1), random.random(), torch.rand(2).tolist())
    restore_generators(states, torch.device("cpu"))
    assert first == (np.random.standard_normal(3).tolist(), random.gauss(0, 1), random.random(), torch.rand(2).tolist())
