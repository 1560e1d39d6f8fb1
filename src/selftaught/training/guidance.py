"""What metadata are to a training: which samples are related, what is kept apart, and what heads are asked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.samples import Samples
from selftaught.methods.guided import Asked
from selftaught.methods.objectives.guidance import UNKNOWN
from selftaught.run.recipes import Pretrain
from selftaught.run.relations import Relation, Weighed, relations, weighed
from selftaught.system import randomness
from selftaught.system.errors import UsageError
from selftaught.system.text import number_of, printable

Rows = NDArray[np.int64]
Codes = NDArray[np.int32]  # of each sample the number of its value (N,), -1 where nothing is known

TENTHS = 10  # parts of its range by which a number is suppressed: its square error would have no end


class Partners:
    """Of each sample another one that is related to it, drawn anew for every batch; itself where there is no other.

    After MICLe (Azizi et al., 2101.05224): two views of a patient are of two of the patient's images.
    """

    def __init__(self, line: Rows, first: Rows, stop: Rows) -> None:
        """line (N,): all samples, so that those related to one stand side by side, at its `first:stop` (N,)."""
        self._line, self._first, self._others = line, first, stop - first - 1
        self._place = np.empty_like(line)
        self._place[line] = np.arange(len(line))

    def __len__(self) -> int:
        return len(self._line)

    @property
    def alone(self) -> int:
        """How many samples have no other."""
        return int((self._others < 1).sum())

    @property
    def largest(self) -> int:
        """How many samples are related to one, at most, with itself."""
        return int(self._others.max()) + 1

    def __call__(self, rows: Rows) -> Rows:
        """One for each of these samples (B,), by the random numbers of where they stand."""
        draw = randomness.uniform((len(rows), 1), "partner").numpy()[:, 0].astype(np.float64)
        others = self._others[rows]
        chosen = self._first[rows] + np.minimum((draw * others).astype(np.int64), np.maximum(others - 1, 0))
        chosen += chosen >= self._place[rows]  # which leaves out the sample itself
        return np.where(others < 1, rows, self._line[np.minimum(chosen, len(self._line) - 1)])


def partners_of(same: Sequence[Codes], numbers: NDArray[np.float64] | None, distance: float | None) -> Partners:
    """Partners among samples whose codes are the same, and whose numbers (N,) are no further apart than `distance`."""
    values = np.zeros(len(same[0])) if numbers is None else numbers
    known = np.all([~np.isnan(values), *(codes >= 0 for codes in same)], axis=0)
    group = np.zeros(len(values), np.int64)
    for codes in same:
        group = np.unique(group * (codes.max() + 1) + codes, return_inverse=True)[1].reshape(-1)
    group = np.where(known, group, len(values) + np.arange(len(values)))  # of whom nothing is known is alone
    values, gap = np.where(known, values, 0.0), distance or 0.0
    ranks = np.unique(values)
    keys = group * len(ranks) + np.searchsorted(ranks, values)
    line = np.argsort(keys, kind="stable")
    low, high = np.searchsorted(ranks, values - gap, "left"), np.searchsorted(ranks, values + gap, "right")
    first, stop = (np.searchsorted(keys[line], group * len(ranks) + end) for end in (low, high))
    return Partners(line, first, stop)


@dataclass(frozen=True)
class Guidance:
    """All that comes of the columns that a recipe names, for the samples in their order."""

    columns: tuple[str, ...]
    codes: Codes  # (columns, N)
    fingerprint: str
    lines: list[str]  # for people
    partners: Partners | None
    apart: Rows | None  # (N,): no two samples of one number are to be in a batch
    asked: tuple[Asked, ...]
    so: Tensor | None  # (N, len(asked)), float32: what is so of each

    def batches(self) -> dict[str, Any]:
        """What `Batches` is told."""
        return {"partners": self.partners, "apart": self.apart, "targets": self.so}


def guidance_of(recipe: Pretrain, samples: Samples) -> Guidance | None:
    """What comes of a recipe's metadata; None where it uses none. Raises DataError and UsageError."""
    if not (names := recipe.columns):
        return None
    columns = {one.name: one for one in samples.metadata(names, recipe.metadata, recipe.label_column)}
    codes = {name: column.codes for name, column in columns.items()}
    lines: list[str] = []
    related = relations(recipe.positives) if recipe.positives else []
    partners = _partners(related, columns, codes, lines)
    apart = _apart(recipe, related, codes, lines)
    heads = [_head(one, purpose, columns[one.column], codes[one.column]) for one, purpose in _heads(recipe)]
    lines += [line for _, _, line in heads]
    so = torch.from_numpy(np.stack([true for _, true, _ in heads], axis=1)).float() if heads else None
    asked = tuple(asked for asked, _, _ in heads)
    held = np.stack([codes[name] for name in names])
    return Guidance(names, held, _fingerprint(columns), lines, partners, apart, asked, so)


def refuse_unguided(recipe: Pretrain, samples: Samples) -> None:
    """Raise DataError and UsageError for what of a recipe's metadata cannot be, as far as a few samples tell."""
    if names := recipe.columns:
        _refuse_grouped_blocks(recipe)
        samples.refuse_columns(names, recipe.metadata, recipe.label_column)


