"""What stands between a step and the weights: a loss or gradient that is not finite never reaches them."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import DivergedError

LOOKS = 10  # steps between looks at a device whose answers have to be waited for


class Guard:
    """Clips the gradient's norm, and refuses a step whose loss or gradient is not finite.

    On a CPU the step raises at once. On a GPU that would make every step wait for the device: there the optimiser
    itself skips the step (its `found_inf`, the flag of mixed-precision training), and the run ends at the next look.
    """

    def __init__(self, optimizer: Optimizer, clip: float | None) -> None:
        self.optimizer, self.clip = optimizer, clip
        self._bad: Tensor | None = None  # the first bad step and its loss and norm, on the device

    def __call__(self, terms: dict[str, Tensor], step: int) -> None:
        """Look at the gradients of a step and at the terms they come from. Raises DivergedError."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        loss = torch.stack(list(terms.values())).sum().detach()
        fine = loss.isfinite() & norm.isfinite()
        now = torch.stack([torch.full_like(norm, step + 1), loss.to(norm.dtype), norm])
        if norm.device.type == "cpu":
            if not fine:
                self._raise(now)
        else:
            self.optimizer.found_inf = (~fine).float()  # type: ignore[attr-defined]
            seen = torch.zeros_like(now) if self._bad is None else self._bad
            self._bad = torch.where((seen[0] == 0) & ~fine, now, seen)
            if step % LOOKS == 0:
                self.look()
        if self.clip:
            nn.utils.clip_grads_with_norm_(parameters, self.clip, norm)

    def look(self) -> None:
        """Raise DivergedError if a step since the start was refused."""
        if self._bad is not None and self._bad[0].item():
            self._raise(self._bad)

    def _raise(self, bad: Tensor) -> None:
        step, loss, norm = bad.tolist()
        raise DivergedError(
            f"diverged at step {step:.0f}: loss {loss:g}, gradient norm {norm:g}; "
            "the last good state is kept; try a lower --lr"
        )
