"""Pages as a browser shows them: they open from a file, ask nobody for anything, run no name, and the map answers."""

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from selftaught.commands.python import Run
from selftaught.reporting.check_page import write_page as write_findings
from selftaught.reporting.compare_page import write_page as write_comparison
from selftaught.reporting.map_section import EMBEDDED
from selftaught.reporting.preview import preview
from selftaught.reporting.run_page import write_report
from selftaught.run.map import FOLDER, START
from selftaught.run.recipes import Pretrain, Preview
from selftaught.training.pretrain import pretrain
from tests.judging.test_ranking import LINEAR, comparison, failure, ran
from tests.networks import HALVED, NARROW
from tests.reporting.browser import HANGS, Tab, needs_browser
from tests.reporting.test_check_page import findings

pytestmark = needs_browser

EVIL = "<img src=x onerror=document.title='run'>\"'&</script><script>document.title='run'</script>"
WIDTHS = {"desk": 1200, "phone": 390}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a judged run whose folders, files and classes have evil names."""
    root = tmp_path_factory.mktemp("browser")
    rng = np.random.default_rng(0)
    evil = EVIL.replace("/", "")
    for number in range(60):
        folder = root / "photos" / (f"b{evil}"[:200] if number % 2 else "sea")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(np.array((200, 60, 30)) * (number % 2) + rng.integers(0, 60, (16, 16, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02d}{evil}.png")
    (root / "photos" / "sea" / f"broken{evil}.png").write_bytes(b"not an image")
    told: dict[str, Any] = {"data": str(root / "photos"), "method": "rotation", "encoder": NARROW, "size": 32}
    told |= {"batch_size": 20, "steps": 6, "out": str(root / "run"), "log_every": 1, "tolerance": "5%"}
    run = pretrain(Pretrain.parse({**told, "precision": "32-true", "layout": "contiguous"}))
    Run(run.folder).evaluate(root / "photos", None, probe="knn", repeats=1, tolerance="5%")
    return write_report([run.folder], root / "report.html")


@pytest.fixture(params=[(theme, width) for theme in ("light", "dark") for width in WIDTHS], ids="-".join)
def page(request: pytest.FixtureRequest, browser: Any, page_file: Path) -> Iterator[Any]:
    """The report, open; afterwards nothing may have been asked for, complained of or run."""
    theme, width = request.param
    context = browser.new_context(color_scheme=theme, viewport={"width": WIDTHS[width], "height": 800})
    context.set_default_timeout(HANGS)
    tab = Tab(context.new_page())
    opened = tab.page
    opened.goto(page_file.as_uri())
    opened.locator(".plane").scroll_into_view_if_needed()
    yield opened
    beyond = [url for url in tab.asked if url != page_file.as_uri() and not url.startswith("data:")]
    assert (beyond, tab.errors) == ([], [])
    assert opened.title().startswith("selftaught")  # no name has run
    context.close()


def places(told: dict[str, Any]) -> list[tuple[float, float]]:
    """Where the samples are in the unit square, in the first layout."""
    assert told["layouts"]["PCA"]["rows"] == [*range(60)]
    return told["layouts"]["PCA"]["places"]


def names(page: Any) -> list[str]:
    return page.locator(".names").input_value().split("\n")


def circle(page: Any, box: dict[str, float]) -> None:
    """Draw a line around a part of the map."""
    left, top = box["x"], box["y"]
    corners = [(2, 2), (box["width"] - 2, 2), (box["width"] - 2, box["height"] - 2), (2, box["height"] - 2)]
    page.mouse.move(left + 2, top + 2)
    page.mouse.down()
    for x, y in corners:
        page.mouse.move(left + x, top + y)
    page.mouse.up()


def test_it_fits_its_window(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("table").count() and page.locator("svg").count() and page.locator(".near").count() == 2
    text, paper = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert contrast(text, paper) > 7


def contrast(*colours: str) -> float:
    """Of two colours, as WCAG defines it."""
    lights = []
    for colour in colours:
        channels = [int(v) / 255 for v in colour.split("(")[1].rstrip(")").split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_pictures_of_what_is_near_do_not_lie_on_each_other(page: Any) -> None:
    row = page.locator(".near tbody tr").first
    boxes = [picture.bounding_box() for picture in row.locator(".thumb").all()]
    assert len(boxes) > 4 and {(box["width"], box["height"]) for box in boxes} == {(48, 48)}
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            assert abs(one["x"] - other["x"]) >= 48 or abs(one["y"] - other["y"]) >= 48


def test_the_map_answers(page: Any) -> None:
    told = json.loads(page.locator(".told").text_content())
    plane, tip = page.locator(".plane"), page.locator(".tip")
    box = plane.bounding_box()
    # Where the page's arithmetic puts the first sample: the middle of the map is the middle of the unit square.
    x, y = told["layouts"]["PCA"]["places"][0]
    side = min(box["width"], box["height"]) * 0.94
    assert tip.is_hidden()
    page.mouse.move(box["x"] + box["width"] / 2 + (x - 0.5) * side, box["y"] + box["height"] / 2 - (y - 0.5) * side)
    assert tip.is_visible() and told["keys"][0] in tip.text_content()

    page.get_by_role("button", name="encircle").click()
    circle(page, box)
    assert sorted(names(page)) == sorted(told["keys"]) and page.locator(".count").text_content() == "60 chosen"
    circle(page, {**box, "x": box["x"] + box["width"] / 2, "width": box["width"] / 2})
    right = [told["keys"][i] for i, (x, _) in enumerate(told["layouts"]["PCA"]["places"]) if x > 0.51]
    assert set(right) <= set(names(page)) and len(names(page)) < 60

    page.locator("select.group").select_option("folder")
    assert page.locator(".legend button").count() == 2
    page.locator("select.layout").select_option("t-SNE")
    assert page.locator(".chosen").is_hidden()


def test_the_map_obeys_keys(page: Any) -> None:
    told = json.loads(page.locator(".told").text_content())
    plane = page.locator(".plane")
    width, height = plane.evaluate("plane => [plane.clientWidth, plane.clientHeight]")
    plane.focus()
    page.keyboard.press(".")
    assert told["keys"][0] in page.locator(".tip").text_content()
    page.keyboard.press("Enter")
    assert len(names(page)) == 60
    for key in ("+", "+", "+", *["ArrowRight"] * 10):  # towards one of the two heaps
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    side, x0 = min(width, height) * 0.94 * 1.4**3, 0.5 + 10 * 0.1 / 1.4**3
    within = [abs(x - x0) * side <= width / 2 and abs(y - 0.5) * side <= height / 2 for x, y in places(told)]
    assert 0 < sum(within) < 60 and names(page) == [key for key, seen in zip(told["keys"], within) if seen]
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    assert len(names(page)) == 60 and page.locator(".chosen").is_visible()
    page.keyboard.press("Escape")
    assert page.locator(".chosen").is_hidden()


def test_the_map_is_painted(page: Any) -> None:
    script = """least => { const plane = document.querySelector('.plane'), [w, h] = [plane.width, plane.height];
        const seen = w && h ? plane.getContext('2d').getImageData(0, 0, w, h).data : [];
        let inked = 0; for (let i = 3; i < seen.length; i += 4) inked += seen[i] > 0; return inked > least; }"""
    page.wait_for_function(script, arg=60 * 9 * 9 / 4)  # sixty thumbnails, some of them covered


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages that are not about runs, of evil data."""
    root = tmp_path_factory.mktemp("others")
    np.savez(root / "noise.npz", x=np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8))
    pages = {name: root / f"{name}.html" for name in ("findings", "comparison", "preview")}
    write_findings(findings(5), pages["findings"])
    runs = [
        ran("simclr", 0.5, half=0.02),
        ran("mae", 0.45),
        failure("byol", EVIL),
        ran("simclr", 0.6, rung=2, half=0.02),
    ]
    write_comparison(comparison(runs, LINEAR), pages["comparison"])
    told = {"data": str(root / "noise.npz"), "encoder": HALVED, "method": "rotation"}
    preview(Preview.parse({**told, "out": str(pages["preview"])}))
    return pages


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["findings", "comparison", "preview"])
def test_other_pages_fit_and_ask_for_nothing(
    name: str, width: str, theme: str, browser: Any, others: dict[str, Path]
) -> None:
    context = browser.new_context(color_scheme=theme, viewport={"width": WIDTHS[width], "height": 800})
    context.set_default_timeout(HANGS)
    tab = Tab(context.new_page())
    tab.open(others[name].as_uri())
    assert tab.run("document.documentElement.scrollWidth <= window.innerWidth")
    text, paper = (tab.run(f"getComputedStyle(document.body).{which}") for which in ("color", "backgroundColor"))
    assert contrast(text, paper) > 7
    beyond = [url for url in tab.asked if url != others[name].as_uri() and not url.startswith("data:")]
    assert (beyond, tab.errors) == ([], []) and tab.page.title().startswith("selftaught")
    context.close()


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run of many texts in thirty folders, of which few have a place by t-SNE."""
    run = tmp_path_factory.mktemp("read") / "run"
    (run / FOLDER).mkdir(parents=True)
    keys = [f"{number % 30}/{number}.txt" for number in range(EMBEDDED + 400)]
    asked = {
        "keys": keys,
        "asked": [0, 1],
        "nearest": [[*range(2, 8)]] * 2,
        "texts": ["river wine house bread " * 9] * len(keys),
    }
    for name, step in ((START, 0), ("end.json", 4)):
        (run / FOLDER / name).write_text(json.dumps({**asked, "step": step}))
    points = np.random.default_rng(0).normal(size=(len(keys), 2))
    np.save(run / FOLDER / "points.npy", points)
    known = {"of": np.str_(blake2b(points.tobytes(), digest_size=16).hexdigest()), "tsne": np.full((EMBEDDED, 2), 0.5)}
    np.savez(run / FOLDER / "layout.npz", **known, clusters=np.zeros(len(keys), np.int64))  # to make it takes seconds
    Image.new("RGB", (2059, 222), "white").save(run / "pictures.png")
    (run / "recipe.yaml").write_text("data: texts\n")
    return write_report([run], run / "report.html")


@pytest.fixture(params=[1100, 390])
def reading(request: pytest.FixtureRequest, browser: Any, read: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": request.param, "height": 800})
    context.set_default_timeout(HANGS)
    tab = Tab(context.new_page())
    tab.open(read.as_uri())
    yield tab.page
    assert tab.errors == [] and tab.run("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()


def test_texts_that_are_near_fit_their_card(reading: Any) -> None:
    assert reading.evaluate(
        "document.querySelector('.near').offsetWidth <= document.querySelector('.near').parentElement.clientWidth"
    )
    boxes = [cell.bounding_box() for cell in reading.locator(".near tbody tr").first.locator("td").all()]
    below = reading.viewport_size["width"] < 480
    assert len(boxes) == 3 and len({round(box["y" if not below else "x"]) for box in boxes}) == 1
    assert max(box["width"] for box in boxes) - min(box["width"] for box in boxes) < 2


def test_a_picture_of_texts_is_not_shrunk(reading: Any) -> None:
    picture = reading.get_by_alt_text("Samples as the network saw them")
    assert picture.evaluate("one => [one.naturalWidth, one.clientWidth]") == [2059, 2059]


def test_every_colour_has_its_name(reading: Any) -> None:
    legend = reading.locator(".legend button")
    reading.locator("select.group").select_option("folder")
    assert legend.count() == 25 and legend.last.text_content() == "and 6 more"
    legend.last.press("Enter")
    assert legend.count() == 30 and sorted(legend.all_text_contents(), key=int) == [str(n) for n in range(30)]
    assert legend.nth(24).evaluate("one => one === document.activeElement")


def test_a_layout_says_how_many_it_shows(reading: Any) -> None:
    share = reading.locator(".share")
    assert share.text_content() == ""
    reading.locator("select.layout").select_option("t-SNE")
    assert share.text_content() == "2,000 of 2,400 shown"
