"""A browser for tests: Chromium through Playwright; tests that need one skip, and say so, where there is none."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

HANGS = 1_200_000  # milliseconds after which a page that does not answer has hung; nothing is timed
CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here to open pages in")


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's browser, without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=HANGS)
        yield launched
        launched.close()


class Tab:
    """A page; `asked` are the addresses it requested, `errors` what its console says."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(HANGS)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, address: str) -> None:
        self.page.goto(address)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self.page.evaluate(script)

    def until(self, met: Callable[[], bool]) -> None:
        """Let the page go on until something holds; a test that waits in vain is pytest's to end."""
        while not met():
            self.page.wait_for_timeout(20)
