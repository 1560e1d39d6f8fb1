"""The shared vocabulary of views, as images understand it, made in batches on the training device."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from selftaught.data import views
from selftaught.data.images import augment
from selftaught.data.images.augment import Change
from selftaught.data.images.preparation import Preparation
from selftaught.data.views import FIXED
from selftaught.system import bounds, components, randomness
from selftaught.system.devices import constant, moved
from selftaught.system.errors import UsageError

SMALL = 64  # sides up to this are not blurred by default (SimCLR, appendix B.9, on CIFAR-10)
TRIES = 10  # boxes drawn for each image before the whole of it is taken, as in torchvision
CACHED = 2**20  # numbers in the largest stage of the images a CPU core works on at a time; more falls out of its cache
FEWEST = 4  # images worked on at a time, however large
RATIO = (3 / 4, 4 / 3)  # width to height of a crop, in true pixels


Sigma = Annotated[float, Field(gt=0, le=1000)]
Share = Annotated[float, Field(gt=0, le=1)]
Widths = Annotated[tuple[Sigma, Sigma], bounds.Rising, bounds.words("two widths in pixels, such as 0.1,2")]
Aspect = Annotated[
    tuple[bounds.Ratio, bounds.Ratio], bounds.Rising, bounds.words("two ratios of width to height, such as 0.9,1.1")
]
Area = Annotated[tuple[Share, Share], bounds.Rising, bounds.words("two shares of the area, such as 0.2,1")]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How one kind of view is made; every field is an option, such as --views.strong.jitter 0.4."""

    crop: Area = (1.0, 1.0)  # share of the image's area; (1, 1) takes the largest centred box
    aspect: Aspect = RATIO  # width to height of a crop, in true pixels
    flip: bounds.Probability = 0.0  # of mirroring left and right
    flip_vertical: bounds.Probability = 0.0  # of mirroring top and bottom
    turn: bounds.Probability = 0.0  # of one, two or three quarter turns, each as likely; of square views
    # Strength s: brightness and contrast 0.8 s (SimCLR, appendix A).
    jitter: Annotated[float, Field(ge=0, le=100, description="a strength, 0 or more")] = 0.0
    contrast: Annotated[float, bounds.number(0, 100)] = 0.8  # of contrast for each of jitter's, about one grey
    saturation: Annotated[float, bounds.number(0, 100)] = 0.8  # of saturation; BYOL and many after it have 0.4
    hue: Annotated[float, bounds.number(0, 100)] = 0.2  # of hue for each of jitter's
    # Of each channel's own brightness, and contrast about its own mean, before the others: a strength as jitter's.
    channel_jitter: Annotated[float, Field(ge=0, le=100, description="a strength, 0 or more")] = 0.0
    jitter_probability: bounds.Probability = 0.8
    grey: bounds.Probability = 0.0  # of dropping the colours
    blur: bounds.Probability = 0.0  # of a Gaussian blur
    blur_sigma: Widths = (0.1, 2.0)  # in view pixels
    solarise: bounds.Probability = 0.0  # of inverting what is brighter than one half
    scale: Annotated[float, Field(gt=0, le=4, description="a share of --size, such as 0.5")] = 1.0  # side of the view


# strong: SimCLR (Chen et al. 2020, appendix A) at the colour strength it used on CIFAR-10. strong_other: the second,
# asymmetric view of BYOL (Grill et al. 2020, table 6). global, local: multi-crop (Caron et al. 2020, section 3.3).
_STRONG = Augmentation(crop=(0.08, 1.0), flip=0.5, jitter=0.5, grey=0.2, blur=0.5)
AUGMENTATIONS = {
    "light": Augmentation(crop=(0.2, 1.0), flip=0.5),
    "strong": _STRONG,
    "strong_other": replace(_STRONG, blur=0.1, solarise=0.2),
    "global": replace(_STRONG, crop=(0.25, 1.0)),
    "local": replace(_STRONG, crop=(0.05, 0.25), scale=3 / 7),
}


