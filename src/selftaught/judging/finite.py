"""Whether what networks make of samples is finite: from what is not, nothing can be learnt and nothing be told."""

import torch
from torch import Tensor

from selftaught.contracts.samples import Samples
from selftaught.system.errors import DataError
from selftaught.system.text import printable


def refuse_infinite(made: Tensor, samples: Samples, start: int, what: str = "the features") -> None:
    """Raise DataError, which names the first, where `made` (B, ...) of the samples from `start` on is not finite."""
    fine = torch.isfinite(made).flatten(1).all(dim=1)
    if not fine.all():
        key = printable(samples.keys[start + int(fine.int().argmin())])
        raise DataError(f"{what} of {key} are not finite: the run may have diverged, or holds odd values")
