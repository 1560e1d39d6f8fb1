"""How stored images become network input: recorded with the encoder, so new data meets it the same way."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from selftaught.data.first_pass import looked_at
from selftaught.system import bounds
from selftaught.system.errors import DataError
from selftaught.system.gained import Gained
from selftaught.system.measured import known

CHUNK = 64  # images that mean and standard deviation are taken from at a time
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners have in what is stored as 16
NATIVE_SIZE = 96  # images of one size up to this are trained at their own size
SIDES = {"cuda": 224, "mps": 128, "cpu": 96}  # of views of others, by the type of the device that trains on them


Side = Annotated[int, bounds.whole(1, 65_536, "pixels")]
Level = Annotated[float, bounds.number(-1e6, 1e6)]


class Preparation(Gained):
    """Channels, size, value range and normalisation of the images an encoder takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    modality: ClassVar[str] = "images"
    GAINED: ClassVar[tuple[str, ...]] = ("canvas",)

    channels: Annotated[int, bounds.whole(1, 4096)]
    size: tuple[Side, Side]  # (H, W) of a plain view
    low: float  # stored value that becomes 0
    high: float  # stored value that becomes 1
    mean: tuple[Level, ...]  # per channel, of values in [0, 1]
    std: tuple[bounds.Positive, ...]
    # Runs that were made before these were noted have None, and keep their way.
    stored: Literal["uint8", "uint16", "float16", "float32"] | None = None  # number type of stored values
    top: Annotated[int, Field(ge=255, le=65535)] | None = None  # of 16 bits the level that is as bright as 255 of 8
    band: bool | None = None  # whether what a TIFF tags as alpha is a band; None where there was none
    ranged: Literal["declared", "each", "given"] | None = None  # by what low and high are; see decoded.Reading
    pages: Literal["first", "samples", "channels"] | None = None  # of files that have several
    bands: Literal["all", "colours"] | None = None  # of TIFFs
    # (H, W) in which images are kept before views are made of them: what one looks like depends on no other beside it.
    canvas: tuple[Side, Side] | None = None

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low is to lie below high")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError("there is to be one mean and one std for each channel")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a plain view."""
        return (self.channels, *self.size)

    def recipe(self) -> str:
        """What to do to a stored image, for people."""
        white = "lay what is transparent on white, " * (self.channels in (1, 3) and not self.band)
        deep = f" (levels of 16 bits, of which {self.top} is as bright as 255 of 8 bits)" * (
            self.stored == "uint16" and bool(self.top)
        )
        own = ", by each image's own values" * (self.ranged == "each")
        cut = ", what is beyond being cut off" * (self.ranged == "given")
        kept, part = "", "the largest centred part of that shape"
        if self.canvas:  # which every image meets first, also one that is smaller
            kept = f"resize it to {self.canvas[0]} x {self.canvas[1]} whatever its shape, "
            part = f"what was its largest centred part of the shape of {self.size[0]} x {self.size[1]}"
        return (
            f"Takes {self.channels}-channel images of {self.size[0]} x {self.size[1]} pixels (height, width): turn "
            f"one upright, {white}{kept}take {part} and resize it, bilinearly and "
            f"antialiased{' both times' * bool(kept)}; scale stored values{deep} from [{self.low:g}, {self.high:g}] "
            f"to [0, 1]{own}{cut}, then normalise with\n\n"
            f"- mean {list(self.mean)}\n- std {list(self.std)}"
        )

    def sized(self, size: tuple[int, int]) -> Self:
        """For views of `size` (H, W): what was fine enough to keep for smaller ones need not be for these."""
        return self if size == self.size else self.model_copy(update={"size": size, "canvas": None})

    def in_words(self) -> str:
        """For people."""
        return f"at {self.size[0]} x {self.size[1]} px, {self.channels} channel(s)"


@np.errstate(over="ignore", invalid="ignore")  # said in one line at its end
def preparation_of(
    take: Callable[[NDArray[np.int64]], NDArray[Any]],
    count: int,
    size: tuple[int, int] | None,
    top: int | None,
    band: bool | None,
    limits: tuple[float, float] | None,
    device: str,
) -> Preparation:
    """Value range, mean and standard deviation of the stored pixels, `take(rows)` of `count` (N, H, W, C).

    top, band: see `Preparation`; limits: low and high, where they are not to be those of all values; device: see
    `default_size`.
    """
    rows = looked_at(count)
    low, high, pixels, mean, squares = np.inf, -np.inf, 0, np.zeros(1), np.zeros(1)
    for start in range(0, len(rows), CHUNK):  # a copy in double precision of all would fill a machine
        taken = take(rows[start : start + CHUNK])
        sample = taken.reshape(-1, taken.shape[3]).astype(np.float64)
        if not np.isfinite(sample).all():
            raise DataError("the images hold values that are not finite (NaN or infinite)")
        low, high = min(low, float(sample.min())), max(high, float(sample.max()))
        # Means and sums of squares about them are joined as by Chan, Golub and LeVeque (1979).
        own, share = sample.mean(axis=0), len(sample) / (pixels + len(sample))
        moved = own - mean
        squares = squares + np.square(sample - own).sum(axis=0) + moved**2 * pixels * share
        mean, pixels = mean + share * moved, pixels + len(sample)
    if taken.dtype == np.uint16:
        top = top or brightest(high)
    if limits:
        low, high = limits
    elif taken.dtype == np.uint8:
        low, high = 0.0, 255.0
    elif taken.dtype == np.uint16 and high == 255:
        high = 256.0  # 255 is the sign of 8-bit images
    if high <= low:
        high = max(low + 1.0, float(np.nextafter(low, np.inf)))  # of numbers beyond 2**53 the next is farther
    mean, std = (mean - low) / (high - low), np.maximum(np.sqrt(squares / pixels) / (high - low), 1e-3)
    if not np.isfinite([low, high, *mean, *std]).all():
        raise DataError(f"the images hold numbers too large to be normalised, such as {high:g}")
    size = size or default_size({(taken.shape[1], taken.shape[2])}, device, count)
    means, stds = (tuple(round(float(v), 6) for v in values) for values in (mean, std))
    stored: Any = str(taken.dtype)
    known = Preparation(channels=taken.shape[3], size=size, low=low, high=high, mean=means, std=stds, stored=stored)
    return known.model_copy(update={"top": top, "band": band})


def brightest(value: float) -> int:
    """The brightest level of the least number of bits that holds a value: 4095 of 3000."""
    if value == 256:  # written for 255 of 16 bits, see above
        return 255
    return next((top for bits in DEPTHS if value <= (top := 2**bits - 1)), 2 ** DEPTHS[-1] - 1)


def default_size(sizes: set[tuple[int, int]], device: str, count: int | None = None) -> tuple[int, int]:
    """(H, W) of a view where the user names none: small images as they are, photos by the type of the device, and if
    it is known how many, by what was measured of as many."""
    if len(sizes) == 1 and max(own := next(iter(sizes))) <= NATIVE_SIZE:
        return own
    usual = known().usual_of(count) if device == "cpu" and count is not None else None
    side = (usual and usual.size) or SIDES[device]
    return side, side
