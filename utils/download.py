"""One file over HTTP: into a part that stays where it is cut and is gone on with, a piece in memory at a time.

A part is only gone on with where the server says that its file is still the same one (a strong ETag or the time of its
last change): two files of one length, joined, would pass every check of sizes.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from tqdm import tqdm

from utils.errors import RemoteError, StorageError, UsageError
from utils.files import require_space, size_text, storage_error, write_whole

logger = logging.getLogger(__name__)
PIECE_BYTES = 256 * 1024
# Less than this between two cuts is no progress, so that a server that always cuts is given up.
PROGRESS_BYTES = 64 * 1024
LONGEST_WAIT_SECONDS = 60.0
RECORD_SUFFIX = ".json"
ADVICE = "choose another folder with --checkpoints"
# The server has no time now; the same question may be answered later.
LATER = (408, 425, 429)
LOGIN = (401, 403)
ABSENT = (404, 410)
NETWORK_FAULTS = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        timeout: seconds without a byte after which a connection counts as lost.
        attempts: how often in a row is tried without getting further.
        wait: seconds before the second attempt; doubled before each further one.
    """

    timeout: float = 60.0
    attempts: int = 5
    wait: float = 1.0


@dataclass(frozen=True)
class Offer:
    """What a server says of a file before it sends it; None where it does not say.

    Attributes:
        bytes: size of the whole file.
        etag: a mark of this version of the file.
        modified: when it was last changed, in the server's words.
    """

    bytes: int | None = None
    etag: str | None = None
    modified: str | None = None

    @property
    def mark(self) -> str | None:
        """What tells, byte for byte, that the file is still the same one; a weak ETag does not."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class _LaterError(Exception):
    """What may be better in a moment: a lost connection, a busy server.

    Args:
        what: one plain sentence for when patience ends.
        seen: what happened.
        wait: seconds that the server asks for.
    """

    def __init__(self, code: str, what: str, seen: object, wait: float | None = None) -> None:
        super().__init__(what)
        self.code, self.what, self.seen, self.wait = code, what, str(seen) or type(seen).__name__, wait


class Download:
    """One file that is fetched.

    Args:
        url: where it is.
        part: where it is written until it is whole; beside it lies a record of what it is a part of.
        patience: with the server.
        look: sees the offer before the body is sent; False ends the download there.
    """

    def __init__(self, url: str, part: Path, patience: Patience, look: Callable[[Offer], bool]) -> None:
        self.url, self.part, self.patience, self.look = url, part, patience, look
        self.shown = without_secrets(url)
        self.record = part.with_name(part.name + RECORD_SUFFIX)
        self.reached = 0

    def fetch(self) -> Offer | None:
        """Fetch the file into the part, whole.

        Returns:
            What the server said of it; None where `look` wanted no more.

        Raises:
            RemoteError: ``REMOTE_UNREACHABLE``, ``REMOTE_REFUSED`` or ``REMOTE_FAILED``; what came stays in the part.
            StorageError: it cannot be written.
            UsageError: the address is none.
        """
        fruitless = 0
        self.reached = self.size
        opener = urllib.request.build_opener()
        while True:
            try:
                return self._attempt(opener)
            except _LaterError as fault:
                fruitless = 0 if self.size >= self.reached + PROGRESS_BYTES else fruitless + 1
                self.reached = max(self.reached, self.size)
                if fruitless >= self.patience.attempts:
                    raise self._given_up(fault) from None
                usual = self.patience.wait * 2 ** max(fruitless - 1, 0)
                seconds = min(fault.wait or usual, LONGEST_WAIT_SECONDS)
                logger.info("%s (%s); trying again in %.3g s", fault.what, fault.seen, seconds)
                time.sleep(seconds)

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.part.stat().st_size
        except OSError:
            return 0

    def forget(self) -> None:
        """Remove the part and its record."""
        for path in (self.part, self.record):
            with suppress(OSError):
                path.unlink()

    def _attempt(self, opener: urllib.request.OpenerDirector) -> Offer | None:
        before = self._what_is_here()
        begin = self.size if before else 0
        if before and begin == before.bytes:
            return before  # it was whole, and what came after was cut
        headers = {"User-Agent": "timer-xl-era5", "Accept-Encoding": "identity"}
        if before:
            headers |= {"Range": f"bytes={begin}-", "If-Range": before.mark or ""}
        with self._open(opener, headers) as answer:
            offer = self._offer_of(answer, before, begin)
            begin = begin if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            if not self.look(offer):
                return None
            self._begin(offer, begin)
            self._receive(answer, offer, begin)
        if offer.bytes is not None and self.size != offer.bytes:
            seen = f"{self.size} of {offer.bytes} bytes came"
            raise _LaterError("REMOTE_FAILED", "The server sent less than it had promised.", seen)
        return offer

    def _what_is_here(self) -> Offer | None:
        """Return what the part is a part of; None where there is none that can be gone on with."""
        if not self.size:
            return None
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            is_this, offer = record["url_sha256"] == self._identity, Offer(**record["offer"])
            is_possible = offer.bytes is None or self.size <= offer.bytes
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return offer if is_this and is_possible and offer.mark else None

    @property
    def _identity(self) -> str:
        # An address may hold a signature, which does not belong on a disk.
        return hashlib.sha256(self.url.encode()).hexdigest()

    def _open(self, opener: urllib.request.OpenerDirector, headers: dict[str, str]) -> Any:
        try:
            return opener.open(urllib.request.Request(self.url, headers=headers), timeout=self.patience.timeout)
        except urllib.error.HTTPError as error:
            with error:
                self._refuse(error)
        except (http.client.InvalidURL, UnicodeError, ValueError) as error:
            raise UsageError(
                "CONFIG",
                "This is no address of a file.",
                where=self.shown,
                evidence=str(error),
                next_command="copy the address from the browser, in quotation marks",
            ) from None
        except NETWORK_FAULTS as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise self._not_trusted(reason) from None
            raise _LaterError("REMOTE_UNREACHABLE", "The server cannot be reached.", reason) from None

    def _refuse(self, error: urllib.error.HTTPError) -> NoReturn:
        """Tell what a status means: later, never, or never without a login."""
        seen = f"HTTP {error.code} {error.reason}"
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.forget()
            raise _LaterError("REMOTE_FAILED", "The server cannot go on where the part ends; it begins anew.", seen)
        if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR or error.code in LATER:
            asked = error.headers.get("Retry-After", "")
            raise _LaterError("REMOTE_FAILED", "The server failed.", seen, float(asked) if asked.isdecimal() else None)
        what, advice = "The server refuses to send the file.", "open the address in a browser to see what it says"
        if error.code in LOGIN:
            what = "The server gives this file to nobody who is not logged in, or not to everybody."
            advice = (
                "download it in a browser, where you can log in and accept its terms, then: "
                "bash scripts/get_checkpoint.sh FILE"
            )
        elif error.code in ABSENT:
            what = "There is no such file on the server."
            advice = "compare the address with the page it is from; checkpoints/README.md says where the file is"
        raise RemoteError("REMOTE_REFUSED", what, where=self.shown, evidence=seen, next_command=advice)

    def _offer_of(self, answer: Any, before: Offer | None, begin: int) -> Offer:
        """Read what the server says of the whole file; a part that does not belong to it is removed."""
        headers = answer.headers
        length = headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else None
        if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
            size = int(found[2]) if found and found[2] != "*" else None
            offer = Offer(size, headers.get("ETag"), headers.get("Last-Modified"))
            if not found or int(found[1]) != begin or before is None or before.bytes not in (None, size):
                self.forget()
                seen = f"Content-Range: {headers.get('Content-Range')}, asked for from byte {begin} on"
                raise _LaterError("REMOTE_FAILED", "The server sent another part than it was asked for.", seen)
            return offer if offer.mark else before
        if answer.status != http.HTTPStatus.OK:
            raise RemoteError(
                "REMOTE_REFUSED",
                "The server answers with something that is no file.",
                where=self.shown,
                evidence=f"HTTP {answer.status} {answer.reason}",
                next_command="open the address in a browser to see what it says",
            )
        return Offer(size, headers.get("ETag"), headers.get("Last-Modified"))

    def _begin(self, offer: Offer, begin: int) -> None:
        """Say where it begins, keep what the part belongs to, and ask for room."""
        size = "of unknown size" if offer.bytes is None else size_text(offer.bytes)
        if begin:
            logger.info("going on at byte %d of %s", begin, size)
        elif self.size:
            logger.info("the server does not go on where a download was cut, or its file has changed: from the start")
        content = json.dumps({"url_sha256": self._identity, "url": self.shown, "offer": asdict(offer)}, indent=2)
        if not begin:
            logger.info("%s, %s -> %s", self.shown, size, self.part)
            self.forget()
        try:
            require_space(self.part.parent, (offer.bytes or begin) - begin, ADVICE)
        except OSError as error:
            raise storage_error(error, self.part, ADVICE) from error
        write_whole(self.record, lambda path: path.write_text(content, encoding="utf-8"))

    def _receive(self, answer: Any, offer: Offer, begin: int) -> None:
        bar = tqdm(total=offer.bytes, initial=begin, unit="B", unit_scale=True, disable=None, leave=False)
        with bar, self._opened("ab" if begin else "wb") as file:
            while piece := self._read(answer):
                self._write(file, piece)
                bar.update(len(piece))

    def _read(self, answer: Any) -> bytes:
        try:
            piece: bytes = answer.read1(PIECE_BYTES)
        except NETWORK_FAULTS as error:
            raise _LaterError("REMOTE_FAILED", "The connection was lost.", error) from None
        return piece

    def _opened(self, mode: str) -> Any:
        try:
            return self.part.open(mode, buffering=0)
        except OSError as error:
            raise self._not_written(error) from error

    def _write(self, file: Any, piece: bytes) -> None:
        view = memoryview(piece)
        try:
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> StorageError:
        return storage_error(error, self.part, f"{ADVICE}; the same command then goes on, or rm {self.part}")

    def _not_trusted(self, reason: ssl.SSLCertVerificationError) -> RemoteError:
        return RemoteError(
            "REMOTE_UNREACHABLE",
            "The server cannot prove who it is, so nothing was taken from it.",
            where=self.shown,
            evidence=reason.verify_message,
            next_command="look at the date of this machine and at its certificates (a company's proxy has one of its "
            "own: SSL_CERT_FILE=FILE), or download it in a browser",
        )

    def _given_up(self, fault: _LaterError) -> RemoteError:
        there = f"; {size_text(self.size)} of it are here" if self.size else ""
        return RemoteError(
            fault.code,
            fault.what,
            where=self.shown,
            evidence=f"{fault.seen}, {self.patience.attempts} times in a row{there}",
            next_command="type the same command again later; what came is kept"
            if self.size
            else "look at the "
            "address and the network (a proxy is taken from https_proxy), then type the same command again",
        )


def without_secrets(url: str) -> str:
    """Return an address to show and to keep: without password, query and fragment, which may hold a signature."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
