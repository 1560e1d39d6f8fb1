"""Every method by several processes beside one: how far apart their losses are over 20 steps, in float32.

    python -m bench.processes [--count 2] [--shard 2] [--precision 64-true] [--network halved] [METHOD ...]

With --shard weights are spread over processes; in double precision one sees what is no rounding. Prints a line a
method, and ends with exit code 1 where one is further off than is promised. Needs no GPU: processes talk through gloo.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tests.children import exit_codes
from tests.distributed.runs import NETWORKS, apart, data, methods, start, train

from selftaught.methods import registry

PROMISED = 1e-5
PORT = 29871


def main() -> int:
    names = sorted(name for name in registry.places() if registry.kind_of(registry.method_class(name)) == "images")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("methods", nargs="*", default=names)
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--shard", default="none", help="processes that hold a weight together")
    parser.add_argument("--precision", default="32-true", choices=["32-true", "64-true"])
    parser.add_argument("--network", default="narrow", choices=list(NETWORKS), help="of methods without tokens")
    told = parser.parse_args()
    torch.set_num_threads(1)
    off = 0
    with TemporaryDirectory() as made:
        folder = Path(made)
        os.environ["SELFTAUGHT_CACHE"] = str(folder / "cache")
        data(folder)
        train(folder, folder / "one", told.methods, told.network, precision=told.precision)
        how = {"shard": told.shard, "precision": told.precision}
        work = partial(methods, folder, folder / "many", told.methods, told.network, **how)
        codes = exit_codes(start(told.count, work, PORT))
        for name in told.methods:
            ended = (folder / "many" / name / "encoder").exists()
            far = apart(name, folder / "one", folder / "many") if ended else float("inf")
            off += far > PROMISED
            print(f"{name:<24} {far:.1e}{'' if far <= PROMISED else '  further off than is promised'}", flush=True)
    print(f"{len(told.methods) - off} of {len(told.methods)} methods within {PROMISED:g} of one process")
    return int(off > 0 or any(codes))


if __name__ == "__main__":
    sys.exit(main())
