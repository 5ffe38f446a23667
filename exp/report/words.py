"""The words of a page: one file of texts per language, and numbers as people read them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
FOLDER = Path(__file__).resolve().parent / "texts"
UNDEFINED = "–"
MINUS, THIN_SPACE = "\N{MINUS SIGN}", "\N{NARROW NO-BREAK SPACE}"


@dataclass(frozen=True)
class Words:
    """The texts of one language.

    Attributes:
        language: "en" or "es".
        texts: "section.key" -> text with {names} to be filled in.
    """

    language: Language
    texts: dict[str, str]

    def __call__(self, key: str, **values: Any) -> str:
        """Return a text with its names filled in.

        Raises:
            KeyError: there is no such text, or one of its names is not given.
        """
        return self.texts[key].format(**values)

    def has(self, key: str) -> bool:
        """Return whether there is such a text; what comes from a newer file may have none."""
        return key in self.texts

    def name(self, section: str, key: str) -> str:
        """Return the text of a key that comes from a file, or the key itself as words."""
        return self.texts.get(f"{section}.{key}", key.replace("_", " "))

    def regions(self, count: int) -> str:
        """Return "1 region" or "5 regions"."""
        return self("page.regions_one") if count == 1 else self("page.regions_many", count=whole(count))


@cache
def read(language: Language) -> Words:
    """Read the texts of a language."""
    sections = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    texts = {f"{section}.{key}": text for section, entries in sections.items() for key, text in entries.items()}
    return Words(language, texts)


def number(value: float | None, decimals: int = 3) -> str:
    """Return a number with fixed decimals; a dash where it is undefined."""
    if value is None:
        return UNDEFINED
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def whole(value: float | None) -> str:
    """Return a whole number with narrow spaces between thousands."""
    return UNDEFINED if value is None else f"{value:,.0f}".replace(",", THIN_SPACE).replace("-", MINUS)


def share(value: float | None) -> str:
    """Return a share as whole per cent without the sign; at the ends only what is exactly none or all is 0 or 100."""
    if value is None:
        return UNDEFINED
    rounded = round(100 * value)
    if rounded == 0 and value > 0:
        return "<1"
    if rounded == 100 and value < 1:
        return ">99"
    return f"{rounded}".replace("-", MINUS)


def day(value: Any) -> str:
    """Return the day of anything that begins with one, as 2024-12-31: the same in both languages."""
    return date.fromisoformat(str(value)[:10]).isoformat()


def last_day(end: Any) -> str:
    """Return the last day before an end, where a period ends as the next one begins."""
    return (datetime.fromisoformat(str(end)[:19]) - timedelta(seconds=1)).date().isoformat()
