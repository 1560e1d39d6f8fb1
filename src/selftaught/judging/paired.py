"""How sure it is that one does better than another on the same samples, each of which counts once."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import binomtest

from selftaught.judging.result import LEVEL
from selftaught.system import randomness

DRAWS = 4999  # of signs, where all cannot be gone through
SIZES = 40  # different sizes, from which on each sample has a coin of its own
CHUNK = 256  # draws at once, of such coins
SAME = 1e-9  # sums of shares that differ by less are the same


def luck(apart: NDArray[Any]) -> float:
    """How often luck alone leaves a mean as far from 0 as that of `apart` (N,), if neither is the better: a p-value.

    `apart` says of each independent sample, or group of samples, by how much the one did better. If it could as well
    have been the other, each sign is a coin. Of answers that are right or wrong this is the exact test of McNemar, a
    binomial of those that differ (Fagerland, Lydersen and Laake, 2013; the exact one of theirs, which alone never
    claims too much). https://doi.org/10.1186/1471-2288-13-91. Of shares of a group, or over repeats, it is the test by
    sign changes of Canay, Romano and Shaikh (2017), by groups. https://doi.org/10.3982/ECTA13081. Signs are drawn, and
    what was seen counts as one of the draws (Phipson and Smyth, 2010). https://doi.org/10.2202/1544-6115.1585
    """
    sizes, counts = np.unique(np.abs(apart[apart != 0]).round(9), return_counts=True)
    if len(sizes) < 2:
        differ = int(counts.sum())
        return float(binomtest(int((apart > 0).sum()), differ).pvalue) if differ else 1.0
    sums = _of_each(apart) if len(sizes) > SIZES else _of_sizes(sizes, counts)
    as_far = np.abs(sums) >= abs(float(apart.sum())) - SAME
    return (1 + int(as_far.sum())) / (1 + DRAWS)


def _of_sizes(sizes: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Sums of so many of each size (DRAWS,), whose signs are drawn."""
    coins = randomness.generator(0, "luck").binomial(counts, 0.5, (DRAWS, len(sizes)))
    return np.asarray((2 * coins - counts) @ sizes)


def _of_each(apart: NDArray[Any]) -> NDArray[Any]:
    """Likewise, where nearly every sample has a size of its own: a bit is a coin, and eight are a number to draw."""
    rng, sums = randomness.generator(0, "signs"), []
    for start in range(0, DRAWS, CHUNK):
        drawn = rng.integers(0, 256, (min(CHUNK, DRAWS - start), -(-len(apart) // 8)), dtype=np.uint8)
        sums.append(2.0 * (np.unpackbits(drawn, axis=1, count=len(apart)) @ apart) - apart.sum())
    return np.concatenate(sums)


def interval(
    apart: NDArray[Any], level: float = LEVEL, known: float | None = None, reach: float | None = 1.0
) -> tuple[float, float]:
    """Where the mean of `apart` (N,) lies, but for a share `level` of all judgements; around 0 where luck explains it.

    One sample more on which each is the better keeps few samples from proving too much, also at its centre (Agresti and
    Min, 2005). https://doi.org/10.1002/sim.1781. Student's factor, for groups are few and not all alike. What lies
    apart from 0 so is also beyond luck by the exact test: its level holds however few there are. `known`: what `luck`
    says, or another exact test of the same samples; `reach`: how far apart one sample can be, or, where nothing bounds
    it nor the mean, None: then it is as far as most are.
    """
    far = math.sqrt(float(np.mean(apart**2))) if reach is None else reach
    mean, told = float(apart.mean()), np.append(apart, [far, -far])
    half = float(stdtrit(len(told) - 1, 1 - level / 2)) * float(told.std(ddof=1)) / math.sqrt(len(told))
    low, high = min(float(told.mean()) - half, mean), max(float(told.mean()) + half, mean)
    if (luck(apart) if known is None else known) > level:
        low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if reach is None else (max(low, -1.0), min(high, 1.0))
