"""Losses: identities with textbook forms, class-wise alpha, and extreme logits.

Axes: B batch, K classes.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from layers.losses import LossConfig, build_loss, describe, n_outputs, probabilities
from utils.errors import UsageError

LABELS = torch.tensor([0, 1, 1, 0, 1])


def logits_of(width: int) -> torch.Tensor:
    """Five rows of logits in double precision."""
    return torch.randn(5, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()


def as_two(logit: torch.Tensor) -> torch.Tensor:
    """The two-class logits that mean the same as one logit."""
    return torch.cat((torch.zeros_like(logit), logit), dim=1)


@pytest.mark.parametrize("weights", [None, (0.3, 0.7)])
def test_focal_loss_with_gamma_zero_and_no_alpha_is_cross_entropy(weights):
    """Otherwise two runs that differ only in gamma cannot be compared."""
    focal = build_loss(LossConfig(use_focal_loss=True, focal_gamma=0.0, class_weights=weights), 2)
    plain = build_loss(LossConfig(class_weights=weights), 2)
    logits = logits_of(2)
    assert torch.allclose(focal(logits, LABELS), plain(logits, LABELS), atol=1e-12)
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    assert torch.allclose(plain(logits, LABELS), F.cross_entropy(logits, LABELS, weight), atol=1e-12)


def test_focal_loss_equals_the_papers_formula_class_by_class():
    """A scalar alpha scales both classes alike and balances nothing."""
    logits = logits_of(2)
    right = torch.softmax(logits, 1)[torch.arange(5), LABELS]
    alpha = torch.tensor([0.3, 0.7], dtype=torch.float64)[LABELS]
    expected = (alpha * (1 - right) ** 2.8 * -right.log()).mean()
    got = build_loss(LossConfig(use_focal_loss=True, focal_alpha=0.7, focal_gamma=2.8), 2)(logits, LABELS)
    assert torch.allclose(got, expected, atol=1e-12)


def test_focal_alpha_is_not_applied_on_top_of_class_weights():
    """Weighing twice would square the balance; the line that describes the loss says so."""
    config = LossConfig(use_focal_loss=True, focal_alpha=0.7, focal_gamma=2.8, class_weights=(0.3, 0.7))
    alone = LossConfig(use_focal_loss=True, focal_alpha=0.7, focal_gamma=2.8)
    logits = logits_of(2)
    assert build_loss(config, 2)(logits, LABELS) == build_loss(alone, 2)(logits, LABELS)
    assert "not applied on top" in describe(config)
    assert "wins over --loss CE" in describe(config)
    assert "not applied" not in describe(alone)


@pytest.mark.parametrize(
    "config",
    [
        {"use_focal_loss": True, "focal_alpha": 0.7},
        {"use_focal_loss": True, "class_weights": (0.3, 0.7)},
        {"label_smoothing": 0.1},
        {"class_weights": (0.3, 0.7), "label_smoothing": 0.1},
    ],
)
def test_a_single_logit_gives_the_same_loss_as_two(config):
    """--loss BCE must be the same science on one output, not another loss under the same flags."""
    logit = logits_of(1)
    one = build_loss(LossConfig(loss="BCE", **config), 2)(logit, LABELS)
    two = build_loss(LossConfig(**config), 2)(as_two(logit), LABELS)
    assert torch.allclose(one, two, atol=1e-12)


def test_pos_weight_is_the_usual_one():
    """It multiplies the positive class and divides by the batch, as in torch."""
    logit = logits_of(1)
    got = build_loss(LossConfig(loss="BCE", pos_weight=3.0), 2)(logit, LABELS)
    expected = F.binary_cross_entropy_with_logits(
        logit[:, 0], LABELS.double(), pos_weight=torch.tensor(3.0, dtype=torch.float64)
    )
    assert torch.allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("loss", ["CE", "BCE"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_extreme_logits_give_finite_losses_and_gradients(loss, gamma, dtype):
    """log(0) or 0 * inf in one sample makes the whole step NaN; a clamp instead would hide the gradient."""
    width = 2 if loss == "CE" else 1
    logits = torch.tensor([[1e4], [-1e4], [1e4], [-1e4], [0.0]]).expand(5, width).clone()
    if width == 2:
        logits[:, 0] *= -1
    logits = logits.to(dtype).requires_grad_()
    config = LossConfig(loss=loss, use_focal_loss=True, focal_alpha=0.7, focal_gamma=gamma)
    value = build_loss(config, 2)(logits, LABELS)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    assert gradient[0].abs().max() > 0, "a wrong and sure sample must still teach"


def test_more_than_two_classes_work_with_cross_entropy_and_focal_loss():
    """Several thresholds are several classes."""
    logits, labels = logits_of(4), torch.tensor([0, 1, 2, 3, 1])
    plain = build_loss(LossConfig(), 4)(logits, labels)
    focal = build_loss(LossConfig(use_focal_loss=True, focal_gamma=0.0), 4)(logits, labels)
    assert torch.allclose(plain, focal, atol=1e-12)
    right = torch.softmax(logits, 1)[torch.arange(5), labels]
    got = build_loss(LossConfig(use_focal_loss=True), 4)(logits, labels)
    assert torch.allclose(got, ((1 - right) ** 2 * -right.log()).mean(), atol=1e-12)


def test_probabilities_sum_to_one_and_a_single_logit_speaks_for_class_one():
    """Exchanged columns would turn every score upside down."""
    logit = torch.tensor([[2.0], [-3.0]])
    got = probabilities(logit)
    assert torch.allclose(got[:, 1], torch.sigmoid(logit[:, 0]))
    assert torch.allclose(got.sum(1), torch.ones(2))
    assert torch.allclose(probabilities(logits_of(3)), torch.softmax(logits_of(3), 1))


def test_number_of_outputs_follows_loss_and_classes():
    """The model must be built with as many logits as the loss reads."""
    assert n_outputs(LossConfig(), 2) == 2
    assert n_outputs(LossConfig(), 4) == 4
    assert n_outputs(LossConfig(loss="BCE"), 2) == 1


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"loss": "MSE"}, "--loss CE, or --loss BCE"),
        ({"use_focal_loss": True, "focal_alpha": 1.5}, "focal_alpha"),
        ({"focal_alpha": 0.7}, "--use_focal_loss"),
        ({"focal_gamma": -1.0}, "focal_gamma"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"class_weights": (1.0, -1.0)}, "positive"),
        ({"pos_weight": 2.0}, "class_weights with CE"),
        ({"use_focal_loss": True, "label_smoothing": 0.1}, "leave one"),
    ],
)
def test_nonsense_is_refused_with_the_flag_and_the_way_out(flags, word):
    """A contradictory loss must not be trained with for hours."""
    with pytest.raises(UsageError) as caught:
        LossConfig(**flags)
    assert caught.value.code == "CONFIG"
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "n_classes"),
    [
        ({"loss": "BCE"}, 3),
        ({"class_weights": (1.0, 2.0)}, 3),
        ({"use_focal_loss": True, "focal_alpha": 0.7}, 3),
    ],
)
def test_a_loss_that_does_not_fit_the_classes_is_refused(flags, n_classes):
    """Two weights for three classes would crash, or worse broadcast."""
    with pytest.raises(UsageError):
        build_loss(LossConfig(**flags), n_classes)
