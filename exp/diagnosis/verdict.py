"""One verdict: the cause, where, the evidence, what it rules out, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from utils.errors import NumericalError
from utils.findings import Finding


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a diagnosis concludes.

    Attributes:
        finding: the cause that acts first.
        rules_out: sentences about what was tested and found innocent.
        also: further causes that were found once the first was taken away.
        record: figures of the batch, for machines.
    """

    finding: Finding
    rules_out: tuple[str, ...] = ()
    also: tuple[Finding, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    def parts(self) -> dict[str, str]:
        """Return code, sentence, place, evidence and next command, for the state of a training."""
        found = self.finding
        return {name: getattr(found, name) for name in ("code", "what", "where", "evidence", "next_command")}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Verdict:
        """Return the verdict of a step before the training was interrupted, without its figures."""
        return cls(finding=Finding(severity="error", kind=NumericalError, **parts))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Verdict:
        """Return the verdict that `to_json` wrote down."""
        return cls(
            finding=Finding.from_json(content, NumericalError),
            rules_out=tuple(content["rules_out"]),
            also=tuple(Finding.from_json(other, NumericalError) for other in content["also"]),
            record=content["record"],
        )

    @property
    def code(self) -> str:
        """Cause code in capitals."""
        return self.finding.code

    @property
    def what(self) -> str:
        """One plain sentence."""
        return self.finding.what

    @property
    def where(self) -> str:
        """Sample, column, time, region; or layer, tensor, step."""
        return self.finding.where

    @property
    def evidence(self) -> str:
        """The figures that prove it."""
        return self.finding.evidence

    @property
    def next_command(self) -> str:
        """What to type or change now."""
        return self.finding.next_command

    @property
    def aside(self) -> list[str]:
        """Lines beside the cause: what it is not, and what else was found."""
        also = [f"  also:     {other.code}: {other.what} ({other.where})" for other in self.also]
        return [*(f"  not it:   {sentence}" for sentence in self.rules_out), *also]

    def __str__(self) -> str:
        return "\n".join([str(self.finding), *self.aside])

    def to_json(self) -> dict[str, Any]:
        """Return plain values for diagnosis.json."""
        return {
            **self.finding.to_json(),
            "rules_out": list(self.rules_out),
            "also": [other.to_json() for other in self.also],
            "record": dict(self.record),
        }
