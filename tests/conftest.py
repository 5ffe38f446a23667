"""Shared fixtures: the folder of reference data, which a clone of the project alone does not have."""

from __future__ import annotations

import os
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
