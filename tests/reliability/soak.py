"""Long trials of what may go wrong: kills, faults, full disks, bad input, meddling hands; what was lost?

Every trial is one line of JSON in the log, so a soak that was cut goes on where it was; the summary counts the lines.
This process imports torch and never computes: each trial is a fork of it, which costs little.

    python -m tests.reliability.soak [--kills 200] [--run-faults 66] [--full-disks 8] [--inputs 10000] [--meddled 120]
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tests.reliability.kills import kill
from tests.reliability.trials import Trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--run-faults", type=int, default=66, help="points of a whole run that are struck, of all")
    parser.add_argument("--full-disks", type=int, default=8)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--meddled", type=int, default=120, help="runs that somebody meddles with")
    parser.add_argument("--out", type=Path, default=Path("docs/results/soak.json"), help="the summary")
    parser.add_argument(
        "--log", type=Path, default=Path("runs/soak.jsonl"), help="a line a trial; a later soak goes on with it"
    )
    parser.add_argument("--folder", type=Path, help="where runs are written; default: in memory where there is room")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.folder or _roomy(), prefix="soak-") as folder:
        trials = Trials(asked.log, Path(folder))
        trials.meddled(asked.meddled)
        os.environ["SELFTAUGHT_CACHE"] = f"{folder}/cache"
        trials.inputs(asked.inputs)
        trials.save_faults()
        trials.run_faults(asked.run_faults)
        trials.full_disks(asked.full_disks)
        kill(trials, asked.kills)
    summary = summed(trials.lines)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary, indent=2))
    sys.exit(bool(summary["failures"]))


def _roomy() -> str | None:
    """Memory, whose flushes are free, where it has room for a few runs."""
    place = "/dev/shm"
    return place if os.access(place, os.W_OK) and shutil.disk_usage(place).free > 4 << 30 else None


def summed(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What the trials come to."""
    of = {kind: [line for line in lines if line["kind"] == kind] for kind in {line["kind"] for line in lines}}
    kills, runs, inputs = of.get("kill", []), of.get("killed run", []), of.get("inputs", [])
    failures = [f"{line['kind']}: {told}" for line in lines for told in line.get("failures", [])]
    struck, meddled = of.get("run fault", []), of.get("meddled", [])
    return {
        "kills": len(kills),
        "kills_while_a_checkpoint_was_written": sum(line["inside"] for line in kills),
        "methods_killed": len({line["method"] for line in kills}),
        "killed_runs_that_ended_bit_for_bit": sum(not line["failures"] and not line["lost"] for line in runs),
        "killed_runs": len(runs),
        "faults_in_saves": sum(line["survived"] for line in of.get("save faults", [])),
        "faults_in_runs": len(struck),
        "full_disks": len(of.get("full disk", [])),
        "bad_inputs": sum(line["tried"] for line in inputs),
        "bad_inputs_refused": sum(line["refused"] for line in inputs),
        "runs_meddled_with": len(meddled),
        "while_they_went_on": sum(line["live"] for line in meddled),
        "meddlings": dict(sorted(Counter(name for line in meddled for name in line["meddlings"]).items())),
        "commands_after": dict(sorted(Counter(code for line in meddled for code in line["codes"]).items())),
        "things_of_others_compared": sum(line["compared"] for line in meddled),
        "bytes_lost": sum(line.get("lost", 0) for line in lines),
        "failures": failures,
    }


if __name__ == "__main__":
    main()
