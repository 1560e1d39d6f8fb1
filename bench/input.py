"""How fast is the input alone? Two SimCLR views of every image on one core, beside lightly's transform.

Views of 32 px from CIFAR-10, and of 224 px from photos: decoded from their JPEG files every time, and from our cache.
Contestants run in processes of their own, pinned to one core, in interleaved rounds. Writes docs/results/input.json.

    python bench/input.py [--rounds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from throughput import PHOTOS, SMALL, place

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/input.json"
SECONDS = 6.0  # measured in each round, after as long a warm-up
SIDE = {"cifar": 32, "photos": 224}
DATA = {"cifar": SMALL, "photos": PHOTOS}
BATCH = {"cifar": 256, "photos": 64}
COMPARED = {  # ours: its images and how they are held
    "views of 32 px": ("cifar", "memory"),
    "views of 224 px from JPEG": ("photos", "stream"),
    "views of 224 px from the cache": ("photos", "cache"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the two archives")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("IMAGES", "HOW"), help="one contestant, in this process")
    asked = parser.parse_args()
    if asked.measure:
        print(measure(*asked.measure, asked.data))
        return
    result = {}
    for name, (images, how) in COMPARED.items():
        rounds = [{way: in_own_process(images, way, asked.data) for way in (how, "peer")} for _ in range(asked.rounds)]
        result[name] = {
            "ours": statistics.median(one[how] for one in rounds),
            "peer": statistics.median(one["peer"] for one in rounds),
            "ratio": round(statistics.median(one[how] / one["peer"] for one in rounds), 2),
            "rounds": rounds,
        }
        print(name, json.dumps(result[name]), file=sys.stderr)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


def in_own_process(images: str, how: str, data: Path) -> float:
    """Images a second of one contestant on one core."""
    command = [sys.executable, __file__, "--data", str(data), "--measure", images, how]
    one_core = {"OMP_NUM_THREADS": "1", "SELFTAUGHT_CACHE": str(ROOT / "runs/input" / how)}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **one_core})
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def measure(images: str, how: str, data: Path) -> float:
    """Images a second, after a warm-up."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    batches = peer(images, data) if how == "peer" else ours(images, how, data)
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        next(batches)
    began, made = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        next(batches)
        made += BATCH[images]
    return round(made / (time.perf_counter() - began), 1)


def ours(images: str, how: str, data: Path) -> Iterator[Any]:
    """Two `strong` views a step, as SimCLR is given them."""
    from selftaught.data import storage
    from selftaught.data.images.samples import open_images
    from selftaught.data.images.views import Views
    from selftaught.system.allocator import keep_freed_memory
    from selftaught.training.batches import Batches

    keep_freed_memory()
    if how == "cache":
        storage.WORTH_CACHING = 0
    held = {"memory": {}, "cache": {"memory": 0}, "stream": {"memory": 0, "cache": 0}}[how]
    side = SIDE[images]
    opened = open_images(
        place({"data": DATA[images]}, data), size=(side, side), limit=DATA[images]["limit"], workers=1, **held
    )
    views = Views(("strong", "strong"), opened.preparation)
    batches = Batches(opened, views, batch_size=BATCH[images], seed=0)
    step = 0
    while True:
        yield batches(step)
        step += 1


def peer(images: str, data: Path) -> Iterator[Any]:
    """lightly's SimCLR transform in the loading process itself, which is what one worker does."""
    from lightly.transforms import SimCLRTransform

    from peer import Pictures, loader

    transform = SimCLRTransform(input_size=SIDE[images], gaussian_blur=0.0 if SIDE[images] <= 64 else 0.5)
    pictures = {**DATA[images], "archive": data / DATA[images]["archive"]}
    yield from loader(Pictures(transform=transform, **pictures), BATCH[images], workers=0)


if __name__ == "__main__":
    main()
