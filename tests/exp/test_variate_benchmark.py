"""The benchmark of many variables measures both modes, and its memory shows what the modes promise."""

from __future__ import annotations

from exp import variate_benchmark


def test_independent_variables_keep_memory_in_proportion_and_joint_ones_more() -> None:
    """A mode that is called linear must not carry a map over all variables along."""
    result = variate_benchmark.measure("small", 1, variables=(2, 6))
    kept = {(row["variate_mode"], row["variables"]): row for row in result["cases"]}
    assert set(kept) == {(mode, number) for mode in ("joint", "independent") for number in (2, 6)}
    assert abs(kept["independent", 6]["saved_ratio"] - 3) < 0.05
    assert kept["joint", 6]["saved_mebibytes"] > kept["independent", 6]["saved_mebibytes"]
    assert kept["joint", 6]["saved_ratio"] > 3.05
    assert all(row["seconds"] > 0 and row["tokens_per_variable"] == 7 for row in result["cases"])
