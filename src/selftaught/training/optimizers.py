"""Optimisers from a training preset: parameter groups, learning rates and their schedules."""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from selftaught.contracts.method import Training
from selftaught.methods.parts.schedules import cosine, warmup_cosine, warmup_drops
from selftaught.training.sharding import held, norms, sharing


class LARS(Optimizer):
    """SGD with momentum whose step is scaled to each weight's own norm (You, Gitman, Ginsburg, 2017).

    As SimCLR and BYOL use it: tensors of one dimension (biases, norms) get neither the trust ratio nor weight
    decay. https://arxiv.org/abs/1708.03888
    """

    def __init__(
        self, params: Iterable[Any], lr: float, *, momentum: float = 0.9, weight_decay: float = 0.0, trust: float = 1e-3
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take one step, with all weights of one kind in one operation each."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for weight in weights:
                if "momentum_buffer" not in self.state[weight]:
                    self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
            for scaled in (True, False):
                chosen = [weight for weight in weights if (weight.ndim > 1) == scaled]
                if chosen:
                    self._move(chosen, [weight.grad for weight in chosen], group, scaled)

    def _move(self, weights: list[Tensor], grads: list[Any], group: dict[str, Any], scaled: bool) -> None:
        velocities = held([self.state[weight]["momentum_buffer"] for weight in weights])
        all_rows, weights, grads = weights, held(weights), held(grads)
        if scaled:
            grads = list(torch._foreach_add(grads, weights, alpha=group["weight_decay"]))
            ratios = [
                torch.where((own > 0) & (slope > 0), group["trust"] * own / slope.clamp(min=1e-12), 1.0)
                for own, slope in zip(norms(weights, all_rows), norms(grads, all_rows))
            ]
            grads = list(torch._foreach_mul(grads, ratios))
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, grads)
        torch._foreach_add_(weights, velocities, alpha=-group["lr"])


def scaled_lr(training: Training, batch_size: int) -> float:
    """The peak learning rate for a batch: the preset's is per 256 samples."""
    ratio = batch_size / 256
    return training.lr * {"linear": ratio, "sqrt": ratio**0.5, "none": 1.0}[training.scaling]


def build_optimizer(
    model: nn.Module,
    training: Training,
    batch_size: int,
    scales: Mapping[nn.Parameter, float] | None = None,
    late: Container[nn.Parameter] = (),
) -> Optimizer:
    """The preset's optimiser over the trainable parameters of a model.

    `scales`: what the learning rate of a parameter is multiplied by, where that is not 1; `late`: those that learn only
    after the preset's share `frozen`. Groups record `names`, `peak_lr`, `peak_weight_decay`, whether their learning
    rate is `fixed`, and whether they are `late`.
    """
    peak = scaled_lr(training, batch_size)
    bias = training.bias_lr / training.lr if training.bias_lr else 1.0
    groups: dict[tuple[float, ...], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = training.decay_norms or not _undecayed(name, parameter)
        fixed = name.startswith(training.fixed_lr) if training.fixed_lr else False
        scale = (scales or {}).get(parameter, 1.0) * (bias if parameter.ndim <= 1 else 1.0)
        lr, decay = peak * scale, training.weight_decay if decays else 0.0
        peaks = {"lr": lr, "weight_decay": decay, "peak_lr": lr, "peak_weight_decay": decay}
        facts = {"fixed": fixed, "late": parameter in late}
        group = groups.setdefault((decays, *facts.values(), scale), {"params": [], "names": [], **peaks, **facts})
        group["params"].append(parameter)
        group["names"].append(name)
    chosen, whole = list(groups.values()), sharing(model.parameters()) == 1
    if training.optimizer == "adamw":
        return AdamW(chosen, lr=peak, betas=training.betas, fused=True)  # one kernel for all weights
    if training.optimizer == "adam":
        return Adam(chosen, lr=peak, betas=training.betas, fused=True)
    if training.optimizer == "lars":
        return LARS(chosen, lr=peak, momentum=training.momentum)
    # torch has no fused one of rows.
    return SGD(chosen, lr=peak, momentum=training.momentum, fused=whole, foreach=not whole)


def _undecayed(name: str, parameter: Tensor) -> bool:
    """Whether weight decay should leave a parameter alone: biases, norms, and learnt tokens and positions."""
    last = name.rsplit(".", 1)[-1]  # timm's names of tokens and positions, and the value that holes are filled with
    return parameter.ndim <= 1 or last in ("cls_token", "reg_token", "pos_embed", "hole")


def rate_at(training: Training, progress: float) -> float:
    """The share of its peak that the learning rate has at `progress` in (0, 1]."""
    if training.drops:
        return warmup_drops(progress, training.warmup, training.drops, training.drop)
    return warmup_cosine(progress, training.warmup, training.final_lr)


def apply_schedule(optimizer: Optimizer, training: Training, progress: float) -> None:
    """Set every group's learning rate and weight decay for `progress` in (0, 1]."""
    factor = rate_at(training, progress)
    for group in optimizer.param_groups:
        waits = group["late"] and progress <= training.frozen
        group["lr"] = 0.0 if waits else group["peak_lr"] * (1.0 if group["fixed"] else factor)
        if training.weight_decay_end is not None and group["peak_weight_decay"]:
            group["weight_decay"] = cosine(group["peak_weight_decay"], training.weight_decay_end, progress)
