"""What a diagnosis wrote down: diagnosis.json for machines, diagnosis.html for people."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from exp.diagnosis.verdict import Verdict
from utils import run_directory
from utils.findings import Finding

logger = logging.getLogger(__name__)
DIAGNOSIS_VERSION = 1
JSON_FILE, PAGE_FILE = "diagnosis.json", "diagnosis.html"
Answer = Literal["innocent", "guilty", "handled", "not checked"]


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
        name: such as "checkpoint" or "gradients".
        answer: in one word.
        sentence: what was seen.
        seconds: how long it took.
    """

    name: str
    answer: Answer
    sentence: str
    seconds: float = 0.0


@dataclass(frozen=True)
class MissingMap:
    """Where in time and variables values are missing, for the picture.

    Attributes:
        share: `(V, K)` share of missing values per variable and slice of time, all regions together.
        variables: `V` names.
        edges: `(K + 1,)` datetime64[s], limits of the slices.
    """

    share: np.ndarray
    variables: tuple[str, ...]
    edges: np.ndarray


@dataclass
class Diagnosis:
    """Everything that was found about one run.

    Attributes:
        subject: what was examined: command, table, model.
        checks: questions and answers, in order.
        findings: everything worth telling, errors first.
        ranges: one row per variable: name, raw and scaled range; the target last.
        batch: record of the examined batch.
        verdict: the cause, None where nothing is wrong.
        bad_steps: verdicts of steps that were not finite, in order.
        missing: for the picture, None without missing values.
        steps: (number, loss, gradient norm) of the latest steps, for the picture.
    """

    subject: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    ranges: list[dict[str, Any]] = field(default_factory=list)
    batch: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict | None = None
    bad_steps: list[Verdict] = field(default_factory=list)
    missing: MissingMap | None = None
    steps: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a run."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def recall(self, folder: Path) -> None:
        """Take over the bad steps that an earlier part of the run wrote into a folder; none where nothing was."""
        try:
            earlier = run_directory.read_json(folder / JSON_FILE)["bad_steps"]
            self.bad_steps[:0] = [Verdict.from_json(content) for content in earlier]
        except (OSError, ValueError, LookupError, TypeError) as error:
            logger.warning("  what %s said of earlier bad steps cannot be read: %s", folder / JSON_FILE, error)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "diagnosis_version": DIAGNOSIS_VERSION,
            "subject": self.subject,
            "verdict": self.verdict.to_json() if self.verdict else None,
            "checks": [vars(check) for check in self.checks],
            "findings": [finding.to_json() for finding in self.findings],
            "ranges": self.ranges,
            "batch": dict(self.batch),
            "bad_steps": [verdict.to_json() for verdict in self.bad_steps],
            "seconds": sum(check.seconds for check in self.checks),
        }

    def write(self, folder: Path) -> Path:
        """Write diagnosis.json and diagnosis.html into a folder; return the page.

        Raises:
            StorageError: the folder cannot be written.
        """
        from exp.diagnosis import page

        run_directory.make_folder(folder)
        run_directory.write_json(folder / JSON_FILE, self.to_json())
        pictures = {}
        if find_spec("matplotlib") is not None:
            from exp.diagnosis import pictures as drawing

            pictures = drawing.draw(self)
        run_directory.write_text(folder / PAGE_FILE, page.render(self, pictures))
        return folder / PAGE_FILE