def told(recipe: Pretrain, samples: Samples) -> Pretrain:
    """The recipe with the fingerprint of its metadata. Raises UsageError where a run goes on that had others."""
    if samples.guidance is None:
        return recipe
    if recipe.metadata_fingerprint not in (None, samples.guidance.fingerprint):
        named = ", ".join(map(printable, samples.guidance.columns))
        raise UsageError(f"cannot resume: the metadata say something else of {named} than when the run began")
    return recipe.model_copy(update={"metadata_fingerprint": samples.guidance.fingerprint})


def _fingerprint(columns: Mapping[str, Any]) -> str:
    found = blake2b(digest_size=16)
    for name, column in columns.items():
        for text in (name, *column.cells):
            found.update(text.encode("utf-8", "surrogateescape") + b"\0")
    return found.hexdigest()


def _partners(
    related: Sequence[Relation], columns: Mapping[str, Any], codes: Mapping[str, Codes], lines: list[str]
) -> Partners | None:
    if not related:
        return None
    near = next((one for one in related if one.distance is not None), None)
    numbers = columns[near.column].numbers if near else None
    if near and numbers is None:
        raise UsageError(f"--positives {near}: column '{printable(near.column)}' holds no numbers or times")
    same = [codes[one.column] for one in related if one.distance is None]
    partners = partners_of(same, numbers, near.distance if near else None)
    shown = printable(",".join(map(str, related)))
    if partners.alone == len(partners):
        raise UsageError(f"--positives {shown}: no two samples are so related")
    alone = f"; {partners.alone:,} of {len(partners):,} have no other, so both views are theirs" * bool(partners.alone)
    lines.append(f"positives {shown}: up to {partners.largest:,} are related{alone}")
    return partners


def _apart(recipe: Pretrain, related: Sequence[Relation], codes: Mapping[str, Codes], lines: list[str]) -> Rows | None:
    """The groups that batches keep apart: those asked for, or else those of positives, which are no negatives."""
    _refuse_grouped_blocks(recipe)
    column = recipe.groups or next((one.column for one in related if one.distance is None), None)
    if column is None or recipe.order == "blocks":
        return None
    own = codes[column]
    groups = np.where(own >= 0, own, own.max() + 1 + np.arange(len(own))).astype(np.int64)
    if recipe.groups:
        sizes = np.bincount(own[own >= 0])
        none = int((own < 0).sum())
        alone = f"; {number_of(none, 'sample')} {'have' if none > 1 else 'has'} none" * bool(none)
        lines.append(
            f"groups   {printable(column)}: {len(sizes):,} of up to {sizes.max():,} samples; a batch holds two only of "
            f"those that have more than an epoch has batches{alone}"
        )
    return groups


def _refuse_grouped_blocks(recipe: Pretrain) -> None:
    if recipe.groups is not None and recipe.order == "blocks":
        raise UsageError("--groups arranges every epoch as a whole, which --order blocks never holds: leave one out")


def _heads(recipe: Pretrain) -> list[tuple[Weighed, Any]]:
    """What heads are asked, and to what end. Raises UsageError where one column is asked for twice."""
    flags = {"suppress": recipe.suppress, "predict": recipe.predict}
    found = [(one, purpose) for purpose, text in flags.items() if text for one in weighed(text)]
    names = [one.column for one, _ in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"column '{printable(twice)}' stands twice in --suppress and --predict")
    return found


def _head(one: Weighed, purpose: Any, column: Any, codes: Codes) -> tuple[Asked, NDArray[np.float64], str]:
    """What a head is asked, what is so of each sample (N,), and a line for people."""
    missing = f"; {column.missing:,} of {len(codes):,} have none and are not asked" * bool(column.missing)
    called = f"{purpose:<8} {printable(one.column)}"
    if column.numbers is not None and purpose == "predict":
        known = column.numbers[~np.isnan(column.numbers)]
        so = (column.numbers - known.mean()) / known.std()
        return Asked(one.column, purpose, 0, one.weight, 1.0), so, f"{called}: a number{missing}"
    if column.numbers is not None:
        codes = _parts(codes)
    counts = np.bincount(codes[codes >= 0])
    if 2 * len(counts) > counts.sum():
        told = f"{len(counts):,} values of {counts.sum():,} samples"
        raise UsageError(f"--{purpose} {printable(one.column)}: {told} say who each is, and nothing that others share")
    shares = counts / counts.sum()
    asked = Asked(one.column, purpose, len(counts), one.weight, float(-(shares * np.log(shares)).sum()))
    way = f"{TENTHS} parts of its range" if column.numbers is not None else f"{len(counts):,} values"
    line = f"{called}: {way}, of which the most frequent has {shares.max():.1%}: chance{missing}"
    return asked, np.where(codes < 0, math.nan, codes.astype(np.float64)), line


def _parts(codes: Codes) -> Codes:
    """Codes in their order as parts of about as many samples each."""
    known = codes >= 0
    edges = np.quantile(codes[known], np.linspace(0, 1, TENTHS + 1)[1:-1])
    parts = np.full_like(codes, UNKNOWN)
    parts[known] = np.unique(np.searchsorted(edges, codes[known], "right"), return_inverse=True)[1].reshape(-1)
    return parts
