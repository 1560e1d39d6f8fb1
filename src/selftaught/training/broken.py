"""Samples that are found to be broken while training goes on: they are listed, and too many of them end the run.

Only where not all were looked at before the first step. What stands in their place see `data/replacing.py`.
"""

import math
from collections import deque
from collections.abc import Iterable

from selftaught.contracts import modality
from selftaught.run.folder import RunFolder
from selftaught.run.replaced import note_replaced
from selftaught.system import processes
from selftaught.system.interruption import undeterred
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.training.job import Job

WINDOW = 10_000  # samples met last, among which no more may be broken than the tolerance allows


def describe_data(job: Job, run: RunFolder) -> None:
    """Write what there is to learn from, and what of it cannot be used; of a run that goes on, what it has met, too."""
    samples, looked, facts = job.samples, job.samples.sampled, None
    keys: Iterable[str] = samples.keys
    if looked:
        keys = (samples.keys[row] for row in looked.rows.tolist())
        facts = {"samples": len(looked.rows), "broken": len(looked.broken), **looked.facts}
    words = samples.preparation.in_words()
    run.write_data(modality.named(samples.preparation.modality).THINGS, words, samples.count, keys, facts)
    met = [(samples.keys[row], why) for row, why in job.listed.items() if looked and row not in looked.broken]
    run.write_quarantine([*samples.quarantined, *met])


class Met:
    """What is known, in one process, of the broken samples that training has met; the processes tell each other.

    How many a step has met travels with what the guard of the step sums; which ones, now and then, as JSON.
    """

    def __init__(self, job: Job, run: RunFolder, start: int) -> None:
        """Of a run that goes on, the window is as it was: which samples a step had is known."""
        self.job, self.run = job, run
        self.of = min(WINDOW, job.samples.count)
        self._last = deque[float](maxlen=math.ceil(self.of / job.batches.batch_size))
        self._listed, self._new = set(job.listed), dict[int, str]()
        self._told = self._any = False
        for step in range(max(0, start - (self._last.maxlen or 0)), start if self._listed else 0):
            self._last.append(sum(row in self._listed for row in job.batches.all_rows(step).tolist()))

    def count(self, step: int) -> float:
        """How many samples of this process's share of the batch before a step were broken."""
        if self.job.samples.sampled is None:
            return 0
        rows = self.job.batches.rows(step - 1)
        broken = self.job.samples.replaced(rows)
        self._new |= {row: why for row, why in broken.items() if row not in self._listed}
        return sum(row in broken for row in rows.tolist())

    def follow(self, step: int, count: float, due: bool) -> str | None:
        """Take in how many broken samples all processes met in a step; what to end the run with, if these are too many.

        due: whether it is time to list them, in all processes alike.
        """
        self._last.append(count)
        self._any = self._any or count > 0
        too_many = sum(self._last) > self.job.recipe.tolerance * self.of
        if due or too_many:
            self.list(step)
        return self._too_many() if too_many else None

    def list(self, step: int) -> None:
        """Let all processes know what each has met, and write it down."""
        if not self._any:
            return
        with undeterred():  # or one would go while the others wait
            told = processes.exchanged(sorted(self._new.items()))
        found = dict(sorted((row, why) for own in told for row, why in own))
        self._new, self._any = {}, False
        self._listed |= set(found)
        self.job.samples.know_broken(found)
        if found and processes.leads():
            self._write(step, found)

    def _write(self, step: int, found: dict[int, str]) -> None:
        keys = self.job.samples.keys
        note_replaced(self.run.folder, step, [(row, keys[row], why) for row, why in found.items()])
        if not self._told:
            row, why = next(iter(found.items()))
            things = f"{self._things()} that are broken are replaced by others, and listed in {self.run.folder}"
            say(f"warning: step {step:,}: {things}/quarantine.csv; one is {printable(keys[row])}: {printable(why)}")
        self._told = True

    def _things(self) -> str:
        return modality.named(self.job.samples.preparation.modality).THINGS

    def _too_many(self) -> str:
        allowed = f"more than {100 * self.job.recipe.tolerance:g}%"
        met = f"{sum(self._last):.0f} of the last {self.of:,} {self._things()} met cannot be decoded, {allowed}"
        listed = f"all that were met are listed in {self.run.folder / 'quarantine.csv'}"
        return f"{met}; {listed}; this step is kept: go on without them by --resume --tolerance 5%, or what you allow"
