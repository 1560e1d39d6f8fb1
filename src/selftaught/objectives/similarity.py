"""Sums over rows of a similarity matrix that is never held whole: one tile of it at a time, forward and backward."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

TILE = 2**20  # similarities at a time: 4 MB in float32, which a CPU's cache holds and a GPU is busy with


def log_sum_exp(queries: Tensor, keys: Tensor, scale: float, skip: Tensor | None = None) -> Tensor:
    """log of the sum over keys of exp(scale * query . key), for each query (N,).

    queries (N, D), keys (M, D); skip: (N, K) numbers of the keys that a query leaves out. Memory grows with N + M.
    """
    left_out = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device) if skip is None else skip
    return _LogSumExp.apply(queries, keys, scale, left_out)


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, scale: float, skip: Tensor) -> Tensor:
        found = queries.new_empty(len(queries))
        for rows in _tiles(len(queries), len(keys)):
            logits = _logits(queries[rows], keys, scale, skip[rows])
            highest = logits.amax(dim=1, keepdim=True)
            found[rows] = logits.sub_(highest).exp_().sum(dim=1).log_().add_(highest[:, 0])
        ctx.save_for_backward(queries, keys, skip, found)
        ctx.scale = scale
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        queries, keys, skip, found = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        of_queries = torch.empty_like(queries) if wanted[0] else None
        of_keys = torch.zeros_like(keys) if wanted[1] else None
        for rows in _tiles(len(queries), len(keys)):
            share = _logits(queries[rows], keys, ctx.scale, skip[rows])
            share.sub_(found[rows, None]).exp_().mul_((ctx.scale * grad[rows])[:, None])
            if of_queries is not None:
                torch.mm(share, keys, out=of_queries[rows])
            if of_keys is not None:
                of_keys.addmm_(share.T, queries[rows])
        return of_queries, of_keys, None, None


def _logits(queries: Tensor, keys: Tensor, scale: float, skip: Tensor) -> Tensor:
    logits = torch.mm(queries * scale, keys.T)
    return logits.scatter_(1, skip, -torch.inf) if skip.shape[1] else logits


def _tiles(rows: int, columns: int) -> Iterator[slice]:
    height = max(1, TILE // max(1, columns))
    return (slice(first, min(first + height, rows)) for first in range(0, rows, height))
