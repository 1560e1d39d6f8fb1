"""The whole way, typed as somebody would who has 2,000 photos and no label: how long it takes, and what comes of it.

2,000 of CIFAR-10's training images lie in a folder under names that say nothing; 2,000 of its test images, in folders
by class, judge at the end and are seen by nobody before. Whoever labels answers as CIFAR-10 does, by what the page
sends. The public weights to start from are those of bench/warm.py. Every command is a process of its own, so its time
is what somebody waits. Nothing else should keep the machine busy. Writes docs/results/journey.json and .md.

    python bench/journey.py [--cifar10 cifar10.zip] [--minutes 10] [--labels 100] [--more 50] [--side 64]
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runs import cpu_cores, machine
from selftaught import Run
from warm import public_weights

RESULT = Path(__file__).parent.parent / "docs/results/journey.json"
PHOTOS = 2000
ASKED, LIKE = 10, 20  # photos that others like them are sought of, and how many
SURE = 0.9  # the least probability of what a classifier is called sure of


@dataclass
class Journey:
    """What was typed, how long it took, and what it gave."""

    place: Path
    seconds: dict[str, float] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)

    def go(self, step: str, *words: str) -> Any:
        """Carry out a command; what its --json says."""
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "selftaught", *words, "--json"], cwd=self.place, stdout=subprocess.PIPE, check=True
        )
        self._note(step, words, began)
        return json.loads(done.stdout)

    def label(self, step: str, truth: dict[str, str], wanted: int, *words: str) -> int:
        """Answer on the page until so many have a label; how many there are then."""
        began = time.perf_counter()
        command = [sys.executable, "-m", "selftaught", "label", *words, "--json"]
        with subprocess.Popen(command, cwd=self.place, stdout=subprocess.PIPE, text=True) as serving:
            assert serving.stdout
            told = ""
            while not told.rstrip().endswith("}"):
                told += serving.stdout.readline()
            page = Page(json.loads(told)["url"])
            state = page.ask("state")
            while state["labelled"] < wanted:
                asked = state["asked"]
                state = page.ask("answer", {"rows": [asked["row"]], "label": truth[asked["name"]]})
            page.ask("end", {})
        self._note(step, ("label", *words), began)
        return int(state["labelled"])

    def _note(self, step: str, words: tuple[str, ...], began: float) -> None:
        self.seconds[step] = round(time.perf_counter() - began, 1)
        self.typed[step] = " ".join(["selftaught", *words])


class Page:
    """What the browser would send."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, said: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Origin": self.address.rstrip("/")}
        body = None if said is None else json.dumps(said).encode()
        with urllib.request.urlopen(urllib.request.Request(self.address + path, body, headers)) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cifar10", type=Path, default=Path("../shared/data/cifar10.zip"), help="archive with train/ and test/"
    )
    parser.add_argument("--minutes", type=float, default=10, help="of pre-training")
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--more", type=int, default=50, help="labels that are asked for once there is a classifier")
    parser.add_argument("--side", type=int, help="pixels that photos are brought to; else what the weights are used to")
    parser.add_argument("--place", type=Path, default=Path("runs/journey"), help="a folder, which is made anew")
    asked = parser.parse_args()
    shutil.rmtree(asked.place, ignore_errors=True)
    asked.place.mkdir(parents=True)
    truth = unpacked(asked.cifar10, asked.place)
    public_weights(asked.place / "public")
    held = {"minutes": asked.minutes, **travelled(asked, truth), **machine()}
    RESULT.write_text(json.dumps(held, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(markdown(held))
    print(markdown(held))


def unpacked(archive: Path, place: Path) -> dict[str, str]:
    """The two folders; the class of each photo by its name."""
    rng, truth = np.random.default_rng(0), {}
    with zipfile.ZipFile(archive) as stored:
        names = sorted(name for name in stored.namelist() if not name.endswith("/"))
        for part, folder in (("train/", "photos"), ("test/", "unseen")):
            those = [name for name in names if name.startswith(part)]
            for number, name in enumerate(rng.permutation(those)[:PHOTOS].tolist()):
                kind, file = name.split("/")[-2], f"{number:04d}{Path(name).suffix}"
                target = place / folder / (file if folder == "photos" else f"{kind}/{file}")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(stored.read(name))
                if folder == "photos":
                    truth[file] = kind
    return truth


def travelled(asked: argparse.Namespace, truth: dict[str, str]) -> dict[str, Any]:
    """All of the way."""
    way, labels, classes = Journey(asked.place), asked.place / "labels.csv", ",".join(sorted({*truth.values()}))
    found: dict[str, Any] = {}
    way.go("look at the photos", "check", "photos")
    size = (*(("--size", str(asked.side)) if asked.side else ()), "--budget", f"{asked.minutes:g}m")
    found["steps"] = way.go("teach", "pretrain", "photos", "--init", "public", *size, "--out", "run")["steps"]
    found["side"] = Run.open(asked.place / "run").encoder().preparation.size[0]
    way.go("choose", "select", "run", "photos", "--count", str(asked.labels), "--out", "to_label.csv")
    by_page = ("photos", "--classes", classes, "--out", labels.name)
    found["labels"] = way.label("label", truth, asked.labels, "run", *by_page)
    judged = ("--labels", labels.name, "--test", "unseen")
    found["accuracy"] = way.go("classifier", "finetune", "run", "photos", *judged, "--out", "first")["test"]["accuracy"]
    found["more"] = way.label("label more", truth, asked.labels + asked.more, "first", *by_page)
    found["better"] = way.go("classifier again", "finetune", "run", "photos", *judged, "--out", "second")["test"][
        "accuracy"
    ]
    way.go("sort the rest", "predict", "second", "photos", "--sort", "confidence", "--out", "sorted.csv")
    found |= sorted_right(asked.place / "sorted.csv", labels, truth)
    counts = way.go("what is odd", "odd", "run", "photos", "--out", "odd.csv")["counts"]
    found["odd"] = {name: counts[name] for name in ("outlier", "alike")}
    right = []
    for number in range(ASKED):
        step = "find more like one" if number == 0 else "find again"
        like = way.go(step, "find", "run", "photos", "--like", f"{number:04d}.jpg", "--count", str(LIKE))["found"]
        right += [truth[one["path"]] == truth[one["like"]] for one in like]
    found["alike_right"] = float(np.mean(right))
    found |= compared(way, labels, truth, asked)
    way.seconds.pop("find again", None)
    return {**found, "seconds": way.seconds, "typed": way.typed}


def sorted_right(said: Path, labels: Path, truth: dict[str, str]) -> dict[str, Any]:
    """Of the photos without a label, how many are sorted right, and of how many that is sure; of the others the
    classifier has learnt."""
    with labels.open(newline="") as stream:
        learnt = {row["path"] for row in csv.DictReader(stream)}
    with said.open(newline="") as stream:
        rest = [row for row in csv.DictReader(stream) if row["path"] not in learnt]
    right = [row["predicted"] == truth[row["path"]] for row in rest]
    sure = [one for one, row in zip(right, rest, strict=True) if float(row["probability"]) >= SURE]
    found = {"unlabelled": len(rest), "rest": float(np.mean(right)), "sure": len(sure)}
    return {**found, "sure_right": float(np.mean(sure)) if sure else None}


def compared(way: Journey, labels: Path, truth: dict[str, str], asked: argparse.Namespace) -> dict[str, Any]:
    """What the same would have come to with labels by chance, and with the public weights as they are, at this size
    (`initial`) and at their own."""
    names, kinds, chance, rng = sorted(truth), {*truth.values()}, list[str](), np.random.default_rng(1)
    while {truth[name] for name in chance} < kinds:  # of a class without any label nothing could be learnt
        chance = rng.permutation(names)[: asked.labels].tolist()
    lines = [["path", "label"], *([name, truth[name]] for name in chance)]
    for name, rows in (("chance.csv", lines), ("first.csv", list(csv.reader(labels.open()))[: asked.labels + 1])):
        with (asked.place / name).open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)
    by_chance = ("--labels", "chance.csv", "--test", "unseen", "--out", "chance")
    accuracy = way.go("by chance", "finetune", "run", "photos", *by_chance)["test"]["accuracy"]
    beside = ("--pretrained", "public", "--probe", "knn,linear", "--labels", "100%")
    judged = way.go(
        "judge", "evaluate", "run", "--train", "photos", "--train-labels", "first.csv", "--test", "unseen", *beside
    )
    for step in ("by chance", "judge"):
        way.seconds.pop(step), way.typed.pop(step)
    kept = [{key: row[key] for key in ("probe", "features", "accuracy", "low", "high")} for row in judged["rows"]]
    return {"by_chance": accuracy, "judged": kept, "verdict": judged["verdict"]}


def markdown(held: dict[str, Any]) -> str:
    """What was typed with its time, and what came of it."""
    lines = ["# From 2,000 photos to a classifier", "", __doc__.partition("\n\n")[2].partition("\n\n")[0], ""]
    lines += ["| | typed | seconds |", "|---|---|--:|"]
    lines += [f"| {step} | `{held['typed'][step]}` | {held['seconds'][step]:,.0f} |" for step in held["seconds"]]
    points = {key: f"{100 * held[key]:.1f} %" for key in ("accuracy", "better", "by_chance", "rest", "alike_right")}
    sure = f"{100 * held['sure_right']:.1f} %" if held["sure_right"] is not None else "none"
    rest = (
        f"Of the {held['unlabelled']:,} photos without a label {points['rest']} are sorted right, and of the "
        f"{held['sure']:,} of which it is at least {100 * SURE:g} % sure, {sure}. "
        if "unlabelled" in held  # which earlier rows lack, whose numbers are of photos that were learnt from as well
        else ""
    )
    lines += [
        "",
        f"Of {PHOTOS:,} unseen photos the first classifier, of {held['labels']} labels, says {points['accuracy']} "
        f"right, the second, of {held['more']}, {points['better']}; with {held['labels']} labels by chance in place of "
        f"those that were chosen it is {points['by_chance']}. {rest}Of the {LIKE} photos most like "
        f"one, {points['alike_right']} show the same kind of thing. {held['odd']['outlier']} are outliers, "
        f"{held['odd']['alike']} look like another.",
        "",
        f"Did pre-training help? {held['verdict']}. The public weights as they were are `initial` at the "
        f"{held['side']} px of the run, and `pretrained` at their own size.",
        "",
        "| probe | features | accuracy |",
        "|---|---|--:|",
    ]
    for row in held["judged"]:
        half = 100 * (row["high"] - row["low"]) / 2
        lines.append(f"| {row['probe']} | {row['features']} | {100 * row['accuracy']:.1f} ± {half:.1f} |")
    return "\n".join([*lines, "", f"On {cpu_cores(held['cores'])} of {held['processor']}.", ""])


if __name__ == "__main__":
    main()
