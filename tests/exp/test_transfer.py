"""The plan of what a checkpoint becomes, tensor by tensor, and what transfer refuses: one message that helps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import models
import run as program
from exp import command_line, forecasters, transfer
from exp.forecasters import NetworkForecaster
from exp.settings import Dimensions
from exp.stages import Stages
from exp.transfer_config import TransferConfig
from models import timer_xl
from tests import make_table
from tests.utils import checkpoint_files as files
from utils import get_checkpoint
from utils.errors import UsageError

Tensors = dict[str, torch.Tensor]
# The sizes of the preset `smoke`, with two layers so that one of them can be left out.
SIZES = {"layers": 2, "width": 16, "heads": 2, "token": 24, "hidden": 32}
QUICK = ["--preset", "smoke", "--e_layers", "2", "--device", "cpu"]
OF_A_LAYER = 17


def classifier(**changes: int) -> Tensors:
    """Return the state dict of a whole classifier of these sizes."""
    flags = {"e_layers": 2, "d_model": 16, "d_ff": 32, "n_heads": 2, "input_token_len": 24, "output_token_len": 24,
             "n_classes": 2, "n_variables": 5, "n_marks": 6, "step_hours": 1}  # fmt: skip
    torch.manual_seed(0)
    return models.build("timer_xl_classifier", SimpleNamespace(**(flags | changes))).state_dict()


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    path = tmp_path / "encoder.pth"
    torch.save(files.sound(**SIZES), path)
    return path


def loaded(path: Path, *words: str) -> tuple[transfer.LoadPlan, Tensors]:
    """Load a file into a new model; return the plan and the model's tensors."""
    settings = command_line.read([*QUICK, "--adaptation", "--pretrain_model_path", str(path), *words])
    torch.manual_seed(1)
    forecaster = forecasters.build(settings, Dimensions(2, 5, 96, 6, 2, 1, 2), torch.device("cpu"))
    assert isinstance(forecaster, NetworkForecaster)
    plan = transfer.load(forecaster, settings)
    assert plan is not None
    return plan, forecaster.model.state_dict()


def test_the_plan_has_a_line_with_a_reason_for_every_tensor_of_model_and_file_and_its_totals_add_up(
    encoder: Path,
) -> None:
    """A tensor without a line is one of which nobody knows whether it was loaded."""
    plan, own = loaded(encoder, "--load_parts", "embedding,layers.0")
    given = files.sound(**SIZES)
    rows = {row.name: row for row in plan.rows}
    assert set(rows) == set(own) | set(given) and len(plan.rows) == len(rows)
    taken = {name for name in given if name.startswith(("embedding.", "blocks.attn_layers.0."))}
    assert set(plan.names("loaded")) == taken and len(taken) == OF_A_LAYER + 2
    reasons = {(row.decision, row.reason) for row in plan.rows}
    assert reasons == {
        ("loaded", "same name and shape"), ("fresh", "not in --load_parts"), ("fresh", "not in the file")
    }  # fmt: skip
    assert all(rows[name].reason == "not in the file" for name in own if name.startswith("classifier."))
    assert all(rows[name].shape == tuple(value.shape) for name, value in own.items())
    content = plan.to_json()
    assert sum(part["tensors"] for part in content["totals"].values()) == len(plan.rows)
    sizes = {name: sum(given[key].numel() for key in plan.names(name)) for name in ("loaded",)}
    assert content["totals"]["loaded"] == {"tensors": len(taken), "parameters": sizes["loaded"]}


def test_what_the_model_has_no_place_for_is_told_as_left_out(tmp_path: Path) -> None:
    """With --load_parts the rest of the file is not an error; it must not go unsaid either."""
    torch.save(files.sound(**(SIZES | {"layers": 3})), tmp_path / "three.pth")
    plan, _ = loaded(tmp_path / "three.pth", "--load_parts", "embedding")
    left_out = plan.names("left out")
    assert len(left_out) == OF_A_LAYER and all(name.startswith("blocks.attn_layers.2.") for name in left_out)
    assert f"{OF_A_LAYER} left out" in plan.summary and plan.to_json()["totals"]["left out"]["tensors"] == OF_A_LAYER


def test_only_what_the_plan_calls_loaded_has_changed(encoder: Path) -> None:
    """A plan that is told and not kept to is worse than none."""
    settings = command_line.read(QUICK)
    torch.manual_seed(1)
    before = forecasters.build(settings, Dimensions(2, 5, 96, 6, 2, 1, 2), torch.device("cpu"))
    assert isinstance(before, NetworkForecaster)
    plan, after = loaded(encoder, "--load_parts", "norm,layers.1")
    given = files.sound(**SIZES)
    for name, value in before.model.state_dict().items():
        expected = given[name] if name in plan.names("loaded") else value
        assert torch.equal(after[name], expected), name


