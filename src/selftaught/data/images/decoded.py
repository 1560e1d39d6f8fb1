"""What decoding gives, and how it is asked: which pages and bands of a file, and how its numbers become values."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

Span = tuple[float, float]  # what is black, and what is white
WHITE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}  # by number type, of values that a range was applied to


class DecodeError(ValueError):
    """An image cannot be decoded; the message is the reason."""


class MissingExtraError(DecodeError):
    """A library is missing, which an extra of ours brings."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what}, which needs pip install 'selftaught[{extra}]'")


@dataclass(frozen=True)
class Header:
    """What an image file says of itself."""

    format: str
    mode: str  # Pillow's
    width: int
    height: int
    orientation: int  # EXIF's, 1 to 8
    animated: bool


@dataclass(frozen=True)
class Reading:
    """How files are read; a preparation records it, so that other files are read the same way."""

    # By what a file declares; by each image's own values; by one span, which is applied to what is read, not here; or
    # not at all, as it was before anybody asked.
    range: Literal["declared", "each"] | Span | None = "declared"
    pages: Literal["first", "samples", "channels"] = "first"
    bands: Literal["all", "colours"] = "all"  # of a TIFF; colours: the grey or three of 8 bits, as it was before
    # Where JPEGs are decoded: cpu, cuda, or one card, cuda:1. Not recorded: an encoder reads anywhere.
    jpeg_decoder: str = field(default="cpu", repr=False)

    FORMER: ClassVar["Reading"]

    @classmethod
    def of(cls, preparation: Any) -> Self:
        """That of an encoder, by its `Preparation`."""
        ranged = preparation.ranged
        span = (preparation.low, preparation.high) if ranged == "given" else ranged
        return cls(span, preparation.pages or "first", preparation.bands or "colours")

    def recorded(self) -> dict[str, Any]:
        """As a preparation has it."""
        ranged = "given" if isinstance(self.range, tuple) else self.range
        return {"ranged": ranged, "pages": self.pages, "bands": self.bands}


Reading.FORMER = Reading(None, "first", "colours")


@dataclass(frozen=True)
class Picture:
    """What is decoded of an image file."""

    # (H, W, C), upright: uint8 or uint16, from black to white, or what is signed, wider or has fractions.
    pixels: NDArray[Any]
    remarks: tuple[str, ...] = ()  # what of the file is not used
    band: bool | None = None  # whether what a TIFF's alpha is by its values is a band; None where it has none
    declared: Span | None = None  # what the file says is black and white, in units of its pixels
    inverted: bool = False  # whether the larger value is the darker
    scaled: bool = False  # whether its values go over a whole range already: see WHITE
    levels: bool = False  # whether signed or fractional values mean levels, of 16 bits at most

    def read(self, reading: Reading) -> "Picture":
        """With the range applied that is asked for."""
        span = self._span(reading.range)
        pixels = self.pixels
        if self.inverted:
            low, high = span or self.declared or _span_of(pixels)
            pixels = low + high - pixels.astype(np.float64)
        if span is None or isinstance(reading.range, tuple):
            return replace(self, pixels=pixels, inverted=False)
        return replace(self, pixels=ranged(pixels, span, self._type()), declared=None, inverted=False, scaled=True)

    def _span(self, asked: Any) -> Span | None:
        if asked == "each":
            return _span_of(self.pixels)
        return asked if isinstance(asked, tuple) else self.declared if asked == "declared" else None

    def _type(self) -> np.dtype:
        return np.dtype(np.uint16) if self.levels else type_of(self.pixels.dtype)


def type_of(dtype: np.dtype) -> np.dtype:
    """The number type of values of `dtype` once a range is applied: levels stay levels."""
    if dtype == np.uint8:
        return dtype
    return np.dtype(np.uint16 if dtype.kind in "iu" and dtype.itemsize <= 2 else np.float32)


def _span_of(pixels: NDArray[Any]) -> Span:
    return float(pixels.min()), float(pixels.max())


def ranged(pixels: NDArray[Any], span: Span, dtype: np.dtype) -> NDArray[Any]:
    """Values of which `span` becomes black and white of a number type (WHITE); what is beyond is cut off."""
    low, high = span
    white = WHITE[str(dtype)]
    values = np.clip((pixels.astype(np.float64) - low) * (white / max(high - low, 1e-300)), 0.0, white)
    return (np.round(values) if dtype.kind == "u" else values).astype(dtype)


def by_own(images: NDArray[Any]) -> NDArray[Any]:
    """Images (N, H, W, C) of which each goes over the whole range of its type."""
    return np.stack([ranged(image, _span_of(image), type_of(image.dtype)) for image in images])
