"""Who of several processes has ended, and why: its last words in the store that all share tell, or its silence."""

import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress

from torch.distributed import Store  # type: ignore[attr-defined]

from selftaught.system import clock
from selftaught.system.errors import CompanionError

LAST_WORDS = 3.0  # seconds in which a process that ends has said why
PAUSE = 0.05  # seconds between two looks whether it has
LOST = re.compile(r"gloo|nccl|connection|timed out|socket|broken pipe|store", re.IGNORECASE)  # as backends complain


def called(rank: int, count: int, hosts: Sequence[str]) -> str:
    """A process, for people; `hosts` by rank, where they are known."""
    return f"process {rank} of {count} on {hosts[rank] if hosts else 'this machine'}"


def is_of_a_connection(error: Exception) -> bool:
    """Whether a backend complains of another process."""
    return LOST.search(f"{type(error).__name__} {error}") is not None


def say_ended(store: Store, rank: int, line: str, code: int, gone: bool = False) -> None:
    """Note, unless somebody else was first, that a process has ended the work of all; `gone`: see CompanionError."""
    store.compare_set("ended", "", json.dumps({"rank": rank, "line": line, "code": code, "gone": gone}))


def ended(store: Store) -> CompanionError:
    """What has been noted."""
    told = json.loads(store.get("ended"))
    return CompanionError(told["line"], told["rank"], told["code"], told["gone"])


def lost(store: Store, rank: int, count: int, hosts: Sequence[str], complaint: str) -> CompanionError:
    """Who is gone, by their own last words, or by being the one who does not complain of the others, as `rank` does."""
    until = clock.now() + LAST_WORDS
    with suppress(Exception):
        store.set(f"complained/{rank}", "")
        while clock.now() < until:
            if store.check(["ended"]):
                return ended(store)
            time.sleep(PAUSE)
        silent = [other for other in range(count) if not store.check([f"complained/{other}"])]
        if silent:
            gone = "imed out" not in complaint
            words = "has gone without a word" if gone else "does not answer"
            return CompanionError(f"{called(silent[0], count, hosts)} {words}: {complaint}", silent[0], 1, gone)
        return CompanionError(f"the processes cannot reach one another: {complaint}", 0, 1)
    return CompanionError(f"{called(0, count, hosts)} cannot be reached: {complaint}", 0, 1)  # where the store is
