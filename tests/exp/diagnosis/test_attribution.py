"""Each fault, injected into a real training, is named: cause, place, evidence, and what it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from exp.diagnosis import slower
from exp.diagnosis.attribution import attribute
from exp.diagnosis.explain import suspect_of_step
from exp.diagnosis.replay import Past, Stage, Suspect, own_copy, replay
from exp.guard import GuardConfig, StepRecord
from exp.objective import Objective
from exp.trainer import Trainer
from layers.losses import LossConfig, build_loss, loss_terms
from tests.fault_campaign import judge, pairs, run
from tests.faults import BATCH, FAULTS, LENGTH, VARIABLES, Bench, network, windows
from utils.reproducibility import RandomState


def suspect(model: torch.nn.Module | None = None, **changes) -> Suspect:
    """A step that nothing is wrong with, unless the changes bring it in."""
    objective = Objective(loss=build_loss(LossConfig(), 2), micro_batch_size=BATCH)
    given = {
        "model": model or network(), "objective": objective, "windows": windows(), "ids": torch.arange(BATCH),
        "variables": VARIABLES, "step_hours": 1, "n_classes": 2,
    }  # fmt: skip
    return Suspect(**(given | changes))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", range(3))
def test_each_fault_alone_gets_its_own_name(fault: str, seed: int) -> None:
    """A wrong name costs its user weeks; this is what the project is for."""
    found = run((fault,), seed)
    assert found is not None and found[1] == fault and found[2] == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_verdict_is_the_same_when_the_host_hears_of_the_step_one_step_late(fault: str) -> None:
    """On a GPU the next batch has passed through the model by then: weights, moments and rate must still be those."""
    verdicts = []
    for is_late in (False, True):
        bench = Bench(seed=1)
        FAULTS[fault](bench, np.random.default_rng(5))
        bench.before_fit.append(lambda trainer, is_late=is_late: setattr(trainer.guard, "_reads_late", is_late))
        found = bench.first_verdict()
        assert found is not None
        verdicts.append((found[0], found[1].finding, found[1].rules_out, found[1].also))
    assert verdicts[0] == verdicts[1]


def test_a_training_without_a_fault_raises_no_alarm() -> None:
    """A diagnosis that cries wolf is switched off."""
    assert run((), 0) is None and run((), 1) is None


def test_random_pairs_of_faults_are_never_confused_with_something_else() -> None:
    """The whole campaign is `python -m tests.fault_campaign`; this is its first part."""
    for pair, seed in pairs(40, seed=0):
        code, how = judge(pair, seed)
        assert how in ("first", "unsure"), f"{pair}, seed {seed}: {how}, verdict {code}"


def test_a_missing_cell_is_named_with_sample_column_time_and_region() -> None:
    """The user must be able to find the cell in the file."""
    data = windows()
    data.table[LENGTH + 2, 2] = float("nan")
    verdict = attribute(suspect(windows=data, ids=torch.tensor([0, 5, 9])))
    assert verdict.code == "DATA_NAN"
    # Window 5 ends in row LENGTH + 4, so the cell is its third newest row.
    time = data.index.init_time[5] - np.timedelta64(2, "h")
    for part in ("sample 1", "window 5", "column sp", str(time), "region sierra", f"row {LENGTH - 3} of {LENGTH}"):
        assert part in verdict.where
    assert "2 NaN and 0 infinite values in 2 of 3 windows" in verdict.evidence
    assert "without column sp the same step is finite" in verdict.rules_out
    assert any("are innocent: all 46 tensors" in sentence for sentence in verdict.rules_out)
    assert verdict.record["input"]["nan"] == 2 and verdict.record["output"]["nan"] > 0
    assert bool(torch.isnan(data.table[LENGTH + 2, 2])), "the table itself is left as it was"


def test_a_label_that_is_no_class_is_named_without_feeding_it_to_the_loss() -> None:
    """On a GPU such a label ends the process."""
    for label in (7, 2, -1):
        data = windows()
        data.labels[3] = label
        verdict = attribute(suspect(windows=data))
        assert verdict.code == "LABEL_RANGE" and f"label {label}, " in verdict.evidence and "window 3" in verdict.where


def test_missing_and_infinite_cells_of_one_batch_are_counted_apart_and_the_missing_give_the_name() -> None:
    """An infinity is often what became of a missing value; the other way round it is not."""
    data = windows()
    data.table[LENGTH - 1, 2], data.table[LENGTH - 1, 3] = float("nan"), float("inf")
    verdict = attribute(suspect(windows=data, ids=torch.tensor([0]), step_hours=3))
    assert verdict.code == "DATA_NAN" and "1 NaN and 1 infinite values in 1 of 1 windows" in verdict.evidence
    assert "columns sp, tcwv" in verdict.evidence


def test_the_time_of_a_cell_counts_back_in_steps_of_the_table() -> None:
    """With rows every three hours, three rows back are nine hours."""
    data = windows()
    data.table[LENGTH - 4, 2] = float("nan")
    verdict = attribute(suspect(windows=data, ids=torch.tensor([0]), step_hours=3))
    assert verdict.finding.figures["timestamp"] == str(data.index.init_time[0] - np.timedelta64(9, "h"))


@pytest.mark.parametrize(("ids", "is_said"), [([], False), ([20, 21], True), ([0, 20], False)])
def test_steps_taken_again_at_a_lower_rate_are_told_only_where_all_of_them_are_finite(
    ids: list[int], is_said: bool
) -> None:
    """It is the strongest proof against a learning rate: claimed falsely, it convicts an innocent."""
    data = windows()
    data.table[0, 1] = float("nan")  # in window 0 alone
    model = network()
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e25)
    state = RandomState.capture(torch.device("cpu"))
    steps = (StepRecord(0, 1, 1, torch.tensor(ids), state, (1e-3,)),) if ids else ()
    step = suspect(model, windows=data, ids=torch.arange(20, 24))
    proof = slower.prove(step, Past(epoch_start=start, steps=steps), replay(step))
    assert proof is not None and proof.after.is_finite
    assert ("taken again from there" in proof.sentence) is is_said and "grown 1e+25-fold" in proof.sentence


def test_the_growth_of_an_epoch_is_that_of_the_weights_that_learned_in_it() -> None:
    """A large frozen weight, which was as large before, would be told as growth."""
    model = network()
    *_, last = dict(model.named_parameters())
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters() if name != last}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(1e25) if name in start else parameter.fill_(1e27)
    step = suspect(model, ids=torch.arange(20, 24))
    proof = slower.prove(step, Past(epoch_start=start), replay(step))
    assert proof is not None and "grown 1e+25-fold" in proof.sentence


def test_a_second_cause_is_named_with_the_window_of_the_split_too() -> None:
    """Once the first cause is taken away the step runs on a copy, whose own numbers mean nothing to the user."""
    data = windows()
    data.table[LENGTH + 2, 2] = float("nan")
    data.table[LENGTH + 8, 0] = 1e30
    data.labels[9] = 7
    verdict = attribute(suspect(windows=data, ids=torch.tensor([0, 5, 9])))
    assert (verdict.code, [other.code for other in verdict.also]) == ("DATA_NAN", ["LABEL_RANGE", "DATA_EXTREME"])
    assert all("sample 2" in other.where and "window 9" in other.where for other in verdict.also)


def test_the_record_holds_the_gradient_norms_largest_first_and_the_loss_terms() -> None:
    """It is what an experienced eye looks at first."""
    focal = LossConfig(use_focal_loss=True, class_weights=(0.3, 0.7))
    objective = Objective(loss=build_loss(focal, 2), micro_batch_size=BATCH, terms=lambda a, b: loss_terms(focal, a, b))
    seen = replay(suspect(objective=objective))
    norms = list(seen.figures["gradient_norms"].values())
    assert seen.stage is Stage.FINITE and norms == sorted(norms, reverse=True) and len(norms) == 46
    assert seen.norm == pytest.approx(sum(norm**2 for norm in norms) ** 0.5)
    assert list(seen.figures["loss_terms"]) == ["log_probability", "focal_factor", "weight", "loss"]


@pytest.mark.parametrize("term", ["focal_factor", "weight"])
def test_the_loss_term_that_is_not_finite_first_is_named(term: str) -> None:
    """Log-probability, focal factor, weight: each has another way out."""

    def terms(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        names = ("log_probability", "focal_factor", "weight")
        return {name: torch.full((len(labels),), float("nan") if name == term else 1.0) for name in names}

    objective = Objective(loss=lambda logits, labels: logits.sum() * float("nan"), micro_batch_size=BATCH, terms=terms)
    verdict = attribute(suspect(objective=objective))
    assert verdict.code == "LOSS_NONFINITE" and f"term {term}" in verdict.where


class RootOfNegatives(torch.nn.Module):
    """Gives NaN for everything but 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs().neg().sqrt()


