"""A network whose weights are spread over two gloo processes: goes on from one process's checkpoint, and leaves one."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer

from selftaught.contracts.method import Training
from selftaught.run import checkpoint
from selftaught.run.export import packed
from selftaught.run.rows import rows_of
from selftaught.system.circle import everybody
from selftaught.training.optimizers import build_optimizer


class Net(nn.Module):
    """Rows that two processes do not divide, one row alone, a tensor with two names and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 7), nn.Linear(7, 7), nn.Linear(7, 1)
        self.again = self.second
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return self.last(self.again(self.second(self.first(x).relu()).relu()))


def made() -> tuple[Net, Optimizer]:
    torch.manual_seed(0)
    net = Net()
    if dist.is_initialized():
        mesh = dist.device_mesh.init_device_mesh("cpu", (dist.get_world_size(),))
        for layer in (net.first, net.second, net.last):
            fully_shard(layer, mesh=mesh)
        fully_shard(net, mesh=mesh)
    return net, build_optimizer(net, Training(optimizer="adamw", lr=0.1), 256)


def step(net: nn.Module, optimizer: Optimizer, number: int) -> None:
    """All processes see the same batch, so gradients are those of one."""
    optimizer.zero_grad()
    net(torch.randn(6, 4, generator=torch.Generator().manual_seed(number))).square().mean().backward()
    optimizer.step()


def groups(net: nn.Module, optimizer: Optimizer) -> dict[str, dict[str, Tensor]]:
    return {"model": checkpoint.model_tensors(net), "optimizer": checkpoint.optimizer_tensors(optimizer)}


def restored(folder: Path, net: nn.Module, optimizer: Optimizer, circle: checkpoint.Circle) -> int:
    found, state, complaints = checkpoint.load_to_go_on(folder, circle)
    assert not complaints
    checkpoint.restore_model(net, found["model"])
    checkpoint.restore_optimizer(optimizer, found["optimizer"])
    return int(state["step"])


def by_two(folder: Path, rank: int) -> None:
    """One of two processes, which goes on with what one has saved and saves it with the other."""
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    circle, (net, optimizer) = everybody(), made()
    at = restored(folder, net, optimizer, circle)
    for number in range(at, at + 2):
        step(net, optimizer, number)
    held = groups(net, optimizer)
    assert {len(rows_of(net.first.weight).held), rows_of(net.first.weight).begin} <= {4, 3, 0}
    checkpoint.save(folder, at + 2, checkpoint.on_host(held), {}, circle=circle)
    files = packed(net.state_dict(), {}, "")  # whole, whoever writes it
    if circle.rank == 0:
        (folder / "whole.safetensors").write_bytes(bytes(files["model.safetensors"]))
    dist.destroy_process_group()
