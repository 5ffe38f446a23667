"""What each score means, written once for the code and docs/glossary.md; and tables of scores as text.

Letters: a hits, b false alarms, c misses, d correct negatives, n = a + b + c + d; p probability of rain,
o 0 or 1 observed. A score whose denominator is zero is undefined and stays undefined (null in JSON).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from utils import score_rows, where_text
from utils.judgement_text import judgement_lines


@dataclass(frozen=True)
class ScoreInfo:
    """Meaning of one score.

    Attributes:
        formula: how it is calculated, in the letters of this module.
        range: smallest and largest value.
        perfect: value of a perfect forecast.
        source: where the formula is defined.
        undefined: when it has no value.
    """

    formula: str
    range: str
    perfect: str
    source: str
    undefined: str


_WWRP = "WWRP/WGNE Joint Working Group on Forecast Verification Research"
_NO_SAMPLES = "no samples"
_ONE_CLASS = "only rain or only dry observed"

SCORES: dict[str, ScoreInfo] = {
    "accuracy": ScoreInfo("(a + d) / n", "0 to 1", "1", _WWRP, _NO_SAMPLES),
    "precision": ScoreInfo("a / (a + b)", "0 to 1", "1", _WWRP + " (success ratio)", "rain never forecast"),
    "recall": ScoreInfo("a / (a + c)", "0 to 1", "1", _WWRP + " (hit rate)", "no rain observed"),
    "f1": ScoreInfo("2a / (2a + b + c)", "0 to 1", "1", "van Rijsbergen (1979)", "rain neither observed nor forecast"),
    "macro_f1": ScoreInfo(
        "mean of f1 of rain, 2a / (2a + b + c), and of dry, 2d / (2d + b + c)",
        "0 to 1",
        "1",
        "scikit-learn user guide, 3.4.4 (f1_score, average='macro')",
        "a class neither observed nor forecast",
    ),
    "balanced_accuracy": ScoreInfo(
        "(a / (a + c) + d / (b + d)) / 2", "0 to 1", "1", "Brodersen et al. (2010)", _ONE_CLASS
    ),
    "matthews_correlation": ScoreInfo(
        "(ad - bc) / sqrt((a + b)(a + c)(b + d)(c + d)); 0, its limit, for a constant forecast",
        "-1 to 1",
        "1",
        "Matthews (1975)",
        _ONE_CLASS,
    ),
    "probability_of_detection": ScoreInfo("a / (a + c)", "0 to 1", "1", _WWRP, "no rain observed"),
    "false_alarm_ratio": ScoreInfo("b / (a + b)", "0 to 1", "0", _WWRP, "rain never forecast"),
    "probability_of_false_detection": ScoreInfo("b / (b + d)", "0 to 1", "0", _WWRP, "no dry case observed"),
    "critical_success_index": ScoreInfo(
        "a / (a + b + c)", "0 to 1", "1", "Gilbert (1884); " + _WWRP, "rain neither observed nor forecast"
    ),
    "equitable_threat_score": ScoreInfo(
        "(a - r) / (a + b + c - r) with r = (a + b)(a + c) / n, the hits of chance",
        "-1/3 to 1",
        "1",
        "Gilbert (1884); " + _WWRP + " (Gilbert skill score)",
        "one class alone in forecasts and observations",
    ),
    "heidke_skill_score": ScoreInfo(
        "2(ad - bc) / ((a + c)(c + d) + (a + b)(b + d))",
        "-1 to 1",
        "1",
        "Heidke (1926); " + _WWRP,
        "one class alone in forecasts and observations",
    ),
    "peirce_skill_score": ScoreInfo("a / (a + c) - b / (b + d)", "-1 to 1", "1", "Peirce (1884); " + _WWRP, _ONE_CLASS),
    "frequency_bias": ScoreInfo("(a + b) / (a + c)", "0 to infinity", "1", _WWRP, "no rain observed"),
    "brier_score": ScoreInfo("mean of (p - o)^2", "0 to 1", "0", "Brier (1950)", _NO_SAMPLES),
    "brier_skill_score": ScoreInfo(
        "1 - brier_score / brier_score of the monthly training climatology of the region",
        "-infinity to 1",
        "1",
        "Murphy (1973); Wilks (2019), Statistical Methods in the Atmospheric Sciences",
        "the climatology is itself perfect, or no samples",
    ),
    "brier_skill_score_persistence": ScoreInfo(
        "1 - brier_score / brier_score of persistence",
        "-infinity to 1",
        "1",
        "Murphy (1973); Wilks (2019), Statistical Methods in the Atmospheric Sciences",
        "persistence is itself perfect, or no samples",
    ),
    "reliability": ScoreInfo(
        "mean of (P - O)^2, where P and O are the mean p and the mean o of the case's bin; bins are 0 to 0.1, ..., "
        "0.9 to 1",
        "0 to 1",
        "0",
        "Murphy (1973)",
        _NO_SAMPLES,
    ),
    "resolution": ScoreInfo(
        "mean of (O - s)^2, where O is the mean o of the case's bin (of ten) and s that of all cases",
        "0 to 0.25",
        "uncertainty",
        "Murphy (1973)",
        _NO_SAMPLES,
    ),
    "uncertainty": ScoreInfo(
        "s(1 - s), where s is the mean o; a property of the weather alone",
        "0 to 0.25",
        "-",
        "Murphy (1973)",
        _NO_SAMPLES,
    ),
    "expected_calibration_error": ScoreInfo(
        "mean of the distance of P and O, as in reliability", "0 to 1", "0", "Naeini et al. (2015)", _NO_SAMPLES
    ),
    "maximum_economic_value": ScoreInfo(
        "largest V over the cost/loss ratios k = 0.01, 0.02, ..., 0.99: V = (min(kn, a + c) - k(a + b) - c) / "
        "(min(kn, a + c) - k(a + c)), a to d for rain said where p >= k",
        "-infinity to 1",
        "1",
        "Richardson (2000)",
        _ONE_CLASS,
    ),
    "roc_auc": ScoreInfo(
        "probability that a rain case got a higher p than a dry case, ties counted half",
        "0 to 1 (0.5 without discrimination)",
        "1",
        "Mason and Graham (2002); Hanley and McNeil (1982)",
        _ONE_CLASS,
    ),
    "average_precision": ScoreInfo(
        "sum over cuts of (recall step) * precision",
        "0 to 1 (base rate without skill)",
        "1",
        "scikit-learn user guide, 3.4.4 (average_precision_score)",
        _ONE_CLASS,
    ),
}

# Columns of the printed table: heading, key, decimals. The contingency scores a forecaster looks at first.
_COLUMNS = (
    ("n", "n", 0), ("base", "base_rate", 3), ("said", "predicted_rain_share", 3), ("acc", "accuracy", 3),
    ("macroF1", "macro_f1", 3), ("MCC", "matthews_correlation", 3), ("POD", "probability_of_detection", 3),
    ("FARatio", "false_alarm_ratio", 3), ("CSI", "critical_success_index", 3), ("PSS", "peirce_skill_score", 3),
    ("Brier", "brier_score", 3), ("BSS", "brier_skill_score", 3), ("ROCAUC", "roc_auc", 3),
)  # fmt: skip


def format_table(scores: Mapping[str, Any], *, is_brief: bool = False) -> str:
    """Write the result of `verification.score_table` as a plain table; "-" stands for an undefined score.

    Args:
        scores: of one forecast.
        is_brief: the overall line alone, without all scores and those of regions and months.
    """
    if "thresholds" not in scores:
        return "\n".join(_brief_lines(scores) if is_brief else _event_lines(scores))
    classes = scores["classes"]
    names = (
        "accuracy", "macro_f1", "balanced_accuracy", "matthews_correlation", "ranked_probability_score",
        "ranked_probability_skill_score",
    )  # fmt: skip
    shown = [f"{name} {score_rows.number(classes[name], 3)}" for name in names]
    lines = [f"classes, n = {classes['n']}", *(f"  {', '.join(shown[place : place + 3])}" for place in (0, 3))]
    if classes["constant_answer"]:
        lines.append(_CONSTANT)
    tables = scores["thresholds"]
    lines += ["", score_rows.header(_COLUMNS)]
    lines += [score_rows.row(threshold, table["overall"], _COLUMNS) for threshold, table in tables.items()]
    if not is_brief:
        for threshold, table in tables.items():
            lines += ["", f"rain of {threshold} or more", *judgement_lines(table)]
        lines += ["", _LEGEND, "scores.json has all scores of each threshold, by region and season too"]
    return "\n".join(lines)


_LEGEND = "base: share of rain observed; said: of rain forecast; =: the same yes or no every time; -: undefined"
_CONSTANT = "constant answer: the same yes or no every time, so no score of yes and no is skill"


def _event_lines(scores: Mapping[str, Any]) -> list[str]:
    overall = scores["overall"]
    table = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in overall["contingency_table"].items())
    cut = "that each run chose" if overall["cut"] is None else f"of {overall['cut']:.3f}"
    base_rate = score_rows.number(overall["base_rate"], 3)
    lines = [
        f"n = {overall['n']}, base rate {base_rate}, rain is said from a probability {cut}",
        table,
    ]
    if overall["constant_answer"]:
        lines.append(_CONSTANT)
    names = list(SCORES)
    rows = (len(names) + 2) // 3
    for row in range(rows):
        lines.append(
            "  ".join(f"{name:<30} {score_rows.number(overall[name], 4):>7}" for name in names[row::rows]).rstrip()
        )
    lines += ["", *judgement_lines(scores), "", *_brief_lines(scores)]
    lines += score_rows.groups(scores, _COLUMNS)
    lines += where_text.lines(scores)
    return [*lines, _LEGEND]


def _brief_lines(scores: Mapping[str, Any]) -> list[str]:
    return [score_rows.header(_COLUMNS), score_rows.row("all", scores["overall"], _COLUMNS)]
