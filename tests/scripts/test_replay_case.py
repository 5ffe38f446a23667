"""The replay shows what it claims: the counts of the case, one deadly step, its opposite, a clean run, a page."""

from __future__ import annotations

import ast
import math
import typing
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from data_provider.synthetic_case import SyntheticCaseConfig, write_synthetic_case
from exp.settings import TaskName
from scripts.replay_case import commands, page, pictures, reenactment, stacked
from scripts.replay_case.__main__ import require_claims
from scripts.replay_case.commands import CleanRun, Diagnosis
from scripts.replay_case.reenactment import Reenactment
from scripts.replay_case.stacked import StackedTable
from utils.errors import ForeseenError

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("models", "layers", "data_provider", "exp", "utils", "scripts")
BATCHES = 3
# A verdict in the words of this test; what the diagnosis says is tested where the diagnosis is.
VERDICT = {
    "code": "DATA_NAN",
    "what": "9 columns are blank in the first rows of each region.",
    "where": "tp_lag_3d <first rows>",
    "evidence": "180 missing values",
    "next": "--fill forward",
    "rules_out": ["No checkpoint was loaded.", "No step was taken."],
    "figures": {"stacked": {"windows": 6224, "windows_touched": 3989}},
}


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of the case."""
    output = tmp_path_factory.mktemp("case") / "synthetic_case.nc"
    return write_synthetic_case(SyntheticCaseConfig(output=str(output)))


@pytest.fixture(scope="module")
def table(csv: Path) -> StackedTable:
    """The table as the notes read it."""
    return stacked.read_stacked(csv)


@pytest.fixture(scope="module")
def act(table: StackedTable) -> Reenactment:
    """Act 1 with the first batches of each epoch."""
    return reenactment.reenact(table, seed=0, batches_per_epoch=BATCHES)


@pytest.fixture(scope="module")
def run(csv: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanRun:
    """Act 3 on few windows."""
    home = tmp_path_factory.mktemp("runs") / "replay_case"
    return commands.train_cleanly(csv, home, seed=0, extra=("--sample_stride_hours", "240"))


@pytest.fixture
def diagnosis() -> Diagnosis:
    """A diagnosis that found the cause."""
    return Diagnosis("python run.py --task_name diagnose", commands.EXIT_DATA, 4.0, dict(VERDICT), 0.5)


def test_the_notes_loader_gives_the_counts_of_the_case(table: StackedTable) -> None:
    """7,664 rows, 6,224 windows, 389 batches, 64.1 % touched: with other counts it would be another case."""
    windows = stacked.training_windows(table)
    assert (len(table.values), table.training_rows, len(windows), table.dropped_rows) == (10950, 7664, 6224, 0)
    assert len(torch.arange(len(windows)).split(stacked.BATCH_WINDOWS)) == 389
    assert round(100 * windows.touched.mean(), 1) == 64.1
    assert table.heads == (0, 2190, 4380, 6570, 8760) and len(table.columns) == 27
    place = np.arange(len(table.values)) % 2190
    assert np.array_equal(table.blank_rows, place < 6)


def test_a_window_is_called_touched_when_its_values_hold_a_nan(table: StackedTable) -> None:
    """The share is counted from row numbers; the values themselves must agree."""
    windows = stacked.training_windows(table)
    ids = torch.tensor([0, 5, 6, 750, 751, 2195, 2196, 6223])
    holds = torch.isnan(windows.inputs(ids)).flatten(1).any(dim=1)
    assert holds.tolist() == windows.touched[ids].tolist()
    assert holds.tolist() == [True, True, False, False, True, True, False, True]


def test_validation_windows_follow_the_training_rows(table: StackedTable) -> None:
    """A validation window whose newest row were trained on would not be one of the notes' loader."""
    windows = stacked.validation_windows(table)
    newest = windows.starts + stacked.WINDOW_ROWS - 1
    assert newest.min() >= table.training_rows - 1 and newest.max() < 0.86 * len(table.values)


