"""Runs of a comparison in processes of their own, as many at once as there are devices, each with one of them.

A process does one run and ends. It writes in the folder of that run alone, and hands what came of it to this one, which
keeps the list of all. One that dies takes its run with it, and no other.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from selftaught.judging.bench import Order
from selftaught.judging.comparison import Ran
from selftaught.system.devices import device_of
from selftaught.system.errors import Interrupted
from selftaught.system.files import write_json
from selftaught.system.interruption import Stop
from selftaught.system.reading import json_in
from selftaught.system.saying import ALOUD, say
from selftaught.training.launch import PAUSE, how_ended, surroundings

MODULE = "selftaught.commands.one_run"  # what a process carries out, in a folder with these files:
ORDER, RAN, SAID = "order.json", "ran.json", "said.txt"


@dataclass(frozen=True)
class Worker:
    """A process at work on a run."""

    order: Order
    device: int
    process: subprocess.Popen[bytes]
    folder: Path

    def ran(self) -> Ran:
        """What came of the run, once the process has ended."""
        with suppress(FileNotFoundError):
            return Ran.model_validate(json_in(self.folder / RAN))
        code = self.process.returncode
        words = f"its process was ended {how_ended(code)}"
        return self.order.failed(f"{words}: {self.last_words}" if self.last_words else words, max(code, 1))

    @property
    def last_words(self) -> str:
        """The last line that it has said."""
        return (self._said() or [""])[-1].removeprefix("error: ")

    def warnings(self) -> list[str]:
        """Lines that it has said of what everybody should know."""
        return [line for line in self._said() if line.startswith(ALOUD)]

    def _said(self) -> list[str]:
        return (self.folder / SAID).read_text(encoding="utf-8", errors="replace").splitlines()


class Crew:
    """Devices, each with a process that carries out a run, or with none."""

    def __init__(self, count: int, stop: Stop, shown: Callable[[list[str]], None]) -> None:
        """`shown` hears again and again which runs are at work."""
        self.count, self.stop, self.shown = count, stop, shown
        self.free, self.working = list(range(count)), list[Worker]()
        self.cut = ""  # why no more runs are begun

    def ran(self, orders: Iterable[Order]) -> Generator[Ran, None, None]:
        """What came of each run, as it ends; the next order is asked for when a device is free.

        After a stop, or where one process was stopped by itself, all save what they have. Raises Interrupted then.
        """
        waiting = iter(orders)
        with TemporaryDirectory(prefix="selftaught-") as folder, _tie() as tie:
            try:
                while self._begun(waiting, Path(folder), tie):
                    yield from self._ended()
                    self.shown([one.order.title for one in self.working])
                    time.sleep(PAUSE)
            finally:
                self._kill()
        if self.cut:
            raise Interrupted(self.cut)

    def _begun(self, waiting: Iterator[Order], folder: Path, tie: int) -> bool:
        """Begin runs on devices that are free, unless all is to end; whether anybody is at work."""
        if self.stop.reason:
            self._end(f"stopped by {self.stop.reason}; add --resume to go on")
        while self.free and not self.cut and (order := next(waiting, None)) is not None:
            say(f"begun    {order.title}, on {_called(device := self.free.pop(0))}")
            own = folder / order.about["run"]
            own.mkdir(parents=True)
            self.working.append(Worker(order, device, self._started(order, device, own, tie), own))
        return bool(self.working)

    def _started(self, order: Order, device: int, folder: Path, tie: int) -> subprocess.Popen[bytes]:
        # All of them share the memory that one would have had.
        recipe = order.recipe.model_copy(update={"memory": order.recipe.memory // self.count})
        told = order.model_copy(update={"recipe": recipe}).model_dump(mode="json", exclude_unset=True)
        write_json(folder / ORDER, told)
        with (folder / SAID).open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", MODULE, str(folder)],
                env={**surroundings(self.count, device_of("auto").type), **_seen(device)},
                stdin=tie,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,  # a terminal's signals come to this process, which passes them on
            )

    def _ended(self) -> Iterator[Ran]:
        for one in [one for one in self.working if one.process.poll() is not None]:
            self.working.remove(one)
            self.free.append(one.device)
            for line in one.warnings():
                say(f"{one.order.title}: {line}")
            if one.process.returncode == Interrupted.exit_code:
                self._end(one.last_words)
            elif not (self.cut and one.process.returncode < 0):  # before it was able to save: it had nothing to
                yield one.ran()

    def _end(self, line: str) -> None:
        """Let all save what they have and end, unless they have been told so."""
        if not self.cut:
            self.cut = line
            for one in self.working:
                one.process.send_signal(signal.SIGTERM)

    def _kill(self) -> None:
        for one in self.working:
            with suppress(ProcessLookupError):
                one.process.kill()
            one.process.wait()


@contextmanager
def _tie() -> Iterator[int]:
    """What processes read from; it comes to its end with this one, however that ends, and so do they."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(ours)
        os.close(theirs)


def _called(device: int) -> str:
    return f"{device_of('auto').type} {device}"


def _seen(device: int) -> dict[str, str]:
    """What has a process see one card alone, of those that this one sees."""
    if device_of("auto").type != "cuda":
        return {}
    known = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {"CUDA_VISIBLE_DEVICES": known.split(",")[device] if known else str(device)}