class Views(views.Views):
    """Makes views of images, normalised and of the right size."""

    AUGMENTATIONS = AUGMENTATIONS

    def __init__(
        self,
        names: Sequence[str],
        preparation: Preparation,
        *,
        patch: int = 1,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        exact: bool = False,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> None:
        super().__init__(names, preparation, options)
        self.patch, self._exact, self._dtype = patch, exact, dtype
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        for name in {*self.names} - set(FIXED):
            self._refuse_turns(name)

    def _refuse_turns(self, name: str) -> None:
        """Raise UsageError where a quarter turn would not fit."""
        turn, (height, width) = self.augmentations[name].turn, self.size(name)
        if turn and height != width:
            raise UsageError(
                f"view {name} option 'turn' cannot be {turn:g}: quarter turns need square views, these are {height} x "
                f"{width}; use --size {min(self.preparation.size)}, or --views.{name}.turn 0"
            )

    def preset(self, name: str) -> Augmentation:
        preset = AUGMENTATIONS[name]
        return replace(preset, blur=0.0) if min(self.preparation.size) <= SMALL else preset

    def __call__(self, rows: Tensor, /, *raw: Tensor) -> tuple[Tensor, ...]:
        """One tensor a view: sample numbers (B,), stored images (B, C, h, w) and true aspects (B,) in.

        Runs inside `randomness.at(...)`, unless every view is plain or index.
        """
        images, aspect = raw
        preparation, device = self.preparation, images.device
        made: dict[str | int, Tensor] = {}
        changes: list[tuple[Tensor, str, Change]] = []
        for position, name in enumerate(self.names):
            key = name if name in FIXED else position  # a fixed view is the same wherever it stands
            if name == "index":
                made[key] = rows
            elif key not in made:
                shape = (len(rows), preparation.channels, *self.size(name))
                made[key] = torch.empty(shape, dtype=self._dtype, device=device, memory_format=self._format)
                with randomness.view(position) if name not in FIXED else nullcontext():
                    changes.append((made[key], name, self._change(name, images, aspect)))
        for part in _parts(images, [view for view, _, _ in changes]):
            unit = augment.unit(images[part], preparation.low, preparation.high)
            for view, name, change in changes:
                view[part] = self._apply(name)(
                    unit, change.of(part), self.size(name), preparation.mean, preparation.std
                )
        return tuple(made[name if name in FIXED else position] for position, name in enumerate(self.names))

    def _apply(self, name: str) -> Callable[..., Tensor]:
        return augment.plain if name == "plain" else augment.exact if self._exact else augment.fused

    def size(self, name: str) -> tuple[int, int]:
        """(H, W) of a view; a scaled one is a multiple of the encoder's patch. An index has that of its image."""
        if name in FIXED or self.augmentations[name].scale == 1.0:
            return self.preparation.size
        scale = self.augmentations[name].scale
        height, width = (max(1, round(side * scale / self.patch)) * self.patch for side in self.preparation.size)
        return height, width

    def _change(self, name: str, images: Tensor, aspect: Tensor) -> Change:
        """Parameters for every image, each drawn at its address."""
        if name == "plain":
            return _unchanged(centred_box(images.shape[2:], aspect, self.preparation.size))
        chosen = self.augmentations[name]

        def draw(columns: int, purpose: str) -> Tensor:
            return randomness.uniform((len(images), columns), purpose, images.device)

        if chosen.crop == (1.0, 1.0):
            box = centred_box(images.shape[2:], aspect, self.preparation.size)
        else:
            box = random_boxes(draw(2 * TRIES + 2, "crop"), images.shape[2:], aspect, chosen.crop, chosen.aspect)
        change = _unchanged(box)
        decided = randomness.uniform((len(images), 5), "chance")
        chances = moved(decided, images.device)
        change.flip = chances[:, 0] < chosen.flip
        _turn(change, chosen)
        jittered = (chances[:, 1] < chosen.jitter_probability).float()
        if chosen.channel_jitter > 0:
            draws, strength = 2 * draw(2 * images.shape[1], "channels") - 1, 0.8 * chosen.channel_jitter
            factors = 1 + jittered[:, None] * (_between(draws, max(0.0, 1 - strength), 1 + strength) - 1)
            change.apart = factors.view(len(images), 2, -1)
        if chosen.jitter > 0:
            draws = 2 * draw(4, "colour") - 1
            strength = chosen.jitter * constant((0.8, chosen.contrast, chosen.saturation), draws)
            low = (1 - strength).clamp(min=0)
            factors = 1 + jittered[:, None] * (_between(draws[:, :3], low, 1 + strength) - 1)
            change.brightness, change.contrast, change.saturation = factors.unbind(dim=1)
            change.hue = jittered * draws[:, 3] * min(0.5, chosen.hue * chosen.jitter)
        change.grey = chances[:, 2] < chosen.grey
        if chosen.blur > 0:
            sigma = _between(2 * draw(1, "blur")[:, 0] - 1, *chosen.blur_sigma)
            change.sigma = torch.where(chances[:, 3] < chosen.blur, sigma, torch.zeros_like(sigma))
        change.solarise = chances[:, 4] < chosen.solarise
        if images.device.type != "cpu":
            struck = (decided[:, 3] < chosen.blur, decided[:, 4] < chosen.solarise)
            change.blurred, change.solarised = (moved(hit.nonzero().squeeze(1), images.device) for hit in struck)
        if self._exact:
            change.order = draw(4, "order").argsort(dim=1)
        return change

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every view in use with its options as they are, for people."""
        return {name: {**asdict(made), "size": self.size(name)} for name, made in self.augmentations.items()}

    @classmethod
    def lost(cls, name: str, options: Mapping[str, Any]) -> dict[str, str]:
        """What a view of these options tells nothing of, with the option that takes it."""
        made = replace(AUGMENTATIONS[name], **components.checked(f"view {name}", Augmentation, options))
        taken = [("up", "flip_vertical", made.flip_vertical > 0), ("up", "turn", made.turn > 0)]
        taken.append(("color", "grey", made.grey == 1))
        return {what: option for what, option, gone in taken if gone}


def _parts(images: Tensor, views: Sequence[Tensor]) -> Iterator[slice]:
    """Rows to work on at a time: all, but on a CPU no more than its cache holds."""
    rows = len(images)
    if images.device.type == "cpu":
        largest = max(math.prod(stage.shape[1:]) for stage in (images, *views))
        rows = max(FEWEST, CACHED * torch.get_num_threads() // largest)
    for start in range(0, len(images), rows):
        yield slice(start, min(start + rows, len(images)))


def _between(draw: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Draws in [-1, 1) moved to [low, high)."""
    return low + (draw + 1) / 2 * (high - low)


def _turn(change: Change, chosen: Augmentation) -> None:
    """Mirror top and bottom, and turn what was mirrored; drawn on the host, only where a view may have it."""
    device, count = change.flip.device, len(change.flip)
    if chosen.flip_vertical > 0:
        change.upset = randomness.uniform((count, 1), "upset", device)[:, 0] < chosen.flip_vertical
    if chosen.turn > 0:
        drawn = randomness.uniform((count, 1), "turn")[:, 0]
        quarters = torch.where(drawn < chosen.turn, 1 + (3 * drawn / chosen.turn).long().clamp(max=2), 0)
        # A quarter turn is a mirroring and a transposition, half a turn both mirrorings.
        across, down, odd = (torch.isin(quarters, torch.tensor(of)) for of in ((1, 2), (2, 3), (1, 3)))
        change.flip = change.flip ^ moved(across, device)
        upset = moved(down, device)
        change.upset = upset if change.upset is None else change.upset ^ upset
        change.transpose, change.transposed = moved(odd, device), None
        if device.type != "cpu":
            change.transposed = moved(odd.nonzero().squeeze(1), device)


def _unchanged(box: Tensor) -> Change:
    count = len(box)
    ones, zeros = box.new_ones(count), box.new_zeros(count)
    no = torch.zeros(count, dtype=torch.bool, device=box.device)
    return Change(box, no, ones, ones, ones, zeros, no, zeros, no)


def centred_box(canvas: Sequence[int], aspect: Tensor, size: tuple[int, int]) -> Tensor:
    """The largest centred boxes (B, 4) that have the view's shape in true geometry."""
    height, width = canvas
    wanted = size[1] / size[0]
    # In true geometry the image is `aspect` wide and 1 high.
    wide = torch.clamp(wanted / aspect, max=1.0)  # share of the width
    high = torch.clamp(aspect / wanted, max=1.0)  # share of the height
    return torch.stack([(1 - high) / 2 * height, (1 - wide) / 2 * width, high * height, wide * width], dim=1)


def random_boxes(
    draws: Tensor,
    canvas: Sequence[int],
    aspect: Tensor,
    area: tuple[float, float],
    ratios: tuple[float, float] = RATIO,
) -> Tensor:
    """Random boxes (B, 4) as of a random resized crop, in true geometry mapped to the canvas.

    draws: (B, 2 TRIES + 2) in [0, 1). The first of TRIES boxes that fits is taken, else the largest one within the
    `ratios` of width to height (torchvision's RandomResizedCrop, without rounding to whole pixels, and with a random
    place for that largest box, so that a panorama is not always cut at its centre).
    """
    height, width = canvas
    share = area[0] + draws[:, :TRIES] * (area[1] - area[0])
    low, high = math.log(ratios[0]), math.log(ratios[1])
    ratio = torch.exp(low + draws[:, TRIES : 2 * TRIES] * (high - low))
    # Shares of the true width and height: their product is the area's share, their true quotient the ratio.
    wide = torch.sqrt(share * ratio / aspect[:, None])
    tall = torch.sqrt(share / ratio * aspect[:, None])
    fits = (wide <= 1) & (tall <= 1)
    first = fits.float().argmax(dim=1, keepdim=True)
    wide, tall = wide.gather(1, first)[:, 0], tall.gather(1, first)[:, 0]
    bounded = aspect.clamp(*ratios)
    none = ~fits.any(dim=1)
    wide = torch.where(none, torch.clamp(bounded / aspect, max=1.0), wide)
    tall = torch.where(none, torch.clamp(aspect / bounded, max=1.0), tall)
    top, left = draws[:, -2] * (1 - tall) * height, draws[:, -1] * (1 - wide) * width
    return torch.stack([top, left, tall * height, wide * width], dim=1)
