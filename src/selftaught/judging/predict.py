"""What a classifier says of new samples."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import nn

from selftaught.contracts import modality
from selftaught.judging.finetune import scores_of
from selftaught.judging.transfer import probabilities_of
from selftaught.run.classifier import load_classifier
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.errors import UsageError
from selftaught.system.files import replacing
from selftaught.system.interruption import poll
from selftaught.system.progress import Progress
from selftaught.system.quarantine import list_beside
from selftaught.system.saying import say
from selftaught.system.text import printable


@dataclass
class Predictions:
    """What a classifier says of samples."""

    keys: list[str]
    classes: list[str]
    probabilities: NDArray[Any]  # (N, classes)
    quarantined: list[tuple[str, str]]  # what could not be read, with the reason
    unread: Path | None = None  # the file that lists it

    @property
    def predicted(self) -> list[str]:
        """The likeliest class of each sample."""
        return [self.classes[number] for number in self.probabilities.argmax(axis=1)]

    def counts(self) -> dict[str, int]:
        """How many samples of each class there seem to be."""
        counts = Counter(self.predicted)
        return {name: counts[name] for name in self.classes}

    def write(self, out: Path, every: bool = False) -> None:
        """A CSV of path,predicted,probability and, where every class is wanted, a column for each.

        Names are written as the disk has them, byte by byte, so that they can be looked up and given back as labels.
        What could not be read is listed beside it, in <name>-quarantine.csv or, where that is taken, in
        <name>-quarantine-2.csv and so on.
        """
        exactly: Any = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
        with replacing(out) as temporary, temporary.open("w", **exactly) as stream:
            writer = csv.writer(stream)
            writer.writerow(["path", "predicted", "probability", *(self.classes if every else [])])
            for key, name, likely in zip(self.keys, self.predicted, self.probabilities, strict=True):
                poll()
                cells = [f"{likely.max():.6f}", *(f"{p:.6f}" for p in likely if every)]
                writer.writerow([key, name, *cells])
        if self.quarantined:
            self.unread = list_beside(out.with_suffix(""), self.quarantined)


def predict(
    folder: str | Path,
    data: str | Path | NDArray[Any],
    out: str | Path | None = None,
    *,
    every: bool = False,
    limit: int | None = None,
    module: nn.Module | None = None,
) -> Predictions:
    """What the classifier in `folder` says of `data`, written to the CSV file `out` if one is named."""
    if out is not None and Path(out).suffix.lower() != ".csv":
        raise UsageError(f"--out {printable(str(out))} must end in .csv")
    classifier = load_classifier(folder, module)
    kind = modality.named(classifier.preparation.modality)
    if modality.of(data) is not kind:
        raise UsageError(f"the classifier takes {kind.THINGS}, and the data holds {modality.of(data).THINGS}")
    keep_freed_memory()
    how = {"like": classifier.preparation, "limit": limit, "tolerance": 1.0}
    samples = kind.open_samples(data, progress=lambda done, total: poll(), **how)
    for note in samples.notes:
        say(note)
    with Progress("predicting", samples.count, kind.THINGS) as bar:
        scores = scores_of(classifier, samples, bar.update)
    probabilities = probabilities_of(scores, classifier.temperature)
    said = Predictions(list(samples.keys), classifier.classes, probabilities, samples.quarantined)
    if out is not None:
        said.write(Path(out), every)
        if said.quarantined:
            say(f"warning: {len(said.quarantined):,} {kind.THINGS} cannot be read, see {printable(said.unread)}")
    return said
