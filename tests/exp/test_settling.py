"""Calibration and cut are settled on validation alone; a run that is scored again keeps what no flag asks anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_provider.cleaning import CleaningConfig
from data_provider.factory import DataConfig, Splits, load_splits
from data_provider.scaling import ScalingConfig
from data_provider.splits import SplitConfig
from data_provider.windows import WindowSet
from exp import marks, scoring, settling
from exp.settling import NOTHING_SETTLED, Kept, Settled
from exp.verification_config import VerificationConfig
from tests import make_table
from utils.calibration import Calibration
from utils.decision import BY_RATIO, Decision
from utils.errors import UsageError

FLAGS = VerificationConfig(bootstrap_draws=0)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Two regions, hourly rows."""
    folder = tmp_path_factory.mktemp("table")
    make_table.write(folder)
    return load_splits(
        DataConfig(root_path=str(folder), data_path="table.csv", seq_len=20, sample_stride_hours=1),
        SplitConfig(),
        CleaningConfig(),
        ScalingConfig(),
        context_length=20,
        device=torch.device("cpu"),
    )


class TooSure:
    """Knows something of the last hours' rain, and says it with twice the confidence."""

    def probabilities(self, windows: WindowSet) -> np.ndarray:
        past = np.where(windows.index.past_class > 0, 1.2, -1.2)
        logit = 2 * (past + np.random.default_rng(len(windows)).normal(0, 1, len(windows)))
        rain = 1 / (1 + np.exp(-logit))
        return np.stack([1 - rain, rain], axis=1)


def evaluated(splits: Splits, kept: Kept = NOTHING_SETTLED, **flags) -> scoring.Evaluation:
    return scoring.evaluate(TooSure(), splits, replace(FLAGS, **flags), kept)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def raw(splits: Splits) -> scoring.Evaluation:
    return evaluated(splits, calibration="none")


@pytest.fixture(scope="module")
def mild(splits: Splits) -> scoring.Evaluation:
    """The default."""
    return evaluated(splits)


