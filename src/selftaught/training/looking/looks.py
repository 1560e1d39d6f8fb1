"""The looks of a run at its own network: when they are due, what they find and say, and which step is best by them."""

import math
from typing import Any

import numpy as np

from selftaught.contracts.samples import Samples
from selftaught.run.folder import RunFolder
from selftaught.system.errors import DataError
from selftaught.system.profiling import part
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.training.job import Job
from selftaught.training.looking.choice import Choice
from selftaught.training.looking.health import Health, Scores, sound, undisturbed, verdict
from selftaught.training.looking.neighbours import keep_end, keep_start, mapped
from selftaught.training.looking.scores import COSTLY
from selftaught.training.onlooker import Onlooker


class Looks:
    """Looks at a run's network before its first step, when it is time to, and at its end.

    What earlier looks of a resumed run have found is read from its folder. No look changes the network.
    """

    def __init__(self, job: Job, run: RunFolder) -> None:
        self.job, self.run, self.health = job, run, Health(job)
        self.chance = job.method.chance(job.batches.batch_size)
        self.lines = lines = run.metrics()
        self.choice = Choice(job.recipe)
        self.before: Scores = {}  # of the network as the run began with it; empty where nothing tells
        self.known = [line for line in lines if line.get("health")]
        self.taken: list[Scores] = []
        since = next((back for back, line in enumerate(reversed(lines)) if line.get("health")), len(lines))
        self.losses: list[float] = []
        for line in lines[len(lines) - since :]:
            self.note(line["step"], line.get("loss"))
        self.at_start: dict[str, Any] = {}  # what status.json is told of it
        self.state = "learning"  # what the last look of this process said

    def begin(self, start: int) -> None:
        """Before the first step: scores to compare later ones with, as the run began, and who is near whom."""
        self.before = self._known_at_start() if start else self.health.look()
        for line in self.known:
            self._take(line["step"], {**line["health"], "loss": line.get("mean_loss") or math.nan})
        if self.job.recipe.map and not start:
            with undisturbed(self.job):
                fresh = self.job.recipe.init is None
                keep_start(self.run.folder, self.job.shown.encoder, self._mapped(), fresh=fresh)
        scored = {"health_at_start": self.before} if self.before or not start else {}
        self.at_start = scored | self._watched_at_start(start)

    def _known_at_start(self) -> Scores:
        """The scores of the network as the run began, which goes on; none where its status.json does not tell."""
        status = self.run.status
        known: Scores | None = status.get("health_at_start")
        if known is None and status:
            say("note: the version that began the run did not note how it began: looks compare with each other alone")
        elif known is None:
            say("warning: status.json no longer tells how the run began: looks compare with each other alone")
        return known or {}

    def known_of(self, step: int) -> dict[str, Any]:
        """The line that the step which a run goes on with has already; empty where it has none."""
        return next((line for line in reversed(self.lines) if line["step"] == step), {})

    def lacks_onlooker(self, line: dict[str, Any]) -> bool:
        """Whether a look was written down before the onlooker had seen what it sees."""
        return self.job.onlooker is not None and not line.get("watched")

    def due(self, step: int) -> bool:
        """Whether a step is looked at: when it is time to, and the last."""
        return step == self.job.recipe.steps or self.health.due(step)

    def note(self, step: int, loss: float | None) -> None:
        """Take the loss of a line into the mean that goes with the next look; None where it is not finite.

        The line that each start of a run has besides, to show that it lives, is left out: wherever a run was stopped,
        its means are the same.
        """
        regular = step == 1 or step % self.job.recipe.log_every == 0 or self.due(step)
        if regular and loss is not None:
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

    def watched(self, step: int) -> dict[str, Any]:
        """{watched, watched_by, watched_measure}: what the onlooker says of the network as it is now, if there is one.

        It is written down and told, and nothing follows from it, a fault of its own no more than a number.
        """
        onlooker = self.job.onlooker
        if onlooker is None:
            return {}
        try:
            with part("watching"), undisturbed(self.job):
                numbers = onlooker(self.health.encoder())
        except (DataError, OSError, np.linalg.LinAlgError) as error:
            say(f"warning: step {step:,}: nobody could watch: {printable(str(error))}")
            return {}
        if numbers:
            say(f"watch    step {step:,}  {onlooker.in_words(numbers)}")
        return {"watched": numbers, **_by(onlooker)} if numbers else {}

    def _watched_at_start(self, start: int) -> dict[str, Any]:
        """{watched_at_start, watched_by, watched_measure} of step 0, which a run that goes on has in its status.

        None where others have watched it then: that would be no start of this curve.
        """
        onlooker, known = self.job.onlooker, self.run.status
        if onlooker is None:
            return {}
        same = known.get("watched_by") == onlooker.name
        begun = (known.get("watched_at_start") if same else None) if start else self.watched(0).get("watched")
        return {"watched_at_start": begun, **_by(onlooker)}

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
            with undisturbed(self.job):
                keep_end(self.run.folder, step, self.health.encoder(), self._mapped())

    def totals(self, step: int) -> dict[str, Any]:
        """{health, verdict} of the network as it is now, that of `step`, and {watched} where somebody looked on."""
        health = self.recorded(step)
        if not set(COSTLY) <= set(health):
            health = {**health, **self.health.closer_look()}
        line = self._line(step)
        watched = {"watched": line["watched"]} if line.get("watched") else {}
        return {"health": health, "verdict": line.get("verdict") or self.state, **watched}

    def _mapped(self) -> Samples:
        seen = self.job.recipe.steps * self.job.batches.batch_size
        return mapped(self.run.folder, self.job.samples, self.job.recipe.map, seen)


def _by(onlooker: Onlooker) -> dict[str, str]:
    """{watched_by, watched_measure}: who says so, and what the numbers are."""
    return {"watched_by": onlooker.name, "watched_measure": onlooker.measure}
