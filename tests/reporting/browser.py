"""A browser for tests: Debian's Chromium, told what to do through a pipe, as its own developer tools are."""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

FOUND = shutil.which("chromium")


class Browser:
    """One page of a browser without a window; `errors` are what its console complains of."""

    def __init__(self, say: BinaryIO, hear: BinaryIO) -> None:
        self._say, self._hear, self._numbers = say, hear, itertools.count(1)
        self._session: dict[str, str] = {}
        self._heard = b""
        self.errors: list[str] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        attached = self.tell("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.tell(f"{domain}.enable")

    def tell(self, what: str, **how: Any) -> Any:
        """Carry out a command of the developer tools; its result."""
        number = next(self._numbers)
        told = {"id": number, "method": what, "params": how, **self._session}
        self._say.write(json.dumps(told).encode() + b"\0")
        self._say.flush()
        while (heard := self._next()).get("id") != number:
            self._note(heard)
        assert "error" not in heard, heard["error"]
        return heard["result"]

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        done = self.tell("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def open(self, address: str) -> None:
        self.tell("Page.navigate", url=address)
        self.until(lambda: self.run("document.readyState") == "complete" and self.run("location.href") == address)

    def until(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not met():
            assert time.monotonic() < deadline, self.errors
            time.sleep(0.02)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            more = os.read(self._hear.fileno(), 1 << 16)
            assert more, "the browser has ended"
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\0")
        return json.loads(line)

    def _note(self, heard: dict[str, Any]) -> None:
        about = heard.get("params", {})
        if heard.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.errors.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        if heard.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(about["exceptionDetails"]))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser that ends with the block, and keeps what it must keep in `profile`."""
    assert FOUND
    (theirs_in, say), (hear, theirs_out) = os.pipe(), os.pipe()

    def at_three_and_four() -> None:  # where it looks for the pipes
        for number, pipe in zip((3, 4), [os.dup(theirs_in), os.dup(theirs_out)]):
            os.dup2(pipe, number)
            os.set_inheritable(number, True)  # which it is not where the two were one already

    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        [FOUND, *flags, f"--user-data-dir={profile}", "about:blank"],
        preexec_fn=at_three_and_four,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        with open(say, "wb") as told, open(hear, "rb") as heard:  # noqa: PTH123 - these are numbers
            here = Browser(told, heard)
            yield here
            with suppress(AssertionError):
                here.tell("Browser.close")
    finally:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
