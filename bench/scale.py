"""What one process of many does for a batch of 65,536 samples: what it draws, compares, and exchanges with the others.

Draws and tiles are those of one process of 512, in the middle of the batch, by itself; exchanges are of two processes
with half the batch each, over gloo. Everything runs with one thread, the fastest of a few turns counts. Banks are
reckoned, not measured. Prints rows as they come and writes docs/results/scale.json, and a table in scale.md.

    python bench/scale.py [--only draws,tiles,exchanges,banks] [--called now]
    python bench/scale.py --efficiency [--networks "ViT-tiny, 224 px"] [--rounds 5] [--steps 20]

The second asks what two processes are worth, of one thread and as many samples each, in the loop of pre-training:
beside one that is alone, and beside two that know nothing of each other, which share a machine's memory and clock, too.
In each round all three come in turn; medians of rounds count. For a quiet machine of two cores or more. Where it falls
short of one, it says of what: two that step together wait for the slower of both at each step, which two apart would,
too, if each of their steps ended with the later one; and gradients take their time to be exchanged.

Rows of another name, such as those of an earlier version by this script, stay and stand beside.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F

from efficiency import LEARNERS, efficient
from selftaught.contracts import modality
from selftaught.contracts.method import Data
from selftaught.methods import registry
from selftaught.methods.objectives import redundancy, similarity
from selftaught.methods.parts import blocks, damage, masks
from selftaught.methods.parts.memory import NUMBER, kept_of_each
from selftaught.system import distributed, randomness
from selftaught.system.components import Part

RESULT = Path(__file__).parent.parent / "docs/results/scale.json"
BATCH, PROCESSES, DIM, WIDTH = 65_536, 512, 128, 1024
SHARE = BATCH // PROCESSES  # samples of a process
PHOTOS = 2048  # where every process draws all, the noise of 65,536 photos does not fit this machine
TURNS = 3
FEW = 1000  # samples of data that methods are made for, to be asked
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="draws,tiles,exchanges,banks")
    parser.add_argument("--called", default="now")
    parser.add_argument("--efficiency", action="store_true")
    parser.add_argument("--networks", nargs="+", choices=LEARNERS, help="for --efficiency; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.one:
        one_of_two(int(asked.one[0]), Path(asked.one[1]))
        return
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    rows = kept.setdefault(asked.called, {})
    parts: dict[str, Callable[[], Iterator[tuple[str, str]]]]
    parts = {"draws": drawn, "tiles": compared, "exchanges": exchanged, "banks": banked}
    parts["efficiency"] = partial(efficient, asked.networks or list(LEARNERS), asked.rounds, asked.steps)
    for part in ["efficiency"] if asked.efficiency else asked.only.split(","):
        for what, value in parts[part]():
            rows[what] = value
            print(f"{what:64} {value}", flush=True)
            RESULT.write_text(json.dumps(kept, indent=1) + "\n")
            RESULT.with_suffix(".md").write_text(markdown(kept))


def fastest(call: Callable[[], Any]) -> str:
    """The least milliseconds of a few turns."""
    took = []
    for _ in range(TURNS):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return f"{1000 * min(took):.2f} ms"


def drawn() -> Iterator[tuple[str, str]]:
    """What a process draws for its rows."""
    x = torch.zeros(PHOTOS // PROCESSES, 3, 224, 224)
    data = Data(BATCH, (3, 224, 224), (0.5,) * 3, (0.25,) * 3)
    grid, asked = (14, 14), (4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), "paper")
    calls: list[tuple[str, int, Callable[[], Any]]] = [
        ("masks of MAE, 196 tokens", BATCH, lambda: masks.random_mask(SHARE, 196, 0.75, CPU)),
        ("blocks of BEiT, 14 x 14", BATCH, lambda: masks.blockwise_mask(SHARE, grid, 0.4, CPU)),
        ("blocks of I-JEPA, 14 x 14", BATCH, lambda: blocks.context_and_targets(SHARE, grid, *asked, CPU)),  # type: ignore[arg-type]
        ("crops, 22 numbers", BATCH, lambda: randomness.uniform((SHARE, 22), "crop")),
        ("donors of cells, 100 columns", BATCH, lambda: randomness.integers(BATCH, (SHARE, 100), "donors")),
        ("masking noise, 224 px", PHOTOS, lambda: damage.masking_noise(x, 0.25, data)),
        ("Gaussian noise, 224 px", PHOTOS, lambda: damage.gaussian_noise(x, 0.25, data)),
    ]
    for what, batch, call in calls:
        first, share = batch // 2, batch // PROCESSES
        with randomness.at(0, 5, slice(first, first + share), batch):
            yield f"draws: {what}; {share} of {batch:,}", fastest(call)


def compared() -> Iterator[tuple[str, str]]:
    """Similarities of a process's views with those of all, forward and backward."""
    views, everyone = (F.normalize(torch.randn(2 * n, DIM), dim=1).requires_grad_() for n in (SHARE, BATCH))
    own = torch.arange(len(views))[:, None]

    def step() -> None:
        similarity.log_sum_exp(views, everyone, 2.0, own).mean().backward()

    yield f"tiles: NT-Xent, {len(views)} of {len(everyone):,} views, {DIM} numbers", fastest(step)


