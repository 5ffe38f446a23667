"""A process that reads checkpoints with the real reader and says what came of it; started by the fuzzing campaign.

It answers every line of JSON with one; it may be killed, and may die.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch

from tests.fuzz import sound_files
from utils import checkpoint
from utils.checkpoint_contents import judge
from utils.errors import CheckpointError

ROOM_BYTES = 2 * 1024**3
KILOBYTE = 1024


def read(path: Path, sound: sound_files.Sound, model: torch.nn.Module) -> dict[str, Any]:
    """Read a file in every way the project does.

    Returns:
        `content`: ``equal`` or ``other`` than the file it was made from, None where it was refused; `code` and
        `message` of the refusal, if there was one.
    """
    answer: dict[str, Any] = {"content": None, "code": None, "message": ""}
    try:
        content = checkpoint.load(path)
        answer["content"] = "equal" if same(content, sound.content) else "other"
        found = judge(content, path)
        checkpoint.load_strict(model, checkpoint.load_weights(path), path, fresh_prefixes=("classifier.",))
        if found:
            answer |= {"code": found[0].code, "message": str(found[0])}
    except CheckpointError as error:
        answer |= {"code": error.code, "message": str(error)}
    return answer


def same(one: Any, other: Any) -> bool:
    """Whether two contents are equal to the last bit, kinds and order included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        fits = one.dtype == other.dtype and one.shape == other.shape
        return fits and torch.equal(_bits(one), _bits(other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def limit_memory() -> None:
    """Let the process take little more address space than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        most = pages * resource.getpagesize() + ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


class Memory:
    """Measures how many bytes one reading takes at most; 0 where the system does not tell."""

    def __init__(self) -> None:
        self.can_reset = Path("/proc/self/clear_refs").exists()
        if self.can_reset:
            Path("/proc/self/clear_refs").write_text("5")
        self.before = self._resident("VmRSS:")

    def taken(self) -> int:
        """Return the highest use since the beginning above what was used then."""
        return max(0, self._resident("VmHWM:") - self.before)

    def _resident(self, name: str) -> int:
        if not self.can_reset:
            return 0
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * KILOBYTE for line in lines if line.startswith(name))


def main(folder: Path) -> None:
    """Answer until there are no more questions."""
    warnings.simplefilter("error")
    sounds = sound_files.write_all(folder)
    model = sound_files.model()
    limit_memory()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        question = json.loads(line)
        memory, started = Memory(), time.monotonic()
        try:
            answer = read(Path(question["path"]), sounds[question["sound"]], model)
            answer["message"].encode("utf-8")
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__)[-3:])
            answer = {"content": None, "code": None, "fault": f"{type(error).__name__}: {error}"[:300] + f"\n{where}"}
        answer |= {"bytes": memory.taken(), "seconds": time.monotonic() - started}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
