"""Shared fixtures: runs without figures, and the reference data, which a clone of the project alone does not have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data, found through TIMERXL_SHARED or beside the checkout; skips where absent."""
    folder = Path(os.environ.get("TIMERXL_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set TIMERXL_SHARED to run this test")
    return folder


@pytest.fixture(scope="module")
def without_figures() -> Iterator[None]:
    """Leave out the drawing, which takes most of the time of a small run, where nobody looks at it."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("judging", "forecasting", "diagnosis.report"):
            patch.setattr(f"exp.{place}.find_spec", lambda _: None)
        yield
