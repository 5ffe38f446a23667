"""The page: three acts with their pictures in one file that needs nothing else, not even a network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from exp.scoring import main_scores
from scripts.replay_case.commands import CleanRun, Diagnosis
from scripts.replay_case.reenactment import MODEL_FLAGS, Reenactment
from scripts.replay_case.stacked import WINDOW_ROWS
from utils.run_directory import write_text

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 46rem; padding: 1rem; font: 1.05rem/1.55 system-ui, sans-serif; color: #222; }
h1 { font-size: 1.7rem; line-height: 1.2; margin-bottom: .3rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin-top: 2.6rem; border-top: 1px solid #d9d9d9; padding-top: 1rem; }
img { width: 100%; height: auto; border: 1px solid #d9d9d9; }
code, pre { font-size: .9em; overflow-wrap: anywhere; white-space: pre-wrap; }
pre, .es { background: #f5f5f5; padding: .7rem .9rem; border-left: 4px solid #0072B2; }
.es { border-color: #009E73; }
.synthetic { background: #fdf0e6; border: 1px solid #D55E00; padding: .5rem .9rem; }
table { border-collapse: collapse; width: 100%; }
td { border-bottom: 1px solid #e5e5e5; padding: .3rem 0; vertical-align: top; }
td:last-child { text-align: right; font-variant-numeric: tabular-nums; padding-left: 1rem; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem 0; overflow-wrap: anywhere; }
"""
NO_PICTURE = "<p>(matplotlib is not installed: no picture.)</p>"


def write_page(act: Reenactment, diagnosis: Diagnosis, run: CleanRun, pictures: Iterable[Path], path: Path) -> None:
    """Write the page.

    Args:
        act: what act 1 counted.
        diagnosis: what act 2 said.
        run: what act 3 left.
        pictures: `act1.png`, `act2.png`, `act3.png`; none where matplotlib is missing.
        path: HTML file.
    """
    images = {picture.stem: _image(picture) for picture in pictures}
    parts = [_head(act), _act1(act, images), _act2(diagnosis, images), _act3(act, run, images)]
    write_text(path, "\n".join([*parts, "</body></html>"]) + "\n")


def _head(act: Reenactment) -> str:
    table = act.table
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The case, replayed</title><style>{STYLE}</style></head><body>
<h1>The case, replayed</h1>
<p class="synthetic"><strong>SYNTHETIC data, not ERA5.</strong> The weather is made by a random generator and says
nothing about Peru. The shape is that of the case: {len(table.regions)} regions stacked one after another,
{len(table.values):,} rows, {len(table.columns)} columns. Every number on this page was counted in the run that wrote
it.</p>
<p>A rain classifier for five regions of Peru would not train: batch after batch was skipped, the validation loss was
nan, the accuracy was the share of dry days. The notes of the case blamed the checkpoint, the gradients, the learning
rate. Three acts: what happened, what the diagnosis says of it, and the same model trained cleanly.</p>
<p class="es" lang="es"><strong>En español.</strong> Datos SINTÉTICOS con la forma del caso. Un clasificador de lluvia
no aprendía: los lotes se saltaban, la pérdida de validación era nan. Tres actos: qué pasó, qué dice el diagnóstico y
el mismo modelo entrenado sin fallo. Cada número se contó en la ejecución que escribió esta página.</p>"""


def _act1(act: Reenactment, images: Mapping[str, str]) -> str:
    step, other, table, last = act.first, act.without_blank_rows, act.table, act.epochs[-1]
    clean = act.windows - act.touched
    skipped = [f"{act.skipped(epoch.number)} of {act.batches_in(epoch.number)}" for epoch in act.epochs]
    called_best = sum(epoch.called_best for epoch in act.epochs)
    facts = {
        "training rows, windows, batches": f"{table.training_rows:,}, {act.windows:,}, {act.batches_in(1)}",
        "rain among the training rows": f"{100 * act.rain_rows_share:.1f} %",
        "windows that hold a NaN": f"{act.touched:,} ({100 * act.touched_share:.1f} %)",
        "rows removed by dropna at half of the columns": f"{table.dropped_rows} of {len(table.values):,}",
        "loss of batch 1": f"{step.loss:.4f}, finite",
        "gradients with NaN, before clipping, after": f"{step.gradients}, {step.clipped_gradients} of {step.tensors}",
        "tensors with NaN after ONE step": f"{step.weights} of {step.tensors}",
        "batches skipped, epoch by epoch": "; ".join(skipped),
        "validation loss": ", ".join(f"{epoch.validation_loss:.4f}" for epoch in act.epochs),
        "accuracy; share of dry windows": f"{last.training_accuracy:.3f}; {act.dry_windows_share:.3f}",
        "the same batch without the blank rows": f"loss {other.loss:.4f}; {other.weights} of {other.tensors} NaN",
    }
    return f"""<h2>Act 1. The settings of the notes: one finite loss kills every weight</h2>
