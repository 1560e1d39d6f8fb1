"""A web server on this machine that serves a folder by ranges, counts, and fails where a test wants it to.

It speaks as much of S3 as it takes to read a bucket, a folder below the root, which it lists; and of the Hub.
"""

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = 40 * "c"


class Asked(NamedTuple):
    """A request for a part of a file, and which time it is that this part is asked for, from 1."""

    name: str
    start: int
    time: int


Fault = Callable[[Asked], str | None]


class Loopback:
    """What was asked of the server, and what it shall do wrong."""

    def __init__(self, root: Path) -> None:
        self.root, self.fault = root, _sound
        self.parts: Counter[tuple[str, int]] = Counter()  # requests by file and start, but for those that failed
        self.asked: Counter[tuple[str, int]] = Counter()  # all of them
        self.faults: Counter[str] = Counter()  # those that were carried out
        self.looked: Counter[str] = Counter()  # requests of how a file looks
        self.go_on = threading.Event()  # what is delayed waits for it
        self.sent: list[dict[str, str]] = []  # headers of requests
        self.lock = threading.Lock()
        self.url = ""

    def fetched(self) -> int:
        """Parts that were sent whole."""
        return self.parts.total()

    def verdict(self, name: str, start: int) -> str | None:
        """What to do wrong about a request for a part."""
        with self.lock:
            self.asked[name, start] += 1
            asked = Asked(name, start, self.asked[name, start])
        found = self.fault(asked)
        with self.lock:
            if found:
                self.faults[found] += 1
            if found in (None, "delay"):
                self.parts[name, start] += 1
        return found


def _sound(asked: Asked) -> str | None:
    return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # or each answer would wait for a clock of TCP's
    server: Any

    def log_message(self, *told: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.server.loopback.looked[self.path] += 1
        if (file := self._file()) is not None:
            self._begin(200, file.stat().st_size, file)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.loopback.sent.append(dict(self.headers))
        if parts.path.startswith("/api/"):
            self._tell(parts.path)
        elif "list-type" in parse_qs(parts.query):
            self._list(parse_qs(parts.query)["prefix"][0])
        elif (file := self._file()) is not None:
            size = file.stat().st_size
            start, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            self._send(file, size, int(start), min(int(last or size) + 1, size))

    def _file(self) -> Path | None:
        file = self.server.loopback.root / unquote(urlsplit(self.path).path).lstrip("/")
        if file.is_file():
            return file
        self._begin(404, 0)
        return None

    def _send(self, file: Path, size: int, start: int, stop: int) -> None:
        fault = self.server.loopback.verdict(file.name, start)
        with file.open("rb") as stream:
            stream.seek(start)
            part = stream.read(stop - start)
        if fault == "delay":
            self.server.loopback.go_on.wait()
        if fault == "drop":
            self.close_connection = True
        elif fault == "503":
            self._begin(503, 0)
        elif fault == "whole":
            self._begin(200, size, file)
            self.wfile.write(file.read_bytes())
        elif fault == "truncate":  # less than is announced
            self._begin(206, len(part), file, (start, stop, size))
            self.wfile.write(part[: len(part) // 2])
            self.close_connection = True
        else:
            sent = part[: len(part) // 2] if fault == "short" else part  # by a length that fits it
            self._begin(206, len(sent), file, (start, stop, size))
            self.wfile.write(sent)

    def _begin(
        self, status: int, length: int, file: Path | None = None, part: tuple[int, int, int] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.send_header("Accept-Ranges", "bytes")
        if file:
            self.send_header("ETag", f'"{file.stat().st_mtime_ns:x}"')
        if part:
            self.send_header("Content-Range", f"bytes {part[0]}-{part[1] - 1}/{part[2]}")
        self.end_headers()

    def _tell(self, path: str) -> None:
        """What the Hub says of a set whose only commit is COMMIT: what that is, or its files."""
        folder = self.server.loopback.root / "datasets/me/set/resolve" / COMMIT
        about: Any = {"id": "me/set", "sha": COMMIT, "private": False, "gated": False, "tags": [], "siblings": []}
        if "/tree/" in path:
            files = sorted(folder.iterdir())
            about = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f"oid of {f.name}"} for f in files
            ]
        body = json.dumps(about).encode()
        self._begin(200, len(body))
        self.wfile.write(body)

    def _list(self, prefix: str) -> None:
        """What a bucket lists."""
        folder = self.server.loopback.root / self.path.strip("/").partition("?")[0] / prefix
        held = "".join(
            f"<Contents><Key>{prefix}{file.name}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified>"
            f'<ETag>"{file.stat().st_mtime_ns:x}"</ETag><Size>{file.stat().st_size}</Size></Contents>'
            for file in sorted(folder.iterdir())
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{held}</ListBucketResult>".encode()
        self._begin(200, len(body))
        self.wfile.write(body)


@contextmanager
def serving(root: Path) -> Iterator[Loopback]:
    """A server of the files in a folder, at `url`."""
    loopback = Loopback(root)
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.loopback = True, loopback
    loopback.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield loopback
    finally:
        loopback.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving(Path(sys.argv[1])) as served:
        print(served.url, flush=True)
        sys.stdin.read()
