"""The looks of a run at its own network: when they are due, what they find and say, and which step is best by them."""

import math
from typing import Any

import numpy as np

from selftaught.contracts.modality import Samples
from selftaught.run.folder import RunFolder
from selftaught.system.saying import say
from selftaught.training.job import Job
from selftaught.training.looking.choice import Choice
from selftaught.training.looking.health import Health, Scores, sound, undisturbed, verdict
from selftaught.training.looking.neighbours import keep_end, keep_start, mapped
from selftaught.training.looking.scores import COSTLY


class Looks:
    """Looks at a run's network before its first step, when it is time to, and at its end.

    What earlier looks of a resumed run have found is read from its folder. No look changes the network.
    """

    def __init__(self, job: Job, run: RunFolder) -> None:
        self.job, self.run, self.health = job, run, Health(job)
        self.chance = job.method.chance(job.batches.batch_size)
        lines = run.metrics()
        self.choice = Choice(job.recipe)
        self.before: Scores = {}  # of the network as the run began with it
        self.known = [line for line in lines if line.get("health")]
        self.taken: list[Scores] = []
        since = next((back for back, line in enumerate(reversed(lines)) if line.get("health")), len(lines))
        self.losses = [line["loss"] for line in lines[len(lines) - since :] if line.get("loss") is not None]
        self.state = "learning"  # what the last look of this process said

    def begin(self, start: int) -> None:
        """Before the first step: scores to compare later ones with, as the run began, and who is near whom."""
        self.before = (self.run.status.get("health_at_start") if start else None) or self.health.look()
        for line in self.known:
            self._take(line["step"], {**line["health"], "loss": line.get("mean_loss") or math.nan})
        if self.job.recipe.map and not start:
            with undisturbed(self.job.method):
                fresh = self.job.recipe.init is None
                keep_start(self.run.folder, self.job.method.encoder, self._mapped(), fresh=fresh)

    def note(self, loss: float | None) -> None:
        """Take a logged loss into the mean that goes with the next look; None where it is not finite."""
        if loss is not None:
            self.losses.append(loss)

    def take(self, step: int) -> dict[str, Any]:
        """{mean_loss, health, verdict} of the network as it is now, for the line of this step.

        A verdict is said aloud when it turns for the worse. Nothing where features are not finite.
        """
        scores = self.health.look()
        if not scores:
            return {}
        if self.choice.name in COSTLY:
            scores |= self.health.closer_look()
        mean = float(np.mean(self.losses)) if self.losses else math.nan
        self._take(step, {**scores, "loss": mean})
        self.losses = []
        state, words = self._said(step)
        if words and state != self.state:
            say(f"warning: step {step:,}: {words}")
        self.state = state
        return {"mean_loss": mean if math.isfinite(mean) else None, "health": scores, "verdict": words or state}

    def _take(self, step: int, look: Scores) -> None:
        self.taken.append(look)
        self.choice.note(step, look, sound(self.taken, self.before))

    def _said(self, step: int) -> tuple[str, str]:
        """What the looks up to this step say, as a state and in words."""
        training = self.job.training
        warm = step >= training.warmup * self.job.recipe.steps
        return verdict(self.taken, self.before, self.chance, training.lr if warm else None)

    def recorded(self, step: int) -> Scores:
        """What the look at a step has found, or the last look before it, as the log has it."""
        health: Scores = self._line(step).get("health", {})
        return health

    def _line(self, step: int) -> dict[str, Any]:
        lines = [line for line in self.run.metrics() if line.get("health") and line["step"] <= step]
        return lines[-1] if lines else {}

    def end(self, step: int) -> None:
        """Keep where the network as it is now, that of `step`, puts samples, and who is near whom, for the page."""
        if self.job.recipe.map:
            with undisturbed(self.job.method):
                keep_end(self.run.folder, step, self.health.encoder(), self._mapped())

    def totals(self, step: int) -> dict[str, Any]:
        """{health, verdict} of the network as it is now, that of `step`."""
        health = self.recorded(step)
        if not set(COSTLY) <= set(health):
            health = {**health, **self.health.closer_look()}
        return {"health": health, "verdict": self._line(step).get("verdict") or self.state}

    def _mapped(self) -> Samples:
        seen = self.job.recipe.steps * self.job.batches.batch_size
        return mapped(self.run.folder, self.job.samples, self.job.recipe.map, seen)
