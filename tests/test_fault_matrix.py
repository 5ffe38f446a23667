"""Rows O1-O12, P9 and G1-G2 of the fault matrix, through the real program: literal code, exit code, state of the disk.

The faults are injected into a real run between its steps; a run has two epochs and the fault comes in the second, so
that last.pt of the first must still be there, bit for bit. Data rows: tests/data_provider; files: test_file_faults.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import run as program
from exp.forecasters import NetworkForecaster
from exp.trainer import Trainer
from tests import make_table

QUICK = ["--preset", "smoke", "--batch_size", "8", "--train_epochs", "2"]


class Run:
    """One run of the program on a small table, and what it left behind.

    Args:
        folder: an empty folder.
        capsys: of the test.
        monkeypatch: of the test.
    """

    def __init__(self, folder: Path, capsys, monkeypatch) -> None:
        self.folder, self.capsys, self.monkeypatch = folder, capsys, monkeypatch
        self.content = make_table.frame()
        self.good_file = ""

    def inject(self, change: Callable[[Trainer], None], *, epoch: int = 2, batch: int = 3) -> None:
        """Do something to the trainer before one step; note the checkpoint there is by then."""
        usual = Trainer._step

        def step(trainer: Trainer, ids: torch.Tensor):
            if (trainer.epoch, trainer.batch) == (epoch, batch):
                self.good_file = self.hash_of_last()
                change(trainer)
            return usual(trainer, ids)

        self.monkeypatch.setattr(Trainer, "_step", step)

    def start(self, *words: str) -> tuple[int, str]:
        """Run the program; return exit code and everything it said."""
        make_table.write(self.folder, content=self.content)
        places = ["--root_path", str(self.folder), "--data_path", "table.csv"]
        code = program.main([*QUICK, *places, "--checkpoints", str(self.folder / "runs"), *words])
        said = self.capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out + said.err

    def file(self, name: str) -> Path:
        """Return a file of the only run."""
        (found,) = (self.folder / "runs").rglob(name)
        return found

    def hash_of_last(self) -> str:
        """Return the hash of last.pt, which must load; empty before the first epoch has ended."""
        if not list((self.folder / "runs").rglob("last.pt")):
            return ""
        path = self.file("last.pt")
        torch.load(path, weights_only=True)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def verdict(self) -> dict:
        """Return the verdict in the run's diagnosis.json."""
        return json.loads(self.file("diagnosis.json").read_text())["verdict"]

    def rows(self) -> list[dict]:
        """Return metrics.jsonl."""
        return [json.loads(line) for line in self.file("metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def the_run(tmp_path: Path, capsys, monkeypatch) -> Run:
    return Run(tmp_path, capsys, monkeypatch)


def set_nan_cell(trainer: Trainer) -> None:
    """Blank a cell that many windows see."""
    trainer.train.table[700, 2] = float("nan")


def set_nan_weight(trainer: Trainer) -> None:
    """Write NaN into a weight."""
    trainer.model.head.weight.data[0, 0] = float("nan")  # type: ignore[union-attr,index]


def test_d2_a_cell_that_turns_nan_after_the_checks_is_named_and_the_last_good_file_stays(the_run: Run) -> None:
    """The checks before the first step cannot see what happens later."""
    the_run.inject(set_nan_cell)
    code, said = the_run.start("--max_skipped_steps", "1")
    verdict = the_run.verdict()
    assert code == 5 and verdict["code"] == "DATA_NAN" and "SKIP_BUDGET: 2 of 1" in said
    last = the_run.rows()[-1]
    assert last["cut_short"] and last["epoch"] == 2 and last["skipped_steps"] == 2 and last["skip_cause"] == "DATA_NAN"
    assert verdict["figures"]["column"] == "sp" and verdict["figures"]["region"] == "costa"
    assert verdict["figures"]["timestamp"] == "2019-01-30T04:00:00"
    assert the_run.hash_of_last() == the_run.good_file
    assert (the_run.file("bundle.json").parent.name).startswith("bundle-step")


def test_o1_a_learning_rate_of_100000_is_named(the_run: Run) -> None:
    """The batch is finite, the weights are finite, and the updates threw them away."""
    code, said = the_run.start("--learning_rate", "1e5", "--sample_stride_hours", "4")
    assert code == 5 and the_run.verdict()["code"] == "LEARNING_RATE"
    assert "times the weights it changed" in said and "--warmup_epochs 1" in said
    sentences = " ".join(the_run.verdict()["rules_out"])
    assert "the data are innocent" in sentences and "are innocent: all 29 tensors" in sentences
    assert not list((the_run.folder / "runs").rglob("best.pt"))


def test_o2_an_overflow_of_float16_is_named_with_its_layer(the_run: Run) -> None:
    """Float32 is finite on the same batch: that is the whole proof."""
    the_run.inject(lambda trainer: trainer.model.blocks.attn_layers[0].conv1.weight.data.mul_(1e7))  # type: ignore[union-attr,index]
    code, said = the_run.start("--amp", "fp16")
    assert code == 5 and the_run.verdict()["code"] == "PRECISION_OVERFLOW" and "--amp off" in said
    assert "blocks.attn_layers.0.conv1" in the_run.verdict()["where"] and "65504" in the_run.verdict()["evidence"]
    assert the_run.hash_of_last() == the_run.good_file


def test_o3_one_float16_overflow_of_the_gradient_is_counted_and_the_run_goes_on(the_run: Run) -> None:
    """The loss scale halves itself; that is how it finds its value."""
    the_run.inject(lambda trainer: trainer.scaler.update(2.0**40), epoch=1)  # type: ignore[union-attr]
    code, _ = the_run.start("--amp", "fp16")
    rows = the_run.rows()
    assert code == 0 and rows[0]["scaler_overflows"] >= 1 and sum(row["skipped_steps"] for row in rows) == 0


@pytest.mark.parametrize("amp", ["fp16", "bf16"])
def test_o4_a_spent_budget_ends_the_run_also_at_the_floor_of_the_loss_scale(the_run: Run, amp: str) -> None:
    """A scaler that halves for ever would skip for ever in silence."""

    def spoil(trainer: Trainer) -> None:
        def hook(module, inputs, output):
            output.register_hook(lambda gradient: gradient * float("inf"))

        trainer.model.head.register_forward_hook(hook)  # type: ignore[union-attr]
        if trainer.scaler is not None:
            trainer.scaler.update(1.0)

    the_run.inject(spoil, batch=1)
    code, said = the_run.start("--amp", amp, "--max_skipped_steps", "4")
    assert code == 5 and "SKIP_BUDGET: 5 of 4" in said and the_run.verdict()["code"] == "GRAD_NONFINITE"
    assert the_run.hash_of_last() == the_run.good_file


def test_o5_an_attention_row_that_sees_nothing_ends_with_2_at_guard_level_full(the_run: Run) -> None:
    """Fused attention answers 0 there, and nothing becomes NaN."""

    def blind(trainer: Trainer) -> None:
        from dataclasses import replace

        def hook(module, inputs):
            hidden = inputs[1].hidden.clone()
            hidden[4] = True
            return (inputs[0], replace(inputs[1], hidden=hidden), *inputs[2:])

        trainer.model.blocks.attn_layers[0].attention.register_forward_pre_hook(hook)  # type: ignore[union-attr,index]

    the_run.inject(blind)
    code, said = the_run.start("--guard_level", "full")
    assert code == 2 and "ATTENTION_MASK_EMPTY" in said and "row 4" in said and "attn_layers.0" in said
    assert the_run.hash_of_last() == the_run.good_file


def test_o6_a_loss_that_is_nan_with_finite_outputs_is_named(the_run: Run) -> None:
    """The layers are innocent; the loss is not."""

    def spoil(trainer: Trainer) -> None:
        from dataclasses import replace

        usual = trainer.objective.loss
        trainer.objective = replace(trainer.objective, loss=lambda a, b: usual(a, b) + float("nan"))

    the_run.inject(spoil)
    code, _ = the_run.start()
    assert code == 5 and the_run.verdict()["code"] == "LOSS_NONFINITE" and "term loss" in the_run.verdict()["where"]
    assert the_run.hash_of_last() == the_run.good_file


def test_o7_a_nan_gradient_behind_a_finite_loss_is_named_with_its_first_parameter(the_run: Run) -> None:
    """What a well-meant nan_to_num leaves behind."""

    def spoil(trainer: Trainer) -> None:
        def hook(module, inputs, output):
            return torch.nan_to_num(output / torch.zeros_like(output) * 0.0) + output.detach()

        trainer.model.head.register_forward_hook(hook)  # type: ignore[union-attr]

    the_run.inject(spoil)
    code, _ = the_run.start()
    verdict = the_run.verdict()
    assert code == 5 and verdict["code"] == "GRAD_NONFINITE" and "head." in verdict["where"]
    assert "nan_to_num" in verdict["next"] and the_run.hash_of_last() == the_run.good_file


def test_o8_huge_finite_gradients_are_told_from_nan(the_run: Run) -> None:
    """The float32 norm overflows although every gradient is finite."""

    def spoil(trainer: Trainer) -> None:
        head = trainer.model.head

        def hook(module, inputs, output):
            output.register_hook(lambda gradient: gradient.sign() * 2e19)

        head.register_forward_hook(hook)  # type: ignore[union-attr]

    the_run.inject(spoil)
    code, said = the_run.start("--max_skipped_steps", "1")
    assert code == 5 and the_run.verdict()["code"] == "GRAD_HUGE" and "not NaN" in said
    assert "exact norm" in the_run.verdict()["evidence"] and the_run.hash_of_last() == the_run.good_file


def test_o9_a_weight_that_turned_nan_between_two_steps_is_named_and_not_the_data(the_run: Run) -> None:
    """No later step can heal it, so the run ends at once."""
    the_run.inject(set_nan_weight)
    code, said = the_run.start("--max_skipped_steps", "50")
    verdict = the_run.verdict()
    assert code == 5 and verdict["code"] == "WEIGHT_NONFINITE" and "head.weight" in verdict["where"]
    assert "last good step: step" in verdict["evidence"] and "DATA" not in verdict["code"]
    assert any("the data are innocent" in sentence for sentence in verdict["rules_out"])
    assert "1 of 50" in said and the_run.hash_of_last() == the_run.good_file


def test_a_run_with_two_faults_ends_under_the_name_of_the_one_that_ended_it_and_keeps_a_bundle_of_each(
    the_run: Run,
) -> None:
    """A missing cell must not be blamed for the weight that broke after it."""

    def cell_then_weight(trainer: Trainer) -> None:
        usual, whole = trainer.guard.on_outcome, trainer.train.table.clone()
        trainer.train.table.fill_(float("nan"))

        def mend_and_break(outcome) -> None:
            usual(outcome)
            trainer.guard.on_outcome = usual
            trainer.train.table.copy_(whole)
            set_nan_weight(trainer)

        trainer.guard.on_outcome = mend_and_break

    the_run.inject(cell_then_weight)
    code, said = the_run.start("--max_skipped_steps", "1")
    assert code == 5 and the_run.verdict()["code"] == "WEIGHT_NONFINITE"
    assert "another cause, DATA_NAN" in said and the_run.hash_of_last() == the_run.good_file
    bundles = [json.loads(path.read_text()) for path in sorted((the_run.folder / "runs").rglob("bundle.json"))]
    assert [made["verdict"]["code"] for made in bundles] == ["DATA_NAN", "WEIGHT_NONFINITE"]


def test_a_diagnosis_that_fails_does_not_end_the_training_it_was_to_help(the_run: Run) -> None:
    """A model that keeps an activation cannot be copied, and a card may have no memory for a second one."""

    def keep_activation(trainer: Trainer) -> None:
        def hook(module, inputs, output) -> None:
            module.kept = output

        trainer.model.head.register_forward_hook(hook)  # type: ignore[union-attr]
        trainer.train.table[700, 2] = float("nan")

    the_run.inject(keep_activation)
    code, said = the_run.start("--max_skipped_steps", "50")
    assert code == 0 and "NOT_EXPLAINED" in said and "deepcopy" in said
    assert the_run.rows()[1]["skipped_steps"] > 0 and the_run.rows()[1]["skip_cause"] == "NOT_EXPLAINED"


def test_o10_a_validation_that_is_nan_never_becomes_the_best_and_two_in_a_row_end_the_run(the_run: Run) -> None:
    """In the case NaN compared as an improvement and was saved as the best."""
    usual = NetworkForecaster._validate
    seen: list[str] = []

    def validate(forecaster: NetworkForecaster, windows, model=None):
        row = usual(forecaster, windows)
        if seen:
            row["validation_loss"] = float("nan")
        seen.append("once")
        return row

    the_run.monkeypatch.setattr(NetworkForecaster, "_validate", validate)
    code, said = the_run.start("--train_epochs", "4")
    best = torch.load(the_run.file("best.pt"), weights_only=True)
    assert code == 5 and "METRIC_UNDEFINED" in said and len(seen) == 3
    assert "in epoch 1" in said and all(bool(torch.isfinite(tensor).all()) for tensor in best.values())


def test_o10_an_empty_validation_ends_with_3_before_the_first_step(the_run: Run) -> None:
    """A score of nothing is no score."""
    words = ("--train_until", "2019-02-20T00", "--validation_until", "2019-02-20T12")
    code, said = the_run.start(*words)
    assert code == 3 and "SPLIT_EMPTY" in said and "validation" in said


def test_o11_a_loss_ten_times_the_usual_is_told_and_the_run_goes_on(the_run: Run) -> None:
    """A spike is a reason to look, not to stop."""

    def spike(trainer: Trainer) -> None:
        from dataclasses import replace

        usual, objective = trainer.objective.loss, trainer.objective

        def once(logits, labels):
            trainer.objective = objective
            return 30 * usual(logits, labels)

        trainer.objective = replace(objective, loss=once)

    the_run.inject(spike, epoch=2, batch=5)
    code, said = the_run.start()
    rows = the_run.rows()
    assert code == 0 and "SPIKE: loss" in said and "batch 5" in said and rows[1]["spikes"] >= 1
    assert rows[0]["spikes"] == 0 and rows[1]["skipped_steps"] == 0


def test_o12_a_forecast_that_collapses_to_one_class_is_marked_so(the_run: Run) -> None:
    """The case read three collapsed models as results."""

    def collapse(trainer: Trainer) -> None:
        with torch.no_grad():
            trainer.model.classifier[4].weight.zero_()  # type: ignore[union-attr,index,operator]
            trainer.model.classifier[4].bias.copy_(torch.tensor([3.0, -3.0]))  # type: ignore[union-attr,index,operator]
        for parameter in trainer.model.parameters():
            parameter.register_hook(lambda gradient: gradient * 0.0)

    the_run.inject(collapse, epoch=1, batch=1)
    code, said = the_run.start("--weight_decay", "0")
    scores = json.loads(the_run.file("scores.json").read_text())
    assert code == 0 and "COLLAPSED: rain is said in 0.0 % of the validation windows" in said and "base rate" in said
    assert scores["collapsed"] is True and the_run.rows()[0]["warnings"] == ["COLLAPSED"]
    assert scores["marks"][0]["code"] == "COLLAPSED" and f"COLLAPSED: {scores['marks'][0]['sentence']}" in said


def test_p9_a_memory_that_is_exhausted_is_told_with_a_batch_that_fits(the_run: Run) -> None:
    """A traceback of torch says how many bytes, and not what to type."""

    def devour(trainer: Trainer) -> None:
        def hook(module, inputs, output):
            torch.empty(2**60)

        trainer.model.head.register_forward_hook(hook)  # type: ignore[union-attr]

    the_run.inject(devour)
    code, said = the_run.start()
    assert (
        code == 5 and "OUT_OF_MEMORY" in said and "--micro_batch_size 4" in said and "4611686018427387904 bytes" in said
    )
    assert the_run.hash_of_last() == the_run.good_file


def test_the_operation_that_anomaly_mode_names_stands_in_the_verdict_of_its_step(the_run: Run) -> None:
    """A line that has scrolled away helps nobody."""

    def patch(trainer: Trainer) -> None:
        def zero_root(module, inputs, output):
            return output + torch.sqrt(output * 0.0) * 0.0

        trainer.model.head.register_forward_hook(zero_root)  # type: ignore[union-attr]

    the_run.inject(patch)
    with pytest.warns(UserWarning, match="Error detected in SqrtBackward"):
        code, _ = the_run.start("--detect_anomaly")
    verdict = the_run.verdict()
    assert code == 5 and verdict["code"] == "GRAD_NONFINITE" and "--detect_anomaly: Function" in verdict["evidence"]
    assert "SqrtBackward0" in verdict["evidence"]


def test_g1_a_context_that_is_no_whole_number_of_tokens_is_cut_said_and_recorded(the_run: Run) -> None:
    """The newest hours are used; which ones must not be a matter of luck."""
    code, said = the_run.start("--seq_len", "100")
    assert code == 0 and "CONTEXT_TRIMMED" in said and "newest 96" in said and "oldest 4" in said
    config = json.loads(the_run.file("config.json").read_text())
    assert config["dimensions"]["context_length"] == 96 and config["flags"]["seq_len"] == 100
    report = json.loads(the_run.file("diagnosis.json").read_text())
    assert {"used": 96, "dropped": 4} in [finding["figures"] for finding in report["findings"]]


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["--n_heads", "3"], "1 or 2 or 4"),
        (["--encoder_features", "stats"], "states"),
        (["--model", "timer_xl_clasifier"], "timer_xl_classifier"),
        (["--learning_rat", "1"], "--learning_rate"),
        (["--use_focal_loss", "--label_smoothing", "0.1"], "leave one of the two away"),
        (["--nan_policy", "ignore"], "skip"),
    ],
)
def test_g2_impossible_flags_end_with_2_and_the_nearest_valid_one(the_run: Run, words: list[str], nearest: str) -> None:
    """Nothing is read or written before the flags make sense."""
    code, said = the_run.start(*words)
    assert code == 2 and "CONFIG" in said and nearest in said
    assert not (the_run.folder / "runs").exists()