class Safe(torch.nn.Module):
    """Replaces NaN inside, as the notes' model did."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = torch.nn.Linear(len(VARIABLES), 4), torch.nn.Linear(4, 2)
        self.root = RootOfNegatives()

    def forward(self, x: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
        return self.head(torch.nan_to_num(self.root(self.first(x).sum(dim=1))))


def test_a_replacement_of_nan_inside_the_model_is_suspected_by_name() -> None:
    """The case: a finite loss, deadly gradients, and a safety net that hid the place."""
    assert replay(suspect(Safe())).stage is Stage.BACKWARD_PASS, "what was replaced does not count"
    verdict = attribute(suspect(Safe()))
    assert verdict.code == "GRAD_NONFINITE" and "first." in verdict.where
    assert "loss 0." in verdict.evidence and "nan_to_num" in verdict.next_command
    assert "the forward pass was not finite at root, and something after it replaces NaN" in verdict.evidence


def _blind(module: torch.nn.Module, inputs: tuple) -> tuple:
    hidden = inputs[1].hidden.clone()
    hidden[3] = True
    return (inputs[0], replace(inputs[1], hidden=hidden), *inputs[2:])


def test_an_attention_row_that_sees_nothing_is_named_where_it_makes_nan() -> None:
    """Kernels differ: some give 0 for such a row and some NaN."""
    model = network()
    layer = model.blocks.attn_layers[1].attention  # type: ignore[union-attr,index]
    layer.inner_attention.register_forward_hook(lambda module, inputs, output: output * float("nan"))
    layer.register_forward_pre_hook(_blind)
    verdict = attribute(suspect(model))
    assert verdict.code == "ATTENTION_MASK_EMPTY" and "attn_layers.1" in verdict.where and "row 3" in verdict.where


def test_an_attention_row_that_sees_nothing_is_not_blamed_for_a_nan_before_it() -> None:
    """What breaks first is the embedding; the mask is another matter."""
    model = network()
    model.blocks.attn_layers[1].attention.register_forward_pre_hook(_blind)  # type: ignore[union-attr,index]
    model.embedding.register_forward_hook(lambda module, inputs, output: output * float("nan"))  # type: ignore[union-attr]
    verdict = attribute(suspect(model))
    assert verdict.code == "ACTIVATION_NONFINITE" and verdict.where.startswith("embedding")


def test_a_fault_that_does_not_come_back_is_called_that() -> None:
    """Better no cause than a wrong one."""
    verdict = attribute(suspect(seen_loss=float("nan"), seen_norm=float("nan"), name="step 4"))
    assert verdict.code == "NOT_REPRODUCIBLE" and "then: loss nan" in verdict.evidence


@pytest.mark.parametrize(
    ("last_good", "said"), [("", "innocent: no update"), ("step 3, epoch 1, batch 4", "not examined")]
)
def test_a_learning_rate_is_acquitted_only_where_no_update_was_made(last_good: str, said: str) -> None:
    """Where the weights before cannot be worked out (rate x decay = 1, a NaN weight), nobody knows."""
    objective = Objective(loss=lambda logits, labels: logits.sum() * float("nan"), micro_batch_size=BATCH)
    verdict = attribute(suspect(objective=objective, last_good=last_good))
    (sentence,) = [sentence for sentence in verdict.rules_out if "learning rate" in sentence]
    assert verdict.code == "LOSS_NONFINITE" and said in sentence


def test_a_replay_draws_the_random_numbers_of_its_step_and_puts_the_generators_back() -> None:
    """With other dropout masks it is another step; and the training after it would go on with other numbers."""
    state = RandomState.capture(torch.device("cpu"))
    given = suspect(network(dropout=0.3), random_state=state)
    first = replay(given).loss
    torch.randn(7)
    before = torch.get_rng_state()
    assert replay(given).loss == first and torch.equal(torch.get_rng_state(), before)
    assert replay(replace(given, random_state=None)).loss != first


def test_a_replay_begins_without_the_gradients_of_the_one_before() -> None:
    """Their sum would be the gradient of no step at all."""
    given = suspect()
    assert replay(given).norm == replay(given).norm > 0


@pytest.mark.parametrize("precision", [None, torch.bfloat16, torch.float16], ids=["float32", "bf16", "float16"])
@pytest.mark.parametrize("reads_late", [False, True], ids=["at once", "late"])
def test_a_replay_is_the_step_itself_with_its_dropout_micro_batches_precision_and_loss_scale(
    precision: torch.dtype | None, reads_late: bool
) -> None:
    """What is taken again must be what happened, or the verdict is about something else."""

    def divide(trainer: Trainer) -> None:
        trainer.objective = replace(trainer.objective, micro_batch_size=3)
        trainer.model.head.register_forward_hook(lambda module, inputs, output: torch.dropout(output, 0.3, True))
        trainer.guard._reads_late = reads_late

    # The weights must be the same before and after, so that a good step can be taken again.
    bench = Bench(precision=precision, learning_rate=1e-30, before_fit=[divide])
    trainer = bench.trainer()
    compared = []

    def compare(outcome) -> None:
        if not outcome.is_bad:
            again = replay(suspect_of_step(trainer, outcome, VARIABLES, step_hours=1, n_classes=2))
            compared.append((again.loss, again.norm, outcome.loss, outcome.norm))

    trainer.guard.on_outcome = compare
    for _ in range(3):
        trainer._begin_epoch()
        trainer._train_epoch()
    assert len(compared) > 6
    for loss, norm, seen_loss, seen_norm in compared:
        assert loss == seen_loss and norm == pytest.approx(seen_norm, rel=1e-5)


def test_the_figures_are_those_of_the_first_micro_batch_that_is_not_finite() -> None:
    """Those of a sound one would show nothing, those of a later one something else."""
    data = windows()
    data.table[0, 1] = float("nan")  # in window 0 alone
    data.table[LENGTH + len(data) - 2, :2] = float("nan")  # in the last window alone
    objective = Objective(loss=build_loss(LossConfig(), 2), micro_batch_size=2)
    seen = replay(suspect(windows=data, objective=objective, ids=torch.tensor([20, 21, 0, 22, 23, len(data) - 1])))
    assert seen.stage is Stage.FORWARD_PASS
    assert seen.figures["input"]["nan"] == 1 and seen.figures["output"]["nan"] > 0


@pytest.mark.parametrize("suspicious", ["precision", "extreme data", "learning rate"])
def test_what_is_suspicious_is_not_convicted_where_the_step_gets_no_further_without_it(suspicious: str) -> None:
    """The loss is NaN whatever goes in: an innocent with a bad look would be blamed."""
    objective = Objective(loss=lambda logits, labels: logits.sum() * float("nan"), micro_batch_size=BATCH)
    data, model, past = windows(), network(), Past()
    if suspicious == "precision":
        objective = replace(objective, precision=torch.bfloat16)
    elif suspicious == "extreme data":
        data.table[LENGTH, 1] = 2e4
    else:
        weights = {name: 0.5 * parameter.detach() for name, parameter in model.named_parameters()}
        past = Past(before_update=weights, epoch_start=weights)
    verdict = attribute(suspect(model, objective=objective, windows=data, past=lambda: past, last_good="step 3"))
    assert verdict.code == "LOSS_NONFINITE" and not verdict.also
    assert any(sentence.startswith("not the ") for sentence in verdict.rules_out)


def test_two_causes_are_both_told() -> None:
    """Mending the first alone would bring the user back with the second."""
    data, model = windows(), network()
    data.table[LENGTH - 1, 0] = float("inf")
    with torch.no_grad():
        model.head.bias[0] = float("nan")  # type: ignore[union-attr,index,operator]
    verdict = attribute(suspect(model, windows=data))
    assert verdict.code == "WEIGHT_NONFINITE" and [other.code for other in verdict.also] == ["DATA_INF"]
    assert "head.bias" in verdict.where and "DATA_INF" in str(verdict)


def test_looking_for_the_cause_changes_nothing_in_the_training() -> None:
    """With and without the explanation a run must end in the same bits."""
    ends = []
    for explains in (False, True):
        bench = Bench(seed=3, guard=GuardConfig(max_skipped_steps=100))
        FAULTS["DATA_NAN"](bench, np.random.default_rng(1))
        asked = []

        def explain(trainer: Trainer, outcome, asked=asked):
            asked.append(outcome)
            return attribute(suspect_of_step(trainer, outcome, VARIABLES, step_hours=1, n_classes=2))

        trainer = bench.trainer(explain if explains else None)
        trainer.fit()
        assert bool(asked) is explains and trainer.watch.skipped > 0
        ends.append([*trainer.model.state_dict().values(), torch.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_copy_takes_the_statistics_it_is_given() -> None:
    """The forward pass of a bad batch has poisoned those of the model itself."""
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
    kept = {"0.running_mean": torch.tensor([1.0, 2.0, 3.0])}
    model[0].running_mean.fill_(float("nan"))  # type: ignore[union-attr,operator]
    twin = own_copy(model, kept)
    assert torch.equal(twin.state_dict()["0.running_mean"], kept["0.running_mean"])
    assert bool(torch.isnan(model.state_dict()["0.running_mean"]).all())
