"""Focal loss at extreme logits: ours, the textbook's, and clamped."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from exp.beliefs.row import Row, Sizes, percent
from exp.beliefs.training import for_case, train
from exp.beliefs.weather import case
from layers.losses import focal_loss

GAMMA = 2.0
EXTREMES = (10.0, 100.0, 1e4)
LIMIT = 10.0


def textbook_focal(logits: torch.Tensor, labels: torch.Tensor, gamma: float = GAMMA) -> torch.Tensor:
    """Focal loss from probabilities, as it is written in formulas."""
    probability = torch.softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
    return (-((1 - probability) ** gamma) * torch.log(probability)).mean()


def ours(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The project's focal loss."""
    return focal_loss(logits, labels, GAMMA)


def _textbook_half(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return textbook_focal(logits, labels, 0.5)


def _ours_half(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return focal_loss(logits, labels, 0.5)


def _extreme(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], size: float) -> tuple[float, bool]:
    """Loss of one right and one wrong answer with logits +-`size`, and whether loss and gradients are finite."""
    logits = torch.tensor([[size, -size], [size, -size]], requires_grad=True)
    value = loss(logits, torch.tensor([0, 1]))
    value.backward()
    assert logits.grad is not None
    return value.item(), bool(torch.isfinite(value) & torch.isfinite(logits.grad).all())


def focal_needs_clamp(_sizes: Sizes) -> Row:
    """Focal loss at logits of 10 to 10,000."""
    forms: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "ours": ours,
        "textbook": textbook_focal,
        "cross-entropy": F.cross_entropy,
    }
    finite = {name: [size for size in EXTREMES if _extreme(loss, size)[1]] for name, loss in forms.items()}
    return Row(
        belief="focal loss needs clamped logits",
        notes="+-10",
        measured="finite loss and gradient at logits of +-10, +-100, +-10,000: "
        + ", ".join(f"{name} {len(values)} of {len(EXTREMES)}" for name, values in finite.items()),
        verdict="half true",
        reason="The formula on probabilities does; from log-probabilities no clamp is needed.",
        holds=len(finite["ours"]) == len(EXTREMES) > len(finite["textbook"]),
        figures={name: len(values) for name, values in finite.items()},
    )


def log_of_zero(_sizes: Sizes) -> Row:
    """Log of zero and division by zero in focal loss."""
    wrong, _ = _extreme(textbook_focal, 100.0)
    fraction = {}
    for name, loss in (("textbook", _textbook_half), ("ours", _ours_half)):
        logits = torch.tensor([[50.0, -50.0]], requires_grad=True)
        loss(logits, torch.tensor([0])).backward()
        assert logits.grad is not None
        fraction[name] = int((~torch.isfinite(logits.grad)).sum())
    return Row(
        belief="log(0) and division by zero in the loss give NaN",
        notes="numerical instability",
        measured=f"textbook formula at logits +-100: loss {wrong}; gamma 0.5 at a certain right answer: gradients not "
        f"finite {fraction['textbook']} of 2, ours {fraction['ours']} of 2",
        verdict="true",
        reason="So the loss is computed from log-probabilities, as ours and PyTorch's are.",
        holds=not wrong < 1e30 and fraction["textbook"] > 0 and fraction["ours"] == 0,
        figures=fraction,
    )


def clamp_logits(sizes: Sizes) -> Row:
    """What a clamp at 10 does to the gradient of a confident wrong answer."""
    gradients = {}
    for name, limit in (("clamped", LIMIT), ("plain", float("inf"))):
        logits = torch.tensor([[12.0, -12.0]], requires_grad=True)
        F.cross_entropy(logits.clamp(-limit, limit), torch.tensor([1])).backward()
        assert logits.grad is not None
        gradients[name] = logits.grad.abs().sum().item()
    windows = case(sizes).dirty
    share = train(for_case(sizes, windows, clamp_logits=LIMIT), windows, sizes, steps=4).share
    return Row(
        belief="clamping the logits at +-10 prevents extreme losses",
        notes="+-10",
        measured=f"gradient of a confident wrong answer (logits +-12): {gradients['plain']:.2f} plain, "
        f"{gradients['clamped']:.2f} clamped; non-finite steps with the blank rows {percent(share)}",
        verdict="false",
        reason="Beyond the limit the sample teaches nothing, and NaN passes through a clamp.",
        holds=gradients["clamped"] == 0 and gradients["plain"] > 1 and share == 1,
        figures={**gradients, "share": share},
    )


def another_loss(sizes: Sizes) -> Row:
    """Binary cross-entropy in place of focal loss, at the same logits."""
    _, bce = _extreme(
        lambda logits, labels: F.binary_cross_entropy_with_logits(
            logits[:, 1] - logits[:, 0], labels.float(), pos_weight=torch.tensor(1.5)
        ),
        1e4,
    )
    _, focal = _extreme(ours, 1e4)
    windows = case(sizes).dirty
    shares = [
        train(for_case(sizes, windows), windows, sizes, steps=4, loss=loss).share for loss in (ours, F.cross_entropy)
    ]
    return Row(
        belief="plain cross-entropy (BCEWithLogits) in place of focal loss ends the NaN",
        notes="alternative 1, pos_weight 1.5",
        measured=f"logits +-10,000: BCE {'finite' if bce else 'not finite'}, our focal loss "
        f"{'finite' if focal else 'not finite'}; non-finite steps with the blank rows: focal {percent(shares[0])}, "
        f"cross-entropy {percent(shares[1])}",
        verdict="depends",
        reason="It helps where the focal loss was written with probabilities, and never against NaN in the data.",
        holds=bce and focal and shares == [1, 1],
        figures={"bce": bce, "focal": focal, "shares": shares},
    )


ALL = (focal_needs_clamp, log_of_zero, clamp_logits, another_loss)
