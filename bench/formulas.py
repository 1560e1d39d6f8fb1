"""Objectives and masks as the papers or their authors' code have them, written out anew in plain torch and NumPy.

Whole matrices and loops, no regard for memory or for other processes: what bench/faithful.py holds ours to.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def shares(scores: Tensor, temperature: float) -> Tensor:
    e = (scores / temperature).exp()
    return e / e.sum(dim=-1, keepdim=True)


def nt_xent(a: Tensor, b: Tensor, t: float = 0.5, decoupled: bool = False, sigma: float | None = None) -> Tensor:
    """SimCLR, equation 1; DCL, equations 5 and 6."""
    z, n = unit(torch.cat([a, b])), len(a)
    cosine, total = z @ z.T, torch.zeros(())
    kernel = (torch.stack([cosine[i, (i + n) % (2 * n)] for i in range(2 * n)]).detach() / (sigma or 1.0)).exp()
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        rest = [k for k in range(2 * n) if k != i and not (decoupled and k == j)]
        weight = 2 - kernel[i] / kernel.mean() if sigma else 1.0
        total = total - weight * cosine[i, j] / t + (cosine[i, rest] / t).exp().sum().log()
    return total / (2 * n)


def ctr(q: Tensor, k: Tensor, t: float = 0.2) -> Tensor:
    """MoCo v3, algorithm 1, before its factor of 2 t."""
    e = (unit(q) @ unit(k).T / t).exp()
    return -(e.diagonal() / e.sum(dim=1)).log().mean()


def with_queue(q: Tensor, k: Tensor, queue: Tensor, t: float = 0.2) -> Tensor:
    """MoCo, equation 1."""
    own = ((unit(q) * unit(k)).sum(dim=1) / t).exp()
    return -(own / (own + (unit(q) @ unit(queue.detach()).T / t).exp().sum(dim=1))).log().mean()


def nce(own: Tensor, noise: Tensor, expected: float = 0.5) -> Tensor:
    """Instance discrimination, equations 5 to 7, of probabilities exp(score)."""
    h = own.exp() / (own.exp() + expected)
    g = noise.exp() / (noise.exp() + expected)
    return -(h.log().mean() + (1 - g).log().sum(dim=1).mean())


def pirl(own: Tensor, others: Tensor, t: float = 0.07) -> Tensor:
    """PIRL, equations 3 and 4."""
    o, e = (own / t).exp(), (others / t).exp()
    h = o / (o + e.sum(dim=1))
    g = e / (e + e.sum(dim=1, keepdim=True))
    return -(h.log() + (1 - g).log().sum(dim=1)).mean()


def uniformity(x: Tensor, t: float = 2.0) -> Tensor:
    """Wang and Isola: over pairs of different samples."""
    return torch.pdist(unit(x)).square().mul(-t).exp().mean().log()


def triplet(a: Tensor, b: Tensor, margin: float = 0.2) -> Tensor:
    """FaceNet: the nearest that is farther than the positive, or the farthest of all."""
    z, n = unit(torch.cat([a, b])), len(a)
    distance, total = (z[:, None] - z[None]).square().sum(dim=2), torch.zeros(())
    for i, far in enumerate(distance.tolist()):
        j = (i + n) % (2 * n)
        others = [k for k in range(2 * n) if k not in (i, j)]
        harder = [k for k in others if far[k] > far[j]]
        k = min(harder, key=far.__getitem__) if harder else max(others, key=far.__getitem__)
        total = total + (distance[i, j] - distance[i, k] + margin).clamp(min=0)
    return total / (2 * n)


def sinkhorn(scores: Tensor, epsilon: float = 0.05, rounds: int = 3) -> Tensor:
    """SwAV, listing 1."""
    q = (scores.detach() / epsilon).exp().T
    q = q / q.sum()
    for _ in range(rounds):
        q = q / q.sum(dim=1, keepdim=True) / q.shape[0]
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).T


def swav(a: Tensor, b: Tensor, t: float = 0.1, q: Callable[[Tensor], Tensor] = sinkhorn) -> Tensor:
    return -((q(a) * shares(b, t).log()).sum(dim=1).mean() + (q(b) * shares(a, t).log()).sum(dim=1).mean()) / 2


def dino(student: Tensor, teacher: Tensor, centre: Tensor) -> Tensor:
    """DINO, algorithm 1."""
    return -(shares(teacher.detach() - centre.detach(), 0.04) * shares(student, 0.1).log()).sum(dim=1).mean()


def koleo(x: Tensor) -> Tensor:
    """DINOv2: minus the mean log distance of unit vectors to the nearest other one."""
    x, total = unit(x), torch.zeros(())
    for i in range(len(x)):
        total = total - torch.stack([(x[i] - x[j]).norm() for j in range(len(x)) if j != i]).min().log()
    return total / len(x)


def sinkhorn_distilled(teacher: Tensor, student: Tensor) -> Tensor:
    """DINOv2: cross entropy of a student with what Sinkhorn makes of its teacher's scores, at 0.07."""
    return -(sinkhorn(teacher, 0.07) * shares(student, 0.1).log()).sum(dim=1).mean()


