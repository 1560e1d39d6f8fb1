"""What people are told: as little as they want, in colours only where these are wanted, and no wider than they look."""

import re
from pathlib import Path
from typing import Any

import pytest

import selftaught
from selftaught.commands.cli import run_command
from selftaught.system.saying import QUIET, console, in_notebook, is_watched, quietly, say, writing_to
from selftaught.training.launch import surroundings

COLOUR = re.compile(r"\x1b\[[\d;]*\b(3[0-8]|4[0-8]|9[0-7]|10[0-7])\b[\d;]*m")
RUN = ["pretrain", "sklearn:wine", "--method", "vime", "--steps", "2", "--batch-size", "16", "--precision", "32-true"]


def told(capsys: Any) -> list[str]:
    for line in ("data     3 images", "warning: one is odd", "note: another is"):
        say(line)
    said: list[str] = capsys.readouterr().err.splitlines()
    return said


def test_who_wants_quiet_hears_warnings_and_notes_alone(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "is_jupyter", True)
    assert len(told(capsys)) == 3 and in_notebook()
    with selftaught.quiet(), writing_to(tmp_path / "log"):
        assert told(capsys) == ["warning: one is odd", "note: another is"] and not in_notebook()
        assert surroundings(1, "cpu")[QUIET] == "1"
    assert "data     3 images" in (tmp_path / "log").read_text()
    assert QUIET not in surroundings(1, "cpu")
    for value, lines in (("1", 2), ("0", 3), ("", 3)):
        monkeypatch.setenv(QUIET, value)
        assert len(told(capsys)) == lines
    with quietly():
        assert told(capsys) == []


def test_a_command_can_be_quiet_and_still_says_what_is_wrong(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "run"
    assert run_command([*RUN, "--layout", "contiguous", "--map", "0", "--quiet", "--out", str(out)]) == 0
    assert capsys.readouterr() == ("", "")
    assert "method   vime" in (out / "run.log").read_text()
    assert run_command([*RUN, "--quiet", "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_terminal_that_cannot_go_back_has_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setenv("TERM", "xterm")
    assert is_watched()
    monkeypatch.setenv("TERM", "dumb")
    assert not is_watched()


def test_tables_and_help_keep_to_the_width_and_to_no_colour(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "58", "NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    for words in (["methods"], ["check", "sklearn:wine"], ["pretrain", "--help"]):
        assert run_command(words) == 0
        shown = capsys.readouterr().out
        assert len(shown) > 500 and not COLOUR.search(shown), words
        plain = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
        too_wide = [line for line in plain if len(line) > 58 and "selftaught " not in line]  # which is to be copied
        assert too_wide == [], words
