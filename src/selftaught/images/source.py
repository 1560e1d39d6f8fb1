"""Where images come from: one index over a folder, an archive, an array or a named data set."""

import csv
import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import labels_of, read_arrays
from ..errors import DataError, UsageError
from ..progress import plain
from .archives import tar_members, zip_members
from .folder import NO_IMAGE, SUFFIXES, passed_over, read_regular, size_and_time, walk

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
SQUARE = 64  # side of the squares that scikit-learn's photographs are cut into


class Source(ABC):
    """Images by number, in a stable order, each with a key; labels where there are any."""

    name: str  # short, for run folders
    keys: Sequence[str]
    labels: list[str] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that tells this data from other data."""


class Files(Source):
    """Encoded images, read one at a time."""

    def __init__(
        self,
        name: str,
        keys: list[str],
        facts: Callable[[], list[tuple[int, int]]],
        read: Callable[[int], bytes],
        ignored: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`facts`: each image's size in bytes, and a number that changes with its content; `ignored`: what was passed
        over, with the reason."""
        self.name, self.keys, self._facts, self.read, self.ignored = name, keys, facts, read, ignored
        folders = [key.rsplit("/", 1)[0] if "/" in key else "" for key in keys]
        firsts = [folder.split("/")[0] for folder in folders]
        self.labels = firsts if all(firsts) else None

    def fingerprint(self) -> str:
        return self._told([(size,) for size, _ in self._facts()])

    def stamp(self) -> str:
        """A stricter hash, for what was made from this very content; a copy elsewhere may differ."""
        return self._told(self._facts())

    def _told(self, facts: Sequence[tuple[int, ...]]) -> str:
        told = hashlib.blake2b(digest_size=16)
        for key, numbers in zip(self.keys, facts):
            told.update(os.fsencode(key) + b"\0%s\n" % " ".join(map(str, numbers)).encode())
        return told.hexdigest()


class Arrays(Source):
    """Images that are already pixels: (N, H, W, C) of uint8, uint16 or float."""

    def __init__(self, name: str, images: NDArray[Any], labels: NDArray[Any] | None = None) -> None:
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4 or 0 in images.shape:
            raise DataError(f"{name} has shape {images.shape}; images are (N, H, W) or (N, H, W, C)")
        if images.dtype not in (np.uint8, np.uint16) and not np.issubdtype(images.dtype, np.floating):
            raise DataError(f"{name} holds {images.dtype}; images are uint8, uint16 or floating point")
        if images.dtype.kind == "f" and images.dtype not in (np.float16, np.float32, np.float64):
            images = images.astype(np.float32)  # of another byte order, or longer than torch knows
        self.name, self.images = name, images
        self.keys = [str(i) for i in range(len(images))]
        if labels is not None:
            self.labels = labels_of(labels, len(images), name)

    def fingerprint(self) -> str:
        told = hashlib.blake2b(f"{self.images.shape}{self.images.dtype}".encode(), digest_size=16)
        rows = np.linspace(0, len(self.images) - 1, min(len(self.images), 1024)).astype(int)
        told.update(np.ascontiguousarray(self.images[rows]).tobytes())
        return told.hexdigest()


def open_source(data: str | Path | NDArray[Any], labels: Path | None = None) -> Source:
    """The source named by DATA; `labels` is a CSV of path,label in place of folder names."""
    if isinstance(data, np.ndarray):
        source: Source = Arrays("array", data)
    elif str(data).startswith("sklearn:"):
        source = _sklearn(str(data))
    elif str(data).startswith("torchvision:"):
        source = _torchvision(str(data).removeprefix("torchvision:"))
    else:
        source = _from_path(Path(data))
    if labels is not None:
        source.labels = _labels_from_csv(labels, source)
    return source


def _from_path(path: Path) -> Source:
    shown = plain(str(path))
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        if path.name.lower().endswith(ARCHIVES):
            return _archive(path, "")
        if path.suffix in (".npy", ".npz"):
            return _arrays(path)
        raise DataError(f"{shown} is neither a folder, an archive ({', '.join(ARCHIVES)}), a .npy nor a .npz file")
    for parent in path.parents:
        if parent.is_file() and parent.name.lower().endswith(ARCHIVES):
            return _archive(parent, path.relative_to(parent).as_posix() + "/")
    raise DataError(f"{shown} does not exist")


def _folder(root: Path) -> Files:
    try:
        found = walk(os.fspath(root))
    except OSError as error:
        raise DataError(f"{plain(str(root))} cannot be read: {error.strerror}") from None
    keys = found.keys
    if not keys:
        raise DataError(_nothing_in(plain(str(root)), found.ignored))

    @cache
    def facts() -> list[tuple[int, int]]:
        # Not while indexing: names alone are what keeps 100,000 files under a second.
        return [size_and_time(os.path.join(root, key)) for key in keys]  # noqa: PTH118 - Path is ten times as slow

    return Files(root.resolve().name or "images", keys, facts, lambda i: read_regular(root / keys[i]), found.ignored)


def _nothing_in(shown: str, ignored: Sequence[tuple[str, str]]) -> str:
    others = Counter(Path(key).suffix.lower() or "no extension" for key, why in ignored if why == NO_IMAGE)
    saw = ", ".join(f"{count} {plain(suffix)}" for suffix, count in others.most_common(3)) or "no files at all"
    if not others and ignored:
        reasons = Counter(why for _, why in ignored)
        saw = "only " + ", ".join(f"{count} {why}" for why, count in reasons.most_common(3))
    hint = "; HEIC photos must be converted first" if others[".heic"] else ""
    return f"no images in {shown}: saw {saw}{hint}; images are {' '.join(SUFFIXES)}"


