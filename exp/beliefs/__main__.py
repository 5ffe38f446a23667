"""What people believe about NaN in training, and what is measured: bash scripts/measure_beliefs.sh.

Synthetic weather and small models, fixed seeds. Every row of the table names the command that makes it alone.
"""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from exp.beliefs.catalogue import BELIEFS, measure
from exp.beliefs.row import Sizes, markdown
from utils import flags
from utils.errors import StorageError, UsageError
from utils.files import write_whole
from utils.flag_rules import require


@dataclass(frozen=True, kw_only=True)
class BeliefsConfig:
    """Beliefs.

    Raises:
        UsageError: ``CONFIG``, a name that is no belief, a number of threads that is not above zero.
    """

    only: tuple[str, ...] | None = field(default=None, metadata={"help": "names of beliefs to measure (default: all)"})
    output: str = field(default="", metadata={"help": "also write the rows to this JSON file"})
    threads: int = field(
        default=1, metadata={"help": "threads of torch; one is quickest for models this small, and repeatable"}
    )

    def __post_init__(self) -> None:
        unknown = [name for name in self.only or () if name not in BELIEFS]
        if unknown:
            close = difflib.get_close_matches(unknown[0], BELIEFS, n=2) or list(BELIEFS)[:2]
            raise UsageError(
                "CONFIG",
                f"There is no belief {unknown[0]!r}.",
                where="--only",
                evidence=f"there are {len(BELIEFS)}: {', '.join(BELIEFS)}",
                next_command=f"--only {' or '.join(close)}",
            )
        require(self, "threads", self.threads >= 1, "must be at least 1", "--threads 1")


def run(config: BeliefsConfig) -> str:
    """Measure, write the JSON file where one is wanted, and return the table.

    Raises:
        StorageError: the file cannot be written.
    """
    _require_a_folder(config.output)
    torch.set_num_threads(config.threads)
    sizes = Sizes()
    rows = measure(config.only or tuple(BELIEFS), sizes)
    if config.output:
        content = {
            "synthetic": True,
            "sizes": asdict(sizes),
            "torch": torch.__version__,
            "threads": config.threads,
            "rows": [row.to_json(name) for name, row in rows],
        }
        text = json.dumps(content, indent=1) + "\n"
        write_whole(Path(config.output), lambda path: path.write_text(text, encoding="utf-8"))
    return f"\nSYNTHETIC data. Sizes: {sizes}.\n\n{markdown(rows)}"


def _require_a_folder(output: str) -> None:
    """Find out before minutes of measuring that the file cannot be written."""
    folder = Path(output).parent
    if output and not folder.is_dir():
        raise StorageError(
            "STORAGE_DENIED",
            "The folder of the output file is not there.",
            where=str(folder),
            next_command=f"mkdir -p {folder}",
        )


def main(words: list[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    return flags.run_tool("-m exp.beliefs", __doc__ or "", BeliefsConfig, lambda config: print(run(config)), argv=words)


if __name__ == "__main__":
    sys.exit(main())