def test_taking_the_blank_rows_out_keeps_the_newest_row_and_the_length(table: StackedTable) -> None:
    """The proof needs the same windows but for the blank rows, or it proves something else."""
    windows = stacked.training_windows(table)
    ids = torch.tensor([0, 100, 2000, 6223])
    with_nan, without = windows.inputs(ids), windows.inputs_without_blank_rows(ids)
    assert without.shape == with_nan.shape and not torch.isnan(without).any()
    assert torch.equal(without[1:, -1], with_nan[1:, -1])
    assert torch.equal(without[1], with_nan[1])
    assert torch.equal(without[2, 1000:], with_nan[2, 1000:])


def test_one_step_with_a_finite_loss_turns_every_tensor_to_nan(act: Reenactment) -> None:
    """This is the case: if the first loss were not finite, the skip of the notes would have saved the weights."""
    step = act.first
    assert math.isfinite(step.loss) and abs(step.loss - math.log(2)) < 0.02 and step.windows_with_nan > 0
    assert step.gradients < step.clipped_gradients == step.weights == step.tensors == 46
    assert act.batches[0].applied and act.batches[0].nan_share == 1.0


def test_the_same_batch_without_the_blank_rows_leaves_every_tensor_finite(act: Reenactment) -> None:
    """Without this the blank rows would be a suspect, not the cause."""
    step = act.without_blank_rows
    assert math.isfinite(step.loss) and step.windows_with_nan == 0
    assert (step.gradients, step.clipped_gradients, step.weights, step.tensors) == (0, 0, 0, 46)


def test_every_later_batch_is_skipped_and_the_dead_weights_are_called_best(act: Reenactment) -> None:
    """The 389 of 389 of the case: nothing brings a NaN weight back, and a comparison with NaN calls it better."""
    assert [batch.applied for batch in act.batches] == [True] + [False] * (2 * BATCHES - 1)
    assert (act.skipped(1), act.skipped(2), act.batches_in(2)) == (BATCHES - 1, BATCHES, BATCHES)
    assert all(math.isnan(epoch.validation_loss) and epoch.called_best for epoch in act.epochs)
    assert act.epochs[-1].nan_tensors_in_best == 46 and math.isnan(act.loss_on_clean_windows)


def test_without_the_net_the_first_loss_is_nan(table: StackedTable) -> None:
    """The net is the killer: without it the skip of the notes would have seen the NaN and taken no step."""
    windows = stacked.training_windows(table)
    bare = reenactment.fresh_model(len(table.columns), seed=0).classifier
    assert torch.isnan(bare(windows.inputs(torch.arange(4)))).all()


def test_the_clean_run_is_the_same_model_and_skips_nothing(run: CleanRun, act: Reenactment) -> None:
    """Act 3 compares like with like, through the real program."""
    weights = torch.load(run.folder / "best.pt", weights_only=True)
    assert len(weights) == act.first.tensors == 46
    assert sum(value.numel() for value in weights.values()) == act.parameters
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert run.skipped == 0 and run.steps > 0 and run.windows > 0 and run.scores["synthetic"]


@pytest.mark.skipif("diagnose" not in typing.get_args(TaskName), reason="this program has no task diagnose yet")
def test_the_diagnosis_of_the_table_names_missing_values(csv: Path, tmp_path: Path) -> None:
    """Act 2 stands on the project's own command."""
    diagnosis = commands.diagnose(csv, tmp_path / "replay_case")
    assert diagnosis.found_the_cause and diagnosis.verdict["where"] and diagnosis.verdict["next"]


def test_a_command_that_leaves_no_verdict_did_not_find_the_cause(tmp_path: Path) -> None:
    """A diagnosis that ends early must not pass for one that said something."""
    diagnosis = commands.diagnose(tmp_path / "absent.csv", tmp_path / "replay_case")
    assert diagnosis.exit_code != 0 and not diagnosis.found_the_cause


