"""The training loop. Pre-training and fine-tuning both run through it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from selftaught.contracts.method import Training
from selftaught.system import distributed, randomness
from selftaught.system.errors import DivergedError
from selftaught.system.profiling import part
from selftaught.training.agreement import MOVING, Agreement
from selftaught.training.guards import Guard, refuse_memory
from selftaught.training.optimizers import apply_schedule

Watch = Callable[[int, dict[str, Tensor]], Any]
Bad = Callable[[int, float, float], Any]


def no_budget(step: int, loss: float, norm: float) -> None:
    """Give up at the first step that is not finite."""
    raise DivergedError(f"diverged at step {step}: loss {loss:g}, gradient norm {norm:g}; try a lower learning rate")


def fit(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Callable[[int], tuple[Tensor, ...]],
    *,
    steps: int,
    training: Training,
    seed: int,
    start: int = 0,
    until: int | None = None,
    watch: Watch = lambda step, terms: None,
    bad: Bad = no_budget,
    forward: Callable[..., dict[str, Tensor]] | None = None,
    agreement: Agreement | None = None,
) -> None:
    """Minimise the sum of the loss terms that `model` returns for each batch of views.

    `steps` is what schedules reckon with; training starts at `start` and ends there, or earlier at `until`.
    `batches(step)` gives this process's views of a step; `watch(step, terms)` follows every step and may save or
    end the run by raising; `bad(step, loss, norm)` hears of a step that was left out because its loss or gradient
    is not finite, and may end the run likewise; `forward` is the model as it should be called, where that is not the
    model itself (wrapped for a device, precision or several processes). Of several processes each takes its share of
    the batch, all of them see the same terms, and `agreement` has what they wish for. Raises OutOfMemory with the
    model as it was before the step that did not fit.
    """
    forward = model if forward is None else forward
    model.train()
    agreement = agreement or Agreement()
    guard = Guard(model, optimizer, training.clip, agreement)
    for step in range(start, steps if until is None else until):
        agreement.whole = step
        apply_schedule(optimizer, training, (step + 1) / steps)
        try:
            views = batches(step)
        except Exception as error:  # views are made where the memory of a step is
            refuse_memory(error)
            raise
        rows = len(views[0])
        first = distributed.rank() * rows
        randomness.seed_torch(seed, step, distributed.rank())
        # Not one address for views and loss: views may be those of another step (in the second stage of fine-tuning
        # steps count from 0 again, its epochs go on), and nobody knows how many rows there are before they are made.
        with guard, randomness.at(seed, step, slice(first, first + rows), distributed.world_size() * rows):
            with part("forward"):
                terms = forward(*views)
                loss = torch.stack(list(terms.values())).sum()
            optimizer.zero_grad()
            with part("backward"):
                loss.backward()
        agreement.step = step + 1
        with part("guard"):
            fine = guard(terms)
        if fine:
            agreement.whole = MOVING
            with part("optimiser"):
                model.before_step(step / steps)  # type: ignore[operator]
                optimizer.step()
            with part("after the step"):  # a teacher follows, a queue moves on
                model.after_step((step + 1) / steps)  # type: ignore[operator]
            agreement.whole = step + 1
        else:
            bad(step + 1, guard.loss, guard.norm)
        with part("logging"):
            watch(step + 1, guard.terms)