def simdino(a: Tensor, b: Tensor, epsilon: float = 0.05) -> Tensor:
    """SimDINO of one view and the teacher's of another, with the coding rate as its authors' code weighs it."""
    a, b = unit(a), unit(b.detach())
    (n, d), eye = a.shape, torch.eye(a.shape[1], dtype=a.dtype)
    rate = torch.linalg.slogdet(eye + d / (n * epsilon) * sum(torch.outer(x, x) for x in a))[1] / 2
    return (a - b).square().sum(dim=1).mean() / 2 - (n + d) / (n * d) * rate


def barlow(a: Tensor, b: Tensor, lambd: float = 0.005) -> Tensor:
    """Barlow Twins, equations 1 and 2, with batch norm's 1e-5."""
    a, b = ((x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + 1e-5).sqrt() for x in (a, b))
    c, eye = a.T @ b / len(a), torch.eye(a.shape[1], dtype=a.dtype)
    return ((c - eye) ** 2 * torch.where(eye > 0, 1.0, lambd)).sum()


def vicreg(a: Tensor, b: Tensor) -> Tensor:
    """VICReg, equations 1 to 6, with half the sum of variances, as in its authors' code."""
    total = 25 * ((a - b) ** 2).mean()
    for x in (a, b):
        x = x - x.mean(dim=0)
        c = x.T @ x / (len(x) - 1)
        total = total + 25 * (1 - (c.diagonal() + 1e-4).sqrt()).clamp(min=0).mean() / 2
        total = total + (c - c.diagonal().diag()).square().sum() / x.shape[1]
    return total


def whitened(x: Tensor, weight: Tensor, epsilon: float = 0.0) -> Tensor:
    """W-MSE, section 3: by the inverse of a Cholesky factor; some weighted sum of what comes out."""
    x = x - x.mean(dim=0)
    c = (1 - epsilon) * (x.T @ x) / (len(x) - 1) + epsilon * torch.eye(x.shape[1], dtype=x.dtype)
    return (x @ torch.linalg.inv(torch.linalg.cholesky(c)).T * weight.detach()).sum()


def sigreg(x: Tensor, directions: Tensor) -> Tensor:
    """LeJEPA, algorithm 1: 17 nodes from -5 to 5, by the trapezoid rule."""
    directions, nodes, total = directions.detach(), np.linspace(-5, 5, 17), torch.zeros(())
    for direction in directions.T:
        along = x @ (direction / direction.norm())
        gaps = []
        for node in nodes:
            normal = math.exp(-(node**2) / 2)
            real, imaginary = (node * along).cos().mean(), (node * along).sin().mean()
            gaps.append(((real - normal) ** 2 + imaginary**2) * normal)
        step = nodes[1] - nodes[0]
        total = total + len(x) * step * (sum(gaps) - (gaps[0] + gaps[-1]) / 2)
    return total / directions.shape[1]


def emp_ssl(z: Tensor, epsilon: float = 0.2) -> Tensor:
    """EMP-SSL's objective, with its authors' weight of 200, of patches (V x B x D); the mean one is not normalised."""
    z, (patches, count, dim) = unit(z), z.shape
    centre, total = z.sum(dim=0) / patches, torch.zeros(())
    for patch in z:
        cosine = sum(a @ b / (a.norm() * b.norm()) for a, b in zip(patch, centre)) / count
        gram = sum(torch.outer(a, a) for a in patch)
        rate = torch.logdet(torch.eye(dim, dtype=z.dtype) + dim / (count * epsilon) * gram) / 2
        total = total + 200 * (1 - cosine) - rate
    return total / patches


def frossl(a: Tensor, b: Tensor) -> Tensor:
    """FroSSL, as lightly has it: columns of length one, and the sum over views."""
    views = [x / x.norm(dim=0) for x in (a, b)]
    centre, total = sum(views) / 2, torch.zeros(())
    for x in views:
        c = x.T @ x / (x.T @ x).diagonal().sum()
        total = total + 2 * c.norm().log() + 2 * x.shape[1] * ((x - centre) ** 2).mean()
    return total


