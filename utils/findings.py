"""What a check found: the four parts of a message, how serious it is, and its figures for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from utils.errors import DataError, ForeseenError, join, message

Severity = Literal["error", "warning", "handled", "information"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing a check has to say; a check that has nothing to say returns no finding.

    Attributes:
        code: cause code in capitals, such as ``DATA_NAN``; stable, asserted by tests.
        severity: ``error`` stops the run; ``warning`` does not; ``handled`` is a problem that the flags take care
            of, told with its counts; ``information`` is no problem.
        what: one plain sentence.
        where: file, column, rows, times, region, flag, layer or step.
        evidence: the figures that prove it.
        next_command: what to type or change now.
        figures: the same figures under names, for diagnosis.json.
        kind: the error a finding of severity ``error`` becomes; it decides the exit code.
    """

    code: str
    severity: Severity
    what: str
    where: str = ""
    evidence: str = ""
    next_command: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    kind: type[ForeseenError] = DataError

    def __str__(self) -> str:
        return message(self.code, self.what, self.where, self.evidence, self.next_command)

    @classmethod
    def from_error(cls, error: ForeseenError) -> Finding:
        """Keep a raised error as a finding."""
        return cls(
            code=error.code,
            severity="error",
            what=error.what,
            where=error.where,
            evidence=error.evidence,
            next_command=error.next_command,
            kind=type(error),
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any], kind: type[ForeseenError]) -> Finding:
        """Return what `to_json` wrote down; the kind of its error is not in it."""
        names = ("code", "severity", "what", "where", "evidence", "figures")
        return cls(**{name: content[name] for name in names}, next_command=content["next"], kind=kind)

    def as_error(self) -> ForeseenError:
        """Return the error of this finding."""
        return self.kind(self.code, self.what, where=self.where, evidence=self.evidence, next_command=self.next_command)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for diagnosis.json."""
        return {
            "code": self.code,
            "severity": self.severity,
            "what": self.what,
            "where": self.where,
            "evidence": self.evidence,
            "next": self.next_command,
            "figures": dict(self.figures),
        }


def require_no_error(findings: Iterable[Finding]) -> None:
    """Raise the errors among findings as one.

    Raises:
        ForeseenError: at least one finding is an error.
    """
    errors = [finding.as_error() for finding in findings if finding.severity == "error"]
    if errors:
        raise join(errors)
