"""The linear probe, whose features, whitening and strength are chosen on training labels alone.

Of classes it is a logistic regression, of several labels one for each against the rest, of numbers ridge regression.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit

from selftaught.judging.learners import LEARNERS, Learner
from selftaught.judging.logistic import ROUGH, TOLERANCE, Fit
from selftaught.judging.principal import Principal
from selftaught.judging.probe import Exam, Probe
from selftaught.judging.shown import Shown
from selftaught.judging.subsets import held_out
from selftaught.judging.targets import Task
from selftaught.system.interruption import poll

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, inverse regularisation, that are always tried
LIMITS = (1e-7, 1e5)  # how far more are tried, by factors of ten, while the one at the end is the best
WITHOUT_CHOICE = 1e-2  # where a class has one label only
HELD_OUT, FOLDS = 0.2, 5
ENOUGH = 10  # labels of each class, for what is held out of them to tell more than how strongly to fit
CHOOSING = 10_000  # labels at most by which one of several kinds of features is chosen; its strength is by all

Array = NDArray[Any]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """How features were shown to the probe, and how strongly it may fit them."""

    features: str
    whitened: bool
    strength: float
    right: float = 0  # how many of the held-out samples are, or by how much what is said of them is good

    @property
    def at_limit(self) -> bool:
        """Whether the grid could not go on although its end is the best."""
        return self.strength in LIMITS


def linear_predict(
    shown: Mapping[str, Principal], labels: Rows, rows: Rows, test: Rows, seed: int, group: Rows | None = None
) -> tuple[Rows, Choice, Fit]:
    """The classes of the `test` rows (M,) of what is `shown`, how that was chosen, and the fit.

    labels: (N,) of the training `rows` (N,). What is of one `group` (N,) stays on one side while it is chosen: a copy
    on both would mislead.
    """
    names, numbers = np.unique(labels, return_inverse=True)
    said, choice, found = said_of(shown, numbers, numbers, rows, test, seed, group)
    return names[said], choice, found


def said_of(
    shown: Mapping[str, Principal],
    truth: Array,
    strata: Rows,
    rows: Rows,
    test: Rows,
    seed: int,
    group: Rows | None = None,
    task: Task = "classes",
) -> tuple[Array, Choice, Any]:
    """Likewise, where labels need not be classes: what is said of the `test` rows, how it was chosen, and the fit.

    truth: of the training `rows`, classes in [0, classes) (N,), labels (N, L) or numbers (N,); strata: (N,).
    """
    learner = LEARNERS[task]
    choice = choose(shown, strata, rows, seed, group, truth, learner)
    features = shown[choice.features]
    penalty = penalised(features, choice.whitened)
    found = _fit(features.z[rows], truth, penalty, choice.strength, learner)
    return found.says(features.z[test]), choice, found


def choose(
    shown: Mapping[str, Principal],
    labels: Rows,
    rows: Rows,
    seed: int,
    group: Rows | None = None,
    truth: Array | None = None,
    learner: Learner = LEARNERS["classes"],
) -> Choice:
    """What does best on held-out training samples: a fifth of them, or folds where a class has under ten.

    Among equals it is what comes first: the first of the features, as they are. So few labels tell neither kinds of
    features nor whitening apart, so then it is these, and strength alone is chosen. truth: what is learnt, where
    `labels` are strata alone.
    """
    numbers, first = np.unique(labels, return_inverse=True)[1], next(iter(shown))
    truth = numbers if truth is None else truth
    group = np.arange(len(rows)) if group is None else np.unique(group, return_inverse=True)[1]
    fewest = min(len(np.unique(group[numbers == number])) for number in range(int(numbers.max()) + 1))
    if fewest < 2:
        return Choice(first, False, WITHOUT_CHOICE)
    if fewest < ENOUGH:
        return _best({first: shown[first]}, truth, rows, list(_splits(numbers, seed, group)), learner, (False,))
    if len(shown) > 1 and len(rows) > CHOOSING:
        few = np.random.default_rng(seed).permutation(len(rows))[:CHOOSING]
        own = _splits(numbers[few], seed, group[few])
        shown = {(name := _best(shown, truth[few], rows[few], list(own), learner).features): shown[name]}
    return _best(shown, truth, rows, list(_splits(numbers, seed, group)), learner)


def _best(
    shown: Mapping[str, Principal],
    truth: Array,
    rows: Rows,
    splits: Sequence[tuple[Rows, Rows]],
    learner: Learner,
    ways: Sequence[bool] = (False, True),
) -> Choice:
    choices = []
    for name, features in shown.items():
        for whitened in ways:
            strength, right = searched(_held_out(features, truth, rows, splits, whitened, learner))
            choices.append(Choice(name, whitened, strength, right))
    return max(choices, key=lambda choice: choice.right)


def searched(right: Callable[[float], float]) -> tuple[float, float]:
    """The strength of which most is right, and how much; more are tried while the one at an end is the best."""
    tried = {strength: right(strength) for strength in STRENGTHS}
    while (further := _further(tried)) is not None:
        tried[further] = right(further)
    best = _winner(tried)
    return best, tried[best]


def _winner(tried: Mapping[float, float]) -> float:
    """The middle one of the best: where many strengths are as good, neither end of them is meant."""
    best = sorted(strength for strength, right in tried.items() if right == max(tried.values()))
    return best[len(best) // 2]


def _further(tried: Mapping[float, float]) -> float | None:
    """The next strength beyond the end that is the best; None where none is, or the limit is reached."""
    best = _winner(tried)
    beyond = best / 10 if best == min(tried) else best * 10 if best == max(tried) else None
    rounded = beyond and float(f"{beyond:.0e}")
    return rounded if rounded and LIMITS[0] <= rounded <= LIMITS[1] else None


def _held_out(
    features: Principal,
    truth: Array,
    rows: Rows,
    splits: Sequence[tuple[Rows, Rows]],
    whitened: bool,
    learner: Learner,
) -> Callable[[float], float]:
    """How many held-out samples are right by a strength, or how good it is; each fit goes on from the one before."""
    parts = [[(features.z[rows[side]], truth[side]) for side in split] for split in splits]
    before: list[Any] = [None] * len(parts)

    def right(strength: float) -> float:
        count = 0.0
        for number, (learnt, (held, so)) in enumerate(parts):
            penalty = penalised(features, whitened)
            found = before[number] = _fit(*learnt, penalty, strength, learner, before[number], ROUGH)
            count += learner.score(found.says(held), so)
        return count

    return right


def penalised(features: Principal, whitened: bool) -> NDArray[np.float64]:
    """How much the weight of each component (k,) is penalised: all alike, or as those of the features themselves."""
    return np.ones_like(features.variances) if whitened else 1 / features.variances


def _fit(
    z: Array,
    truth: Array,
    penalty: NDArray[np.float64],
    strength: float,
    learner: Learner,
    start: Any = None,
    tolerance: float = TOLERANCE,
) -> Any:
    poll()
    return learner.fit(z, truth, penalty, strength, start, tolerance)


def _splits(labels: Rows, seed: int, group: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Rows to learn from and rows held out; a class may have none of some that were drawn of many labels."""
    if len(np.unique(group)) < len(group):
        few = min(len(np.unique(group[labels == number])) for number in np.unique(labels)) < ENOUGH
        rounds = [held_out(labels, group, HELD_OUT, seed + number) for number in range(FOLDS if few else 1)]
        yield from (split for split in rounds if len(split[1]))
        return
    counts = np.bincount(labels)
    fewest = int(counts[counts > 0].min())
    if fewest < 2:
        splitter: Any = ShuffleSplit(1, test_size=HELD_OUT, random_state=seed)
    elif fewest < ENOUGH:
        splitter = StratifiedKFold(min(fewest, FOLDS), shuffle=True, random_state=seed)
    else:
        splitter = StratifiedShuffleSplit(1, test_size=HELD_OUT, random_state=seed)
    yield from splitter.split(labels, labels)


def _predict(shown: Shown, exam: Exam) -> Array:
    rows, data, split = exam.split.train, exam.data, exam.split
    group, seed = data.group[rows], split.repeat
    if data.task == "classes":
        said, choice, found = linear_predict(shown, data.classes[rows], rows, split.test, seed, group)
    else:
        about = (data.truth[rows], data.classes[rows], rows, split.test, seed, group, data.task)
        said, choice, found = said_of(shown, *about)
    exam.chosen.append(_told(choice) | _ended(found))
    return said


def _told(choice: Choice) -> dict[str, Any]:
    how = {"features": choice.features, "whitened": choice.whitened, "C": choice.strength}
    return {**how, "at_limit": choice.at_limit}


def _ended(found: Any) -> dict[str, Any]:
    """How the fit went; one in closed form goes nowhere."""
    return {"iterations": found.iterations, "converged": found.converged} if isinstance(found, Fit) else {}


# The verdict that counts most: what a linear layer can read is what others who use the features can count on.
PROBE = Probe(predict=_predict, takes="shown", priority=3, work="linear probe", tasks=tuple(LEARNERS))
