"""Scores are compared with hand calculation, scikit-learn and `scores`; undefined ones have to stay undefined."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as metrics
import xarray as xr

from utils import verification
from utils.errors import DataError
from utils.judgement import Terms, judge
from utils.score_info import SCORES

ROOT = Path(__file__).resolve().parents[2]


def forecasts_of(probability, observed, climatology=None, cut=0.5, persistence=None, region="a", start="2024-01-01"):
    """Forecasts every twelfth hour from a start, in one region unless names are given."""
    n = len(observed)
    return verification.Forecasts(
        init_time=np.datetime64(start, "s") + np.arange(n) * np.timedelta64(12, "h"),
        region=np.array([region] * n if isinstance(region, str) else region, dtype=object),
        probability=np.asarray(probability, dtype=float),
        observed=np.asarray(observed),
        climatology=np.full(n, 0.5) if climatology is None else np.asarray(climatology, dtype=float),
        persistence=np.zeros(n) if persistence is None else np.asarray(persistence, dtype=float),
        cut=cut,
    )


def from_table(hits, misses, false_alarms, correct_negatives):
    """Forecasts whose 2x2 table is the one given."""
    probability = [0.9] * hits + [0.1] * misses + [0.9] * false_alarms + [0.1] * correct_negatives
    return forecasts_of(probability, [1] * (hits + misses) + [0] * (false_alarms + correct_negatives))


def by_hand(a, c, b, d):
    """The textbook formulas (a hits, c misses, b false alarms, d correct negatives), all denominators above zero."""
    n = a + b + c + d
    f1, f1_dry = 2 * a / (2 * a + b + c), 2 * d / (2 * d + b + c)
    return {
        "accuracy": (a + d) / n,
        "precision": a / (a + b),
        "recall": a / (a + c),
        "f1": f1,
        "macro_f1": (f1 + f1_dry) / 2,
        "balanced_accuracy": (a / (a + c) + d / (b + d)) / 2,
        "matthews_correlation": (a * d - b * c) / math.sqrt((a + b) * (a + c) * (b + d) * (c + d)),
        "probability_of_detection": a / (a + c),
        "false_alarm_ratio": b / (a + b),
        "probability_of_false_detection": b / (b + d),
        "critical_success_index": a / (a + b + c),
        "heidke_skill_score": 2 * (a * d - b * c) / ((a + c) * (c + d) + (a + b) * (b + d)),
        "peirce_skill_score": a / (a + c) - b / (b + d),
        "frequency_bias": (a + b) / (a + c),
    }


@pytest.mark.parametrize("table", [(28, 23, 72, 2680), (1119, 469, 163, 988), (1407, 181, 562, 589), (3, 1, 4, 1)])
def test_every_contingency_score_equals_its_formula(table):
    """A wrong score would be reported (Finley's tornadoes, then two tables of the case, then a poor forecast)."""
    result = verification.score(from_table(*table))
    assert list(result["contingency_table"].values()) == list(table)
    for name, expected in by_hand(*table).items():
        assert result[name] == pytest.approx(expected, abs=1e-12), name


def test_published_figures_of_the_case_are_reproduced():
    """Accuracy, precision, recall, F1, macro F1 and MCC of the case's table would not be comparable with ours."""
    result = verification.score(from_table(1119, 469, 163, 988))
    names = ("accuracy", "precision", "recall", "f1", "macro_f1", "matthews_correlation")
    assert [round(result[name], 3) for name in names] == [0.769, 0.873, 0.705, 0.78, 0.769, 0.557]


def test_random_sets_agree_with_scikit_learn_and_scores():
    """A score would differ from the libraries users check it with."""
    from scores.categorical import BinaryContingencyManager
    from scores.probability import brier_score, roc_auc

    rng = np.random.default_rng(7)
    for _ in range(30):
        n = int(rng.integers(10, 300))
        observed = (rng.random(n) < rng.uniform(0.1, 0.9)).astype(int)
        observed[:2] = 0, 1
        probability = np.round(np.clip(0.3 * observed + 0.7 * rng.random(n), 0, 1), int(rng.integers(1, 4)))
        climatology, cut = rng.random(n), float(rng.uniform(0.3, 0.7))
        result = verification.score(forecasts_of(probability, observed, climatology, cut))
        said = (probability >= cut).astype(int)
        expected = {
            "accuracy": metrics.accuracy_score(observed, said),
            "balanced_accuracy": metrics.balanced_accuracy_score(observed, said),
            "matthews_correlation": metrics.matthews_corrcoef(observed, said),
            "heidke_skill_score": metrics.cohen_kappa_score(observed, said),
            "macro_f1": metrics.f1_score(observed, said, average="macro"),
            "roc_auc": metrics.roc_auc_score(observed, probability),
            "average_precision": metrics.average_precision_score(observed, probability),
            "brier_score": metrics.brier_score_loss(observed, probability),
            "brier_skill_score": 1
            - metrics.brier_score_loss(observed, probability) / metrics.brier_score_loss(observed, climatology),
        }
        manager = BinaryContingencyManager(xr.DataArray(said, dims="x"), xr.DataArray(observed, dims="x")).transform()
        for name in ("probability_of_detection", "probability_of_false_detection", "critical_success_index",
                     "peirce_skill_score", "frequency_bias", "false_alarm_ratio", "precision", "f1_score"):  # fmt: skip
            value = float(getattr(manager, name)())
            expected[name.removesuffix("_score") if name == "f1_score" else name] = None if math.isnan(value) else value
        assert float(roc_auc(xr.DataArray(probability, dims="x"), xr.DataArray(observed, dims="x"))) == pytest.approx(
            result["roc_auc"], abs=1e-9
        )
        assert float(
            brier_score(xr.DataArray(probability, dims="x"), xr.DataArray(observed.astype(float), dims="x"))
        ) == pytest.approx(result["brier_score"], abs=1e-9)
        for name, value in expected.items():
            assert result[name] == (None if value is None else pytest.approx(value, abs=1e-9)), name


@pytest.mark.parametrize("n", (1, 2, 49, 98, 103, 107, 161))
def test_an_all_dry_month_forecast_dry_has_no_skill_score(n):
    """Rounding in the expected count would turn 0/0 into a Heidke score of 0 or 1 (n = 49 is such a case)."""
    result = verification.score(from_table(0, 0, 0, n))
    undefined = {name for name in SCORES if result[name] is None}
    defined = {"accuracy", "brier_score", "brier_skill_score", "probability_of_false_detection",
               "reliability", "resolution", "uncertainty", "expected_calibration_error"}  # fmt: skip
    assert undefined == set(SCORES) - defined
    assert result["accuracy"] == 1 and result["constant_answer"]


def test_a_constant_forecast_is_marked_and_has_no_skill():
    """A collapsed model would be read as a result: its F1 of rain beats a real model's."""
    result = verification.score(from_table(633, 0, 367, 0))
    assert result["f1"] > 0.77
    assert result["constant_answer"] and result["predicted_rain_share"] == 1
    for name in ("peirce_skill_score", "heidke_skill_score", "matthews_correlation"):
        assert result[name] == 0
    assert result["roc_auc"] == 0.5
    assert not verification.score(from_table(632, 1, 367, 0))["constant_answer"]


def test_no_samples_give_no_scores():
    """An empty region would end the run with a division by zero."""
    result = verification.score(from_table(0, 0, 0, 0))
    assert result["n"] == 0
    assert all(result[name] is None for name in SCORES)


def test_scores_are_strict_json():
    """A NaN in scores.json cannot be read by other programs."""
    table = verification.score_table(forecasts_of([0.2, 0.9, 0.4], [0, 0, 0], region=["a", "b", "b"]))
    assert json.loads(json.dumps(table, allow_nan=False)) == table


def test_a_climatology_that_is_perfect_leaves_the_skill_undefined():
    """The skill would be minus infinity."""
    assert verification.score(forecasts_of([0.4], [1], climatology=[1.0]))["brier_skill_score"] is None


def test_every_score_has_its_meaning_and_the_glossary_lists_it():
    """A reader would meet a score nobody explains, or an explanation that has gone out of date."""
    result = verification.score(from_table(3, 1, 2, 4))
    other = {"n", "base_rate", "cut", "contingency_table", "predicted_rain_share", "constant_answer"}
    assert set(result) == set(SCORES) | other
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    for name, info in SCORES.items():
        row = next(line for line in glossary.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip().replace("\\|", "|") for cell in row.strip("|").split(" | ")]
        assert cells[1:] == [info.formula, info.range, info.perfect, info.undefined, info.source], name


def test_a_probability_at_the_cut_says_rain():
    """The cut that validation chose would decide differently on the test split, and within its groups."""
    table = verification.score_table(forecasts_of([0.3, 0.3, 0.2], [1, 0, 0], cut=0.3))
    for entry in (table["overall"], table["by_region"]["a"], table["by_month"]["01"]):
        counts = {"hits": 1, "misses": 0, "false_alarms": 1, "correct_negatives": 1}
        assert entry["contingency_table"] == counts and entry["cut"] == 0.3


def test_groups_are_scored_alone():
    """A region or month would be scored with the samples of another."""
    rng = np.random.default_rng(3)
    n = 732
    region = np.where(np.arange(n) % 3 == 0, "north", "south")
    whole = forecasts_of(rng.random(n), rng.integers(0, 2, n), rng.random(n), region=region)
    table = verification.score_table(whole)
    assert table["overall"] == verification.score(whole)
    assert list(table["by_region"]) == ["north", "south"]
    assert list(table["by_month"]) == [f"{month:02d}" for month in range(1, 13)]
    february = (whole.init_time >= np.datetime64("2024-02-01")) & (whole.init_time < np.datetime64("2024-03-01"))
    assert table["by_month"]["02"]["n"] == february.sum() == 58
    assert table["by_region"]["north"] == verification.score(whole.select(region == "north"))
    for groups in (table["by_region"], table["by_month"]):
        assert sum(entry["n"] for entry in groups.values()) == n


@pytest.mark.parametrize("name", verification.CUT_SCORES)
def test_the_cut_is_the_best_of_all_cuts(name):
    """A worse cut would be chosen: compared with trying every probability, one after another."""
    rng = np.random.default_rng(11)
    for _ in range(10):
        observed = rng.integers(0, 2, 60)
        observed[:2] = 0, 1
        probability = np.round(0.3 * observed + 0.7 * rng.random(60), 2)
        cut = verification.choose_cut(probability, observed, name)
        assert 0 < cut < 1
        tried = []
        for candidate in [*np.unique(probability), 1.5 * probability.max()]:
            said = probability >= candidate
            table = [int(np.sum((said == a) & (observed == b))) for a, b in ((1, 1), (0, 1), (1, 0), (0, 0))]
            tried.append(0.0 if said.all() or not said.any() else by_hand(*table)[name])
            if said.all():  # by_hand cannot do a constant forecast; these scores can gain from one
                base = observed.mean()
                tried[-1] = {"critical_success_index": base, "f1": 2 * base / (1 + base), "accuracy": base}.get(name, 0)
        reached = verification.score(forecasts_of(probability, observed, cut=cut))[name]
        assert reached >= max(tried) - 1e-12


def test_equal_cuts_are_resolved_towards_one_half():
    """The cut of a forecast that separates perfectly would hang on rounding."""
    assert verification.choose_cut([0.2, 0.3, 0.8], [0, 0, 1]) == 0.5
    assert verification.choose_cut([0.0, 1.0, 1.0], [0, 1, 0]) == 0.5
    assert verification.choose_cut([0.1, 0.2, 0.4], [0, 0, 1]) == pytest.approx(0.3)
    # both 0.25 and 0.65 get three of four right
    assert verification.choose_cut([0.2, 0.3, 0.6, 0.7], [0, 1, 0, 1], "accuracy") == pytest.approx(0.65)


def test_probabilities_at_the_ends_leave_the_cut_inside():
    """A cut of 0 says rain always, whatever the forecast."""
    for probability in ([0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [np.nextafter(1.0, 0.0), 1.0], [0.0, 5e-324]):
        assert 0 < verification.choose_cut(probability, [0, 1]) < 1


def test_one_class_leaves_the_cut_at_one_half(caplog):
    """The cut of a dry validation year would be an accident, and nobody would be told."""
    assert verification.choose_cut([0.1, 0.7], [0, 0]) == 0.5
    assert "only one class" in caplog.text


def test_an_unknown_score_for_the_cut_is_named():
    """A misspelt score would fail deep inside."""
    with pytest.raises(ValueError, match="heidke_skill_score"):
        verification.choose_cut([0.1, 0.7], [0, 1], "hss")


def test_hundred_thousand_samples_are_one_calculation():
    """A loop over all cuts would take minutes; this many tables at once is what makes it a moment."""
    rng = np.random.default_rng(5)
    observed = rng.integers(0, 2, 100_000)
    probability = np.clip(0.25 + 0.5 * observed + rng.normal(0, 0.3, observed.size), 0, 1)
    assert verification.choose_cut(probability, observed) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"probability": [0.1, np.nan]}, "probability"), ({"observed": [0, 2]}, "observed"),
     ({"climatology": [0.1, 1.2]}, "climatology")],
)  # fmt: skip
def test_values_that_are_no_probabilities_are_refused(change, words):
    """NaN compares as dry: the forecast would be scored as if it had said so."""
    given = {"probability": [0.1, 0.9], "observed": [0, 1], "climatology": [0.5, 0.5]} | change
    with pytest.raises(DataError, match=words):
        forecasts_of(**given)


