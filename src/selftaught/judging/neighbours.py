"""Nearest neighbours by cosine: candidates in low precision, neighbours exact, bounded memory."""

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

CHUNK_BYTES = 64 << 20  # of similarities held at once; they should stay in a cache
GROUP = 16  # similarities of which only the largest is looked at first
SMALL = 10**9  # multiplications below which nothing is worth measuring
SPARE = 32  # candidates at least beyond the wanted; the more there are, the fewer queries are asked again
ROUNDED = torch.finfo(torch.bfloat16).eps / 2  # the share of a number that rounding moves it by at most
HIDDEN = -4.0  # in place of the similarity of what is no neighbour: less than any, with the mean taken off or not
SUMMED = torch.finfo(torch.float32).eps  # likewise of each term of a product, which is summed up in float32


def unit(features: NDArray[Any]) -> Tensor:
    """Features (N, D), each of length one: their products are cosines."""
    return F.normalize(torch.from_numpy(np.ascontiguousarray(features)).float(), dim=1)


def neighbours(keys: Tensor, queries: Tensor, k: int, groups: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of similarities and rows (m, k) of each query's nearest keys; both normalised, (N, D) and (M, D).

    groups: (N,) of the keys, where these are the queries, too: what is of a query's own group, itself with it, is no
    neighbour of it. Each must have k keys of other groups.
    """
    at_once = max(1, CHUNK_BYTES // (4 * len(keys)))
    coarse = _coarse(keys, queries[:at_once]) if len(keys) * queries.numel() > SMALL else None
    for start in range(0, len(queries), at_once):
        chunk = queries[start : start + at_once]
        hidden = None if groups is None else Hidden(groups, groups[start : start + at_once])
        if coarse is None:
            yield _largest(_hiding(chunk @ keys.T, hidden), k)
            continue
        similarity, rows, unsure = coarse.nearest(chunk, k, hidden)
        if len(unsure):
            shown = _hiding(chunk[unsure] @ keys.T, hidden and hidden.of(unsure))
            similarity[unsure], rows[unsure] = _largest(shown, k)
        if 2 * len(unsure) > len(chunk):  # keys lie so close together that it is no help
            coarse = None
        yield similarity, rows


@dataclass(frozen=True)
class Hidden:
    """What is no neighbour: keys of a query's own group."""

    groups: Tensor  # (N,) of keys
    own: Tensor  # (m,) of queries

    def of(self, queries: Tensor) -> "Hidden":
        """The same for some of the queries."""
        return Hidden(self.groups, self.own[queries])


def _hiding(similarity: Tensor, hidden: Hidden | None, rows: Tensor | None = None) -> Tensor:
    """The similarity of queries to all keys (m, N), or to those at `rows` (m, c), without that to what is hidden."""
    if hidden is None:
        return similarity
    groups = hidden.groups if rows is None else hidden.groups[rows]
    return similarity.masked_fill_(groups == hidden.own[:, None], HIDDEN)


@dataclass(frozen=True)
class Coarse:
    """Keys (N, D), and the same in bfloat16 to find candidates with, and how far these are from being exact.

    Without their mean: that moves all similarities of a query alike, and rounding hurts the smaller numbers less.
    """

    keys: Tensor
    half: Tensor  # (N, D), less the mean
    mean: Tensor  # (D,)
    longest: float  # length of a row of `half`
    lost: float  # length of what rounding took from a row of it

    @classmethod
    def of(cls, keys: Tensor, half: Tensor, mean: Tensor) -> "Coarse":
        """With the lengths, which are measured."""
        longest = lost = 0.0
        for own, rounded in zip(keys.split(GROUP << 12), half.split(GROUP << 12)):
            longest = max(longest, _longest(rounded.float()))
            lost = max(lost, _longest(own - mean - rounded.float()))
        return cls(keys, half, mean, longest, lost)

    def nearest(self, queries: Tensor, k: int, hidden: Hidden | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Exact similarities and rows (m, k) of the best candidates, and for which queries others may be better."""
        halved = queries.to(self.half.dtype)
        products, rows = _largest(_hiding(halved @ self.half.T, hidden), min(len(self.keys), k + max(SPARE, k)))
        similarity, best = _hiding(_at(queries, self.keys, rows), hidden, rows).topk(k, dim=1)
        found = rows.gather(1, best)
        if rows.shape[1] == len(self.keys):
            return similarity, found, torch.empty(0, dtype=torch.int64)
        most = self._most(queries, halved, products.amin(dim=1).float())
        return similarity, found, (similarity[:, -1] < most).nonzero()[:, 0]

    def _most(self, queries: Tensor, halved: Tensor, product: Tensor) -> Tensor:
        """How similar to each query (m,) a key can be whose product, as rounded, is no more than `product` (m,)."""
        off = (queries - halved.float()).norm(dim=1) * self.longest + queries.norm(dim=1) * self.lost
        summed = SUMMED * queries.shape[1] * (1 + self.longest)
        return product + product.abs() * ROUNDED * (1 + ROUNDED) + queries @ self.mean + off + summed


def _longest(rows: Tensor) -> float:
    return float(rows.norm(dim=1).max())


def _coarse(keys: Tensor, chunk: Tensor) -> Coarse | None:
    """What to find candidates with, where this machine is faster at that; else None."""
    mean = keys.mean(dim=0)
    half = (keys - mean).bfloat16()
    seconds = []
    for table in (keys, half):
        few = chunk[:64].to(table.dtype)
        few @ table.T
        began = time.perf_counter()
        few @ table.T
        seconds.append(time.perf_counter() - began)
    return Coarse.of(keys, half, mean) if 2 * seconds[1] < seconds[0] else None


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
