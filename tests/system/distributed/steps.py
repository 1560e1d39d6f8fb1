"""A few steps of every method and kind of data on this process's share of the batch, in float64.

Run as one of several processes.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from selftaught.methods.objectives.clusters import nearest_by_all, spherical_k_means
from selftaught.system import distributed, randomness
from tests.methods.making import BATCH, PAIRS, made, side, views

LATE = 0.9  # progress: queues are in use, schedules have moved
STEPS = 2


def steps(name: str, kind: str) -> dict[str, Tensor]:
    """Loss of each step, gradients of the last, and the state after it, as all processes together have them."""
    size = (side(name), side(name))
    method = made(name, size=size, kind=kind).double()
    torch.set_default_dtype(torch.float64)  # as the engine does inside a step
    distributed.share_batch_norms(method)
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


def main(rank: str, world: str, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", int(world))
    dist.init_process_group("gloo", store=store, rank=int(rank), world_size=int(world))
    for name, kind in PAIRS:
        found = steps(name, kind)
        whole = {key: value.contiguous().clone() for key, value in found.items()}
        save_file(whole, Path(folder) / f"{name}-{kind}-{rank}.safetensors")
    save_file(clustered(), Path(folder) / f"k-means-{rank}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