def prefixed(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda weights: {prefix + name: value for name, value in weights.items()}


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda weights: dict(reversed(weights.items())), ""),
        (prefixed("module."), "'module.'"),
        (prefixed("model."), "'model.'"),
        (prefixed("backbone."), "'backbone.'"),
        (prefixed("model.backbone."), "'model.backbone.'"),
        (prefixed("_orig_mod.module."), "'_orig_mod.module.'"),
        (lambda weights: {"state_dict": weights, "epoch": 3}, "'state_dict'"),
        (lambda weights: {"model_state_dict": weights, "loss": 0.3}, "'model_state_dict'"),
        (lambda weights: {"state_dict": prefixed("backbone.")(dict(reversed(weights.items())))}, "'backbone.'"),
    ],
)
def test_order_prefixes_and_wrappers_change_neither_plan_nor_weights(
    tmp_path: Path, encoder: Path, wrap: Callable[[Tensors], object], said: str
) -> None:
    """The file is right; only the tool that wrote it differs. What was taken off stands in the plan."""
    torch.save(wrap(files.sound(**SIZES)), tmp_path / "wrapped.pth")
    plain_plan, plain = loaded(encoder)
    plan, own = loaded(tmp_path / "wrapped.pth")
    assert {(row.name, row.decision, row.reason) for row in plan.rows} == {
        (row.name, row.decision, row.reason) for row in plain_plan.rows
    }
    assert all(torch.equal(own[name], value) for name, value in plain.items())
    assert plain_plan.note == "" and said in plan.note and bool(plan.note) == bool(said)
    assert plan.to_json()["unwrapped"] == plan.note


class Project:
    """A table, files to start from, and the program.

    Args:
        folder: an empty folder.
        capsys: of the test.
    """

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        make_table.write(folder)
        torch.save(files.sound(**SIZES), folder / "encoder.pth")
        torch.save(files.sound(**(SIZES | {"width": 32})), folder / "wide.pth")
        torch.save(files.sound(**(SIZES | {"layers": 3})), folder / "deep.pth")
        torch.save(files.hugging_face(), folder / "variant.pth")
        torch.save({f"net.{name}": value for name, value in files.sound(**SIZES).items()}, folder / "other.pth")
        torch.save(classifier(n_classes=3), folder / "three_classes.pth")
        torch.save(classifier(last_hours=24), folder / "other_head.pth")

    def run(self, words: str) -> tuple[int, str, str]:
        """Run the program; return exit code, what it showed and what it complained of."""
        places = ["--root_path", str(self.folder), "--data_path", "table.csv"]
        places += ["--checkpoints", str(self.folder / "runs")]
        code = program.main([*QUICK, *places, *words.replace("@", f"{self.folder}/").split()])
        said = self.capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    def left(self) -> list[str]:
        """Return the files of runs, but for diagnoses."""
        return [path.name for path in (self.folder / "runs").rglob("*") if path.is_file() and path.stem != "diagnosis"]


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    return Project(tmp_path, capsys)


START = "--adaptation --pretrain_model_path "
# Words, exit code, cause, what the last line says to type, and the words with that typed.
ROWS = {
    "another width": (f"{START}@wide.pth", 4, "CKPT_SHAPE", "--d_model 32", f"{START}@wide.pth --d_model 32"),
    "more layers": (f"{START}@deep.pth", 4, "CKPT_SHAPE", "--e_layers 3", f"{START}@deep.pth --e_layers 3"),
    "the variant": (f"{START}@variant.pth", 4, "CKPT_LAYOUT", "leave out --adaptation", ""),
    "other names": (f"{START}@other.pth", 4, "CKPT_COVERAGE", "the released checkpoint: --e_layers 8", None),
    "three classes": (
        f"{START}@three_classes.pth", 4, "CKPT_SHAPE", "--load_parts encoder",
        f"{START}@three_classes.pth --load_parts encoder",
    ),
    "a head with other flags": (
        f"{START}@other_head.pth", 4, "CKPT_", "--load_parts encoder", f"{START}@other_head.pth --load_parts encoder",
    ),
    "a part that is none": (
        f"{START}@encoder.pth --load_parts embeding", 2, "CONFIG", "--load_parts embedding",
        f"{START}@encoder.pth --load_parts embedding",
    ),
    "layers that are none": (
        f"{START}@encoder.pth --load_parts layers.0-9", 2, "CONFIG", "--load_parts layers",
        f"{START}@encoder.pth --load_parts layers",
    ),
    "a part the file has not": (
        f"{START}@encoder.pth --load_parts embedding,classifier", 4, "CKPT_COVERAGE", "--load_parts embedding",
        f"{START}@encoder.pth --load_parts embedding",
    ),
    "parts of nothing": (
        "--load_parts embedding", 2, "CONFIG", "add --adaptation", f"{START}@encoder.pth --load_parts embedding"
    ),
    "a schedule longer than the run": (
        "--unfreeze_schedule 4:layers.1 --train_epochs 3", 2, "CONFIG", "--train_epochs 4",
        "--unfreeze_schedule 4:layers.1 --train_epochs 4",
    ),
    "a schedule of a part that is none": (
        "--unfreeze_schedule 1:layers.7", 2, "CONFIG", "--unfreeze_schedule 1:layers.",
        "--unfreeze_schedule 1:layers.1",
    ),
    "a schedule in other words": (
        "--unfreeze_schedule layers.1", 2, "CONFIG", "--unfreeze_schedule 12:layers.6-7", None
    ),
    "an encoder frozen for the whole run": (
        "--freeze_encoder_epochs 3 --train_epochs 3", 2, "CONFIG", "--tune head", "--tune head --train_epochs 3"
    ),
    "more layers to tune than there are": ("--tune layers:5", 2, "CONFIG", "--tune layers:2", "--tune layers:2"),
    "a model without an encoder to freeze": (
        "--model resnet1d --tune head", 2, "CONFIG", "--model timer_xl_classifier",
        "--model timer_xl_classifier --tune head",
    ),
    "a model without an encoder to load into": (
        f"--model resnet1d {START}@encoder.pth", 2, "CONFIG", "--model timer_xl_classifier",
        f"--model timer_xl_classifier {START}@encoder.pth",
    ),
    "no value for the path": ("--adaptation --pretrain_model_path", 2, "CONFIG", "python run.py --help", "--help"),
    "a folder for the path": (f"{START}@", 4, "CKPT_NOT_A_CHECKPOINT", "deep.pth", f"{START}@encoder.pth"),
    "a file that is not there": (f"{START}@absent.pth", 4, "CKPT_MISSING", "bash scripts/get_checkpoint.sh FILE", None),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROWS)
