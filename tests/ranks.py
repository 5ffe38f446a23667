"""Real processes that train together, started as a launcher starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 120
WORDS = ["--preset", "smoke", "--device", "cpu", "--batch_size", "8", "--bootstrap_draws", "0"]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Ranks:
    """`count` processes of one training.

    Args:
        folder: with table.csv; runs lie below it.
        words: flags of the program.
        count: how many.
        script: what each runs.
        name: of the folder of runs.
    """

    def __init__(self, folder: Path, *words: str, count: int = 2, script: str = "run.py", name: str = "runs") -> None:
        self.folder, self.runs_folder = folder, folder / name
        places = ["--root_path", str(folder), "--checkpoints", str(self.runs_folder)]
        if "forecast" not in words:
            places += ["--data_path", "table.csv"]
        command = [sys.executable, script, *WORDS, *places, *words]
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
        self.processes = [
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ
                | meeting
                | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(count)
        ]

    def wait_for_line(self, text: str) -> None:
        """Wait until the first rank says this."""
        stream = self.processes[0].stdout
        assert stream is not None
        for line in stream:
            if text in line:
                return
        raise AssertionError(f"it ended before it said {text!r}: {self.ended()}")

    def ended(self) -> list[tuple[int, str, str]]:
        """Wait for all and return exit code, standard output and standard error of each."""
        try:
            told = [process.communicate(timeout=PATIENCE_SECONDS) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
        return [(process.returncode, *texts) for process, texts in zip(self.processes, told, strict=True)]

    def run(self) -> Path:
        """Return the one run directory."""
        (config,) = self.runs_folder.glob("*/*/config.json")
        return config.parent
