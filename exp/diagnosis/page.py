"""The readable page of a diagnosis: one HTML file that needs no network, legible on a telephone."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from exp.diagnosis.report import Diagnosis
from exp.diagnosis.verdict import Verdict
from utils.findings import Finding

NORMS_SHOWN = 12
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;margin:0 auto;padding:1rem;max-width:60rem;background:#fff}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:1.8rem 0 .5rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;font-size:.88rem;width:100%}td,th{text-align:left;padding:.25rem .6rem .25rem 0;
vertical-align:top;border-bottom:1px solid #eee}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}.card{border-left:.4rem solid #6b6b6b;background:#f6f6f6;padding:.6rem 1rem;margin:.7rem 0}
.error{border-color:#D55E00}.ok{border-color:#009E73}.warning{border-color:#E69F00}.handled{border-color:#0072B2}
.card dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;margin:.3rem 0 0;font-size:.92rem}
.card dt{color:#6b6b6b}.card dd{margin:0;overflow-wrap:anywhere}code{font-size:.95em}img{max-width:100%}
.small{color:#6b6b6b;font-size:.88rem}
"""


def render(diagnosis: Diagnosis, pictures: Mapping[str, bytes]) -> str:
    """Return the page.

    Args:
        diagnosis: what was found.
        pictures: title -> PNG.
    """
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Diagnosis</title><style>{STYLE}</style>",
        "<h1>Diagnosis</h1>",
        f"<p class=small>{_subject(diagnosis.subject)}</p>",
        _headline(diagnosis),
        _section("What was looked at", _checks(diagnosis)),
        _section("What was found", "".join(_finding(finding) for finding in diagnosis.findings)),
        *(_section(title, _picture(title, png)) for title, png in pictures.items()),
        _section("Further steps that were not finite", "".join(map(_verdict, diagnosis.bad_steps[:-1]))),
        _section("Range of each variable", _ranges(diagnosis.ranges)),
        _section("The examined batch", _batch(diagnosis.batch)),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _subject(subject: Mapping[str, Any]) -> str:
    return " · ".join(f"{escape(str(name))}: {escape(str(value))}" for name, value in subject.items())


def _headline(diagnosis: Diagnosis) -> str:
    if diagnosis.verdict is not None:
        return _verdict(diagnosis.verdict)
    warnings = [finding.code for finding in diagnosis.findings if finding.severity == "warning"]
    if warnings:
        return f"<div class='card warning'><b>No error</b>; to think about: {escape(', '.join(warnings))}</div>"
    return "<div class='card ok'><b>Nothing is wrong.</b> What was looked at stands below.</div>"


def _verdict(verdict: Verdict) -> str:
    extra = [("not it", sentence) for sentence in verdict.rules_out]
    extra += [("also", f"{other.code}: {other.what} {other.where}") for other in verdict.also]
    return _finding(verdict.finding, extra)


def _finding(finding: Finding, extra: Iterable[tuple[str, str]] = ()) -> str:
    rows = [("where", finding.where), ("evidence", finding.evidence), ("next", finding.next_command), *extra]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows if text)
    head = f"<b>{escape(finding.code)}</b> {escape(finding.what)}"
    return f"<div class='card {finding.severity}'>{head}<dl>{items}</dl></div>"


def _checks(diagnosis: Diagnosis) -> str:
    rows = [(check.name, check.answer, check.sentence) for check in diagnosis.checks]
    return _table(("question", "answer", "what was seen"), rows)


def _ranges(ranges: list[dict[str, Any]]) -> str:
    if not ranges:
        return ""
    names = list(ranges[0])
    rows = [[_number(row.get(name)) for name in names] for row in ranges]
    return _table([name.replace("_", " ") for name in names], rows)


def _batch(batch: Mapping[str, Any]) -> str:
    if not batch:
        return ""
    described = {name: batch[name] for name in ("input", "marks", "target", "output") if name in batch}
    described |= {f"loss term {name}": value for name, value in batch.get("loss_terms", {}).items()}
    columns = ("minimum", "maximum", "mean", "deviation", "nan", "infinite")
    rows = [[name, *(_number(value.get(column)) for column in columns)] for name, value in described.items()]
    text = _table(("", *columns), rows)
    norms = list(batch.get("gradient_norms", {}).items())
    if norms:
        shown = [[name, _number(norm)] for name, norm in norms[:NORMS_SHOWN]]
        text += f"<p class=small>Gradient norms, largest first ({len(norms)} parameters, total "
        text += f"{_number(batch.get('gradient_norm'))}; loss {_number(batch.get('loss'))}):</p>"
        text += _table(("parameter", "norm"), shown)
    return text


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f"<th>{escape(str(cell))}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><tr>{top}</tr>{body}</table></div>"


def _picture(title: str, png: bytes) -> str:
    return f"<img alt='{escape(title)}' src='data:image/png;base64,{base64.b64encode(png).decode()}'>"


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}" if content else ""


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float | int):
        return "" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"
