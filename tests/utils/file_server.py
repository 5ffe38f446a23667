"""A real HTTP server on this machine that gives one file, well or badly."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Behaviour:
    """What the server gives and how.

    Attributes:
        content: the file.
        etag: mark of the file; None: the server gives none.
        modified: time of the last change; None: the server gives none.
        knows_ranges: whether it goes on in the middle.
        cuts: after how many bytes each of the first connections is cut.
        statuses: answers to the first requests, instead of the file.
        headers: further ones, also of refusals.
        promised: Content-Length that is said instead of the right one; 0: none is said.
        chunked: send in chunks, whose sum nothing tells beforehand.
        pause: seconds between pieces.
        piece: bytes of one write.
        stall_after: bytes of the file after which nothing comes any more.
        moved_to: path -> where a request for it is sent on.
        asked: request line and Range of every request.
    """

    content: bytes = b""
    etag: str | None = '"one"'
    modified: str | None = None
    knows_ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    chunked: bool = False
    pause: float = 0.0
    piece: int = 64 * 1024
    stall_after: int | None = None
    moved_to: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: Behaviour
    over: threading.Event

    def do_GET(self) -> None:  # noqa: N802
        now = self.behaviour
        now.asked.append((self.path, self.headers.get("Range")))
        if self.path in now.moved_to:
            self._refuse(302, {"Location": now.moved_to[self.path]})
        elif now.statuses:
            self._refuse(now.statuses.pop(0), now.headers)
        else:
            self._give(now)

    def _refuse(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _give(self, now: Behaviour) -> None:
        begin = self._begin(now)
        if begin is not None and begin >= len(now.content):
            self._refuse(416, {"Content-Range": f"bytes */{len(now.content)}"})
            return
        rest = now.content[begin or 0 :]
        self.send_response(200 if begin is None else 206)
        if begin is not None:
            self.send_header("Content-Range", f"bytes {begin}-{len(now.content) - 1}/{len(now.content)}")
        if now.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif now.promised != 0:
            self.send_header("Content-Length", str(now.promised or len(rest)))
        marks = {"ETag": now.etag, "Last-Modified": now.modified, **now.headers}
        for name, value in marks.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        cut = now.cuts.pop(0) if now.cuts else None
        self.close_connection = cut is not None or now.promised is not None
        self._send(rest if cut is None else rest[:cut], now, begin or 0)
        if now.chunked and cut is None:
            self.wfile.write(b"0\r\n\r\n")

    def _begin(self, now: Behaviour) -> int | None:
        asked = self.headers.get("Range")
        if not asked or not now.knows_ranges or self.headers.get("If-Range") not in (now.etag, now.modified):
            return None
        return int(asked.removeprefix("bytes=").rstrip("-"))

    def _send(self, content: bytes, now: Behaviour, begin: int) -> None:
        for at in range(0, len(content), now.piece):
            if now.stall_after is not None and begin + at >= now.stall_after:
                self.over.wait()
                return
            piece = content[at : at + now.piece]
            try:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if now.chunked else piece)
                self.wfile.flush()
            except OSError:
                return  # whoever asked has gone
            time.sleep(now.pause)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of those who hang up."""


@contextmanager
def serving(behaviour: Behaviour, *, certificate: Path | None = None) -> Iterator[Callable[[str], str]]:
    """Serve while the block lasts, over TLS with a certificate and its key; gives a function from path to address."""
    over = threading.Event()
    handler = type("Handler", (_Handler,), {"behaviour": behaviour, "over": over})
    with _Server(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield lambda path: f"{scheme}://127.0.0.1:{server.server_port}/{path}"
        finally:
            over.set()
            server.shutdown()
            thread.join()
