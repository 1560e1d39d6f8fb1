"""What a practitioner would take of series without any network: how often many fixed kernels answer, by MiniRocket."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts.modality import Fit
from selftaught.data.opening import Rows
from selftaught.system.interruption import poll
from selftaught.system.saying import say_once
from selftaught.system.text import printable

SHORTEST = 9  # points, as many as a kernel has
EXACT, FOREMOST = 2048, 1024  # series to learn from, up to which nothing is lost; and directions of more
CHUNK = 256  # series whose answers, 9,996 each, are held at once


def minirocket(sources: Sequence[Any]) -> Fit | None:
    """How it is fitted to series; None where aeon cannot be had, which is said, as is what is filled in for it."""
    try:  # only here, as it takes seconds to come
        from aeon.transformations.collection.convolution_based import MiniRocket
    except ImportError as error:  # of its compiler as well, which knows no numpy that is newer
        why = f"{printable(str(error))}: pip install 'selftaught[series]'"
        say_once(f"no MiniRocket stands beside, as one would take it instead of a network: {why}")
        return None
    if any(_lacking(samples) for samples in sources):
        say_once(
            "for MiniRocket alone gaps in series are filled: on a straight line between what was seen around them, and "
            f"before, behind and up to {SHORTEST} points with what is nearest"
        )
    return partial(Kernels, MiniRocket)


class Kernels:
    """MiniRocket (Dempster, Schmidt and Webb, 2012.08791) as aeon has it, each answer standardised.

    They are turned into their principal components: of up to 2,048 training series into all, in which a linear
    classifier, or neighbours, can say what they could say of the answers. Of more the 1,024 foremost are kept, and so
    many series, drawn, are what biases, scales and directions are of.
    """

    def __init__(self, library: Any, samples: Any, seed: int) -> None:
        """Fitted on `samples`, which have `stretches`, alone; library: aeon's class."""
        from sklearn.decomposition import KernelPCA
        from sklearn.preprocessing import StandardScaler

        rows = np.random.default_rng(seed).permutation(samples.count)[:EXACT]
        self.kernels = library(random_state=seed)
        others = np.random.get_state()  # of everybody's generator, to which aeon gives the seed
        try:
            self.kernels.fit(filled(samples, rows))
        finally:
            np.random.set_state(others)
        answers = np.concatenate([self._answers(samples, some) for some in _chunks(rows)])
        self.scaler = StandardScaler().fit(answers)
        # By products of series with each other, as these are fewer than answers.
        count = len(rows) if samples.count <= EXACT else FOREMOST
        self.components = KernelPCA(count, kernel="linear").fit(self.scaler.transform(answers))

    def __call__(self, samples: Any) -> NDArray[np.float32]:
        """(N, D)."""
        turned = [
            self.components.transform(self.scaler.transform(self._answers(samples, rows)))
            for rows in _chunks(np.arange(samples.count))
        ]
        return np.concatenate(turned).astype(np.float32)

    def _answers(self, samples: Any, rows: Rows) -> NDArray[np.float64]:
        poll()
        return np.asarray(self.kernels.transform(filled(samples, rows)), np.float64)


def filled(samples: Any, rows: Rows) -> NDArray[np.float32]:
    """Series (B, channels, points) as a network is given them, but without gaps and of 9 points at least.

    A channel of which nothing was seen is its mean all along.
    """
    values = samples.stretches(rows)
    gaps = np.isnan(values)
    at = np.arange(values.shape[1])
    for row, channel in np.argwhere(gaps.any(axis=1) & ~gaps.all(axis=1)):
        course, gap = values[row, :, channel], gaps[row, :, channel]
        course[gap] = np.interp(at[gap], at[~gap], course[~gap])
    made = samples.preparation.encoded(values)[:, : values.shape[2]]
    return np.pad(made, ((0, 0), (0, 0), (0, max(0, SHORTEST - len(at)))), mode="edge")


def _lacking(samples: Any) -> bool:
    """Whether any of it has to be filled."""
    if samples.preparation.length < SHORTEST:
        return True
    return any(np.isnan(samples.stretches(rows)).any() for rows in _chunks(np.arange(samples.count)))


def _chunks(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
