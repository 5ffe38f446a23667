"""What a run says to the checkpoint it is given: the program itself, from flags to exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import run as program
from exp import command_line, forecasters, transfer
from exp.forecasters import NetworkForecaster
from exp.settings import Dimensions
from tests import make_table
from tests.utils import checkpoint_files as files
from utils.errors import CheckpointError


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and a small run on it."""
    folder = tmp_path_factory.mktemp("trained")
    make_table.write(folder)
    assert program.main([*words(folder), "--model_id", "first"]) == 0
    return folder


def words(folder: Path) -> list[str]:
    given = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
    return [*given, "--preset", "smoke", "--device", "cpu", "--train_epochs", "1"]


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    (best,) = (folder / "runs" / "first").rglob("best.pt")
    return torch.load(best)


def attempt(
    folder: Path, weights: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str, list[dict[str, object]]]:
    """Train from a file; return exit code, all that was said, and the rows of metrics.jsonl."""
    before = set((folder / "runs").rglob("metrics.jsonl"))
    capsys.readouterr()
    code = program.main([*words(folder), "--adaptation", "--pretrain_model_path", str(weights), *more])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    rows = [json.loads(line) for path in set((folder / "runs").rglob("metrics.jsonl")) - before
            for line in path.read_text().splitlines()]  # fmt: skip
    return code, said.out + said.err, rows


def test_a_training_state_and_prefixed_names_train_like_the_plain_file(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The wrapping must not change a digit, and the run says what it took off."""
    state = state_of(trained)
    torch.save(state, tmp_path / "plain.pth")
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "prefixed.pth")
    torch.save(files.training_state(state), tmp_path / "whole.pth")
    losses = {}
    for name in ("plain", "prefixed", "whole"):
        code, said, rows = attempt(trained, tmp_path / f"{name}.pth", capsys)
        assert code == 0 and f"{len(state)} of {len(state)} tensors loaded" in said
        assert said.count("prefix 'module.'") == (name == "prefixed") and said.count("taken from") == (name == "whole")
        losses[name] = [(row["train_loss"], row["validation_loss"]) for row in rows]
    assert losses["plain"] and losses["plain"] == losses["prefixed"] == losses["whole"]


def _spoiled(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(state | {"head.weight": torch.full_like(state["head.weight"], float("nan"))}, path)


def _wide(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(files.sound(width=64), path)


def _cut(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-100])


def _later(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save({"schema_version": 99, "model_state_dict": state}, path)


def _bomb(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(state | {"x": files.Bomb(path.with_name("canary"))}, path)


FAULTS: list[tuple[Callable[[dict[str, torch.Tensor], Path], object], str, str]] = [
    (lambda state, path: path.write_text(files.POINTER), "CKPT_NOT_A_CHECKPOINT", "git lfs pull"),
    (_cut, "CKPT_TRUNCATED", "compare the sizes"),
    (_bomb, "CKPT_UNSAFE", "pathlib"),
    (lambda state, path: files.huge_view(path), "CKPT_LIMIT", "1 tensors of 4000000000000 bytes"),
    (_spoiled, "CKPT_NONFINITE", "head.weight"),
    (_wide, "CKPT_SHAPE", "--d_model 64"),
    (lambda state, path: torch.save(files.hugging_face(), path), "CKPT_LAYOUT", "timer-base-84m"),
    (lambda state, path: torch.save({"net.a": torch.ones(2)}, path), "CKPT_COVERAGE", "0 of "),
    (_later, "CKPT_VERSION", "99"),
]


@pytest.mark.parametrize(("write", "cause", "evidence"), FAULTS, ids=[cause for _, cause, _ in FAULTS])
def test_a_checkpoint_that_cannot_be_used_ends_the_run_with_4_before_it_begins(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], write, cause: str, evidence: str
) -> None:
    """Hours of training on weights that were never loaded is the dearest way to find out."""
    path = tmp_path / "weights.pth"
    write(state_of(trained), path)
    before = path.read_bytes()
    code, said, rows = attempt(trained, path, capsys)
    assert code == 4 and cause in said and evidence in said and "next:" in said and not rows
    assert path.read_bytes() == before and not (tmp_path / "canary").exists()


def test_a_suspect_checkpoint_is_warned_of_and_used(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finite and absurd may be wanted; silent it must not be."""
    state = state_of(trained)
    torch.save({name: torch.zeros_like(value) for name, value in state.items()}, tmp_path / "zeros.pth")
    code, said, _ = attempt(trained, tmp_path / "zeros.pth", capsys)
    assert code == 0 and said.count("CKPT_SUSPECT") == 1 and "are zero" in said


def test_a_directory_is_told_as_one(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run's directory instead of its best.pt exists, so 'there is no such file' would send the user astray."""
    torch.save({}, tmp_path / "best.pt")
    code, said, _ = attempt(trained, tmp_path, capsys)
    assert code == 4 and "CKPT_NOT_A_CHECKPOINT" in said and "best.pt" in said


def test_a_file_that_broke_after_the_checks_is_not_trained_from(trained: Path, tmp_path: Path) -> None:
    """The file is read a second time when the training begins."""
    path = tmp_path / "weights.pth"
    _spoiled(state_of(trained), path)
    settings = command_line.read([*words(trained), "--adaptation", "--pretrain_model_path", str(path)])
    dimensions = Dimensions(n_classes=2, n_variables=5, context_length=96, n_marks=6, n_regions=2, step_hours=1,
                            pressure_index=None)  # fmt: skip
    forecaster = forecasters.build(settings, dimensions, torch.device("cpu"))
    with pytest.raises(CheckpointError) as caught:
        transfer.load(forecaster, settings)
    assert caught.value.code == "CKPT_NONFINITE"


def test_every_tensor_of_the_checkpoint_arrives_and_the_fresh_ones_alone_are_left(trained: Path) -> None:
    """Names that match prove nothing: filled with NaN before, nothing that was loaded may be NaN after."""
    settings = command_line.read([*words(trained), "--adaptation"])
    dimensions = Dimensions(2, 5, 96, 6, 2, 1, 2)
    forecaster = forecasters.build(settings, dimensions, torch.device("cpu"))
    assert isinstance(forecaster, NetworkForecaster)
    own = forecaster.model.state_dict()
    encoder = {name: torch.rand_like(value) for name, value in own.items() if not name.startswith(transfer.FRESH_PARTS)}
    with torch.no_grad():
        for value in own.values():
            value.fill_(float("nan"))
    transfer.load(forecaster, settings, encoder)
    loaded = {name for name, value in forecaster.model.state_dict().items() if bool(value.isfinite().all())}
    assert loaded == set(encoder) and len(loaded) < len(own)
    assert all(torch.equal(forecaster.model.state_dict()[name], value) for name, value in encoder.items())