def test_a_clean_run_that_fails_ends_the_replay_with_its_command(tmp_path: Path) -> None:
    """The reader has to learn which command to type to see the fault again."""
    with pytest.raises(ForeseenError, match="REPLAY") as caught:
        commands.train_cleanly(tmp_path / "absent.csv", tmp_path / "replay_case", seed=0)
    assert "exit code 3" in caught.value.evidence and "run.py" in caught.value.next_command


def test_claims_that_hold_pass_and_each_broken_one_is_named(
    act: Reenactment, diagnosis: Diagnosis, run: CleanRun
) -> None:
    """A page that tells what did not happen is worse than none."""
    good_rows = tuple(row | {"train_loss": 0.1, "base_rate_entropy": 0.6} for row in run.epochs)
    good = replace(run, epochs=good_rows)
    require_claims(act, diagnosis, good)
    alive = replace(act, first=replace(act.first, weights=0))
    survived = replace(act, batches=(*act.batches[:2], replace(act.batches[2], applied=True), *act.batches[3:]))
    guilty = replace(act, without_blank_rows=replace(act.without_blank_rows, weights=46))
    silent = replace(diagnosis, exit_code=0)
    other_count = replace(
        diagnosis, verdict=VERDICT | {"figures": {"stacked": {"windows": 6224, "windows_touched": 1}}}
    )
    skipping = replace(good, epochs=(good_rows[0] | {"skipped_steps": 2}, *good_rows[1:]))
    broken = (
        (alive, diagnosis, good, "turns every tensor to NaN"),
        (survived, diagnosis, good, "every batch but the first"),
        (guilty, diagnosis, good, "without the blank rows"),
        (act, silent, good, "ends with 3"),
        (act, other_count, good, "the same windows"),
        (act, diagnosis, skipping, "no step is skipped"),
    )
    for first, second, third, words in broken:
        with pytest.raises(ForeseenError, match="1 of 9 claims") as caught:
            require_claims(first, second, third)
        assert words in caught.value.evidence and caught.value.exit_code != 0


class OpenTags(HTMLParser):
    """Collects tags that are not closed, and everything the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_in_itself_and_carries_the_pictures(
    act: Reenactment, diagnosis: Diagnosis, run: CleanRun, tmp_path: Path
) -> None:
    """A page that fetches anything is blank on a train; a verdict with < in it must not break it."""
    drawn = pictures.draw_all(act, diagnosis, run, tmp_path)
    assert [path.name for path in drawn] == ["act1.png", "act2.png", "act3.png", "replay.png"]
    assert drawn[-1].stat().st_size < 150_000
    page.write_page(act, diagnosis, run, drawn, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    tags = OpenTags()
    tags.feed(text)
    assert tags.open == [] and len(tags.fetched) == 3
    assert all(source.startswith("data:image/png;base64,") for source in tags.fetched)
    assert text.count('lang="es"') == 4 and "SYNTHETIC" in text and "tp_lag_3d &lt;first rows&gt;" in text
    assert "46 of 46" in text and "64.1 %" in text and f"{run.skipped} of {run.steps} steps skipped" in text


def test_without_pictures_the_page_says_so(
    act: Reenactment, diagnosis: Diagnosis, run: CleanRun, tmp_path: Path
) -> None:
    """Drawing is optional; the words and numbers stand without it."""
    page.write_page(act, diagnosis, run, [], tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert text.count("no picture") == 3 and "<img" not in text


def test_missing_values_are_replaced_in_one_file_alone_and_no_room_imports_it() -> None:
    """What the re-enactment does on purpose would be the fault of the case anywhere else."""
    replacing, importing = set(), set()
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "nan_to_num":
                replacing.add(name)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scripts"):
                importing.add(name.split("/")[0])
    assert replacing == {"scripts/replay_case/reenactment.py"} and importing == {"scripts"}


def test_the_picture_of_the_front_page_is_small() -> None:
    """The first thing a reader loads must not make them wait."""
    picture = (ROOT / "docs" / "images" / "replay_case.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) < 150_000
