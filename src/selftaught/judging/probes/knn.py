"""The weighted k-nearest-neighbour probe: votes by cosine, exact, in bounded memory."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from selftaught.judging.neighbours import neighbours, unit
from selftaught.judging.probe import ALL_TASKS, Exam, Probe
from selftaught.judging.targets import STRATA
from selftaught.system.interruption import poll

NEIGHBOURS = 200  # Wu et al. (1805.01978, section 3.4), fewer where there are few samples
TEMPERATURE = 0.1


def neighbours_for(samples: int, classes: int) -> int:
    """How many neighbours vote: 200, but never more than half of a class has on average, and at least one."""
    return max(1, min(NEIGHBOURS, samples // (2 * classes)))


def knn_predict(
    train: NDArray[Any], labels: NDArray[np.int64], test: NDArray[Any], classes: int, k: int | None = None
) -> NDArray[np.int64]:
    """The class of each test feature (M,), by the votes of its k nearest training features by cosine.

    train: (N, D), labels: (N,) in [0, classes), test: (M, D); a vote weighs exp(cosine / 0.1).
    """
    k = min(k or neighbours_for(len(train), classes), len(train))
    keys = unit(train)
    queries = unit(test)
    targets = torch.from_numpy(labels)
    said = []
    for similarity, nearest in neighbours(keys, queries, k):
        poll()
        votes = torch.zeros(len(nearest), classes)
        votes.scatter_add_(1, targets[nearest], (similarity / TEMPERATURE).exp())
        said.append(votes.argmax(dim=1))
    return torch.cat(said).numpy()


def knn_means(train: NDArray[Any], values: NDArray[Any], test: NDArray[Any], k: int) -> NDArray[np.float64]:
    """Of each test feature the mean of what its k nearest training features have (M, L), each by its vote.

    train: (N, D), values: (N, L), of labels 0 and 1, test: (M, D); votes as of `knn_predict`.
    """
    keys = unit(train)
    queries = unit(test)
    said = []
    for similarity, nearest in neighbours(keys, queries, min(k, len(train))):
        poll()
        votes = (similarity / TEMPERATURE).exp().numpy().astype(np.float64)
        votes /= votes.sum(axis=1, keepdims=True)
        starts = np.arange(len(votes) + 1) * votes.shape[1]
        said.append(csr_array((votes.ravel(), nearest.numpy().ravel(), starts), (len(votes), len(train))) @ values)
    return np.concatenate(said)


def _predict(features: NDArray[Any], exam: Exam) -> NDArray[Any]:
    rows, data = exam.split.train, exam.data
    if data.task != "classes":
        return _means(features, exam)
    return knn_predict(features[rows], data.classes[rows], features[exam.split.test], len(data.names))


def _means(features: NDArray[Any], exam: Exam) -> NDArray[Any]:
    """How likely each label is (M, L), or numbers (M,); as many neighbours as if labels were classes."""
    rows, data = exam.split.train, exam.data
    values = data.truth[rows].astype(np.float64)
    several = data.task == "several"
    kinds = round(values.shape[1] / max(1.0, float(values.sum(axis=1).mean()))) if several else STRATA
    k = neighbours_for(len(rows), max(2, kinds))
    said = knn_means(features[rows], values if several else values[:, None], features[exam.split.test], k)
    return said if several else said[:, 0]


# Cosines are taken of the features as they are, as in Wu et al. It needs no training and no choice, but its accuracy
# is the lowest of all, so its verdict counts only where no other is asked for.
PROBE = Probe(predict=_predict, takes="features", priority=1, work="knn probe", tasks=ALL_TASKS)
