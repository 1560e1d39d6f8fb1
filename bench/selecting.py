"""Do labels that `select` chose teach more than labels drawn at random? On digits, and on CIFAR-10.

SimCLR learns from the unlabelled pool; of a part of it, drawn anew in each of ten repeats, each strategy chooses 10,
50 and 100 samples, which are labelled; a linear probe learns from them on the frozen features and is judged on test
samples that nothing was chosen by. Random choice has the same part, so a gain is of pairs, and its 95 % interval is
Student's over the repeats: it has the luck of the draws and of the clusters, not that of training. Writes
docs/results/selecting.json and .md.

    python bench/selecting.py --sets digits
    python bench/selecting.py --sets cifar10 --data ../shared/data/cifar10.zip
"""

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.datasets import load_digits

from runs import made
from selftaught.commands.python import Run
from selftaught.contracts import modality
from selftaught.judging.choosing import strategy
from selftaught.judging.choosing.pool import Pool, look_alike
from selftaught.judging.choosing.strategy import Wanted
from selftaught.judging.featured import featured
from selftaught.judging.probes.linear import linear_predict
from selftaught.judging.shown import OWN, Shown

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/selecting.json"
REPEATS, COUNTS, CLASSES = 10, (10, 50, 100), 10
SHARE = {"digits": 0.9, "cifar10": 0.5}  # of the pool, in each repeat
ANEW = ("typiclust",)  # strategies whose first ten of a hundred are not those of ten
BY = ("typiclust", "probcover", "coreset", "random")
TESTED = 500  # digits
IMAGES = 10_000  # of CIFAR-10, as in bench/learns.py
TOLD: dict[str, dict[str, Any]] = {
    "digits": {
        "method": "simclr", "steps": 600, "batch_size": 128,
        "encoder": {"name": "test_resnet", "options": {"stem": "small"}},
    },
    "cifar10": {
        "method": "simclr", "steps": 390, "batch_size": 128, "limit": IMAGES, "memory": 8 << 30,
        "encoder": {"name": "resnet10t", "options": {"stem": "timm"}},
    },
}  # fmt: skip

Array = NDArray[Any]
Rows = NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="digits")
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="CIFAR-10, with train/ and test/")
    parser.add_argument("--runs", type=Path, default=Path("runs/selecting"))
    asked = parser.parse_args()
    held: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name in asked.sets.split(","):
        held[name] = judged(SHARE[name], *learnt(name, asked.runs, asked.data)) | {"told": TOLD[name]}
        RESULT.write_text(json.dumps(held, indent=2) + "\n")
        RESULT.with_suffix(".md").write_text(markdown(held))
    print(markdown(held))


def learnt(name: str, runs: Path, data: str) -> tuple[Array, Rows, Array, Rows]:
    """Features and labels of the pool, and of the test samples."""
    if name == "digits":
        wrote_digits(runs)
        pool, test = (str(runs / f"{part}.npz") for part in ("pool", "test"))
    else:
        pool, test = f"{data}/train", f"{data}/test"
    run = made(runs / name, pool, map=0, **TOLD[name])
    limit = TOLD[name].get("limit")
    return *seen(run, pool, limit), *seen(run, test, limit)


