"""What a classifier says of new samples."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.samples import Samples
from selftaught.data.opening import refuse_other_kind, tell_notes
from selftaught.data.sources.handed import handed
from selftaught.data.sources.labels import several_text
from selftaught.judging.finetune import scores_of
from selftaught.judging.metrics import EVEN
from selftaught.judging.sorting import Sorting, files_of, refuse_name, refuse_target, sort_into
from selftaught.judging.targets import BETWEEN
from selftaught.run.classifier import Calibrated, load_classifier
from selftaught.run.meaning import Meaning
from selftaught.run.recipes import Predict
from selftaught.system import generators, outputs
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.devices import device_of, unmoved
from selftaught.system.errors import UsageError
from selftaught.system.interruption import poll
from selftaught.system.progress import Progress
from selftaught.system.quarantine import list_beside, warn_of
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.system.written import first_rows

CLASSES, NUMBERS = ["path", "predicted", "probability"], ["path", "predicted", "low", "high"]  # of tables


@dataclass
class Predictions:
    """What a classifier says of samples."""

    keys: list[str]
    classes: list[str]  # or labels; none where it says numbers
    probabilities: NDArray[Any]  # (N, classes)
    quarantined: list[tuple[str, str]]  # what could not be read, with the reason
    unread: Path | None = None  # the file that lists it
    meaning: Meaning = field(default_factory=Meaning)  # such as the task, and the thresholds of labels
    values: NDArray[Any] | None = None  # numbers (N,), where it says these
    sorting: Sorting | None = None  # what became of the files, where they were sorted into folders

    @property
    def said(self) -> list[list[int]]:
        """Of each sample the classes or labels, by number: the likeliest class, or those labels that are likely."""
        if self.meaning.task == "several":
            return [np.flatnonzero(likely >= self._thresholds).tolist() for likely in self.probabilities]
        return [[number] for number in self.probabilities.argmax(axis=1).tolist()] if self.classes else []

    @property
    def predicted(self) -> list[Any]:
        """The likeliest class of each sample, its labels with a `;` between them, alone for none, or its number."""
        if self.values is not None:
            return self.values.tolist()
        named = [[self.classes[number] for number in own] for own in self.said]
        return [several_text(own) for own in named]

    @property
    def surest_first(self) -> "Predictions":
        """The same, the likeliest classes before the others."""
        order = np.argsort(-self.probabilities.max(axis=1), kind="stable")
        return replace(self, keys=[self.keys[row] for row in order], probabilities=self.probabilities[order])

    def counts(self) -> dict[str, int]:
        """How many samples of each class, or with each label, there seem to be."""
        counts = Counter(number for own in self.said for number in own)
        return {name: counts[number] for number, name in enumerate(self.classes)}

    def range(self) -> dict[str, float]:
        """The lowest number, their mean and the highest; nothing where there are none."""
        values = self.values
        if values is None:
            return {}
        return {"lowest": float(values.min()), "mean": float(values.mean()), "highest": float(values.max())}

    def write(self, out: Path, every: bool = False, overwrite: bool = False) -> None:
        """A CSV of path,predicted,probability and, where every class is wanted, a column for each.

        Of several labels `probability` has that of each that is said, likewise with a `;` between them; where none is,
        `predicted` is `;`, known to have none, as nothing would be nothing known. Of numbers there are
        path,predicted,low,high in its place, the ends of the interval that is to hold 95 %, where it is known; where
        few samples chose it, it holds less, the share `meaning.held`.
        Names are written as the disk has them, byte by byte, so that they can be looked up and given back as labels.
        What could not be read is listed beside it, in <name>-quarantine.csv or, where that is taken, in
        <name>-quarantine-2.csv and so on. Raises UsageError where `out` is another file, unless it is to `overwrite`.
        """
        header = NUMBERS if self.values is not None else [*CLASSES, *(self.classes if every else [])]
        rows = ([key, *cells] for key, cells in zip(self.keys, self._cells(every), strict=True))
        with outputs.brought(out, "--out", overwrite, _is_table) as temporary:
            outputs.write_table(temporary, header, rows)
        if self.quarantined:
            self.unread = list_beside(out.with_suffix(""), self.quarantined)

    def _cells(self, every: bool) -> Iterator[list[str]]:
        """What stands behind the path of each sample."""
        if self.values is not None:
            margin, written = self.meaning.margin, self.meaning.written
            for value in self.values.tolist():
                ends = ["", ""] if margin is None else [written(value - margin), written(value + margin)]
                yield [written(value), *ends]
            return
        for name, own, likely in zip(self.predicted, self.said, self.probabilities, strict=True):
            sure = BETWEEN.join(f"{likely[number]:.6f}" for number in own)
            yield [name, sure, *(f"{p:.6f}" for p in likely if every)]

    @property
    def _thresholds(self) -> NDArray[Any]:
        return np.array(self.meaning.thresholds or (EVEN,) * len(self.classes))


def predict(
    folder: str | Path,
    data: Any,
    out: str | Path | None = None,
    *,
    every: bool = False,
    limit: int | None = None,
    column: str | None = None,
    sort: str = "data",
    threshold: float | None = None,
    move_into: str | Path | None = None,
    how: str = "copy",
    overwrite: bool = False,
    module: nn.Module | None = None,
) -> Predictions:
    """What the classifier in `folder` says of `data`, written to the CSV file `out` if one is named.

    data: a path or a name, or whatever `selftaught.pretrain` takes; every: whether `out` has a column for each class,
    too, which `probabilities` hold anyway; column: what of the data holds the images; sort: data, or confidence, the
    surest first; move_into: a folder for copies, or links (`how`), of the samples' files, in one for each class, but
    for those that are less sure than `threshold`; overwrite: replace `out`, whoever wrote it.

    Samples that cannot be read have no place among `keys`, `predicted` and `probabilities`; they stand in
    `quarantined`, and a line says so.
    """
    if threshold is not None and move_into is None:
        raise UsageError("--threshold says what is sure enough to be sorted: it needs --move-into")
    if how == "link" and move_into is None:
        raise UsageError("--how link says how files are sorted: it needs --move-into")
    given: dict[str, Any] = {"every": every, "limit": limit, "column": column, "sort": sort, "threshold": threshold}
    given |= {"how": how, "classifier": folder, "out": out, "move_into": move_into, "overwrite": overwrite}
    with generators.kept("predict"), handed(data, column) as named, unmoved(module):
        asked = _Asked.parse({**given, "data": named})
        if asked.move_into is not None:
            refuse_target(asked.move_into, asked.data)
        return _predicted(asked, module)


class _Asked(Predict):
    """What is asked for in Python, where it need not be written."""

    model_config = ConfigDict(title="predict")

    out: str | None = None  # type: ignore[assignment]

    @property
    def surest_first(self) -> bool:
        return self.sort == "confidence"


def _predicted(asked: _Asked, module: nn.Module | None) -> Predictions:
    folder, data, out = asked.classifier, asked.data, asked.out
    classifier = load_classifier(folder, module).to(device_of("auto"))
    outputs.refuse_taken({"--out": out}, asked.overwrite, {"--out": {".csv": _is_table}})
    if asked.every and not classifier.classes:
        raise UsageError(f"--all: {printable(folder)} says numbers, and tells no classes apart")
    if (asked.surest_first or asked.move_into) and classifier.task != "classes":
        flag = "--move-into" if asked.move_into else "--sort confidence"
        held = "numbers" if classifier.task == "number" else "several labels a sample"
        raise UsageError(f"{flag} needs a classifier of classes, and {printable(folder)} says {held}")
    for name in classifier.classes if asked.move_into else ():
        refuse_name(name)
    kind = modality.named(classifier.preparation.modality)
    refuse_other_kind("the classifier", kind, data)
    if doubts := classifier.meaning.doubts():
        say(f"warning: {printable(folder)}: {doubts}")
    keep_freed_memory()
    how = {"like": classifier.preparation, "tolerance": 1.0, "limit": asked.limit, "column": asked.column}
    samples = kind.open_samples(data, progress=lambda done, total: poll(), **how)
    tell_notes(samples.notes, data)
    files = files_of(data, samples.keys, kind.THINGS) if asked.move_into else []
    with Progress("predicting", samples.count, kind.THINGS) as bar:
        scores = scores_of(classifier, samples, bar.update)
    said = _said(classifier, samples, classifier.meaning.answers(scores.double()).numpy())
    if asked.move_into:
        sure = said.probabilities.max(axis=1).tolist()
        told = list(zip(said.keys, said.predicted, sure, strict=True))
        said.sorting = sort_into(asked.move_into, files, told, asked.threshold or 0.0, asked.how)
    said = said.surest_first if asked.surest_first else said
    if out is not None:
        said.write(Path(out), asked.every, asked.overwrite)
        if said.quarantined:
            say(f"warning: {len(said.quarantined):,} {kind.THINGS} cannot be read, see {printable(said.unread)}")
    else:
        warn_of(said.quarantined, data)
    return said


def _is_table(file: Path) -> bool:
    """Whether a file is a table of predictions, of whichever classes where it has a column for each.

    Those columns have what stands under `probability`, which a column that somebody has added has not.
    """
    header, first = first_rows(file)
    if header in (CLASSES, NUMBERS):
        return True
    every = len(header) > len(CLASSES) + 1 and header[: len(CLASSES)] == CLASSES and len(first) == len(header)
    return every and {*filter(None, first[2].split(BETWEEN))} <= {*first[len(CLASSES) :]}


def _said(classifier: Calibrated, samples: Samples, answers: NDArray[Any]) -> Predictions:
    numbers = classifier.task == "number"
    return Predictions(
        list(samples.keys),
        classifier.classes,
        np.empty((len(answers), 0)) if numbers else answers,
        samples.quarantined,
        meaning=classifier.meaning,
        values=answers if numbers else None,
    )
