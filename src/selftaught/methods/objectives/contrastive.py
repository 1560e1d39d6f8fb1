"""Objectives with negatives: tell the other view of a sample from everybody else."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
from selftaught.methods.objectives.similarity import log_sum_exp, log_sum_exp_within
from selftaught.system import distributed


@objective
def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Find each view's other view among all views on all processes (a, b: B x D).

    The normalised temperature-scaled cross entropy of SimCLR (2002.05709, equation 1), a mean over the 2B views.
    """
    views, everyone, own = _everyone(a, b)
    agreement = (views * views.roll(len(a), 0)).sum(dim=1) / temperature
    return (_against(views, everyone, temperature, own[:, None]) - agreement).mean()


@objective
def dcl(a: Tensor, b: Tensor, temperature: float, sigma: float | None = None) -> Tensor:
    """NT-Xent whose denominator leaves the positive out, so that easy pairs keep teaching (a, b: B x D).

    Decoupled contrastive learning (2110.06848, equation 5), a mean over the 2B views; `sigma` weighs positives by a
    negative von Mises-Fisher kernel (equation 6), which asks more of pairs that are far apart.
    """
    views, everyone, own = _everyone(a, b)
    cosine = (views * views.roll(len(a), 0)).sum(dim=1)
    weight: Tensor | float = 1.0
    if sigma is not None:
        # A constant for the gradient, or pairs would be pushed apart to weigh more. Only ratios count: the largest
        # cosine is taken off, so that exp cannot overflow.
        fixed = cosine.detach()
        kernel = ((fixed - distributed.gather(fixed.amax()[None]).amax()) / sigma).exp()
        weight = 2 - kernel / (distributed.total(kernel.mean()) / distributed.world_size())
    pair = torch.stack([own, own.roll(len(a))], dim=1)
    return (_against(views, everyone, temperature, pair) - weight * cosine / temperature).mean()


