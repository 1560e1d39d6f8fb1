"""Runs that measurements are made on: one that was cut goes on, one that is done is not made again."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import selftaught
from selftaught.commands.python import Run


def made(out: Path, data: str, **told: Any) -> Run:
    """The run in `out`, made or gone on with; `told` is what `pretrain` takes."""
    run = Run.open(out) if out.exists() else None
    if run is not None and run.status.get("state") == "done":
        return run
    return selftaught.pretrain(data, out=str(out), resume=run is not None, **told)


def rate(name: str, rates: Path, out: Path, data: str, **told: Any) -> float:
    """Samples a second of a run, by one of a minute that is made the first time; `rates` keeps them, by their `name`.

    Runs of as many samples as so many minutes would show are the same ones on a machine that does something else beside
    them, or where they are cut; only the first has to be alone.
    """
    known = json.loads(rates.read_text()) if rates.exists() else {}
    if name not in known:
        run = made(out, data, budget="1m", **told)
        known[name] = {"samples_per_second": run.status["samples_per_second"], **machine()}
        rates.write_text(json.dumps(known, indent=1) + "\n")
    return float(known[name]["samples_per_second"])


def machine() -> dict[str, Any]:
    """What the time of a run depends on: {processor, cores}, those that this process may use."""
    return {"processor": next(_models(), platform.machine()), "cores": len(os.sched_getaffinity(0))}


def cpu_cores(*counts: int) -> str:
    """How many cores measurements were made on, in words."""
    told = sorted(set(counts))
    return f"{' or '.join(map(str, told))} CPU core{'s' * (told != [1])}"


def _models() -> Iterator[str]:
    """The names of this machine's processors, where Linux tells them."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                yield line.partition(":")[2].strip()
