"""A finding says the same as the error it becomes, and only errors stop a run."""

from __future__ import annotations

import pytest

from utils.errors import DataError, NumericalError, UsageError
from utils.findings import Finding, require_no_error

NAN = Finding(
    code="DATA_NAN", severity="error", what="Rows are missing.", where="tp", evidence="6 rows", next_command="--fill"
)


def test_a_finding_and_its_error_say_the_same() -> None:
    """Two texts for one fault would make users search for two causes."""
    error = NAN.as_error()
    assert isinstance(error, DataError) and str(error) == str(NAN)
    assert str(Finding.from_error(error)) == str(NAN) and Finding.from_error(error).kind is DataError


def test_only_errors_stop_a_run() -> None:
    """A warning that stopped a run would be switched off by its first user."""
    require_no_error([Finding(code="SPIKE", severity=severity, what="x") for severity in ("warning", "handled")])
    with pytest.raises(DataError, match="Rows are missing"):
        require_no_error([NAN])


def test_several_errors_are_told_together_and_the_smallest_exit_code_counts() -> None:
    """A user who mends one fault an hour gives up at the third."""
    late = Finding(code="GRAD_HUGE", severity="error", what="Too large.", kind=NumericalError)
    early = Finding(code="CONFIG", severity="error", what="Not divisible.", kind=UsageError)
    with pytest.raises(UsageError) as caught:
        require_no_error([late, NAN, early])
    assert caught.value.code == "CONFIG"
    assert all(code in str(caught.value) for code in ("DATA_NAN", "GRAD_HUGE"))
