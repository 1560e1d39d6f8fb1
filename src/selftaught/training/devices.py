"""What a device can and cannot do with a network: kinds of attention, and faults of half precision."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def set_attention(network: nn.Module, attention: str) -> None:
    """Let every attention of timm's in `network` be one fused kernel, or "plain": products of matrices.

    The fused kernel saves memory, and on GPUs time; on CPUs in bf16 its backward pass takes twice as long (torch
    2.14.1, 197 tokens).
    """
    for layer in attentions(network):
        layer.fused_attn = attention != "plain"


def attentions(network: nn.Module) -> list[Any]:
    """The layers that can do either."""
    return [layer for layer in network.modules() if hasattr(layer, "fused_attn")]


@torch.no_grad()
def fault_of(network: nn.Module, show: Callable[[], Any]) -> str | None:
    """What a network meets, when it is shown a batch, that half precision on a CPU gets wrong."""
    struck: list[str] = []

    def look(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        if max(layer.stride) > 1 and max(inputs[0].shape[2:]) == 1:
            struck.append("a strided convolution meets a map of one cell; use a larger --size or --encoder.stem small")

    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(look) for layer in convolutions]
    show()
    for hook in hooks:
        hook.remove()
    return struck[0] if struck else None