def wrote_digits(runs: Path) -> None:
    """A pool of digits to learn and choose from, and others to be judged by."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    runs.mkdir(parents=True, exist_ok=True)
    for part, rows in (("test", order[:TESTED]), ("pool", order[TESTED:])):
        images = (x[rows].reshape(-1, 8, 8) * 15).astype(np.uint8)
        np.savez(runs / f"{part}.npz", x=images, y=y[rows])


def seen(run: Run, data: str, limit: int | None) -> tuple[Array, Rows]:
    """Features (N, D), of length one, and labels (N,) of the samples."""
    encoder = run.encoder()
    kind = modality.named(encoder.preparation.modality)
    samples = kind.open_samples(data, like=encoder.preparation, labelled=True, limit=limit, memory=8 << 30)
    _, labels = np.unique(samples.labels or [], return_inverse=True)
    return featured(encoder, samples).features, labels.astype(np.int64)


def judged(share: float, pool: Array, truth: Rows, test: Array, tested: Rows) -> dict[str, Any]:
    """Accuracies of each strategy by count, one a repeat, and their gains over chance."""
    found: dict[str, dict[int, list[float]]] = {by: {count: [] for count in COUNTS} for by in BY}
    near = look_alike(pool)
    for repeat in range(REPEATS):
        rows = np.random.default_rng(repeat).permutation(len(pool))[: round(share * len(pool))]
        for by in BY:
            picked: list[int] = []
            for count in sorted(COUNTS, reverse=True):
                if not picked or by in ANEW:
                    picked = chosen(by, pool[rows], count, near, repeat)
                labelled = rows[picked[:count]]
                found[by][count].append(accuracy(pool[labelled], truth[labelled], test, tested))
        print(repeat, {by: [own[count][-1] for count in COUNTS] for by, own in found.items()}, flush=True)
    strategies = {
        by: {str(count): {"accuracy": own[count], "gain": gain(own[count], found["random"][count])} for count in COUNTS}
        for by, own in found.items()
    }
    return {"pool": len(pool), "share": share, "test": len(test), "repeats": REPEATS, "strategies": strategies}


def chosen(by: str, features: Array, count: int, near: float, seed: int) -> list[int]:
    """Rows, the most wanted first."""
    pool, wanted = Pool(features, near=near), Wanted(count=count, classes=CLASSES, seed=seed)
    return [pick.row for pick in islice(strategy.named(by).choose(pool, wanted), count)]


def accuracy(features: Array, labels: Rows, test: Array, tested: Rows) -> float:
    """Of a linear probe that learns from some labels; of classes without any it can say nothing."""
    part = np.arange(len(features))
    shown = Shown({OWN: np.concatenate([features, test])}, part)
    said, _, _ = linear_predict(shown, labels, part, len(features) + np.arange(len(test)), 0)
    return round(float((said == tested).mean()), 4)


def gain(own: list[float], chance: list[float]) -> dict[str, float]:
    """The mean difference from chance, with its interval."""
    apart = np.array(own) - np.array(chance)
    half = float(t.ppf(0.975, len(apart) - 1)) * float(apart.std(ddof=1)) / len(apart) ** 0.5
    mean = float(apart.mean())
    return {"mean": round(mean, 4), "low": round(mean - half, 4), "high": round(mean + half, 4)}


def markdown(held: dict[str, Any]) -> str:
    """The tables, and what they say."""
    lines = ["# Do chosen labels teach more than labels drawn at random?", "", about(), ""]
    for name, one in held.items():
        samples = one["told"]["steps"] * one["told"]["batch_size"]
        lines += [
            f"## {name}",
            "",
            f"{one['pool']:,} samples, of which {100 * one['share']:.0f} % to choose from, and {one['test']:,} to be "
            f"judged by; SimCLR on {one['told']['encoder']['name']}, which has seen {samples:,} samples and no label.",
            "",
            "| labels | by chance | " + " | ".join(f"{by}: gain" for by in BY if by != "random") + " |",
            "|--:|--:|" + "--:|" * (len(BY) - 1),
        ]
        for count in map(str, COUNTS):
            chance = 100 * np.mean(one["strategies"]["random"][count]["accuracy"])
            cells = [shown(one["strategies"][by][count]["gain"]) for by in BY if by != "random"]
            lines.append(f"| {count} | {chance:.1f} | {' | '.join(cells)} |")
        lines += [""]
    return "\n".join(lines)


def about() -> str:
    return (
        "Accuracy of a linear probe in per cent, and gains over random choice in points, with 95 % intervals of the "
        f"paired difference over {REPEATS} repeats; **bold** where that is beyond luck, for better or worse. In each "
        "repeat all choose from the same part of the pool. A class of which no sample was chosen cannot be said, "
        "so at 10 labels of 10 classes much is a matter of meeting all of them. One run each. Made by "
        "`bench/selecting.py`."
    )


def shown(found: dict[str, float]) -> str:
    """A gain in points, with its interval."""
    mean, low, high = (100 * found[end] for end in ("mean", "low", "high"))
    text = f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"**{text}**" if low > 0 or high < 0 else text


if __name__ == "__main__":
    main()
