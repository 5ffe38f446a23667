"""The page of a run: whole, in one language, honest about what it lacks, and never the end of a run."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import run as program
from exp.report import words, write
from utils import intervals
from utils.errors import DataError, UsageError

MEGABYTE = 1 << 20
SHORT = 12  # characters: shorter texts, such as "error", are the same in both languages


class Texts(HTMLParser):
    """What a reader reads, apart from code, style and what says of itself that it is English."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: list[str] = []
        self.found: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [given[name] or "" for name in ("aria-label", "title") if name in given]
        self.ids += [given["id"] or ""] if "id" in given else []
        is_hidden = self.hidden or tag in ("style", "code") or (given.get("lang") == "en" and tag != "html")
        if is_hidden and tag not in ("wbr", "path", "circle", "rect", "meta", "link"):
            self.hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.hidden and self.hidden[-1] == tag:
            self.hidden.pop()

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.found.append(data)


def read(page: Path) -> Texts:
    texts = Texts()
    texts.feed(page.read_text(encoding="utf-8"))
    return texts


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_every_run_ends_with_a_small_page_of_its_own(finished_run: Path) -> None:
    """Whoever trains should find the page without asking for it, and be able to mail it."""
    page = finished_run / "report.html"
    assert page.stat().st_size < 3 * MEGABYTE
    text = page.read_text(encoding="utf-8")
    assert "Of 100 rainy days" in text or "yes/no scores is skill" in text
    for title in ("ROC curve", "Reliability", "Performance diagram", "Economic value", "Gradient norm", "Calendar"):
        assert title in text
    assert text.count("<svg") > 8
    assert "--e_<wbr>layers" in text and "SHA-256 of the table" in text
    assert "Contains modified Copernicus Climate Change Service information 2019" in text


def test_the_page_asks_nothing_of_a_network_and_runs_no_program(finished_run: Path) -> None:
    """A page from an archive must look the same in ten years and on a ship."""
    text = (finished_run / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"<script|https?://|url\(|@import|src=", text)
    assert "default-src 'none'" in text


def test_no_name_is_given_twice(finished_run: Path) -> None:
    """A link to a name that occurs twice leads to the wrong part."""
    ids = read(finished_run / "report.html").ids
    assert len(ids) == len(set(ids)) and {"scores", "curves", "places", "times", "data", "training", "origin"} <= set(
        ids
    )


def test_no_english_sentence_shows_on_the_spanish_page(copied_run: Path) -> None:
    """A page half translated reads as carelessness, and its readers are those who do not read English."""
    assert program.main(["--task_name", "report", "--run", str(copied_run), "--language", "es"]) == 0
    shown = read(copied_run / "report.html").found
    whole = " ".join(" ".join(shown).split())
    english, spanish = (words.read(language).texts for language in words.LANGUAGES)
    for key, text in english.items():
        pieces = [piece.strip() for piece in re.split(r"\{\w+\}", text)]
        for piece in pieces:
            if len(piece) > SHORT and piece not in spanish[key]:
                assert piece not in whole, key
    assert re.search(r'<html lang="es">', (copied_run / "report.html").read_text(encoding="utf-8"))


def test_a_run_of_an_earlier_version_gets_a_page_that_names_what_it_lacks(copied_run: Path) -> None:
    """Runs outlive versions: a KeyError would make every old run look broken."""

    def older(scores: dict[str, Any]) -> None:
        for name in ("marks", "calibration", "decision"):
            scores.pop(name, None)
        for name in ("references", "against", "by_season", "by_hour", "gradient", "why_no_intervals"):
            scores["test"].pop(name, None)
        scores["test"]["overall"].pop("intervals", None)

    edit(copied_run / "scores.json", older)
    edit(copied_run / "config.json", lambda config: config["splits"].pop("periods"))
    lines = (copied_run / "predictions.csv").read_text().replace("climatology_", "a_").replace("persistence_", "b_")
    (copied_run / "predictions.csv").write_text(lines)
    for name in ("diagnosis.json", "metrics.jsonl", "environment.json", "preprocessing.json"):
        (copied_run / name).unlink()
    text = write.write_run(copied_run, "en").read_text(encoding="utf-8")
    for line in (
        "no intervals: it was scored by an earlier version", "This run was scored before references were stored",
        "This run has no diagnosis", "there is no map", "there are no training curves", "No scores by El Niño",
    ):  # fmt: skip
        assert line in text