<p>Lag features have no past at the head of a region, so a few rows there are blank in part. The cleaning kept them,
the scaler handed NaN through, and windows of {WINDOW_ROWS} rows, cut straight through the stacked regions, spread
them: {100 * act.touched_share:.1f} % of the windows hold one.</p>
<p>Then the safety net did it. <code>nan_to_num</code> between encoder and head made the loss of batch 1 finite
({step.loss:.2f}), so it was <em>not</em> skipped. Backward, {step.gradients} of {step.tensors} gradients were NaN;
clipping by their total norm, which is NaN, made that {step.clipped_gradients}; the optimizer wrote it into
{step.weights} of {step.tensors} tensors. Every later loss was NaN, also on the {clean:,} windows without a missing
value ({_number(act.loss_on_clean_windows)} on {step.windows} of them), so every later batch was skipped. A comparison
with NaN is false: {called_best} of {len(act.epochs)} epochs were kept as "best", with {last.nan_tensors_in_best} of
{step.tensors} tensors NaN. And among logits that are all NaN the first class wins, so the accuracy is the share of dry
windows.</p>
{images.get("act1", NO_PICTURE)}
{_table(facts)}
<p><strong>The proof.</strong> The same batch, the same first weights, the blank rows taken out (older rows move in):
loss {other.loss:.2f}, {other.gradients} gradients and {other.weights} of {other.tensors} tensors with NaN. No
checkpoint was loaded at all. The model is small so that this takes seconds ({MODEL_FLAGS["e_layers"]} layers, width
{MODEL_FLAGS["d_model"]}, tokens of {MODEL_FLAGS["input_token_len"]} rows, {act.parameters:,} weights).</p>
<p class="es" lang="es"><strong>En español.</strong> Los retardos dejan filas incompletas al principio de cada región y
el {100 * act.touched_share:.1f} % de las ventanas contiene un NaN. <code>nan_to_num</code> hizo finita la pérdida del
primer lote ({step.loss:.2f}), por eso no se saltó: un solo paso convirtió en NaN {step.weights} de {step.tensors}
tensores y desde entonces se saltaron todos los lotes ({"; ".join(skipped).replace(" of ", " de ")}). Sin esas filas, el
mismo lote deja {other.weights} tensores con NaN. El checkpoint era inocente.</p>"""


def _act2(diagnosis: Diagnosis, images: Mapping[str, str]) -> str:
    verdict = diagnosis.verdict
    parts = {name: [str(verdict.get(name, ""))] for name in ("what", "where", "evidence", "next")}
    parts["not it"] = [str(sentence) for sentence in verdict.get("rules_out", ())]
    listed = "\n".join(
        f"<dt>{name}</dt>" + "".join(f"<dd>{escape(text)}</dd>" for text in texts)
        for name, texts in parts.items()
        if texts
    )
    own = diagnosis.check_seconds
    checks = "" if own is None else f"; its checks took {own:.1f} s"
    return f"""<h2>Act 2. The diagnosis names rows and columns, before the first step</h2>
