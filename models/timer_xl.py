"""Timer-XL: a decoder-only transformer over tokens of several variables; forecasts the next token of each.

Axes: B batch, L time steps, C or V variables, N tokens, P token length, D width, H heads, E head width.

Parameter names and numbers are those of the published checkpoint (142 tensors at full size).
Source: Liu et al. 2024, Timer-XL, arXiv:2410.04803.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from layers.instance_norm import normalise, restore, window_statistics
from layers.masks import AttentionLayout, attention_layout
from layers.rotary import rotary_table
from layers.tokens import from_tokens, newest_whole_tokens, to_tokens
from layers.transformer import Encoder, initialise
from models._config import read_config, require_choice, require_positive, require_share
from utils.errors import UsageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of Timer-XL; the defaults are the published checkpoint's size.

    Raises:
        UsageError: ``CONFIG``, a value is out of range; the message names flag, value and way out.
    """

    input_token_len: int = field(default=96, metadata={"help": "time steps in one input token"})
    output_token_len: int = field(default=96, metadata={"help": "time steps forecast from one token"})
    d_model: int = field(default=1024, metadata={"help": "width of the encoder"})
    n_heads: int = field(default=8, metadata={"help": "attention heads; d_model / n_heads is a multiple of 4"})
    e_layers: int = field(default=8, metadata={"help": "encoder layers"})
    d_ff: int = field(default=2048, metadata={"help": "inner width of each layer's two-layer map"})
    dropout: float = field(default=0.1, metadata={"help": "dropout in the encoder, attention map included"})
    activation: Literal["relu", "gelu"] = field(default="relu", metadata={"help": "activation in each layer"})
    use_norm: bool = field(
        default=False, metadata={"help": "instance norm of every window; erases its level (published checkpoint: on)"}
    )
    covariate: bool = field(
        default=False, metadata={"help": "the last variable is the target and sees all of the other variables"}
    )
    flash_attention: bool = field(
        default=False, metadata={"help": "accepted for OpenLTM's sake; changes no numbers, the fast path is always on"}
    )
    output_attention: bool = field(
        default=False, metadata={"help": "accepted for OpenLTM's sake; changes no numbers, no map is returned"}
    )
    activation_checkpointing: bool = field(
        default=False,
        metadata={
            "help": "keep each layer's input alone for the backward pass and compute the layer again in it: a fraction "
            "of the memory for about a third more time; changes no numbers"
        },
    )
    rotary_positions: Literal["flattened", "time"] = field(
        default="flattened",
        metadata={"help": "flattened: variable*N + token, as published; time: the token alone, any variable order"},
    )
    variate_mode: Literal["joint", "independent"] = field(
        default="joint",
        metadata={
            "help": "joint: variables see one another; independent: each is a sequence of its own, as an encoder "
            "trained on single variables expects"
        },
    )
    encoder_init: Literal["published", "xavier", "kaiming"] = field(
        default="published", metadata={"help": "initial weights; published: those of the reference implementation"}
    )
    init_gain: float = field(default=1.0, metadata={"help": "factor on every initial matrix of the encoder"})

    def __post_init__(self) -> None:
        for name in ("input_token_len", "output_token_len", "d_model", "n_heads", "e_layers", "d_ff", "init_gain"):
            require_positive(name, getattr(self, name))
        require_share("dropout", self.dropout)
        require_choice("activation", self.activation, ("relu", "gelu"))
        require_choice("rotary_positions", self.rotary_positions, ("flattened", "time"))
        require_choice("variate_mode", self.variate_mode, ("joint", "independent"))
        require_choice("encoder_init", self.encoder_init, ("published", "xavier", "kaiming"))
        _require_heads(self.d_model, self.n_heads)
        if self.covariate and self.variate_mode == "independent":
            raise UsageError(
                "CONFIG",
                "--covariate lets the target see the covariates, --variate_mode independent forbids it",
                where="--covariate and --variate_mode",
                next_command="leave one of the two away",
            )


