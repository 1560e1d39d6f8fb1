"""A machine with the stand-in card: what torch says of its devices, and what moves to them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad

from tests.gpu.card import CARD, AsIfThere, Held

_to, _autocast, _grouped = Tensor.to, torch.autocast, clip_grad._group_tensors_by_device_and_dtype
FREE, ALL = 75 << 30, 80 << 30  # bytes of the card


class Stream:
    """A queue of the card's, which notes what it was told."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.held: list[Tensor] = []  # tensors that it must not find reused
        self.waited: list[Any] = []

    def wait_stream(self, other: "Stream") -> None:
        self.waited.append(other)

    def record_event(self, event: Any = None) -> "Stream":
        return self

    def wait_event(self, event: Any) -> None:
        self.waited.append(event)

    def is_capturing(self) -> bool:
        return False

    def synchronize(self) -> None:
        raise AssertionError("the host waits for all that a stream has to do")


@contextmanager
def beside_a_card() -> Iterator[Stream]:
    """The stand-in for a card, in this thread and in pools that are made of here; gives its current stream."""
    current = threading.local()
    usual = Stream()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "to", _moving)
        patch.setattr(Tensor, "pin_memory", _pinned)
        patch.setattr(torch, "autocast", _as_on_a_cpu)
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
        patch.setattr(torch.cuda, "mem_get_info", lambda device=None: (FREE, ALL))
        patch.setattr(torch.cuda, "memory_reserved", lambda device=None: 0)
        patch.setattr(torch.cuda, "memory_allocated", lambda device=None: 0)
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(torch.cuda, "manual_seed_all", lambda seed: None)
        patch.setattr(torch.cuda, "get_rng_state", lambda device=None: torch.get_rng_state())
        patch.setattr(torch.cuda, "set_rng_state", lambda state, device=None: None)  # the CPU's numbers are drawn
        patch.setattr(torch.cuda, "Stream", Stream)
        patch.setattr(torch.cuda, "current_stream", lambda device=None: getattr(current, "stream", usual))
        patch.setattr(torch.cuda, "stream", lambda stream: _in_stream(current, stream))
        patch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda"))
        patch.setattr(torch.accelerator, "current_stream", lambda device=None: getattr(current, "stream", usual))
        patch.setattr(torch.accelerator, "current_device_index", lambda: 0)
        patch.setattr(ThreadPoolExecutor, "submit", _submitted(ThreadPoolExecutor.submit))
        # A parameter on the card is a new one: below Python a Held lies on the CPU, and its values would not be moved.
        patch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
        patch.setattr(clip_grad, "_group_tensors_by_device_and_dtype", _by_device)
        # So that torch.tensor(..., device="cuda") is made on the host and copied, as it is.
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            with AsIfThere():
                yield usual
        finally:
            torch._C._set_only_lift_cpu_tensors(False)


def _moving(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if args and isinstance(args[0], Held):
        return _to(self, CARD, args[0].dtype, *args[1:], **kwargs)
    return _to(self, *map(_numbered, args), **{name: _numbered(value) for name, value in kwargs.items()})


def _numbered(value: Any) -> Any:
    """A device with its number, for which the driver would be asked."""
    return CARD if isinstance(value, torch.device) and value == torch.device("cuda") else value


def _pinned(self: Tensor, device: Any = None) -> Tensor:
    made = self.clone()
    made.as_if_pinned = True  # type: ignore[attr-defined]
    return made


def _by_device(lists: Any, *args: Any, **kwargs: Any) -> Any:
    """Groups of gradients; torch asks below Python where they lie, and would move what they are scaled by there."""
    groups = _grouped(lists, *args, **kwargs)
    return {(CARD if isinstance(got[0][0][0], Held) else key[0], key[1]): got for key, got in groups.items()}


def _as_on_a_cpu(device_type: str, **how: Any) -> Any:
    return _autocast("cpu" if device_type == "cuda" else device_type, **how)


@contextmanager
def _in_stream(current: threading.local, stream: Any) -> Iterator[None]:
    before = getattr(current, "stream", None)
    current.stream = stream
    try:
        yield
    finally:
        del current.stream
        if before is not None:
            current.stream = before


def _submitted(submit: Any) -> Any:
    """What a pool is given works beside the card as well, though modes of dispatch are of one thread."""

    def beside(work: Any, *args: Any, **kwargs: Any) -> Any:
        with AsIfThere():
            return work(*args, **kwargs)

    return lambda pool, work, *args, **kwargs: submit(pool, beside, work, *args, **kwargs)
