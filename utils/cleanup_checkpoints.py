"""Put checkpoints that cannot be trusted aside, with the reason beside them; nothing is deleted on the way.

A file moves into `quarantine/` in its own folder, with the JSON beside it that names its bytes. What a later version
wrote, what is incomplete and what may not be read stays where it is. Links are never followed. Nothing is done while a
run holds a directory of the folder.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from utils import flags, run_lock, signals
from utils.checkpoint_sidecar import sidecar
from utils.checkpoint_verdict import QUARANTINE, Verdict, examine_all, find, name_in
from utils.errors import StorageError, UsageError
from utils.files import TEMPORARY_SUFFIX, sha256, storage_error
from utils.flag_rules import require
from utils.run_directory import make_folder, write_json
from utils.run_lock import LOCK_FILE

logger = logging.getLogger(__name__)
REASON_SUFFIX = ".reason.json"
# Not broken, only not for this program: another version or another account reads them.
KEPT_CODES = ("CKPT_VERSION", "CKPT_INCOMPLETE", "CKPT_DENIED", "CKPT_MISSING")
# The spelling in users' notes beside the project's own.
SPELLINGS = {"--no-dry-run": "--no_dry_run", "--older-than-days": "--older_than_days"}
EXAMPLES = """examples:
  python -m utils.cleanup_checkpoints                                             # says what would be moved
  python -m utils.cleanup_checkpoints --no-dry-run                                # moves it to quarantine/
  python -m utils.cleanup_checkpoints --purge --older_than_days 30                # says what would be deleted
  python -m utils.cleanup_checkpoints --purge --older_than_days 30 --no-dry-run   # deletes it"""


@dataclass(frozen=True, kw_only=True)
class CleanupConfig:
    """Clean-up of checkpoints.

    Raises:
        UsageError: `--purge` without an age, or an age without it.
    """

    checkpoints: str = field(default="checkpoints", metadata={"help": "folder to look through"})
    no_dry_run: bool = field(default=False, metadata={"help": "do it; without this flag it is only told"})
    purge: bool = field(default=False, metadata={"help": "delete what has been in quarantine for long, nothing else"})
    older_than_days: float | None = field(default=None, metadata={"help": "days in quarantine before --purge deletes"})

    def __post_init__(self) -> None:
        if self.purge != (self.older_than_days is not None):
            raise UsageError(
                "CONFIG",
                "--purge and --older_than_days belong together.",
                where="--purge" if self.purge else "--older_than_days",
                next_command="python -m utils.cleanup_checkpoints --purge --older_than_days 30",
            )
        old = self.older_than_days
        require(self, "older_than_days", old is None or old >= 0, "cannot be negative", "--older_than_days 30")


def clean_up(config: CleanupConfig) -> None:
    """Move broken checkpoints aside, or delete what has lain aside for long; a dry run only tells.

    Raises:
        UsageError: there is no such folder.
        LockError: a run holds a directory of it.
        StorageError: a file cannot be moved or deleted; what was done before stays done.
    """
    folder = Path(config.checkpoints)
    if not folder.is_dir():
        raise UsageError(
            "CKPT_MISSING",
            "There is no such folder.",
            where=str(folder),
            next_command="python -m utils.cleanup_checkpoints --checkpoints FOLDER",
        )
    _mind_runs(folder, act=config.no_dry_run)
    if config.older_than_days is not None:
        done, verb = _purge(folder, timedelta(days=config.older_than_days), act=config.no_dry_run), "deleted"
    else:
        done, verb = _move_all(folder, act=config.no_dry_run), "moved to quarantine/"
    if config.no_dry_run:
        logger.info("%d files %s", done, verb)
    else:
        logger.info("%d files would be %s; nothing was done: add --no-dry-run to do it", done, verb)


def _mind_runs(folder: Path, *, act: bool) -> None:
    """Refuse to act while a run is at work in the folder, or around it; a dry run only tells."""
    above = [place for place in folder.resolve().parents if (place / LOCK_FILE).is_file()]
    for run in [*above, *(path.parent for path in sorted(folder.rglob(LOCK_FILE)))]:
        if act:
            run_lock.require_free(run)
        elif holder := run_lock.held_by(run):
            logger.info("%s is held by %s: with --no-dry-run this would be refused", run, holder)


def _name_what_was_left(folder: Path) -> None:
    """Name what killed runs were writing; nothing removes it but its run when that is continued, or a person."""
    for path in sorted(folder.rglob(f"*{TEMPORARY_SUFFIX}")):
        if path.is_file() and not path.is_symlink() and run_lock.held_by(path.parent) is None:
            size = path.stat().st_size
            logger.info("left by a run that was killed: %s (%d bytes); delete it by hand", name_in(path, folder), size)