def _require_heads(width: int, n_heads: int) -> None:
    """Heads divide the width, and each head's rotated half consists of whole pairs."""
    if width % n_heads == 0 and width // n_heads % 4 == 0:
        return
    valid = [count for count in range(1, width // 4 + 1) if width % (4 * count) == 0]
    nearest = sorted(sorted(valid, key=lambda count: abs(count - n_heads))[:3])
    raise UsageError(
        "CONFIG",
        f"--n_heads {n_heads} does not divide --d_model {width} into heads whose width is a multiple of 4",
        where="--n_heads and --d_model",
        evidence="half of each head's width is rotated in pairs",
        next_command="--n_heads " + (" or ".join(map(str, nearest)) if nearest else f"1 --d_model {4 * width}"),
    )


class Model(nn.Module):
    """Timer-XL with its forecast head.

    Args:
        configs: any object with the flags of `Config` as attributes; what it lacks takes the default.
    """

    kind: ClassVar[str] = "network"
    config_type: ClassVar[type[Any]] = Config

    def __init__(self, configs: Any) -> None:
        super().__init__()
        self.config: Any = read_config(self.config_type, configs)
        config = self.config
        self.embedding = nn.Linear(config.input_token_len, config.d_model)
        self.blocks = Encoder(
            config.e_layers,
            config.d_model,
            config.n_heads,
            config.d_ff,
            config.dropout,
            config.activation,
            recompute=config.activation_checkpointing,
        )
        self.head = nn.Linear(config.d_model, config.output_token_len)
        for module in self.encoder_modules():
            initialise(module, config.encoder_init, config.init_gain)
        self._told_dropped_steps = False

    def encoder_modules(self) -> tuple[nn.Module, ...]:
        """The modules whose parameters the published checkpoint holds."""
        return self.embedding, self.blocks, self.head

    def parts_to_compile(self) -> tuple[nn.Module, ...]:
        """The layers, which are all alike; what is around them depends on shapes and is next to nothing."""
        return tuple(self.blocks.attn_layers)

    def states(self, x: torch.Tensor) -> torch.Tensor:
        """Encode a window `(B, N*P, C)`, already normalised where wanted, into states `(B, V, N, D)`."""
        sequences, layout, table = self._sequences(x)
        return self.blocks(sequences, layout, table).view(len(x), x.shape[2], -1, self.config.d_model)

    def layer_states(self, x: torch.Tensor) -> torch.Tensor:
        """Encode a window as `states` does and keep what every layer gives: `(B, layers, V, N, D)`."""
        sequences, layout, table = self._sequences(x)
        states = self.blocks.every_layer(sequences, layout, table)
        # An independent variable's layers lie beside each other, a window's variables do not: layers go first.
        in_order = states.unflatten(0, (len(x), -1)).transpose(1, 2)
        return in_order.reshape(len(x), self.config.e_layers, x.shape[2], -1, self.config.d_model)

    def _sequences(self, x: torch.Tensor) -> tuple[torch.Tensor, AttentionLayout, torch.Tensor]:
        """Lay a window out for the blocks: one sequence `(B, V*N, D)`, or one per variable, `(B*V, N, D)`.

        An independent variable has the positions and the pattern of a window of its own, so its cost is that of V
        univariate windows: linear in V, where a joint map has `(V*N)^2` pairs.
        """
        tokens = self.embedding(to_tokens(x, self.config.input_token_len))
        n_variates, n_tokens = tokens.shape[1:3]
        joint = self.config.variate_mode == "joint"
        in_sequence = n_variates if joint else 1
        layout = attention_layout(in_sequence, n_tokens, self.config.covariate, x.device)
        time_only = self.config.rotary_positions == "time"
        head_width = self.config.d_model // self.config.n_heads
        table = rotary_table(in_sequence, n_tokens, head_width, time_only, x.device, self.embedding.weight.dtype)
        return tokens.flatten(1, 2) if joint else tokens.flatten(0, 1), layout, table

    def whole_tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the newest whole tokens of a window `(B, L, C)`; says once how many steps are dropped."""
        kept = newest_whole_tokens(x, self.config.input_token_len)
        dropped = x.shape[1] - kept.shape[1]
        if dropped and not self._told_dropped_steps:
            self._told_dropped_steps = True
            logger.warning(
                "the window of %d steps is not a multiple of --input_token_len %d: the oldest %d steps are not used",
                x.shape[1],
                self.config.input_token_len,
                dropped,
            )
        return kept

    def forward(
        self,
        x: torch.Tensor,
        x_mark: torch.Tensor | None = None,  # noqa: ARG002 - as y_mark
        y_mark: torch.Tensor | None = None,  # noqa: ARG002 - the place OpenLTM's experiments pass it in
    ) -> torch.Tensor:
        """Forecast the token after each token.

        Args:
            x: window `(B, L, C)`.
            x_mark: not used; the place OpenLTM's experiments pass it in.
            y_mark: not used, as `x_mark`.

        Returns:
            `(B, N * output_token_len, C)`.
        """
        x = self.whole_tokens(x)
        if not self.config.use_norm:
            return from_tokens(self.head(self.states(x)))
        statistics = window_statistics(x)
        return restore(from_tokens(self.head(self.states(normalise(x, statistics)))), statistics)
