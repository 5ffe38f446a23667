"""Put a checkpoint in its place: from a file or an address, looked at before it gets its name, never half.

What is fetched lies beside its place under another name until the project's own validator has read all of it. The JSON
beside it says where it is from and which bytes it has, so that a bit that flips later is found.
"""

from __future__ import annotations

import logging
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from utils import checkpoint, flags, run_lock, signals
from utils.checkpoint_contents import unwrap
from utils.checkpoint_facts import Facts
from utils.checkpoint_publish import adopt
from utils.checkpoint_sidecar import Claim, claims, sidecar
from utils.checkpoint_sniff import require_checkpoint
from utils.checkpoint_source import Source
from utils.checkpoint_verdict import Verdict, examine
from utils.download import ADVICE, Download, Offer, Patience
from utils.errors import CheckpointError, ForeseenError, UsageError
from utils.files import TEMPORARY_SUFFIX, require_space, size_text, storage_error
from utils.message import printable
from utils.run_directory import finite, make_folder

logger = logging.getLogger(__name__)
STEM = "checkpoint"
SUFFIX_OF = {"torch": ".pth", "safetensors": ".safetensors"}
PIECE_BYTES = 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
HASH = re.compile(r"[0-9a-fA-F]{64}")
OBTAINED = "obtained"
EXAMPLES = """examples:
  bash scripts/get_checkpoint.sh ~/Downloads/checkpoint.pth
  bash scripts/get_checkpoint.sh "https://HOST/PATH/checkpoint.pth" --sha256 HEX
  bash scripts/get_checkpoint.sh weights.safetensors --name mine

exit codes: 0 it is in its place, 2 usage or another good file is there, 4 it is no checkpoint that can be used,
6 it cannot be written, 7 another process is getting it, 9 the server failed or refused, 75 interrupted"""


@dataclass(frozen=True, kw_only=True)
class GetConfig:
    """Getting a checkpoint.

    Raises:
        UsageError: a name that is no folder's, a hash that is none, or no patience.
    """

    source: str = field(default="", metadata={"help": "file, or address (http, https, file); the first word does too"})
    name: str = field(default="timer_xl", metadata={"help": "folder below --checkpoints that it gets"})
    checkpoints: str = field(default="checkpoints", metadata={"help": "folder of all checkpoints"})
    sha256: str | None = field(default=None, metadata={"help": "hash the file must have, 64 hexadecimal digits"})
    replace: bool = field(default=False, metadata={"help": "put it in the place of another good file"})
    timeout: float = field(default=60.0, metadata={"help": "seconds without a byte until a connection counts as lost"})
    attempts: int = field(default=5, metadata={"help": "attempts in a row that bring nothing, until it is given up"})
    wait_seconds: float = field(
        default=1.0, metadata={"help": "seconds before the second attempt, doubled before each further one"}
    )

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            _refuse("name", self.name, "is the name of one folder: letters, digits, - _ .", "--name timer_xl")
        if self.sha256 is not None and not HASH.fullmatch(self.sha256):
            _refuse("sha256", self.sha256, "has 64 hexadecimal digits", "sha256sum FILE shows that of a file")
        if not (self.timeout > 0 and self.wait_seconds >= 0 and self.attempts >= 1):
            shown = f"{self.timeout}, {self.wait_seconds}, {self.attempts}"
            _refuse("timeout, --wait_seconds, --attempts", shown, "cannot be so small", "leave them out")


def _refuse(name: str, value: str, rule: str, way_out: str) -> NoReturn:
    raise UsageError("CONFIG", f"--{name} {rule}.", where=f"--{name}", evidence=f"got {value}", next_command=way_out)


def get(config: GetConfig) -> None:
    """Put a checkpoint in its place and say what it is and how it is used.

    Raises:
        UsageError: the source is none, or another good file is in the place.
        CheckpointError: it is no checkpoint, is damaged, has another hash, or no option can use it.
        RemoteError: the server failed or refused.
        StorageError: it cannot be written.
        LockError: another process is at work in the folder.
        Interrupted: what came of a download is kept.
    """
    source = Source.of(config.source)
    folder = Path(config.checkpoints) / config.name
    is_new = not folder.exists()
    make_folder(folder)
    try:
        with run_lock.hold(folder) as lock:
            _Getting(config, source, folder, lock).do()
    finally:
        if is_new:
            with suppress(OSError):
                folder.rmdir()  # only where nothing is in it


