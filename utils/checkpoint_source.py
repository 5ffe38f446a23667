"""Where a checkpoint is to be got from: a file of this machine, or an address."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from utils.download import without_secrets
from utils.errors import CheckpointError, UsageError

logger = logging.getLogger(__name__)
# What the browser shows under such an address is a page about the file.
PAGE_OF_A_FILE = re.compile(r"(https?://huggingface\.co/[^/]+/[^/]+)/blob/(.+)")
SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
RESERVED = "%/:=&?~#+!$,;'@()*[]"


@dataclass(frozen=True)
class Source:
    """Where a checkpoint comes from; one of the two is None.

    Attributes:
        url: an address of http or https.
        file: a file of this machine.
    """

    url: str | None
    file: Path | None

    @classmethod
    def of(cls, text: str) -> Source:
        """Understand what was typed; a link to a page about a file becomes one to the file, which is said.

        Raises:
            UsageError: nothing was typed, or an address of a kind that is not fetched.
            CheckpointError: ``CKPT_MISSING``, there is no such file.
        """
        if not text:
            raise _wrong("Give a file or an address.", "nothing was given")
        if not SCHEME.match(text):
            return cls(None, _existing(Path(text)))
        parts = urlsplit(text)
        scheme = parts.scheme.lower()
        if scheme == "file":
            if parts.netloc not in ("", "localhost"):
                raise _wrong("An address that begins with file:// names a file of this machine.", parts.netloc)
            return cls(None, _existing(Path(unquote(parts.path))))
        if scheme not in ("http", "https") or not parts.netloc:
            raise _wrong("Only http, https and file are fetched.", without_secrets(text))
        return cls(_to_the_file(quote(text, safe=RESERVED)), None)

    def __str__(self) -> str:
        return without_secrets(self.url) if self.url else str(self.file)


def _to_the_file(url: str) -> str:
    found = PAGE_OF_A_FILE.fullmatch(url)
    if not found:
        return url
    direct = f"{found[1]}/resolve/{found[2]}"
    logger.info("This link leads to a page about the file; the file itself is %s", without_secrets(direct))
    return direct


def _existing(path: Path) -> Path:
    try:
        is_there = path.exists()
    except (OSError, ValueError):
        is_there = False
    if is_there:
        return path
    raise CheckpointError(
        "CKPT_MISSING",
        "There is no such file.",
        where=str(path),
        evidence=f"looked in {path.parent.absolute()}",
        next_command="give the path of the file that was downloaded, or its address in quotation marks; "
        "checkpoints/README.md says where the released checkpoint is published",
    )


def _wrong(what: str, evidence: str) -> UsageError:
    return UsageError(
        "CONFIG",
        what,
        where="command line",
        evidence=evidence,
        next_command="bash scripts/get_checkpoint.sh --help",
    )
