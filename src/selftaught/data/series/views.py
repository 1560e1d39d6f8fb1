"""The shared vocabulary of views, as series understand it: other amplitudes, another pace, a part of the time."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from selftaught.data import views
from selftaught.system import bounds, randomness, timeline

Deviation = Annotated[float, Field(ge=0, le=1e3, description="a deviation, 0 or more")]
Warp = Annotated[float, Field(ge=0, le=5, description="a deviation from 0 to 5")]
Pieces = Annotated[int, Field(ge=1, le=1 << 10, description="a number of segments, 1 or more")]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How one kind of view is made; every field is an option, such as --views.strong.jitter 0.2.

    The first five are those of Um et al. (1706.00527, section 3.2); masks in frequency are those of Zhang et al. (TF-C,
    2206.08496, section 4.2).
    """

    jitter: Deviation = 0.0  # of noise on each value, in deviations of its channel
    scaling: Deviation = 0.0  # of a factor for each channel round 1
    magnitude_warp: Deviation = 0.0  # of a factor that changes over time
    time_warp: Warp = 0.0  # of the logarithm of the pace, which changes over time
    segments: Pieces = 1  # that change places
    crop: bounds.ShareAboveZero = 1.0  # the least share of the time that is shown, stretched to all of it
    drop: bounds.Share = 0.0  # the probability of each channel to be left out, but never all of them
    frequency: bounds.Share = 0.0  # the share of frequencies that are taken out


COMMON = Augmentation(jitter=0.1, scaling=0.2, magnitude_warp=0.1, time_warp=0.1)
# Segments keep their order by default, which often is what matters.
AUGMENTATIONS = {
    "light": Augmentation(jitter=0.05, scaling=0.05, crop=0.9),
    "strong": replace(COMMON, crop=0.5, drop=0.1, frequency=0.1),
    "strong_other": replace(COMMON, jitter=0.2, magnitude_warp=0.2, time_warp=0.2, crop=0.5, drop=0.2, frequency=0.1),
    "global": replace(COMMON, crop=0.6, drop=0.1),
    "local": replace(COMMON, crop=0.2, drop=0.2),
}


class Views(views.SingleViews):
    """Makes views of series."""

    AUGMENTATIONS = AUGMENTATIONS

    def made(self, name: str, *raw: Tensor) -> Tensor:
        """Series (B, channels, points) of this view: what was not seen stays zero, and is moved with what was."""
        (x,) = raw
        if name == "plain":
            return x
        chosen = self.augmentations[name]
        values, *seen = x.split(len(self.preparation.names), dim=1)
        places = _places(len(x), x.shape[2], chosen, x.device)
        if places is not None:
            values, *seen = timeline.read(values, seen, places)
        values = _amplified(values, chosen)
        values, *seen = _dropped(values, seen, chosen.drop)
        return torch.cat([values * seen[0], *seen], dim=1) if seen else values


def _places(count: int, points: int, chosen: Augmentation, device: torch.device) -> Tensor | None:
    """Where each point of a view is read from (B, points), in points; None where all stay in place."""
    if chosen.crop == 1 and chosen.segments == 1 and not chosen.time_warp:
        return None
    at = timeline.middles(points, device).expand(count, -1)
    if chosen.segments > 1:
        draws = randomness.uniform((count, chosen.segments), "segments", device)
        at = timeline.permuted(at, draws.argsort(dim=1))
    if chosen.time_warp:
        at = timeline.warped(at, chosen.time_warp)
    if chosen.crop < 1:
        share, start = randomness.uniform((count, 2), "crop", device).unbind(1)
        share = chosen.crop + (1 - chosen.crop) * share
        at = (start * (1 - share))[:, None] + share[:, None] * at
    return at * points - 0.5


def _amplified(values: Tensor, chosen: Augmentation) -> Tensor:
    """Series with noise, other amplitudes and fewer frequencies."""
    count, channels, points = values.shape
    if chosen.frequency:
        values = _filtered(values, chosen.frequency)
    if chosen.scaling:
        values = values * (1 + chosen.scaling * randomness.normal((count, channels, 1), "scaling", values.device))
    if chosen.magnitude_warp:
        knots = randomness.normal((count, channels, timeline.KNOTS), "magnitude warp", values.device)
        values = values * (1 + chosen.magnitude_warp * timeline.between(knots, points))
    if chosen.jitter:
        values = values + chosen.jitter * randomness.normal(values.shape, "jitter", values.device)
    return values


def _filtered(values: Tensor, share: float) -> Tensor:
    """Series without this share of their frequencies, the mean being none of them; a gap counts as the mean."""
    waves = torch.fft.rfft(values, dim=2)
    out = randomness.uniform((len(values), 1, waves.shape[2]), "frequency", values.device) < share
    out[..., 0] = False
    return torch.fft.irfft(waves.masked_fill(out, 0), n=values.shape[2], dim=2)


def _dropped(values: Tensor, seen: list[Tensor], probability: float) -> list[Tensor]:
    """Series of which some channels are as if nobody had seen them."""
    if not probability or values.shape[1] == 1:
        return [values, *seen]
    left_out = randomness.uniform((len(values), values.shape[1], 1), "drop", values.device) < probability
    kept = (~left_out | left_out.all(dim=1, keepdim=True)).to(values.dtype)
    return [part * kept for part in (values, *seen)]
