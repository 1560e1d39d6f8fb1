"""How a clip becomes network input: one channel at one rate, as a log-mel spectrogram of so many frames."""

from typing import Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor

from selftaught.data.audio.spectrogram import Transform
from selftaught.system import bounds

USUAL_RATE = 16_000  # samples of a second, at most, where the user names none: voices need no more
WINDOW, HOP = 0.025, 0.01  # seconds
USUAL_SIZE = (64, 96)  # mels and frames of a view where the user names none (BYOL-A, 2103.06695, section 4.1)
MOST_MELS, MOST_FRAMES = 256, 1 << 14  # of a view
RANGE = 80.0  # dB below the loudest of all clips, under which all is silence

Rate = Annotated[int, bounds.whole(100, 384_000, "samples a second")]
LOUDEST = 200.0  # dB; values of 24 bits that were never brought to 1 stay below
Decibels = Annotated[float, bounds.number(-LOUDEST, LOUDEST, "decibels")]


class Preparation(BaseModel):
    """Rate, frames and levels of the spectrograms an encoder takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    modality: ClassVar[str] = "audio"

    rate: Rate
    window: Annotated[int, bounds.whole(1, 1 << 16, "samples")]  # that a frame is of
    hop: Annotated[int, bounds.whole(1, 1 << 16, "samples")]  # between the beginnings of frames
    size: tuple[
        Annotated[int, bounds.whole(2, MOST_MELS, "mels")], Annotated[int, bounds.whole(2, MOST_FRAMES, "frames")]
    ]
    low: Decibels  # that becomes 0, and whatever is quieter, too
    high: Decibels  # that becomes 1
    mean: tuple[float]  # of all frames, in [0, 1]
    std: tuple[bounds.Positive]

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low is to lie below high")
        return self

    @classmethod
    def at(cls, rate: int, size: tuple[int, int] = USUAL_SIZE) -> Self:
        """Before anything is known of levels."""
        window, hop = max(1, round(WINDOW * rate)), max(1, round(HOP * rate))
        return cls(rate=rate, window=window, hop=hop, size=size, low=-RANGE, high=0.0, mean=(0.5,), std=(0.25,))

    def levelled(self, decibels: NDArray[np.float16]) -> Self:
        """With the levels of all frames (N, mels)."""
        high = float(decibels.max())
        low = high - RANGE
        unit = (np.clip(decibels.astype(np.float32), low, high) - low) / RANGE
        mean, std = float(unit.mean(dtype=np.float64)), float(unit.std(dtype=np.float64))
        levels = {"low": round(low, 4), "high": round(high, 4), "mean": (round(mean, 6),)}
        return type(self).model_validate({**self.model_dump(), **levels, "std": (round(max(std, 1e-3), 6),)})

    @property
    def channels(self) -> int:
        return 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, mels, frames) of a plain view."""
        return (1, *self.size)

    @property
    def transform(self) -> Transform:
        """By which sound becomes a spectrogram."""
        return Transform(self.rate, self.window, self.hop, self.size[0])

    @property
    def seconds(self) -> float:
        """That a view shows."""
        return self.size[1] * self.hop / self.rate

    def unit(self, decibels: Tensor) -> Tensor:
        """Levels in [0, 1]."""
        return ((decibels - self.low) / (self.high - self.low)).clamp(0, 1)

    def normalised(self, unit: Tensor) -> Tensor:
        """Network input of levels in [0, 1]."""
        return (unit - self.mean[0]) / self.std[0]

    def levels(self, views: Tensor) -> Tensor:
        """The dB of network input."""
        return (views * self.std[0] + self.mean[0]) * (self.high - self.low) + self.low

    def in_words(self) -> str:
        """For people."""
        return f"at {self.rate:,} Hz, views of {self.seconds:.2g} s as {self.size[0]} mels x {self.size[1]} frames"

    def recipe(self) -> str:
        """What to do to a clip, for people."""
        wide, hop, bins = (1000 * part / self.rate for part in (self.window, self.hop, self.transform.bins))
        return (
            f"Takes {self.seconds:.3g} s of sound, one channel at {self.rate:,} Hz, as a spectrogram of shape "
            f"{self.shape}: mel energies (Slaney's scale and area, 0 to {self.rate // 2:,} Hz) of Hann windows of "
            f"{wide:g} ms every {hop:g} ms, Fourier transforms of {bins:g} ms, in dB of power; what is shorter has "
            f"silence on both sides. Scale [{self.low:g}, {self.high:g}] dB to [0, 1], cutting off what is beyond, "
            f"then normalise with\n\n- mean {list(self.mean)}\n- std {list(self.std)}"
        )
