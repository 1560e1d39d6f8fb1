"""A small server of one page on this machine alone: no file of any folder is ever served, and no other site may ask.

Nor may another site tell it anything: what is posted must come from the page itself, by its Origin, as JSON.
"""

import base64
import errno
import json
import os
import re
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Self

from selftaught.system.errors import SelftaughtError, UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable

HOST = "127.0.0.1"  # never another: nobody but the users of this machine can reach it
NAMES = re.compile(r"(localhost|127\.0\.0\.1)(:\d{1,5})?", re.IGNORECASE)  # any port, as it may be forwarded
MOST_POSTED = 1 << 16  # bytes
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Answer:
    """What is sent back, and what a browser may do with it."""

    code: int
    kind: str
    body: str
    policy: str = NOTHING


Take = Callable[[dict[str, Any]], Mapping[str, Any]]


def told(facts: Mapping[str, Any], code: int = 200) -> Answer:
    """Plain data as JSON."""
    return Answer(code, "application/json", json.dumps(facts))


class Server(ThreadingMixIn, TCPServer):
    """Answers each path of `gives` with what it says, and each of `takes` with what it makes of posted JSON.

    Port 0 is any that is free.
    """

    allow_reuse_address = os.name == "posix"  # elsewhere it would let two programs share a port
    daemon_threads = True
    timeout = 0.2  # seconds that `handle_request` waits, and so that a signal does

    def __init__(self, port: int, gives: Mapping[str, Callable[[], Answer]], takes: Mapping[str, Take] = {}) -> None:
        self.gives, self.takes = gives, takes
        super().__init__((HOST, port), Handler)
        self.socket.settimeout(self.timeout)  # of who left while being let in

    @classmethod
    def listening(cls, port: int, *what: Any) -> Self:
        """A server at --port. Raises UsageError where that cannot be had."""
        try:
            return cls(port, *what)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                way = "choose another, or --port 0 for any that is free"
                raise UsageError(f"--port {port} is taken; {way}") from None
            if error.errno == errno.EACCES:
                raise UsageError(f"--port {port} is not yours to use; choose one above 1023, or --port 0") from None
            raise

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/"

    def show(self) -> None:
        """Open the page in the browser; in a thread, as a browser in a terminal would not come back."""
        threading.Thread(target=webbrowser.open, args=(self.address,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever left before the answer is no trouble; the rest is told in a line, and the next is served."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            say(f"warning: a request failed: {type(error).__name__}: {printable(str(error))}")


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = 10  # seconds for a client to say what it wants
    server_version, sys_version = "selftaught", ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # a method of this name is looked for, whatever verb a client uses
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not NAMES.fullmatch(hosts[0].strip()):
            self.send_error(HTTPStatus.FORBIDDEN)  # a name that somebody points here would let a web site read along
        elif self.command == "POST" and (take := self.server.takes.get(self.path)):
            self._take(take, f"http://{hosts[0].strip()}")
        elif self.command not in ("GET", "HEAD"):
            self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)
        elif give := self.server.gives.get(self.path):
            self._send(give())
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _take(self, take: Take, origin: str) -> None:
        length = self.headers.get("Content-Length", "")
        if self.headers.get_all("Origin") != [origin]:
            self.send_error(HTTPStatus.FORBIDDEN)  # another site, in the same browser, may send but not have it heard
        elif self.headers.get_content_type() != "application/json":
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        elif not length.isascii() or not length.isdigit() or int(length) > MOST_POSTED:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            try:
                posted = json.loads(self.rfile.read(int(length)))
            except (ValueError, RecursionError):  # as of what is nested too deeply
                posted = None
            if not isinstance(posted, dict):
                return self.send_error(HTTPStatus.BAD_REQUEST)
            try:
                self._send(told(take(posted)))
            except (SelftaughtError, OSError) as error:
                self._send(told({"error": printable(str(error))}, HTTPStatus.CONFLICT))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.close_connection = True
        self._send(Answer(code, "text/plain", f"{HTTPStatus(code).phrase}\n"))

    def _send(self, answer: Answer) -> None:
        body = answer.body.encode("utf-8", "replace")
        self.send_response(answer.code)
        self.send_header("Content-Type", f"{answer.kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", answer.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        if answer.code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line for every look would bury what matters."""


def page_policy(page: str, script: str) -> str:
    """What a browser may do with a page: run this one script, ask this server, show and play what is in it.

    Styles are those of its head and attributes, whose values are made here; a hash for each bar of a chart would fill
    the header.
    """
    style = page.partition("<style>")[2].partition("</style>")[0]
    return (
        f"{NOTHING}; script-src {_hashed(script)}; style-src-elem {_hashed(style)}; style-src-attr 'unsafe-inline'; "
        "img-src data:; media-src data:; connect-src 'self'"
    )


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
