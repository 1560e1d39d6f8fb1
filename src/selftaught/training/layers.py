"""The layers of a network, whatever it is: how deep each weight lies, and how fast it is to learn for that."""

from timm.models import group_parameters
from torch import nn

NEARLY_ALL = 0.9  # of the weights; a part that holds more is no layer, it holds the layers


def depths(net: nn.Module) -> dict[nn.Parameter, int]:
    """The layer of each weight, the first from the input being 0: timm's own grouping, or else the parts in order."""
    if hasattr(net, "group_matcher"):
        layer = group_parameters(net, net.group_matcher(coarse=True), reverse=True)  # type: ignore[operator]
        return {weight: layer[name] for name, weight in net.named_parameters()}
    return {weight: number for number, part in enumerate(_parts(net)) for weight in part}


def layer_scales(net: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    """What the learning rate of each weight is multiplied by: `decay` for every layer between it and the output.

    As of BEiT (Bao et al., 2021, appendix H), with the new head, which is not in `net`, as the last layer.
    https://arxiv.org/abs/2106.08254
    """
    layers = depths(net)
    deepest = max(layers.values())
    return {weight: decay ** (deepest + 1 - depth) for weight, depth in layers.items()}


def first_half(net: nn.Module) -> set[nn.Parameter]:
    """The weights of those layers that are nearer to the input."""
    layers = depths(net)
    deepest = max(layers.values())
    return {weight for weight, depth in layers.items() if 2 * depth <= deepest}


def last_layers(net: nn.Module, count: int) -> set[nn.Parameter]:
    """The weights of the last so many layers."""
    layers = depths(net)
    deepest = max(layers.values())
    return {weight for weight, depth in layers.items() if depth > deepest - count}


def _parts(net: nn.Module) -> list[list[nn.Parameter]]:
    """The weights of a network, a list for each of its parts."""
    own = [[weight] for weight in net.parameters(recurse=False)]
    whole = sum(weight.numel() for weight in net.parameters())
    parts = own
    for child in net.children():
        weights = list(child.parameters())
        inside = sum(weight.numel() for weight in weights) > NEARLY_ALL * whole and any(child.children())
        parts = parts + (_parts(child) if inside or _is_listed(child) else [weights])
    return [part for part in parts if part]


def _is_listed(part: nn.Module) -> bool:
    """Whether it is a list of layers, or has one and little else, as encoders of transformers have it."""
    return isinstance(part, nn.ModuleList) or any(isinstance(child, nn.ModuleList) for child in part.children())
