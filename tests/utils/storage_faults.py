"""Real storage faults in a mount namespace of their own: full, read-only and vanishing disks, also for root.

    unshare --map-root-user --mount python -m tests.utils.storage_faults NAME FOLDER

Does one thing to a small disk mounted below FOLDER and writes as JSON what was said and what the disk holds then.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import run as program
from exp import frozen_encoder
from exp.frozen_encoder import EncodedWindows, FrozenEncoder
from exp.trainer import Trainer
from models import timer_xl_classifier
from tests import make_table
from tests.exp.test_stages import classifier
from tests.exp.test_trainer import window_set
from tests.utils import checkpoint_files
from tests.utils.file_server import Behaviour, serving
from utils import checkpoint, checkpoint_publish, get_checkpoint
from utils.errors import StorageError
from utils.files import sha256

OLD = {"a": torch.ones(50_000)}
NEW = {"a": torch.zeros(50_000)}
QUICK = ["--preset", "smoke", "--batch_size", "8", "--train_epochs", "2"]


class Disk:
    """A small disk below a folder.

    Args:
        folder: an empty folder.
        size: in the words of `mount`, such as ``1m``.
    """

    def __init__(self, folder: Path, size: str) -> None:
        self.place = folder / "disk"
        self.place.mkdir()
        self.below = self.place
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", self.place], check=True)

    def fill(self, leave: int = 0) -> None:
        """Fill the disk but for some bytes."""
        filler = (self.place / "filler").open("wb", buffering=0)
        with filler, contextlib.suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        os.truncate(self.place / "filler", (self.place / "filler").stat().st_size - leave)

    def protect(self) -> None:
        """Let nothing be written any more, as the system does after errors of a disk; a log that is open stays so."""
        subprocess.run(["mount", "--bind", self.place, self.place], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", self.place], check=True)

    def vanish(self) -> None:
        """Take the disk away while files of it are open; it stays to be looked at through an open folder."""
        held = os.open(self.place, os.O_RDONLY)
        subprocess.run(["umount", "--lazy", self.place], check=True)
        self.below = self.place
        self.place = Path(f"/proc/self/fd/{held}")

    def left_below(self) -> list[str]:
        """Return what was written into the empty folder that a vanished disk was mounted on."""
        return [] if self.below == self.place else [path.name for path in self.below.iterdir()]

    def files(self) -> dict[str, str]:
        """Return the hash of every file by its name."""
        found = (path for path in self.place.rglob("*") if path.is_file() and path.name != "filler")
        return {path.name: sha256(path) for path in found}


def encoding(folder: Path, before: Callable[[Disk], Any], during: Callable[[Disk], Any]) -> dict[str, Any]:
    """Keep on a small disk what a frozen encoder gives; do something to the disk before, and amid the encoding."""
    disk = Disk(folder, "1m")
    frozen_encoder.total_memory = lambda _: 0  # type: ignore[assignment]
    model, windows, usual = classifier(), window_set(4096), timer_xl_classifier.Model.encode

    def encode(self: timer_xl_classifier.Model, x: torch.Tensor) -> torch.Tensor:
        if disk.files():  # room was found with the first batch
            during(disk)
        return usual(self, x)

    before(disk)
    timer_xl_classifier.Model.encode = encode  # type: ignore[method-assign]
    frozen = FrozenEncoder(model, None, 1024, disk.place)
    answers: list[EncodedWindows] = []
    error = attempt(lambda: answers.append(frozen.encoded(windows, "training")))
    sums = [answer.values.double().sum().item() for answer in answers]
    expected = usual(model.eval(), windows.inputs(torch.arange(4096))).double().sum().item()
    return told(error) | {"sums": sums, "expected": expected, "files": sorted(disk.files())}


def told(error: StorageError | None) -> dict[str, Any]:
    """Return the parts of an error."""
    return {} if error is None else {"code": error.code, "exit_code": error.exit_code, "said": str(error)}


def attempt(work: Callable[[], Any]) -> StorageError | None:
    """Do something; return how the storage failed."""
    try:
        work()
    except StorageError as error:
        return error
    return None


def one_save(folder: Path, fault: Callable[[Disk], None], *, late: bool) -> dict[str, Any]:
    """Save over an old file, on a disk that fails before the save or, late, in the middle of its writing."""
    disk = Disk(folder, "1m")
    path = disk.place / "run" / "best.pt"
    path.parent.mkdir()
    checkpoint.save(path, OLD, metadata={"epoch": 1})
    before = disk.files()

    def write(file: checkpoint_publish.HashingFile) -> None:
        file.write(b"begun")
        fault(disk)
        torch.save(NEW, file)  # type: ignore[arg-type]

    if late:
        error = attempt(lambda: checkpoint_publish.publish(path, write, room=1000, metadata={}))
    else:
        fault(disk)
        error = attempt(lambda: checkpoint.save(path, NEW))
    after = disk.files()
    unchanged = all(after[name] == value for name, value in before.items())
    same = torch.equal(checkpoint.load(disk.place / "run" / "best.pt")["a"], OLD["a"])
    return told(error) | {"unchanged": unchanged and same, "files": sorted(after), "below": disk.left_below()}


def one_run(folder: Path, fault: Callable[[Disk], None]) -> dict[str, Any]:
    """Train for two epochs on a disk that fails in the second."""
    disk = Disk(folder, "20m")
    make_table.write(folder, content=make_table.frame())
    usual, before = Trainer._step, {}

    def step(trainer: Trainer, ids: torch.Tensor) -> Any:
        if (trainer.epoch, trainer.batch) == (2, 3):
            before.update(disk.files())
            fault(disk)
        return usual(trainer, ids)

    Trainer._step = step  # type: ignore[method-assign]
    return train(folder, disk, before)


def no_start(folder: Path) -> dict[str, Any]:
    """Begin to train on a disk that nothing can be written to."""
    disk = Disk(folder, "20m")
    make_table.write(folder, content=make_table.frame())
    disk.protect()
    return train(folder, disk, {})


def train(folder: Path, disk: Disk, before: dict[str, str]) -> dict[str, Any]:
    """Run the real program; `before` is filled while it runs."""
    places = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(disk.place / "runs")]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = program.main([*QUICK, *places])
    after = disk.files()
    weights = {name: value for name, value in before.items() if ".pt" in name}
    for path in disk.place.rglob("*.pt"):
        checkpoint.load(path)
    return {
        "exit_code": code,
        "said": said.getvalue(),
        "weights": sorted(weights),
        "unchanged": all(after.get(name) == value for name, value in weights.items()),
        "files": sorted(after),
        "below": disk.left_below(),
    }


def one_download(folder: Path, *, is_length_known: bool) -> dict[str, Any]:
    """Fetch a checkpoint of 2 MB to a disk of 1 MB."""
    disk = Disk(folder, "1m")
    whole = io.BytesIO()
    torch.save(checkpoint_files.sound(width=192, token=96, hidden=384), whole)
    said = io.StringIO()
    with serving(Behaviour(whole.getvalue(), chunked=not is_length_known)) as address:
        words = [address("weights.pth"), "--checkpoints", str(disk.place / "checkpoints")]
        with contextlib.redirect_stderr(said):
            code = get_checkpoint.main(words)
    return {"exit_code": code, "said": said.getvalue(), "files": sorted(disk.files())}


FAULTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "full": functools.partial(one_save, fault=Disk.fill, late=False),
    "fills up": functools.partial(one_save, fault=Disk.fill, late=True),
    "read-only": functools.partial(one_save, fault=Disk.protect, late=False),
    "gone": functools.partial(one_save, fault=Disk.vanish, late=False),
    "goes away": functools.partial(one_save, fault=Disk.vanish, late=True),
    "run: full": functools.partial(one_run, fault=functools.partial(Disk.fill, leave=16_384)),
    "run: read-only": functools.partial(one_run, fault=Disk.protect),
    "run: gone": functools.partial(one_run, fault=Disk.vanish),
    "run: read-only at the start": no_start,
    "download": functools.partial(one_download, is_length_known=True),
    "download of unknown length": functools.partial(one_download, is_length_known=False),
    "encoding: full": functools.partial(encoding, before=Disk.fill, during=id),
    "encoding: read-only": functools.partial(encoding, before=Disk.protect, during=id),
    "encoding: fills up": functools.partial(encoding, before=id, during=Disk.fill),
}

if __name__ == "__main__":
    name, folder = sys.argv[1:]
    sys.stdout.write(json.dumps(FAULTS[name](Path(folder))))
