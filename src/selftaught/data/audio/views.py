"""The shared vocabulary of views, as sound understands it: another moment, another loudness, something beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from selftaught.data import views
from selftaught.data.audio.preparation import Preparation
from selftaught.data.views import FIXED
from selftaught.system import bounds, randomness

Decibels = Annotated[float, Field(ge=0, le=100, description="decibels, 0 or more")]
Masks = Annotated[int, bounds.whole(0, 64, "masks")]
Side = Annotated[float, Field(gt=0, le=4, description="a share of --size, such as 0.5")]
Shares = Annotated[
    tuple[bounds.ShareAboveZero, bounds.ShareAboveZero], bounds.Rising, bounds.words("two shares, such as 0.6,1")
]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How one kind of view is made; every field is an option, such as --views.strong.mix 0.2.

    Crops and mixing are those of BYOL-A (2103.06695, sections 3.2 and 3.3), masks those of SpecAugment (1904.08779,
    section 2).
    """

    time: bounds.Ratios = (1.0, 1.0)  # of what is shown to the length of a view; more is quicker, less is slower
    frequency: Shares = (1.0, 1.0)  # the share of the mels that is shown, stretched to all of them
    mix: bounds.BelowOne = 0.0  # the most of another clip's power that is heard behind
    gain: Decibels = 0.0  # at most, up or down
    time_masks: Masks = 0
    time_mask: bounds.Share = 0.2  # of the frames, the most that one hides
    frequency_masks: Masks = 0
    frequency_mask: bounds.Share = 0.2  # of the mels, likewise
    scale: Side = 1.0  # side of the view


COMMON = Augmentation(time=(0.6, 1.5), frequency=(0.6, 1.0), mix=0.4, gain=6.0)
AUGMENTATIONS = {
    "light": Augmentation(gain=3.0),
    "strong": COMMON,
    "strong_other": replace(COMMON, time_masks=1, frequency_masks=1),
    "global": replace(COMMON, time=(0.8, 1.5)),
    "local": replace(COMMON, time=(0.6, 1.2), scale=0.5),
}


