"""Can the checkpoints be trusted? One line a file; statistics of the tensors for a single one.

Exit codes: 0 all valid (suspect ones too, without --strict), 1 at least one is not, 2 usage or no such file.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from utils import flags, signals
from utils.checkpoint_contents import leaves
from utils.checkpoint_verdict import Verdict, examine, examine_all, find
from utils.errors import UsageError

logger = logging.getLogger(__name__)
EXAMPLES = """examples:
  python -m utils.checkpoint_validator --all
  python -m utils.checkpoint_validator --checkpoint checkpoints/best_model.pt
  python -m utils.checkpoint_validator --all --json --strict"""


@dataclass(frozen=True, kw_only=True)
class ValidatorConfig:
    """Checkpoint validator.

    Raises:
        UsageError: neither or both of `--all` and `--checkpoint`.
    """

    all: bool = field(default=False, metadata={"help": "look at every checkpoint below --checkpoints"})
    checkpoint: str | None = field(default=None, metadata={"help": "look at one file, with statistics of its tensors"})
    checkpoints: str = field(default="checkpoints", metadata={"help": "folder that --all looks through"})
    json: bool = field(default=False, metadata={"help": "write JSON instead of lines"})
    strict: bool = field(default=False, metadata={"help": "end with 1 for suspect files too"})

    def __post_init__(self) -> None:
        if self.all == (self.checkpoint is not None):
            raise UsageError(
                "CONFIG",
                "Give either --all or --checkpoint FILE.",
                where="command line",
                next_command="python -m utils.checkpoint_validator --all",
            )


def validate(config: ValidatorConfig) -> int:
    """Say what is to be thought of the files, and return the exit code.

    Raises:
        UsageError: there is no such file or folder.
    """
    place = Path(config.checkpoint or config.checkpoints)
    if not place.exists() or (config.all and not place.is_dir()):
        raise UsageError(
            "CKPT_MISSING",
            "There is no such checkpoint." if config.checkpoint else "There is no such folder.",
            where=str(place),
            evidence=f"looked in {place.parent.resolve()}",
            next_command="python -m utils.checkpoint_validator --all --checkpoints FOLDER",
        )
    if config.checkpoint:
        verdicts = [examine(place)]
        _tell_one(verdicts[0], as_json=config.json)
    else:
        verdicts = examine_all(find(place))
        _tell_all(verdicts, place, as_json=config.json)
    bad = {"INVALID", "UNREADABLE"} | ({"SUSPECT"} if config.strict else set())
    return int(any(verdict.status in bad for verdict in verdicts))


def _tell_all(verdicts: list[Verdict], folder: Path, *, as_json: bool) -> None:
    counts = dict(Counter(verdict.status for verdict in verdicts))
    if as_json:
        rows = [verdict.to_json(folder) for verdict in verdicts]
        logger.info("%s", json.dumps({"folder": str(folder), "files": rows, "counts": counts}, indent=2))
        return
    for verdict in verdicts:
        logger.info("%s", verdict.line(folder))
    told = ", ".join(f"{number} {status}" for status, number in counts.items()) or "none"
    logger.info("%d checkpoint files below %s: %s", len(verdicts), folder, told)


def _tell_one(verdict: Verdict, *, as_json: bool) -> None:
    rows = statistics(verdict.content) if verdict.content is not None else []
    if as_json:
        logger.info("%s", json.dumps(verdict.to_json(verdict.path.parent) | {"tensors": rows}, indent=2))
        return
    logger.info("%s", verdict.line(verdict.path.parent))
    if verdict.finding:
        logger.info("%s", verdict.finding)
    if not rows:
        return
    width = max(len(row["name"]) for row in rows)
    logger.info("%-*s  %-18s %-9s %10s %10s %10s %10s %s", width, "name", "shape", "dtype", "min", "max", "mean",
                "deviation", "not finite")  # fmt: skip
    for row in rows:
        figures = "".join(f" {_short(row[name]):>10}" for name in ("min", "max", "mean", "deviation"))
        shape = "x".join(map(str, row["shape"])) or "scalar"
        logger.info("%-*s  %-18s %-9s%s %d", width, row["name"], shape, row["dtype"], figures, row["not_finite"])
    logger.info("%d tensors, %s values", len(rows), f"{sum(row['values'] for row in rows):,}")


def statistics(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row a tensor: name, shape, dtype, and the statistics of its finite values (None where it has none)."""
    rows = []
    for name, tensor in leaves(content):
        if not isinstance(tensor, torch.Tensor):
            continue
        plain = tensor.detach()
        plain = plain.abs() if plain.is_complex() else plain
        values = plain.double().flatten()
        finite = _finite(values)
        has_any = finite.numel() > 0
        mean = float(finite.mean()) if has_any else None
        rows.append(
            {
                "name": name,
                "shape": list(tensor.shape),
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "values": tensor.numel(),
                "not_finite": values.numel() - finite.numel(),
                "min": float(finite.min()) if has_any else None,
                "max": float(finite.max()) if has_any else None,
                "mean": mean,
                "deviation": float(finite.sub(mean).square_().mean().sqrt()) if mean is not None else None,
            }
        )
    return rows


def _finite(values: torch.Tensor) -> torch.Tensor:
    """Return the finite ones of these values; a sound tensor is not copied, which is most of the time spent."""
    if values.numel() and all(map(torch.isfinite, values.aminmax())):
        return values
    return values[torch.isfinite(values)]


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    description = "Say of each checkpoint whether it can be trusted: VALID, SUSPECT, INVALID or UNREADABLE, and why."
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) == 1 and not words[0].startswith("-"):
        # A path alone can mean one thing only.
        words = ["--all", "--checkpoints", words[0]] if Path(words[0]).is_dir() else ["--checkpoint", words[0]]
    return flags.run_tool(
        "-m utils.checkpoint_validator", description, ValidatorConfig, validate, argv=words, epilog=EXAMPLES
    )


if __name__ == "__main__":
    signals.install()
    sys.exit(main())