def test_arrays_of_different_length_are_refused():
    """Scores of shifted pairs would look plausible."""
    with pytest.raises(ValueError, match="one length"):
        forecasts_of([0.1, 0.2], [1])


def classes_of(n=400, seed=0, cut=()):
    """Three classes at 0.1 and 5 mm with probabilities that know a little."""
    rng = np.random.default_rng(seed)
    observed = rng.integers(0, 3, n)
    weight = rng.random((n, 3)) + np.eye(3)[observed] * 0.7
    base = forecasts_of(np.zeros(n), np.zeros(n, int))
    return verification.ClassForecasts(
        init_time=base.init_time, region=base.region, probability=weight / weight.sum(1, keepdims=True),
        observed=observed, climatology=np.full((n, 3), 1 / 3),
        persistence=np.eye(3)[np.roll(observed, 1)], threshold_mm=(0.1, 5.0), cut=cut,
    )  # fmt: skip


def test_classes_are_scored_as_exceedance_of_each_threshold():
    """The second threshold would be scored with the class instead of "this much or more"."""
    forecasts = classes_of()
    table = verification.score_table(forecasts)
    assert list(table["thresholds"]) == ["0.1 mm", "5 mm"]
    first, second = (table["thresholds"][name]["overall"] for name in ("0.1 mm", "5 mm"))
    assert first["base_rate"] == np.mean(forecasts.observed >= 1) and second["base_rate"] == np.mean(
        forecasts.observed == 2
    )
    assert second["roc_auc"] == pytest.approx(
        metrics.roc_auc_score(forecasts.observed == 2, forecasts.probability[:, 2])
    )
    json.dumps(table, allow_nan=False)


