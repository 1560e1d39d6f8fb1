"""A few steps of every method and kind of data on this process's share of the batch, in float64.

Run as one of several processes.
"""

from copy import deepcopy
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from selftaught.methods.objectives.clusters import nearest_by_all, spherical_k_means
from selftaught.system import distributed, randomness
from selftaught.system.batch_norms import share_batch_norms
from tests.methods.making import BATCH, PAIRS, made, side, views

LATE = 0.9  # progress: queues are in use, schedules have moved
STEPS = 2
ROWS, CHANNELS, FIRST = 12, 6, 5  # of what batch norms see, and rows of the first of two processes
PLAIN, LAST = torch.contiguous_format, torch.channels_last
NORMS: dict[str, tuple[tuple[int, ...], nn.BatchNorm1d | nn.BatchNorm2d, torch.dtype, torch.memory_format]] = {
    "vectors": ((), nn.BatchNorm1d(CHANNELS), torch.float32, PLAIN),
    "series, cumulative": ((7,), nn.BatchNorm1d(CHANNELS, momentum=None), torch.float32, PLAIN),
    "maps": ((5, 5), nn.BatchNorm2d(CHANNELS), torch.float32, PLAIN),
    "maps, channels last": ((5, 5), nn.BatchNorm2d(CHANNELS), torch.float32, LAST),
    "maps, no weights": ((5, 5), nn.BatchNorm2d(CHANNELS, affine=False), torch.float32, LAST),
    "maps, no memory": ((5, 5), nn.BatchNorm2d(CHANNELS, track_running_stats=False), torch.float32, PLAIN),
    "maps, half": ((5, 5), nn.BatchNorm2d(CHANNELS), torch.bfloat16, PLAIN),
    "maps, double": ((5, 5), nn.BatchNorm2d(CHANNELS), torch.float64, LAST),
}


def steps(name: str, kind: str) -> dict[str, Tensor]:
    """Loss of each step, gradients of the last, and the state after it, as all processes together have them."""
    size = (side(name), side(name))
    method = made(name, size=size, kind=kind).double()
    torch.set_default_dtype(torch.float64)  # as the engine does inside a step
    share_batch_norms(method)
    share = BATCH // distributed.world_size()
    rows = slice(distributed.rank() * share, (distributed.rank() + 1) * share)
    found: dict[str, Tensor] = {}
    for step in range(STEPS):
        method.zero_grad()
        mine = [view[rows] for view in views(method, step, size=size, kind=kind)]
        batch = [view if view.dtype == torch.int64 else view.double() for view in mine]
        with randomness.at(0, step, rows, BATCH):
            loss = torch.stack(list(method(*batch).values())).sum()
        loss.backward()
        found[f"loss {step}"] = _mean(loss.detach())
        gradients = [parameter.grad for parameter in method.parameters() if parameter.grad is not None]
        # In one message: for each, both processes wait until the other has had its turn on a busy machine.
        flat = _mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(mean.view_as(gradient))
        method.before_step(LATE)
        with torch.no_grad():
            for parameter in method.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad
        method.after_step(LATE)
    found |= {f"gradient of {key}": p.grad.clone() for key, p in method.named_parameters() if p.grad is not None}
    # MoCo's batch norms see groups of samples, of which each process keeps an estimate of its own.
    running = ("running_mean", "running_var", "num_batches_tracked") if name == "moco" else ()
    found |= {f"state {key}": value.clone() for key, value in method.state_dict().items() if not key.endswith(running)}
    torch.set_default_dtype(torch.float32)
    return found


def normalised(rows: slice) -> dict[str, Tensor]:
    """What batch norms make of this process's rows, their gradients, and what they remember, by case."""
    found: dict[str, Tensor] = {}
    for case, (sides, layer, dtype, layout) in NORMS.items():
        noise = torch.Generator().manual_seed(0)
        x, grad = (torch.randn(ROWS, CHANNELS, *sides, generator=noise).to(dtype) for _ in range(2))
        x = (5 + 2 * x[rows]).contiguous(memory_format=layout).requires_grad_()
        layer = deepcopy(layer).double() if dtype == torch.float64 else deepcopy(layer)
        if layer.affine:
            for parameter in layer.parameters():
                torch.nn.init.normal_(parameter, generator=noise)
        share_batch_norms(layer)
        made = layer(x)
        made.backward(grad[rows])
        assert x.grad is not None and made.dtype == x.grad.dtype == dtype
        rowed = {"made": made.detach(), "grad": x.grad}
        summed = {f"grad of {name}": parameter.grad for name, parameter in layer.named_parameters()}
        of_all = {name: value for name, value in layer.state_dict().items() if name.startswith("running")}
        told = {"rows": rowed, "sum": summed, "all": of_all}
        found |= {f"{case}: {way}: {name}": value for way, one in told.items() for name, value in one.items()}
    return found


def clustered() -> dict[str, Tensor]:
    """k-means of rows without clusters, in float32: which centre is near is a matter of little."""
    x = F.normalize(torch.randn(301, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    centres = spherical_k_means(x, x[:7], 10)
    return {"centres": centres, "nearest": nearest_by_all(x, centres)}


def _mean(x: Tensor) -> Tensor:
    if distributed.world_size() > 1:
        x = x.clone()
        dist.all_reduce(x)
        x /= distributed.world_size()
    return x


def by_two(folder: Path, rank: int) -> None:
    """One of two processes, which leaves what it found in files."""
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    for name, kind in PAIRS:
        found = steps(name, kind)
        whole = {key: value.contiguous().clone() for key, value in found.items()}
        save_file(whole, folder / f"{name}-{kind}-{rank}.safetensors")
    save_file(clustered(), folder / f"k-means-{rank}.safetensors")
    rows = slice(0, FIRST) if rank == 0 else slice(FIRST, ROWS)
    whole = {key: value.contiguous() for key, value in normalised(rows).items()}
    save_file(whole, folder / f"norms-{rank}.safetensors")
    dist.destroy_process_group()
