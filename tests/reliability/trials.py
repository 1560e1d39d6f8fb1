"""Trials of a soak: damaged files, faults at every call that touches the disk, full disks, meddling hands."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.methods import registry
from selftaught.run.recipes import Pretrain
from selftaught.system.lock import LOCK
from selftaught.training.pretrain import pretrain
from tests.reliability.faults import CODES, at_point, dying, failing, points
from tests.reliability.forks import child, forked, quietly, reaped, wait_until
from tests.reliability.fuzz import kinds, tried
from tests.reliability.meddled import made
from tests.reliability.meddled import tried as tried_in
from tests.reliability.states import TINY, lost_bytes
from tests.reliability.test_faults import struck_everywhere
from tests.teachers import teacher_for

STEPS = 7
INPUTS_A_TRIAL = 500


def command(out: Path, method: str, data: Path, **more: Any) -> Pretrain:
    """Few steps of a tiny network, saved after each."""
    values = {
        "data": str(data),
        "method": {"name": method, "options": {"dim": 4} if method == "wmse" else {}},
        "encoder": "test_vit" if registry.method_class(method).needs_tokens else "test_resnet",
        "steps": STEPS,
        "out": str(out),
        **teacher_for(method, out.parent / "teacher"),
    }
    return Pretrain.parse({**TINY, **values, **more})


def flags(out: Path, data: Path, *more: str) -> list[str]:
    """The same as words of a command line, for rotation."""
    told = ["pretrain", str(data), "--method", "rotation", "--encoder", "test_resnet", "--batch-size", "8"]
    told += ["--steps", str(STEPS), "--log-every", "1", "--checkpoint-every", "3", "--out", str(out)]
    return [*told, "--precision", "32-true", "--layout", "contiguous", *more]


class Trials:
    """Those that were made, each a line of the log, and those that are to be made."""

    def __init__(self, log: Path, folder: Path) -> None:
        self.log, self.folder = log, folder
        self.lines: list[dict[str, Any]] = []
        if log.exists():
            self.lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        self.data = folder / "noise.npy"
        np.save(self.data, np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype=np.uint8))
        self._references: dict[str, tuple[Path, float]] = {}

    def tell(self, kind: str, **facts: Any) -> None:
        line = {"kind": kind, **facts}
        self.lines.append(line)
        with self.log.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        sys.stderr.write(json.dumps(line) + "\n")

    def done(self, kind: str) -> int:
        return sum(line["kind"] == kind for line in self.lines)

    def inputs(self, wanted: int) -> None:
        """Damaged files of every kind, read by children."""
        for first in range(INPUTS_A_TRIAL * self.done("inputs"), wanted, INPUTS_A_TRIAL):
            seeds, folder = range(first, min(first + INPUTS_A_TRIAL, wanted)), self.folder / f"inputs-{first}"
            folder.mkdir()
            result = folder / "told.json"

            def work(seeds: range = seeds, folder: Path = folder, result: Path = result) -> None:
                known = kinds()
                result.write_text(json.dumps(Counter(tried(seed, folder, known) for seed in seeds)))

            code = child(work)
            told = Counter(json.loads(result.read_text())) if code == 0 else Counter()
            others = [line for line in told if line not in ("read", "refused")]
            good = {"read": told["read"], "refused": told["refused"]}
            self.tell("inputs", tried=len(seeds), **good, failures=others + [f"exit {code}"] * (code != 0))
            shutil.rmtree(folder)

    def save_faults(self) -> None:
        """Every touching call of a save, struck in three ways."""
        if self.done("save faults"):
            return
        for step in (3, 2):
            folder = self.folder / f"save-{step}"
            folder.mkdir()
            self.tell("save faults", step=step, **self._counted(step, folder))
            shutil.rmtree(folder)

    def _counted(self, step: int, folder: Path) -> dict[str, Any]:
        try:
            return {"survived": struck_everywhere(step, folder), "failures": []}
        except Exception as error:
            return {"survived": 0, "failures": [f"{type(error).__name__}: {error}"[:300]]}

    def run_faults(self, wanted: int) -> None:
        """Touching calls of a whole run, evenly spread over it, each struck in three ways; then it is resumed."""
        already = {(line["call"], line["strike"]) for line in self.lines if line["kind"] == "run fault"}
        if not wanted:
            return
        reference, result = self.reference("rotation")[0], self.folder / "calls.json"
        out = self.folder / "calls"
        child(lambda: result.write_text(json.dumps(points(lambda: quietly(flags(out, self.data))))))
        calls = json.loads(result.read_text())
        shutil.rmtree(out)
        strikes = {**{errno.errorcode[code]: failing(code) for code in CODES}, "death": dying}
        for number in sorted({round(n) for n in np.linspace(0, len(calls) - 1, wanted)}):
            for name, strike in strikes.items():
                if (number, name) not in already:
                    facts = self._run_fault(number, strike, reference)
                    self.tell("run fault", call=number, of=len(calls), name=calls[number], strike=name, **facts)

    def _run_fault(self, number: int, strike: Callable[[str], None], reference: Path) -> dict[str, Any]:
        out = self.folder / "struck"

        def work() -> None:
            with at_point(number, strike):
                code = quietly(flags(out, self.data))
            os._exit(code)

        code = child(work)
        failures = [f"exit {code}"] if code not in (0, 75, 99) else []
        return self._resumed(out, reference, failures, code=code)

    def _resumed(self, out: Path, reference: Path, failures: list[str], **facts: Any) -> dict[str, Any]:
        """Resume a disturbed run to its end; what it lost."""
        lost, said = 0, self.folder / "said"
        code = child(lambda: os._exit(quietly(flags(out, self.data, "--resume"), said)))
        if code:
            failures.append(f"resume: exit {code}: {said.read_text()[-200:] if said.exists() else ''}")
        else:
            lost = lost_bytes(out, reference, STEPS)
            failures += [f"left behind: {path.name}" for path in out.rglob(".*~*") if path.is_file()]
            failures += ["the lock is left"] * (out / LOCK).exists()
        if lost:
            failures.append("another state than that of an undisturbed run")
        shutil.rmtree(out, ignore_errors=True)
        return {**facts, "lost": lost, "failures": failures}

    def full_disks(self, wanted: int) -> None:
        """A disk that another fills while a run is on it, at a random moment; then there is room again."""
        for number in range(self.done("full disk"), wanted):
            place = self.folder / "disk"
            place.mkdir(exist_ok=True)
            mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "none", place]
            if subprocess.run(mount, capture_output=True).returncode:
                sys.stderr.write("no disk of its own can be mounted: full disks are left out\n")
                return
            try:
                self.tell("full disk", number=number, **self._full_disk(random.Random(number), place))
            finally:
                subprocess.run(["umount", "--lazy", place], check=True)

    def _full_disk(self, rng: random.Random, place: Path) -> dict[str, Any]:
        reference, seconds = self.reference("rotation")
        out = place / "run"
        pid = forked(lambda: os._exit(quietly(flags(out, self.data, "--checkpoint-every", "1"))))
        wait_until(lambda: (out / "checkpoints" / "last").exists(), pid)
        time.sleep(rng.uniform(0, seconds / 2))
        with suppress(OSError), (place / "other").open("wb", buffering=0) as stream:
            while stream.write(bytes(1 << 16)):
                pass
        code = reaped(pid)
        failures = [f"exit {code}"] if code not in (0, 75) else []
        (place / "other").unlink()
        return self._resumed(out, reference, failures, code=code)

    def meddled(self, wanted: int) -> None:
        """Links, pipes, foreign files and damaged lists and records in runs: what is somebody's stays as it is."""
        already = {line["seed"] for line in self.lines if line["kind"] == "meddled"}
        if seeds := [seed for seed in range(wanted) if seed not in already]:
            world = made(self.folder / "world")
            for seed in seeds:
                self.tell("meddled", seed=seed, **tried_in(world, seed))
            shutil.rmtree(world.root)

    def reference(self, method: str) -> tuple[Path, float]:
        """A run that nobody disturbs, and how long it takes."""
        if method not in self._references:
            out, began = self.folder / f"whole-{method}", time.perf_counter()
            assert child(lambda: pretrain(command(out, method, self.data))) == 0, method
            self._references[method] = out, time.perf_counter() - began
        return self._references[method]
