"""NT-Xent, forward and backward: time and extra peak memory beside lightly's NTXentLoss, 128 features.

Every measurement runs in a process of its own, in turn, with the same number of threads. Extra memory is how far the
process's peak rises over what it held before. Prints the ratios and writes docs/results/objectives.json.

    python bench/objectives.py [--sizes 2048,4096,16384] [--rounds 5]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

RESULT = Path(__file__).parent.parent / "docs/results/objectives.json"
DIM, TEMPERATURE, REPEATS = 128, 0.5, 3
LARGEST_OF_PEER = 4096  # samples: beyond it, whole matrices take gigabytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="2048,4096,16384", help="samples N; there are 2N views")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one[0], int(asked.one[1]))))
        return
    results: dict[str, Any] = {}
    for size in map(int, asked.sizes.split(",")):
        sides = ["ours", *(["peer"] if size <= LARGEST_OF_PEER else [])]
        found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for _ in range(asked.rounds):
            for side in sides:
                command = [sys.executable, __file__, "--one", side, str(size)]
                found[side].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        row = {
            side: {key: round(statistics.median(r[key] for r in rounds), 4) for key in rounds[0]}
            for side, rounds in found.items()
        }
        if "peer" in row:
            row["times faster"] = round(row["peer"]["seconds"] / row["ours"]["seconds"], 2)  # type: ignore[assignment]
            row["times less memory"] = round(row["peer"]["megabytes"] / row["ours"]["megabytes"], 1)  # type: ignore[assignment]
        results[str(size)] = row
        print(size, json.dumps(row), flush=True)
    RESULT.write_text(json.dumps(results, indent=2) + "\n")


def measured(side: str, size: int) -> dict[str, float]:
    """Seconds (best of a few) and extra megabytes of one forward and backward pass."""
    if side == "ours":
        from selftaught.methods.objectives.contrastive import nt_xent

        def loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return nt_xent(a, b, TEMPERATURE)
    else:
        from lightly.loss import NTXentLoss

        loss = NTXentLoss(TEMPERATURE)
    draws = torch.Generator().manual_seed(0)
    small = [torch.randn(64, DIM, generator=draws, requires_grad=True) for _ in range(2)]
    loss(*small).backward()  # whatever is set up once
    a, b = (torch.randn(size, DIM, generator=draws, requires_grad=True) for _ in range(2))
    before = held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    seconds = []
    for turn in range(REPEATS):
        a.grad = b.grad = None
        began = time.perf_counter()
        loss(a, b).backward()
        seconds.append(time.perf_counter() - began)
        if not turn:
            extra = held("VmHWM") - before
    return {"seconds": min(seconds), "megabytes": extra}


def held(field: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
