"""Judging pixel by pixel: masks lie over their images, nothing is known of void, and who knows textures finds them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from selftaught.commands.python import Run
from selftaught.data.images import masks
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.judging.masked import open_masked
from selftaught.run.export import save_encoder
from selftaught.run.recipes import Evaluate
from selftaught.system.components import Part
from selftaught.system.errors import DataError, SelftaughtError, UsageError

Write = Callable[[Path, NDArray[np.uint8]], None]
SIDE = 32


def as_grey(file: Path, numbers: NDArray[np.uint8]) -> None:
    Image.fromarray(numbers).save(file)


def as_deep(file: Path, numbers: NDArray[np.uint8]) -> None:
    Image.fromarray(numbers.astype(np.uint16)).save(file)


def as_palette(file: Path, numbers: NDArray[np.uint8]) -> None:
    image = Image.fromarray(numbers, "P")
    image.putpalette([value for number in range(256) for value in (number * 37 % 256, number * 91 % 256, 7)])
    image.save(file)


def scene(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Stripes that stand (class 3) or lie (7), of any contrast, in parts of an image; around them is noise (0)."""
    numbers = np.zeros((SIDE, SIDE), dtype=np.uint8)
    image = rng.normal(128, 40, (SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    for number, along in ((3, x), (7, y)):
        top, left = rng.integers(0, SIDE // 2 + 1, 2)
        own = np.s_[top : top + SIDE // 2, left : left + SIDE // 2]
        numbers[own] = number
        image[own] = 128 + rng.uniform(30, 110) * np.where((along + rng.integers(4)) % 4 < 2, 1, -1)[own]
    return image.clip(0, 255).astype(np.uint8), numbers


def scenes(folder: Path, count: int, seed: int, write: Write = as_grey) -> Path:
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for place in range(count):
        image, numbers = scene(rng)
        Image.fromarray(image).save(folder / "images" / f"{place:03d}.png")
        write(folder / "masks" / f"{place:03d}.png", numbers)
    return folder / "images"


class Stripes(nn.Module):
    """How much stands and how much lies, at every place; drawn anew it sees directions that say little."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.conv.weight[0, 0] = torch.tensor([[-1.0, 0, 1]] * 3)
            self.conv.weight[1, 0] = self.conv.weight[0, 0].T

    def forward(self, x: Tensor) -> Tensor:
        energy = nn.functional.avg_pool2d(self.conv(x).abs(), 4)
        return torch.cat([energy, energy[:, :1] - energy[:, 1:]], dim=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return scenes(folder / "train", 40, 1), scenes(folder / "test", 30, 2)


@pytest.fixture
def run(data: tuple[Path, Path], tmp_path: Path) -> Run:
    """A run whose encoder knows stripes by its making."""
    return run_of(tmp_path / "run", data[0], Stripes())


def run_of(folder: Path, images: Path, net: nn.Module | None, name: str = "own", size: tuple[int, int] = (32, 32)) -> Run:
    preparation, part = open_samples(images, size=size).preparation, Part(name=name)
    encoder = build_encoder(part, preparation, net)
    save_encoder(encoder, part, preparation, folder / "encoder", {"method": "none"})
    (folder / "recipe.yaml").write_text("data: some\n")
    return Run(folder, net)


def test_who_knows_the_textures_finds_them(run: Run, data: tuple[Path, Path]) -> None:
    train, test = data
    result = run.evaluate(train, test, probe="segment", repeats=2)
    rows = {row.features: row for row in result.rows}
    assert set(rows) == {"trained", "untrained", "pixels"} and result.classes == ["0", "3", "7"]
    assert rows["trained"].accuracy > 0.75 > rows["untrained"].accuracy + 0.1, rows
    assert rows["trained"].accuracy > rows["pixels"].accuracy + 0.1
    assert result.verdict.startswith("segment, all labels: ") and result.verdict.endswith(": it helped")
    assert {row.measure for row in result.rows} == {"mIoU"} and {row.samples for row in result.rows} == {30}
    told = json.loads((run.folder / "evaluation.json").read_text())
    own = told["details"][0]
    found = np.array(own["confusion"])
    assert found.sum() == 2 * 30 * SIDE**2
    union = found.sum(axis=0) + found.sum(axis=1) - np.diag(found)
    assert own["iou"] == pytest.approx((np.diag(found) / union).tolist())
    assert own["recall"] == pytest.approx((np.diag(found) / found.sum(axis=1)).tolist())
    assert np.mean(own["iou"]) == pytest.approx(told["rows"][0]["accuracy"], abs=0.01)  # pooled, of each repeat
    assert told["rows"][0]["measures"]["pixel_accuracy"] == pytest.approx(np.diag(found).sum() / found.sum())
