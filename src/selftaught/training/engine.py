"""What a step runs on: a device, a precision, and other processes with a share of the batch each."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from selftaught.system import distributed
from selftaught.system.devices import device_of
from selftaught.system.errors import UsageError
from selftaught.training.sharding import sharing, spread


class Engine:
    """A device at a precision: 32-true, bf16-mixed or 64-true."""

    def __init__(self, precision: str, device: torch.device | None = None) -> None:
        """`device`: a GPU where there is one, if none is named; of several this process's own."""
        device = device or device_of("auto")
        if device.type != "cpu":
            device = torch.device(device.type, torch.accelerator.current_device_index())
        self.precision, self.device = precision, device

    def setup(self, module: nn.Module, shard: int = 1) -> "Forward":
        """Move a module here, and the way to call it: in this precision, its gradients shared with other processes.

        Each of every `shard` processes holds a share of its weights, where that is not 1.
        """
        if self.precision == "64-true":
            module.double()
        if shard > 1:  # which moves it block by block, as the whole may not fit the device
            spread(module, self.device, shard)
        else:
            module.to(self.device)
        return Forward(module, self)

    def context(self) -> AbstractContextManager[Any]:
        """What a forward pass runs in."""
        if self.precision == "bf16-mixed":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return _doubled() if self.precision == "64-true" else nullcontext()


class Forward:
    """A module as it is called: views come as they are but for float64 training, what leaves is float32.

    Views are not rounded for half precision: targets are made from them, and edges (HOG) and colours would suffer.
    """

    def __init__(self, module: nn.Module, engine: Engine) -> None:
        self.module, self.engine = module, engine
        self.spread = sharing(module.parameters()) > 1  # torch has taken the module over then, gradients too
        alone = distributed.world_size() == 1 or self.spread
        self._shared = module if alone else _shared(module, engine.device)

    def __call__(self, *views: Tensor) -> Any:
        """What the module makes of views; gradients are the mean over all processes, unless this one is alone."""
        learns = torch.is_grad_enabled() and distributed.world_size() > 1
        if self.engine.precision == "64-true":
            views = tuple(_as(view, torch.float64) for view in views)
        with self.engine.context(), _told_of_rows() if self.spread else nullcontext():
            terms = (self._shared if learns else self.module)(*views)
        if self.engine.precision == "32-true":
            return terms
        usual = torch.get_default_dtype()
        return {name: _as(term, usual) for name, term in terms.items()}


@contextmanager
def _told_of_rows() -> Iterator[None]:
    """Say it in one line where a network takes a weight of which the others hold rows."""
    try:
        yield
    except RuntimeError as error:
        if "DTensor" not in str(error):
            raise
        raise UsageError(
            "--shard: the network uses weights of a layer without calling that layer, so they are not gathered; use "
            f"--shard none ({str(error).splitlines()[0][:100]})"
        ) from error


def _shared(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with its gradients averaged over processes as they come, so that sending hides behind computing.

    Buffers are not broadcast: batch norm sums over processes, queues and centres gather, so all hold the same.
    """
    own = [device] if device.type == "cuda" else None
    with warnings.catch_warnings():  # newer torch has another name for it, which means something else
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(module, device_ids=own, broadcast_buffers=False, gradient_as_bucket_view=True)


def _as(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if value.is_floating_point() else value


@contextmanager
def _doubled() -> Iterator[None]:
    """Tensors that are made inside are float64, too."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(usual)
