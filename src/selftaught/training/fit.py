"""The training loop. Pre-training and fine-tuning both run through it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import distributed, randomness
from ..errors import DivergedError
from ..method import Training
from ..optimizers import apply_schedule

Batches = Callable[[int], tuple[Tensor, ...]]
Watch = Callable[[int, dict[str, Tensor]], Any]


def fit(
    fabric: Any,
    model: nn.Module,
    optimizer: Optimizer,
    batches: Batches,
    *,
    steps: int,
    training: Training,
    seed: int,
    start: int = 0,
    watch: Watch = lambda step, terms: None,
    forward: Callable[..., dict[str, Tensor]] | None = None,
) -> None:
    """Minimise the sum of the loss terms that `model` returns for each batch of views.

    `batches(step)` gives this process's views of a step; `watch(step, terms)` follows every step and may save or
    end the run by raising; `forward` is the model as it should be called, where that is not the model itself
    (wrapped for a device, precision or several processes). Raises DivergedError before a step that is not finite.
    """
    forward = model if forward is None else forward
    model.train()
    for step in range(start, steps):
        apply_schedule(optimizer, training, (step + 1) / steps)
        views = batches(step)
        rows = len(views[0])
        first = distributed.rank() * rows
        randomness.seed_torch(seed, step, distributed.rank())
        with randomness.at(seed, step, slice(first, first + rows), distributed.world_size() * rows):
            terms = forward(*views)
            loss = torch.stack(list(terms.values())).sum()
            optimizer.zero_grad()
            fabric.backward(loss)
        guard(optimizer, terms, step, training.clip)
        model.before_step(step / steps)  # type: ignore[operator]
        optimizer.step()
        model.after_step((step + 1) / steps)  # type: ignore[operator]
        watch(step + 1, terms)


def guard(optimizer: Optimizer, terms: dict[str, Tensor], step: int, clip: float | None) -> None:
    """Refuse a loss or gradient that is not finite, before it can reach the weights; clip the gradient's norm."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    loss = torch.stack(list(terms.values())).sum()
    if not (loss.isfinite() & norm.isfinite()):
        values = ", ".join(f"{name} {term.item():g}" for name, term in terms.items())
        raise DivergedError(
            f"diverged at step {step + 1}: {values}, gradient norm {norm.item():g}; "
            "the last good state is kept; try a lower --lr"
        )
    if clip:
        nn.utils.clip_grads_with_norm_(parameters, clip, norm)
