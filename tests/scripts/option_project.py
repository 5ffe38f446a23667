"""A copy of the project in which the option scripts are run for real in smoke size, once for all tests and workers."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("data_provider", "exp", "layers", "models", "notebooks", "scripts", "utils")
FILES = ("run.py", "requirements.txt", "requirements-dev.txt", "constraints.txt")
SMOKE = ("--preset", "smoke")


@dataclass(frozen=True)
class Answer:
    """How a script ended and all it said."""

    code: int
    said: str


@dataclass(frozen=True)
class Project:
    """The copy; what its scripts said in their first run lies in `log/`."""

    folder: Path

    def run(self, script: str, *words: str) -> Answer:
        """Run a script as a user does, from another folder."""
        environment = os.environ | {"TIMERXL_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
        command = ["bash", str(self.folder / "scripts" / f"{script}.sh"), *words]
        answer = subprocess.run(
            command, cwd=self.folder.parent, env=environment, capture_output=True, text=True, check=False
        )
        return Answer(answer.returncode, answer.stdout + answer.stderr)

    def first(self, script: str) -> Answer:
        """Run a script in smoke size, or read what it said when it was run so the first time."""
        log = self.folder / "log" / f"{script}.txt"
        if not log.exists():
            answer = self.run(script, *SMOKE)
            log.write_text(f"{answer.code}\n{answer.said}", encoding="utf-8")
        code, _, said = log.read_text(encoding="utf-8").partition("\n")
        return Answer(int(code), said)

    def runs(self, script: str) -> list[Path]:
        """Return the finished smoke runs of an option."""
        return sorted(path.parent for path in self.folder.glob(f"checkpoints/smoke_{script}/*/scores.json"))


def shared_copy(base: Path, scripts: tuple[str, ...]) -> Project:
    """Return the copy below the folder that all workers share; the first to come makes it and runs every script.

    Args:
        base: folder of this test session, the same for all workers.
        scripts: that are run in it, in smoke size.
    """
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        project = Project(base / "project")
        if not project.folder.exists():
            for name in COPIED:
                shutil.copytree(ROOT / name, project.folder / name)
            for name in FILES:
                shutil.copy2(ROOT / name, project.folder)
            (project.folder / "log").mkdir()
        for script in scripts:
            project.first(script)
        return project