<pre>{escape(diagnosis.command)}</pre>
<p>It ended with exit code {diagnosis.exit_code} after {diagnosis.seconds:.1f} s, the start of Python included{checks}.
No step was taken. Its verdict, word for word:</p>
<p><strong><code>{escape(str(verdict.get("code", "")))}</code></strong></p>
<dl>
{listed}
</dl>
{_two_shares(diagnosis)}
{images.get("act2", NO_PICTURE)}
<p class="es" lang="es"><strong>En español.</strong> El diagnóstico termina con el código {diagnosis.exit_code} en
{diagnosis.seconds:.1f} s, antes del primer paso, y nombra la causa
(<code>{escape(str(verdict.get("code", "")))}</code>), las filas, las columnas y qué escribir a continuación. Las filas
incompletas son las primeras de cada región; arriba, las ventanas que tocan.</p>"""


def _two_shares(diagnosis: Diagnosis) -> str:
    """Why the verdict has two shares of windows; nothing where it has one."""
    counted = diagnosis.stacked
    if counted is None:
        return ""
    return f"""<p>Its first share counts the windows of this project, which never leave a region. Of windows cut
straight through the stacked rows it counts {counted["windows_touched"]:,} of {counted["windows"]:,}, as act 1.</p>"""


def _act3(act: Reenactment, run: CleanRun, images: Mapping[str, str]) -> str:
    scores = main_scores(run.scores["test"])
    facts = {f"epoch {row['epoch']}: training, validation loss": _losses(row) for row in run.epochs}
    facts["loss of always giving the base rate"] = f"{run.epochs[-1]['base_rate_entropy']:.4f}"
    facts["steps skipped"] = f"{run.skipped} of {run.steps}"
    facts["test: base rate"] = _number(scores["base_rate"])
    facts["test: ROC AUC"] = _number(scores["roc_auc"])
    facts["test: Brier skill against climatology"] = _number(scores["brier_skill_score"])
    last = run.epochs[-1]
    return f"""<h2>Act 3. The same model, trained cleanly: {run.skipped} of {run.steps} steps skipped</h2>
<pre>{escape(run.command)}</pre>
<p>The same table and the same {act.first.tensors} tensors with {act.parameters:,} weights, through the real program
with its defaults: rows that lags leave blank are left out, the splits follow one another in time, and no window
leaves its region. That leaves {run.windows:,} training windows of {MODEL_FLAGS["input_token_len"]} rows. (Windows of
{WINDOW_ROWS}
rows would leave few: at a row every 12 hours they are {WINDOW_ROWS // 2} days, not the 60 of the notes.)</p>
{images.get("act3", NO_PICTURE)}
{_table(facts)}
<p>Two epochs of a model this small are a demonstration, not a forecast: its scores stand here so that nobody has to
guess them. <code>bash scripts/quickstart.sh</code> trains one that is compared with its references.</p>
<p class="es" lang="es"><strong>En español.</strong> El mismo modelo y la misma tabla, con los valores por defecto del
proyecto: {run.skipped} de {run.steps} pasos saltados; pérdida de entrenamiento {last["train_loss"]:.3f} y de validación
{last["validation_loss"]:.3f}, frente a {last["base_rate_entropy"]:.3f} de quien da siempre la frecuencia base. Es una
demostración, no un pronóstico.</p>"""


def _losses(row: Mapping[str, Any]) -> str:
    return f"{row['train_loss']:.4f}, {row['validation_loss']:.4f}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _table(facts: Mapping[str, str]) -> str:
    rows = "\n".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f"<table>\n{rows}\n</table>"


def _image(path: Path) -> str:
    """A picture inside the page; the file beside the page opens in full size."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<p><img alt="{DESCRIPTIONS[path.stem]}" src="data:image/png;base64,{data}"></p>'


DESCRIPTIONS = {
    "act1": "Share of weights that are NaN and state of each batch: after batch 1 all weights are NaN",
    "act2": "Where the missing values lie in the stacked rows and columns, and the windows that hold one",
    "act3": "Loss of the notes' training, nan after batch 1, beside the falling loss of the clean training",
    "replay": "All three acts",
}