def test_the_policy_stop_scores_the_best_finite_weights_and_still_ends_with_5(the_run: Run) -> None:
    """A night's training is not lost because its last hour went wrong."""
    the_run.inject(set_nan_cell)
    code, said = the_run.start("--nan_policy", "stop")
    scores = json.loads(the_run.file("scores.json").read_text())
    assert code == 5 and scores["stopped_by"] == "DATA_NAN" and scores["cost"]["best_epoch"] == 1
    assert np.isfinite(scores["test"]["overall"]["roc_auc"]) and "Stopped by DATA_NAN" in said


def test_an_epoch_with_skips_says_how_many_why_and_what_next(the_run: Run) -> None:
    """Skips are never silent: progress, last line and metrics carry the count."""
    the_run.inject(set_nan_cell, epoch=1, batch=1)
    code, said = the_run.start("--max_skipped_steps", "50", "--train_epochs", "1")
    (row,) = the_run.rows()
    assert code == 0 and row["skipped_steps"] > 0 and row["skip_cause"] == "DATA_NAN"
    assert f"SKIPPED: {row['skipped_steps']} steps of epoch 1" in said and "cause:    DATA_NAN" in said
    assert json.loads(the_run.file("scores.json").read_text())["skipped_steps"] == row["skipped_steps"]
