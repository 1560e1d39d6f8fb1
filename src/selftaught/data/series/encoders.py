"""Encoders of series, by name: convolutions over time, a transformer on patches of it, or the user's own module."""

from functools import partial
from typing import Annotated, Literal

from torch import nn

from selftaught.contracts.encoder import Encoder, Origin
from selftaught.data.encoders import Own, build
from selftaught.data.series.networks import Convolutional, Dilated, InceptionTime, ResNet
from selftaught.data.series.patches import PatchTransformer, usual_patch
from selftaught.data.series.preparation import Preparation
from selftaught.system import bounds, components
from selftaught.system.errors import UsageError

ENCODERS = ("dilated_conv", "resnet1d", "inception_time", "patch_transformer")
DEEPEST = 24  # dilations, the last of which reaches 16 million points
HAVE = {
    "heads": ("patch_transformer",),
    "patch": ("patch_transformer",),
    "channels": ("patch_transformer",),
    "kernel": ("inception_time",),
    "dim": ("dilated_conv",),
}
KERNEL, DIM, HEADS = 40, 320, 4

Points = Annotated[int, bounds.whole(1, 4096, "points")]


def create(
    name: str,
    preparation: Preparation,
    module: nn.Module | None = None,
    /,
    *,
    depth: bounds.Blocks | None = None,
    width: bounds.Width | None = None,
    dim: bounds.Width | None = None,
    kernel: Points | None = None,
    patch: Points | None = None,
    heads: bounds.Heads | None = None,
    channels: Literal["mixed", "apart"] = "mixed",
) -> Encoder:
    """Build an encoder; the keyword-only parameters are its options.

    depth: blocks of a dilated convolution (10, each of twice the reach), a ResNet (3) or a transformer (3), or modules
    of InceptionTime (6); width: of a block (64; of a ResNet twice as much behind its first one; of a transformer 128),
    or filters of a branch (32); dim: of a dilated convolution's feature (320); kernel: points of InceptionTime's
    longest filters (40); patch: points of a token (by the length of the series); heads: of attention (4); channels:
    whether all make a token together, or each goes through the transformer by itself.
    """
    given = {"dim": dim, "kernel": kernel, "patch": patch, "heads": heads, "channels": channels != "mixed" or None}
    if name == "own":
        return Own(module, preparation.shape, "series")
    if name not in ENCODERS:
        raise UsageError(f"no encoder of series named {name!r}; {components.hint(name, ENCODERS)}")
    for option, value in given.items():
        if value is not None and name not in HAVE[option]:
            raise UsageError(f"encoder {name} has no option {option!r}; {', '.join(HAVE[option])} has")
    if name == "patch_transformer":
        encoder: Encoder = _transformer(
            preparation, depth or 3, width or 128, patch, heads or HEADS, channels == "apart"
        )
    else:
        encoder = _convolutional(name, preparation, depth, width, dim or DIM, kernel or KERNEL)
    encoder.origin = Origin("selftaught", name)
    return encoder


build_encoder = partial(build, create)


def _convolutional(
    name: str, preparation: Preparation, depth: int | None, width: int | None, dim: int, kernel: int
) -> Encoder:
    channels = preparation.channels
    if name == "dilated_conv":
        if (depth or 0) > DEEPEST:
            raise UsageError(f"encoder option 'depth' cannot be {depth}: dilations double, and {DEEPEST} are the most")
        return Convolutional(preparation, Dilated(channels, depth or 10, width or 64, dim), dim)
    net: ResNet | InceptionTime
    if name == "resnet1d":
        net = ResNet(channels, depth or 3, width or 64)
    else:
        net = InceptionTime(channels, depth or 6, width or 32, kernel)
    return Convolutional(preparation, net, net.dim)


def _transformer(
    preparation: Preparation, depth: int, width: int, patch: int | None, heads: int, apart: bool
) -> Encoder:
    patch = patch or usual_patch(preparation.length)
    if patch > preparation.length:
        raise UsageError(f"encoder option 'patch' cannot be {patch}: series have {preparation.length} points")
    if width % heads:
        raise UsageError(f"encoder option 'width' cannot be {width}: it is a multiple of the {heads} heads")
    return PatchTransformer(preparation, patch, depth, width, heads, apart)
