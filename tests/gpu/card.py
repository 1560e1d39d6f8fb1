"""A stand-in for a CUDA device: tensors that say cuda:0, hold real values, and are refused where CUDA refuses them.

A `Held` is a tensor whose Python face lies on the card and whose values lie on the CPU, so that results and shapes that
depend on values are real. Below autograd, every operation passes `_dispatched`, which

- refuses operations that mix devices, numpy on the card's memory, and pinning it;
- tells `waits` of what makes the host wait until the card has come that far (`torch.cuda.set_sync_debug_mode` warns of
  the same): reading a number, copies to the host, copies from memory that is not pinned, sizes and errors that only the
  card knows.

It cannot see a missing kernel, what fits the memory, races between streams, or speed. To the dispatcher a Held is a
tensor of the CPU, since autograd's engine would ask the driver of a real card.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

CARD = torch.device("cuda", 0)
OWN = str(Path(__file__).parents[2] / "src" / "selftaught")
# What tells the host a size, or an error, that the card has to find out.
SIZED = ("nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "_linalg_check_errors")
# What moves a number of the host's, of no dimensions, to the card by itself; all else is refused.
STRICT = ("cat", "stack", "mm", "addmm", "bmm", "baddbmm", "embedding", "_embedding_bag", "convolution")
INDEXING = ("index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_")

Waits = Counter[tuple[str, str]]  # how often, by kind and by the innermost line of the package
_counted: list[Waits] = []
_used: Counter[str] = Counter()  # operations on the card, by name


class MixedDevicesError(RuntimeError):
    """What CUDA would raise."""


@contextmanager
def waits() -> Iterator[Waits]:
    """Count what makes the host wait inside."""
    counted: Waits = Counter()
    _counted.append(counted)
    try:
        yield counted
    finally:
        _counted.remove(counted)


@contextmanager
def used() -> Iterator[Counter[str]]:
    """Count the operations on the card inside; the counter is full at the end."""
    before, made = _used.copy(), Counter[str]()
    yield made
    made.update(_used - before)


def _wait(kind: str) -> None:
    if _counted:
        place = _place()
        for counted in _counted:
            counted[kind, place] += 1


def _place() -> str:
    """The innermost line of the package on the stack, such as system/randomness.py:84."""
    frame: Any = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith(OWN):
        frame = frame.f_back
    return f"{frame.f_code.co_filename[len(OWN) + 1 :]}:{frame.f_lineno}" if frame else "torch"


class Held(Tensor):
    """A tensor on the stand-in card."""

    held: Tensor  # its values

    @staticmethod
    def __new__(cls, held: Tensor, requires_grad: bool = False) -> "Held":
        how = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = Tensor._make_wrapper_subclass(cls, held.shape, device=held.device, requires_grad=requires_grad, **how)
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CARD)
    is_cuda = property(lambda self: True)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatched(func, args, kwargs or {})

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Held({tuple(self.shape)}, {self.dtype})"

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def untyped_storage(self) -> Any:
        return self.held.untyped_storage()

    def cpu(self, memory_format: Any = torch.preserve_format) -> Tensor:
        _wait("copy to the host")
        return self.held.detach().clone()

    def to(self, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
        if args and isinstance(args[0], Held):  # .to(other): its device lies below Python, where it is the CPU
            args = (args[0].dtype, *args[1:])
        device, dtype, _, form = torch._C._nn._parse_to(*args, **kwargs)
        if device is not None and device.type == "cpu":
            return self.cpu().to(dtype or self.dtype)
        how = ({"copy": True} if copy else {}) | ({} if form is None else {"memory_format": form})
        return super().to(dtype or self.dtype, **how)

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it to the host first"
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        _wait("copy to the host")
        return self.held.tolist()

    def pin_memory(self, device: Any = None) -> Tensor:
        raise MixedDevicesError("cannot pin memory of the card")

    def record_stream(self, stream: Any) -> None:
        stream.held.append(self)

    def new_tensor(self, data: Any, *, dtype: torch.dtype | None = None, **how: Any) -> Tensor:
        _wait("copy from the host")
        return Held(torch.tensor(data, dtype=dtype or self.dtype))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            made: Tensor = Held(self.held.detach().clone())
            is_parameter = getattr(self, "_is_param", False)
            memo[id(self)] = torch.nn.Parameter(made, self.requires_grad) if is_parameter else made
        return memo[id(self)]


class AsIfThere(TorchDispatchMode):
    """Lets what is made anew be made on the card, where it is asked for there; of one thread, as all such modes."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatched(func, args, kwargs or {})


