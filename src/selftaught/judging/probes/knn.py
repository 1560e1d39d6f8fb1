"""The weighted k-nearest-neighbour probe: candidates in low precision, neighbours and votes exact, bounded memory."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from selftaught.judging.probe import ALL_TASKS, Exam, Probe
from selftaught.judging.targets import STRATA
from selftaught.system.interruption import poll

NEIGHBOURS = 200  # Wu et al. (1805.01978, section 3.4), fewer where there are few samples
TEMPERATURE = 0.1
CHUNK_BYTES = 64 << 20  # of similarities held at once; they should stay in a cache
GROUP = 16  # similarities of which only the largest is looked at first
SMALL = 10**9  # multiplications below which nothing is worth measuring


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
    keys = F.normalize(torch.from_numpy(np.ascontiguousarray(train)).float(), dim=1)
    queries = F.normalize(torch.from_numpy(np.ascontiguousarray(test)).float(), dim=1)
    targets = torch.from_numpy(labels)
    said = []
    for similarity, nearest in _neighbours(keys, queries, k):
        poll()
        votes = torch.zeros(len(nearest), classes)
        votes.scatter_add_(1, targets[nearest], (similarity / TEMPERATURE).exp())
        said.append(votes.argmax(dim=1))
    return torch.cat(said).numpy()


def knn_means(train: NDArray[Any], values: NDArray[Any], test: NDArray[Any], k: int) -> NDArray[np.float64]:
    """Of each test feature the mean of what its k nearest training features have (M, L), each by its vote.

    train: (N, D), values: (N, L), of labels 0 and 1, test: (M, D); votes as of `knn_predict`.
    """
    keys = F.normalize(torch.from_numpy(np.ascontiguousarray(train)).float(), dim=1)
    queries = F.normalize(torch.from_numpy(np.ascontiguousarray(test)).float(), dim=1)
    said = []
    for similarity, nearest in _neighbours(keys, queries, min(k, len(train))):
        poll()
        votes = (similarity / TEMPERATURE).exp().numpy().astype(np.float64)
        votes /= votes.sum(axis=1, keepdims=True)
        starts = np.arange(len(votes) + 1) * votes.shape[1]
        said.append(csr_array((votes.ravel(), nearest.numpy().ravel(), starts), (len(votes), len(train))) @ values)
    return np.concatenate(said)


def _neighbours(keys: Tensor, queries: Tensor, k: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of similarities and rows (m, k) of each query's nearest keys; both normalised, (N, D) and (M, D)."""
    chunks = queries.split(max(1, CHUNK_BYTES // (4 * len(keys))))
    coarse = _coarse(keys, chunks[0]) if len(keys) * queries.numel() > SMALL else None
    for chunk in chunks:
        if coarse is None:
            yield _largest(chunk @ keys.T, k)
        else:
            _, rows = _largest(chunk.to(coarse.dtype) @ coarse.T, min(len(keys), k + max(32, k // 4)))
            similarity, best = _at(chunk, keys, rows).topk(k, dim=1)
            yield similarity, rows.gather(1, best)


def _coarse(keys: Tensor, chunk: Tensor) -> Tensor | None:
    """The keys in bfloat16 to find candidates with, where this machine is faster at that; else None.

    Without their mean: that moves all similarities of a query alike, and rounding hurts the smaller numbers less.
    """
    half = (keys - keys.mean(dim=0)).bfloat16()
    seconds = []
    for table in (keys, half):
        few = chunk[:64].to(table.dtype)
        few @ table.T
        began = time.perf_counter()
        few @ table.T
        seconds.append(time.perf_counter() - began)
    return half if 2 * seconds[1] < seconds[0] else None


def _largest(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of every row of similarity (m, N), and where, in no order: most of it is only looked at once.

    The k largest lie in the k groups with the largest maxima.
    """
    groups = similarity.shape[1] // GROUP
    if groups <= k:
        return similarity.topk(k, dim=1)
    whole = groups * GROUP
    grouped = similarity[:, :whole].unflatten(1, (GROUP, groups))  # a group is every groups-th column
    chosen = _where_largest(grouped.amax(dim=1), k)
    columns = (chosen[:, None] + torch.arange(GROUP)[:, None] * groups).flatten(1)
    rest = torch.arange(whole, similarity.shape[1]).expand(len(similarity), -1)
    columns = torch.cat([columns, rest], dim=1)
    candidates = similarity.gather(1, columns)
    best = _where_largest(candidates, k)
    return candidates.gather(1, best), columns.gather(1, best)


def _where_largest(x: Tensor, k: int) -> Tensor:
    """Where the k largest of every row of x (m, n) are, in no order; numpy's vector instructions beat topk here."""
    return torch.from_numpy(np.argpartition(x.float().numpy(), -k, axis=1)[:, -k:].copy())


def _at(queries: Tensor, keys: Tensor, rows: Tensor) -> Tensor:
    """Exact similarities (m, c) of queries (m, D) with keys (N, D) at rows (m, c)."""
    starts = torch.arange(len(rows) + 1) * rows.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sparse tensors are in beta
        zeros = torch.zeros(rows.numel())
        where = torch.sparse_csr_tensor(starts, rows.flatten(), zeros, (len(rows), len(keys)), check_invariants=False)
    return torch.sparse.sampled_addmm(where, queries, keys.T, beta=0.0).values().view(rows.shape)


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
