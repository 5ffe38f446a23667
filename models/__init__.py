"""One file is one model is one registry entry: `build` imports by file name.

Every model file has a frozen dataclass ``Config``, whose fields are flags, and a class ``Model`` whose ``kind`` is
``network`` (trained by gradient steps) or ``reference`` (fitted in one call). A network gives classes or amounts of
rain by what its outputs are trained for; a reference of amounts is a class of its own in that file, ``AmountModel``.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType
from typing import Any

from utils.errors import UsageError

# Encoders that forecast series, without a head that tells classes or amounts.
OF_SERIES = ("timer_xl",)
# References for the one or the other.
CLASSES_ONLY = ("logistic_regression",)
AMOUNTS_ONLY = ("ridge_regression",)


def classifiers() -> list[str]:
    """List the models that can say whether it rains."""
    return [name for name in names() if name not in (*OF_SERIES, *AMOUNTS_ONLY)]


def regressors() -> list[str]:
    """List the models that can say how much it rains."""
    return [name for name in names() if name not in (*OF_SERIES, *CLASSES_ONLY)]


def names() -> list[str]:
    """List the registry: the model files of this package, in alphabetical order."""
    return sorted(entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_"))


def load(name: str) -> ModuleType:
    """Import a model file by its name.

    Raises:
        UsageError: ``CONFIG``, there is no such model; the message has the nearest name.
    """
    known = names()
    if name not in known:
        offered = [other for other in known if other not in OF_SERIES]
        nearest = difflib.get_close_matches(name.lower().replace("-", "_"), offered, n=1, cutoff=0.4)
        raise UsageError(
            "CONFIG",
            f"there is no model '{name}'" + (f"; did you mean '{nearest[0]}'?" if nearest else ""),
            where="--model",
            evidence=f"models: {', '.join(offered)}",
            next_command=f"--model {nearest[0] if nearest else known[0]}",
        )
    return importlib.import_module(f"{__name__}.{name}")


def config_class(name: str) -> type:
    """The dataclass whose fields are the flags of model `name`."""
    return load(name).Config


def kind(name: str) -> str:
    """``network`` or ``reference``."""
    module = load(name)
    return (module.AmountModel if name in AMOUNTS_ONLY else module.Model).kind


def build(name: str, config: Any) -> Any:
    """Make model `name` from any object that has the flags and the data's dimensions as attributes.

    Raises:
        UsageError: ``CONFIG``, an unknown model, one that tells amounts alone, or a value it refuses.
    """
    if name in AMOUNTS_ONLY:
        raise _other_task(name, "amounts and no classes", classifiers(), "--task_name regression")
    return load(name).Model(config)


def build_for_amounts(name: str, config: Any) -> Any:
    """Make model `name` for amounts of rain: a network of so many outputs, or the reference's ``AmountModel``.

    Raises:
        UsageError: ``CONFIG``, an unknown model, one that tells classes alone, or a value it refuses.
    """
    if kind(name) == "network":
        return load(name).Model(config)
    if name in regressors():
        return load(name).AmountModel(config)
    raise _other_task(name, "classes and no amounts", regressors(), "--model ridge_regression")


def _other_task(name: str, tells: str, others: list[str], way_out: str) -> UsageError:
    return UsageError(
        "CONFIG",
        f"{name} tells {tells}.",
        where="--model",
        evidence=f"models that do: {', '.join(others)}",
        next_command=way_out,
    )
