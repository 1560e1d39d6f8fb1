"""The commands of docs/finding.md run as written, only shorter, from unlabelled pictures to sorted ones.

Those of labelling on a page want somebody at it, and are tested with one: tests/reporting/test_label_page.py.
"""

import re
import shutil
from pathlib import Path

import pytest

from selftaught.commands.cli import run_command
from tests.commands.finding import lines
from tests.networks import HALVED, flags

PAGE = Path(__file__).parents[2] / "docs" / "finding.md"
ENCODER = flags(HALVED)
QUICK = {
    "pretrain": [*ENCODER, "--batch-size", "8", "--precision", "32-true", "--layout", "contiguous", "--map", "0"],
    "finetune": ["--finetune.epochs", "1"],
}
SHORTER = (("--epochs 100", "--steps 2"), ("--count 100", "--count 18"), ("--count 50", "--count 3"))


def test_the_pages_commands_lead_from_pictures_to_sorted_ones(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pictures, "photos")
    shutil.copy("photos/a/1.png", "this.jpg")  # which is known by what it holds
    first, second, _ = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    ran = []

    def run(block: str) -> None:
        for line in block.splitlines():
            for whole, short in SHORTER:
                line = line.replace(whole, short)
            words = line.split()[1:]
            assert run_command([*words, *QUICK.get(words[0], ())]) == 0, line
            ran.append(words[0])

    run(first)
    assert Path("alike.html").read_text().count("data:image") == 21 and len(lines(Path("to_label.csv"))) == 18
    table = Path("to_label.csv").read_text().splitlines()
    filled = [table[0], *(f"{line}{line[0]}" for line in table[1:])]  # a folder's name is what is so
    Path("to_label.csv").write_text("\n".join(filled) + "\n")
    run(second)
    assert ran == ["pretrain", "select", "find", "odd", "finetune", "select", "predict"]
    more = lines(Path("more.csv"))
    assert list(more[0]) == ["path", "rank", "margin", "label"] and len(more) == 3
    assert not {row["path"] for row in more} & {row["path"] for row in lines(Path("to_label.csv"))}
    listed = len(lines(Path("sorted/sorted.csv"))) + len(lines(Path("sorted/undecided.csv")))
    assert listed == len(lines(Path("predictions.csv"))) == 24 == len([*Path("photos").rglob("*.png")])
