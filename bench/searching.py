"""How long does `find` look among many features: at all of them, or along a graph, and what does the graph miss?

Features are made: of length one, in as many heaps as their number's square root, which is kinder than noise and less
kind than photos. The disk's cache is warm, as on a second search. Writes docs/results/searching.json.

    python bench/searching.py [--samples 200000,1000000] [--dim 256]
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.judging.search import nearest
from selftaught.run.features import About, kept
from selftaught.run.graph import GRAPH, met
from selftaught.system.files import write_json

OUT = Path(__file__).parent.parent / "docs/results/searching.json"
PART, ASKED, COUNT = 10_000, 50, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", default="200000,1000000", help="numbers of samples, by commas")
    parser.add_argument("--dim", type=int, default=256)
    asked = parser.parse_args()
    rows = []
    for samples in map(int, asked.samples.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(Path(folder) / "index", samples, asked.dim))
            print(json.dumps(rows[-1]), flush=True)
    write_json(OUT, {"cores": len(os.sched_getaffinity(0)), "rows": rows})


def features(samples: int, dim: int) -> Iterator[Any]:
    """A part at a time, the same each time."""
    heaps = np.random.default_rng(0).normal(size=(int(samples**0.5), dim)).astype(np.float32)
    for start in range(0, samples, PART):
        rng = np.random.default_rng(start + 1)
        count = min(PART, samples - start)
        z = heaps[rng.integers(0, len(heaps), count)] + rng.normal(size=(count, dim)).astype(np.float32)
        yield z / np.linalg.norm(z, axis=1, keepdims=True)


def row(folder: Path, samples: int, dim: int) -> dict[str, Any]:
    """Seconds to make a graph, and to search one sample's neighbours both ways; the share of them that are met."""
    about = About(encoder="made", data=f"{samples}", samples=samples, dim=dim)
    made = kept(folder, about, lambda: features(samples, dim), False)
    some = next(made())[:ASKED].copy()
    began = time.perf_counter()
    met(folder, about, made, some[:1], COUNT, lambda done, total: None)
    making = time.perf_counter() - began
    exact, graph, found = [], [], []
    for one in some:
        began = time.perf_counter()
        near = nearest(one[None], made(), COUNT)
        exact.append(time.perf_counter() - began)
        began = time.perf_counter()
        rows = met(folder, about, made, one[None], COUNT, lambda done, total: None)
        graph.append(time.perf_counter() - began)
        found.append(float(np.isin(near.rows, rows).mean()))
    return {
        "samples": samples,
        "dim": dim,
        "seconds to make the graph": round(making, 1),
        "seconds to look at all": round(float(np.median(exact)), 3),
        "seconds along the graph": round(float(np.median(graph)), 4),
        f"of the {COUNT} nearest met": round(float(np.mean(found)), 4),
        "bytes of features": (folder / "features.npy").stat().st_size,
        "bytes of the graph": (folder / GRAPH).stat().st_size,
    }


if __name__ == "__main__":
    main()
