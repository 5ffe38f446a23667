"""One file is one model is one registry entry: `build` imports by file name.

Every model file has a frozen dataclass ``Config``, whose fields are flags, and a class ``Model`` whose ``kind`` is
``network`` (trained by gradient steps) or ``reference`` (fitted in one call).
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType
from typing import Any

from utils.errors import UsageError

# Encoders without a head that tells classes apart.
NOT_CLASSIFIERS = ("timer_xl",)
# References that say what they were defined to say; correcting them would make them another forecast.
DEFINITIONS = ("climatology", "persistence")


def classifiers() -> list[str]:
    """List the models that can say whether it rains."""
    return [name for name in names() if name not in NOT_CLASSIFIERS]


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
        nearest = difflib.get_close_matches(name.lower().replace("-", "_"), classifiers(), n=1, cutoff=0.4)
        raise UsageError(
            "CONFIG",
            f"there is no model '{name}'" + (f"; did you mean '{nearest[0]}'?" if nearest else ""),
            where="--model",
            evidence=f"models: {', '.join(classifiers())}",
            next_command=f"--model {nearest[0] if nearest else known[0]}",
        )
    return importlib.import_module(f"{__name__}.{name}")


def config_class(name: str) -> type:
    """The dataclass whose fields are the flags of model `name`."""
    return load(name).Config


def kind(name: str) -> str:
    """``network`` or ``reference``."""
    return load(name).Model.kind


def build(name: str, config: Any) -> Any:
    """Make model `name` from any object that has the flags and the data's dimensions as attributes.

    Raises:
        UsageError: ``CONFIG``, an unknown model or a value it refuses.
    """
    return load(name).Model(config)
