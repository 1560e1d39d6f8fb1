"""Batch norm with the statistics of several processes, which one process would have of all their samples."""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules._functions import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm

from selftaught.system.distributed import block, each, in_blocks, summed, world_size


def share_batch_norms(module: nn.Module, group: Any = None) -> None:
    """Make every batch norm inside see the global batch, or a group's, whatever its subclass adds (timm's: activation).

    Names and state stay as they are. Whatever puts a method on several devices has to call this, or they learn
    something else than one would; the tests hold all methods to that with two processes.
    """
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and not isinstance(layer, _Shared):
            own = type(layer)
            layer.__class__ = type(own.__name__, (_Shared, own), {"group": group})  # not in its dict: no copy of it


class _Shared:
    """Ahead of a batch norm class in the order of inheritance."""

    group: Any = None

    def forward(self: Any, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(x)  # type: ignore[misc]
        group = in_blocks(block()) if block() else self.group
        x = self._by_kernels(x, group) if x.is_cuda and self.track_running_stats else self._by_moments(x, group)
        return self.act(self.drop(x)) if hasattr(self, "act") else x

    def _share(self: Any) -> float:
        """How much the running statistics take of this batch's."""
        self.num_batches_tracked += 1
        return 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum

    def _by_kernels(self: Any, x: Tensor, group: Any) -> Tensor:
        """torch's own, for GPUs alone: two collectives a layer, and no copies of x."""
        group = group or dist.group.WORLD
        running = (self.running_mean, self.running_var, self.eps, self._share(), group, dist.get_world_size(group))
        return SyncBatchNorm.apply(x.contiguous(), self.weight, self.bias, *running)

    def _by_moments(self: Any, x: Tensor, group: Any) -> Tensor:
        made, mean, variance, count = _Normalised.apply(x, self.weight, self.bias, self.eps, group)
        if self.track_running_stats:
            share = self._share()
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var.dtype), share)
        return made


class _Normalised(torch.autograd.Function):
    """What torch's SyncBatchNorm does, which has no kernels for a CPU: two collectives a layer, and few passes over x.

    x: (B, C, ...); weight, bias: (C,) or None. Gives y, and mean, variance (C,) and count of all samples.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, group: Any) -> Any:
        mean, variance, count = _moments(x, group)
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps, ctx.group = eps, group
        ctx.mark_non_differentiable(mean, variance, count)
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> Any:
        x, weight, mean, variance, count = ctx.saved_tensors
        unit = torch.ones_like(mean)
        asked, eps = [False, True, True], ctx.eps
        given = (grad, x, unit, mean, variance, None, None, False, eps, asked)
        _, along, over = torch.ops.aten.native_batch_norm_backward(*given)  # sums of grad * normalised x, and of grad
        wanted = zip((along, over), ctx.needs_input_grad[1:3])
        own = [one.to(weight.dtype) if asked_for else None for one, asked_for in wanted]
        if not ctx.needs_input_grad[0]:
            return None, *own, None, None
        all_along, all_over = summed(torch.stack([along, over]), ctx.group)
        slope = (variance + eps).rsqrt() * (1 if weight is None else weight)
        # The gradient less what of it a shift or a stretch of all samples would undo.
        undone = F.batch_norm(x, mean, variance, -slope * all_along / count, -slope * all_over / count, eps=eps)
        shape = [1, -1, *[1] * (x.ndim - 2)]
        return undone.addcmul_(grad, slope.to(grad.dtype).view(shape)), *own, None, None


def _moments(x: Tensor, group: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance (C,) and count () over the samples of a group of processes, which may hold unequal shares."""
    wide = x.detach() if x.dtype == torch.float64 else x.detach().float()
    if x.device.type == "cpu":
        mean, variance = torch.batch_norm_update_stats(wide, None, None, 0.0)  # in one pass of any layout
    else:
        variance, mean = torch.var_mean(wide, [0, *range(2, x.ndim)], correction=0)
    share = torch.full_like(mean, x.numel() // x.shape[1])
    counts, means, variances = each(torch.stack([share, mean, variance]), group).unbind(1)
    count = counts.sum(0)
    mean = (counts * means).sum(0) / count
    variance = (counts * (variances + (means - mean).square())).sum(0) / count
    return mean, variance, count[0]
