"""What the code writes of itself for the site; whether links lead anywhere is seen by `make lint`, which builds it."""

from pathlib import Path

import pytest
from tools.site import __main__ as site
from tools.site import written

import selftaught
from selftaught.commands.table import COMMANDS
from selftaught.methods import registry

ROOT = Path(__file__).parents[1]


def test_every_method_has_a_page_with_its_question_options_and_rows() -> None:
    pages = written.methods(ROOT)
    assert {Path(page).stem for page in pages} == {"index", *registry.places()}
    for name in registry.places():
        page = pages[f"docs/methods/{name}.md"]
        assert registry.method_class(name).question in page and registry.method_class(name).paper in page
        assert f"[`{name}`]({name}.md)" in pages["docs/methods/index.md"]
    assert "`--method.temperature` | `0.2`" in pages["docs/methods/simclr.md"]
    assert "| resnet10t | 50,000 | 0 |" in pages["docs/methods/simclr.md"]


def test_every_command_has_a_page_with_all_its_flags() -> None:
    pages = written.commands()
    assert {Path(page).stem for page in pages} == {"index", *COMMANDS}
    assert "--watch-labels" in pages["docs/commands/pretrain.md"] and "--port" in pages["docs/commands/watch.md"]


def test_the_reference_has_every_public_name() -> None:
    (page,) = written.python().values()
    assert all(f"## `{name}`" in page for name in selftaught.__all__)
    assert "::: selftaught.commands.python.pretrain\n" in page and "::: selftaught.system.bounds\n" in page


def test_pages_come_along_with_what_they_link_to(tmp_path: Path) -> None:
    site.gather(tmp_path)
    assert (tmp_path / "index.md").read_text() == (ROOT / "README.md").read_text()
    for name in ("docs/lecture.svg", "recipes/lecture.yaml", "docs/results/learns.md", "docs/methods/mae.md"):
        assert (tmp_path / name).exists()
    images = [name for name in registry.places() if registry.kind_of(registry.method_class(name)) == "images"]
    assert all((tmp_path / f"docs/pictures/methods/{name}.webp").exists() for name in images)
    listed = [*site.GUIDES.values(), *site.ABOUT.values()]
    assert all((tmp_path / page).exists() for page in listed)
    assert {f"docs/guides/{page.name}" for page in (ROOT / "docs/guides").glob("*.md")} <= {*listed}


def test_pages_are_found_wherever_the_checkout_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "site" / "checkout"
    hand = ["README.md", "docs/design.md", "docs/guides/site.md"]
    for name in (*hand, "docs/site/index.md", "docs/site/docs/design.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    monkeypatch.setattr(site, "ROOT", root)
    assert [page.relative_to(root).as_posix() for page in site.by_hand()] == hand


def test_a_link_to_what_is_not_there_is_found(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"docs/methods/mae\.md links to \.\./pictures/gone\.png, which is not there"):
        site._bring("docs/methods/mae.md", "../pictures/gone.png", tmp_path, alone=False)


def test_a_page_by_hand_links_to_nothing_that_only_the_site_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "checkout"
    (root / "docs/guides").mkdir(parents=True)
    (root / "docs/design.md").touch()
    page = root / "docs/guides/own.md"
    monkeypatch.setattr(site, "ROOT", root)
    monkeypatch.setattr(written, "methods", lambda root: {"docs/methods/mae.md": "[list](index.md)"})
    page.write_text("[the code](../design.md#rooms), [elsewhere](https://x.org/y.md)")
    site.gather(tmp_path / "pages")
    page.write_text("[in Python](../python.md)")
    with pytest.raises(SystemExit, match=r"docs/guides/own\.md links to \.\./python\.md, which is not there"):
        site.gather(tmp_path / "pages")


def test_what_is_no_site_is_not_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("keep me")
    (tmp_path / "site").mkdir()
    with pytest.raises(SystemExit, match="is no site that was built before"):
        site.put(tmp_path / "site", mine)
    assert (mine / "letter.txt").read_text() == "keep me"
    for _ in range(2):
        site.put(tmp_path / "site", tmp_path / "out")
