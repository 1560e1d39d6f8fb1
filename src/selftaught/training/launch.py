"""One process for each device: started here, watched, and ended together.

Each carries out the same command as `torchrun` would start it, so either way gives the same run. They meet at a store
of this process, which notes in it who has ended, so that the others can say so.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from selftaught.run.folder import RunFolder
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.fields import Mark
from selftaught.system import clock, departures
from selftaught.system.devices import counted, device_of
from selftaught.system.errors import DataError, DivergedError, Interrupted, OutOfMemory, SelftaughtError, UsageError
from selftaught.system.interruption import Stop, stopping
from selftaught.system.places import placed
from selftaught.system.saying import LAST_WORDS, QUIET, is_quiet
from selftaught.training.batches import refuse_uneven

HOST = "127.0.0.1"
GRACE = 20.0  # seconds in which the others may end by themselves after one has failed, with a last step to save
PAUSE = 0.05  # seconds between two looks whether all go on
KINDS = {kind.exit_code: kind for kind in (UsageError, DataError, DivergedError, OutOfMemory, Interrupted)}


def wanted(recipe: Pretrain) -> int:
    """How many processes to start for a recipe; 1 where this one does the work itself. Raises UsageError."""
    if (place := placed(os.environ)) is not None:
        if recipe.devices not in ("auto", "all", str(place.world)):
            raise UsageError(
                f"--devices {recipe.devices} beside {place.world} processes that were started: leave it out"
            )
        return 1
    count = counted(recipe.devices, recipe.device)
    refuse_here(count, recipe.devices)
    return count


def refuse_here(count: int, devices: str) -> None:
    """Raise UsageError for several processes on Windows, where one that is told to end cannot save what it has."""
    if count > 1 and sys.platform == "win32":
        raise UsageError(f"--devices {devices} starts processes, for which Linux or macOS is needed (or WSL)")


def launched(recipe: Pretrain, count: int) -> RunFolder:
    """Carry out a recipe by so many processes; the run. Raises what the first of them that failed ended with."""
    if isinstance(recipe.batch_size, int):
        refuse_uneven(recipe.batch_size, count)  # as they would, once they have started
    with TemporaryDirectory(prefix="selftaught-") as folder:
        store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
        words = _written(recipe, Path(folder))
        running = list[subprocess.Popen[bytes]]()
        try:
            with stopping() as stop:
                for rank in range(count):
                    told = _told(rank, count, store.port, folder, recipe)
                    running.append(subprocess.Popen(words, env=told, start_new_session=True))
                failed = _watched(running, _Company(store, count), stop)
        finally:
            _end(running)
        if failed is not None:
            if stop.reason and running[failed].returncode == -_passed_on(stop):
                raise Interrupted(f"stopped by {stop.reason} before training began")  # and anybody heard of signals
            raise _error(running[failed].returncode, failed, count, Path(folder))
        return RunFolder(_Company(store, count).folder)


class _Company:
    """What the processes leave in the store, as this one sees it."""

    def __init__(self, store: Store, count: int) -> None:
        self.store, self.count = PrefixStore("selftaught/0", store), count

    @property
    def folder(self) -> str:
        """The run folder."""
        return self.store.get("folder").decode()

    def note(self, rank: int, code: int) -> None:
        """Let the others know that a process has ended, unless it has said so itself."""
        line, by_signal = _said(rank, self.count, code), code < 0
        departures.say_ended(self.store, rank, line, 1 if by_signal else code, by_signal)


def _said(rank: int, count: int, code: int) -> str:
    return f"process {rank} of {count} was ended {how_ended(code)}"


def how_ended(code: int) -> str:
    """By what a process was ended, for people."""
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _written(recipe: Pretrain, folder: Path) -> list[str]:
    """The command line of each process, with a file of what was decided; what a file does not hand on is said."""
    own = {name for name in recipe.model_fields_set if name in Pretrain.marked(Mark.ONE_RUN)}
    values = recipe.model_dump(mode="json", include=recipe.model_fields_set - own - {"devices"})
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    words = [sys.executable, "-m", "selftaught", "pretrain", recipe.data, "--recipe", str(folder / "recipe.yaml")]
    words += [f"--{name}" for name in ("resume", "overwrite") if getattr(recipe, name)]
    return words + (["--out", recipe.out] if recipe.out else [])


def _told(rank: int, count: int, port: int, folder: str, recipe: Pretrain) -> dict[str, str]:
    """The environment of a process: as torchrun has it."""
    told: dict[str, Any] = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    told |= {"MASTER_ADDR": HOST, "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
    told[LAST_WORDS] = Path(folder) / f"{rank}.json"
    known = surroundings(count, device_of(recipe.device).type)
    return {**known, **{name: str(value) for name, value in told.items()}}


def surroundings(count: int, kind: str) -> dict[str, str]:
    """The environment of each of so many processes of this machine, on devices of a kind."""
    usual: dict[str, str] = {QUIET: "1"} if is_quiet() else {}
    if sys.platform == "linux":
        usual["GLOO_SOCKET_IFNAME"] = "lo"  # whatever this machine calls itself
    if kind == "cpu":  # as many threads as it has cores in each would only wait
        usual["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // count))
    paths = os.pathsep.join(path for path in sys.path if path)  # what this process imports, they do
    return {**usual, **os.environ, "PYTHONPATH": paths}


def _watched(running: list[subprocess.Popen[bytes]], company: _Company, stop: Stop) -> int | None:
    """The process that failed first, once all have ended, or their time is over; None where none did."""
    failed, until, passed_on = None, float("inf"), False
    while any(one.poll() is None for one in running) and clock.now() < until:
        if stop.reason and not passed_on:
            passed_on = True
            for one in running:
                one.send_signal(_passed_on(stop))
        if failed is None and (failed := _first_failed(running)) is not None:
            company.note(failed, running[failed].returncode)
            until = clock.now() + GRACE
        time.sleep(PAUSE)
    return _first_failed(running) if failed is None else failed


def _passed_on(stop: Stop) -> signal.Signals:
    """What the processes are told where this one is to stop."""
    told: signal.Signals = getattr(signal, str(stop.reason), signal.SIGTERM)
    return told


def _first_failed(running: list[subprocess.Popen[bytes]]) -> int | None:
    return next((rank for rank, one in enumerate(running) if one.poll()), None)


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    for one in running:
        with suppress(ProcessLookupError):
            one.kill()
        one.wait()


def _error(code: int, rank: int, count: int, folder: Path) -> SelftaughtError:
    """What a process ended with, in its own last words where it had any, or in another's, who says what is kept."""
    line = _last_words(rank, folder) or _said(rank, count, code)
    others = (_last_words(other, folder) for other in range(count) if other != rank)
    return KINDS.get(code, SelftaughtError)(next((words for words in others if line in words), line))


def _last_words(rank: int, folder: Path) -> str:
    with suppress(OSError, ValueError, KeyError):
        return str(json.loads((folder / f"{rank}.json").read_text(encoding="utf-8"))["line"])
    return ""
