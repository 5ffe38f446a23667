"""The notebook for Colab: every shell line is one that the real parsers understand, and it runs from top to bottom."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.option_project import ROOT, Project

NOTEBOOK = ROOT / "notebooks" / "colab.ipynb"


def cells(kind: str) -> list[str]:
    """Return the text of the cells of one kind."""
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def test_the_notebook_is_committed_without_outputs() -> None:
    """Outputs of somebody's machine would be read as results, and change with every run."""
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert NOTEBOOK.stat().st_size < 20_000


def test_the_notebook_has_the_steps_of_the_notes_and_is_not_in_smoke_size() -> None:
    """The notes send their reader to cells by these names."""
    titles = re.findall(r"^## (.+)", "\n".join(cells("markdown")), flags=re.MULTILINE)
    wanted = ["Diagnosis", "Option A: from scratch", "Option B: smaller model (more stable)", "Comparison"]
    assert [title for title in titles if title in wanted] == wanted
    assert "SMOKE = False\n" in cells("code")[0]


def test_every_shell_line_is_followed_by_a_look_at_its_exit_code() -> None:
    """A cell that fails in silence lets the next one train on what is not there."""
    for text in cells("code"):
        lines = [line.strip() for line in text.splitlines()]
        for line, after in zip(lines, [*lines[1:], ""], strict=True):
            assert not line.startswith("!bash ") or after.startswith("assert _exit_code == 0")


def test_the_notebook_runs_from_top_to_bottom_in_smoke_size(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first cell that fails is where a reader gives up."""
    nbformat = pytest.importorskip("nbformat", reason="notebooks are run where requirements-dev.txt is installed")
    nbclient = pytest.importorskip("nbclient", reason="notebooks are run where requirements-dev.txt is installed")
    monkeypatch.setenv("TIMERXL_PYTHON", sys.executable)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    switch = next(cell for cell in book.cells if cell.id == "switch")
    switch.source = switch.source.replace("SMOKE = False", "SMOKE = True")
    # Its own copy: other tests compare options in the shared one.
    own = shutil.copytree(project.folder, tmp_path / "own", ignore=shutil.ignore_patterns("cut", "dead", "*_options"))
    opened_in = {"metadata": {"path": str(own / "notebooks")}}
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3", resources=opened_in).execute()
    said = {cell.id: _said(cell) for cell in book.cells if cell.cell_type == "code"}
    assert "SYNTHETIC" in said["diagnosis"] and "Nothing is wrong" in said["diagnosis"]
    assert "option A, seed 0 is finished" in said["option-a"] and "option B, seed 0 is finished" in said["option-b"]
    assert "F: frozen encoder" in said["transfer"]
    assert "base rate" in said["table"] and "| A from scratch" in said["table"] and "| B small" in said["table"]


def _said(cell: Any) -> str:
    """Return all that a cell printed or showed."""
    shown = [output.get("text", "") + str(output.get("data", {}).get("text/markdown", "")) for output in cell.outputs]
    return "".join(shown)
