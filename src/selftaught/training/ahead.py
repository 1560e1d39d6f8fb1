"""Beside a card the next batch is made while a step runs: by a thread, on a stream of its own."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

Views = tuple[Tensor, ...]


class Ahead:
    """What `make(step)` gives for one step after the other, each begun when the one before is taken.

    The host waits for no more than the thread; the stream that asks waits, on the device, for what the other made.
    """

    def __init__(self, make: Callable[[int], Views], device: torch.device, until: int) -> None:
        """None is made of the step `until`, or of a later one."""
        self._make, self._device, self._until = make, device, until
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._stream = torch.cuda.Stream(device)
        self._coming: dict[int, Future[tuple[Views, Any]]] = {}

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, step: int) -> Views:
        """Raises whatever making the batch has met."""
        self._begin(step)
        views, made = self._coming.pop(step).result()
        self._begin(step + 1)
        current = torch.cuda.current_stream(self._device)
        current.wait_event(made)
        for view in views:
            view.record_stream(current)  # or the other stream would use its memory again while this one reads
        return views

    def _begin(self, step: int) -> None:
        if step < self._until and step not in self._coming:
            # A thread begins with no context: by what it is told here, numbers are drawn and a stop is heard of.
            self._coming[step] = self._pool.submit(copy_context().run, self._made, step)

    def _made(self, step: int) -> tuple[Views, Any]:
        with torch.cuda.stream(self._stream):
            return self._make(step), self._stream.record_event()
