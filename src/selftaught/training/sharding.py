"""Weights, their gradients and the optimiser's state, spread over processes as rows: torch's FSDP2, block by block.

After ZeRO (Rajbhandari et al., 2020, stage 3, https://arxiv.org/abs/1910.02054) and FSDP (Zhao et al., 2023,
https://arxiv.org/abs/2304.11277).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.methods.parts.teacher import Frozen
from selftaught.run.rows import is_split, rows_of
from selftaught.system.errors import UsageError

OWN = "own"  # the library of a user's network


def spread(module: nn.Module, device: torch.device, size: int) -> None:
    """Let each of every `size` processes in their order hold an equal share of the rows of all weights, in place.

    A block's weights are whole while it is called, forward and backward, all others while the module is. Statistics and
    other buffers stay whole everywhere. Raises UsageError where a weight has no rows.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method  # slow to import

    if single := [name for name, weight in module.named_parameters() if not weight.ndim]:
        raise UsageError(f"--shard {size}: {single[0]} is a single number and has no rows: give it the shape (1,)")
    mesh = _mesh(device, size)
    for block in blocks(module):
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(module, "start")  # a method's first look at the data asks its encoder, too
    for part in module.modules():
        if isinstance(part, Frozen):  # of which torch does not know; nothing of it is learnt
            part.network.to(device)


def _mesh(device: torch.device, size: int) -> Any:
    """Neighbours by number hold the rows of one whole; with several wholes gradients are summed over these as well."""
    wholes = dist.get_world_size() // size
    if wholes == 1:
        return dist.device_mesh.init_device_mesh(device.type, (size,), mesh_dim_names=("rows",))
    return dist.device_mesh.init_device_mesh(device.type, (wholes, size), mesh_dim_names=("wholes", "rows"))


def blocks(module: nn.Module) -> list[nn.Module]:
    """The layers of every encoder inside, a teacher's copy too, that are called one after the other.

    Not of a user's own network, since nobody knows how its parts are called, and none that shares a weight with another
    part: both come with the rest.
    """
    encoders = (part for part in module.modules() if isinstance(part, Encoder) and part.origin.library != OWN)
    found = list(dict.fromkeys(block for encoder in encoders for block in _outermost(encoder)))
    uses = Counter(map(id, _with_duplicates(module)))
    return [block for block in found if all(uses[id(w)] == n for w, n in Counter(_with_duplicates(block)).items())]


def _with_duplicates(module: nn.Module) -> Iterator[nn.Parameter]:
    """Each weight as often as it has a name."""
    return (weight for _, weight in module.named_parameters(remove_duplicate=False))


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    """The modules in a list or a sequence, not in one another, that have parts of their own."""
    for child in module.children():
        if isinstance(module, nn.Sequential | nn.ModuleList) and any(child.children()):
            yield child
        else:
            yield from _outermost(child)


def sharing(weights: Iterable[Tensor]) -> int:
    """How many processes hold the rows of one whole: 1 where each has all."""
    split = next((weight for weight in weights if is_split(weight)), None)
    return split.device_mesh.shape[-1] if split is not None and is_split(split) else 1


def held(tensors: Sequence[Tensor]) -> list[Tensor]:
    """What this process has of each of some tensors, in the same storage: its rows, or all."""
    return [rows_of(x).held for x in tensors] if sharing(tensors) > 1 else list(tensors)


def norms(rows: list[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """The norms of some tensors, of which this process has those `rows` that it has of the `weights`."""
    own = torch._foreach_norm(rows)
    if sharing(weights) == 1:
        return list(own)
    squares = torch.stack(own).square()
    dist.all_reduce(squares, group=weights[0].device_mesh.get_group("rows"))  # type: ignore[attr-defined]
    return list(squares.sqrt())
