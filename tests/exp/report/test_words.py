"""Both languages say the same things, each in its own words."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest

import models
from exp import amount_forecasters
from exp.report import words
from exp.report.words import LANGUAGES, number, share, whole
from utils.regression_score_info import AMOUNT_SCORES
from utils.score_info import SCORES

# Names, units and words that both languages share.
ALIKE = {
    "GRADIENT BOOSTING", "TIMER-XL", "PYTHON", "{NAME}: {CODES}", "{SECONDS} S", "{MINUTES} MIN", "MACRO F1", "EL NIÑO",
    "LA NIÑA", "NEUTRAL", "REAL", "{REGION}, {YEAR}", "{TITLE}. {ROWS}", "{NUMBER} {NAME}: {SKILL}.",
    "{NAME}: {VALUE} ({INTERVAL}).", "R²", "ERROR", "CRPS", "JUN", "JUL", "OCT", "NOV", "FEB", "SEP", "MAR",
}  # fmt: skip


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_texts_with_the_same_names() -> None:
    """A text added in one language alone would end the other's page with a KeyError at the end of a long run."""
    english, spanish = (words.read(language).texts for language in LANGUAGES)
    assert list(spanish) == list(english)
    assert {key: names_in(text) for key, text in spanish.items()} == {
        key: names_in(text) for key, text in english.items()
    }


def test_no_text_was_left_in_english() -> None:
    """A text that was copied and never translated would be read as a fault of the page."""
    english, spanish = (words.read(language).texts for language in LANGUAGES)
    same = {text for key, text in spanish.items() if text == english[key] and len(text) > 1}
    assert {text.upper() for text in same} <= ALIKE


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_score_and_every_model_has_a_name_and_every_score_a_meaning(language: words.Language) -> None:
    """A new score would stand on the page under its key, in English and without a word of what it means."""
    texts = words.read(language).texts
    assert {f"score.{name}{end}" for name in SCORES for end in ("", "_more")} <= set(texts)
    assert {f"amount.{name}{end}" for name in AMOUNT_SCORES for end in ("", "_more")} <= set(texts)
    assert {f"model.{name}" for name in models.classifiers()} <= set(texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_curve_and_verdict_that_a_run_can_have_has_words(
    finished_run: Path, language: words.Language
) -> None:
    """A key of a file without a text would stand on the page as it is, in English on the Spanish one too."""
    texts = set(words.read(language).texts)
    config = json.loads((finished_run / "config.json").read_text(encoding="utf-8"))
    assert {f"left_out.{cause}" for cause in config["splits"]["left_out"]} <= texts
    curves = {name for name in amount_forecasters.LOGGED if name.startswith("validation_")} - {"validation_loss"}
    assert {f"score.{name.removeprefix('validation_')}" for name in curves} <= texts
    verdicts = ("adds", "adds nothing", "harms", "unknown")  # as `exp.compare.ensemble.content` has them
    assert {f"verdict.{verdict.replace(' ', '_')}" for verdict in verdicts} <= texts


def test_a_share_is_none_or_all_only_where_it_is() -> None:
    """Of 100 warnings 0 were false is a lie when it was one in a thousand."""
    assert [share(value) for value in (0.0, 0.001, 0.846, 0.999, 1.0, None)] == ["0", "<1", "85", ">99", "100", "–"]


def test_numbers_are_rounded_without_a_negative_zero() -> None:
    """A skill of -0.000 looks like a loss."""
    assert [number(value, 2) for value in (-0.001, -0.126, 0.5, None)] == ["0.00", "−0.13", "0.50", "–"]
    assert whole(1234567) == "1\u202f234\u202f567"


def test_a_period_ends_on_the_day_before_the_next_one_begins() -> None:
    """Validation until 2024-01-01 would share a day with the test."""
    assert words.last_day("2024-01-01T00:00:00") == "2023-12-31"
