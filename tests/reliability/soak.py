"""Long trials of what may go wrong: kills, faults, full disks, bad input, meddling hands; what was lost?

Every trial is one line of JSON in the log, so a soak that was cut goes on where it was; the summary counts the lines.
This process imports torch and never computes: each trial is a fork of it, which costs little.

    python -m tests.reliability.soak [--kills 200] [--run-faults 66] [--full-disks 8] [--inputs 10000] [--meddled 120]
"""

import argparse
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selftaught.methods import registry
from selftaught.run import checkpoint
from selftaught.run.recipes import Pretrain
from selftaught.system.lock import LOCK
from selftaught.training.pretrain import pretrain
from tests.reliability.faults import CODES, at_point, dying, failing, points
from tests.reliability.forks import child, forked, over, quietly, reaped, wait_until
from tests.reliability.fuzz import kinds, tried
from tests.reliability.meddled import made
from tests.reliability.meddled import tried as tried_in
from tests.reliability.states import lost_bytes
from tests.reliability.test_faults import struck_everywhere

STEPS = 7
KILLS_A_RUN = 5
INPUTS_A_TRIAL = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--run-faults", type=int, default=66, help="points of a whole run that are struck, of all")
    parser.add_argument("--full-disks", type=int, default=8)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--meddled", type=int, default=120, help="runs that somebody meddles with")
    parser.add_argument("--out", type=Path, default=Path("docs/results/soak.json"), help="the summary")
    parser.add_argument(
        "--log", type=Path, default=Path("runs/soak.jsonl"), help="a line a trial; a later soak goes on with it"
    )
    parser.add_argument("--folder", type=Path, help="where runs are written; default: in memory where there is room")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.folder or _roomy(), prefix="soak-") as folder:
        soak = Soak(asked.log, Path(folder))
        soak.meddled(asked.meddled)
        os.environ["SELFTAUGHT_CACHE"] = f"{folder}/cache"
        soak.inputs(asked.inputs)
        soak.save_faults()
        soak.run_faults(asked.run_faults)
        soak.full_disks(asked.full_disks)
        soak.kills(asked.kills)
    summary = summed(soak.lines)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary, indent=2))
    sys.exit(bool(summary["failures"]))


def _roomy() -> str | None:
    """Memory, whose flushes are free, where it has room for a few runs."""
    place = "/dev/shm"
    return place if os.access(place, os.W_OK) and shutil.disk_usage(place).free > 4 << 30 else None


def command(out: Path, method: str, data: Path, **more: Any) -> Pretrain:
    """Few steps of a tiny network, saved after each."""
    values = {
        "data": str(data),
        "method": {"name": method, "options": {"dim": 4} if method == "wmse" else {}},
        "encoder": "test_vit" if registry.method_class(method).needs_tokens else "test_resnet",
        "batch_size": 8,
        "steps": STEPS,
        "log_every": 1,
        "checkpoint_every": "1",
        "precision": "32-true",
        "layout": "contiguous",
        "out": str(out),
    }
    return Pretrain.parse({**values, **more})


def flags(out: Path, data: Path, *more: str) -> list[str]:
    """The same as words of a command line, for rotation."""
    told = ["pretrain", str(data), "--method", "rotation", "--encoder", "test_resnet", "--batch-size", "8"]
    told += ["--steps", str(STEPS), "--log-every", "1", "--checkpoint-every", "3", "--out", str(out)]
    return [*told, "--precision", "32-true", "--layout", "contiguous", *more]


