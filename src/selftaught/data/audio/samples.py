"""Clips held in memory as spectrograms, each of its own length."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.data.audio.decode import decode
from selftaught.data.audio.files import NO_CLIP, THINGS, open_source
from selftaught.data.audio.hearing import Frames, attempt, hear, notes_on, usual_rate
from selftaught.data.audio.preparation import MOST_FRAMES, MOST_MELS, USUAL_SIZE, Preparation
from selftaught.data.audio.views import Views
from selftaught.data.opening import Opened, Rows, chosen, refuse_column
from selftaught.data.sources.files import Files
from selftaught.data.sources.folder import NO_FAULTS
from selftaught.data.sources.source import Progress
from selftaught.data.storage import MEMORY, Failures
from selftaught.system.errors import BrokenData, UsageError
from selftaught.system.text import printable

REMEDY = "put each class in a folder of its own, or name a CSV of path,label"
TOLERANCE = 0.01  # the share of clips that may be broken, where the user names none
NAMED = 3  # of the broken clips, in an error


class Clips(Opened):
    """Clips by row number: stretches (N, 2), the first frame and how many, of the `frames` of all."""

    frames: Frames
    stretches: NDArray[np.int64]
    files: Files
    places: Rows  # of the clips among the files

    def keep(self, rows: Rows) -> None:
        self.stretches, self.places = self.stretches[rows], self.places[rows]

    def batch(self, rows: Rows) -> tuple[Tensor, ...]:
        """Where each clip lies (B, 2); the frames are with the views."""
        return (torch.from_numpy(self.stretches[rows]),)

    def views(self, names: Sequence[str], *, options: Any = None, patch: int = 1, **how: Any) -> Views:
        """What makes these views of clips; what of `how` concerns images is of no concern here."""
        held = torch.from_numpy(self.frames), torch.from_numpy(self.stretches)
        return Views(names, self.preparation, *held, patch=patch, options=options)

    def heard(self, row: int, rate: int) -> NDArray[np.float32] | None:
        """The sound of a clip, of which the file is read anew."""
        found = attempt(self.files, int(self.places[row]), lambda data: decode(data, rate)[1])
        return None if isinstance(found, str) else found

    def levels(self) -> Iterator[Tensor]:
        """The whole of each clip in turn (mels, frames), in dB."""
        for first, count in self.stretches.tolist():
            yield torch.from_numpy(self.frames[first : first + count].astype(np.float32)).T


def open_samples(
    data: str | Path,
    *,
    size: tuple[int, int] | None = None,
    like: Preparation | None = None,
    sampling_rate: int | None = None,
    labels: Path | None = None,
    label_column: str | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
    memory: int = MEMORY,
    workers: int | None = None,
    tolerance: float = TOLERANCE,
    progress: Progress = lambda done, total: None,
    **others: Any,
) -> Clips:
    """Index, decode and hold the clips of `data`.

    size: (mels, frames) of a plain view; like: the preparation of an existing encoder, used unchanged; sampling_rate:
    samples a second that all are brought to (default: the most frequent rate of the data, up to 16,000); memory: bytes
    of spectrograms to hold; tolerance: the share of clips that may be broken; the rest: see `chosen`. Raises DataError,
    BrokenData and UsageError.
    """
    refuse_column(others.get("column"), data, THINGS)
    refuse_size(size)
    source = open_source(data, label_column if labels is None else None)
    how: dict[str, Any] = {"labels": labels, "label_column": label_column, "labelled": labelled}
    wanted = chosen(source, THINGS, REMEDY, limit=limit, seed=seed, named=data, **how)
    rows = np.asarray(wanted.rows)
    source.contents.recall()
    preparation = like or Preparation.at(sampling_rate or usual_rate(source, rows), size or USUAL_SIZE)
    heard = hear(source, rows, preparation, memory, workers, progress)
    source.contents.remember()
    refuse_broken(source.name, len(rows), tolerance, heard.broken)
    frames, stretches = heard.frames, heard.stretches
    if like is None:
        preparation = preparation.levelled(frames)
    for line in notes_on(heard, preparation):
        source.note(line)
    passed_over = [(key, reason) for key, reason in source.ignored if reason not in (*NO_FAULTS, NO_CLIP)]
    kept = np.array(heard.kept, np.int64)
    samples = Clips(wanted, preparation, kept, [*heard.broken, *passed_over])
    samples.frames, samples.stretches, samples.files, samples.places = frames, stretches, source, rows[kept]
    return samples


def refuse_size(size: tuple[int, int] | None) -> None:
    """Raise UsageError where spectrograms of this size cannot be made."""
    if size and not (2 <= size[0] <= MOST_MELS and 2 <= size[1] <= MOST_FRAMES):
        raise UsageError(f"--size {size[0]}x{size[1]}: of clips it is mels x frames, up to {MOST_MELS} x {MOST_FRAMES}")


def refuse_broken(name: str, count: int, tolerance: float, broken: Failures) -> None:
    """Raise BrokenData where too many of `count` clips cannot be used, or all."""
    if len(broken) > tolerance * count or len(broken) == count:
        first = "; then ".join(f"{printable(key)} {reason}" for key, reason in broken[:NAMED])
        said = f"{len(broken)} of {count} clips in {printable(name)} cannot be used, more than"
        raise BrokenData(f"{said} {100 * tolerance:g}%; the first: {first}", name, broken)
