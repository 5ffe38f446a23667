"""Many forecasts below one another: a point for the value of each, a line for its interval, ticks for its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from exp.report.chart import RIGHT, WIDTH, Axis, nice_ticks
from exp.report.figures import Figure
from exp.report.tables import range_text
from exp.report.words import UNDEFINED, Words, number

LEFT, TOP, BOTTOM, ROW = 10, 6, 24, 36
LOOKS = {"model": "forecast", "reference": "cut", "ensemble": "region"}


def draw(
    rows: Sequence[Mapping[str, Any]], score: str, without_skill: float, words: Words, section: str = "score"
) -> Figure:
    """Draw one score of all forecasts.

    Args:
        rows: of the table of a comparison.
        score: its name.
        without_skill: its value for a forecast without skill.
        words: of the page.
        section: of the texts that name the score.
    """
    ends = [end for row in rows for end in row["intervals"].get(score) or ()]
    values = [row["scores"][score] for row in rows] + [one for row in rows for one in row["by_seed"].get(score, ())]
    known = [value for value in (*ends, *values, without_skill) if value is not None]
    margin = 0.05 * (max(known) - min(known)) or 0.05
    axis = Axis(min(known) - margin, max(known) + margin, "")
    floor = TOP + ROW * len(rows)
    parts = [_tick(axis, value, floor) for value in nice_ticks(axis.low, axis.high)]
    at = _place(axis, without_skill)
    parts.append(f'<path class="line reference dashed" d="M{at:.1f} {TOP}V{floor}"/>')
    parts += [_row(row, score, axis, TOP + ROW * place, words) for place, row in enumerate(rows)]
    title = words.name(section, score)
    spoken = words("comparison.forest_alt", title=title, rows=" ".join(_spoken(row, score, words) for row in rows))
    head = f'<svg viewBox="0 0 {WIDTH} {floor + BOTTOM}" role="img" aria-label="{escape(spoken)}">'
    legend = [(f"{LOOKS[kind]} dot", words(f"kind.{kind}")) for kind in dict.fromkeys(row["kind"] for row in rows)]
    return Figure(title, f"{head}{''.join(parts)}</svg>", words("comparison.forest_note"), legend)


def name_of(name: str, words: Words) -> str:
    """Return a forecast's name in the language of the page, where the page has one; what tells it apart stays."""
    model, bracket, apart = name.partition(" (")
    return words.texts.get(f"model.{model}", model) + bracket + apart


def _row(row: Mapping[str, Any], score: str, axis: Axis, top: float, words: Words) -> str:
    look, middle = LOOKS[row["kind"]], top + 25
    name = escape(name_of(row["name"], words))
    parts = [f'<text class="label halo" x="{LEFT}" y="{top + 14:.0f}">{name}</text>']
    interval, value = row["intervals"].get(score), row["scores"][score]
    if interval:
        low, high = (_place(axis, end) for end in interval)
        parts.append(f'<path class="line {look}" d="M{low:.1f} {middle}H{high:.1f}"/>')
    seeds = [one for one in row["by_seed"].get(score, ()) if one is not None]
    if len(seeds) > 1:
        ticks = "".join(f"M{_place(axis, one):.1f} {middle - 5}v10" for one in seeds)
        parts.append(f'<path class="line perfect" d="{ticks}"/>')
    if value is not None:
        hollow = " hollow" if row["constant_answer"] else ""
        parts.append(f'<circle class="dot {look}{hollow}" cx="{_place(axis, value):.1f}" cy="{middle}" r="5"/>')
    return "".join(parts)


def _tick(axis: Axis, value: float, floor: float) -> str:
    at = _place(axis, value)
    text = f'<text x="{at:.1f}" y="{floor + 17}" text-anchor="middle">{number(value, 2)}</text>'
    return f'<path class="grid" d="M{at:.1f} {TOP}V{floor}"/>{text}'


def _place(axis: Axis, value: float) -> float:
    return float(axis.place(value, LEFT + 6, WIDTH - RIGHT))


def _spoken(row: Mapping[str, Any], score: str, words: Words) -> str:
    value, interval = number(row["scores"][score]), range_text(row["intervals"].get(score)) or UNDEFINED
    return words("comparison.forest_row", name=name_of(row["name"], words), value=value, interval=interval)
