"""Losses for classification: cross-entropy, class-wise focal loss, and both on a single logit.

Axes: B batch, K classes.

Everything is computed from log-probabilities, in single precision or better, so that no clamp is needed: logits
of +-10,000 give finite losses and gradients. Focal loss: Lin et al. 2017, arXiv:1708.02002, with its alpha taken
class by class; one alpha for both classes would only scale the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F

from utils.errors import UsageError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Flags of the loss.

    Raises:
        UsageError: ``CONFIG``, a value or a pair of flags makes no sense for classification.
    """

    loss: Literal["CE", "BCE"] = field(
        default="CE", metadata={"help": "CE: cross-entropy over the classes; BCE: the same for two, on one logit"}
    )
    use_focal_loss: bool = field(default=False, metadata={"help": "focal loss; wins over --loss CE"})
    focal_alpha: float | None = field(
        default=None,
        metadata={"help": "focal weight of class 1 (rain), 1-alpha of class 0; none: no weighting by it"},
    )
    focal_gamma: float = field(default=2.0, metadata={"help": "focal exponent; 0 is cross-entropy"})
    class_weights: tuple[float, ...] | None = field(
        default=None, metadata={"help": "one weight per class, in order; not applied on top of --focal_alpha"}
    )
    label_smoothing: float = field(default=0.0, metadata={"help": "share of each label spread over all classes"})
    pos_weight: float | None = field(default=None, metadata={"help": "weight of class 1 with --loss BCE"})

    def __post_init__(self) -> None:
        if self.loss not in ("CE", "BCE"):
            raise _refusal(f"--loss {self.loss} is not for classification", "--loss", "--loss CE, or --loss BCE")
        if self.focal_alpha is not None and not 0.0 < self.focal_alpha < 1.0:
            raise _refusal(f"--focal_alpha {self.focal_alpha} is not in (0, 1)", "--focal_alpha", "--focal_alpha 0.7")
        if not 0.0 <= self.focal_gamma < float("inf"):
            raise _refusal(f"--focal_gamma {self.focal_gamma} is negative", "--focal_gamma", "--focal_gamma 2.0")
        if not 0.0 <= self.label_smoothing < 1.0:
            raise _refusal(
                f"--label_smoothing {self.label_smoothing} is not in [0, 1)",
                "--label_smoothing",
                "--label_smoothing 0.1",
            )
        weights = (*(self.class_weights or ()), *(() if self.pos_weight is None else (self.pos_weight,)))
        if not all(0.0 < weight < float("inf") for weight in weights):
            raise _refusal(
                f"weights {weights} are not all above zero", "--class_weights, --pos_weight", "give positive weights"
            )
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        if self.use_focal_loss and self.label_smoothing:
            raise _refusal(
                "focal loss is not defined for smoothed labels",
                "--use_focal_loss and --label_smoothing",
                "leave one of the two away",
            )
        if self.pos_weight is not None and (self.loss != "BCE" or self.use_focal_loss or self.class_weights):
            raise _refusal(
                "--pos_weight belongs to plain --loss BCE",
                "--pos_weight",
                "use --focal_alpha with focal loss, --class_weights with CE, and only one of them",
            )
        if self.focal_alpha is not None and not self.use_focal_loss:
            raise _refusal("--focal_alpha has no effect without focal loss", "--focal_alpha", "add --use_focal_loss")


def _refusal(what: str, where: str, way_out: str) -> UsageError:
    return UsageError("CONFIG", what, where=where, next_command=way_out)


def n_outputs(config: LossConfig, n_classes: int) -> int:
    """How many logits the model must give: one with BCE, else one per class.

    Raises:
        UsageError: ``CONFIG``, the loss does not fit that many classes.
    """
    if config.class_weights is not None and len(config.class_weights) != n_classes:
        raise _refusal(
            f"--class_weights has {len(config.class_weights)} weights for {n_classes} classes",
            "--class_weights",
            f"give {n_classes} weights",
        )
    if n_classes != 2 and config.focal_alpha is not None:
        raise _refusal(
            f"--focal_alpha weighs two classes and there are {n_classes}", "--focal_alpha", "use --class_weights"
        )
    if config.loss == "CE":
        return n_classes
    if n_classes != 2:
        raise _refusal(f"--loss BCE is for two classes and there are {n_classes}", "--loss", "--loss CE")
    return 1


def build_loss(config: LossConfig, n_classes: int) -> Loss:
    """Make the loss: a function of logits `(B, K)` and labels `(B,)` with values 0 to K-1, giving a scalar.

    Raises:
        UsageError: ``CONFIG``, the loss does not fit that many classes.
    """
    one_logit = n_outputs(config, n_classes) == 1
    weights = config.class_weights
    if config.use_focal_loss:
        alpha = config.focal_alpha
        if alpha is not None:
            pair = (1.0 - alpha, alpha)
            return lambda logits, labels: focal_loss(logits, labels, config.focal_gamma, pair, normalise=False)
        return lambda logits, labels: focal_loss(logits, labels, config.focal_gamma, weights)
    if one_logit:
        if config.pos_weight is not None:
            positive = (1.0, config.pos_weight)
            return lambda logits, labels: binary_cross_entropy(
                logits, labels, positive, config.label_smoothing, normalise=False
            )
        return lambda logits, labels: binary_cross_entropy(logits, labels, weights, config.label_smoothing)
    return lambda logits, labels: cross_entropy(logits, labels, weights, config.label_smoothing)


