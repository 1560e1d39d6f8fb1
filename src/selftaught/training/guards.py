"""What stands between a step and the weights: a loss or gradient that is not finite never reaches them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from selftaught.contracts.encoder import batch_norms
from selftaught.system import distributed
from selftaught.system.errors import DivergedError, is_out_of_memory, memory_full
from selftaught.system.text import printable
from selftaught.training.agreement import Agreement
from selftaught.training.sharding import held, sharing

IN_A_ROW = 3  # bad steps that are left out before a run is given up
SHARE, FEW = 0.01, 10  # of all steps that may be bad, beyond the first few


class Guard:
    """Clips the gradient's norm, and says of every step whether its loss and gradient are finite.

    The statistics that batch norm gathered in a bad step are put back: they would spoil every later one. Of several
    processes all say the same, and with what they tell each other travels what they wish for.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, clip: float | None, agreement: Agreement) -> None:
        self.optimizer, self.clip, self.agreement = optimizer, clip, agreement
        self.spread = sharing(p for group in optimizer.param_groups for p in group["params"])
        self.terms: dict[str, Tensor] = {}  # of the last step, their mean over all processes
        self.statistics = [
            buffer
            for layer in batch_norms(model)
            for buffer in (layer.running_mean, layer.running_var, layer.num_batches_tracked)
            if buffer is not None
        ]
        self._before = [buffer.clone() for buffer in self.statistics]
        self.loss = self.norm = 0.0  # of the last step that was not finite

    def __enter__(self) -> None:
        """Remember the statistics before the forward and backward pass of a step."""
        if self.statistics:
            torch._foreach_copy_(self._before, self.statistics)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None:
            return
        self._put_back()
        refuse_memory(error)

    def __call__(self, terms: dict[str, Tensor]) -> bool:
        """Whether the optimiser may use the gradients at hand, which come from these terms."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.get_total_norm(held([p.grad for p in parameters if p.grad is not None]))
        self.terms, norm = self._of_all(terms, norm) if distributed.world_size() > 1 else (terms, norm)
        loss = torch.stack(list(self.terms.values())).sum().detach()
        if not loss.isfinite() & norm.isfinite():
            self.loss, self.norm = float(loss), float(norm)
            self._put_back()
            return False
        if self.clip:
            nn.utils.clip_grads_with_norm_(parameters, self.clip, norm)
        return True

    @torch.no_grad()
    def _of_all(self, terms: dict[str, Tensor], norm: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The means of terms over all processes, and the norm, on the host, which waits here once for it all.

        Where rows are spread, each has the norm of its own.
        """
        own = torch.stack([*terms.values(), norm]).double()
        if self.spread > 1:
            own[-1] = self.spread * own[-1].square()
        sums = distributed.total(torch.cat([own, own.new_tensor(self.agreement.wishes())])).cpu()
        means = sums[: len(own)] / distributed.world_size()
        self.agreement.grant(sums[len(own) :].tolist())
        mean = means[-1].sqrt() if self.spread > 1 else means[-1]
        return dict(zip(terms, means)), mean.to(norm.dtype)

    def _put_back(self) -> None:
        if self.statistics:
            torch._foreach_copy_(self.statistics, self._before)


def refuse_memory(error: BaseException) -> None:
    """Raise MemoryFull where that is what an error of torch's or Python's says."""
    if is_out_of_memory(error):
        raise memory_full(error) from error


def refuse_many(bad: Sequence[int], step: int, faulty: Callable[[], Sequence[str]] = tuple) -> None:
    """Raise DivergedError where too many of the first `step` steps were bad; `bad` are their numbers, in order.

    faulty: gives the samples of the last of them that hold values that are not finite, which no learning rate mends.
    """
    in_a_row = 0
    while in_a_row < len(bad) and bad[-1 - in_a_row] == step - in_a_row:
        in_a_row += 1
    if in_a_row > IN_A_ROW or len(bad) > max(FEW, SHARE * step):
        which = f"{in_a_row} steps in a row" if in_a_row > IN_A_ROW else f"{len(bad)} of {step} steps"
        raise _diverged(bad, step, which, faulty)


def refuse_all(bad: Sequence[int], step: int, faulty: Callable[[], Sequence[str]] = tuple) -> None:
    """Raise DivergedError where a run of `step` steps ends and all were bad, few as they may be: it has learnt nothing.

    bad and faulty as above.
    """
    if step and len({*bad}) == step:
        raise _diverged(bad, step, f"all of its {step} steps" if step > 1 else "its only step", faulty)


def _diverged(bad: Sequence[int], step: int, which: str, faulty: Callable[[], Sequence[str]]) -> DivergedError:
    remedy = "try a lower --lr"
    if named := faulty():
        some = f"{len(named)} samples of this step, such as {printable(named[0])},"
        remedy = f"{some} hold values that are not finite (NaN or infinite): mend or remove such samples"
    elif len({*bad}) == step:  # so the weights are those of the start, which no learning rate has spoilt
        remedy = "no step was ever good, so no learning rate is to blame: look at the method and its options"
    return DivergedError(
        f"diverged at step {step}: {which} had a loss or gradient that is not finite; the last good state is kept, "
        f"and bad_batches.jsonl names the samples; {remedy}"
    )


def is_reached(encoder: nn.Module) -> bool:
    """Whether the last backward pass has come to any of the weights that an encoder learns, if it learns any."""
    learnt = [weight for weight in encoder.parameters() if weight.requires_grad]
    return not learnt or any(weight.grad is not None for weight in learnt)