def test_seasons_phases_and_a_gradient_are_shown_where_a_run_has_them(copied_run: Path) -> None:
    """What was calculated and is not on the page might as well not have been."""

    def newer(scores: dict[str, Any]) -> None:
        test = scores["test"]
        one = test["overall"]
        real = {"difference": 0.25, "interval": [0.125, 0.375], "is_real": True}
        slope = {"slope_per_degree": -0.5, "interval": None, "is_real": None}
        test |= {
            "by_season": {"wet": one, "dry": one},
            "by_hour": {"00": one},
            "by_enso": {"el_nino": one, "la_nina": one},
            "enso_difference": {"roc_auc": real, "base_rate": {**real, "difference": None}},
            "enso": {"calendar_months": {"el_nino": ["01", "02"], "la_nina": ["08"]}},
            "gradient": {"reason": None, "scores": {"roc_auc": slope}},
        }
        scores["calibration"] = {"method": "isotonic"}

    edit(copied_run / "scores.json", newer)
    text = write.write_run(copied_run, "en").read_text(encoding="utf-8")
    for words_of_it in (
        "December to March (wet in most of Peru)", "By hour of the forecast", "El Niño minus La Niña",
        "+0.250 (0.125 … 0.375) real",
        "In this test El Niño is of Jan, Feb and La Niña of Aug",
        "From south to north", "−0.500", "isotonic regression",
    ):  # fmt: skip
        assert words_of_it in text


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (intervals.NO_DRAWS, "no intervals: they were switched off"),
        ("20 days are fewer than 8 blocks of 14 days", "no intervals: its test period has {days} days, and they need"),
        ("", "no intervals: its scores are undefined in too many of the drawn days"),
    ],
)
def test_the_page_says_why_there_are_no_intervals(copied_run: Path, why: str, told: str) -> None:
    """Who reads of an earlier version would score the run again, and get no more intervals from too few days."""

    def without(scores: dict[str, Any]) -> None:
        scores["test"]["why_no_intervals"] = why
        scores["test"]["overall"]["intervals"] = dict.fromkeys(scores["test"]["overall"]["intervals"])

    edit(copied_run / "scores.json", without)
    days = len({line[:10] for line in (copied_run / "predictions.csv").read_text().splitlines()[1:]})
    assert told.format(days=days) in write.write_run(copied_run, "en").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("decision", "told"),
    [
        (None, "on, which was chosen on the validation period by "),
        ({"cost_loss_ratio": 0.125}, "from a probability of 0.125 on, the ratio of cost to loss that was given"),
        ({"cost_loss_ratio": [0.25]}, "from a probability of 0.25 on, the ratio of cost to loss that was given"),
    ],
)
def test_the_page_says_where_the_cut_is_from(copied_run: Path, decision: dict[str, Any] | None, told: str) -> None:
    """No data are searched for a ratio of cost to loss: a validation period that chose it would be an invention."""
    edit(copied_run / "scores.json", lambda scores: scores.update(decision=decision or scores["decision"]))
    text = write.write_run(copied_run, "en").read_text(encoding="utf-8")
    assert told in text
    assert ("chosen on the validation period" in text) == (decision is None)


def test_every_kind_of_warning_stands_above_the_scores(copied_run: Path) -> None:
    """A made-up, stopped or marked run whose page fails, or hides it, is read as a result."""

    def warn(scores: dict[str, Any]) -> None:
        marks = [{"code": "NO_SKILL", "sentence": "no gain"}, {"code": "NEWER", "sentence": "unheard of"}]
        scores.update(synthetic=True, stopped_by="GRAD_HUGE", skipped_steps=3, marks=marks)

    edit(copied_run / "scores.json", warn)
    text = write.write_run(copied_run, "en").read_text(encoding="utf-8")
    places = [
        text.index(title)
        for title in (
            "Synthetic data, not ERA5", "No skill shown", "Mark: NEWER", "Stopped before its end",
            "Steps skipped: 3", 'class="lead"',
        )
    ]  # fmt: skip
    assert places == sorted(places) and "contain no Copernicus information" in text


def test_a_map_is_drawn_where_the_table_says_where_its_regions_are(copied_run: Path) -> None:
    """Where a forecast works is half of what it is good for."""
    boxes = {"costa": {"north": -5, "west": -81, "south": -10, "east": -78}}
    edit(copied_run / "config.json", lambda config: config["table"].update(regions=boxes))
    text = write.write_run(copied_run, "en").read_text(encoding="utf-8")
    assert 'class="map"' in text and "The place of these regions is not recorded: sierra" in text


def test_names_from_data_are_text_and_never_part_of_the_page(copied_run: Path) -> None:
    """A region called <b> would otherwise be able to change what the page says."""
    path = copied_run / "predictions.csv"
    path.write_text(path.read_text().replace(",costa,", ",<b>,"))

    def rename(scores: dict[str, Any]) -> None:
        regions = scores["test"]["by_region"]
        regions["<b>"] = regions.pop("costa")

    edit(copied_run / "scores.json", rename)
    text = write.write_run(copied_run, "en").read_text(encoding="utf-8")
    assert "&lt;b&gt;" in text and "<b>, 2019" not in text