class Views(views.SingleViews):
    """Makes views (B, 1, mels, frames) of clips.

    The clips are stretches of `frames`, all of which go to the device that views are made on: so any of them can be
    heard behind any other, whichever process has it.
    """

    AUGMENTATIONS = AUGMENTATIONS

    def __init__(
        self,
        names: Sequence[str],
        preparation: Preparation,
        frames: Tensor,
        stretches: Tensor,
        *,
        patch: int = 1,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """frames: (frames of all clips, mels) in dB; stretches: (N, 2) first frame and number of each clip."""
        super().__init__(names, preparation, options)
        self.patch, self.frames, self.stretches = patch, frames, stretches

    def size(self, name: str) -> tuple[int, int]:
        """(mels, frames) of a view; a scaled one is a multiple of the encoder's patch."""
        whole: tuple[int, int] = self.preparation.size
        scale = 1.0 if name in FIXED else self.augmentations[name].scale
        if scale == 1.0:
            return whole
        mels, frames = (max(1, round(side * scale / self.patch)) * self.patch for side in whole)
        return mels, frames

    def made(self, name: str, *raw: Tensor) -> Tensor:
        (own,) = raw
        if self.frames.device != own.device:
            self.frames, self.stretches = self.frames.to(own.device), self.stretches.to(own.device)
        if name == "plain":
            first = (own[:, 1] - self.preparation.size[1]).div(2, rounding_mode="floor")
            return self._finished(self._read(own, first[:, None] + torch.arange(self.size(name)[1], device=own.device)))
        chosen = self.augmentations[name]
        levels = self._cropped(own, chosen, self.size(name), "")
        if chosen.mix:
            levels = self._mixed(levels, chosen, self.size(name))
        if chosen.gain:
            gain = chosen.gain * (2 * randomness.uniform((len(own), 1, 1), "gain", own.device) - 1)
            levels = levels + gain * (levels > self.preparation.low)  # silence stays what it is
        made = self._finished(levels)
        made = _masked(made, chosen.frequency_masks, chosen.frequency_mask, 2)
        return _masked(made, chosen.time_masks, chosen.time_mask, 3)

    def _finished(self, levels: Tensor) -> Tensor:
        """Levels (B, mels, frames) in dB as network input."""
        made: Tensor = self.preparation.normalised(self.preparation.unit(levels))[:, None]
        return made.contiguous()

    def _read(self, own: Tensor, at: Tensor) -> Tensor:
        """Levels (B, mels, P) of whole frames `at` (B, P) of each stretch (B, 2); silence where there is none."""
        there = (at >= 0) & (at < own[:, 1:])
        held = self.frames[torch.where(there, own[:, :1] + at, own[:, :1])].float()
        return torch.where(there[..., None], held.clamp(min=self.preparation.low), self.preparation.low).mT

    def _cropped(self, own: Tensor, chosen: Augmentation, size: tuple[int, int], whose: str) -> Tensor:
        """Levels (B, *size) of a part of each stretch (B, 2), at another pace."""
        mels, frames = size
        device, whole = own.device, self.preparation.size
        draws = randomness.uniform((len(own), 4), f"{whose}crop", device)
        span = whole[1] * _between(draws[:, 0], chosen.time)  # frames of the clip that are shown
        first = (draws[:, 1] * (own[:, 1] - span)).round()  # anywhere in the clip, or what is shorter in silence
        at = first[:, None] + span[:, None] * (torch.arange(frames, device=device) + 0.5) / frames - 0.5
        left = at.floor()
        levels = torch.lerp(self._read(own, left.long()), self._read(own, left.long() + 1), (at - left)[:, None])
        if chosen.frequency == (1.0, 1.0) and mels == whole[0]:
            return levels
        share = _between(draws[:, 2], chosen.frequency)
        low = draws[:, 3] * (1 - share)
        middles = (torch.arange(mels, device=device) + 0.5) / mels
        return _between_rows(levels, whole[0] * (low[:, None] + share[:, None] * middles) - 0.5)

    def _mixed(self, levels: Tensor, chosen: Augmentation, size: tuple[int, int]) -> Tensor:
        """With another clip of all there are behind each, in power."""
        device = levels.device
        donor = randomness.integers(len(self.stretches), (len(levels),), "donor", device)
        behind = self._cropped(self.stretches[donor], chosen, size, "behind ")
        part = chosen.mix * randomness.uniform((len(levels), 1, 1), "mix", device)
        power = (1 - part) * 10 ** (levels / 10) + part * 10 ** (behind / 10)
        return 10 * power.log10()


def _between(draw: Tensor, ends: tuple[float, float]) -> Tensor:
    return ends[0] + draw * (ends[1] - ends[0])


def _between_rows(levels: Tensor, at: Tensor) -> Tensor:
    """Levels (B, mels, frames) between mels, at places (B, M) in mels."""
    at = at.clamp(0, levels.shape[1] - 1)
    low = at.long().clamp(max=levels.shape[1] - 2)
    one, two = (levels.gather(1, place[..., None].expand(-1, -1, levels.shape[2])) for place in (low, low + 1))
    return torch.lerp(one, two, (at - low)[..., None])


def _masked(made: Tensor, count: int, widest: float, axis: int) -> Tensor:
    """Views (B, 1, mels, frames) with so many stretches of an axis at the mean of all sound, which is 0."""
    length, batch = made.shape[axis], made.shape[0]
    if not count or not widest:
        return made
    draws = randomness.uniform((batch, 2 * count), f"masks {axis}", made.device)
    wide = draws[:, :count] * widest * length
    first = (draws[:, count:] * (length - wide))[..., None]
    at = torch.arange(length, device=made.device)
    hidden = ((at >= first) & (at < first + wide[..., None])).any(dim=1)
    return made.masked_fill(hidden[:, None, None] if axis == 3 else hidden[:, None, :, None], 0.0)