def exchanged() -> Iterator[tuple[str, str]]:
    """What two processes with half of the batch each take."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one"]
        pair = [subprocess.Popen([*command, str(rank), folder], stdout=subprocess.PIPE) for rank in range(2)]
        said = [process.communicate()[0] for process in pair]
    if any(process.returncode for process in pair):
        raise SystemExit("one of the two processes failed")
    for what, value in json.loads(said[0]).items():
        yield f"exchanges: {what}; {BATCH // 2:,} of {BATCH:,}", value


def one_of_two(rank: int, folder: Path) -> None:
    """One of two processes; the first prints what it measured."""
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), 2), rank=rank, world_size=2)
    narrow, wide = (torch.randn(BATCH // 2, dim, requires_grad=True) for dim in (DIM, WIDTH))
    calls = {
        f"gather and its backward, {DIM} numbers": lambda: distributed.gather(narrow).sum().backward(),
        f"VICReg's variance, {WIDTH} numbers": lambda: redundancy.variance(wide).backward(),
        f"VICReg's covariance, {WIDTH} numbers": lambda: redundancy.covariance(wide).backward(),
    }
    found = {what: fastest(call) for what, call in calls.items()}
    dist.destroy_process_group()
    if not rank:
        print(json.dumps(found))


def banked() -> Iterator[tuple[str, str]]:
    """Bytes of banks in each process."""
    for count, called in ((10**8, "100 million"), (10**10, "10 billion")):
        for methods in ("instance_discrimination, pirl", "deepcluster"):
            (numbers,) = {kept(name) for name in methods.split(", ")}
            yield f"banks: {methods}; {called} samples", f"{count * numbers * NUMBER / 1e9:,.1f} GB"


def kept(name: str) -> int:
    """The numbers that a method keeps of each sample, as it says itself."""
    images, encoder = modality.named("images"), Part(name="test_resnet")
    preparation = images.guess((32, 32), encoder)
    data = Data(FEW, preparation.shape, preparation.mean, preparation.std)
    return kept_of_each(registry.method_class(name)(images.build_encoder(encoder, preparation), data, dim=DIM))


def markdown(kept: dict[str, dict[str, str]]) -> str:
    """A table with a column for each name."""
    lines = [
        f"# What a batch of {BATCH:,} costs each process",
        "",
        f"Made by `bench/scale.py`: draws and tiles of one process of {PROCESSES}, exchanges of two with half of the "
        "batch each, over gloo on one machine, where what is sent is memory copied; one thread on a CPU, the fastest "
        f"of {TURNS}. Banks are reckoned. What a process would draw for photos is taken of a batch of {PHOTOS:,}. "
        "Processes are those of `--efficiency`: SimCLR in float32, one thread each, as many samples for each of two as "
        "for one, norms over both but where they are said to be of each (`--norm device`).",
        "",
        "| what | " + " | ".join(kept) + " |",
        "|---|" + "--:|" * len(kept),
    ]
    for what in dict.fromkeys(what for rows in kept.values() for what in rows):
        lines.append(f"| {what} | " + " | ".join(rows.get(what, "") for rows in kept.values()) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
