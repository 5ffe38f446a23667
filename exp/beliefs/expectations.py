"""Scores and gains that the notes expect, and what cannot be measured in this repository at all."""

from __future__ import annotations

from exp.beliefs.row import Row, Sizes, not_measured, percent

DRY, WET = 2934, 4730


def expected_scores(_sizes: Sizes) -> Row:
    """The F1 of a forecast that always says rain."""
    rate = WET / (WET + DRY)
    constant = 2 * rate / (1 + rate)
    return Row(
        belief="F1 of 0.70-0.75 from scratch, 0.68-0.73 small, 0.72-0.78 by transfer",
        notes="0.68-0.78",
        measured=f"a forecast that always says rain: F1 {constant:.3f} at the notes' {percent(rate)} of rain",
        verdict="false",
        reason="As goals: most of the range is below a constant; macro F1, ROC AUC and Brier skill tell more.",
        holds=constant > 0.75,
        figures={"constant_f1": constant, "base_rate": rate},
    )


def transfer_worth(_sizes: Sizes) -> Row:
    """When transfer pays."""
    return not_measured(
        "transfer pays below 1,000 samples or on complex tasks, not with 6,224 samples",
        "< 1,000; 6,224",
        "It needs the released weights and a learning curve on real ERA5, which synthetic data cannot stand for.",
    )


def success_odds(_sizes: Sizes) -> Row:
    """The odds of the small model."""
    return not_measured(
        "the small model succeeds with a probability of 95 %, in 30-60 minutes",
        "95 %",
        "A single case has no probability; small_model_decides shows that the small model fails on the same rows.",
    )


def less_overfitting(_sizes: Sizes) -> Row:
    """Overfitting and size."""
    return not_measured(
        "the small model overfits less with 6,224 samples, at 1e-3 it converges in 10-15 epochs",
        "6,224 samples",
        "Trainings of some hundred steps on synthetic data cannot show overfitting; compare both presets on your data.",
    )


def keras_or_torch(_sizes: Sizes) -> Row:
    """PyTorch against Keras."""
    return not_measured(
        "PyTorch is faster, more flexible and more stable than Keras, which has CuDNN issues",
        "9.1 vs 9.3",
        "Keras is no part of this repository; neither program makes NaN of clean data by itself.",
    )


def price_scores(_sizes: Sizes) -> Row:
    """The other projects' scores."""
    return not_measured(
        "after the fixes: SMAPE 42-46 %, early stopping at epoch 80-120, validation loss 0.52-0.56",
        "nan % to 42-46 %",
        "It is a score of other data. That a NaN score becomes a number says only that the NaN is gone.",
    )


def mid_epoch_saves(_sizes: Sizes) -> Row:
    """Saving within an epoch."""
    return not_measured(
        "saving every 100 batches protects against NaN",
        "every 100 batches",
        "It limits what an interruption loses; a file saved after the first NaN step is lost too (detect_and_stop).",
    )


ALL = (
    expected_scores, transfer_worth, success_odds, less_overfitting, keras_or_torch, price_scores, mid_epoch_saves,
)  # fmt: skip
