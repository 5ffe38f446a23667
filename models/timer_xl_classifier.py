"""Timer-XL as a classifier: the encoder, pooling, and a small head.

Axes: B batch, L time steps, C or V variables, N tokens, P token length, D width, M marks of the init_time and region.

The encoder keeps the published names (142 tensors at full size) and the head adds six, ``classifier.*``: norm 0, linear
layers 1 and 4. With ``--head projection`` there are six others in their place, ``projection.*``: linear layers 0 and 4,
norm 1. A head has as many outputs as it is asked for: logits of classes, or quantiles of the rain.
Options that need more parameters add them under new names or widen the head; the default adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from layers.instance_norm import normalise, window_statistics
from layers.pooling import AttentionPooling, LayerMixing
from models import timer_xl
from models._config import dimension, marks, require_choice, require_positive, require_share
from models._history import HistoryBranch
from utils.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Config(timer_xl.Config):
    """Flags of the encoder and of the classifier's head.

    Raises:
        UsageError: ``CONFIG``, a value is out of range.
    """

    n_classes: int = field(default=2, metadata={"help": "classes; 1 gives a single logit, as --loss BCE wants"})
    pooling: Literal["mean", "last", "attention"] = field(
        default="mean",
        metadata={
            "help": "tokens the head sees: the mean over all, each variable's newest, or attention, a mean whose "
            "weights are learned, by one query per head"
        },
    )
    variate_pooling: Literal["mean", "concat"] = field(
        default="mean", metadata={"help": "variables the head sees: their mean, or all of them side by side"}
    )
    encoder_features: Literal["forecast", "states", "all_layers"] = field(
        default="forecast",
        metadata={
            "help": "what is pooled: the forecast head's output, the last layer's states, or the states of all layers"
        },
    )
    layer_mixing: Literal["mean", "learned"] = field(
        default="mean", metadata={"help": "with encoder_features all_layers: their mean, or learned shares"}
    )
    head: Literal["classifier", "projection"] = field(
        default="classifier",
        metadata={
            "help": "last layers: classifier (norm, linear, GELU, dropout, linear), or projection (linear, norm, ReLU, "
            "dropout, linear); either has one output per class, or per quantile in a regression"
        },
    )
    head_hidden: int = field(default=128, metadata={"help": "width inside the head"})
    head_dropout: float = field(default=0.1, metadata={"help": "dropout inside the head"})
    head_init_std: float = field(default=0.01, metadata={"help": "deviation of the head's initial weights"})
    level_statistics: bool = field(
        default=False,
        metadata={"help": "give the head each variable's window mean and deviation, which instance norm erases"},
    )
    last_hours: int = field(
        default=0, metadata={"help": "give the head a projection of the newest hours of all variables; 0: none"}
    )
    use_marks: bool = field(
        default=False, metadata={"help": "give the head the season and hour of the init_time and the region"}
    )
    history_features: bool = field(
        default=False,
        metadata={
            "help": "give the head features of the past month beside the encoder (391 of six variables): amounts, wet "
            "hours, tendencies, anomalies, turning winds (layers/history_features.py); wants --seq_len 720 or more"
        },
    )
    feature_dropout: float = field(
        default=0.5, metadata={"help": "share of these features that a training step does without"}
    )
    encoder_hours: int = field(
        default=0, metadata={"help": "newest hours of the window that the encoder reads, in whole tokens; 0: all"}
    )
    clamp_inputs: float | None = field(
        default=None,
        metadata={
            "help": "clamp scaled inputs at +-X; leaves NaN as NaN, and cuts heavy rain off (at 10: 4 % of the rain "
            "of single cells)"
        },
    )
    clamp_logits: float | None = field(
        default=None,
        metadata={"help": "clamp logits at +-X; leaves NaN as NaN, and what lies beyond the limit learns nothing"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_classes", "head_hidden", "head_init_std"):
            require_positive(name, getattr(self, name))
        for name in ("clamp_inputs", "clamp_logits"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require_share("head_dropout", self.head_dropout)
        require_share("feature_dropout", self.feature_dropout)
        require_choice("head", self.head, ("classifier", "projection"))
        require_choice("pooling", self.pooling, ("mean", "last", "attention"))
        require_choice("variate_pooling", self.variate_pooling, ("mean", "concat"))
        require_choice("encoder_features", self.encoder_features, ("forecast", "states", "all_layers"))
        require_choice("layer_mixing", self.layer_mixing, ("mean", "learned"))
        if self.layer_mixing == "learned" and self.encoder_features != "all_layers":
            raise UsageError(
                "CONFIG",
                f"--layer_mixing learned has nothing to mix: --encoder_features {self.encoder_features} is one layer",
                where="--layer_mixing and --encoder_features",
                next_command="--encoder_features all_layers, or leave --layer_mixing away",
            )
        for name in ("last_hours", "encoder_hours"):
            if getattr(self, name) < 0:
                raise UsageError(
                    "CONFIG",
                    f"--{name} {getattr(self, name)} is negative",
                    where=f"--{name}",
                    next_command=f"--{name} 24",
                )


class Model(timer_xl.Model):
    """Encoder, pooling and head.

    Args:
        configs: any object with the flags of `Config` as attributes; what it lacks takes the default.
            ``variate_pooling concat``, ``level_statistics``, ``last_hours``, ``use_marks`` and ``history_features``
            also need ``n_variables``, ``step_hours``, ``n_marks``, or what the data were scaled with.

    Raises:
        UsageError: ``CONFIG``, an option needs a dimension the object lacks.
    """

    config_type = Config

    def __init__(self, configs: Any) -> None:
        super().__init__(configs)
        config = self.config
        self._encoder_frozen = False
        step_hours = int(getattr(configs, "step_hours", 1))
        self._last_steps = _whole_steps("last_hours", config.last_hours, step_hours)
        self._encoder_steps = _whole_steps("encoder_hours", config.encoder_hours, step_hours)
        pooled_width = self._feature_width
        if config.pooling == "attention":
            self.token_attention = AttentionPooling(pooled_width, math.gcd(config.n_heads, pooled_width))
        if config.layer_mixing == "learned":
            self.layer_mixing = LayerMixing(config.e_layers)
        if config.variate_pooling == "concat":
            pooled_width *= dimension(configs, "n_variables", "--variate_pooling concat")
        extra_width = 0
        if config.level_statistics:
            extra_width += 2 * dimension(configs, "n_variables", "--level_statistics")
        if config.use_marks:
            self._n_marks = dimension(configs, "n_marks", "--use_marks")
            extra_width += self._n_marks
        if config.last_hours:
            raw_width = self._last_steps * dimension(configs, "n_variables", "--last_hours")
            self.shortcut = nn.Sequential(nn.Linear(raw_width, config.head_hidden), nn.GELU())
            extra_width += config.head_hidden
        if config.history_features:
            self.history = HistoryBranch(configs, config.feature_dropout)
            extra_width += self.history.n_outputs
        inner = nn.Linear(pooled_width + extra_width, config.head_hidden)
        outer = nn.Linear(config.head_hidden, config.n_classes)
        for layer in (inner, outer):
            nn.init.normal_(layer.weight, std=config.head_init_std)
            nn.init.zeros_(layer.bias)
        dropout = nn.Dropout(config.head_dropout)
        if config.head == "projection":
            self.projection = nn.Sequential(inner, nn.LayerNorm(config.head_hidden), nn.ReLU(), dropout, outer)
        else:
            self.classifier = nn.Sequential(nn.LayerNorm(pooled_width), inner, nn.GELU(), dropout, outer)

    def forward(
        self,
        x: torch.Tensor,
        x_mark: torch.Tensor | None = None,
        y_mark: torch.Tensor | None = None,  # noqa: ARG002 - the place OpenLTM's experiments pass it in
    ) -> torch.Tensor:
        """Classify a window.

        Args:
            x: window `(B, L, C)`, scaled.
            x_mark: marks `(B, M)`; used with ``use_marks`` and ``history_features``.
            y_mark: not used; the place OpenLTM's experiments pass it in.

        Returns:
            logits `(B, n_classes)`.
        """
        return self.classify(self.pooled(x), self.extras(x, x_mark))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Encode a window `(B, L, C)` as far as the encoder alone decides: the features that may be cached.

        With a frozen encoder this never changes, since all that is trained comes after it, in `pool` and `classify`.
        Its shape is `(B, *encoded_shape)`: what has no parameters (means, the newest token, side by side) is done
        here already, so that a cache holds no more values per window than it must, `cached_width` of them.
        """
        x = _clamped(self.whole_tokens(self._read_by_encoder(x)), self.config.clamp_inputs)
        x = normalise(x, window_statistics(x)) if self.config.use_norm else x
        states = self.layer_states(x) if self.config.encoder_features == "all_layers" else self.states(x)
        if self.config.encoder_features == "all_layers" and self.config.layer_mixing == "mean":
            states = states.mean(dim=1)
        if self.config.pooling == "attention":
            return self._features(states)
        per_variate = states.mean(dim=-2) if self.config.pooling == "mean" else states[..., -1, :]
        # The forecast head is linear, so it is applied to the mean of the states and once.
        if self.config.variate_pooling == "mean":
            return self._features(per_variate.mean(dim=-2))
        return self._features(per_variate).flatten(-2)

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Encode a window `(B, L, C)`; another name of `encode`, whose answer `classify` takes."""
        return self.encode(x)

    def pool(self, encoded: torch.Tensor) -> torch.Tensor:
        """Apply the trainable pooling, if any, to what `encode` gave: `(B, pooled width)`."""
        if self.config.layer_mixing == "learned":
            encoded = self.layer_mixing(encoded)
        if self.config.pooling != "attention":
            return encoded
        per_variate = self.token_attention(encoded)
        return per_variate.mean(dim=1) if self.config.variate_pooling == "mean" else per_variate.flatten(1)

    def encoded_shape(self, n_variables: int, n_steps: int) -> tuple[int, ...]:
        """Shape of `encode` for one window of so many variables and steps, without the batch axis.

        - pooling ``mean`` or ``last``: F values, times V with ``variate_pooling concat``;
        - pooling ``attention``: `(V, N, F)`, every token, since the weights of the tokens are trained;
        - ``layer_mixing learned``: the same once for every layer.

        F is the forecast head's token length, or the width D of the states.
        """
        config, width = self.config, self._feature_width
        n_steps = min(n_steps, self._encoder_steps or n_steps)
        if config.pooling == "attention":
            shape: tuple[int, ...] = (n_variables, n_steps // config.input_token_len, width)
        else:
            shape = (width * n_variables if config.variate_pooling == "concat" else width,)
        return (config.e_layers, *shape) if config.layer_mixing == "learned" else shape

    def cached_width(self, n_variables: int, n_steps: int) -> int:
        """Number of values that `encode` gives for one window, which is what a cache holds of it."""
        return math.prod(self.encoded_shape(n_variables, n_steps))

    @property
    def _feature_width(self) -> int:
        """Width F of one token's features."""
        config = self.config
        return config.output_token_len if config.encoder_features == "forecast" else config.d_model

    def _features(self, states: torch.Tensor) -> torch.Tensor:
        """Turn states `(..., D)` into the features `(..., F)` that are pooled."""
        return self.head(states) if self.config.encoder_features == "forecast" else states

    def extras(self, x: torch.Tensor, x_mark: torch.Tensor | None = None) -> list[torch.Tensor]:
        """What by option goes to the head beside the encoder's features: parts `(B, width)`, none by default.

        Args:
            x: window `(B, L, C)`, scaled.
            x_mark: marks `(B, M)`; used with ``use_marks`` and ``history_features``.
        """
        x = _clamped(x, self.config.clamp_inputs)
        parts = []
        if self.config.level_statistics:
            statistics = window_statistics(self.whole_tokens(x))
            parts += [statistics.mean.flatten(1), statistics.deviation.flatten(1)]
        if self.config.use_marks:
            parts.append(marks(x_mark, self._n_marks))
        if self._last_steps:
            parts.append(self.shortcut(self._newest(x)))
        if self.config.history_features:
            parts.append(self.history(x, x_mark))
        return parts

    @property
    def reads_past_encoder(self) -> bool:
        """True where the head looks at the window or its marks itself, so that the encoder's answer is not enough."""
        config = self.config
        return config.level_statistics or config.use_marks or config.history_features or bool(config.last_hours)

    def fit_inputs(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Take what is fitted before training from training windows: batches of windows `(B, L, C)`, marks `(B, M)`."""
        if self.config.history_features:
            self.history.fit(batches)

    def _read_by_encoder(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, -self._encoder_steps :] if self._encoder_steps else x

    def _newest(self, x: torch.Tensor) -> torch.Tensor:
        """The newest ``last_hours`` of all variables side by side, `(B, steps * C)`."""
        if x.shape[1] < self._last_steps:
            raise UsageError(
                "CONFIG",
                f"--last_hours {self.config.last_hours} is more than the window's {x.shape[1]} steps",
                where="--last_hours and --seq_len",
                next_command="make --seq_len longer or --last_hours shorter",
            )
        return x[:, -self._last_steps :].flatten(1)

    def classify(self, encoded: torch.Tensor, extras: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Apply all that comes after the encoder: pooling and head, to what `encode` and `extras` gave.

        The extras join after the classifier's norm, which would mix their levels with the encoder's; the projection
        has a linear layer before its norm, so they join at its beginning.
        """
        pooled = self.pool(encoded)
        if self.config.head == "projection":
            return _clamped(self.projection(_joined(pooled, extras)), self.config.clamp_logits)
        first_norm, *rest = self.classifier
        hidden = _joined(first_norm(pooled), extras)
        for module in rest:
            hidden = module(hidden)
        return _clamped(hidden, self.config.clamp_logits)

    def freeze_encoder(self) -> None:
        """Keep the encoder as it is: no gradients, no dropout, whatever ``train()`` says later."""
        self._set_encoder_frozen(True)

    def unfreeze_encoder(self) -> None:
        """Let the encoder learn again."""
        self._set_encoder_frozen(False)

    def train(self, mode: bool = True) -> Model:
        """Set training or evaluation; a frozen encoder stays in evaluation."""
        super().train(mode)
        if mode and self._encoder_frozen:
            for module in self.encoder_modules():
                module.eval()
        return self

    def _set_encoder_frozen(self, frozen: bool) -> None:
        self._encoder_frozen = frozen
        for module in self.encoder_modules():
            module.requires_grad_(not frozen)
        self.train(self.training)


def _clamped(x: torch.Tensor, limit: float | None) -> torch.Tensor:
    """Clamp at +-`limit`, NaN staying NaN; without a limit the tensor itself."""
    return x if limit is None else x.clamp(-limit, limit)


def _joined(features: torch.Tensor, extras: Sequence[torch.Tensor]) -> torch.Tensor:
    """Put extras `(B, width)` beside features `(B, width)`; without any, the features themselves."""
    return torch.cat([features, *extras], dim=1) if extras else features


def _whole_steps(flag: str, hours: int, step_hours: int) -> int:
    """Rows that cover the newest `hours` of a table with one row every `step_hours`."""
    if hours % step_hours:
        raise UsageError(
            "CONFIG",
            f"--{flag} {hours} is not a multiple of the data's step of {step_hours} hours",
            where=f"--{flag}",
            next_command=f"--{flag} {max(1, hours // step_hours) * step_hours}",
        )
    return hours // step_hours
