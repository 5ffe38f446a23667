"""The parts of a network by the names people use: `embedding`, `layers.0-3`, `norm`, `head`, `classifier`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from utils.errors import UsageError

LAYER = re.compile(r"blocks\.attn_layers\.(\d+)\.")
FINAL_NORM = "blocks.norm."
# Words for several parts at once.
ENCODER = ("embedding", "layers", "norm", "head")


def part_of(name: str) -> str:
    """Return the part that a parameter or tensor belongs to: `layers.3`, or the first word of its name."""
    found = LAYER.match(name)
    if found:
        return f"layers.{found[1]}"
    return "norm" if name.startswith(FINAL_NORM) else name.partition(".")[0]


def parts_of(names: Iterable[str]) -> list[str]:
    """Return the parts that occur, each once, in their own order."""
    return list(dict.fromkeys(part_of(name) for name in names))


def select(words: Sequence[str], known: Sequence[str], flag: str, form: str = "{}") -> frozenset[str]:
    """Return the parts that words of a command line stand for.

    Args:
        words: such as `embedding`, `layers.0-3`, `layers` for all layers, `encoder` for all that is published.
        known: parts of the model.
        flag: where the words were typed, for messages.
        form: how a word is typed there, such as `12:{}`.

    Raises:
        UsageError: a word names no part of the model.
    """
    return frozenset(part for word in words for part in _one(word, known, flag, form))


def _one(word: str, known: Sequence[str], flag: str, form: str) -> list[str]:
    if word == "encoder":
        return [part for name in ENCODER for part in known if part == name or part.startswith(f"{name}.")]
    if word == "layers":
        found = [part for part in known if part.startswith("layers.")]
    elif match := re.fullmatch(r"layers\.(\d+)-(\d+)", word):
        wanted = [f"layers.{number}" for number in range(int(match[1]), int(match[2]) + 1)]
        found = wanted if wanted and set(wanted) <= set(known) else []
    else:
        found = [part for part in known if part == word]
    if found:
        return found
    close = difflib.get_close_matches(word, [*known, "encoder", "layers"], n=2) or ["encoder"]
    raise UsageError(
        "CONFIG",
        f"The model has no part {word!r}.",
        where=flag,
        evidence=f"parts: {', '.join(shortened(known))}",
        next_command=" or ".join(f"{flag} {form.format(name)}" for name in close),
    )


def shortened(known: Sequence[str]) -> list[str]:
    """Return the parts with all layers in one word."""
    layers = [part for part in known if part.startswith("layers.")]
    others = [part for part in known if part not in layers]
    return [f"layers.0-{len(layers) - 1}" if len(layers) > 1 else layers[0], *others] if layers else others