def loss_terms(config: LossConfig, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the parts the loss is made of, by name, in the order they are computed; each `(B,)`.

    ``log_probability`` of the label, ``focal_factor`` (focal loss only) and ``weight`` (with weights only).
    """
    log_probability = _log_probabilities(logits)
    index = labels.long()[:, None]
    terms = {"log_probability": log_probability.gather(1, index)[:, 0]}
    if config.use_focal_loss:
        terms["focal_factor"] = torch.exp(config.focal_gamma * _log_wrong(log_probability, index))
    weights = config.class_weights
    if config.focal_alpha is not None:
        weights = (1.0 - config.focal_alpha, config.focal_alpha)
    elif config.pos_weight is not None:
        weights = (1.0, config.pos_weight)
    if weights is not None:
        terms["weight"] = _weights(weights, log_probability.dtype, logits.device)[labels.long()]
    return terms


def total_weight(config: LossConfig, labels: torch.Tensor) -> torch.Tensor:
    """What the mean of the loss over `labels` `(B,)` divides by, so that means of parts join to that of the whole."""
    if config.class_weights is None or config.focal_alpha is not None:
        return torch.full((), float(len(labels)), device=labels.device)
    return _weights(config.class_weights, torch.float32, labels.device)[labels.long()].sum()


def describe(config: LossConfig) -> str:
    """Say in one line which loss is used and which flags it overrules."""
    one_logit = " on one logit" if config.loss == "BCE" else ""
    if not config.use_focal_loss:
        name = "cross-entropy" if config.loss == "CE" else "binary cross-entropy"
        parts = [name + one_logit]
        if config.pos_weight is not None:
            parts.append(f"weight {config.pos_weight:g} of class 1")
    else:
        parts = [f"focal loss{one_logit} (--use_focal_loss wins over --loss {config.loss})"]
        parts.append(f"gamma {config.focal_gamma:g}")
    if config.focal_alpha is not None:
        parts.append(f"alpha {config.focal_alpha:g} of class 1 and {1 - config.focal_alpha:g} of class 0")
        if config.class_weights:
            parts.append("--class_weights not applied on top of --focal_alpha")
    elif config.class_weights:
        parts.append("class weights " + ", ".join(f"{weight:g}" for weight in config.class_weights))
    if config.label_smoothing:
        parts.append(f"label smoothing {config.label_smoothing:g}")
    return "; ".join(parts)


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Turn logits `(B, K)`, or a single logit `(B, 1)`, into probabilities `(B, K)`, two for a single logit."""
    return _log_probabilities(logits).exp()


def cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    class_weights: tuple[float, ...] | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy of logits `(B, K)`; with weights the mean is over the weights, as is usual."""
    wide = _wide(logits)
    weight = None if class_weights is None else _weights(class_weights, wide.dtype, wide.device)
    return F.cross_entropy(wide, labels.long(), weight, label_smoothing=label_smoothing)


def binary_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    class_weights: tuple[float, ...] | None = None,
    label_smoothing: float = 0.0,
    normalise: bool = True,
) -> torch.Tensor:
    """Cross-entropy of a single logit `(B, 1)`.

    Args:
        logits: `(B, 1)`; positive speaks for class 1.
        labels: `(B,)`, 0 or 1.
        class_weights: weights of class 0 and class 1.
        label_smoothing: share of each label spread over both classes.
        normalise: divide by the sum of the weights; otherwise by B, as a weight of the positive class does.
    """
    log_probability = _log_probabilities(logits)
    target = F.one_hot(labels.long(), 2).to(log_probability.dtype)
    target = target * (1.0 - label_smoothing) + label_smoothing / 2
    if class_weights is None:
        return -(target * log_probability).sum(dim=1).mean()
    weight = _weights(class_weights, log_probability.dtype, logits.device)
    total = -(target * weight * log_probability).sum()
    return total / (weight[labels.long()].sum() if normalise else len(labels))


def focal_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    gamma: float,
    class_weights: tuple[float, ...] | None = None,
    normalise: bool = True,
) -> torch.Tensor:
    """Class-wise focal loss: cross-entropy times ``(1 - p)**gamma``, where p is the label's probability.

    Args:
        logits: `(B, K)`, or a single logit `(B, 1)` for two classes.
        labels: `(B,)`, 0 to K-1.
        gamma: exponent; 0 gives cross-entropy.
        class_weights: one weight per class.
        normalise: divide by the sum of the labels' weights, as weighted cross-entropy does; otherwise by B,
            as the paper does with its alpha.
    """
    log_probability = _log_probabilities(logits)
    index = labels.long()[:, None]
    log_right = log_probability.gather(1, index)[:, 0]
    loss = -torch.exp(gamma * _log_wrong(log_probability, index)) * log_right
    if class_weights is None:
        return loss.mean()
    weight = _weights(class_weights, loss.dtype, loss.device)[labels.long()]
    return (weight * loss).sum() / (weight.sum() if normalise else len(labels))


def _log_wrong(log_probability: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """log(1 - p) from the other classes: exact where p rounds to one, and its gradient stays finite."""
    return log_probability.scatter(1, index, float("-inf")).logsumexp(dim=1)


def _log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    wide = _wide(logits)
    if wide.shape[1] == 1:
        return torch.cat((F.logsigmoid(-wide), F.logsigmoid(wide)), dim=1)
    return F.log_softmax(wide, dim=1)


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@lru_cache(maxsize=16)
def _weights(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A small constant, sent to the device once and not in every step."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)
