"""The live page in a browser: what is new comes in place, the reader stays undisturbed, and nothing else is run."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selftaught.commands.python import Run
from selftaught.reporting.run_page import write_report
from selftaught.run.map import Facts
from selftaught.system.lock import LOCK
from tests.reporting.browser import Tab, needs_browser
from tests.reporting.test_run_page import EVIL, folder
from tests.reporting.test_watch import Site, going_on, log, serve

__all__ = ["going_on", "serve"]

pytestmark = needs_browser


@pytest.fixture
def page(browser: Any) -> Iterator[Tab]:
    tab = Tab(browser.new_page())
    yield tab
    tab.page.close()


def address(site: Site) -> str:
    return f"http://127.0.0.1:{site.port}/"


def shows(page: Tab, words: str) -> Callable[[], bool]:
    return lambda: words in page.run("document.body.innerText")


FOLDED = """
    window.recipe = [...document.querySelectorAll("details")].find(one => one.innerText.includes("Recipe"));
    recipe.open = true;
    recipe.querySelector("summary").focus();
    recipe.scrollIntoView();
    scrollBy(0, -40);
    window.curve = document.querySelector("figure");
    recipe.getBoundingClientRect().top
"""

SMUGGLED = """
    window.blocked = new Set();
    addEventListener("securitypolicyviolation", told => blocked.add(told.effectiveDirective));
    document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.hit = 1'>");
    document.body.append(Object.assign(document.createElement("script"), { text: "window.hit = 1" }));
    document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/" }));
    fetch("http://127.0.0.1:9/").catch(() => {});
    0
"""


def test_what_is_new_comes_in_place(page: Tab, going_on: Path, tmp_path: Path, serve: Callable[..., Site]) -> None:
    page.open(address(serve(going_on)))
    assert shows(page, "running step 1,200 of 5,000")() and shows(page, "Not judged yet")()
    top, scrolled = page.run(FOLDED), page.run("scrollY")
    line = page.run('document.querySelector("figure polyline").getAttribute("points")')
    assert scrolled > 0
    judged = (folder(tmp_path, "judged") / "evaluation.json").read_text()
    (going_on / "evaluation.json").write_text(judged)
    log(going_on, 1300)
    log(going_on, 1301, loss=4.0)
    page.until(shows(page, "it helped"))
    page.until(shows(page, "running step 1,301 of 5,000"))
    assert page.run("recipe.isConnected && recipe.open && document.activeElement === recipe.querySelector('summary')")
    assert abs(page.run("recipe.getBoundingClientRect().top") - top) < 2 and page.run("scrollY") > scrolled + 100
    assert page.run("[...document.querySelectorAll('figure')].includes(curve)")
    assert page.run("curve.querySelector('polyline').getAttribute('points')") != line
    assert page.run("document.querySelectorAll('main h1').length") == 1
    (going_on / "evaluation.json").unlink()
    page.until(shows(page, "Not judged yet"))
    assert page.run("recipe.isConnected && recipe.open") and not shows(page, "it helped")()
    assert page.run("document.getElementById('page').innerText") == page.run(
        "fetch('/').then(got => got.text()).then(text => { const main = new DOMParser().parseFromString(text, "
        "'text/html').getElementById('page'); main.querySelectorAll('details')[0].open = true; "
        "document.getElementById('page').replaceWith(main); return main.innerText; })"
    )  # in place or afresh, it is the same page
    assert not page.errors


def test_a_map_comes_when_the_run_ends_and_is_let_be(
    page: Tab, going_on: Path, serve: Callable[..., Site], small_map: Path
) -> None:
    page.open(address(serve(going_on)))
    assert page.run("document.querySelectorAll('.plane').length") == 0
    shutil.copytree(small_map, going_on / "map")
    log(going_on, 1400)
    page.until(lambda: page.run("document.querySelectorAll('.legend button').length") > 0)  # drawn, not only there
    page.run("document.querySelector('select.group').value = 'nothing'")
    log(going_on, 1401)
    page.until(shows(page, "running step 1,401 of 5,000"))
    assert page.run("document.querySelector('select.group').value") == "nothing"
    assert page.run("document.querySelectorAll('select.group option').length") == 2 and not page.errors


@pytest.fixture
def small_map(tmp_path: Path) -> Path:
    """A map of twelve samples without pictures."""
    facts = Facts(step=9, keys=[f"{number}.jpg" for number in range(12)], asked=[3], nearest=[[1, 2]])
    (tmp_path / "small_map").mkdir()
    (tmp_path / "small_map" / "end.json").write_text(facts.model_dump_json())
    np.save(tmp_path / "small_map" / "points.npy", np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32))
    return tmp_path / "small_map"


def test_the_lines_follow_without_the_page(page: Tab, going_on: Path, serve: Callable[..., Site]) -> None:
    site = serve(going_on)
    page.open(address(site))
    (going_on / LOCK).unlink()
    page.until(shows(page, "abandoned no process writes this run any more"))
    (going_on / "status.json").write_text("{")
    page.until(shows(page, "cannot be read at the moment: run/status.json"))
    Run(going_on).folder.joinpath("status.json").unlink()
    Run(going_on).set_status("done", "", 0, steps=5000)
    page.until(shows(page, "done 5,000 steps"))
    page.until(lambda: not shows(page, "cannot be read")())
    assert not page.errors


def test_a_server_that_has_ended_leaves_the_page(page: Tab, going_on: Path, serve: Callable[..., Site]) -> None:
    site = serve(going_on)
    page.open(address(site))
    site.server.shutdown()
    site.server.server_close()
    page.until(shows(page, "selftaught watch does not answer: this is how things stood at "))
    assert shows(page, "running step 1,200 of 5,000")() and shows(page, "learning rate")()


def test_nothing_but_our_script_runs(page: Tab, tmp_path: Path, serve: Callable[..., Site]) -> None:
    evil = folder(tmp_path, name="<img src=x onerror=alert(1)>")
    (evil / "status.json").write_text(json.dumps({"state": EVIL, "reason": f"<script>window.hit = 1</script>{EVIL}"}))
    page.open(address(serve(evil)))
    assert shows(page, f"{EVIL} <script>window.hit = 1</script>{EVIL}; last seen")()
    (evil / "status.json").write_text(json.dumps({"state": f"{EVIL}!", "reason": "<script>window.hit = 1</script>!"}))
    page.until(shows(page, f"{EVIL}! <script>window.hit = 1</script>!; last seen"))
    assert not page.errors and page.run("document.images.length") == 1 and page.run("window.hit === undefined")
    page.run(SMUGGLED)
    page.until(lambda: page.run("blocked.size") == 4)
    assert page.run("window.hit === undefined && [...blocked].sort().join()") == (
        "connect-src,img-src,script-src-attr,script-src-elem"
    )


def test_a_written_report_asks_for_nothing(page: Tab, tmp_path: Path) -> None:
    written = write_report([folder(tmp_path)], tmp_path / "report.html")
    page.open(written.as_uri())
    assert shows(page, "it helped")() and page.run("document.scripts.length") == 0
    assert page.run("performance.getEntriesByType('resource').length") == 0 and not page.errors
