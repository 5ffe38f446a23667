"""What the model files share in reading and checking their flags.

Axes: B batch, M marks of the init_time and region.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import torch

from utils.errors import UsageError

ConfigT = TypeVar("ConfigT")


def read_config(config_type: type[ConfigT], source: Any) -> ConfigT:
    """Read a model's flags from any object; what it lacks takes the dataclass's default.

    Args:
        config_type: a dataclass in which every field has a default.
        source: a config, an ``argparse.Namespace`` or any object with attributes of those names.
    """
    if type(source) is config_type:
        return source
    known = {field.name for field in fields(config_type)}  # type: ignore[arg-type]
    return config_type(**{name: getattr(source, name) for name in known if hasattr(source, name)})


def dimension(source: Any, name: str, reason: str) -> int:
    """Read a dimension only the data know from a config object.

    Raises:
        UsageError: ``CONFIG``, the object lacks it; the message says which option needs it.
    """
    value = getattr(source, name, None)
    if value is None:
        raise UsageError(
            "CONFIG",
            f"{reason} needs to know {name}, which the config object does not have",
            where=f"config.{name}",
            next_command=f"set {name} on the config object, or leave the option away",
        )
    return int(value)


def marks(x_mark: torch.Tensor | None, n_marks: int) -> torch.Tensor:
    """Check the marks a model was built for.

    Args:
        x_mark: `(B, M)`, or none.
        n_marks: the width M the model was built for.

    Raises:
        UsageError: ``CONFIG``, the marks are missing or have another width.
    """
    if x_mark is None or x_mark.shape[1] != n_marks:
        raise UsageError(
            "CONFIG",
            f"the model was built for {n_marks} marks and got {'none' if x_mark is None else x_mark.shape[1]}",
            where="x_mark",
            next_command="pass x_mark of shape (batch, n_marks), or build the model with n_marks = 0",
        )
    return x_mark


def require_positive(name: str, value: float) -> None:
    """Refuse a size that is not above zero."""
    if not value > 0:
        raise UsageError("CONFIG", f"--{name} {value} is not above zero", where=f"--{name}", next_command=f"--{name} 1")


def require_share(name: str, value: float) -> None:
    """Refuse a share outside [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise UsageError(
            "CONFIG", f"--{name} {value} is not in [0, 1)", where=f"--{name}", next_command=f"--{name} 0.1"
        )


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise UsageError(
            "CONFIG",
            f"--{name} {value} is none of {', '.join(choices)}",
            where=f"--{name}",
            next_command=f"--{name} {choices[0]}",
        )