def test_a_run_without_predictions_is_named(copied_run: Path) -> None:
    """No curve can be drawn without them, and a traceback would not say what to do."""
    (copied_run / "predictions.csv").unlink()
    with pytest.raises(DataError, match=r"predictions\.csv") as told:
        write.write_run(copied_run, "en")
    assert told.value.code == "RUN_WITHOUT_PREDICTIONS"
    assert program.main(["--task_name", "report", "--run", str(copied_run)]) == 3


def test_what_is_no_finished_run_is_refused(copied_run: Path, tmp_path: Path) -> None:
    """A typing error in a path, or a run that still trains, must be told apart from a fault."""
    with pytest.raises(UsageError, match="no such directory"):
        write.write_run(tmp_path / "nothing", "en")
    (copied_run / "scores.json").write_text('{"test": {}}')
    with pytest.raises(UsageError, match="nothing about whether it rains") as told:
        write.write_run(copied_run, "en")
    assert "--task_name classification or regression" in str(told.value)
    assert program.main(["--task_name", "report"]) == 2


def test_a_regression_shows_its_amounts_with_intervals_beside_the_references(amount_runs: Path, tmp_path: Path) -> None:
    """An error in millimetres says nothing without that of climatology, and a gain nothing without its interval."""
    (run,) = (Path(shutil.copytree(run, tmp_path / "run")) for run in amount_runs.glob("ridge_regression-*"))
    test = json.loads((run / "scores.json").read_text())["test"]
    text = write.write_run(run, "en").read_text(encoding="utf-8")
    shown = text[text.index("How much it rains") : text.index("Rain is said from")]
    score = "continuous_ranked_probability_score"
    low, high = test["overall"]["intervals"][score]
    gain = test["against"]["climatology"][score]
    for value in (
        f"{test['overall'][score]:.3f}", f"{low:.3f} … {high:.3f}", f"{test['references']['climatology'][score]:.3f}",
        f"−{-gain['difference']:.3f} <i>real", "Error of the whole distribution", "drawing blocks of days anew",
        "By month", "By hour of the forecast", f"{test['by_season']['dry']['mean_absolute_error']:.2f}",
    ):  # fmt: skip
        assert value in shown, value

    def of_an_earlier_version(scores: dict[str, Any]) -> None:
        del scores["test"]["against"], scores["test"]["why_no_intervals"], scores["test"]["overall"]["intervals"]
        del scores["test"]["by_season"], scores["test"]["by_hour"]

    edit(run / "scores.json", of_an_earlier_version)
    text = write.write_run(run, "es").read_text(encoding="utf-8")
    shown = text[text.index("Cuánto llueve") :]
    assert f"{test['overall'][score]:.3f}" in shown and f"{low:.3f} …" not in shown
    assert words.read("es")("scores.no_intervals_older") in shown


def test_several_thresholds_are_shown_one_after_the_other(copied_run: Path) -> None:
    """Of three questions the page must not answer the first alone."""

    def several(scores: dict[str, Any]) -> None:
        one = scores["test"]
        classes = {
            "n": 6, "base_rate": [0.5, 0.3, 0.2], "confusion_matrix": [[2, 1, 0], [1, 1, 0], [0, 0, 1]],
            "constant_answer": False, "accuracy": 0.6, "macro_f1": None,
        }  # fmt: skip
        scores["test"] = {"classes": classes, "thresholds": {"0.1 mm": one, "5 mm": one}}
        scores["threshold_mm"], scores["cut"] = [0.1, 5.0], scores["cut"] * 2

    name = json.loads((copied_run / "scores.json").read_text())["threshold_mm"][0]
    edit(copied_run / "scores.json", several)
    path = copied_run / "predictions.csv"
    head, *rest = path.read_text().splitlines()
    columns = head.split(",")
    first = [column for column in columns if column.endswith(f"_{name:g}mm")]
    wider = [*columns, *(column.replace(f"_{name:g}mm", "_5mm") for column in first)]
    renamed = [column.replace(f"_{name:g}mm", "_0.1mm") if column in first else column for column in wider]
    places = [columns.index(column) for column in first]
    lines = [",".join([line, *(line.split(",")[place] for place in places)]) for line in rest]
    path.write_text("\n".join([",".join(renamed), *lines]) + "\n")
    text = write.write_run(copied_run, "en").read_text(encoding="utf-8")
    assert "Rain of 0.1 mm or more" in text and "Rain of 5 mm or more" in text and "0.1 to 5 mm" in text
    ids = read(copied_run / "report.html").ids
    assert len(ids) == len(set(ids)) and "event-5" in ids
