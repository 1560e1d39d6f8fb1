"""Series (B, C, T) whose channels may say what was seen: where each of them ends, and what is done to its time."""

import torch
from torch import Tensor

from selftaught.contracts.method import Data
from selftaught.system import randomness, timeline


def parted(x: Tensor, data: Data) -> list[Tensor]:
    """Values, and what was seen of them where that is known: (B, C, T) each."""
    return list(x.chunk(2, dim=1)) if data.masked else [x]


def lengths(x: Tensor, data: Data) -> Tensor:
    """How many points each series has (B, 1): those up to the last one that was seen of any channel."""
    points = x.shape[2]
    if not data.masked:
        return torch.full((len(x), 1), points, device=x.device)
    seen = parted(x, data)[1].any(dim=1)
    return (seen * torch.arange(1, points + 1, device=x.device)).amax(dim=1, keepdim=True).clamp(min=1)


def stretched(x: Tensor, data: Data) -> Tensor:
    """Series that end before the others as long as these: where they end would tell what is asked."""
    if not data.masked:
        return x
    at = timeline.middles(x.shape[2], x.device).expand(len(x), -1)
    values, *seen = parted(x, data)
    return torch.cat(timeline.read(values, seen, at * lengths(x, data) - 0.5), dim=1)


def turned_back(x: Tensor, data: Data) -> Tensor:
    """Series from their last point to the first; what lies behind their end stays there."""
    count, place, _ = _own_time(x, data)
    return _taken(x, torch.where(place < count, count - 1 - place, place))


def shuffled(x: Tensor, data: Data, segments: int) -> Tensor:
    """Series whose segments of one length stand in another order, drawn for each; never all in their own."""
    order = randomness.uniform((len(x), segments), "segments", x.device).argsort(dim=1)
    own = (order == torch.arange(segments, device=x.device)).all(dim=1, keepdim=True)
    order = torch.where(own, order.roll(1, dims=1), order)
    count, place, at = _own_time(x, data)
    moved = (timeline.permuted(at, order) * count).long().clamp(min=0)
    return _taken(x, torch.where(place < count, torch.minimum(moved, count - 1), place))


def warped(x: Tensor, data: Data, deviation: float) -> Tensor:
    """Series at a pace that changes, `deviation` being that of its logarithm, from their beginning to their end."""
    count, place, at = _own_time(x, data)
    values, *seen = parted(x, data)
    moved = (timeline.warped(at, deviation) * count - 0.5).clamp(min=0)
    moved = torch.where(place < count, torch.minimum(moved, count - 1.0), place.to(moved.dtype))
    return torch.cat(timeline.read(values, seen, moved), dim=1)


def _own_time(x: Tensor, data: Data) -> tuple[Tensor, Tensor, Tensor]:
    """Of each series its points (B, 1), the number of each (B, T), and that as a share of its own time (B, T)."""
    count, place = lengths(x, data), torch.arange(x.shape[2], device=x.device).expand(len(x), -1)
    return count, place, ((place + 0.5) / count).clamp(max=1.0)


def _taken(x: Tensor, places: Tensor) -> Tensor:
    """Points (B, T) of all channels."""
    return x.gather(2, places[:, None].expand_as(x))
