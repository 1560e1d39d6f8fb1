"""A file is opened for what it seems: no link is followed unasked, no pipe waited for, nothing larger than allowed."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from selftaught.system.files import append_line, write_atomically
from selftaught.system.reading import json_lines, json_object, yaml_in
from selftaught.system.regular import TO_THE_END, created, opened, regular_bytes
from selftaught.system.saying import say, writing_to


def log(file: Path) -> None:
    with writing_to(file):
        say("a line")


READERS = [lambda file: regular_bytes(file, 9), yaml_in, json_object, lambda file: opened(file, os.O_RDONLY)]
WRITERS = [lambda file: append_line(file, "x"), log, lambda file: opened(file, TO_THE_END)]


@pytest.mark.parametrize("touch", [*READERS, *WRITERS])
def test_neither_a_link_nor_a_pipe_is_opened(touch: Callable[[Path], object], tmp_path: Path) -> None:
    """A pipe that nobody writes to would be waited for, for ever."""
    mine, link, pipe = (tmp_path / name for name in ("mine", "link", "pipe"))
    mine.write_text("a: 1")
    link.symlink_to(mine)
    os.mkfifo(pipe)
    for file, code, why in ((link, errno.ELOOP, "is a link"), (pipe, errno.ENXIO, "no regular file")):
        with pytest.raises(OSError, match=why) as refused:
            touch(file)
        assert refused.value.errno == code
    with pytest.raises(OSError, match="no regular file"):
        touch(tmp_path)
    assert mine.read_text() == "a: 1"


def test_a_file_that_becomes_a_pipe_in_between_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "x")
    monkeypatch.setattr("selftaught.system.regular.kind_of", lambda file, links: None)
    with pytest.raises(OSError, match="no regular file"):
        opened(tmp_path / "x", os.O_RDONLY)
    (tmp_path / "y").symlink_to(tmp_path / "x")
    with pytest.raises(OSError, match="symbolic links"):
        opened(tmp_path / "y", os.O_RDONLY)


def test_what_the_user_names_may_be_a_link_or_a_pipe(tmp_path: Path) -> None:
    mine, link = tmp_path / "mine", tmp_path / "link"
    mine.write_text("a: 1")
    link.symlink_to(mine)
    assert regular_bytes(link, 9, links=True) == b"a: 1" and yaml_in(link, named=True) == {"a": 1}
    read, write = os.pipe()
    os.write(write, b"b: 2")
    os.close(write)
    assert yaml_in(Path(f"/dev/fd/{read}"), named=True) == {"b": 2}
    os.close(read)


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert regular_bytes(tmp_path / "x", 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        regular_bytes(tmp_path / "x", 4)


def test_lines_behind_a_link_are_none(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text('{"step": 1}\n')
    (tmp_path / "link").symlink_to("mine")
    assert json_lines(tmp_path / "mine") == ([{"step": 1}], 0) and json_lines(tmp_path / "link") == ([], 0)


def test_a_file_is_replaced_and_not_what_a_link_in_its_place_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("my notes")
    (tmp_path / "link").symlink_to("mine")
    with pytest.raises(FileExistsError):
        created(tmp_path / "link")
    write_atomically(tmp_path / "link", "x")
    assert (tmp_path / "mine").read_text() == "my notes" and not (tmp_path / "link").is_symlink()