def _everyone(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both views here (2B, D) at unit length, those of all processes, and where among them each of these stands."""
    views = F.normalize(torch.cat([a, b]), dim=1)
    own = torch.arange(len(views), device=views.device) + distributed.rank() * len(views)
    return views, distributed.gather(views), own


def _against(views: Tensor, everyone: Tensor, temperature: float, skip: Tensor) -> Tensor:
    """log of the sum over everyone, but for those to skip."""
    if distributed.world_size() == 1:
        # Alone, a batch is compared with itself, which is symmetric: half the work.
        return log_sum_exp_within(views, 1 / temperature, skip)
    return log_sum_exp(views, everyone, 1 / temperature, skip)


@objective
def info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Find each query's own key among the keys of all processes (B x D each).

    CPC's InfoNCE (1807.03748, equation 4) on unit vectors, as in MoCo v3 (2104.02057, algorithm 1) and NNCLR
    (2104.14548, equation 3).
    """
    queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
    agreement = (queries * keys).sum(dim=1) / temperature
    return (log_sum_exp(queries, distributed.gather(keys), 1 / temperature) - agreement).mean()


@objective
def info_nce_with_queue(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Find each query's own key beside all of a queue (queries, keys: B x D; queue: K x D of unit length).

    MoCo (1911.05722, equation 1).
    """
    queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
    agreement = (queries * keys).sum(dim=1) / temperature
    others = log_sum_exp(queries, queue.to(queries.dtype), 1 / temperature)
    # The positive joins the sum here: it is no row of the queue.
    return (torch.logaddexp(others, agreement) - agreement).mean()


@objective
def noise_contrastive(scores: Tensor, noise: Tensor, expected: float) -> Tensor:
    """Tell a sample's own score from those of noise (scores: B, noise: B x m), a mean over the B samples.

    Scores are logarithms of probabilities; `expected` is how many of the m are expected at each sample under the
    noise alone, m / n for n samples. Instance discrimination (1805.01978, equations 5 to 7).
    """
    # P / (P + m / n) is a sigmoid of log P - log m / n, whose logarithm softplus gives without overflow.
    floor = math.log(expected)
    return (F.softplus(floor - scores) + F.softplus(noise - floor).sum(dim=1)).mean()


@objective
def told_apart(own: Tensor, others: Tensor, temperature: float) -> Tensor:
    """Noise contrastive estimation of one positive cosine (B,) beside negative ones (B x m), a mean over B.

    PIRL (1912.01991, equations 3 and 4): every probability is a share of the sum with all negatives.
    """
    own, others = own / temperature, others / temperature
    rest = others.logsumexp(dim=1)
    positive = F.softplus(rest - own)  # -log of own / (own + rest)
    # -log(1 - other / (other + rest)) = log(1 + other / rest)
    return (positive + F.softplus(others - rest[:, None]).sum(dim=1)).mean()


@objective
def margin_contrastive(a: Tensor, b: Tensor, margin: float) -> Tensor:
    """Squared distance of pairs, and how far other samples are within `margin` (a, b: B x D), half of each.

    Hadsell, Chopra and LeCun (2006, equation 4), with the mean over similar and over dissimilar pairs in place of
    their sum, since a batch holds B - 1 times as many of the latter.
    """
    everyone, own = distributed.gather(b), torch.arange(len(a), device=a.device)
    similar = (a - b).square().sum(dim=1).mean() / 2
    distance = _distances(a, everyone)
    apart = F.relu(margin - distance).square() / 2
    # Its own other view stands among everyone's, and is no dissimilar pair.
    other = torch.ones_like(apart).index_put((own, own + distributed.rank() * len(a)), apart.new_zeros(()))
    return similar + (apart * other).sum() / other.sum()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (N, M), with a finite slope where they are zero."""
    # By one product of matrices, rounded: what comes out below zero, or at the root's infinite slope, is lifted.
    squares = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1) - 2 * a @ b.T
    return squares.clamp(min=1e-12).sqrt()


@objective
def semi_hard_triplet(a: Tensor, b: Tensor, margin: float) -> Tensor:
    """How far each view is not nearer to its other view than to a semi-hard negative by `margin` (a, b: B x D).

    FaceNet (1503.03832, sections 3.1 and 3.2), squared distances of unit vectors: the negative is the nearest of
    those farther than the positive, among all views on all processes, or, as in TensorFlow Addons, the farthest where
    there is none.
    """
    views, everyone, own = _everyone(a, b)
    with torch.no_grad():
        # The choice has no gradient; what it chose is measured again below, with one.
        distances = 2 - 2 * views @ everyone.T
        pair = own.roll(len(a))
        positive = distances.gather(1, pair[:, None])
        mine = torch.stack([own, pair], dim=1)
        harder = distances.masked_fill(distances <= positive, torch.inf).scatter(1, mine, torch.inf)
        easiest = distances.scatter(1, mine, -torch.inf).argmax(dim=1)
        chosen = torch.where(harder.amin(dim=1).isfinite(), harder.argmin(dim=1), easiest)
    near = (views - everyone[pair]).square().sum(dim=1)
    far = (views - everyone[chosen]).square().sum(dim=1)
    return F.relu(near - far + margin).mean()


@objective
def alignment_loss(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Mean distance of paired unit vectors to the power `alpha` (a, b: B x D).

    Wang and Isola (2005.10242, section 4).
    """
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    # The least keeps the slope of powers below 2 finite where both views meet.
    return (a - b).square().sum(dim=1).clamp(min=1e-24).pow(alpha / 2).mean()


@objective
def uniformity_loss(x: Tensor, t: float) -> Tensor:
    """log of the mean over pairs of exp(-t squared distance) of unit vectors (B x D, all processes).

    Wang and Isola (2005.10242, section 4).
    """
    x = F.normalize(x, dim=1)
    everyone, count = distributed.gather(x), len(x) * distributed.world_size()
    own = torch.arange(len(x), device=x.device) + distributed.rank() * len(x)
    # Of unit vectors -t d^2 is 2 t cos - 2 t, so that the sum is one of a similarity matrix: here of its own rows.
    sums = log_sum_exp(x, everyone, 2 * t, own[:, None]).logsumexp(dim=0)
    return distributed.gather(sums[None]).logsumexp(dim=0) - 2 * t - math.log(count * (count - 1))
