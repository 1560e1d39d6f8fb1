"""Devices by name, and what comes to them without the host waiting for what they have to do."""

import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from selftaught.system.errors import UsageError

NAMES = ("auto", "cpu", "cuda", "mps")
REMEDY = "use --device cpu, or auto, which takes what is there"


def device_of(name: str) -> torch.device:
    """The device of this name; "auto" is a card where there is one, else the CPU. Raises UsageError."""
    if name not in NAMES:
        raise UsageError(f"--device cannot be {name!r}: it is one of {', '.join(NAMES)}")
    if name == "auto":
        return torch.device(next((kind for kind in ("cuda", "mps") if _missing(kind) is None), "cpu"))
    if missing := _missing(name):
        raise UsageError(f"--device {name}: {missing}; {REMEDY}")
    return torch.device(name)


def _missing(kind: str) -> str | None:
    """Why there is no such device, or None."""
    if kind == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        return "torch finds no GPU, or no driver for it" if built else "this torch was built without CUDA"
    if kind == "mps" and not torch.backends.mps.is_available():
        return "torch finds no GPU of Apple's" if torch.backends.mps.is_built() else "this torch was built without MPS"
    return None


def called(device: torch.device) -> str:
    """A device by its maker's name where it has one, else by its kind."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def counted(devices: str, device: str = "auto") -> int:
    """How many devices are meant by a number, "all" or "auto", which is one. Raises UsageError for more than there are.

    Of CPUs there is one, which any number of processes may share.
    """
    if devices == "auto":
        return 1
    kind = device_of(device).type
    there = torch.cuda.device_count() if kind == "cuda" else 1
    if devices == "all":
        return there
    if kind != "cpu" and int(devices) > there:
        raise UsageError(f"--devices {devices}: this machine has {there}; use --devices all")
    return int(devices)


def several(devices: str) -> list[torch.device]:
    """The devices that are meant; of CPUs the same one as often."""
    device = device_of("auto")
    return [torch.device(device.type, i) if device.type == "cuda" else device for i in range(counted(devices))]


def moved(x: Tensor, device: torch.device | str | None) -> Tensor:
    """A tensor of the host's on a device (default: the CPU), which runs on meanwhile; so does the host."""
    device = torch.device(device or "cpu")
    if device.type == "cuda":  # only a copy from pinned memory runs beside the computation
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def numbered(x: Tensor, device: torch.device) -> Tensor:
    """The same, for numbers by which the host is to choose as well: see `on_the_host`."""
    made = moved(x, device)
    if made is not x:
        made.on_the_host = x  # type: ignore[attr-defined]
    return made


def on_the_host(x: Tensor) -> Tensor:
    """The values of a tensor on the CPU; nothing waits for a device where they came from there by `numbered`."""
    kept: Tensor | None = getattr(x, "on_the_host", None)
    return x.cpu() if kept is None else kept


def constant(values: Hashable, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers, in tuples, as a tensor beside `like`, and of its type if no other is named; not to be changed.

    Each is brought to a device once: a copy for every batch would have the host wait for all that the device has to do.
    """
    return _constant(values, dtype or like.dtype, like.device)


@cache  # without end: what is dropped would be another stream's memory while one still reads it
def _constant(values: Hashable, dtype: torch.dtype, device: torch.device) -> Tensor:
    # Not by `moved`: whoever asks next may be another stream, for which the copy has to be there.
    return torch.tensor(values, dtype=dtype, device="cpu").to(device)


@contextmanager
def kernels(device: torch.device, deterministic: bool) -> Iterator[None]:
    """Compute inside by the kernels that a card is fastest by or, `deterministic`, by those that repeat every bit.

    The latter raise RuntimeError where there is none: docs/results/card_waits.md lists where. CPUs always repeat.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without which cuBLAS does not repeat
    torch.backends.cudnn.benchmark = not deterministic
    torch.use_deterministic_algorithms(deterministic, warn_only=False)
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before[0]
        torch.use_deterministic_algorithms(before[1])


@contextmanager
def unmoved(module: nn.Module | None) -> Iterator[None]:
    """Leave a network, where there is one, as it was before: its weights, on their device, as precise, and its mode."""
    modes = {part: part.training for part in module.modules()} if module else {}
    places = [(x.device, x.dtype) for x in _held_by(module)]
    weights = [None if is_lazy(x) else x.detach().to("cpu", copy=True) for x in _held_by(module)]
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        if module:
            _put_back(module, places)
            with torch.no_grad():
                for x, before in zip(_held_by(module), weights, strict=True):
                    if before is not None:  # of a layer that learnt its shape inside there is nothing to go back to
                        x.copy_(before)


def _put_back(module: nn.Module, places: list[tuple[torch.device, torch.dtype]]) -> None:
    back: dict[int, tuple[torch.device, torch.dtype]] = {}
    for x, place in zip(_held_by(module), places, strict=True):
        back |= {id(own): place for own in (x, x.grad) if own is not None}
    module._apply(lambda x: x.to(*back[id(x)]))  # as `to` does, but each tensor to its own place


def _held_by(module: nn.Module | None) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()] if module else []
