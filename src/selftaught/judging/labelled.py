"""Labelled samples, opened as an encoder takes them, and which of them are copies of each other."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts import modality
from selftaught.contracts.modality import Preparation, Samples
from selftaught.judging.splits import Rows, held_out
from selftaught.system.errors import DataError, UsageError
from selftaught.system.interruption import Stop
from selftaught.system.progress import Progress
from selftaught.system.quarantine import warn_of
from selftaught.system.saying import say
from selftaught.system.text import printable

HASHED = 250  # samples at a time


@dataclass
class Labelled:
    """Labelled samples: those to learn from, those of a test set if there is one, and all their classes."""

    train: Samples
    test: Samples | None
    classes: NDArray[np.int64]  # of the training samples followed by the test samples
    names: list[str]  # of the classes, safe to print
    content: NDArray[np.int64]  # of each of them a number, the same for the same content

    @property
    def sources(self) -> list[Samples]:
        """Training samples, then test samples."""
        return [self.train, self.test] if self.test else [self.train]

    @property
    def tested(self) -> int:
        """How many samples an accuracy is measured on."""
        return self.test.count if self.test else self.train.count

    def subset(self, rows: Rows) -> Samples:
        """Samples by row; all of one source."""
        if self.test and rows[0] >= self.train.count:
            return self.test.subset(rows - self.train.count)
        return self.train.subset(rows)

    def apart(self, train: Rows, test: Rows) -> Rows:
        """Those of the `train` rows whose content is not among the `test` rows: a copy there would be no test."""
        return train[~np.isin(self.content[train], self.content[test])]

    @property
    def told_apart(self) -> Rows:
        """The training rows that may be learnt from where there is a test set."""
        return self.apart(np.arange(self.train.count), np.arange(self.train.count, len(self.classes)))

    @property
    def copies(self) -> int:
        """How many training samples have a copy among what is judged: in the test set or, in folds, anywhere."""
        if self.test:
            return self.train.count - len(self.told_apart)
        return int((np.bincount(self.content)[self.content] > 1).sum())


def open_labelled(
    run: str,
    preparation: Preparation,
    train: tuple[str, Path | None],
    test: tuple[str | None, Path | None],
    limit: int | None,
    seed: int,
    stop: Stop,
    tolerance: float,
) -> Labelled:
    """The labelled samples of two sources, each the data and perhaps a CSV of its labels, as `preparation` says.

    Copies on both sides are told aloud. Raises DataError where they cannot be judged on.
    """
    kind = modality.named(preparation.modality)

    def opened(data: str, labels: Path | None, **how: bool) -> Samples:
        if modality.of(data) is not kind:
            held = modality.of(data).THINGS
            raise UsageError(f"the encoder of {printable(run)} takes {kind.THINGS}, and {printable(data)} holds {held}")
        with Progress("reading", 0, kind.THINGS) as bar:
            samples = kind.open_samples(
                data,
                like=preparation,
                labels=labels,
                labelled=True,
                limit=limit,
                seed=seed,
                tolerance=tolerance,
                progress=bar.polled(stop.poll),
                **how,
            )
        warn_of(samples.quarantined, data)
        return samples

    wanted = [train, (test[0], test[1])] if test[0] else [train]
    sources = [opened(*source) for source in wanted]
    if len({_stored_shape(samples) for samples in sources}) > 1:  # copies would look unlike each other
        sources = [opened(*source, native=False) for source in wanted]
    learnt, judged = sources[0], sources[1] if test[0] else None
    called = [[printable(label) for label in samples.labels or []] for samples in sources]
    names = sorted(set(called[0]))
    if len(names) < 2:
        told = f"only one class, {names[0]!r}" if names else "no labels"
        raise DataError(f"{learnt.name} has {told}: there is nothing to tell apart")
    if unseen := sorted(set(called[-1]) - set(names)):
        raise DataError(f"--test has classes that --train has not: {', '.join(unseen[:5])}")
    number = {name: i for i, name in enumerate(names)}
    classes = np.array([number[name] for of_one in called for name in of_one])
    data = Labelled(learnt, judged, classes, names, _contents(sources, stop))
    _tell_copies(data, kind.THINGS)
    return data


def spare(data: Labelled, rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Of training `rows` those to learn from, and the share that is held out; no copy is on both sides."""
    learnt, held = held_out(data.classes[rows], data.content[rows], share, seed)
    return without_losing(data, rows, data.apart(rows[learnt], rows[held])), rows[held]


def without_losing(data: Labelled, rows: Rows, left: Rows) -> Rows:
    """Those `left` of training `rows`. Raises DataError where a class has lost all of its samples."""
    if lost := np.setdiff1d(data.classes[rows], data.classes[left]).tolist():
        told = ", ".join(data.names[number] for number in lost[:5])
        raise DataError(f"all samples of {told} have copies among what is judged: nothing is left to learn from")
    return left


def _tell_copies(data: Labelled, things: str) -> None:
    if not data.copies:
        return
    if data.test is None:
        say(f"warning: {data.copies:,} {things} have a copy among the others; no fold learns what it is judged on")
        return
    say(f"warning: {data.copies:,} {things} of --train are in --test as well; they are not learnt from")
    without_losing(data, np.arange(data.train.count), data.told_apart)


def _stored_shape(samples: Samples) -> tuple[int, ...]:
    return tuple(samples.batch(np.arange(1))[0].shape[1:])


def _contents(sources: list[Samples], stop: Stop) -> NDArray[np.int64]:
    """A number for each sample, the same for the same decoded values, over all sources."""
    numbers: dict[bytes, int] = {}
    found = []
    for samples in sources:
        for start in range(0, samples.count, HASHED):
            stop.poll()
            stored = [part.numpy() for part in samples.batch(np.arange(start, min(start + HASHED, samples.count)))]
            for part in stored:
                if part.dtype.kind == "f" and not (fine := np.isfinite(part.reshape(len(part), -1)).all(axis=1)).all():
                    key = printable(samples.keys[start + int(fine.argmin())])
                    raise DataError(
                        f"{printable(samples.name)}: {key} holds a value that is not finite (NaN or infinite)"
                    )
            for row in range(len(stored[0])):
                digest = hashlib.blake2b(digest_size=16)
                for part in stored:
                    digest.update(f"{part.shape[1:]}{part.dtype}".encode() + part[row].tobytes())
                found.append(numbers.setdefault(digest.digest(), len(numbers)))
    return np.array(found, dtype=np.int64)