def _move_all(folder: Path, *, act: bool) -> int:
    moved = 0
    _name_what_was_left(folder)
    for verdict in examine_all(find(folder)):
        if verdict.status not in ("INVALID", "UNREADABLE"):
            continue
        kept = _why_kept(verdict)
        logger.info("%s", verdict.line(folder) + (f"  [kept: {kept}]" if kept else ""))
        if kept:
            continue
        if act:
            run_lock.require_free(verdict.path.parent)  # one may have started while others were looked at
            _move(verdict)
        moved += 1
    return moved


def _why_kept(verdict: Verdict) -> str:
    """Return why a file that is not valid stays where it is; empty where it should go."""
    if verdict.path.is_symlink():
        return "it is a link"
    if verdict.path.is_dir():
        return "it is a directory"
    if verdict.finding is not None and verdict.finding.code in KEPT_CODES:
        return "nothing says that it is broken"
    return ""


def _move(verdict: Verdict) -> None:
    """Write the reason, then move: a file in quarantine always has its reason beside it."""
    path = verdict.path
    aside = path.parent / QUARANTINE
    if aside.is_symlink():
        raise StorageError(
            "STORAGE_DENIED",
            "quarantine is a link, and nothing is moved through links.",
            where=str(aside),
            next_command=f"rm {aside}, then start again",
        )
    make_folder(aside)
    target = _free_name(aside, path)
    reason = {
        "file": path.name,
        "moved_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "moved_from": str(path.resolve()),
        "status": verdict.status,
        "finding": None if verdict.finding is None else verdict.finding.to_json(),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
    }
    note = target.with_name(target.name + REASON_SUFFIX)
    write_json(note, reason)
    try:
        # The file first: left behind without its JSON, what has changed in it could not be told any more.
        path.rename(target)
    except OSError as error:
        note.unlink()
        raise storage_error(error, target, "free or mount the folder, then start again") from error
    try:
        if sidecar(path).is_file() and not sidecar(path).is_symlink():
            sidecar(path).rename(sidecar(target))
    except OSError as error:
        raise storage_error(error, sidecar(target), "free or mount the folder, then start again") from error


def _free_name(aside: Path, path: Path) -> Path:
    target, number = aside / path.name, 1
    while any(place.exists() or place.is_symlink() for place in (target, sidecar(target))):
        target, number = aside / f"{path.stem}-{number}{path.suffix}", number + 1
    return target


def _purge(folder: Path, age: timedelta, *, act: bool) -> int:
    """Delete quarantined files with their reasons; only what this program moved there, by its own record of when."""
    deleted = 0
    for note in sorted(folder.rglob(f"{QUARANTINE}/*{REASON_SUFFIX}")):
        target = note.with_name(note.name.removesuffix(REASON_SUFFIX))
        moved_at = _moved_at(note)
        if moved_at is None or _goes_through_link(note, folder) or target.is_symlink() or not target.is_file():
            logger.info("kept: %s is not what this program moved there", name_in(target, folder))
            continue
        days = (datetime.now(UTC) - moved_at) / timedelta(days=1)
        if days < age / timedelta(days=1):
            continue
        logger.info("%s: %.0f days in quarantine", name_in(target, folder), days)
        if act:
            run_lock.require_free(note.parent.parent)
            _delete(target, *([sidecar(target)] if sidecar(target).is_file() else []), note)
        deleted += 1
    return deleted


def _moved_at(note: Path) -> datetime | None:
    try:
        moved_at = datetime.fromisoformat(json.loads(note.read_text(encoding="utf-8"))["moved_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return moved_at if moved_at.tzinfo else None


def _goes_through_link(path: Path, folder: Path) -> bool:
    between = [path, *path.relative_to(folder).parents][1:-1]
    return path.is_symlink() or any((folder / part).is_symlink() for part in between)


def _delete(*paths: Path) -> None:
    for path in paths:
        try:
            path.unlink()
        except OSError as error:
            raise storage_error(error, path, "free or mount the folder, then start again") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    words = [SPELLINGS.get(word, word) for word in (sys.argv[1:] if argv is None else argv)]
    description = "Move checkpoints that are INVALID or UNREADABLE to quarantine/, with the reason beside each."
    return flags.run_tool(
        "-m utils.cleanup_checkpoints", description, CleanupConfig, clean_up, argv=words, epilog=EXAMPLES
    )


if __name__ == "__main__":
    signals.install()
    sys.exit(main())