def _archive(path: Path, place: str) -> Files:
    """Members of a zip or tar below `place`, read in place."""
    shown = plain(str(path))
    try:
        members, unusable, read_member = zip_members(path) if path.suffix.lower() == ".zip" else tar_members(path)
    except Exception as error:  # broken archives raise many kinds, of zipfile, tarfile, zlib and struct
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{shown} cannot be read as an archive: {plain(told)}") from None
    found, ignored = [], unusable
    for name, size, stamp in members:
        if reason := passed_over(name):
            ignored.append((name, reason))
        elif name.startswith(place):
            found.append((name.removeprefix(place), size, stamp))
    below = [(name.removeprefix(place), reason) for name, reason in ignored if name.startswith(place)]
    found.sort()
    if not found:
        if place and not below:
            named = [name for name, _, _ in members if passed_over(name) in (None, NO_IMAGE)]
            tops = sorted({name.split("/")[0] for name in named if "/" in name})[:5]
            raise DataError(f"{shown} holds nothing under {place!r}; it holds {', '.join(tops) or 'no folders'}")
        raise DataError(_nothing_in(shown, below))
    keys, facts = [key for key, _, _ in found], [(size, stamp) for _, size, stamp in found]
    name = path.name.split(".")[0] + (f"-{place.strip('/').replace('/', '-')}" if place else "")
    return Files(name, keys, lambda: facts, lambda i: read_member(place + keys[i]), below)


def _arrays(path: Path) -> Arrays:
    shown = plain(path.name)
    held = read_arrays(path)
    images: list[str] = [name for name in ("x", "images") if name in held]
    images = images or [n for n, a in held.items() if a.ndim in (3, 4)]
    if len(images) != 1:
        raise DataError(f"{shown} must hold its images as 'x' or 'images'; it holds {', '.join(held) or 'nothing'}")
    labels = next((held[name] for name in ("y", "labels") if name in held), None)
    return Arrays(path.stem, held[images[0]], labels)


def _sklearn(name: str) -> Arrays:
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


def _torchvision(name: str) -> Arrays:
    """A torchvision data set of small images, downloaded only if it is not there yet."""
    from torchvision import datasets

    from ..parts import hint

    known = {
        n for n in ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST", "SVHN", "STL10") if hasattr(datasets, n)
    }
    base, _, part = name.partition("/")
    if base not in known:
        raise UsageError(f"no torchvision data set {base!r}; {hint(base, known)}")
    splits = {"SVHN": ("train", "test", "extra"), "STL10": ("train", "test", "unlabeled", "train+unlabeled")}
    if part and part not in (allowed := splits.get(base, ("train", "test"))):
        raise UsageError(f"torchvision:{base} has no part {part!r}; it has {', '.join(allowed)}")
    root = Path(os.environ.get("SELFTAUGHT_DATA", Path.home() / ".cache/selftaught/torchvision"))
    if base in ("SVHN", "STL10"):
        choice: dict[str, Any] = {"split": part or ("unlabeled" if base == "STL10" else "train")}
    else:
        choice = {"train": part != "test"}
    make = getattr(datasets, base)
    try:
        held = make(root, download=False, **choice)
    except RuntimeError:
        try:
            held = make(root, download=True, **choice)
        except Exception as error:
            raise DataError(f"torchvision:{name} is not in {root} and could not be downloaded: {error}") from None
    images = np.asarray(held.data)
    if images.ndim == 4 and images.shape[1] == 3:
        images = images.transpose(0, 2, 3, 1)
    labels = getattr(held, "targets", getattr(held, "labels", None))
    return Arrays(f"{base.lower()}{'-' + part if part else ''}", images, None if labels is None else np.asarray(labels))


def labels_by_key(labelled: str) -> dict[str, str]:
    """Labels of images by their keys, from labelled data or a CSV of path,label. Raises DataError."""
    if labelled.lower().endswith(".csv"):
        return _read_labels(Path(labelled))
    source = open_source(labelled)
    if source.labels is None:
        raise DataError(f"{source.name} has no labels")
    return dict(zip(source.keys, source.labels))


def _labels_from_csv(file: Path, source: Source) -> list[str]:
    """Labels by key from a CSV of path,label; "" for images it does not name."""
    by_key, shown = _read_labels(file), plain(str(file))
    known = set(source.keys)
    missing = [key for key in by_key if key not in known]
    if len(missing) == len(by_key):
        example = plain(source.keys[0])
        raise DataError(f"no path in {shown} names an image: its first is {missing[0]!r}, an image is {example!r}")
    if missing:
        raise DataError(f"{len(missing)} paths in {shown} name no image of the data, such as {missing[0]!r}")
    return [by_key.get(key, "") for key in source.keys]


def _read_labels(file: Path) -> dict[str, str]:
    shown = plain(str(file))
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{shown} cannot be read: {error}") from None
    if rows and [cell.strip().lower() for cell in rows[0][:2]] == ["path", "label"]:
        rows = rows[1:]
    short = next((number for number, row in enumerate(rows, 1) if len(row) < 2), None)
    if not rows or short:
        raise DataError(f"{shown} must have lines of path,label" + (f"; row {short} has not" if short else ""))
    return {row[0].strip(): row[1].strip() for row in rows}
