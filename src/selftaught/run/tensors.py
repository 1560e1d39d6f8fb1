"""The state of a network and of its optimiser as named tensors, and back."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from selftaught.system.errors import DataError
from selftaught.system.text import printable


class CheckpointError(DataError):
    """A checkpoint is damaged or incomplete, or is that of another network."""


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model by name; a tensor that has several names is kept under the first."""
    seen: set[tuple[int, int]] = set()
    tensors = {}
    for name, tensor in model.state_dict().items():
        identity = (tensor.data_ptr(), tensor.numel())
        if tensor.numel() and identity in seen:
            continue
        seen.add(identity)
        tensors[name] = tensor
    return tensors


def restore_model(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved values into the model's own storage, whose memory format stays; names must agree."""
    own = model_tensors(model)
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())[:3]
        raise CheckpointError(f"the checkpoint holds another network; differing tensors: {', '.join(odd)}")
    if other := next((name for name, tensor in own.items() if tensor.shape != tensors[name].shape), None):
        raise CheckpointError(f"the checkpoint holds another network; {other} has another shape")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser, keyed by parameter name: `<parameter>|<entry>`."""
    return {
        f"{name}|{entry}": torch.as_tensor(value)
        for name, parameter in _named(optimizer)
        for entry, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put saved state back, in fresh storage with each parameter's own memory format."""
    parameters = dict(_named(optimizer))
    for key, value in tensors.items():
        name, _, entry = key.rpartition("|")
        if name not in parameters:
            raise CheckpointError(f"the checkpoint holds another network; {printable(name)} is no weight of this one")
        parameter = parameters[name]
        if value.shape == parameter.shape:
            fresh = torch.empty_like(parameter, dtype=value.dtype, memory_format=torch.preserve_format)
            value = fresh.copy_(value)
        else:
            value = value.to(parameter.device)  # a count of steps, which fused optimisers want beside the weights
        optimizer.state[parameter][entry] = value


def _named(optimizer: Optimizer) -> Iterable[tuple[str, nn.Parameter]]:
    for group in optimizer.param_groups:
        yield from zip(group["names"], group["params"], strict=True)
