"""The page of a comparison says who is best, how sure that is, and who must not be believed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from exp.report import forest, words, write

NAMES = ("brier_score", "roc_auc", "brier_skill_score")


def difference(value: float | None, *interval: float, is_real: bool | None = None) -> dict[str, Any]:
    return {"difference": value, "interval": list(interval) or None, "is_real": is_real, "in_every_seed": None}


def row(name: str, kind: str, skill: float, *, seeds: int = 1) -> dict[str, Any]:
    scores = dict(zip(NAMES, (0.2, 0.8, skill), strict=True))
    return {
        "name": name,
        "kind": kind,
        "seeds": list(range(seeds)),
        "scores": scores,
        "intervals": dict.fromkeys(NAMES) | {"brier_skill_score": [skill - 0.1, skill + 0.1]},
        "spread": {each: {"deviation": 0.01, "lowest": 0, "highest": 1} if seeds > 1 else None for each in NAMES},
        "by_seed": {each: [scores[each]] * seeds for each in NAMES},
        "cut": [0.5],
        "predicted_rain_share": [0.5],
        "constant_answer": False,
    }


def model(name: str, marks: list[dict[str, Any]]) -> dict[str, Any]:
    cost = {
        "training_seconds": 200.0, "evaluation_seconds": 0.01, "parameters": None, "peak_memory_bytes": 3 << 20,
        "peak_memory_of": "process", "skipped_steps": 0,
    }  # fmt: skip
    return {
        "name": name,
        "model": name,
        "kind": "model",
        "runs": ["nowhere"],
        "seeds": [0],
        "cost": cost,
        "marks": marks,
    }


CONTENT: dict[str, Any] = {
    "command": "python run.py --task_name compare A B",
    "made_at": "2026-01-01T00:00:00",
    "synthetic": False,
    "attribution": "",
    "label": {"threshold_mm": [0.1], "lead_time_hours": 24, "accumulation_hours": 24},
    "regions": ["costa"],
    "splits": {
        "train_end": "2023-01-01T00:00:00",
        "validation_end": "2024-01-01T00:00:00",
        "test_first": "2024-01-01T00:00:00",
        "test_last": "2024-12-30T00:00:00",
    },
    "instants": {"n": 365, "days": 365, "left_out": {"A": 0, "B": 3}},
    "references": {"from": "A", "largest_difference": 0.0},
    "interval": {"level": 0.95, "draws": 1000, "block_days": 10, "why_none": "", "of": ""},
    "models": [
        model("logistic_regression", []),
        model("big <b>", [{"code": "COLLAPSED", "sentence": "", "seeds": [0]}]),
    ],
    "events": [
        {
            "threshold_mm": 0.1,
            "n": 365,
            "base_rate": 0.5,
            "best": "big <b>",
            "against": "climatology",
            "table": [
                row("big <b>", "model", 0.3, seeds=3),
                row("logistic_regression", "reference", 0.25),
                row("climatology", "reference", 0.0),
            ],
            "differences": [
                {
                    "name": "big <b>",
                    "from": "climatology",
                    "scores": {"brier_skill_score": difference(0.3, 0.2, 0.4, is_real=True)},
                },
                {
                    "name": "logistic_regression",
                    "from": "big <b>",
                    "scores": {"brier_skill_score": difference(-0.05, -0.1, 0.1, is_real=False)},
                },
            ],
            "ensemble": {
                "n_validation": 100,
                "left_out": 0,
                "against_equal_weights": difference(None),
                "members": [
                    {
                        "name": "logistic_regression",
                        "weight": 0.25,
                        "marks": [],
                        "contribution": difference(0.01, 0.005, 0.02, is_real=True),
                        "verdict": "adds nothing",
                    }
                ],
            },
        }
    ],
}


def test_the_best_is_named_with_what_is_and_is_not_told_apart_from_it(tmp_path: Path) -> None:
    """A ranking without intervals makes a winner of chance."""
    text = write.write_comparison(tmp_path, CONTENT, "en").read_text(encoding="utf-8")
    for sentence in (
        "big &lt;b&gt; has the best Brier score.",
        "30 % better than climatology (95 % interval 20 to 40 %)",
        "Its gain over Climatology is real: +0.300 in Brier skill (0.200 … 0.400).",
        "Not told apart from the best: Logistic regression.",
        "big &lt;b&gt;: COLLAPSED",
        "0.300 ± 0.010",
        "adds nothing",
        "B 3",
        "blocks of 10 days",
        "3 min",
    ):
        assert sentence in text, sentence
    assert "big <b>" not in text


def test_climatology_without_skill_is_no_alarm(tmp_path: Path) -> None:
    """Skill is measured from it: an alarm on every comparison would be read past when a model has none."""
    content = copy.deepcopy(CONTENT)
    content["models"][1] = model("climatology", [{"code": "NO_SKILL", "sentence": "no gain", "seeds": [0]}])
    alarm = words.read("en")("comparison.marked_title")
    assert alarm not in write.write_comparison(tmp_path, content, "en").read_text(encoding="utf-8")
    assert alarm in write.write_comparison(tmp_path, CONTENT, "en").read_text(encoding="utf-8")


def test_two_options_of_one_model_have_its_name_and_what_tells_them_apart() -> None:
    """`timer_xl_classifier (d_model 64)` is broken in the middle of a word in a narrow column."""
    assert forest.name_of("timer_xl_classifier (d_model 64)", words.read("en")) == "Timer-XL (d_model 64)"
    assert forest.name_of("gradient_boosting", words.read("es")) == words.read("es")("model.gradient_boosting")
    assert forest.name_of("ensemble", words.read("en")) == "ensemble"


@pytest.mark.parametrize("folder", ["run", "run/scored-20260101-000000"])
def test_the_attribution_names_all_years_of_the_data(tmp_path: Path, folder: str) -> None:
    """The licence asks for the years; a folder of a later scoring has no config.json, and only the test would count."""
    (tmp_path / folder).mkdir(parents=True)
    periods = {"train": {"first": "2019-01-01T00:00:00", "last": "2022-12-31T00:00:00"}}
    (tmp_path / "run" / "config.json").write_text(json.dumps({"splits": {"periods": periods}}))
    content = copy.deepcopy(CONTENT)
    content["models"][0]["runs"] = [str(tmp_path / folder)]
    text = write.write_comparison(tmp_path, content, "en").read_text(encoding="utf-8")
    assert "Copernicus Climate Change Service information 2019–2024." in text


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_comparison_without_intervals_ensemble_or_scores_is_still_a_page(
    tmp_path: Path, language: words.Language
) -> None:
    """A test period of thirty days has no intervals, and one without rain no scores."""
    content = copy.deepcopy(CONTENT)
    event = content["events"][0]
    content["interval"]["why_none"] = "too few days"
    event["ensemble"] = None
    event["differences"][0]["scores"]["brier_skill_score"] = difference(0.3)
    for one in event["table"]:
        one["scores"] = dict.fromkeys(NAMES)
        one["intervals"] = dict.fromkeys(NAMES)
        one["by_seed"] = {name: [None] for name in NAMES}
    text = write.write_comparison(tmp_path, content, language).read_text(encoding="utf-8")
    assert (
        words.read(language)("comparison.best_undefined", score=words.read(language)("comparison.score_event")) in text
    )
    assert words.read(language)("comparison.missing_ensemble") in text
