"""Numbers of a method's state that the host reads in every step, without waiting for the device they lie on."""

import torch
from torch import Tensor


class Mirror:
    """What a number in a buffer is, as far as the host knows: the device is asked only where another has written it.

    The buffer stays what is saved. It may be replaced (on the way to a device) or written (from a checkpoint).
    """

    def __init__(self) -> None:
        self._seen: Tensor | None = None
        self._version, self._value = -1, 0.0

    def read(self, buffer: Tensor) -> float:
        """The number that a buffer () holds."""
        if self._seen is not buffer or self._version != buffer._version:
            self._remember(buffer, buffer.item())
        return self._value

    def write(self, buffer: Tensor, value: float) -> None:
        """Put a number into a buffer ()."""
        buffer.fill_(value)
        # As the buffer's type rounds it.
        self._remember(buffer, torch.tensor(value, dtype=buffer.dtype, device="cpu").item())

    def _remember(self, buffer: Tensor, value: float) -> None:
        self._seen, self._version, self._value = buffer, buffer._version, value
