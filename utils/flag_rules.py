"""A rule on the value of one flag: what breaks it is told with the flag, the value and one that works."""

from __future__ import annotations

from typing import Any

from utils.errors import UsageError


def require(config: Any, name: str, holds: bool, rule: str, way_out: str = "") -> None:
    """Refuse the value of a flag where it breaks a rule.

    Args:
        config: the dataclass whose field the flag is.
        name: of the field.
        holds: whether the value keeps the rule.
        rule: the rest of a sentence that begins with the flag, such as `must be above 0`.
        way_out: what to type instead; by default the flag with its default.

    Raises:
        UsageError: ``CONFIG``.
    """
    if holds:
        return
    raise UsageError(
        "CONFIG",
        f"--{name} {rule}.",
        where=f"--{name}",
        evidence=f"got {_words(getattr(config, name))}",
        next_command=way_out or _with_default(config, name),
    )


def _with_default(config: Any, name: str) -> str:
    default = type(config).__dataclass_fields__[name].default
    return f"leave --{name} out" if default is None else f"--{name} {_words(default)}"


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
