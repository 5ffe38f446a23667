"""--guard_level full names the first bad tensor of a step, finds blind attention rows, and tells its cost."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from exp.guard import GuardConfig
from tests.faults import FAULTS, Bench
from utils.errors import UsageError

FULL = GuardConfig(guard_level="full", max_skipped_steps=1000)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("DATA_NAN", "input"),
        ("WEIGHT_NONFINITE", "weight "),
        ("ACTIVATION_NONFINITE", "output"),
        ("LOSS_NONFINITE", "loss"),
        ("GRAD_NONFINITE", "gradient "),
    ],
)
def test_the_first_bad_tensor_of_a_step_is_named(fault: str, named: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the order of the step: what follows in the same step only follows from it."""
    bench = Bench(guard=FULL)
    FAULTS[fault](bench, np.random.default_rng(0))
    with caplog.at_level(logging.INFO):
        bench.trainer().fit()
    line = next(record.message for record in caplog.records if "first not finite" in record.message)
    assert f": {named}" in line and "step" in line
    assert "% of the epoch" in caplog.text


def test_a_label_that_is_no_class_is_named_before_the_loss_meets_it(caplog: pytest.LogCaptureFixture) -> None:
    """On a GPU such a label ends the process with a message about an assertion in a kernel."""
    bench = Bench(guard=FULL, before_fit=[lambda trainer: trainer.train.labels.fill_(-1)])
    with caplog.at_level(logging.INFO), pytest.raises((IndexError, RuntimeError)):
        bench.trainer().fit()
    assert "first not finite at step 1: label -1, which is no class" in caplog.text


def test_three_bad_steps_of_an_epoch_are_named_and_the_rest_only_counted(caplog: pytest.LogCaptureFixture) -> None:
    """One bad step brings dozens of bad tensors: these must not use up the lines of the steps after it."""
    bench = Bench(guard=FULL, before_fit=[lambda trainer: trainer.train.table.fill_(float("nan"))])
    with caplog.at_level(logging.INFO):
        bench.trainer().fit()
    lines = [record.message for record in caplog.records if "first not finite" in record.message]
    assert [line.split(" at ")[1] for line in lines] == ["step 1: input", "step 2: input", "step 3: input"]


def test_a_sound_training_is_looked_at_and_nothing_named(caplog: pytest.LogCaptureFixture) -> None:
    """And its result is bit for bit the one without the looking."""
    ends = []
    for guard in (FULL, GuardConfig()):
        trainer = Bench(guard=guard).trainer()
        with caplog.at_level(logging.INFO):
            trainer.fit()
        ends.append(list(trainer.model.state_dict().values()))
    assert "first not finite" not in caplog.text and "0 not finite" in caplog.text
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_an_attention_mask_patched_after_it_was_built_is_found() -> None:
    """Fused attention gives 0 for a row that sees nothing: the outputs are finite, and wrong."""

    def blind(module, inputs):
        hidden = inputs[1].hidden.clone()
        hidden[5] = True
        return (inputs[0], replace(inputs[1], hidden=hidden), *inputs[2:])

    def patch(trainer) -> None:
        trainer.model.blocks.attn_layers[0].attention.register_forward_pre_hook(blind)

    plain = Bench(before_fit=[patch]).trainer()
    plain.model.eval()
    with torch.no_grad():
        ids = torch.arange(4)
        assert bool(torch.isfinite(plain.model(plain.train.inputs(ids), plain.train.marks[ids])).all())
    learning = Bench(before_fit=[patch]).first_verdict()
    assert learning is not None and learning[1].code == "ATTENTION_MASK_EMPTY"
    with pytest.raises(UsageError) as caught:
        Bench(before_fit=[patch], guard=FULL).trainer().fit()
    assert caught.value.code == "ATTENTION_MASK_EMPTY" and caught.value.exit_code == 2
    assert "attn_layers.0.attention" in caught.value.where and "row 5" in caught.value.where


def test_anomaly_mode_names_the_operation_and_the_step_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    """Torch ends the backward pass there; the run must go on."""

    def patch(trainer) -> None:
        def zero_root(module, inputs, output):
            return output + torch.sqrt(output * 0.0) * 0.0

        trainer.model.head.register_forward_hook(zero_root)

    bench = Bench(before_fit=[patch], guard=GuardConfig(detect_anomaly=True, max_skipped_steps=1000))
    with caplog.at_level(logging.WARNING), pytest.warns(UserWarning, match="Error detected in SqrtBackward"):
        trainer = bench.trainer()
        trainer.fit()
    assert "ANOMALY" in caplog.text and "SqrtBackward0" in caplog.text
    assert trainer.watch.skipped == 6


@pytest.mark.parametrize("precision", [None, torch.float16], ids=["float32", "float16"])
def test_anomaly_mode_may_stop_before_the_first_gradient(
    precision: torch.dtype | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A loss scaler refuses to look at no gradients at all, which would end the run with a traceback."""
    bench = Bench(
        precision=precision,
        loss=lambda logits, labels: torch.sqrt(logits.sum() * 0.0) * 0.0,
        guard=GuardConfig(detect_anomaly=True, max_skipped_steps=1000),
    )
    with caplog.at_level(logging.WARNING), pytest.warns(UserWarning, match="Error detected in SqrtBackward"):
        trainer = bench.trainer()
        trainer.fit()
    assert "ANOMALY" in caplog.text and trainer.watch.skipped == 6 and trainer.watch.scaler_overflows == 0
