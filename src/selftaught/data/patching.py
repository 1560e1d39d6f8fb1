"""How large the patches are into which a vision transformer cuts an image: they have to divide it."""

from collections.abc import Sequence
from functools import cache
from math import ceil, floor, prod
from typing import Any

import timm
import torch

from selftaught.system.errors import UsageError

TOKENS = 64  # patches a small image is cut into, about
NATIVE = 96  # sides up to this get smaller patches than a network's own, where those do not divide them
LEAST = 4  # side of such patches: of smaller ones there would be hundreds

Size = Sequence[int]


def patch_for(name: str, size: Size, asked: int | None, small: bool) -> int | None:
    """The side of patches for images of `size`; None for those that the network called `name` has by itself.

    asked: the side that somebody wants; small: whether images are to be cut as small ones are. Raises UsageError where
    patches do not divide the images.
    """
    side = asked or (_small(size) if small else None)
    if _divides(side or _own(name), size):
        return side
    if side or max(size) > NATIVE or _small(size) < LEAST:
        raise UsageError(_unfit(size, side or _own(name)))
    return _small(size)


def _divides(patch: int, size: Size) -> bool:
    return not any(side % patch for side in size)


def _small(size: Size) -> int:
    side = max(2, round((prod(size) / TOKENS) ** 0.5))
    while not _divides(side, size):
        side -= 1
    return side


@cache
def _own(name: str) -> int:
    """The side of a patch of a network as it is published."""
    with torch.device("meta"):
        net: Any = timm.create_model(name, num_classes=0)
    return int(net.patch_embed.patch_size[0])


def _unfit(size: Size, patch: int) -> str:
    """What is wrong with a size that patches do not divide, and what to say in its place."""
    near = ([max(1, fit(side / patch)) * patch for side in size] for fit in (floor, ceil))
    fixes = [f"--size {_told(fitting)}" for fitting in near]
    fixes += [f"--encoder.patch {other}" for other in range(patch, LEAST - 1, -1) if _divides(other, size)][:1]
    return f"--size {_told(size)} is not a multiple of the patch of {patch}; say {' or '.join(dict.fromkeys(fixes))}"


def _told(size: Size) -> str:
    return "x".join(map(str, dict.fromkeys(size)))
