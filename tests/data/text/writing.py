"""Made-up sentences of two kinds, for tests."""

import json
from pathlib import Path

import numpy as np

ABOUT = {
    "cat": "the cat sat on the mat and looked at a small grey mouse under my table",
    "ship": "our ship sailed over cold water while wind and rain broke its old mast",
}


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """A label and a text each, the labels by turns."""
    rng = np.random.default_rng(seed)
    names = [name for _, name in zip(range(count), [*ABOUT] * count)]
    return [(name, " ".join(rng.choice(ABOUT[name].split(), rng.integers(5, 16)))) for name in names]


def lines(folder: Path, count: int = 48, seed: int = 0) -> Path:
    """A file of JSON lines, each with a text and its label."""
    file = folder / f"sentences-{count}-{seed}.jsonl"
    rows = ({"text": text, "label": label} for label, text in sentences(count, seed))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
