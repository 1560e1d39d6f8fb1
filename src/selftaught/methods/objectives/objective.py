"""What makes a function an objective: its precision, and its name in the profile of a step."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from selftaught.system.precision import in_full_precision
from selftaught.system.profiling import part


def objective(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function as an objective: computed in float32 or better, and the `loss` part of a step (`--profile`)."""
    precisely = in_full_precision(loss)

    @wraps(loss)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with part("loss"):
            return precisely(*args, **kwargs)

    return timed
