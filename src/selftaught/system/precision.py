"""What must be computed in float32 or better, whatever precision the network computes in."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from selftaught.system.profiling import part


def in_full_precision(objective: Callable[..., Any]) -> Callable[..., Any]:
    """Run an objective outside autocast with half types promoted to float32; float64 stays float64."""

    @wraps(objective)
    def promoted(*args: Any, **kwargs: Any) -> Any:
        device = next(arg.device.type for arg in args if isinstance(arg, Tensor))
        with part("loss"), torch.autocast(device, enabled=False):
            return objective(*map(precise, args), **{key: precise(value) for key, value in kwargs.items()})

    return promoted


def precise(value: Any) -> Any:
    """A tensor of a half type as float32; everything else as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value
