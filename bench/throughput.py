"""Is it faster than the peer, and how close to the bare step? Samples a second of whole training loops, side by side.

Each case is run by contestants in turn, each in a process of its own, in interleaved rounds: `ours` is
selftaught.pretrain as a user calls it, `peer` is lightly's documented loop (float32), `bare` is our network's
forward, backward and optimiser on one batch that never changes, with the settings that `ours` chose. Ratios are
medians over rounds. Writes docs/results/throughput.json.

    python bench/throughput.py [--cases simclr-resnet18-32,...] [--rounds 3] [--compile]
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/throughput.json"
WARM_UP, MEASURED = 2, 6  # steps
USUAL = 100_000  # steps of the run whose settings are measured: one as short as these is not worth it
SMALL = {"archive": "cifar10.zip", "place": "train/", "limit": 10_000}
PHOTOS = {"archive": "photos250.zip", "place": "", "limit": 250}
MAE_DECODER = {"decoder_width": 512, "decoder_depth": 1, "decoder_heads": 16}  # as in lightly's example
CASES: dict[str, dict[str, Any]] = {
    "simclr-resnet18-32": {"method": "simclr", "encoder": "resnet18", "size": 32, "batch": 256, "data": SMALL},
    "simclr-resnet18-128": {"method": "simclr", "encoder": "resnet18", "size": 128, "batch": 128, "data": PHOTOS},
    "simclr-vit_tiny-224": {
        "method": "simclr",
        "encoder": "vit_tiny_patch16_224",
        "size": 224,
        "batch": 64,
        "data": PHOTOS,
    },
    "byol-resnet18-32": {"method": "byol", "encoder": "resnet18", "size": 32, "batch": 256, "data": SMALL},
    "mae-vit_tiny-32": {
        "method": "mae",
        "encoder": "vit_tiny_patch16_224",
        "size": 32,
        "batch": 256,
        "data": SMALL,
        "options": MAE_DECODER,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the two archives")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="let ours compile its network")
    parser.add_argument("--measure", nargs=2, metavar=("CASE", "CONTESTANT"), help="one contestant, in this process")
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(CONTESTANTS[asked.measure[1]](CASES[asked.measure[0]], asked.data, asked.compile)))
        return
    for name in asked.cases.split(","):
        rounds = [
            {who: in_own_process(name, who, asked.data, asked.compile) for who in CONTESTANTS}
            for _ in range(asked.rounds)
        ]
        record(name + ("-compiled" if asked.compile else ""), rounds)
    print(RESULT.read_text())


def in_own_process(case: str, contestant: str, data: Path, compiled: bool) -> dict[str, Any]:
    """One contestant's measurement."""
    command = [sys.executable, __file__, "--data", str(data), "--measure", case, contestant]
    done = subprocess.run(command + ["--compile"] * compiled, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    rate = CASES[case]["batch"] / found["seconds"]
    print(f"{case:<22} {contestant:<5} {rate:8.1f} samples/s  {found.get('settings', '')}", file=sys.stderr)
    return {**found, "samples_per_second": round(rate, 2)}


def record(case: str, rounds: list[dict[str, Any]]) -> None:
    """Write a case's medians and ratios, beside those of other cases."""
    rates = {who: [one[who]["samples_per_second"] for one in rounds] for who in CONTESTANTS}
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    known[case] = {
        "samples_per_second": {who: statistics.median(found) for who, found in rates.items()},
        "over_peer": round(statistics.median(a / b for a, b in zip(rates["ours"], rates["peer"])), 2),
        "over_bare": round(statistics.median(a / b for a, b in zip(rates["ours"], rates["bare"])), 3),
        "rounds": rates,
        **{key: rounds[0]["ours"][key] for key in ("settings", "first_step_seconds")},
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    RESULT.write_text(json.dumps(known, indent=2) + "\n")


def place(case: dict[str, Any], data: Path) -> str:
    """The case's images as selftaught names them."""
    return f"{data / case['data']['archive']}/{case['data']['place']}".rstrip("/")


def recipe(case: dict[str, Any], data: Path, compiled: bool, out: str) -> dict[str, Any]:
    """The case's recipe, computed the way that was the fastest for a long run of it."""
    from selftaught.run.recipes import Pretrain
    from selftaught.system.interruption import Stop
    from selftaught.training.measuring.trial import Trial
    from selftaught.training.planning import planned
    from selftaught.training.resolve import open_data

    asked = {
        "data": place(case, data),
        "method": {"name": case["method"], "options": case.get("options", {})},
        "encoder": {"name": case["encoder"], "options": {"patch": 4} if case["method"] == "mae" else {}},
        "limit": case["data"]["limit"],
        "size": case["size"],
        "batch_size": case["batch"],
        "steps": USUAL,
        "compile": compiled,
        "log_every": 1,
        "out": out,
    }
    long, stop = Pretrain.parse(asked), Stop()
    way = planned(long, Trial(open_data(long, stop), stop))[0].way
    return asked | way._asdict() | {"steps": WARM_UP + MEASURED}


def ours(case: dict[str, Any], data: Path, compiled: bool) -> dict[str, Any]:
    """selftaught.pretrain, timed by its own log."""
    import selftaught

    with tempfile.TemporaryDirectory() as folder:
        run = selftaught.pretrain(**recipe(case, data, compiled, f"{folder}/run"))
        marks = [line["seconds"] for line in run.metrics()]
        settings = f"{run.recipe.precision} {run.recipe.layout} {run.recipe.attention}"
    steps = [after - before for before, after in itertools.pairwise(marks)]
    seconds = statistics.median(steps[WARM_UP - 1 :])
    return {"seconds": seconds, "settings": settings, "first_step_seconds": marks[0]}


def bare(case: dict[str, Any], data: Path, compiled: bool) -> dict[str, Any]:
    """Forward, loss, backward and optimiser on a batch that never changes."""
    from selftaught.run.recipes import Pretrain
    from selftaught.system import randomness
    from selftaught.system.allocator import keep_freed_memory
    from selftaught.system.interruption import Stop
    from selftaught.training.job import prepare
    from selftaught.training.resolve import open_data, resolve

    keep_freed_memory()
    chosen = Pretrain.parse(recipe(case, data, compiled, "unused"))
    images = open_data(chosen, Stop())
    job = prepare(resolve(chosen, images), images, None)
    batch = job.batches(0)
    views = tuple(torch.empty_like(view).normal_() for view in batch)
    seconds = []
    for step in range(WARM_UP + MEASURED):
        began = time.perf_counter()
        with randomness.at(0, step, slice(0, case["batch"])):
            loss = torch.stack(list(job.forward(*views).values())).sum()
        job.optimizer.zero_grad()
        loss.backward()
        job.optimizer.step()
        seconds.append(time.perf_counter() - began)
    return {"seconds": statistics.median(seconds[WARM_UP:])}


def peer(case: dict[str, Any], data: Path, compiled: bool) -> dict[str, Any]:
    """lightly's documented loop."""
    from peer import LOOPS, timed

    pictures = {
        **case["data"],
        "archive": data / case["data"]["archive"],
        "repeat": 1000 * 256 // case["data"]["limit"],
    }
    steps = timed(LOOPS[case["method"]](case["encoder"], case["size"], case["batch"], pictures))
    seconds = list(itertools.islice(steps, WARM_UP + MEASURED))
    return {"seconds": statistics.median(seconds[WARM_UP:])}


CONTESTANTS = {"ours": ours, "peer": peer, "bare": bare}

if __name__ == "__main__":
    main()
