"""Where several processes meet, and how long they wait for one another."""

import os
import re
from datetime import timedelta

import torch.distributed as dist
from torch.distributed import Store, rendezvous  # type: ignore[attr-defined]

from selftaught.system.connections import refuse_silence
from selftaught.system.errors import UsageError
from selftaught.system.places import Place

GATHERING = 300.0  # seconds that the first process waits for the last one
SILENCE = 35.0  # seconds that a step's collectives wait for another process: a job that hangs ends in under a minute
NAME = "SELFTAUGHT_SILENCE"  # of the environment, in place of these
COMPILING = 1800.0  # likewise, where the first steps compile

_stores: dict[tuple[str, int], Store] = {}  # where this process has met others; kept, as the next run meets there again


def patience(compiles: bool) -> float:
    """Seconds that a process may not answer."""
    word = os.environ.get(NAME, str(COMPILING if compiles else SILENCE))
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", word) or not float(word):
        raise UsageError(f"the environment's {NAME} cannot be {word!r}: it is a number of seconds above 0")
    return float(word)


def met(place: Place) -> Store:
    """The store at the address that all were told."""
    if (place.host, place.port) in _stores:
        return _stores[place.host, place.port]
    host = f"[{place.host}]" if ":" in place.host else place.host
    try:
        told = rendezvous(f"tcp://{host}:{place.port}", place.rank, place.world, timeout=timedelta(seconds=GATHERING))
        store: Store = next(iter(told))[0]
    except (dist.DistError, RuntimeError, ValueError) as error:
        line = str(error).splitlines()[0][:200]
        raise UsageError(
            f"process {place.rank} cannot meet the {place.world} others at {place.host}:{place.port}: {line}"
        ) from None
    refuse_silence(place.port)
    return _stores.setdefault((place.host, place.port), store)
