"""SIGKILL at random moments of a run, half of them inside a checkpoint's writing; then its end, bit for bit."""

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from selftaught.methods import registry
from selftaught.run import checkpoint
from selftaught.training.pretrain import pretrain
from tests.reliability.forks import child, forked, over, reaped, wait_until
from tests.reliability.states import lost_bytes
from tests.reliability.trials import STEPS, Trials, command

KILLS_A_RUN = 5


def kill(trials: Trials, wanted: int) -> None:
    """SIGKILL at random moments, half of them inside a checkpoint's writing; some in a row, then the end."""
    images = (name for name in registry.places() if registry.kind_of(registry.method_class(name)) == "images")
    methods, done = sorted(images), trials.done("kill")
    a_run = max(1, min(KILLS_A_RUN, wanted // len(methods)))
    while done < wanted:
        method = methods[done // a_run % len(methods)]
        rng = random.Random(done)
        done += _killed_run(trials, method, rng, min(a_run, wanted - done))


def _killed_run(trials: Trials, method: str, rng: random.Random, wanted: int) -> int:
    """One run with some kills, and its end; a kill that came too late is tried again."""
    reference, seconds = trials.reference(method)
    out, made = trials.folder / f"killed-{method}", []
    failures: list[str] = []
    for attempt in range(20):
        inside = (len(made) + rng.randint(0, 1)) % 2 == 0
        resume, earlier = out.exists(), half_written(out)
        recipe = command(out, method, trials.data, resume=resume)
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
        made.append({"method": method, "inside": half, **_after_kill(out)})
        if len(made) == wanted:
            break
    if not failures:
        recipe = command(out, method, trials.data, resume=True)
        code = child(lambda: pretrain(recipe))
        failures = [f"resume: exit {code}"] if code else []
    lost = 0 if failures else lost_bytes(out, reference, STEPS)
    failures += ["another state than that of an undisturbed run"] if lost else []
    for facts in made:
        trials.tell("kill", **facts)
    trials.tell("killed run", method=method, kills=len(made), lost=lost, failures=failures)
    shutil.rmtree(out, ignore_errors=True)
    return max(1, len(made))


def _after_kill(out: Path) -> dict[str, Any]:
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


def half_written(run: Path) -> set[Path]:
    """Checkpoints that are being written, or were when their process ended."""
    return set((run / "checkpoints").glob(".step_*"))


def newest_step(run: Path) -> int:
    """The step that `last` names; 0 where there is none."""
    last = checkpoint.named(run / "checkpoints", "last")
    return int(last.name[5:12]) if last else 0
