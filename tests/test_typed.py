"""Every command of the pages is one that the command line takes: it is parsed into its recipe, and goes no further."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selftaught.commands import cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/guides/*.md"))]
STARTED = re.compile(r"(?:[A-Z_]+=\S+ )*(?:torchrun .*-m |srun )?selftaught (?P<words>[a-z]+ .+)")


def typed(page: Path) -> Iterator[str]:
    """What stands in blocks of code, and within sentences, where that is more than the name of a command."""
    text = page.read_text()
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.removeprefix("$ ")
    sentences = re.sub(r"```.*?```", "", text, flags=re.DOTALL).replace("\n", " ")
    yield from re.findall(r"`(selftaught [a-z]+ [^`]+)`", sentences)


def test_every_command_of_the_pages_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    carried: list[Any] = []
    monkeypatch.setattr(cli, "_carry_out", lambda row, recipe, as_json: carried.append(recipe))
    monkeypatch.chdir(ROOT)  # where recipes/ are
    found = dict.fromkeys(
        (page.name, told["words"]) for page in PAGES for line in typed(page) if (told := STARTED.fullmatch(line))
    )
    refused = [
        f"{page}: selftaught {words}: {capsys.readouterr().err}"
        for page, words in found
        if cli.run_command(shlex.split(words, comments=True)) != 0
    ]
    assert not refused, "\n".join(refused)
    assert len(carried) > 100