def test_class_scores_equal_scikit_learn():
    """Several classes would be reported with another formula than two."""
    forecasts = classes_of(cut=(0.6, 0.4))
    said, observed, result = forecasts.predicted_class(), forecasts.observed, verification.class_scores(forecasts)
    expected = {
        "accuracy": metrics.accuracy_score(observed, said),
        "macro_f1": metrics.f1_score(observed, said, average="macro"),
        "balanced_accuracy": metrics.balanced_accuracy_score(observed, said),
        "matthews_correlation": metrics.matthews_corrcoef(observed, said),
    }
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert result["confusion_matrix"] == metrics.confusion_matrix(observed, said).tolist()


def test_the_forecast_class_needs_every_lower_threshold():
    """5 mm would be forecast on a day on which 0.1 mm is not."""
    forecasts = classes_of(cut=(0.99, 0.01))
    reached = forecasts.exceedance(0).probability >= 0.99
    assert np.array_equal(forecasts.predicted_class() > 0, reached)


def test_class_probabilities_have_to_match_the_thresholds():
    """A threshold too many would shift every score by one class."""
    with pytest.raises(ValueError, match="thresholds"):
        classes_of(cut=(0.5,))


def test_the_printed_table_names_undefined_scores_and_constant_answers():
    """A dash has to tell "undefined" from 0, and a constant answer has to be seen."""
    table = verification.score_table(forecasts_of([0.2, 0.9, 0.4], [0, 0, 0], region=["a", "b", "b"]))
    text = verification.format_table(table)
    assert "nan" not in text.lower() and "None" not in text
    line = next(line for line in text.splitlines() if line.split()[:1] == ["a"])
    assert line.endswith(" =") and "-" in line.split()
    assert "constant answer: the forecast" not in text
    assert all(len(line) <= 120 for line in text.splitlines())
    assert "5 mm" in verification.format_table(verification.score_table(classes_of()))


def test_several_thresholds_are_a_row_each_on_one_screen():
    """Three whole tables, one after another, hide the first; the file has them."""
    forecasts = classes_of()
    table = judge(verification.score_table(forecasts), forecasts, Terms(draws=0))
    lines = verification.format_table(table).splitlines()
    assert len(lines) < 30 and max(map(len, lines)) <= 120
    assert sum(line.startswith("distinguishable from") for line in lines) == 2 * len(table["thresholds"])
    assert not any(line.startswith("by ") for line in lines)


def test_the_brief_table_is_the_overall_line_of_the_long_one():
    """Scores of a run that differ between its short and its long account would be trusted in neither."""
    for table in (
        verification.score_table(forecasts_of([0.2, 0.9, 0.4], [0, 1, 0], region=["a", "b", "b"])),
        verification.score_table(classes_of()),
    ):
        brief, whole = (verification.format_table(table, is_brief=is_brief).splitlines() for is_brief in (True, False))
        rows = list(map(str, table["thresholds"])) if "thresholds" in table else ["all"]
        assert set(brief) < set(whole)
        assert [line.split("  ")[0] for line in brief[-len(rows) :]] == rows
        assert not any(line.startswith("by ") for line in brief)
