"""Nearest neighbours by cosine: candidates in low precision, neighbours exact, bounded memory."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

CHUNK_BYTES = 64 << 20  # of similarities held at once; they should stay in a cache
GROUP = 16  # similarities of which only the largest is looked at first
SMALL = 10**9  # multiplications below which nothing is worth measuring


def unit(features: NDArray[Any]) -> Tensor:
    """Features (N, D), each of length one: their products are cosines."""
    return F.normalize(torch.from_numpy(np.ascontiguousarray(features)).float(), dim=1)


def neighbours(keys: Tensor, queries: Tensor, k: int) -> Iterator[tuple[Tensor, Tensor]]:
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
