"""What many samples cost before and beside training: their index, their list, and the order of an epoch.

    python bench/index.py [--only tars,folder,blocks,billions] [--samples 10000000] [--files 1000000] [--at FOLDER]

`tars`: shards of tiny images (one tar under a thousand names, each of which is gone through) are indexed, opened and
sampled, each by a process of its own, whose memory at most is told; and so by one that trains. `folder`: as many small
files are made in folders of a thousand, listed, told by their sizes, and removed. `blocks`: how often an epoch of
`--order blocks` comes back to a block, where as many are held as its lanes mix. `billions`: that order for 10 billion.

FOLDER takes 10 MB, the index 800 MB, and so many files as many inodes; all is removed. Writes docs/results/index.json,
in which rows that are not asked for stay.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/index.json"
EACH = 10_000  # samples of a tar
IN_FOLDER = 1000  # files
ASKED, BATCH, STEPS = 100_000, 4096, 10
BILLIONS, SHOWN = 10**10, 100  # samples, and batches of them that are looked at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="tars,folder,blocks,billions")
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--at", type=Path, help="where to make what is measured; default: a temporary folder")
    parser.add_argument("--quick", action="store_true", help="go through the one tar once, and say so in the row")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(CHILDREN[asked.child[0]](asked.child[1])))
        return
    rows = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for part in asked.only.split(","):
        with tempfile.TemporaryDirectory(dir=asked.at) as folder:
            for what, row in PARTS[part](Path(folder), asked):
                rows[what] = row
                print(f"{what:40} {json.dumps(row)}", flush=True)
    RESULT.write_text(json.dumps(rows, indent=1) + "\n")


def tars(folder: Path, asked: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Shards of `--samples` images in all."""
    shards = asked.samples // EACH
    first = made_tar(folder / "first.tar")
    for number in range(shards):
        (folder / f"shard-{number:04d}.tar").symlink_to(first)
    pattern = str(folder / f"shard-{{0000..{shards - 1:04d}}}.tar")
    if asked.quick:
        row = child("quickly", pattern, folder / "cache")
        yield f"indexed: {shards * EACH:,} images in tars", {"quick": True, **row}
    for what in ("indexed", "opened", "sampled", "trained")[asked.quick :]:
        yield f"{what}: {shards * EACH:,} images in tars", child(what, pattern, folder / "cache")
    table = sum(file.stat().st_size for file in (folder / "cache").rglob("*") if file.is_file())
    yield f"index: {shards * EACH:,} images in tars", {"bytes": table, "bytes_a_sample": table / (shards * EACH)}


def made_tar(file: Path) -> Path:
    """A tar of tiny images."""
    from PIL import Image

    rng = np.random.default_rng(0)
    with tarfile.open(file, "w") as archive:
        for row in range(EACH):
            held = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(held, "PNG")
            info = tarfile.TarInfo(f"{row:08d}.png")
            info.size = held.tell()
            archive.addfile(info, io.BytesIO(held.getvalue()))
    return file


