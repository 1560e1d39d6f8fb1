"""How stored images become network input: recorded with the encoder, so new data meets it the same way."""

from pydantic import BaseModel, ConfigDict


class Preparation(BaseModel):
    """Channels, size, value range and normalisation of the images an encoder takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int
    size: tuple[int, int]  # (H, W) of a plain view
    low: float  # stored value that becomes 0
    high: float  # stored value that becomes 1
    mean: tuple[float, ...]  # per channel, of values in [0, 1]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a plain view."""
        return (self.channels, *self.size)
