"""What selftaught made is known by its list, and nothing else is ever removed, nor anything that a link leads to."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from selftaught.system import ownership
from selftaught.system.errors import DataError, UsageError
from selftaught.system.files import temporary_for
from selftaught.system.ownership import (
    MANIFEST,
    Inside,
    begin,
    begin_if_empty,
    clear,
    is_ours,
    manifest_of,
    own,
    refuse_as_data,
    refuse_inside,
    refuse_odd,
    refuse_strangers,
)

STEP = Inside(re.compile(r"last|step_\d+/model"), re.compile(r"step_\d+"))
OWNED = {MANIFEST: None, "log": None, "steps": STEP}


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    folder = tmp_path / "ours"
    (folder / "steps" / "step_1").mkdir(parents=True)
    for name in ("log", "steps/last", "steps/step_1/model"):
        (folder / name).write_text("ours")
    begin(folder, "work", OWNED)
    return folder


@pytest.fixture(params=[True, False])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By open folders, and by paths where a system has none of these."""
    monkeypatch.setattr(ownership, "BY_HANDLE", request.param and ownership.BY_HANDLE)


def test_a_list_grows_before_its_files_do(ours: Path) -> None:
    known = manifest_of(ours)
    assert known and known.kind == "work" and known.names == OWNED.keys()
    own(ours, "log", "report")
    again = manifest_of(ours)
    assert again and again.id == known.id and again.names == {*OWNED, "report"}
    with (ours / MANIFEST).open("a") as stream:
        stream.write('{"names": ["cut')  # by a crash: nothing of that name was written
    assert manifest_of(ours) == again
    (ours / "notes").write_text("somebody's")
    with pytest.raises(UsageError, match="notes is not selftaught's"):
        own(ours, "notes")
    begin(ours, "work", OWNED)
    anew = manifest_of(ours)
    assert anew and anew.id != known.id and len(anew.id) == 32


@pytest.mark.parametrize(
    "content",
    [
        *(
            "",
            "[]\n",
            "{}\n",
            '{"format": 1, "id": "x", "kind": "a", "names": []}\n',
            "[" * 10_000 + "\n",
            '{"format": 1}',
        ),
        json.dumps({"format": 2, "id": "0" * 32, "kind": "a", "names": ["log"]}) + "\n",  # of a later release
    ],
)
def test_a_file_that_only_has_the_lists_name_makes_no_folder_ours(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content)
    assert manifest_of(tmp_path) is None and not is_ours(tmp_path)


def test_a_list_behind_a_link_is_none(ours: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / MANIFEST).symlink_to(ours / MANIFEST)
    assert manifest_of(tmp_path / "mine") is None


@pytest.mark.usefixtures("way")
def test_what_is_ours_is_removed_and_all_else_stays(ours: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "step_1").mkdir(parents=True)
    (mine / "step_1" / "model").write_text("mine")
    (ours / "thesis").mkdir()
    for name in ("thesis/one", "steps/notes", "steps/step_1/notes", "labels"):
        (ours / name).write_text("mine")
    (ours / "steps" / "step_2").symlink_to(mine / "step_1")
    (ours / "steps" / "step_3").mkdir()
    (ours / "steps" / "step_3" / "model").symlink_to(mine / "step_1" / "model")
    half = temporary_for(ours / "steps" / "step_4")
    half.mkdir()
    (half / "model").touch()
    (half / temporary_for(half / "model").name).touch()
    temporary_for(ours / "log").touch()
    with pytest.raises(UsageError, match=r"did not write: labels, steps/notes, steps/step_1/notes and 3 more; move"):
        refuse_strangers(ours, OWNED)
    assert (ours / "log").exists() and half.exists()
    clear(ours, OWNED, spared=(MANIFEST,))
    left = {MANIFEST, "labels", "thesis", "thesis/one", "steps", "steps/notes", "steps/step_1", "steps/step_1/notes"}
    assert tree(ours) == left | {"steps/step_2", "steps/step_3", "steps/step_3/model"}
    assert (mine / "step_1" / "model").read_text() == "mine"


@pytest.mark.usefixtures("way")
def test_a_folder_of_ours_alone_is_emptied(ours: Path) -> None:
    (ours / ".DS_Store").touch()  # left by whoever looked into it
    refuse_strangers(ours, OWNED)
    clear(ours, OWNED, spared=(MANIFEST,))
    assert tree(ours) == {MANIFEST, ".DS_Store"}


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ownership.BY_HANDLE:
        pytest.skip("folders cannot be held open here")
    mine = tmp_path / "mine"
    (mine / "step_1").mkdir(parents=True)
    (mine / "last").write_text("mine")
    opened = os.open

    def swapping(path: Any, *how: Any, **more: Any) -> int:
        if path == "steps":
            (ours / "steps").rename(tmp_path / "away")
            (ours / "steps").symlink_to(mine)
        return opened(path, *how, **more)

    monkeypatch.setattr(os, "open", swapping)
    with pytest.raises(OSError):
        clear(ours, OWNED)
    assert (mine / "last").read_text() == "mine"


def test_names_of_ours_that_are_links_or_pipes_are_refused(ours: Path, tmp_path: Path) -> None:
    refuse_odd(ours, OWNED)
    (ours / "log").unlink()
    (ours / "log").symlink_to(tmp_path / "nothing")
    with pytest.raises(UsageError, match="log is a link, which is not followed"):
        refuse_odd(ours, OWNED)
    (ours / "log").unlink()
    (ours / "steps").rename(tmp_path / "away")
    (ours / "steps").symlink_to(tmp_path / "away")
    with pytest.raises(UsageError, match="steps is a link"):
        refuse_odd(ours, OWNED)
    (ours / "steps").unlink()
    os.mkfifo(ours / "steps")
    with pytest.raises(UsageError, match="steps is no regular file"):
        refuse_odd(ours, OWNED)


def test_what_is_read_may_not_lie_in_what_is_replaced(ours: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (ours / "photos.zip").touch()
    (tmp_path / "link").symlink_to(ours / "steps")
    for value in (ours, ours / "steps", ours / "photos.zip" / "train", tmp_path / "link", ours / ".." / "ours" / "log"):
        with pytest.raises(UsageError, match=r"--init .* lies in .*ours, which is to be replaced"):
            refuse_inside(ours, {"--init": value})
    monkeypatch.chdir(ours)
    with pytest.raises(UsageError, match=r"DATA \. lies in"):
        refuse_inside(ours, {"DATA": "."})
    refuse_inside(ours, {"DATA": "sklearn:digits", "--init": None, "--labels": tmp_path, "--test": f"{ours}-2"})


def test_a_folder_with_other_things_in_it_is_never_taken(tmp_path: Path) -> None:
    begin_if_empty(tmp_path / "new", "demo", ["page"])
    known = manifest_of(tmp_path / "new")
    assert known and known.kind == "demo"
    begin_if_empty(tmp_path / "new", "demo", ["page"])
    assert manifest_of(tmp_path / "new") == known
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").touch()
    begin_if_empty(tmp_path / "mine", "demo", ["page"])
    assert manifest_of(tmp_path / "mine") is None


def test_what_is_ours_is_no_data(ours: Path, tmp_path: Path) -> None:
    (ours / "photos").mkdir()  # somebody's own, in a folder of ours
    refuse_as_data(ours / "photos")
    refuse_as_data(tmp_path)
    (tmp_path / "link").symlink_to(ours)
    for root in (ours, ours / "steps", tmp_path / "link"):
        with pytest.raises(DataError, match="was made by selftaught and is no data"):
            refuse_as_data(root)