def test_what_transfer_cannot_do_is_one_message_and_what_it_says_to_type_works(project: Project, kind: str) -> None:
    """Two messages hide each other, a run directory looks like a run, and advice that fails costs a second evening."""
    words, expected, cause, advice, mended = ROWS[kind]
    code, _, said = project.run(words)
    causes = re.findall(r"^[A-Z][A-Z_]+: ", said, flags=re.MULTILINE)
    assert code == expected and len(causes) == 1 and said.startswith(cause), said
    assert said.count("\n  next:     ") == 1 and advice in said.rpartition("  next: ")[2]
    assert project.left() == []
    if mended == "--help":
        with pytest.raises(SystemExit) as ended:
            project.run(mended)
        assert ended.value.code == 0
    elif mended is not None:
        code, shown, said = project.run(f"{mended} --task_name diagnose")
        assert code == 0, shown + said


def test_the_file_that_is_missing_is_got_with_the_script_that_the_message_names(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--adaptation alone takes the usual place; the script puts a file there, and the same command works."""
    monkeypatch.chdir(project.folder)
    code, _, said = project.run("--adaptation")
    assert code == 4 and said.startswith("CKPT_MISSING") and "checkpoints/timer_xl/checkpoint.pth" in said
    assert "bash scripts/get_checkpoint.sh FILE" in said and "checkpoints/README.md" in said
    assert get_checkpoint.main(["encoder.pth"]) == 0
    project.capsys.readouterr()
    code, shown, said = project.run("--adaptation --task_name diagnose")
    assert code == 0, shown + said


def test_a_classifier_given_to_a_forecaster_is_told_as_one(project: Project) -> None:
    """A file of another task fits in every tensor of the encoder, and still is another model."""
    words = f"--task_name forecast {START}@three_classes.pth"
    code, _, said = project.run(words)
    assert code == 4 and said.startswith("CKPT_COVERAGE: The encoder of the checkpoint fits") and not project.left()
    advice = said.rpartition("start a classifier from it: ")[2].strip()
    code, shown, said = project.run(f"{advice} --pretrain_model_path @three_classes.pth --dry_run")
    assert code == 0, shown + said


def test_a_model_that_is_all_encoder_cannot_be_frozen_whole() -> None:
    """Nothing would learn, for as many epochs as were paid for."""
    flags = timer_xl.Config(e_layers=2, d_model=16, d_ff=32, n_heads=2, input_token_len=24, output_token_len=24)
    with pytest.raises(UsageError) as caught:
        Stages(timer_xl.Model(flags), TransferConfig(tune="head"), 3)
    assert "everything is frozen" in str(caught.value) and "--tune full" in caught.value.next_command


def test_the_plan_is_kept_with_the_run(project: Project) -> None:
    """What a score rests on must be found in a year, in the words that were said on the day."""
    torch.save({"state_dict": prefixed("backbone.")(files.sound(**SIZES))}, project.folder / "wrapped.pth")
    code, shown, _ = project.run(f"{START}@wrapped.pth --load_parts embedding,layers.0")
    (path,) = (project.folder / "runs").rglob(transfer.PLAN_FILE)
    content = json.loads(path.read_text())
    assert code == 0 and content["summary"] in shown and "prefix 'backbone.'" in content["unwrapped"]
    assert content["source"] == str(project.folder / "wrapped.pth")
    named = [row["name"] for row in content["tensors"] if row["decision"] == "loaded"]
    assert len(named) == content["totals"]["loaded"]["tensors"] == OF_A_LAYER + 2
    assert all(row["reason"] and row["shape"] is not None for row in content["tensors"])
    weights = torch.load(path.parent / "best.pt", weights_only=True)
    assert set(weights) == {row["name"] for row in content["tensors"] if row["decision"] != "left out"}
