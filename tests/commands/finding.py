"""Small data and runs for the commands that go by features, and their tables."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from selftaught.contracts import modality
from selftaught.run.export import save_encoder
from selftaught.system.components import Part

SIDE = 16


def run_of(folder: Path, data: str, part: Part, **how: Any) -> Path:
    """A run whose encoder has learnt nothing: enough to find the same in what is alike."""
    kind = modality.of(data)
    samples = kind.open_samples(data, **how)
    torch.manual_seed(0)
    encoder = kind.build_encoder(part, samples.preparation)
    save_encoder(encoder, part, samples.preparation, folder / "encoder", {})
    (folder / "recipe.yaml").write_text(f"data: {data}\n")
    return folder


def drawn(folder: Path, each: int = 8) -> Path:
    """Bright squares in three places, a folder for each, among noise; 24 files."""
    rng = np.random.default_rng(0)
    for number, name in enumerate("abc"):
        (folder / name).mkdir(parents=True)
        for place in range(each):
            pixels = rng.integers(0, 80, (SIDE, SIDE, 3))
            pixels[:, 5 * number : 5 * number + 5] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{place}.png")
    return folder


def lines(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        return list(csv.DictReader(stream))
