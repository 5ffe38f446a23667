"""The benchmark of sizes measures both modes, and its memory shows what the modes promise."""

from __future__ import annotations

from exp import scaling_benchmark
from exp.scaling_benchmark import Case


def test_independent_variables_keep_memory_in_proportion_and_joint_ones_more() -> None:
    """A mode that is called linear must not carry a map over all variables along."""
    cases = tuple(Case("variables", mode, variables=number) for mode in ("joint", "independent") for number in (2, 6))
    result = scaling_benchmark.measure("small", 1, cases)
    kept = {(row["variate_mode"], row["variables"]): row for row in result["cases"]}
    assert abs(kept["independent", 6]["saved_ratio"] - 3) < 0.05
    assert kept["joint", 6]["saved_mebibytes"] > kept["independent", 6]["saved_mebibytes"]
    assert kept["joint", 6]["saved_ratio"] > 3.05
    assert all(row["seconds"] > 0 for row in result["cases"])
    assert len(scaling_benchmark.table(result)) == 2 + len(cases)
