"""Places along one axis, such as time: series read at other places than their points, and at another pace."""

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.system import randomness

KNOTS = 4  # between which warps are straight (Um et al., 2017, section 3.2)
SEEN = 0.5  # of a point between two others, the weight of what was seen, from which it was seen as well


def middles(points: int, device: torch.device) -> Tensor:
    """Where each point is (points,), as a share of all of the time."""
    return (torch.arange(points, device=device) + 0.5) / points


def permuted(at: Tensor, order: Tensor) -> Tensor:
    """Places (B, points) in [0, 1] whose segments of one length stand in an order (B, segments)."""
    segments = order.shape[1]
    place = at * segments
    which = place.long().clamp(max=segments - 1)
    return (order.gather(1, which) + place - which) / segments


def warped(at: Tensor, deviation: float) -> Tensor:
    """Places (B, points) in [0, 1] read at a pace that changes, from the same beginning to the same end.

    deviation: of the logarithm of the pace.
    """
    pace = (deviation * randomness.normal((len(at), KNOTS), "time warp", at.device)).exp()
    fine = between(pace[:, None], at.shape[1])[:, 0]
    passed = fine.cumsum(dim=1) - fine / 2
    return interpolated(passed[:, None] / fine.sum(dim=1)[:, None, None], at * at.shape[1] - 0.5)[:, 0]


def between(knots: Tensor, points: int) -> Tensor:
    """Straight lines (B, C, points) between knots (B, C, K)."""
    return F.interpolate(knots, points, mode="linear", align_corners=True)


def interpolated(values: Tensor, places: Tensor) -> Tensor:
    """Values (B, C, T) between points, at places (B, P) in points."""
    places = places.clamp(0, values.shape[2] - 1)
    left = places.long().clamp(max=values.shape[2] - 2)
    part = (places - left).to(values.dtype)[:, None]
    first, second = (values.gather(2, at[:, None].expand(-1, values.shape[1], -1)) for at in (left, left + 1))
    return first + part * (second - first)


def read(values: Tensor, seen: list[Tensor], places: Tensor) -> list[Tensor]:
    """Values, and what was seen if that is known, at places (B, points); what was not seen has no weight."""
    values = interpolated(values, places)
    if not seen:
        return [values]
    weight = interpolated(seen[0], places)
    there = (weight >= SEEN).to(values.dtype)
    return [there * values / weight.clamp(min=SEEN), there]
