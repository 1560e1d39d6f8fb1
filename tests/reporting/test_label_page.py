"""The page for labelling: who may tell it anything, and a person at its keys in a real browser."""

import http.client
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from selftaught.commands.cli import run_command
from selftaught.data.sources.labels import labels_in_file
from selftaught.judging.labelling import begun
from selftaught.judging.targets import HELD
from selftaught.reporting import server as serving
from selftaught.reporting.label_page import LabelPage
from selftaught.run.recipes import Label
from tests.commands.finding import lines, run_of
from tests.networks import HALVED
from tests.reporting.browser import HANGS, Tab, needs_browser

EVIL = "<img src=x onerror=document.title='run'>\"'&"
WIDE = 400  # pixels of the largest picture


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red and blue ones, eight each, larger than a network is shown them, with evil names."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(16):
        pixels = rng.integers(0, 40, (WIDE // 2, WIDE, 3)) + np.array((200, 20, 20) if number % 2 else (20, 20, 200))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02d}{EVIL}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("runs") / "run", str(photos), HALVED)


@pytest.fixture
def how() -> dict[str, Any]:
    """What is asked for; tests say another by parametrize."""
    return {"classes": "red"}


@pytest.fixture
def site(run: Path, photos: Path, tmp_path: Path, how: dict[str, Any]) -> Iterator["Site"]:
    asked = {"run": str(run), "data": str(photos), "out": str(tmp_path / "labels.csv"), "count": 4, **how}
    found = Site(LabelPage(begun(Label.parse(asked)), "What?", "selftaught finetune"), tmp_path / "labels.csv")
    yield found
    found.close()


class Site:
    """A page that is served."""

    def __init__(self, page: LabelPage, file: Path) -> None:
        self.page, self.file, self.server = page, file, page.server(0)
        self.address = self.server.address
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def page_state(self) -> Any:
        with urllib.request.urlopen(f"{self.address}state") as answer:
            return json.load(answer)

    def post(self, path: str, said: Any = None, **headers: str | None) -> tuple[int, Any]:
        """What comes of posting, as the page itself would but for some headers."""
        host = self.address.removeprefix("http://").rstrip("/")
        own = {"Host": host, "Origin": f"http://{host}", "Content-Type": "application/json"}
        sent = {name: value for name, value in {**own, **headers}.items() if value is not None}
        connection = http.client.HTTPConnection(host)
        try:
            connection.request("POST", path, said if isinstance(said, bytes) else json.dumps(said or {}), sent)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if answer.headers["Content-Type"].startswith("application") else body
        finally:
            connection.close()


@pytest.mark.parametrize(
    ("said", "headers", "code"),
    [
        ({}, {"Origin": "http://evil.example"}, 403),
        ({}, {"Origin": None}, 403),
        ({}, {"Origin": "null"}, 403),
        ({}, {"Host": "evil.example"}, 403),
        ({}, {"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({}, {"Content-Type": "text/plain"}, 415),  # which a form of another site could send unasked
        (b"[]", {}, 400),
        (b"{", {}, 400),
        (b"[" * 20_000, {}, 400),
        (b"", {"Content-Length": str(1 << 30)}, 413),
        (b"", {"Content-Length": "-1"}, 413),
    ],
)
def test_only_the_page_itself_is_heard(site: Site, said: Any, headers: dict[str, str | None], code: int) -> None:
    got, _ = site.post("/end", said, **headers)
    assert got == code and not site.page.ended
    assert site.post("/nothing")[0] == 405


def test_mistakes_are_told_and_change_nothing(site: Site) -> None:
    for path, said in (
        ("/answer", {"rows": [0], "label": "blue"}),
        ("/answer", {"rows": ["0"], "label": "red"}),
        ("/answer", {"rows": [True], "label": "red"}),
        ("/answer", {"rows": [], "label": "red"}),
        ("/answer", {"rows": [99], "label": "red"}),
        ("/answer", {"rows": [0], "label": 3}),
        ("/pass", {}),
        ("/back", {}),
        ("/class", {"name": "a;b"}),
    ):
        code, told = site.post(path, said)
        assert code == 409 and told["error"], (path, said)
    assert site.file.read_text() == "path,label\n" and site.post("/class", {"name": "blue"})[0] == 200


def test_a_disk_that_is_full_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*told: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("selftaught.judging.label_file.append_line", full)
    code, told = site.post("/answer", {"rows": [0], "label": "red"})
    assert code == 409 and "No space left" in told["error"] and not site.page.sitting.labels


def colour(tab: Tab) -> str:
    """What is asked about: red or blue by what is seen of it."""
    script = """async () => { const seen = document.querySelector('#sample img'); await seen.decode();
        const plane = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d');
        plane.drawImage(seen, 0, 0, 1, 1); const [r, , b] = plane.getImageData(0, 0, 1, 1).data;
        return [r > b, seen.naturalWidth]; }"""
    red, wide = tab.page.evaluate(script)
    assert wide == WIDE  # the photo itself, and not what a network is shown of it
    return "red" if red else "blue"


@needs_browser
@pytest.mark.parametrize(("theme", "width"), [("light", 1200), ("dark", 390)])
def test_a_person_labels_by_keys(site: Site, browser: Any, theme: str, width: int, photos: Path) -> None:
    kept: dict[str, str] = {}

    def name() -> str:
        return tab.page.locator("#sample .quiet").text_content() or ""

    def next_of(before: str) -> None:
        tab.until(lambda: tab.page.locator("#asking").is_hidden() or name() != before)

    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 800})
    context.set_default_timeout(HANGS)
    tab = Tab(context.new_page())
    tab.open(site.address)
    tab.page.locator("#asking").wait_for()
    assert tab.run("document.documentElement.scrollWidth <= window.innerWidth")
    tab.page.get_by_label("another class").fill(EVIL)
    tab.page.keyboard.press("Enter")
    tab.page.locator("#answers button").nth(1).wait_for()
    # One by a key, which is taken back, and again with two of those that are most like it.
    first = name()
    keys = {"red": "1", "blue": "2"}
    tab.page.keyboard.press(keys[colour(tab)])
    next_of(first)
    assert list(labels_in_file(site.file)) == [first]
    tab.page.keyboard.press("u")
    tab.until(lambda: name() == first)
    assert site.file.read_text() == "path,label\n"
    for number in range(2):
        tab.page.locator("#alike input").nth(number).check()
    alike = tab.page.locator("#alike li").all_text_contents()[:2]
    tab.page.keyboard.press(keys[colour(tab)])
    next_of(first)
    kept = labels_in_file(site.file)
    assert {*kept} == {first, *(one.strip() for one in alike)} and len({*kept.values()}) == 1
    passed = name()
    tab.page.keyboard.press("s")
    next_of(passed)
    # What is done outlives the page and its server; the rest is asked in a new tab.
    tab.page.reload()
    tab.page.locator("#asking").wait_for()
    while tab.page.locator("#asking").is_visible():
        before = name()
        assert before not in kept and before != passed
        if len(kept) < 9:
            tab.page.keyboard.press(keys[colour(tab)])
        else:
            tab.page.locator("#end").click()
        next_of(before)
        kept = labels_in_file(site.file)
    assert "9 labels are kept" in (tab.page.locator("#why").text_content() or "") and site.page.ended
    beyond = [url for url in tab.asked if not url.startswith((site.address, "data:"))]
    assert (beyond, tab.errors) == ([], []) and tab.page.title() == "selftaught label: What?"
    context.close()
    names = {file.name: "red" if int(file.name[:2]) % 2 else EVIL for file in photos.iterdir()}
    wrong = [one for one in kept if kept[one] != names[one] and one not in {first, *map(str.strip, alike)}]
    assert wrong == [] and len(kept) == 9


@pytest.fixture
def tab(site: Site, browser: Any) -> Iterator[Tab]:
    """A tab at the page, which asks nobody else and has no word of trouble."""
    made = Tab(browser.new_page())
    made.open(site.address)
    made.page.locator("#asking").wait_for()
    yield made
    beyond = [url for url in made.asked if not url.startswith((site.address, "data:"))]
    assert (beyond, [error for error in made.errors if "409" not in error]) == ([], [])
    made.page.close()


def kept_after(tab: Tab, site: Site, key: str, count: int) -> dict[str, str]:
    """The labels that are kept once a key has made them so many."""
    tab.page.keyboard.press(key)
    tab.until(lambda: tab.page.locator("#standing").text_content().startswith(f"{count} of"))
    return labels_in_file(site.file) if count else {}


@needs_browser
def test_what_was_answered_on_another_page_is_asked_no_more(site: Site, tab: Tab) -> None:
    site.post("/class", {"name": "blue"})
    asked = site.page_state()["asked"]
    site.post("/answer", {"rows": [asked["row"]], "label": "blue"})  # as a second page does
    shown = tab.page.locator("#sample .quiet")
    assert shown.text_content() == asked["name"]
    tab.page.get_by_role("button", name="pass").click()
    tab.until(lambda: shown.text_content() == site.page_state()["asked"]["name"] != asked["name"])
    assert tab.page.locator("#trouble").text_content() and tab.page.locator("#standing").text_content().startswith(
        "1 of"
    )
    tab.page.keyboard.press("1")
    tab.until(lambda: tab.page.locator("#standing").text_content().startswith("2 of"))
    assert not tab.page.locator("#trouble").text_content()


@needs_browser
@pytest.mark.parametrize("how", [{"task": "several", "classes": "red,large,new"}])
def test_a_person_gives_several_labels_by_keys(site: Site, tab: Tab) -> None:
    kept, first = tab.page.locator("#keep"), tab.page.locator("#sample .quiet").text_content()
    assert kept.text_content() == "keep none of these Enter"
    for key in "1321":  # on, on, on, and the first off again
        tab.page.keyboard.press(key)
    assert kept.text_content() == "keep large, new Enter"
    tab.page.keyboard.press("2")
    tab.page.get_by_label("another class").fill("old")
    tab.page.keyboard.press("Enter")
    tab.page.locator(".choice").nth(3).wait_for()
    tab.page.keyboard.press("4")
    assert kept.text_content() == "keep new, old Enter" and site.file.read_text() == "path,label\n"
    assert kept_after(tab, site, "Enter", 1) == {first: "new;old"}
    assert kept_after(tab, site, "u", 0) == {} and tab.page.locator("#sample .quiet").text_content() == first
    tab.page.locator("#alike input").nth(0).check()  # by a click, behind which Enter still keeps
    tab.page.keyboard.press("1")
    assert {*kept_after(tab, site, "Enter", 2).values()} == {"red;"}
    tab.page.locator(".choice").nth(1).click()
    assert {*kept_after(tab, site, "Enter", 3).values()} == {"red;", "large;"}
    assert {*kept_after(tab, site, "Enter", 4).values()} == {"red;", "large;", ";"}
    assert tab.page.locator("#trouble").is_hidden()


@needs_browser
@pytest.mark.parametrize("how", [{"task": "number"}])
def test_a_person_types_numbers(site: Site, tab: Tab) -> None:
    first = tab.page.locator("#sample .quiet").text_content()
    assert tab.page.locator("#alike").count() == 0 and "one by one" in tab.page.locator("main").text_content()
    for mistake in ("3,5", "nan", ""):
        tab.page.locator("#number").fill("")
        tab.page.keyboard.type(mistake)  # which is where the keys go
        tab.page.keyboard.press("Enter")
        tab.page.locator("#trouble", has_text=f"'{mistake}' is no finite number").wait_for()
        assert tab.page.locator("#number").input_value() == mistake
    assert site.file.read_text() == "path,label\n"
    tab.page.keyboard.type("-3.50")
    assert kept_after(tab, site, "Enter", 1) == {first: "-3.5"} and tab.page.locator("#trouble").is_hidden()
    assert kept_after(tab, site, "u", 0) == {} and tab.page.locator("#sample .quiet").text_content() == first
    tab.page.keyboard.press("s")
    tab.until(lambda: tab.page.locator("#sample .quiet").text_content() != first)
    tab.page.keyboard.type("1e3")
    assert [*kept_after(tab, site, "Enter", 1).values()] == ["1000"]


@pytest.mark.parametrize("how", [{"task": "number"}, {"task": "several", "classes": "red"}])
def test_mistakes_of_other_answers_change_nothing(site: Site, how: dict[str, Any]) -> None:
    said: list[Any] = ["1", [1], 3, None] if how["task"] == "several" else [["1"], 3, None, "inf"]
    for one in said:
        code, told = site.post("/answer", {"rows": [0], "label": one, "labels": one})
        assert code == 409 and told["error"], one
    assert site.post("/answer", {"rows": [0, 1], "label": "1", "labels": ["blue"]})[0] == 409
    assert site.file.read_text() == "path,label\n"


@pytest.mark.parametrize(
    ("task", "classes", "answers", "summary"),
    [
        ("several", ["--classes", "red,new"], [["red"], ["red", "new"], [], ["new"]] * 2, "red 4, new 4"),
        ("number", [], ["1", "2.5", "-3", "4"] * 2, "-3 to 4, 1.125 on average"),
    ],
)
def test_other_answers_are_learnt_from_and_go_on(
    task: str,
    classes: list[str],
    answers: list[Any],
    summary: str,
    run: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, classifier = tmp_path / "labels.csv", tmp_path / "classifier"
    left, seen = [*answers], []

    def person(address: str) -> None:
        site = object.__new__(Site)
        site.address = address
        state = site.page_state()
        seen.append(state)
        while left and state["asked"]:
            said = {"rows": [state["asked"]["row"]], "label" if task == "number" else "labels": left.pop()}
            _, state = site.post("/answer", said)
        site.post("/end")

    monkeypatch.setattr(serving.webbrowser, "open", person)
    words = [str(photos), "--out", str(out), "--port", "0", "--open"]
    assert run_command(["label", str(run), *words, "--task", task, *classes]) == 0
    told = capsys.readouterr().err
    assert f"8 labels in {out}: {summary}" in told and not left
    assert f"finetune {run} {photos} --labels {out} --task {task} --out classifier" in told
    tune = ["finetune", str(run), str(photos), "--labels", str(out), "--finetune.epochs", "1"]
    assert run_command([*tune, "--out", str(classifier)]) == 0  # which sees by itself what the labels are
    predicted = tmp_path / "predicted.csv"
    assert run_command(["predict", str(classifier), str(photos), "--out", str(predicted)]) == 0
    held = lines(predicted)
    assert len(held) == 16 and ("low" in held[0]) == (task == "number")
    known = {"red", "new"} if task == "several" else set()
    assert task == "number" or {part for row in held for part in row["predicted"].split(";") if part} <= known
    capsys.readouterr()
    left = answers[:1]
    assert run_command(["label", str(classifier), *words]) == 0 and len(labels_in_file(out)) == 9
    told = capsys.readouterr().err
    assert ("--by typiclust" in told) == (task == "number") and f"--task {task}" in told
    assert seen[1]["task"] == task and isinstance(seen[1]["asked"]["guess"], list)
    before = out.read_bytes()
    assert run_command(["label", str(run), *words, "--task", "classes"]) == 3
    assert f"{out} holds {HELD[task]}" in capsys.readouterr().err and out.read_bytes() == before
    other = ["label", str(classifier), *words[:2], str(tmp_path / "other.csv"), "--task", "classes", "--by", "margin"]
    assert run_command(other) == 2 and "needs a classifier of classes" in capsys.readouterr().err
    chosen = ["select", str(run), str(photos), "--count", "2", "--by", "margin", "--classifier", str(classifier)]
    assert run_command([*chosen, "--out", str(tmp_path / "chosen.csv")]) == (2 if task == "number" else 0)


def test_from_photos_to_labels_to_a_classifier_to_labels(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, classifier = tmp_path / "my labels.csv", tmp_path / "classifier"  # the space has to come along
    seen: list[Any] = []

    def person(address: str) -> None:
        site = object.__new__(Site)
        site.address = address
        seen.append(site.post("/class", {"name": f"class {len(seen)}"})[1])
        for label in ("red", "blue"):
            row = seen[-1]["asked"]["row"]
            seen.append(site.post("/answer", {"rows": [row, seen[-1]["alike"][0]["row"]], "label": label})[1])
        site.post("/end")

    monkeypatch.setattr(serving.webbrowser, "open", person)
    words = [str(photos), "--out", str(out), "--port", "0"]
    assert run_command(["label", str(run), *words, "--by", "margin"]) == 2
    assert "needs a classifier" in capsys.readouterr().err and not out.exists()
    assert run_command(["label", str(run), *words, "--classes", "red, blue", "--open", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["url"].startswith("http://127.0.0.1:") and len(labels_in_file(out)) == 4
    next_words = f"next: selftaught finetune {run} {photos} --labels '{out}' --out classifier\n"
    assert f"4 labels in {out}: red 2, blue 2, class 0 0" in told.err and next_words in told.err
    tune = ["finetune", str(run), str(photos), "--labels", str(out), "--finetune.epochs", "1"]
    assert run_command([*tune, "--out", str(classifier)]) == 0
    assert run_command(["label", str(classifier), *words, "--open"]) == 0
    assert next_words in capsys.readouterr().err and len(labels_in_file(out)) == 8
    (guess,) = seen[3]["asked"]["guess"]
    assert guess["label"] in ("red", "blue") and guess["sure"] >= 0.5
