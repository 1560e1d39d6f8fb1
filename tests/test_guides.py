"""The commands of the guides run as written, in their order, only shorter, on data as the page says they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from selftaught.commands.cli import run_command
from tests.test_docs import commands, shortened

Rng = np.random.Generator
COUNT = 24


def tiles(rng: Rng) -> None:
    """Six bands of 16 bits; of each place two months; water is dark in the last bands."""
    lines = ["path,place,month"]
    for number in range(COUNT):
        write_tile(Path("tiles") / f"{number:02d}.tif", rng, number % 2 == 0)
        lines.append(f"{number:02d}.tif,p{number // 2},{number % 2 + 6}")
    Path("tiles.csv").write_text("\n".join(lines))
    for number in range(COUNT):
        write_tile(Path("labelled") / ("water" if number % 2 else "field") / f"{number}.tif", rng, number % 2 == 1)


def write_tile(file: Path, rng: Rng, water: bool) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    bands = rng.integers(300, 3000, (32, 32, 6)) // np.array([1, 1, 1, 1, 4 if water else 1, 4 if water else 1])
    tifffile.imwrite(file, bands.astype(np.uint16), planarconfig="contig", photometric="minisblack")


def cells(rng: Rng) -> None:
    """Two channels, as ImageJ writes them; eight slides in two stains."""
    lines, groups = ["path,slide,stain"], ["path,group"]
    for number in range(COUNT):
        write_cell(Path("cells") / f"{number:02d}.tif", rng, number % 2)
        lines.append(f"{number:02d}.tif,s{number % 8},{'he' if number % 8 < 4 else 'pas'}")
    for number in range(COUNT):
        kind = ("round", "long")[number % 2]
        write_cell(Path("labelled") / kind / f"{number}.tif", rng, number % 2)
        groups.append(f"{kind}/{number}.tif,s{number // 2}")
    Path("cells.csv").write_text("\n".join(lines))
    Path("slides.csv").write_text("\n".join(groups))


def write_cell(file: Path, rng: Rng, kind: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:32, :32] - rng.integers(12, 20, 2)[:, None, None]
    blob = 3000 * np.exp(-((x / 5) ** 2) - (y / (5 + 6 * kind)) ** 2)
    channels = np.stack([blob, blob[::-1]]) + rng.integers(0, 400, (2, 32, 32))
    tifffile.imwrite(file, channels.astype(np.uint16), imagej=True, metadata={"axes": "CYX"})


def logs(rng: Rng) -> None:
    lines = ["path,label"]
    for folder, count in (("logs", 16), ("new", 2)):
        Path(folder).mkdir()
        for number in range(count):
            time = np.arange(200)
            wave = np.sin(time / (3 + 4 * (number % 2)))[:, None] + rng.normal(0, 0.2, (200, 2))
            text = "\n".join(f"{at},{a:.3f},{b:.3f}" if at % 50 else f"{at},,{b:.3f}" for at, (a, b) in zip(time, wave))
            Path(folder, f"r{number:02d}.csv").write_text(f"time,shaft,room\n{text}\n")
            if folder == "logs":
                lines.append(f"r{number:02d}.csv,{('calm', 'worn')[number % 2]}")
    Path("kinds.csv").write_text("\n".join(lines))


@pytest.mark.parametrize(("page", "made"), [("satellite", tiles), ("microscopy", cells), ("sensors", logs)])
def test_its_commands_run_as_written(
    page: str, made: Callable[[Rng], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made(np.random.default_rng(0))
    found = commands(f"guides/{page}.md")
    assert len(found) >= 6
    for command in found:
        words = shortened(command)
        if page == "sensors" and words[0] == "preview":
            words = words[:-2]  # series have no size
        if words[0] == "pretrain":
            words += ["--encoder", "dilated_conv" if page == "sensors" else "test_resnet"]
        if words[0] == "finetune":
            words += ["--finetune.epochs", "1"]
        assert run_command(words) == 0, command
