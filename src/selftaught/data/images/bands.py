"""TIFFs of science, by tifffile: many bands, deep colours, wide numbers, and pages beyond the first."""

import contextlib
import io
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.images import tiff
from selftaught.data.images.decoded import DecodeError, Header, MissingExtraError, Picture, Reading, Span
from selftaught.data.sources.source import MAX_BYTES

ORIENTATION = 274  # number of the tag of how the picture lies
ALPHA = {1: "multiplied", 2: "beside"}  # of a band that is no colour: its colours are multiplied by it, or are not
FOREIGN = ("is_mmstack", "is_ndtiff")  # which look for other files beside this one
CHANNEL = "C"  # the axis of channels, in files that name their axes
WHITE_IS_ZERO, PALETTE, SEPARATED, LAB = 0, 3, 5, (8, 9, 10)

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong is part of the refusal


@dataclass(frozen=True)
class Stack:
    """Pages of one size and number type; of those whose file names its channels, one has several of its directories."""

    series: Any
    shape: tuple[int, ...]  # of its directories
    axes: str

    @classmethod
    def of(cls, series: Any) -> "Stack":
        inside = len(series.keyframe.shape)
        return cls(series, tuple(series.shape[:-inside]), series.axes[:-inside])

    @property
    def pages(self) -> int:
        """How many there are."""
        return math.prod(size for size, axis in zip(self.shape, self.axes) if axis != CHANNEL)

    @property
    def channels(self) -> int:
        """Of a page."""
        apart = math.prod(size for size, axis in zip(self.shape, self.axes) if axis == CHANNEL)
        return apart * int(self.series.keyframe.samplesperpixel)

    def page(self, number: int) -> NDArray[Any]:
        """Pixels (H, W, C) of a page, its channels one behind the other."""
        own = [size for size, axis in zip(self.shape, self.axes) if axis != CHANNEL]
        place = iter(np.unravel_index(number, own) if own else ())
        at = [slice(None) if axis == CHANNEL else next(place) for axis in self.axes]
        directories = np.arange(math.prod(self.shape)).reshape(self.shape)[tuple(at)]
        return np.concatenate([self._directory(one) for one in directories.reshape(-1).tolist()], axis=2)

    def _directory(self, number: int) -> NDArray[Any]:
        if len(self.series.pages) == math.prod(self.shape):
            page = self.series.pages[number]
            if page is None:
                raise DecodeError("a TIFF that lacks some of its pages")
            return _pixels(self.series.keyframe, page.asarray(maxworkers=1))
        inside = self.series.keyframe.shape  # of ImageJ's large stacks, one directory names them all
        return _pixels(self.series.keyframe, self._whole().reshape(-1, *inside)[number])

    def _whole(self) -> NDArray[Any]:
        return np.asarray(self.series.asarray(maxworkers=1))


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[list[Stack]]:
    """The stacks of a TIFF, without smaller copies and masks. Raises DecodeError."""
    shown = tiff.described(data)
    tiff.refuse_cut_chain(data)
    try:
        import imagecodecs  # noqa: F401 - by which tifffile reads what is compressed
        import tifffile
    except ImportError:
        raise MissingExtraError(shown, "science") from None
    try:
        how: dict[str, Any] = {"_multifile": False, **dict.fromkeys(FOREIGN, False)}
        with tifffile.TiffFile(io.BytesIO(data), **how) as file:
            whole = [series for series in file.series if not series.keyframe.subfiletype & tiff.COPY]
            stacks = [Stack.of(series) for series in whole or file.series[:1]]
            if (count := sum(math.prod(stack.shape) for stack in stacks)) > len(data):
                raise DecodeError(f"a TIFF that says it has {count:,} pages, more than it has bytes")
            yield stacks
    except (DecodeError, MemoryError):
        raise
    except Exception as error:  # of many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DecodeError(f"{shown} that cannot be decoded: {reason}") from None


def pages(data: bytes) -> int:
    """How many a TIFF has."""
    with _opened(data) as stacks:
        return sum(stack.pages for stack in stacks)


def header_of(data: bytes) -> Header:
    """What a TIFF that Pillow does not read says of itself."""
    with _opened(data) as stacks:
        page, count = stacks[0].series.keyframe, sum(stack.pages for stack in stacks)
        mode = f"{stacks[0].channels} x {page.dtype}"
        return Header("TIFF", mode, page.imagewidth, page.imagelength, _orientation(page), count > 1)


