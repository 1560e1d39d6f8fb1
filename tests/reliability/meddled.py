"""What follows when somebody meddles with a run: commands, and what must hold after each of them."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from selftaught.commands.cli import run_command
from tests.reliability.forks import forked, reaped, wait_until
from tests.reliability.meddling import damaged_cache, meddlings
from tests.reliability.states import lost_bytes
from tests.reliability.world import CUT_AT, EACH, SECRET, STEPS, World

CODES = (0, 2, 3, 4, 5, 75)  # that are documented, but for that of our own bugs
KILLED = -9
HANGS = 60.0  # seconds, of which all commands here take a few
SHOWN = 300  # characters of what a command said, in a failure
LIVE = 0.25  # of the trials meddle while the run goes on

COMMANDS: dict[str, Callable[[World], list[str]]] = {
    "resume": lambda world: world.words(world.out, "--resume"),
    "overwrite": lambda world: world.words(world.out, "--overwrite"),
    "again": lambda world: world.words(world.out),
    "report": lambda world: ["report", str(world.out)],
    "evaluate": lambda world: world.judged(world.out),
    "check": lambda world: ["check", str(world.photos), "--json"],
    "tuned": lambda world: world.tuned(),
}
COMMON = [name for name in COMMANDS if name != "tuned"]


class Trial:
    """Commands in a world that was meddled with, and what of it did not go as it must."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.codes: list[str] = []  # command and exit code of each
        self.failures: list[str] = []
        self.lost = 0  # bytes of weights
        self.compared = 0  # things of somebody's that were looked at again
        self.said, self.told = world.root / "stderr", world.root / "stdout"
        self.before = world.snapshot()

    def follow(self, name: str, meanwhile: Callable[[], None] | None = None, must: tuple[int, ...] = CODES) -> None:
        """Carry out a command, something else while it goes on, and look at everything."""
        pid = forked(lambda: self._carry_out(COMMANDS[name](self.world)))
        if meanwhile:
            step = self.world.run / "checkpoints" / f"step_{CUT_AT + 1:07d}"
            wait_until(step.exists, pid)
            meanwhile()
            self.before = self.world.snapshot()
        code = reaped(pid, HANGS)
        self.codes.append(f"{name} {code}")
        self.failures += [f"{name}: {fault}" for fault in self._faults(name, code, must)]

    def _carry_out(self, words: list[str]) -> None:
        """In a child: what a shell would do."""
        os.environ["SELFTAUGHT_CACHE"] = str(self.world.cache)
        os.chdir(self.world.root)
        with self.told.open("w") as sys.stdout, self.said.open("w") as sys.stderr:
            for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
                os.dup2(stream.fileno(), number)
            code = run_command(words)
        os._exit(code)

    def _faults(self, name: str, code: int, must: tuple[int, ...]) -> list[str]:
        said = self.said.read_text(errors="replace")
        if code == KILLED:
            return ["hangs"]
        faults = [] if code in must and code in CODES else [f"exit {code}: {said[-SHOWN:]}"]
        faults += [f"says {word!r}: {said[-SHOWN:]}" for word in ("Traceback", "this is a bug") if word in said]
        if code in (2, 3) and said.count("error: ") != 1:
            faults.append(f"does not say why in one line: {said[-SHOWN:]}")
        return faults + self._changed(name) + self._leaks() + self._results(name, code)

    def _changed(self, name: str) -> list[str]:
        """What is somebody's and is not as it was, or is new among it: a page that was asked for may be."""
        now = self.world.snapshot()
        page = str((self.world.out / "report.html").relative_to(self.world.root))
        if name == "report" and page in now:
            self.before.setdefault(page, now[page])
        self.compared += len(self.before)
        return [f"{key} was changed" for key in {*now, *self.before} if now.get(key) != self.before.get(key)]

    def _leaks(self) -> list[str]:
        """Files with what only a link leads to."""
        world = self.world
        ours = {path for folder in (world.run, world.cache) for path in folder.rglob("*")} - world.theirs
        read = [path for path in (*ours, self.said, self.told) if path.is_file() and not path.is_symlink()]
        return [f"{path.name} has what a link leads to" for path in read if SECRET.encode() in path.read_bytes()]

    def _results(self, name: str, code: int) -> list[str]:
        """Whether what was made is what it is where nobody meddles."""
        world = self.world
        if name == "check" and code == 0:
            count = json.loads(self.told.read_text())["count"]
            return [f"{count} pictures are data"] * (count != 2 * EACH)
        if name == "again" or (world.out != world.run and name not in ("check", "tuned", "report")):
            return [f"exit {code} where the folder is taken"] * (code != 2)
        if name not in ("resume", "overwrite") or code:
            return []
        lost = lost_bytes(world.run, world.whole, STEPS)
        self.lost += lost
        return ["another state than that of an undisturbed run"] * bool(lost)

    def ended(self) -> dict[str, Any]:
        """Everything is set right, and the run goes on to its end."""
        self.world.set_right()
        self.world.out = self.world.run
        self.before = self.world.snapshot()
        self.follow("resume", must=(0,))
        self.failures += ["the lock is left"] * (self.world.run / "lock").exists()
        facts = {"codes": self.codes, "compared": self.compared, "lost": self.lost}
        return {**facts, "failures": self.failures}


def tried(world: World, seed: int) -> dict[str, Any]:
    """Meddle with a run that was cut, or while it goes on; two commands, and then its end."""
    rng = Random(seed)
    world.begin_anew()
    live = rng.random() < LIVE
    chosen = meddlings(rng, live)

    def meddle() -> None:
        for meddling in chosen:
            meddling(world, rng)
        if live:  # what is written at once, such as a status, takes the place of whatever has its name
            world.theirs -= {*world.replaced}

    trial = Trial(world)
    if live:
        trial.follow("resume", meanwhile=meddle)
    else:
        meddle()
        trial.before = world.snapshot()
    for name in rng.sample(COMMON, 2) + ["tuned"] * (damaged_cache in chosen):  # which alone reads a remembered choice
        trial.follow(name)
    return {"meddlings": [meddling.__name__ for meddling in chosen], "live": live, **trial.ended()}


def made(root: Path) -> World:
    """A world to try them in."""
    world = World(root.resolve())
    trial = Trial(world)

    def carry_out(words: list[str]) -> int:
        return reaped(forked(lambda: trial._carry_out(words)))

    world.make(carry_out)
    return world
