"""Sums over rows of a similarity matrix that is never held whole: one tile of it at a time, forward and backward."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.system.precision import in_full_precision

TILE = 2**19  # similarities at a time: 2 MB in float32, which a CPU's cache holds and a GPU is busy with
STEEPEST = 40.0  # scale up to which exp(-2 * scale), the least share of unit vectors, is safe in float32: 2e-35


@in_full_precision
def cosines(x: Tensor, directions: Tensor) -> Tensor:
    """The cosine (..., K) of vectors x (..., D) with every one of `directions` (K, D), which have unit length.

    Divided by a temperature, what half precision would round off here is as large as what is to be learnt.
    """
    return F.normalize(x, dim=-1) @ directions.T


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
        for rows in _tiles(len(queries), len(keys)):
            # Less the row's largest, so that exp cannot overflow; in place, as a tile is used once.
            logits = _logits(queries[rows], keys, scale, skip[rows])
            highest = logits.amax(dim=1, keepdim=True)
            log_sums[rows] = logits.sub_(highest).exp_().sum(dim=1).log_().add_(highest[:, 0])
        ctx.save_for_backward(queries, keys, skip, log_sums)
        ctx.scale = scale
        return log_sums

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        queries, keys, skip, log_sums = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        of_queries = torch.empty_like(queries) if wanted[0] else None
        of_keys = torch.zeros_like(keys) if wanted[1] else None
        for rows in _tiles(len(queries), len(keys)):
            # Made again rather than kept: that costs a product a tile, and saves the whole matrix.
            share = _logits(queries[rows], keys, ctx.scale, skip[rows])
            share.sub_(log_sums[rows, None]).exp_().mul_((ctx.scale * grad[rows])[:, None])
            if of_queries is not None:
                torch.mm(share, keys, out=of_queries[rows])
            if of_keys is not None:
                of_keys.addmm_(share.T, queries[rows])
        return of_queries, of_keys, None, None


class _LogSumExpWithin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, scale: float, skip: Tensor) -> Tensor:
        sums = vectors.new_zeros(len(vectors))
        for rows, share in _triangle(vectors, scale, skip):
            sums[rows] += share.sum(dim=1)
            # What lies to the right of the diagonal's square stands for what lies below it as well.
            sums[rows.stop :] += share[:, len(share) :].sum(dim=0)
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
        for rows, share in _triangle(vectors, ctx.scale, skip):
            share.mul_(weight[rows, None] + weight[rows.start :])  # of each pair's two members
            of_vectors[rows].addmm_(share, vectors[rows.start :])
            of_vectors[rows.stop :].addmm_(share[:, len(share) :].T, vectors[rows])
        return of_vectors, None, None


def _triangle(vectors: Tensor, scale: float, skip: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Tiles exp(scale * (u . v - 1)) of some rows, from the diagonal on."""
    first = 0
    while first < len(vectors):
        rows = slice(first, min(first + max(1, TILE // (len(vectors) - first)), len(vectors)))
        share = torch.mm(vectors[rows] * scale, vectors[first:].T).sub_(scale).exp_()
        for place in (skip[rows] - first).split(1, dim=1):
            inside = place.clamp(min=0)
            share.scatter_(1, inside, torch.where(place < 0, share.gather(1, inside), 0))
        yield rows, share
        first = rows.stop


def _logits(queries: Tensor, keys: Tensor, scale: float, skip: Tensor) -> Tensor:
    logits = torch.mm(queries * scale, keys.T)
    return logits.scatter_(1, skip, -torch.inf) if skip.shape[1] else logits


def _tiles(rows: int, columns: int) -> Iterator[slice]:
    height = max(1, TILE // max(1, columns))
    return (slice(first, min(first + height, rows)) for first in range(0, rows, height))