def visreg(x: Tensor, directions: Tensor) -> Tensor:
    """VISReg's regulariser: the mean, the deviations, and the quantiles along each direction."""
    deviation = ((x - x.mean(dim=0)) ** 2).mean(dim=0).sqrt()
    scaled = (x - x.mean(dim=0)) / deviation.detach()
    total = (1 - deviation).square().mean() + x.mean(dim=0).square().mean()
    quantiles = torch.tensor([NormalDist().inv_cdf(i / (len(x) + 1)) for i in range(1, len(x) + 1)], dtype=x.dtype)
    along = [(scaled @ (w / w.norm())).sort().values for w in directions.detach().T]
    return total + torch.stack([(each - quantiles).square().mean() for each in along]).mean()


def tico(a: Tensor, target: Tensor, beta: float = 0.9, rho: float = 8.0) -> Tensor:
    """TiCo, equation 6, at the first step; the moment is a constant for the gradient."""
    a, target = unit(a), unit(target.detach())
    moment = ((1 - beta) * sum(torch.outer(x, x) for x in a) / len(a)).detach()
    return -(a * target).sum(dim=1).mean() + rho * torch.stack([x @ moment @ x for x in a]).mean()


def mae(predicted: Tensor, target: Tensor) -> Tensor:
    """MAE, section 4.1: mean squared error of the hidden patches' normalised pixels; every other one is hidden."""
    total = torch.zeros(())
    target = target.detach()
    for i in range(len(target)):
        for n in range(0, target.shape[1], 2):
            wanted = (target[i, n] - target[i, n].mean()) / (target[i, n].var() + 1e-6).sqrt()
            total = total + ((predicted[i, n] - wanted) ** 2).mean()
    return total / len(target) / -(-target.shape[1] // 2)


def huber(predicted: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    gap = (predicted - target.detach()).abs()
    return torch.where(gap < beta, gap**2 / (2 * beta), gap - beta / 2).mean()


def nepa(said: Tensor, embedded: Tensor) -> Tensor:
    """NEPA: minus the cosine of every answer with the embedding of the next patch."""
    pairs = [(said[:, i], embedded.detach()[:, i + 1]) for i in range(said.shape[1] - 1)]
    return -torch.stack([(unit(a) * unit(b)).sum(dim=1).mean() for a, b in pairs]).mean()


def layered(predicted: Tensor, target: Tensor) -> Tensor:
    """Bootleg: every token of every layer (last axis but one) normalised by itself, and predicted with Huber's loss."""
    mean, deviation = target.mean(dim=-1, keepdim=True), (target.var(dim=-1, keepdim=True, correction=0) + 1e-5).sqrt()
    return huber(predicted, (target - mean) / deviation)


def evenness(scores: Tensor) -> Tensor:
    """MSN: the entropy of the mean assignment."""
    mean = shares(scores, 0.1).mean(dim=0)
    return -(mean * mean.log()).sum()


def authors_contexts(side: int, batch: int, rng: np.random.Generator) -> int:
    """Tokens of the contexts of one batch, drawn as I-JEPA's collator does with its usual settings."""

    def sides(scale: tuple[float, float], aspect: tuple[float, float]) -> tuple[int, int]:
        draw = rng.random()  # one, for share and shape
        area = int(side * side * (scale[0] + draw * (scale[1] - scale[0])))
        ratio = aspect[0] + draw * (aspect[1] - aspect[0])
        return min(side - 1, round((area * ratio) ** 0.5)), min(side - 1, round((area / ratio) ** 0.5))

    def block(tall: int, wide: int) -> np.ndarray:
        made, top, left = np.zeros((side, side), bool), rng.integers(side - tall), rng.integers(side - wide)
        made[top : top + tall, left : left + wide] = True
        return made

    target, context = sides((0.15, 0.2), (0.75, 1.5)), sides((0.85, 1.0), (1.0, 1.0))
    fewest = side * side
    for _ in range(batch):
        asked, tries, shown = [block(*target) for _ in range(4)], 0, np.zeros((side, side), bool)
        while shown.sum() <= 10:  # twenty tries with all targets left out, then with one less, and so on
            shown = block(*context)
            for each in asked[: max(0, 4 - tries // 20)]:
                shown &= ~each
            tries += 1
        fewest = min(fewest, int(shown.sum()))
    return fewest


def beit_mask(side: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """One mask of at most `wanted` of side x side tokens, as BEiT's code grows it."""
    mask, smallest = np.zeros((side, side), bool), min(16, max(1, side * side // 12))
    while mask.sum() < wanted:
        left = wanted - mask.sum()
        for _ in range(10):
            area, aspect = rng.uniform(*sorted((smallest, left))), math.exp(rng.uniform(math.log(0.3), -math.log(0.3)))
            tall, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if not (0 < tall < side and 0 < wide < side):
                continue
            top, start = rng.integers(side - tall + 1), rng.integers(side - wide + 1)
            grown = mask.copy()
            grown[top : top + tall, start : start + wide] = True
            if 0 < grown.sum() - mask.sum() <= left:
                mask = grown
                break
        else:
            break
    return mask
