"""The benchmarks of step and layers compare what computes the same, and say all that the page of figures shows."""

from __future__ import annotations

import pytest
import torch

from exp import benchmark, layers_benchmark, step_benchmark
from exp.step_benchmark import SIZES, Size, build

SMALL = Size(2, 32, 64, 4, 2, 3)


def test_all_models_of_the_step_give_the_same_answer() -> None:
    """Against another model any ratio could be had."""
    stand = build(SMALL, 0.0)
    ids = torch.arange(2)
    x, marks = stand.windows.inputs(ids), stand.windows.marks[ids]
    answers = [model.eval()(x, marks) for model in stand.models.values()]
    for answer in answers[1:]:
        torch.testing.assert_close(answers[0], answer, rtol=1e-4, atol=1e-6)


def test_a_step_of_either_changes_its_own_weights_alone() -> None:
    """Shared weights would be updated twice, and one model timed with the other's moments."""
    stand = build(SMALL, 0.1)
    before = {name: [each.clone() for each in model.parameters()] for name, model in stand.models.items()}
    stand.step("ours", None)
    moved = {
        name: any(not torch.equal(a, b) for a, b in zip(before[name], model.parameters(), strict=True))
        for name, model in stand.models.items()
    }
    assert moved == {"ours": True, "written out": False, "recomputed": False}


def test_the_figures_of_a_step_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share of the limit, time and arithmetic are three names of one measurement."""
    monkeypatch.setitem(SIZES, "tiny", SMALL)
    found = step_benchmark.measure("tiny", 2, dropout=0.1)
    row = next(each for each in found["steps"] if each["step"] == "ours, float32")
    rate = found["step_gigaflops"] / (row["milliseconds"] / 1000)
    share = 100 * rate / found["matrix_gigaflops_per_second"]["float32"]
    assert row["share_of_matrix_limit_percent"] == pytest.approx(share, rel=0.05, abs=0.05)
    assert found["steps"][0]["times_faster"] == 1.0 and 0 < found["saved_for_backward"]["ratio"] < 1
    assert len(step_benchmark.table(found)) == 2 + len(found["steps"]) + 1


def test_pieces_of_a_layer_are_timed_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece beside the same written out."""
    monkeypatch.setitem(SIZES, "tiny", SMALL)
    found = layers_benchmark.measure("tiny", 1)
    names = [row["piece"] for row in found["pieces"]]
    assert names[0] == "whole layer" and {"attention", "dropout"} < set(names)
    assert all(row["ours_milliseconds"] > 0 and row["written_out_milliseconds"] > 0 for row in found["pieces"])
    assert len(layers_benchmark.table(found)) == 2 + len(names)


def test_the_figures_are_printed_and_kept(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON where a program reads it, a table where a person does."""
    monkeypatch.setitem(SIZES, "tiny", SMALL)
    kept = tmp_path / "step.json"
    assert benchmark.main(["step", "--preset", "tiny", "--pairs", "1", "--output", str(kept)]) == 0
    printed = capsys.readouterr()
    assert kept.read_text() == printed.out and "of the matrix limit" in printed.err
