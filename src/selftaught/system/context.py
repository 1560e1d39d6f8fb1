"""Values that hold for the work inside a `with`, in the thread that does it, and no longer."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
IN_PYTHON = "python:"  # how names begin that stand for something held in Python, which nobody knows after the work


@contextmanager
def holding(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Let a variable have this value inside."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