def child(what: str, told: str, cache: Path) -> dict[str, Any]:
    """What a process of its own has measured."""
    command = [sys.executable, __file__, "--child", what, told]
    where = {**os.environ, "SELFTAUGHT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=where)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def measured(row: dict[str, Any]) -> Iterator[None]:
    """Put seconds of what is done inside, and megabytes of the process, into the row."""
    row["megabytes_before"] = memory("VmRSS")
    began = time.perf_counter()
    yield
    row["seconds"] = round(time.perf_counter() - began, 2)
    row |= {"megabytes_at_most": memory("VmHWM"), "megabytes_own": memory("RssAnon")}


def memory(name: str) -> float:
    """Megabytes by the kernel: VmHWM at most so far, VmRSS now, RssAnon what of it is no file that others share."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)


def indexed(pattern: str) -> dict[str, Any]:
    """Open shards, for the first time or again: names and places of all are known then, and what tells them apart."""
    from selftaught.data.sources.open import open_source

    row: dict[str, Any] = {}
    with measured(row):
        source = open_source(pattern)
        source.fingerprint()
    return {"samples": len(source), **row}


def quickly(pattern: str) -> dict[str, Any]:
    """The same by one tar that is gone through once: the table and the memory are those of many, the time is not."""
    from selftaught.data.sources import shards

    parts: dict[str | None, Any] = {}
    read = shards.part_of

    def once(shard: Any, column: str | None) -> Any:
        if column not in parts:
            parts[column] = read(shard, column)
        return parts[column]

    shards.part_of = once
    return indexed(pattern)


def sampled(pattern: str) -> dict[str, Any]:
    """Read some of them at random, by name and content."""
    from selftaught.data.sources.open import open_source

    row: dict[str, Any] = {}
    with measured(row):
        source = open_source(pattern)
        rows = np.random.default_rng(0).integers(0, len(source), ASKED)
        read = [len(source.read(place)) + len(source.keys[place]) for place in rows.tolist()]
    return {"samples": ASKED, "bytes": sum(read), **row}


def trained(pattern: str) -> dict[str, Any]:
    """Batches of views, as a run has them."""
    import torch

    from selftaught.data.images.samples import open_samples
    from selftaught.training.batches import Batches

    torch.set_num_threads(1)
    row: dict[str, Any] = {}
    with measured(row):
        samples = open_samples(pattern, first_pass="sample", workers=1)
        batches = Batches(samples, samples.views(("plain",)), batch_size=BATCH, seed=0, order="blocks")
        for step in range(STEPS):
            batches(step)
    return {"samples": samples.count, "looked_at": len(samples.sampled.rows), "steps": STEPS, "batch": BATCH, **row}  # type: ignore[union-attr]


def folder(root: Path, asked: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """A folder of `--files` small files."""
    began = time.perf_counter()
    for number in range(-(-asked.files // IN_FOLDER)):
        inside = root / "files" / f"{number:05d}"
        inside.mkdir(parents=True)
        for row in range(min(IN_FOLDER, asked.files - number * IN_FOLDER)):
            os.close(os.open(f"{inside}/{row:06d}.png", os.O_CREAT | os.O_WRONLY))
    made = time.perf_counter() - began
    found = child("listed", str(root / "files"), root / "cache")
    yield f"listed: {asked.files:,} files in a folder", {**found, "making_them_took": round(made, 1)}
    shutil.rmtree(root / "files")


def listed(root: str) -> dict[str, Any]:
    """List the files, and then their sizes."""
    from selftaught.data.sources.open import open_source

    row: dict[str, Any] = {}
    with measured(row):
        began = time.perf_counter()
        source = open_source(root)
        names = time.perf_counter() - began
        source.fingerprint()
    return {"samples": len(source), "names_took": round(names, 2), **row}


def blocks(root: Path, asked: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """An epoch whose reader holds the blocks that its lanes mix, and one more of each."""
    from selftaught.system.order import LANES, WINDOW, Blocks

    order = Blocks(0, asked.samples, BATCH)
    begin, held, reads = order.begin(0), OrderedDict[int, None](), 0
    began = time.perf_counter()
    for batch in range(asked.samples // BATCH):
        rows = (order(0, batch, 0, BATCH) - begin) % asked.samples
        for block in np.unique(rows // order.block).tolist():
            reads += block not in held
            held[block] = held.pop(block, None)
            if len(held) > LANES * (WINDOW + 1):
                held.popitem(last=False)
    there = -(-asked.samples // order.block)
    yield (
        f"blocks: an epoch of {asked.samples:,}",
        {"blocks": there, "of": order.block, "reads": reads, "reads_a_block": round(reads / there, 4)}
        | {"held": LANES * (WINDOW + 1), "seconds": round(time.perf_counter() - began, 1)},
    )


def billions(root: Path, asked: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Batches of 10 billion: no sample twice among those of some, which as many draws would have."""
    yield f"order: {BILLIONS:,} samples", child("ordered", "", root / "cache")


def ordered(_: str) -> dict[str, Any]:
    """Whole batches, spread over two epochs."""
    from selftaught.system.order import Blocks

    size, row = 65_536, dict[str, Any]()
    order = Blocks(0, BILLIONS, size)
    with measured(row):
        for batch in range(STEPS):
            order(3, batch * 10_000, 0, size)
    shown = [shown_twice(partial(order, epoch), BILLIONS // size, size) for epoch in (0, 7)]
    drawn = SHOWN * size
    by_chance = drawn**2 / (2 * BILLIONS)
    told = {"batches": SHOWN, "batch": size, "shown_twice": shown, "drawn_twice_by_chance": round(by_chance)}
    return {**told, "of_them_timed": STEPS, **row}


def shown_twice(order: Callable[[int, int, int], Any], batches: int, size: int) -> int:
    """Samples that come again in some batches of an epoch, evenly spread."""
    chosen = np.linspace(0, batches - 1, SHOWN).astype(int).tolist()
    rows = np.concatenate([order(batch, 0, size) for batch in chosen])
    return int(len(rows) - len(np.unique(rows)))


PARTS: dict[str, Callable[..., Any]] = {"tars": tars, "folder": folder, "blocks": blocks, "billions": billions}
CHILDREN: dict[str, Callable[..., Any]] = {
    "indexed": indexed,
    "opened": indexed,
    "quickly": quickly,
    "sampled": sampled,
    "trained": trained,
    "listed": listed,
    "ordered": ordered,
}


if __name__ == "__main__":
    main()
