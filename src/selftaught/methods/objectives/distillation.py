"""Objectives with a teacher: say what the slow self says."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
from selftaught.system import distributed
from selftaught.system.devices import constant
from selftaught.system.precision import in_full_precision


@objective
def cosine_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean of 2 - 2 cos between paired rows (B x D): the squared distance of unit vectors.

    BYOL (2006.07733, equation 2).
    """
    return 2 - 2 * F.cosine_similarity(predicted, target, dim=1).mean()


@objective
def negative_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """Minus the mean cosine of paired rows (B x D). SimSiam (2011.10566, equation 1)."""
    return -F.cosine_similarity(predicted, target, dim=1).mean()


@torch.no_grad()
@objective
def sharpened(scores: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """A teacher's answer: scores (..., K) less their `centre` (K,), made sharp by a low temperature.

    DINO (2104.14294, section 3.1).
    """
    return F.softmax((scores - centre) / temperature, dim=-1)


@objective
def distilled(target: Tensor, scores: Tensor, temperature: float) -> Tensor:
    """Cross entropy (...,) of a student's scores (..., K) with a teacher's answer (..., K). DINO (equation 2)."""
    return -(target * F.log_softmax(scores / temperature, dim=-1)).sum(dim=-1)


def across_views(answers: Sequence[Tensor], said: Sequence[Tensor], temperature: float) -> Tensor:
    """Mean cross entropy of what a student `said` of every view with the `answers` (each B x K) to the first ones."""
    # Never a view with itself: agreeing there asks for no knowledge of the sample.
    pairs = [(a, b) for a in range(len(answers)) for b in range(len(said)) if a != b]
    return torch.stack([distilled(answers[a], said[b], temperature).mean() for a, b in pairs]).mean()


def within_views(losses: Tensor, hidden: Tensor, places: Tensor) -> Tensor:
    """Mean over views of the mean loss at their hidden tokens (losses: M; hidden: B x N booleans, M of them true, at
    `places` (M,) of all B N)."""
    # Every view counts alike, however much of it was hidden, as in iBOT.
    share = (hidden / hidden.sum(dim=1, keepdim=True).clamp(min=1)).flatten()[places]  # of its view
    return (losses * share).sum() / len(hidden)


@objective
def views_apart(answers: Tensor, said: Tensor) -> Tensor:
    """Half the mean squared distance, as unit vectors, of what a student `said` (V x B x D) of every view and the
    `answers` (A x B x D) to the first ones, never of a view and itself. SimDINO (2502.10385)."""
    cosines = torch.einsum("abd,vbd->av", F.normalize(answers, dim=2), F.normalize(said, dim=2)) / answers.shape[1]
    others = tuple(place for place in range(cosines.numel()) if place // cosines.shape[1] != place % cosines.shape[1])
    return 1 - cosines.flatten()[constant(others, cosines, torch.long)].mean()


@objective
def half_distance(a: Tensor, b: Tensor) -> Tensor:
    """Half the squared distance (M,) of paired rows (M x D) as unit vectors."""
    return 1 - F.cosine_similarity(a, b, dim=1)


@torch.no_grad()
@in_full_precision
def moved_centre(centre: Tensor, scores: Tensor, momentum: float) -> Tensor:
    """The running mean (K,) of a teacher's scores (N, K) over all processes. DINO (equation 4)."""
    # Sums and counts apart: processes may hold different numbers of scores, or none.
    total = distributed.total(scores.sum(dim=0))
    count = distributed.total(scores.new_full((), float(len(scores))))
    return torch.where(count > 0, momentum * centre + (1 - momentum) * total / count.clamp(min=1), centre)