class _Getting:
    """One checkpoint on its way into a folder that this process holds."""

    def __init__(self, config: GetConfig, source: Source, folder: Path, lock: run_lock.Lock) -> None:
        self.config, self.source, self.folder, self.lock = config, source, folder, lock
        self.wanted = config.sha256.lower() if config.sha256 else None
        self.offer = Offer()

    def do(self) -> None:
        for path in map(self._place, SUFFIX_OF.values()):
            if self.wanted and _named(path, self.wanted) and not _fault(examine(path)):
                self._tell_present(path)
                return
        if self.source.url:
            self._download(self.source.url)
        else:
            self._copy()

    def _download(self, url: str) -> None:
        patience = Patience(self.config.timeout, self.config.attempts, self.config.wait_seconds)
        download = Download(url, self.folder / f"{STEM}.part", patience, self._look)
        try:
            offer = download.fetch()
            if offer is not None:
                self.offer = offer
                self._settle(download.part)
            download.forget()
        except CheckpointError:
            download.forget()  # to go on with it would end the same way
            raise
        except signals.Interrupted:
            if not download.size:
                raise
            raise signals.Interrupted(
                where=self.folder,
                evidence=f"{size_text(download.size)} of it are in {download.part}; nothing has the final name",
                next_command="start the same command again: it goes on from there where the server can",
            ) from None

    def _copy(self) -> None:
        assert self.source.file is not None
        file, copy = self.source.file, self.folder / f"{STEM}{TEMPORARY_SUFFIX}"
        try:
            checkpoint.metadata(file)  # a file of ours is held against its own JSON
            _require_checkpoint(file)
            _copy(file, copy, self.folder)
            self._settle(copy)
        finally:
            with suppress(OSError):
                copy.unlink()

    def _look(self, offer: Offer) -> bool:
        """Before the body is sent: is it there already, or would it be refused at the end?"""
        self.lock.touch()
        suffix = ".safetensors" if str(self.source).endswith(".safetensors") else ".pth"
        path = self._place(suffix)
        verdict = examine(path) if path.exists() else None
        if verdict is None or _fault(verdict):
            return True
        obtained = (checkpoint.metadata(path) or {}).get(OBTAINED, {})
        same = obtained.get("source") == str(self.source) and obtained.get("etag") == offer.etag is not None
        if same and not self.wanted and path.stat().st_size == offer.bytes:
            self._tell_present(path)
            return False
        if not self.config.replace and offer.bytes not in (None, path.stat().st_size):
            raise self._occupied(path, f"{self.source} has {offer.bytes} bytes")
        return True

    def _settle(self, whole: Path) -> None:
        """Judge a file that has arrived, and give it its name or refuse it; a refused one is removed."""
        self.lock.touch()
        try:
            claim = Claim.of(whole, {})
            self._require_hash(claim)
            path = self._place(SUFFIX_OF[require_checkpoint(whole)])
            facts, note = self._examine(whole)
        except ForeseenError as error:
            raise self._as_of_the_source(error, whole) from None
        if _named(path, claim.sha256) and not _fault(examine(path)):
            self._tell_present(path)
            return
        old = examine(path) if path.exists() or path.is_symlink() else None
        if old is not None and not self.config.replace and not _fault(old) and Claim.of(path, {}) != claim:
            raise self._occupied(path, f"{self.source} has SHA-256 {claim.sha256}")
        if old is not None and _fault(old) and old.finding:
            logger.info("the file that was there is replaced, since it is broken: %s", old.line(self.folder))
        told = self._told(facts, note, claim)
        with signals.deferred():
            adopt(whole, path, Claim(claim.sha256, claim.bytes, told))
        logger.info("%s: %s", path, claim)
        self._tell(path, facts, told)

    def _require_hash(self, claim: Claim) -> None:
        if self.wanted in (None, claim.sha256):
            return
        raise CheckpointError(
            "CKPT_HASH_MISMATCH",
            "The file is not the one that --sha256 names; it was not kept.",
            where="",
            evidence=f"wanted {self.wanted}; this one: {claim}",
            next_command="compare the hash with the page it is from, and get the file again",
        )

    def _examine(self, whole: Path) -> tuple[Facts, str]:
        """Read everything with the project's own validator; nothing in the file is run."""
        verdict = examine(whole)
        if fault := _fault(verdict):
            raise fault
        if verdict.finding:
            logger.warning("%s", str(verdict.finding).replace(str(whole), str(self.source)))
        assert verdict.content is not None
        weights = unwrap(verdict.content, whole)
        return Facts.of(weights.tensors, whole), weights.note.removeprefix(f"{whole}: ")

    def _told(self, facts: Facts, note: str, claim: Claim) -> dict[str, Any]:
        """Return what the JSON beside the file says; what was said of a file of ours before stays in it."""
        before = {} if self.source.file is None else checkpoint.metadata(self.source.file) or {}
        obtained = {
            "source": str(self.source),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "bytes": claim.bytes,
            "sha256": claim.sha256,
            "etag": self.offer.etag,
            "last_modified": self.offer.modified,
            "layout": facts.layout,
            "tensors": facts.tensors,
            "parameters": facts.parameters,
            "unwrapped": note,
            "flags": facts.flags(before),
        }
        kept = {name: value for name, value in before.items() if name != OBTAINED}
        return finite({**kept, OBTAINED: obtained})

    def _tell_present(self, path: Path) -> None:
        logger.info("The same file lies there already, and is good: %s", path)
        told = checkpoint.metadata(path) or {}
        tensors = unwrap(checkpoint.load(path), path).tensors
        self._tell(path, Facts.of(tensors, path), told)

    def _tell(self, path: Path, facts: Facts, told: dict[str, Any]) -> None:
        wanted = told[OBTAINED]["flags"] if OBTAINED in told else facts.flags(told)
        sizes = ", ".join(f"{name} {value}" for name, value in asdict(facts.sizes).items())
        logger.info("  %s: %d tensors, %s parameters; %s", facts.layout, facts.tensors, f"{facts.parameters:,}", sizes)
        for purpose, command in facts.commands(path, wanted):
            logger.info("  next:     %s   (%s)", command, purpose)

    def _occupied(self, path: Path, other: str) -> UsageError:
        size = size_text(path.stat().st_size)
        words = ["bash", "scripts/get_checkpoint.sh", str(self.source), "--name", self.config.name, "--replace"]
        return UsageError(
            "CKPT_EXISTS",
            "Another good checkpoint lies in this place; it stays.",
            where=str(path),
            evidence=f"there: {size}{_origin(path)}; {other}",
            next_command=f"--name OTHER gives it a place of its own; {shlex.join(words)} puts it in this one",
        )

    def _as_of_the_source(self, error: ForeseenError, whole: Path) -> ForeseenError:
        """Let a message name what the user gave: the file it speaks of is removed."""
        error.where = str(self.source)
        error.evidence = error.evidence.replace(str(whole), str(self.source))
        error.next_command = error.next_command.replace(str(whole), str(self.source))
        return error

    def _place(self, suffix: str) -> Path:
        return self.folder / f"{STEM}{suffix}"


