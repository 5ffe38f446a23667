"""The copy of the project in which scripts and notebooks are run."""

from __future__ import annotations

import pytest

from exp.options import OPTIONS
from tests.scripts.option_project import Project, shared_copy


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The copy with one smoke run of each option in it; run once, however many workers there are."""
    base = tmp_path_factory.getbasetemp()
    return shared_copy(
        (base if worker_id == "master" else base.parent) / "options",
        tuple(option.script for option in OPTIONS.values()),
    )
