"""Mean intersection over union, with intervals and gains: what was said of pixels, image by image.

It is a ratio of sums over all pixels, so an image has none of its own that a mean would be of. What is independent are
images, or groups of them: they are drawn again for intervals, and the two that said something of one change places to
see what luck does. The sums that are needed of an image are those of three rows, not its table of classes by classes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from selftaught.judging.accuracy import SHOWN_CLASSES, joined, over_repeats
from selftaught.judging.masks import VOID
from selftaught.judging.result import BASELINES, LEVEL, Chosen, Detail, Evaluation, Gain, Row
from selftaught.system import randomness

MEASURE = "mIoU"
AGAIN, SWAPPED = 999, 4999  # times that images are drawn again, and that answers change places
HELD = 1 << 24  # numbers at a time, of draws times images
SAME = 1e-9  # measures that differ by less are the same

Array = NDArray[Any]
Rounds = Sequence[Sequence["Counted"]]  # of each repeat, of each of its folds


@dataclass(frozen=True)
class Counted:
    """What was said of the pixels of images, where something is known of them."""

    sums: NDArray[np.float64]  # (N, 3, C): of each class, pixels that were found, that there are, that were said to be
    confusion: NDArray[np.int64]  # (C, C): pixels of class i, over all images, that were taken for class j


def counted(said: Array, truth: Array, classes: int) -> Counted:
    """What classes (N, H, W) that were said of pixels come to; truth: (N, H, W), or VOID."""
    sums, confusion = np.zeros((len(said), 3, classes)), np.zeros((classes, classes), dtype=np.int64)
    for row, (own, other) in enumerate(zip(said, truth)):
        known = other != VOID
        pairs = other[known].astype(np.int64) * classes + own[known]
        table = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        sums[row] = np.diagonal(table), table.sum(axis=1), table.sum(axis=0)
        confusion += table
    return Counted(sums, confusion)


def ious(sums: Array) -> Array:
    """Of sums (..., 3, C) the intersection over union of each class (..., C); NaN of one that there is none of."""
    found, there, said = np.moveaxis(sums, -2, 0)
    return np.where(there > SAME, found / np.maximum(there + said - found, SAME), np.nan)


def miou(sums: Array) -> Array:
    """The mean of `ious` over the classes that there are (...); 0 where nothing is known of any pixel."""
    own = ious(sums)
    there = np.isfinite(own)
    return np.asarray(np.where(there, own, 0).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))


def pixel_accuracy(sums: Array) -> Array:
    """The share of pixels (...) whose class was found."""
    return np.asarray(sums[..., 0, :].sum(axis=-1) / np.maximum(sums[..., 1, :].sum(axis=-1), SAME))


def by_group(sums: Array, group: Array) -> Array:
    """Means over the images of each group (G, 3, C): a group counts once, by what its images are like."""
    _, number, counts = np.unique(group, return_inverse=True, return_counts=True)
    held = np.zeros((len(counts), *sums.shape[1:]))
    np.add.at(held, number, sums)
    return held / counts[:, None, None]


def luck(one: Array, other: Array) -> float:
    """How often luck alone makes two mIoUs differ as much, of sums (G, 3, C) of the same images: a p-value.

    If neither is better, each image could as well have had the answer of the other. Answers change places image by
    image, at random, and what was seen counts as one of the draws (Phipson and Smyth, 2010), which never claims too
    much. https://doi.org/10.2202/1544-6115.1585
    """
    apart, total = (one - other) / 2, (one + other).sum(axis=0) / 2
    seen = abs(float(miou(one.sum(axis=0)) - miou(other.sum(axis=0))))

    def differ(coins: Array) -> Array:
        moved = _weighted(2.0 * coins - 1, apart)
        return np.abs(miou(total + moved) - miou(total - moved))

    drawn = _drawn(SWAPPED, len(one), differ, lambda generator, shape: generator.integers(0, 2, shape), "luck")
    return float((1 + (drawn >= seen - SAME).sum()) / (1 + SWAPPED))


def error(measure: Callable[..., Array], *sums: Array) -> float:
    """The standard error of a measure of sums (G, 3, C) of the same images, by drawing these again (Efron, 1979)."""
    count = len(sums[0])
    if count < 2:
        return 1.0

    def again(weights: Array) -> Array:
        return measure(*(_weighted(weights, own) for own in sums))

    def weights(generator: np.random.Generator, shape: tuple[int, int]) -> Array:
        return generator.multinomial(count, np.full(count, 1 / count), shape[0]).astype(float)

    # What is drawn again varies by (G - 1) / G too little.
    return float(_drawn(AGAIN, count, again, weights, "again").std(ddof=1)) * sqrt(count / (count - 1))


def _drawn(
    times: int,
    count: int,
    measure: Callable[[Array], Array],
    weights: Callable[[np.random.Generator, tuple[int, int]], Array],
    purpose: str,
) -> Array:
    """A measure of so many draws, of weights (times, count), a part at a time."""
    generator, each = randomness.generator(0, purpose), max(1, HELD // count)
    sizes: Iterator[int] = (min(each, times - start) for start in range(0, times, each))
    return np.concatenate([measure(weights(generator, (size, count))) for size in sizes])


def _weighted(weights: Array, sums: Array) -> Array:
    """Weighted sums over images: (B, G) and (G, 3, C) to (B, 3, C)."""
    return (weights @ sums.reshape(len(sums), -1)).reshape(len(weights), *sums.shape[1:])


@dataclass(frozen=True)
class Said:
    """What one kind of features says in all repeats."""

    sums: Array  # (R, G, 3, C)
    folds: list[list[Array]]  # of each repeat, of each of its folds, the mIoU, as an array of one
    confusion: Array  # (C, C)

    @property
    def value(self) -> float:
        """The mean mIoU over repeats."""
        return float(miou(self.sums.sum(axis=1)).mean())

    @property
    def images(self) -> Array:
        """The sums of each group (G, 3, C), the mean over repeats."""
        return np.asarray(self.sums.mean(axis=0))


def said(rounds: Rounds, contents: Sequence[Sequence[Array]]) -> Said:
    """What was said of images, a group counting once; contents: of each repeat, of each fold, the images' groups."""
    grouped = [
        by_group(np.concatenate([fold.sums for fold in folds]), np.concatenate(list(group)))
        for folds, group in zip(rounds, contents, strict=True)
    ]
    folded = [[miou(fold.sums.sum(axis=0))[None] for fold in folds] for folds in rounds]
    confusion = np.sum([fold.confusion for folds in rounds for fold in folds], axis=0)
    return Said(np.stack(grouped), folded, confusion)