class Soak:
    """The trials that were made and those that are to be made."""

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
        if (done := self.done("meddled")) < wanted:
            world = made(self.folder / "world")
            for seed in range(done, wanted):
                self.tell("meddled", seed=seed, **tried_in(world, seed))
            shutil.rmtree(world.root)

    def kills(self, wanted: int) -> None:
        """SIGKILL at random moments, half of them inside a checkpoint's writing; some in a row, then the end."""
        methods, done = sorted(registry.places()), self.done("kill")
        a_run = max(1, min(KILLS_A_RUN, wanted // len(methods)))
        while done < wanted:
            method = methods[done // a_run % len(methods)]
            rng = random.Random(done)
            done += self._killed_run(method, rng, min(a_run, wanted - done))

    def _killed_run(self, method: str, rng: random.Random, wanted: int) -> int:
        """One run with some kills, and its end; a kill that came too late is tried again."""
        reference, seconds = self.reference(method)
        out, made = self.folder / f"killed-{method}", []
        failures: list[str] = []
        for attempt in range(20):
            inside = (len(made) + rng.randint(0, 1)) % 2 == 0
            resume, earlier = out.exists(), half_written(out)
            recipe = command(out, method, self.data, resume=resume)
            pid = forked(lambda recipe=recipe: pretrain(recipe))  # type: ignore[misc]
            if inside:  # of the next save or one of those after it; at once, or a moment later
                after = newest_step(out) + rng.randint(0, 3)
                wait_until(lambda after=after: newest_step(out) >= after, pid)  # type: ignore[misc]
                wait_until(lambda earlier=earlier: half_written(out) - earlier, pid)  # type: ignore[misc]
                time.sleep(rng.choice((0.0, rng.uniform(0, 0.004), rng.uniform(0, 0.02))))
            else:
                time.sleep(rng.uniform(0, seconds))
            if over(pid):
                if not (out / "recipe.yaml").exists() or attempt == 19:
                    failures.append("ended by itself without a run")
                    break
                shutil.rmtree(out)  # it was through before the kill: once more, from the start
                continue
            os.kill(pid, signal.SIGKILL)
            reaped(pid)
            half = bool(half_written(out) - earlier)
            made.append({"method": method, "inside": half, **self._after_kill(out)})
            if len(made) == wanted:
                break
        if not failures:
            recipe = command(out, method, self.data, resume=True)
            code = child(lambda: pretrain(recipe))
            failures = [f"resume: exit {code}"] if code else []
        lost = 0 if failures else lost_bytes(out, reference, STEPS)
        failures += ["another state than that of an undisturbed run"] if lost else []
        for facts in made:
            self.tell("kill", **facts)
        self.tell("killed run", method=method, kills=len(made), lost=lost, failures=failures)
        shutil.rmtree(out, ignore_errors=True)
        return max(1, len(made))

    def _after_kill(self, out: Path) -> dict[str, Any]:
        """Whether what a kill left can be gone on from."""
        found = checkpoint.steps(out / "checkpoints")
        if not found:
            return {"step": 0, "failures": []}
        last = checkpoint.named(out / "checkpoints", "last")
        failures = [] if last or len(found) == 1 else ["last names nothing"]
        if last:
            checkpoint.load(last)
        _, state, complaints = checkpoint.load_newest(out / "checkpoints")
        return {"step": state["step"], "failures": failures + complaints}

    def reference(self, method: str) -> tuple[Path, float]:
        """A run that nobody disturbs, and how long it takes."""
        if method not in self._references:
            out, began = self.folder / f"whole-{method}", time.perf_counter()
            assert child(lambda: pretrain(command(out, method, self.data))) == 0, method
            self._references[method] = out, time.perf_counter() - began
        return self._references[method]


def half_written(run: Path) -> set[Path]:
    """Checkpoints that are being written, or were when their process ended."""
    return set((run / "checkpoints").glob(".step_*"))


def newest_step(run: Path) -> int:
    """The step that `last` names; 0 where there is none."""
    last = checkpoint.named(run / "checkpoints", "last")
    return int(last.name[5:12]) if last else 0


def summed(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What the trials come to."""
    of = {kind: [line for line in lines if line["kind"] == kind] for kind in {line["kind"] for line in lines}}
    kills, runs, inputs = of.get("kill", []), of.get("killed run", []), of.get("inputs", [])
    failures = [f"{line['kind']}: {told}" for line in lines for told in line.get("failures", [])]
    struck, meddled = of.get("run fault", []), of.get("meddled", [])
    return {
        "kills": len(kills),
        "kills_while_a_checkpoint_was_written": sum(line["inside"] for line in kills),
        "methods_killed": len({line["method"] for line in kills}),
        "killed_runs_that_ended_bit_for_bit": sum(not line["failures"] and not line["lost"] for line in runs),
        "killed_runs": len(runs),
        "faults_in_saves": sum(line["survived"] for line in of.get("save faults", [])),
        "faults_in_runs": len(struck),
        "full_disks": len(of.get("full disk", [])),
        "bad_inputs": sum(line["tried"] for line in inputs),
        "bad_inputs_refused": sum(line["refused"] for line in inputs),
        "runs_meddled_with": len(meddled),
        "while_they_went_on": sum(line["live"] for line in meddled),
        "meddlings": dict(sorted(Counter(name for line in meddled for name in line["meddlings"]).items())),
        "commands_after": dict(sorted(Counter(code for line in meddled for code in line["codes"]).items())),
        "things_of_others_compared": sum(line["compared"] for line in meddled),
        "bytes_lost": sum(line.get("lost", 0) for line in lines),
        "failures": failures,
    }


if __name__ == "__main__":
    main()