def _fault(verdict: Verdict) -> ForeseenError | None:
    """Return why a file cannot be used; None for a good or a suspect one."""
    bad = verdict.status in ("INVALID", "UNREADABLE")
    return verdict.finding.as_error() if bad and verdict.finding else None


def _named(path: Path, sha256: str) -> bool:
    """Whether the JSON beside a file names these bytes."""
    try:
        named = claims(path) if path.is_file() else None
    except CheckpointError:
        return False
    return named is not None and named[0].sha256 == sha256


def _origin(path: Path) -> str:
    told = (claims(path) or [Claim("", 0, None)])[0].metadata or {}
    source = told.get(OBTAINED, {}).get("source")
    return f", from {printable(source)}" if source else f" (no {sidecar(path).name} says where it is from)"


def _require_checkpoint(file: Path) -> None:
    try:
        require_checkpoint(file)
    except OSError as error:
        raise checkpoint.denied(file, error) from None


def _copy(file: Path, copy: Path, folder: Path) -> None:
    """Copy a file a piece at a time."""
    size = file.stat().st_size
    bar = tqdm(total=size, unit="B", unit_scale=True, disable=None, leave=False)
    try:
        require_space(folder, size, ADVICE)
        with copy.open("wb") as target, bar:
            for piece in _pieces(file):
                target.write(piece)
                bar.update(len(piece))
    except OSError as error:
        raise storage_error(error, copy, ADVICE) from error


def _pieces(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as source:
            while piece := source.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise checkpoint.denied(file, error) from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    description = "Put a checkpoint in its place: fetch or copy it, look at all of it, say how it is used."
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-"):
        words = ["--source", *words]
    return flags.run_tool("-m utils.get_checkpoint", description, GetConfig, get, argv=words, epilog=EXAMPLES)


if __name__ == "__main__":
    signals.install()
    sys.exit(main())
