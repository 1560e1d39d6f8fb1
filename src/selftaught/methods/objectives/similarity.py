"""Sums over rows of a similarity matrix that is never held whole: one tile of it at a time, forward and backward."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.system.precision import in_full_precision

# Similarities at a time, in float32: 2 MB, which a CPU's cache holds, and 256 MB, which keep a card busy.
CELLS = {"cpu": 2**19, "card": 2**26}
# Rows of a tile at least, however many keys there are: all keys are read, and their slopes rewritten, once for these.
HEIGHT = 128
STEEPEST = 40.0  # scale up to which exp(-2 * scale), the least share of unit vectors, is safe in float32: 2e-35


@in_full_precision
def cosines(x: Tensor, directions: Tensor) -> Tensor:
    """The cosine (..., K) of vectors x (..., D) with every one of `directions` (K, D), which have unit length.

    Divided by a temperature, what half precision would round off here is as large as what is to be learnt.
    """
    return F.normalize(x, dim=-1) @ directions.T


@in_full_precision
def products(x: Tensor, directions: Tensor) -> Tensor:
    """The same of vectors x that have unit length already."""
    return x @ directions.T


@in_full_precision
def log_sum_exp(queries: Tensor, keys: Tensor, scale: float, skip: Tensor | None = None) -> Tensor:
    """log of the sum over keys of exp(scale * query . key), for each query (N,).

    queries (N, D), keys (M, D); skip: (N, K) numbers of the keys that a query leaves out. Memory grows with N + M.
    """
    left_out = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device) if skip is None else skip
    return _LogSumExp.apply(queries, keys, scale, left_out)


def log_sum_exp_within(vectors: Tensor, scale: float, skip: Tensor) -> Tensor:
    """log_sum_exp of unit vectors (N, D) over themselves, where `skip` (N, K) is mutual: half the work.

    Similarities are symmetric, so only those above the diagonal are computed.
    """
    # Within, nothing is taken off but the largest value that can be, so what is far below it must still be a number.
    if scale > STEEPEST:
        return log_sum_exp(vectors, vectors, scale, skip)
    return _LogSumExpWithin.apply(vectors, scale, skip)


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, scale: float, skip: Tensor) -> Tensor:
        log_sums = queries.new_empty(len(queries))
        down, across = _tiles(queries, keys)
        for rows in down:
            sums = queries.new_zeros(rows.stop - rows.start)
            # Finite from the start, as a tile may be left out whole.
            highest = torch.full_like(sums, torch.finfo(sums.dtype).min)[:, None]
            for columns in across:
                # Less the largest so far, so that exp cannot overflow; in place, as a tile is used once.
                logits = _logits(queries[rows], keys[columns], scale, skip[rows] - columns.start)
                before, highest = highest, torch.maximum(highest, logits.amax(dim=1, keepdim=True))
                sums.mul_((before - highest).exp_()[:, 0]).add_(logits.sub_(highest).exp_().sum(dim=1))
            log_sums[rows] = sums.log_().add_(highest[:, 0])
        ctx.save_for_backward(queries, keys, skip, log_sums)
        ctx.scale = scale
        return log_sums

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        queries, keys, skip, log_sums = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        of_queries = torch.zeros_like(queries) if wanted[0] else None
        of_keys = torch.zeros_like(keys) if wanted[1] else None
        for rows, columns in itertools.product(*_tiles(queries, keys)):
            # Made again rather than kept: that costs a product a tile, and saves the whole matrix.
            share = _logits(queries[rows], keys[columns], ctx.scale, skip[rows] - columns.start)
            share.sub_(log_sums[rows, None]).exp_().mul_((ctx.scale * grad[rows])[:, None])
            if of_queries is not None:
                of_queries[rows].addmm_(share, keys[columns])
            if of_keys is not None:
                of_keys[columns].addmm_(share.T, queries[rows])
        return of_queries, of_keys, None, None


class _LogSumExpWithin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, scale: float, skip: Tensor) -> Tensor:
        sums = vectors.new_zeros(len(vectors))
        for rows, columns, beside, share in _triangle(vectors, scale, skip):
            sums[rows] += share.sum(dim=1)
            # What lies to the right of the diagonal's square stands for what lies below it as well.
            sums[columns][beside] += share[:, beside].sum(dim=0)
        log_sums = sums.log_().add_(scale)
        ctx.save_for_backward(vectors, skip, log_sums)
        ctx.scale = scale
        return log_sums

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        vectors, skip, log_sums = ctx.saved_tensors
        weight = grad * (ctx.scale - log_sums).exp_().mul_(ctx.scale)
        of_vectors = torch.zeros_like(vectors)
        for rows, columns, beside, share in _triangle(vectors, ctx.scale, skip):
            share.mul_(weight[rows, None] + weight[columns])  # of each pair's two members
            of_vectors[rows].addmm_(share, vectors[columns])
            of_vectors[columns][beside].addmm_(share[:, beside].T, vectors[rows])
        return of_vectors, None, None


@torch.no_grad()
def nearest_other(x: Tensor, everyone: Tensor, own: Tensor) -> Tensor:
    """The number of the row of `everyone` (M, D) with the largest cosine to each unit row of x (N, D): (N,).

    own: (N,) numbers of these rows among everyone, which are no others.
    """
    found = []
    for rows in _cut(len(x), max(HEIGHT, _cells(x) // len(everyone))):
        found.append((x[rows] @ everyone.T).scatter_(1, own[rows, None], -torch.inf).argmax(dim=1))
    return torch.cat(found)


def _triangle(vectors: Tensor, scale: float, skip: Tensor) -> Iterator[tuple[slice, slice, slice, Tensor]]:
    """Tiles exp(scale * (u . v - 1)) of some rows, from the diagonal on: rows, columns, which of a tile's columns lie
    beside the diagonal's square, and the tile."""
    first, count = 0, len(vectors)
    while first < count:
        height = max(HEIGHT, _cells(vectors) // (count - first))
        rows = slice(first, min(first + height, count))
        # No narrower than high, so that only the first tile of these rows meets the diagonal.
        for part in _cut(count - first, max(height, _cells(vectors) // height)):
            columns = slice(first + part.start, first + part.stop)
            share = torch.mm(vectors[rows] * scale, vectors[columns].T).sub_(scale).exp_()
            beside = slice(max(0, rows.stop - columns.start), None)
            yield rows, columns, beside, _left_out(share, skip[rows] - columns.start, 0.0)
        first = rows.stop


def _logits(queries: Tensor, keys: Tensor, scale: float, skip: Tensor) -> Tensor:
    return _left_out(torch.mm(queries * scale, keys.T), skip, -torch.inf)


def _left_out(tile: Tensor, places: Tensor, value: float) -> Tensor:
    """A tile (N, M) with a value at the columns `places` (N, K), as far as these lie in it."""
    for place in places.split(1, dim=1) if places.shape[1] else ():
        inside = place.clamp(0, tile.shape[1] - 1)
        tile.scatter_(1, inside, torch.where(place == inside, value, tile.gather(1, inside)))
    return tile


def _tiles(queries: Tensor, keys: Tensor) -> tuple[list[slice], list[slice]]:
    """Which queries and which keys meet at a time: all keys, where enough queries fit."""
    height = max(HEIGHT, _cells(queries) // max(1, len(keys)))
    return _cut(len(queries), height), _cut(len(keys), max(1, _cells(queries) // height))


def _cut(count: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def _cells(x: Tensor) -> int:
    return CELLS["cpu" if x.device.type == "cpu" else "card"]
