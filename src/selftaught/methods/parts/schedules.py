"""Values that change over training, as functions of `progress`, which runs from 0 to 1."""

import math
from collections.abc import Sequence


def cosine(start: float, end: float, progress: float) -> float:
    """Ease from `start` to `end` along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def linear(start: float, end: float, progress: float) -> float:
    """Go from `start` to `end` along a line, and stay there."""
    return start + (end - start) * min(progress, 1.0)


def saturating(progress: float) -> float:
    """Rise from 0 to nearly 1, most of it in the first third (Ganin et al., 1505.07818)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def warmup_cosine(progress: float, warmup: float, final: float) -> float:
    """Rise linearly from 0 to 1 during the first `warmup` of training, then ease down to `final`."""
    if progress < warmup:
        return progress / warmup
    return cosine(1.0, final, (progress - warmup) / max(1.0 - warmup, 1e-12))


def warmup_drops(progress: float, warmup: float, drops: Sequence[float], drop: float) -> float:
    """Rise linearly from 0 to 1 during the first `warmup` of training, then fall to `drop` of it at each of `drops`."""
    if progress < warmup:
        return progress / warmup
    return drop ** sum(progress > at for at in drops)
