"""What must be computed in float32 or better, whatever precision the network computes in."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def in_full_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a function outside autocast with half types promoted to float32; float64 stays float64."""

    @wraps(function)
    def promoted(*args: Any, **kwargs: Any) -> Any:
        device = next(arg.device.type for arg in args if isinstance(arg, Tensor))
        # Both are needed: autocast would turn float32 back to half inside, and what comes in may be half already.
        with torch.autocast(device, enabled=False):
            return function(*map(precise, args), **{key: precise(value) for key, value in kwargs.items()})

    return promoted


def precise(value: Any) -> Any:
    """A tensor of a half type as float32; everything else as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value
