"""The state of a network and of its optimiser as named tensors, and back."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from selftaught.run.rows import CheckpointError as CheckpointError
from selftaught.run.rows import is_split, rows_of
from selftaught.run.saved import rows_in, shape_in
from selftaught.system.text import printable


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model by name; a tensor that has several names is kept under the first."""
    seen: set[tuple[int, int]] = set()
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        # Of a tensor whose rows are spread, a process may hold none: there is no place by which to know it.
        identity = (id(tensor) if is_split(tensor) else tensor.data_ptr(), tensor.numel())
        if tensor.numel() and identity in seen:
            continue
        seen.add(identity)
        tensors[name] = tensor.detach()
    return tensors


def restore_model(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved values into the model's own storage, whose memory format stays; names must agree.

    Of what is spread over processes only this one's rows are read.
    """
    own = model_tensors(model)
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())[:3]
        raise CheckpointError(f"the checkpoint holds another network; differing tensors: {', '.join(odd)}")
    if other := next((name for name, tensor in own.items() if tuple(tensor.shape) != shape_in(tensors, name)), None):
        raise CheckpointError(f"the checkpoint holds another network; {other} has another shape")
    with torch.no_grad():
        for name, tensor in own.items():
            rows = rows_of(tensor)
            rows.held.copy_(rows_in(tensors, name, rows))


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
    for key in tensors:
        name, _, entry = key.rpartition("|")
        if name not in parameters:
            raise CheckpointError(f"the checkpoint holds another network; {printable(name)} is no weight of this one")
        parameter = parameters[name]
        if shape_in(tensors, key) == tuple(parameter.shape):
            rows = rows_in(tensors, key, rows_of(parameter))
            value = torch.empty_like(parameter, dtype=rows.dtype, memory_format=torch.preserve_format)
            rows_of(value).held.copy_(rows)
        else:
            value = tensors[key].to(parameter.device)  # a count of steps, which fused ones want beside the weights
        optimizer.state[parameter][entry] = value


def _named(optimizer: Optimizer) -> Iterable[tuple[str, nn.Parameter]]:
    for group in optimizer.param_groups:
        yield from zip(group["names"], group["params"], strict=True)