def three_classes(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    probability = generator.dirichlet([1.0, 1.0, 1.0], n)
    return probability, (generator.random(n)[:, None] > probability.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_what_happened_in_the_test_split_changes_neither_calibration_nor_cut(splits: Splits, method) -> None:
    """A temperature that had seen the test year would make its reliability look perfect."""
    before = evaluated(splits, calibration=method)
    label = splits.test.index.label
    try:
        splits.test.index = replace(splits.test.index, label=1 - label)
        after = evaluated(splits, calibration=method)
    finally:
        splits.test.index = replace(splits.test.index, label=label)
    assert before.settled.calibration.method == method and after.settled == before.settled
    assert after.validation == before.validation and after.test != before.test


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_what_happened_in_validation_changes_both(splits: Splits, method) -> None:
    """The other half of the test above: a calibration that nothing moved would pass it too."""
    before = evaluated(splits, calibration=method)
    label = splits.validation.index.label
    try:
        splits.validation.index = replace(splits.validation.index, label=np.roll(label, len(label) // 3))
        after = evaluated(splits, calibration=method)
    finally:
        splits.validation.index = replace(splits.validation.index, label=label)
    assert after.settled.calibration != before.settled.calibration and after.cuts != before.cuts


def test_a_model_that_is_too_sure_gets_a_better_brier_score_and_the_same_roc_auc(
    raw: scoring.Evaluation, mild: scoring.Evaluation
) -> None:
    """What calibration is for, on the split that it has not seen."""
    temperature = mild.settled.calibration.temperature
    assert temperature is not None and temperature > 1.5
    before, after = raw.test["overall"], mild.test["overall"]
    assert after["brier_score"] < before["brier_score"] and after["roc_auc"] == before["roc_auc"]
    assert (
        mild.settled.calibration.validation["log_loss"]["before"]
        > mild.settled.calibration.validation["log_loss"]["after"]
    )
    assert np.array_equal(mild.probability, mild.settled.calibration.apply(raw.probability))


def test_the_same_cut_in_calibrated_probabilities_decides_alike(
    raw: scoring.Evaluation, mild: scoring.Evaluation
) -> None:
    """Temperature keeps the order: the best cut moves with the probabilities, and the warnings stay."""
    assert raw.validation["overall"]["contingency_table"] == mild.validation["overall"]["contingency_table"]
    assert raw.test["overall"]["macro_f1"] == pytest.approx(mild.test["overall"]["macro_f1"], abs=0.01)


def test_a_ratio_is_the_cut_and_its_expense_is_told_for_both_splits(splits: Splits) -> None:
    """Who protects at a fifth of the loss wants money beside the scores."""
    result = evaluated(splits, cost_loss_ratio=(0.2,))
    told = result.decision
    assert (told["by"], told["cost_loss_ratio"], told["cut"]) == (BY_RATIO, 0.2, [0.2]) and result.cut_score is None
    assert result.test["overall"]["cut"] == 0.2
    for name in ("validation", "test"):
        (entry,) = told["expense"][name]
        table = getattr(result, name)["overall"]["contingency_table"]
        n = sum(table.values())
        spent = (0.2 * (table["hits"] + table["false_alarms"]) + table["misses"]) / n
        assert entry["forecast"] == pytest.approx(spent) and entry["n"] == n
    words = " ".join(settling.in_words(result.settled, told))
    assert "relative value" in words and "temperature" in words and "log loss" in words


def test_references_are_cut_by_the_ratio_too(splits: Splits) -> None:
    """A forecast that protects at a fifth of the loss, beside references at half of it, would win by its cut alone."""
    result = evaluated(splits, cost_loss_ratio=(0.2,))
    assert {name: scores["cut"] for name, scores in result.test["references"].items()} == {
        "climatology": 0.2,
        "persistence": 0.2,
    }


def test_without_a_ratio_there_is_no_expense(mild: scoring.Evaluation) -> None:
    """An expense for a cost that nobody named would be invented."""
    assert mild.decision["expense"] is None and mild.decision["by"] == mild.cut_score == "macro_f1"
    assert mild.decision["cost_loss_ratio"] is None and mild.decision["cut"] == list(mild.cuts)


def test_always_saying_rain_because_it_pays_is_no_collapse(splits: Splits) -> None:
    """Where protecting costs next to nothing, protecting every day is right."""
    result = evaluated(splits, cost_loss_ratio=(1e-6,))
    assert result.test["overall"]["constant_answer"] and not result.is_collapsed
    found = [marks.find(result.test, None, is_collapsed=asked) for asked in (result.is_collapsed, True)]
    assert ["COLLAPSED" in {mark["code"] for mark in each} for each in found] == [False, True]

    class Constant(TooSure):
        def probabilities(self, windows: WindowSet) -> np.ndarray:
            return np.full((len(windows), 2), 0.5)

    flags = VerificationConfig(cost_loss_ratio=(1e-6,), bootstrap_draws=0)
    assert scoring.evaluate(Constant(), splits, flags).is_collapsed  # type: ignore[arg-type]


def test_several_thresholds_have_one_ratio_or_one_each() -> None:
    """Drizzle and downpour are decided apart, on curves that are fitted apart."""
    probability, label = three_classes()
    flags = VerificationConfig(calibration="isotonic", cost_loss_ratio=(0.3, 0.1))
    settled = settling.settle(probability, label, flags, NOTHING_SETTLED)
    assert settled.decision.cut == (0.3, 0.1) and len(settled.calibration.curves) == 2
    assert settling.told(settled.decision, {})["cost_loss_ratio"] == [0.3, 0.1]
    one = settling.settle(probability, label, VerificationConfig(cost_loss_ratio=(0.3,)), NOTHING_SETTLED)
    assert one.decision.cut == (0.3, 0.3) and settling.told(one.decision, {})["cost_loss_ratio"] == 0.3


def test_what_is_kept_is_not_settled_again() -> None:
    """Scoring a run again has to score that run, and not another one that the same weights would make today."""
    probability, label = three_classes()
    own = Settled(Calibration(method="temperature", temperature=3.0), Decision("f1", (0.1, 0.9)))
    kept = Kept(own.calibration, own.decision)
    assert settling.settle(probability, label, FLAGS, kept) == own
    only_calibration = settling.settle(probability, label, FLAGS, Kept(own.calibration))
    assert only_calibration.calibration is own.calibration and only_calibration.decision.by == "macro_f1"


def test_the_cut_is_chosen_on_calibrated_probabilities() -> None:
    """A cut of the raw probabilities, used on milder ones, would warn of nothing."""
    probability, label = three_classes()
    mild = Calibration(method="temperature", temperature=20.0)
    raw = settling.settle(probability, label, FLAGS, Kept(Calibration())).decision.cut
    cuts = settling.settle(probability, label, FLAGS, Kept(mild)).decision.cut
    assert cuts != raw and 0.6 < cuts[0] < 0.7 and 0.3 < cuts[1] < 0.4, "near 2/3 and 1/3, where T = 20 brings all"


@pytest.mark.parametrize("model", ["climatology", "persistence"])
def test_definitions_are_not_calibrated(model: str) -> None:
    """A calibrated climatology would be another, better reference than the one that every paper means."""
    probability, label = three_classes()
    settled = settling.settle(probability, label, FLAGS, settling.of_model(model))
    assert settled.calibration.method == "none" and model in settled.calibration.reason
    assert settling.of_model("gradient_boosting") == NOTHING_SETTLED


@pytest.mark.parametrize("ratio", [(0.0,), (1.0,), (-0.2,), (1.5,), (float("nan"),), (0.2, 2.0), ()])
def test_a_ratio_outside_0_to_1_is_refused_with_one_that_works(ratio: tuple[float, ...]) -> None:
    """0 would mean that protecting is free, 1 that it costs as much as what it saves."""
    with pytest.raises(UsageError, match="above 0 and below 1") as told:
        VerificationConfig(cost_loss_ratio=ratio)
    assert told.value.next_command == "--cost_loss_ratio 0.2"


def test_as_many_ratios_as_thresholds_or_one() -> None:
    """Two ratios for three thresholds would leave one of them to be guessed."""
    VerificationConfig(cost_loss_ratio=(0.2,)).require_fits((0.1, 1.0, 5.0))
    VerificationConfig(cost_loss_ratio=(0.2, 0.1)).require_fits((0.1, 1.0))
    VerificationConfig().require_fits((0.1, 1.0))
    with pytest.raises(UsageError, match="2 cost/loss ratios do not fit 3 thresholds"):
        VerificationConfig(cost_loss_ratio=(0.2, 0.1)).require_fits((0.1, 1.0, 5.0))