def _dispatched(func: Any, args: Any, kwargs: Any) -> Any:
    name = func._schema.name.split("::")[1]
    tensors = list(_tensors(args)) + list(_tensors(kwargs.values()))
    card = [tensor for tensor in tensors if isinstance(tensor, Held)]
    asked = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cuda"
    if not card and not asked:
        return func(*args, **kwargs)
    _used[name] += 1
    if name in MOVES:
        return MOVES[name](func, args, kwargs)
    _refuse_mixed(name, args, [tensor for tensor in tensors if not isinstance(tensor, Held)], asked and not card)
    _wait_for(name, func, args, kwargs)
    own = {key: _each(value, _value) for key, value in kwargs.items() if key != "pin_memory"}
    made = func(*_each(args, _value), **(own | {"device": "cpu"} if asked else own))
    known = {id(tensor.held): tensor for tensor in card}  # what is changed in place stays the same tensor
    made = _each(made, lambda tensor: known[id(tensor)] if id(tensor) in known else Held(tensor))
    return return_and_correct_aliasing(func, args, kwargs, made)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Those among the arguments of an operation, or in lists of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    return type(value)(_each(part, change) for part in value) if isinstance(value, list | tuple) else value


def _value(tensor: Tensor) -> Tensor:
    return tensor.held if isinstance(tensor, Held) else tensor


def _moved(func: Any, args: Any, kwargs: Any) -> Tensor:
    (x,) = args
    how = {key: value for key, value in kwargs.items() if key in ("dtype", "memory_format")}
    if isinstance(x, Held):  # to a device "cpu" only in C++, for autograd and autocast: Python's moves are Held's own
        return Held(func(x.held, **how))
    if not (getattr(x, "as_if_pinned", False) and kwargs.get("non_blocking")):
        _wait("copy from the host")
    return Held(func(x, **how))


def _copied(func: Any, args: Any, kwargs: Any) -> Tensor:
    into, source = args[:2]
    if isinstance(into, Held) and not isinstance(source, Held):
        if not (getattr(source, "as_if_pinned", False) and (kwargs.get("non_blocking") or args[2:] == (True,))):
            _wait("copy from the host")
    elif isinstance(source, Held) and not isinstance(into, Held):
        _wait("copy to the host")
    _value(into).copy_(_value(source))
    return into


def _read(func: Any, args: Any, kwargs: Any) -> Any:
    _wait("number read")
    return func(args[0].held)


MOVES = {"_to_copy": _moved, "copy_": _copied, "_local_scalar_dense": _read}


def _refuse_mixed(name: str, args: Any, host: list[Tensor], made_of_host: bool) -> None:
    """Raise where CUDA does: the host's numbers of no dimensions are the only ones that it takes along."""
    if name in INDEXING and isinstance(args[0], Held):
        host = [value for value in args[2:3] if isinstance(value, Tensor) and not isinstance(value, Held)]
    if (made_of_host and host) or any(tensor.dim() or name in ("cat", "stack") for tensor in host):
        raise MixedDevicesError(f"aten.{name}: tensors on cuda:0 and cpu at {_place()}")
    if host and name in STRICT:
        raise MixedDevicesError(f"aten.{name}: tensors on cuda:0 and cpu at {_place()}")


def _wait_for(name: str, func: Any, args: Any, kwargs: Any) -> None:
    if name in SIZED:
        _wait(f"size or error asked for ({name})")
    elif name == "repeat_interleave" and func._overloadname == "Tensor" and kwargs.get("output_size") is None:
        _wait("size or error asked for (repeat_interleave)")
    elif name == "equal":
        _wait("number read")
    elif name in INDEXING:
        for index in args[1]:
            if index is not None and not isinstance(index, Held):
                _wait("copy from the host")
            if index is not None and index.dtype in (torch.bool, torch.uint8):
                _wait("size or error asked for (boolean index)")
