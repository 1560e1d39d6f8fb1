"""How many saved-again copies are found, and which different pictures are taken for one?

Pictures of a folder or archive are saved anew in several ways, and what judging takes for copies is looked for in both.
Then it is looked for among the pictures alone: pairs found there are drawn, since only people can say whether two show
the same. Writes docs/results/near_copies.json under the name of the data, and the pairs to runs/near_copies/NAME.png.

    python bench/near_copies.py ../shared/data/photos250.zip --name photos --size 96
    python bench/near_copies.py ../shared/data/cifar10.zip --name cifar10 --size 32
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from selftaught.contracts.samples import Samples
from selftaught.data.images import MODALITY, duplicates
from selftaught.data.images.pictures import contact_sheet
from selftaught.judging.copies import contents

ROOT = Path(__file__).parent.parent
RESULT, PAIRS = ROOT / "docs/results/near_copies.json", ROOT / "runs/near_copies"
SAVED, DRAWN = 1_000, 40  # pictures saved again, and pairs drawn, at most


def as_jpeg(image: Image.Image, file: Path, quality: int) -> None:
    image.save(file.with_suffix(".jpg"), quality=quality)


WAYS: dict[str, Callable[[Image.Image, Path], None]] = {
    **{f"JPEG, quality {quality}": partial(as_jpeg, quality=quality) for quality in (30, 50, 75, 95)},
    "half the size": lambda image, file: image.reduce(2).save(file),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--name", required=True)
    parser.add_argument("--size", type=int, required=True, help="pixels, the side of what is looked at")
    asked = parser.parse_args()
    data = MODALITY.open_samples(asked.data, size=(asked.size, asked.size), native=False)
    found: dict[str, Any] = {"pictures": data.count}
    some = data.subset(np.linspace(0, data.count - 1, min(data.count, SAVED)).astype(np.int64))
    found["saved again and found"] = {way: _recall(some, save) for way, save in WAYS.items()}
    exact, alike = contents([data], duplicates)
    found["the same bytes"] = data.count - len(np.unique(exact))
    pairs = _pairs(alike, exact)
    found["pairs that look just alike"] = len(pairs)
    _draw(data, pairs, PAIRS / f"{asked.name}.png")
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.write_text(json.dumps({**known, asked.name: found}, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def _recall(data: Samples, save: Callable[[Image.Image, Path], None]) -> float:
    """The share of the pictures whose copy is taken for one."""
    with tempfile.TemporaryDirectory() as folder:
        for row, pixels in enumerate(_pixels(data)):
            save(Image.fromarray(pixels), Path(folder) / f"{row:06d}.png")
        saved = MODALITY.open_samples(folder, like=data.preparation, native=False)
        _, alike = contents([data, saved], duplicates)
    return round(float((alike[: data.count] == alike[data.count :]).mean()), 4)


def _pixels(data: Samples) -> NDArray[np.uint8]:
    """All pictures as they are held (N, H, W, 3)."""
    batches = [data.batch(rows)[0] for rows in np.array_split(np.arange(data.count), -(-data.count // 256))]
    return np.asarray(torch.cat(batches).permute(0, 2, 3, 1).numpy())


def _pairs(alike: NDArray[np.int64], exact: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Rows of two pictures that are taken for one and are stored differently, one pair a group."""
    groups = defaultdict(list)
    for row in np.sort(np.unique(exact, return_index=True)[1]):
        groups[alike[row]].append(int(row))
    return [(rows[0], rows[1]) for rows in groups.values() if len(rows) > 1]


def _draw(data: Samples, pairs: list[tuple[int, int]], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    drawn = [pairs[place] for place in np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), DRAWN)).astype(int))]
    half = len(drawn) // 2 or 1
    plain, rows = data.views(["plain"]), np.array(drawn, np.int64).reshape(-1, 2)
    sheet = {}
    for part, chosen in enumerate((rows[:half], rows[half:])):
        for side in (0, 1) if len(chosen) else ():
            batch = chosen[:, side]
            sheet[f"{part + 1}{'ab'[side]}"] = plain(torch.from_numpy(batch), *data.batch(batch))[0]
    if sheet:
        contact_sheet(sheet, data.preparation, half).save(file)


if __name__ == "__main__":
    main()
