"""The samples most like some that somebody names, by what a trained encoder makes of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder, digest_of
from selftaught.contracts.samples import Samples
from selftaught.data.sources.handed import MARK, handed
from selftaught.data.sources.labels import finder
from selftaught.data.sources.open import openers
from selftaught.data.sources.parts import whole_of
from selftaught.data.sources.webdataset import expanded
from selftaught.judging.featured import chunks, encoder_of, featured, opened
from selftaught.judging.search import Array, Near, Rows, nearest
from selftaught.run.features import About, kept, rows_of
from selftaught.run.graph import met, usearch
from selftaught.run.recipes import Find
from selftaught.system.addresses import is_remote
from selftaught.system.errors import DataError, SelftaughtError, UsageError
from selftaught.system.interruption import poll
from selftaught.system.progress import Progress
from selftaught.system.showing import Shown
from selftaught.system.text import printable


@dataclass(frozen=True)
class Asked:
    """Samples that somebody has named, and whose those are."""

    samples: Samples  # of which the rows are meant
    rows: Rows
    own: bool  # whether they are of the data that is searched

    @property
    def keys(self) -> list[str]:
        """What they are called."""
        return [self.samples.keys[row] for row in self.rows.tolist()]


@dataclass(frozen=True)
class Found(Shown):
    """What is most like the samples that were asked about, the most alike first."""

    samples: Samples
    asked: list[Asked]
    near: Near

    @property
    def keys(self) -> list[str]:
        """What the samples are called."""
        return [self.samples.keys[row] for row in self.near.rows.tolist()]

    def facts(self) -> list[dict[str, Any]]:
        """Each as plain data: its path, rank and similarity, and which of the asked it is most like."""
        names = [key for one in self.asked for key in one.keys]
        told = zip(self.keys, self.near.cosines.tolist(), self.near.asked.tolist(), strict=True)
        return [
            {"path": key, "rank": rank, "similarity": round(cosine, 6), "like": names[number]}
            for rank, (key, cosine, number) in enumerate(told, 1)
        ]


def find(recipe: Find, module: nn.Module | None = None) -> Found:
    """What a recipe asks for. Raises UsageError and DataError."""
    if recipe.approximate and recipe.index is None:
        raise UsageError("--approximate follows a graph that --index keeps: name a folder")
    if recipe.approximate:
        usearch()  # before all features are made
    encoder = encoder_of(recipe.run, module)
    samples = opened(encoder.preparation, recipe.run, recipe.data, column=recipe.column)
    asked = [_asked(name, samples, recipe, encoder) for name in recipe.like]
    features = np.concatenate([featured(encoder, one.samples.subset(one.rows)).features for one in asked])
    left_out = [row for one in asked if one.own for row in one.rows.tolist()]
    return Found(samples, asked, _nearest(recipe, encoder, samples, features, left_out))


def _nearest(recipe: Find, encoder: Encoder, samples: Samples, asked: Array, left_out: list[int]) -> Near:
    """Among features of all samples: made now or, with --index, kept for the next time as well, perhaps in a graph."""
    if recipe.index is None:
        return nearest(asked, chunks(encoder, samples), recipe.count, left_out)
    folder, whose = Path(recipe.index), digest_of(encoder)
    facts: dict[str, Any] = {"samples": samples.count, "dim": encoder.dim, "named": recipe.data}
    about = About(encoder=whose, data=samples.fingerprint, **facts)
    made = kept(folder, about, lambda: chunks(encoder, samples), recipe.overwrite)
    if not recipe.approximate:
        return nearest(asked, made(), recipe.count, left_out)
    with Progress("graph", samples.count, modality.named(samples.preparation.modality).THINGS) as bar:
        rows = met(folder, about, made, asked, recipe.count + len(left_out), bar.polled(poll))
    near = nearest(asked, [rows_of(folder, about, rows)], recipe.count, np.flatnonzero(np.isin(rows, left_out)))
    return replace(near, rows=rows[near.rows])


def _asked(name: str, samples: Samples, recipe: Find, encoder: Encoder) -> Asked:
    """What a name stands for: a sample of the data, data of its own, or the file of a single sample."""
    if rows := _rows_of(name, samples, recipe.data):
        return Asked(samples, np.array(rows), True)
    if not _may_lead(name):
        raise _unknown(name, samples)
    try:
        others = opened(encoder.preparation, recipe.run, name)
    except DataError as error:
        if (alone := _alone(name, recipe, encoder)) is None:
            raise (error if Path(modality.place_of(name)).exists() else _unknown(name, samples)) from None
        others = alone
    if not others.count:
        raise DataError(f"--like {printable(name)} holds nothing that can be used")
    return Asked(others, np.arange(others.count), False)


def _rows_of(name: str, samples: Samples, data: str) -> list[int]:
    """The row of the sample that is called so, or whose file lies there, or those of all parts of what is."""
    if name.startswith(MARK):
        return []
    rows = {key: row for row, key in enumerate(samples.keys)}
    if name in rows:
        return [rows[name]]
    root, file = Path(modality.place_of(data)).absolute(), Path(name).absolute()
    if not file.exists():
        called = finder(samples.keys)(name) or name.strip()
    elif file.is_relative_to(root):
        called = file.relative_to(root).as_posix()
    else:
        return []
    return [rows[called]] if called in rows else [row for key, row in rows.items() if whole_of(key) == called]


def _may_lead(name: str) -> bool:
    """Whether a name may be that of data: an address, an object in Python, what a mark opens, or a place."""
    if is_remote(name) or f"{name.partition(':')[0]}:" in openers() or expanded(name):
        return True
    place = Path(modality.place_of(name))
    return place.exists() or any(folder.is_file() for folder in place.parents)  # in an archive


def _alone(name: str, recipe: Find, encoder: Encoder) -> Samples | None:
    """The sample of a file, of a kind whose samples can be files of their own; None where it is none."""
    kind = modality.named(encoder.preparation.modality)
    if kind.pack is None or not Path(name).is_file():
        return None
    with handed([name]) as listed:
        try:
            return opened(encoder.preparation, recipe.run, str(listed))
        except SelftaughtError:
            return None


def _unknown(name: str, samples: Samples) -> DataError:
    known = printable(samples.keys[0])
    return DataError(
        f"--like {printable(name)} is no sample of {printable(samples.name)}, whose first is {known}, and no file"
    )
