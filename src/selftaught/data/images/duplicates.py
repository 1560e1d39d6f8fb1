"""Images that look alike: the same picture after scaling or recompressing, or the next frame of a film."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from selftaught.data.images.canvas import Canvas, Pixels, convert_channels, in_values, on_canvas
from selftaught.data.images.preparation import Preparation

ROWS, COLUMNS = 8, 9  # of a sketch; each of its 64 pairs of neighbours gives one bit
BANDS = 4  # of 16 bits: hashes that differ in fewer bits than there are bands share one of them
FAR = BANDS - 1  # bits that the hashes of one look may differ in
NEIGHBOURS = 64  # hashes of one band that each is compared with, at most
CHAINED = 4  # sketches of one hash that each is compared with, in the order of their brightness
AT_ONCE = 100_000  # pairs of sketches that are compared
CONTRAST, LEVELS = 0.08, 2.0  # how far sketches of one look are apart: a share of their contrast, or so many levels
CLOSER = 24  # pixels, the side of what is compared where a sketch alone may not decide
SMALLEST = 16  # pixels, the side of images of which a closer look shows more than the sketch does
CORRELATED, APART = 0.995, 0.5  # of those, at least, and how many times their contrast one pixel is off, at most

Places = NDArray[np.int64]  # of sketches


def sketch(image: Pixels) -> NDArray[np.uint8]:
    """A tiny grey copy (8, 9) of an image (H, W, C)."""
    if image.dtype == np.uint16:  # by its own depth, so that a copy of another is found
        image = in_values(image, np.dtype(np.uint8), None)
    elif image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image.astype(np.float64) - low) * (255 / max(high - low, 1e-300))).astype(np.uint8)
    # Brightness as the eye sees it: JPEG keeps that, and little of the colours.
    grey = convert_channels(image, 1)
    small = on_canvas(grey, Canvas(ROWS, COLUMNS, grey.shape[2], np.dtype(np.uint8)))
    return np.round(small.mean(axis=2)).astype(np.uint8)


def sketches(stored: Sequence[Tensor], preparation: Preparation) -> NDArray[np.uint8]:
    """Tiny grey copies (B, 8, 9) of stored images, (B, C, H, W) and their aspects (B,)."""
    return np.round(_grey(stored[0], preparation, (ROWS, COLUMNS))).astype(np.uint8)


def closely_alike(one: Sequence[Tensor], other: Sequence[Tensor], preparation: Preparation) -> NDArray[np.bool_]:
    """Which of two times as many stored images are one picture (B,), scaled or recompressed, and not merely similar.

    Where there is nothing to see, as on an empty slide, no two pictures are taken for one.
    """
    a, b = (_grey(stored[0], preparation, (CLOSER, CLOSER)).reshape(len(stored[0]), -1) for stored in (one, other))
    contrast = np.minimum(a.std(axis=1), b.std(axis=1))
    centred = [x - x.mean(axis=1, keepdims=True) for x in (a, b)]
    correlated = (centred[0] * centred[1]).mean(axis=1) >= CORRELATED * a.std(axis=1) * b.std(axis=1)
    near = np.abs(centred[0] - centred[1]).max(axis=1) <= APART * contrast
    return (contrast >= LEVELS) & correlated & near & (min(one[0].shape[2:]) >= SMALLEST)


def _grey(pixels: Tensor, preparation: Preparation, size: tuple[int, int]) -> NDArray[np.float32]:
    """Images (B, C, H, W) in levels of 0 to 255 as (B, *size)."""
    span = max(preparation.high - preparation.low, 1e-12)
    levels = ((pixels.float() - preparation.low) * (255 / span)).clamp(0, 255)
    grey = convert_channels(levels.permute(0, 2, 3, 1).numpy(), 1).mean(axis=3)
    small = interpolate(torch.from_numpy(grey)[:, None], size, mode="bilinear", antialias=True)
    return np.asarray(small[:, 0].numpy(), np.float32)


def same_look(
    sketches: NDArray[np.uint8], confirm: Callable[[Places], NDArray[np.bool_]] | None = None
) -> list[list[int]]:
    """Groups of two or more of sketches (N, 8, 9) that look alike, found without comparing each with each.

    confirm: says which pairs (2, M) of those that look alike are so indeed.

    The hash of a sketch says of each pixel whether its right neighbour is brighter (Krawetz's dHash), and another one
    says so of the neighbour below, as neighbours of the same brightness make either of them a matter of chance.
    """
    if len(sketches) < 2:
        return []
    right, below = sketches[:, :, 1:] > sketches[:, :, :-1], sketches[:, 1:] > sketches[:, :-1]
    pairs = np.concatenate([_found(sketches, brighter) for brighter in (right, below)], axis=1)
    found = np.unique(np.sort(pairs, axis=0), axis=1)
    return _connected(found[:, confirm(found)] if confirm else found, len(sketches))


def _found(sketches: NDArray[np.uint8], brighter: NDArray[np.bool_]) -> Places:
    """Pairs (2, M) that look alike, of which one hash differs little.

    Sorted by each band of its bits in turn, such hashes come to stand side by side in one of the orders.
    """
    count = len(sketches)
    bits = np.packbits(brighter.reshape(count, -1), axis=1)
    hashes, levels = bits.view(np.uint64)[:, 0], sketches.reshape(count, -1).astype(np.float32)
    pairs = [_alike(levels, _near(hashes, np.lexsort((levels.mean(axis=1), hashes)), hashes, CHAINED, 0))]
    _, one_each = np.unique(hashes, return_index=True)
    for band in bits.view(np.uint16)[one_each].T:
        order = np.lexsort((hashes[one_each], band))
        pairs.append(_alike(levels, one_each[_near(hashes[one_each], order, band, NEIGHBOURS, FAR)]))
    return np.concatenate(pairs, axis=1)


def _near(hashes: NDArray[np.uint64], order: Places, key: NDArray[Any], steps: int, far: int) -> Places:
    """Pairs (2, M) of one key whose hashes differ in at most `far` bits, each compared with the next in order."""
    pairs = [np.zeros((2, 0), np.int64)]
    for step in range(1, min(steps, len(order) - 1) + 1):
        both = np.stack([order[:-step], order[step:]])
        first, second = both
        together = key[first] == key[second]
        if not together.any():
            break
        pairs.append(both[:, together & (np.bitwise_count(hashes[first] ^ hashes[second]) <= far)])
    return np.concatenate(pairs, axis=1)


def _alike(levels: NDArray[np.float32], pairs: Places) -> Places:
    """Those of the pairs (2, M) whose sketches are hardly apart, for their contrast."""
    kept = [np.zeros((2, 0), np.int64)]
    for start in range(0, pairs.shape[1], AT_ONCE):
        part = pairs[:, start : start + AT_ONCE]
        a, b = part
        contrast = np.minimum(levels[a].std(axis=1), levels[b].std(axis=1))
        alike = np.abs(levels[a] - levels[b]).mean(axis=1) <= np.maximum(LEVELS, CONTRAST * contrast)
        kept.append(part[:, alike])
    return np.concatenate(kept, axis=1)


def _connected(pairs: Places, count: int) -> list[list[int]]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components  # a tenth of a second that no run needs, only `check`

    links = coo_array((np.ones(pairs.shape[1], np.int8), (pairs[0], pairs[1])), shape=(count, count))
    groups, of = connected_components(links, directed=False)
    order = np.argsort(of, kind="stable")
    split = np.split(order, np.cumsum(np.bincount(of, minlength=groups))[:-1])
    return sorted((group.tolist() for group in split if len(group) > 1), key=lambda group: group[0])