def row(features: str, probe: str, labels: str, own: Said, folded: bool) -> Row:
    """The mIoU of one kind of features, with its interval: the error of few images, joined with that over repeats."""
    noise = _student(own.images) * error(miou, own.images)
    half = joined(noise, over_repeats(own.folds, folded).half(), folded)
    known = {MEASURE: own.value, "pixel_accuracy": float(pixel_accuracy(own.sums.sum(axis=1)).mean())}
    return Row(
        features=features,
        probe=probe,
        labels=labels,
        accuracy=own.value,
        low=max(0.0, own.value - half),
        high=min(1.0, own.value + half),
        repeats=len(own.sums),
        samples=own.sums.shape[1],
        measure=MEASURE,
        measures=known,
    )


def gain_over(own: Said, other: Said, probe: str, labels: str, against: str, folded: bool, beside: int = 1) -> Gain:
    """How much larger one mIoU is than another, of the same images; its ends and `beside` as of those of accuracies.

    Where luck explains the difference the interval holds 0.
    """
    apart = [[a - b for a, b in zip(*folds)] for folds in zip(own.folds, other.folds)]
    spread = over_repeats(apart, folded)
    if folded:  # all rounds are of the same images, so their spread is known no better than from one
        spread = replace(spread, freedom=len(apart[0]) - 1)
    gain, chance, level = own.value - other.value, luck(own.images, other.images), LEVEL / beside
    noise = error(lambda one, two: miou(one) - miou(two), own.images, other.images)
    down = joined(noise * _student(own.images), spread.half(), folded)
    up = joined(noise * _student(own.images, level), spread.half(level), folded)
    return Gain(
        probe=probe,
        labels=labels,
        against=against,
        gain=gain,
        low=max(-1.0, min(gain - down, 0.0 if chance > LEVEL else 1.0)),
        high=min(1.0, max(gain + up, 0.0 if chance > level else -1.0)),
        luck=chance,
        samples=own.sums.shape[1],
    )


def detail(features: str, probe: str, labels: str, own: Said, chosen: Chosen) -> Detail:
    """What was said, class by class."""
    found, there, _ = total = own.sums.sum(axis=(0, 1))
    return Detail(
        features=features,
        probe=probe,
        labels=labels,
        recall=[float(f / t) if t else None for f, t in zip(found, there)],
        iou=[float(value) if np.isfinite(value) else None for value in ious(total)],
        confusion=own.confusion.tolist() if len(own.confusion) <= SHOWN_CLASSES else None,
        chosen=chosen,
    )


def add(
    result: Evaluation,
    probe: str,
    labels: str,
    answers: Mapping[str, Sequence[Sequence[tuple[Any, Any]]]],
    contents: Sequence[Sequence[Array]],
    chosen: Mapping[str, Chosen],
) -> None:
    """Measure what was said for each kind of features, and how much better the trained one's is."""
    folded = result.test is None
    known = {kind: said([[told for told, _ in folds] for folds in own], contents) for kind, own in answers.items()}
    baselines = sum(kind in BASELINES for kind in known)
    for kind, own in known.items():
        result.rows.append(row(kind, probe, labels, own, folded))
        result.details.append(detail(kind, probe, labels, own, chosen[kind]))
        if kind != "trained":
            beside = baselines if kind in BASELINES else 1
            result.gains.append(gain_over(known["trained"], own, probe, labels, kind, folded, beside))


def _student(images: Array, level: float = LEVEL) -> float:
    """Student's factor of an interval that so many independent images are known by."""
    return float(stdtrit(max(1, len(images) - 1), 1 - level / 2))
