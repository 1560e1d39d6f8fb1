"""What every stored image looks like: one size, number of channels and number type for all of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from selftaught.data.images.preparation import Preparation, default_size

NATIVE_CANVAS = 256  # images of one size up to this are kept as they are

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Canvas:
    """Height and width in pixels, channels and number type of stored images."""

    height: int
    width: int
    channels: int
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one."""
        return self.height, self.width, self.channels


def canvas_for(
    seen: list[Pixels], size: tuple[int, int] | None, like: Preparation | None, native: bool = True
) -> Canvas:
    """A canvas for images of which `seen` are examples, to make views of `size` (H, W) from.

    native: whether small images that have one size are kept as they are.
    """
    sizes = {image.shape[:2] for image in seen}
    channels = 1 if all(image.shape[2] == 1 for image in seen) else 3
    if like and like.channels in (1, 3):
        channels = like.channels
    dtype = np.dtype(np.uint16 if all(image.dtype == np.uint16 for image in seen) else np.uint8)
    if like and like.high >= 255:  # the encoder's, whatever these images have
        dtype = np.dtype(np.uint8 if like.high == 255 else np.uint16)
    if native and len(sizes) == 1 and max(own := next(iter(sizes))) <= NATIVE_CANVAS:
        return Canvas(own[0], own[1], channels, dtype)
    side = max(size or default_size(sizes))
    both = max(min(NATIVE_CANVAS, 2 * side), -(-8 * side // 7))
    return Canvas(both, both, channels, dtype)


def on_canvas(image: Pixels, canvas: Canvas) -> Pixels:
    """The image (H, W, C) with the canvas's number type, channels and size."""
    if image.dtype != canvas.dtype:
        image = (image // 257).astype(np.uint8) if canvas.dtype == np.uint8 else image.astype(np.uint16) * 257
    image = convert_channels(image, canvas.channels)
    if image.shape[:2] == (canvas.height, canvas.width):
        return image
    # Squashed: the true aspect is kept beside it, and views draw their boxes in true geometry.
    pixels = np.require(image, np.uint8 if image.dtype == np.uint8 else np.float32, "W")
    planes = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    planes = interpolate(planes, (canvas.height, canvas.width), mode="bilinear", antialias=True)
    resized = planes[0].permute(1, 2, 0).numpy()
    return resized if image.dtype == np.uint8 else np.round(resized).astype(canvas.dtype)


def convert_channels(pixels: Pixels, channels: int) -> Pixels:
    """Grey repeated to three channels, or colour mixed to grey (ITU-R 601); anything else is left."""
    own = pixels.shape[-1]
    if own == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    if own == 3 and channels == 1:
        grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return (np.round(grey) if pixels.dtype.kind == "u" else grey).astype(pixels.dtype)[..., None]
    return pixels
