"""The demo: two encoders taught from handwritten digits without labels, judged with a few, shown on a page."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from selftaught.commands.python import pretrain
from selftaught.contracts import modality
from selftaught.judging.printed import table
from selftaught.reporting.run_page import write_report
from selftaught.run.layout import PAGE
from selftaught.run.recipes import Demo
from selftaught.system.files import replacing
from selftaught.system.interruption import poll
from selftaught.system.ownership import begin_alone
from selftaught.system.printing import printer
from selftaught.system.saying import is_quiet, say

LABELS = "1,5,20"  # per class
FILES = ("digits-train.npz", "digits-test.npz")
SMALL = {"encoder": "resnet10t", "epochs": 25}
# Digits have a right way round and fill their frame: no mirroring, and no crops that lose most of one.
ARMS: dict[str, dict[str, Any]] = {
    "simclr": {"views": {"strong": {"crop": [0.5, 1.0], "flip": 0.0}}, **SMALL},
    "inpainting": {"views": {"light": {"crop": [0.6, 1.0], "flip": 0.0}}, **SMALL},
}


def demo(recipe: Demo) -> dict[str, Any]:
    """Run the main job on scikit-learn's 1,797 digits; {page, runs: [{run, verdict, rows}]}."""
    out = Path(recipe.out)
    begin_alone(out, "demo", (*FILES, PAGE, *ARMS))
    train, test = split_digits(out)
    judged = []
    for method, choices in ARMS.items():
        poll()
        say(f"\n{method}: pre-training on {train} without its labels")
        where: dict[str, Any] = {"out": str(out / method), "overwrite": True}
        run = pretrain(str(train), method=method, batch_size=128, checkpoint_every="10m", **where, **choices)
        evaluation = run.evaluate(train, test, probe="linear", labels=LABELS, repeats=5)
        if not is_quiet():
            printer(stderr=True).print(table(evaluation))
        say(evaluation.verdict)
        judged.append({"run": str(run.folder), **evaluation.model_dump(mode="json", include={"verdict", "rows"})})
    folders = [out / method for method in ARMS]
    labels = modality.of(train).labels_by_key(str(train))  # the page colours its maps by them
    page = write_report(folders, out / PAGE, title="selftaught demo: digits", labels=labels)
    say(f"\nthe page: {page}")
    return {"page": str(page), "runs": judged}


def split_digits(out: Path) -> tuple[Path, Path]:
    """80 % of the digits to learn from and 20 % to judge on, each class in proportion, by a fixed seed."""
    digits = load_digits()
    halves = train_test_split(digits.images, digits.target, test_size=0.2, random_state=0, stratify=digits.target)
    images, labels = (halves[0], halves[1]), (halves[2], halves[3])
    files = (out / FILES[0], out / FILES[1])
    for file, x, y in zip(files, images, labels):
        with replacing(file) as temporary:
            np.savez(temporary, x=np.round(x * 255 / 16).astype(np.uint8), y=y)
    return files
