"""Does time a sample, or memory, grow with the data? The same steps on 1,000, 10,000 and 50,000 images.

Each run is a process of its own, in interleaved rounds; the light network makes the input a large share of a step.
The last row keeps 50,000 images past its memory budget, in the cache. Writes docs/results/growth.json.

    python bench/growth.py [--rounds 3]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/growth.json"
STEPS, WARM_UP = 60, 20
CASES = {
    "1,000": (1_000, "2GB"),
    "10,000": (10_000, "2GB"),
    "50,000": (50_000, "2GB"),
    "50,000, cached": (50_000, "20MB"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip/train")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", metavar="CASE", help="one case, in this process")
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.data, *CASES[asked.measure])))
        return
    rounds = []
    for _ in range(asked.rounds):
        rounds.append({case: in_own_process(case, asked.data) for case in CASES})
        print(json.dumps(rounds[-1]), file=sys.stderr)
    first = next(iter(CASES))
    result = {
        case: {
            "microseconds_a_sample": statistics.median(one[case]["microseconds_a_sample"] for one in rounds),
            "against_1,000": round(
                statistics.median(
                    one[case]["microseconds_a_sample"] / one[first]["microseconds_a_sample"] for one in rounds
                ),
                3,
            ),
            "peak_MB": max(one[case]["peak_MB"] for one in rounds),
            "images_MB": round(CASES[case][0] * 3072 / 1e6),
            "memory": CASES[case][1],
        }
        for case in CASES
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


def in_own_process(case: str, data: str) -> dict[str, float]:
    """Time and memory of one case."""
    command = [sys.executable, __file__, "--data", data, "--measure", case]
    own = {"SELFTAUGHT_CACHE": str(ROOT / "runs/growth")}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **own})
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(data: str, images: int, memory: str) -> dict[str, float]:
    """Microseconds a sample once warm, and the process's peak memory."""
    import selftaught

    chosen: dict[str, Any] = {"method": "simclr", "encoder": "test_resnet", "batch_size": 128, "steps": STEPS}
    with tempfile.TemporaryDirectory() as folder:
        run = selftaught.pretrain(
            data,
            limit=images,
            memory=memory,
            log_every=10,
            precision="32-true",
            layout="contiguous",
            out=f"{folder}/run",
            **chosen,
        )
        marks = {line["step"]: line["seconds"] for line in run.metrics()}
    taken = (marks[STEPS] - marks[WARM_UP]) / ((STEPS - WARM_UP) * 128)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"microseconds_a_sample": round(1e6 * taken, 1), "peak_MB": round(peak)}


if __name__ == "__main__":
    main()
