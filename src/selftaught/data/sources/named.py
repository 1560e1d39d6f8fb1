"""Data sets by name: of scikit-learn and torchvision."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.data.sources.arrays import Arrays
from selftaught.system.errors import DataError, UsageError

SMALL = ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST", "SVHN", "STL10")  # of torchvision's sets
PLACE = "SELFTAUGHT_DATA"  # in the environment: the folder of torchvision's sets
SQUARE = 64  # side of the squares that scikit-learn's photographs are cut into


def open_sklearn(name: str) -> Arrays:
    """The images that come with scikit-learn: its digits, and its two photographs cut into squares."""
    from sklearn import datasets

    if name == "sklearn:digits":
        digits = datasets.load_digits()
        return Arrays("digits", np.round(digits.images * 255 / 16).astype(np.uint8), digits.target)
    if name == "sklearn:photos":
        squares, labels = [], []
        for label in ("china", "flower"):
            photo = datasets.load_sample_image(f"{label}.jpg")
            rows, columns = (side // SQUARE for side in photo.shape[:2])
            cut = photo[: rows * SQUARE, : columns * SQUARE].reshape(rows, SQUARE, columns, SQUARE, 3).swapaxes(1, 2)
            squares.append(cut.reshape(-1, SQUARE, SQUARE, 3))
            labels += [label] * (rows * columns)
        return Arrays("photos", np.concatenate(squares), np.array(labels))
    raise UsageError(f"no data set {name!r}; scikit-learn's images are 'sklearn:digits' and 'sklearn:photos'")


def open_torchvision(name: str) -> Arrays:
    """A torchvision data set of small images, downloaded only if it is not there yet."""
    from torchvision import datasets

    from selftaught.system.components import hint

    name = name.removeprefix("torchvision:")
    base, _, part = name.partition("/")
    if base not in SMALL:
        raise UsageError(f"no torchvision data set {base!r}; {hint(base, SMALL)}")
    # The first is taken where none is named.
    splits = {"SVHN": ("train", "test", "extra"), "STL10": ("unlabeled", "train", "test", "train+unlabeled")}
    if part and part not in (allowed := splits.get(base, ("train", "test"))):
        raise UsageError(f"torchvision:{base} has no part {part!r}; it has {', '.join(allowed)}")
    root = Path(os.environ.get(PLACE, Path.home() / ".cache/selftaught/torchvision"))
    choice: dict[str, Any] = {"split": part or splits[base][0]} if base in splits else {"train": part != "test"}
    make = getattr(datasets, base)
    try:
        held = make(root, download=False, **choice)
    except RuntimeError:
        try:
            held = make(root, download=True, **choice)
        except Exception as error:
            place = f"{root} ({PLACE} names another folder)"
            raise DataError(f"torchvision:{name} is not in {place} and could not be downloaded: {error}") from None
    images = np.asarray(held.data)
    if images.ndim == 4 and images.shape[1] == 3:
        images = images.transpose(0, 2, 3, 1)
    labels = getattr(held, "targets", getattr(held, "labels", None))
    if base == "STL10" and labels is not None:  # whose unlabelled images are of class -1
        labels = np.where(np.asarray(labels) < 0, np.nan, labels)
    return Arrays(f"{base.lower()}{'-' + part if part else ''}", images, None if labels is None else np.asarray(labels))


OPENS = {"sklearn:": open_sklearn, "torchvision:": open_torchvision}