def read(data: bytes, reading: Reading, page: int | None, band: bool | None, most: int) -> tuple[Picture, bool]:
    """The image of a TIFF, of at most so many pixels, and whether it has pages that are not in it.

    page: the only one that is wanted; None: those that the reading asks for. band: see `decode.picture`.
    """
    with _opened(data) as stacks:
        count = sum(stack.pages for stack in stacks)
        if page is None and reading.pages == "channels":
            stack, wanted = stacks[0], list(range(stacks[0].pages))
            if len(stacks) > 1:
                raise DecodeError("a TIFF whose pages differ in size or number type, so they are no channels")
        else:
            stack, number = _stack_of(stacks, page or 0)
            wanted = [number]
        _refuse_large(stack, len(wanted), most)
        _refuse_cut(stack, data)
        pixels = np.concatenate([stack.page(number) for number in wanted], axis=2)
        made = _turned(_picture(stack.series.keyframe, pixels, band), _orientation(stack.series.keyframe))
        return made, page is None and len(wanted) < count


def _stack_of(stacks: list[Stack], page: int) -> tuple[Stack, int]:
    """The stack in which a page lies, and which of its pages it is."""
    for stack in stacks:
        if page < stack.pages:
            return stack, page
        page -= stack.pages
    raise DecodeError("a TIFF that has fewer pages than before")


def _refuse_large(stack: Stack, count: int, most: int) -> None:
    page = stack.series.keyframe
    pixels = page.imagewidth * page.imagelength
    if pixels > most:
        raise DecodeError(f"{page.imagewidth} x {page.imagelength} pixels are more than {most:,}")
    channels = count * stack.channels
    if pixels * channels * page.dtype.itemsize > MAX_BYTES:
        raise DecodeError(f"{channels:,} channels of {page.imagewidth} x {page.imagelength} pixels are too many")


def _refuse_cut(stack: Stack, data: bytes) -> None:
    """Raise DecodeError where strips or tiles are missing, which tifffile fills with zeros."""
    for page in stack.series.pages:
        if page is not None:
            ends = [start + size for start, size in zip(page.dataoffsets, page.databytecounts)]
            if not ends or max(ends) > len(data) or 0 in page.databytecounts:
                raise DecodeError("a TIFF that is damaged or truncated: strips or tiles of it are missing")
    virtual = len(stack.series.pages) < math.prod(stack.shape)
    if virtual and stack.series.keyframe.dataoffsets[0] + stack.series.nbytes > len(data):
        raise DecodeError("a TIFF that is damaged or truncated: pages of it are missing")


def _pixels(page: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Of one directory (H, W, C)."""
    axes = page.axes
    if {*axes} - {*"YXS"} or values.dtype.kind not in "buif" or page.photometric in (SEPARATED, *LAB):
        raise DecodeError(f"a TIFF of {page.photometric.name} pixels ({values.dtype}, axes {axes}), which is not read")
    values = values if "S" in axes else values[..., None]
    values = np.moveaxis(values, 0, 2) if axes == "SYX" else values
    if values.dtype.kind == "b":
        values = values.astype(np.uint8) * 255
    if page.photometric == PALETTE:
        return (np.moveaxis(page.colormap[:, values[..., 0]], 0, 2) >> 8).astype(np.uint8)
    if page.photometric == WHITE_IS_ZERO and values.dtype.kind == "u":
        return (1 << page.bitspersample) - 1 - values
    return values


def _picture(page: Any, pixels: NDArray[Any], band: bool | None) -> Picture:
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DecodeError("holds values that are not finite (NaN or infinite)")
    span = _declared(page, pixels.dtype)
    how = ALPHA.get(page.extrasamples[0]) if len(page.extrasamples) == 1 and pixels.dtype.kind == "u" else None
    if how is None or pixels.shape[2] != page.samplesperpixel:
        return Picture(pixels, declared=span)
    white = float(np.iinfo(pixels.dtype).max)
    own = not tiff.is_mask((pixels[..., -1] * (255 / white)).astype(np.uint8))
    if own if band is None else band:
        return Picture(pixels, declared=span, band=own)
    return Picture(_laid(pixels, white, multiplied=how == "multiplied"), declared=span, band=own)


def _laid(pixels: NDArray[Any], white: float, multiplied: bool) -> NDArray[Any]:
    """Colours laid on white, as a page or a viewer would show them."""
    through = pixels[..., -1:] / white
    colours = pixels[..., :-1] * (1.0 if multiplied else through)
    return np.round(np.minimum(colours + (1 - through) * white, white)).astype(pixels.dtype)


def _declared(page: Any, dtype: np.dtype) -> Span | None:
    """What the file says that its values go from and to."""
    ends = [page.tags.valueof(tag) for tag in (tiff.SMALLEST, tiff.LARGEST)]
    if None not in ends and dtype != np.uint8:
        return tiff.span_of(*ends)
    if dtype.kind == "u" and page.photometric != PALETTE and 1 < page.bitspersample < 8 * dtype.itemsize:
        return 0.0, float((1 << page.bitspersample) - 1)
    return None


def _orientation(page: Any) -> int:
    return int(page.tags.valueof(ORIENTATION, 1) or 1)


def _turned(made: Picture, orientation: int) -> Picture:
    """Upright, as the tag of orientation says (TIFF 6.0)."""
    pixels = made.pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return replace(made, pixels=np.ascontiguousarray(pixels))
