"""A stand-in for the Hub on this machine: it looks at a token, makes a repository, takes a commit, serves its files."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN, COMMIT = "hf_TheRightOne", 40 * "c"


class Hub(ThreadingHTTPServer):
    """What was asked for and stored; `answer` is a status for all requests, where it shall fail."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []
        self.made: dict[str, Any] = {}
        self.large: dict[str, bytes] = {}  # what was put, by its digest
        self.files: dict[str, bytes] = {}  # of the one repository
        self.answer: int | None = None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *told: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self._body()
        if self._refused():
            return
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            self.server.made = json.loads(body)
            self._tell({"url": f"{self.server.url}/me/digits"})
        elif path == "/api/validate-yaml":
            self._tell({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            self._tell({"files": [self._mode(file["path"]) for file in json.loads(body)["files"]]})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.server.url}/put/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self._tell({"transfer": "basic", "objects": objects})
        elif path.endswith("/commit/main"):
            self._commit([json.loads(line) for line in body.splitlines()])
        else:
            self._tell({"error": "unknown"}, 404)

    def do_PUT(self) -> None:
        body = self._body()
        assert self.path == f"/put/{sha256(body).hexdigest()}"
        self.server.large[self.path.removeprefix("/put/")] = body
        self._tell({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self._refused():
            return
        content = self.server.files.get(self.path.removeprefix("/me/digits/resolve/main/").partition("?")[0])
        if content is None:
            return self._tell({"error": "unknown"}, 404)
        self._send(content, {"X-Repo-Commit": COMMIT, "ETag": f'"{sha256(content).hexdigest()}"'})

    def _mode(self, path: str) -> dict[str, Any]:
        return {
            "path": path,
            "uploadMode": "lfs" if path.endswith(".safetensors") else "regular",
            "shouldIgnore": False,
        }

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.large[value["oid"]]
        url = f"{self.server.url}/me/digits/commit/{COMMIT}"
        self._tell({"success": True, "commitOid": COMMIT, "commitUrl": url})

    def _refused(self) -> bool:
        self.server.asked.append(self.path)
        if status := self.server.answer:
            self._tell({"error": f"as a test wants it for {self.headers['Authorization']}"}, status)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status = 401
            self._tell({"error": "Invalid username or password."}, status)
        return status is not None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _tell(self, value: Any, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json"}, status)

    def _send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def serving() -> Iterator[Hub]:
    """The stand-in, at work until the end."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
