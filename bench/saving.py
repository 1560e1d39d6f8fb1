"""How long training stands still for a save, and how long that save takes to be written: a ResNet-50 with AdamW.

python bench/saving.py [FOLDER]: runs a few steps of `rotation` in FOLDER, or where temporary files are.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import selftaught
from selftaught.run import checkpoint
from selftaught.training.keeping import Keeping

STEPS, EVERY = 12, 3
HOW = {"method": "rotation", "encoder": "resnet50", "size": 32, "limit": 64, "batch_size": 8, "map": 0}
HOW |= {"precision": "32-true", "layout": "contiguous", "training": {"optimizer": "adamw"}}


def timed(work: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """The same work, of which each call adds how long it took."""

    def call(*given: Any, **how: Any) -> Any:
        began = perf_counter()
        try:
            return work(*given, **how)
        finally:
            seconds.append(perf_counter() - began)

    return call


def main(folder: str | None = None) -> None:
    still: list[float] = []
    written: list[float] = []
    Keeping.attempt = timed(Keeping.attempt, still)  # type: ignore[method-assign]
    checkpoint.save = timed(checkpoint.save, written)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        run = selftaught.pretrain("sklearn:digits", steps=STEPS, checkpoint_every=str(EVERY), out=f"{place}/run", **HOW)
        last = checkpoint.steps(run.checkpoints)[-1]
        sizes = {file.name: file.stat().st_size / 1e6 for file in Path(last).iterdir()}
    print(", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items() if size >= 1))
    print(f"training stood still for {median(still):.2f} s a save ({', '.join(f'{s:.2f}' for s in still)})")
    print(f"a checkpoint took {median(written):.2f} s to be written ({', '.join(f'{s:.2f}' for s in written)})")


if __name__ == "__main__":
    main(*sys.argv[1:])
