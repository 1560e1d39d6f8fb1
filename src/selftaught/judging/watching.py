"""Labels that watch a pre-training: what simple probes make of its encoder at each look, and nothing comes of it.

Training is handed an `Onlooker`, and so never sees a label.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.contracts.modality import Modality
from selftaught.contracts.samples import Preparation
from selftaught.data.opening import held_in, naming
from selftaught.data.sources.handed import MARK
from selftaught.data.sources.open import COLUMNS
from selftaught.judging import probe as probes
from selftaught.judging.finetune import Tuning
from selftaught.judging.labelled import Labelled, Split, spare
from selftaught.judging.measures import measure_of, values
from selftaught.judging.opening import open_labelled
from selftaught.judging.probe import Exam
from selftaught.judging.shown import OWN, Shown
from selftaught.judging.subsets import Rows
from selftaught.judging.units import called, written
from selftaught.run.digests import WATCHED, add_digests
from selftaught.run.recipes import Evaluate, Pretrain
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable
from selftaught.training.looking.features import features

MOST = 2000  # labelled samples, which a look has to take the features of
JUDGED = (0.2, 0.5)  # the share that is judged: the second where classes are too small for the first
FEWEST = 10  # judged samples, copies being one; by fewer a curve would be a matter of luck
ASKED = {"knn": "kNN", "linear": "linear"}  # probes, and what people call them
WORDS = "labels watch, they teach nothing"


class Watching:
    """Labelled samples, in a part to learn a probe from and one that is judged; see `Onlooker`."""

    def __init__(self, data: Labelled, seed: int) -> None:
        """Draws the parts, once. Raises DataError where there is too little to judge."""
        learnt, judged = _parts(data, seed)
        self.data = data
        self.exam = Exam(data=data, split=Split(0, learnt, judged), seed=seed, tuning=Tuning())
        self.measure = measure_of(data)
        self.name = _identity(data, learnt, judged, self.measure)
        things = modality.named(data.train.preparation.modality).THINGS
        self.about = (
            f"{data.train.count:,} labelled {things} {_of_what(data)}, {len(learnt):,} to learn a probe from and "
            f"{len(judged):,} to judge it{self._by_what()}; {WORDS}"
        )

    def begin(self, folder: Path) -> None:
        """Add the digests of all samples to those in the folder: who watched is to be known when the run is judged."""
        if (digests := self.data.train.digests()) is not None:
            add_digests(folder, WATCHED, digests)

    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """The measure of each probe, by its name; copies count once."""
        z = features(encoder, self.data.train)
        if not np.isfinite(z).all():
            return {}
        taken = {"features": z, "shown": Shown({OWN: z}, self.exam.split.train)}
        return {name: self._measured(probes.named(name), taken) for name in ASKED}

    def _measured(self, probe: probes.Probe, taken: Mapping[str, Any]) -> float:
        judged = self.exam.split.test
        said = probe.predict(taken[probe.takes], self.exam)
        self.exam.chosen.clear()
        found = values(self.data.task, [[(said, self.data.truth[judged])]], [[self.data.group[judged]]])
        return round(found[self.measure], 4)

    def in_words(self, numbers: Mapping[str, float]) -> str:
        """In points: kNN 41.2  linear 45.0, or an R² of each."""
        shown = "  ".join(f"{ASKED[name]} {written(self.measure, value)}" for name, value in numbers.items())
        return f"{shown}{self._by_what()}  ({WORDS})"

    def _by_what(self) -> str:
        return "" if self.measure == "accuracy" else f" by {called(self.measure)}"


def invited(recipe: Pretrain, preparation: Preparation) -> Watching:
    """The labelled samples of --watch-labels, as the encoder takes them. Raises DataError and UsageError."""
    refuse_other(recipe, modality.named(preparation.modality))
    asked = _as_judged(recipe)
    try:
        return Watching(open_labelled(asked, preparation), asked.seed)
    except (DataError, UsageError) as error:
        way = "; `--watch-labels none` goes on without" if recipe.resume else ""
        raise (DataError if isinstance(error, DataError) else UsageError)(f"--watch-labels: {error}{way}") from None


def refuse_other(recipe: Pretrain, kind: Modality) -> None:
    """Raise UsageError where the labelled samples are not of this kind."""
    labelled = str(recipe.watched_by)
    if modality.of(labelled) is not kind:
        held = f"{held_in(labelled)}, and the run learns from {kind.THINGS}{naming(kind, labelled)}"
        way = f"name labelled {kind.THINGS}, and a CSV of path,label, where they need one, by --watch-labels-csv"
        raise UsageError(f"--watch-labels: {held}; {way}")


def _as_judged(recipe: Pretrain) -> Evaluate:
    """The question as judging knows it, about a run that is still to come."""
    labelled, csv = str(recipe.watched_by), recipe.watch_labels_csv
    # A name of a column is meant for the run's own data, and is asked of others only where they have columns.
    alike = labelled.lower().endswith(COLUMNS) or (labelled.startswith(MARK) and recipe.data.startswith(MARK))
    how: dict[str, Any] = {"limit": MOST, "seed": recipe.seed % (1 << 31), "tolerance": recipe.tolerance}
    if alike:
        how |= {"label_column": recipe.label_column if csv is None else None, "column": recipe.column}
    return Evaluate(run="", train=labelled, train_labels=csv, **how)


def _of_what(data: Labelled) -> str:
    """Of how many classes or labels the samples are."""
    if data.task == "number":
        return "with a number each"
    return f"of {len(data.names):,} {'classes' if data.task == 'classes' else 'labels'}"


def _parts(data: Labelled, seed: int) -> tuple[Rows, Rows]:
    """Rows to learn from and rows that are judged, stratified, no copy on both sides."""
    rows, most = np.arange(data.train.count), 0
    for share in JUDGED:
        learnt, judged = spare(data, rows, share, seed)
        most = max(most, different := len(np.unique(data.group[judged])))
        if different >= FEWEST:
            _refuse_alike(data, learnt, judged)
            return learnt, judged
    raise DataError(
        f"{printable(data.train.name)} has {data.train.count:,} labelled samples {_of_what(data)}, of which {most} "
        f"could be judged and the rest learnt from: {FEWEST} are the fewest that say anything; name more"
    )


def _refuse_alike(data: Labelled, learnt: Rows, judged: Rows) -> None:
    """Raise DataError where all labels of a part are one, so that nothing can be learnt from it, or measured on it."""
    for rows, what in ((learnt, "learnt from"), (judged, "judged")):
        if data.task != "classes" and len(np.unique(data.truth[rows], axis=0)) < 2:
            raise DataError(
                f"{printable(data.train.name)}: all of the {len(rows):,} samples that would be {what} have one label: "
                "there is nothing to tell apart; name more"
            )


def _identity(data: Labelled, learnt: Rows, judged: Rows, measure: str) -> str:
    """The same for the same samples, with the same labels, in the same parts, by the same measure."""
    digests = data.train.digests()
    held = "\n".join(data.train.keys).encode("utf-8", "surrogateescape") if digests is None else digests.tobytes()
    digest = hashlib.blake2b(held, digest_size=8)
    for part in (data.truth, learnt, judged):
        digest.update(part.tobytes())
    by = () if measure == "accuracy" else (measure,)
    digest.update("\n".join((*data.names, *by)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
