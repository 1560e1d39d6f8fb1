"""Objectives without negatives or teachers: agree across views, and use every feature for something of its own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
from selftaught.methods.objectives.similarity import nearest_other
from selftaught.system import distributed

EPSILON = 1e-4  # inside the root of the standard deviation (VICReg, section 4.1)
CLOSEST = 1e-8  # distance that is still told from none
# LeJEPA's algorithm 1. The authors' code has since looked from 0 to 3, which differs by 0.4 % in value.
REACH, NODES = 5.0, 17  # where a characteristic function is looked at: from -5 to 5


@objective
def invariance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of paired rows (a, b: B x D). VICReg (2105.04906, equation 5)."""
    return F.mse_loss(a, b)


@objective
def variance(x: Tensor, floor: float = 1.0) -> Tensor:
    """How far each feature's standard deviation falls short of `floor`, on average (x: B x D, all processes).

    VICReg (equations 1 and 2).
    """
    # Inside the root: its slope at a feature that has died would be infinite.
    return F.relu(floor - (_variance(x, correction=1) + EPSILON).sqrt()).mean()


@objective
def covariance(x: Tensor) -> Tensor:
    """Squared covariance left between different features, summed and divided by D (x: B x D, all processes).

    VICReg (equations 3 and 4).
    """
    apart = x - _mean(x)
    matrix = distributed.total(apart.T @ apart) / (_count(x) - 1)
    return off_diagonal(matrix) / x.shape[1]


@objective
def cross_correlation(a: Tensor, b: Tensor, epsilon: float = 1e-5) -> Tensor:
    """How each feature of one view goes with each of the other (a, b: B x D, all processes): D x D.

    Barlow Twins (2103.03230, equation 2); `epsilon` is added to variances, as batch norm does.
    """
    return distributed.total(standardised(a, epsilon).T @ standardised(b, epsilon)) / _count(a)


def standardised(x: Tensor, epsilon: float) -> Tensor:
    """Rows x (... x N x D, all processes) with features of mean 0 and variance 1, but for `epsilon` added to it."""
    x = x - _mean(x)
    return x * (_mean(x.square()) + epsilon).rsqrt()


def of_everyone(x: Tensor) -> Tensor:
    """The rows of all processes (... x all x D), by those of this one (... x N x D)."""
    return distributed.gather(x.movedim(-2, 0)).movedim(0, -2)


# Sums of the rows of all processes, not the rows themselves, where sums will do: what they take does not grow with the
# batch, and each process computes its own part alone.


def _count(x: Tensor) -> int:
    return x.shape[-2] * distributed.world_size()


def _mean(x: Tensor) -> Tensor:
    """Of each feature of x (... x N x D, all processes): ... x 1 x D."""
    return distributed.total(x.sum(dim=-2, keepdim=True)) / _count(x)


def _variance(x: Tensor, correction: int = 0) -> Tensor:
    """Of each feature of x (... x N x D, all processes): ... x 1 x D."""
    if distributed.world_size() == 1:
        return x.var(dim=-2, correction=correction, keepdim=True)  # in one pass
    apart = x - _mean(x)
    return distributed.total(apart.square().sum(dim=-2, keepdim=True)) / (_count(x) - correction)


def _gram(x: Tensor) -> Tensor:
    """x^T x (x: ... x N x D, all processes), or x x^T, which has the same spectrum, where that is smaller."""
    if x.shape[-1] <= _count(x):
        return distributed.total(x.mT @ x)
    x = of_everyone(x)
    return x @ x.mT


@objective
def whitened(x: Tensor, epsilon: float) -> Tensor:
    """Rows with identity covariance (x: ... x N x D), by the inverse of a Cholesky factor.

    W-MSE (2007.06346, section 3); the covariance is mixed with `epsilon` of the identity.
    """
    x = x - x.mean(dim=-2, keepdim=True)
    matrix = x.mT @ x / (x.shape[-2] - 1)
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    # A factor exists only where no direction is flat; a share of the identity sees to that.
    factor = _factor((1 - epsilon) * matrix + epsilon * eye)
    # Solved, not inverted: the same rows, with less rounding.
    return torch.linalg.solve_triangular(factor, x.mT, upper=False).mT


def _factor(matrix: Tensor) -> Tensor:
    """The Cholesky factor of a matrix (... x D x D), lower triangular; NaN where it has none."""
    # Not the kind that raises, for which the host would wait: what is not finite is for the loop to tell. Where there
    # is no factor this kind gives some finite numbers all the same.
    factor, info = torch.linalg.cholesky_ex(matrix)
    return factor.masked_fill((info > 0)[..., None, None], torch.nan)


@objective
def nuclear_norm(x: Tensor) -> Tensor:
    """The sum of the singular values of x (... x N x D). MMCR (2303.03307, equation 1)."""
    return torch.linalg.svdvals(x).sum(dim=-1)


@objective
def coding_rate(x: Tensor, epsilon: float) -> Tensor:
    """Nats that tell rows of unit length (x: ... x N x D, all processes) apart to a squared distance of `epsilon`.

    Total coding rate, as in EMP-SSL (2304.03977) and SimDINO (2502.10385): half the logarithm of the determinant of
    I + D / (N epsilon) x^T x.
    """
    matrix = x.shape[-1] / (_count(x) * epsilon) * _gram(x)
    eye = torch.eye(matrix.shape[-1], dtype=x.dtype, device=x.device)
    # Twice the sum of the logarithms of a Cholesky factor's diagonal is that of the determinant.
    return _factor(eye + matrix).diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)


@objective
def log_frobenius(x: Tensor) -> Tensor:
    """log of the squared Frobenius norm of x^T x, of which the trace is made one (x: ... x N x D, all processes).

    FroSSL (2310.02903): 0 where all rows lie along one direction, and -log of the smaller of N and D where no direction
    has more than another, which is told without decomposing anything.
    """
    trace = distributed.total(x.square().sum(dim=(-2, -1)))
    return _gram(x).square().sum(dim=(-2, -1)).log() - 2 * trace.log()


@objective
def scale_gap(x: Tensor) -> Tensor:
    """How far each feature's standard deviation is from one, squared, on average (x: ... x N x D, all processes).

    VISReg (2606.02572), whose slope stays the same size where features collapse.
    """
    return (1 - _deviation(x)).square().mean()


@objective
def offset(x: Tensor) -> Tensor:
    """How far each feature's mean is from zero, squared, on average (x: ... x N x D, all processes). VISReg."""
    return _mean(x).square().mean()


@objective
def shape_gap(x: Tensor, directions: Tensor) -> Tensor:
    """Squared distance of x from a standard normal along each of some directions (D x S), on average.

    x: ... x N x D, all processes, of which each sorts along its share of the directions. The sliced Wasserstein
    distance of VISReg (2606.02572): sorted projections beside the quantiles of the normal. Scale is divided out, as a
    constant for the gradient: it is `scale_gap`'s.
    """
    scaled = of_everyone((x - _mean(x)) / _deviation(x).detach())
    own = F.normalize(directions.to(x.dtype), dim=0)[:, distributed.rank() :: distributed.world_size()]
    projected = (scaled @ own).sort(dim=-2).values
    count = scaled.shape[-2]
    ranks = torch.arange(1, count + 1, dtype=x.dtype, device=x.device) / (count + 1)
    gaps = (projected - torch.special.ndtri(ranks)[:, None]).square()
    return distributed.total(gaps.sum()) / (scaled[..., 0].numel() * directions.shape[1])


def _deviation(x: Tensor) -> Tensor:
    """Of each feature (... x 1 x D)."""
    # Lifted, not moved: the root's slope at a feature that is dead to the last bit would be infinite.
    return _variance(x).clamp(min=torch.finfo(x.dtype).tiny).sqrt()


@objective
def sigreg(x: Tensor, directions: Tensor) -> Tensor:
    """How far x (B x D, all processes) is from a standard normal, along each of some directions (D x S), on average.

    Sketched isotropic Gaussian regularisation: the Epps-Pulley test of every one-dimensional projection, by the
    trapezoid rule, with the normal density's shape as its weight. LeJEPA (2511.08544, section 4 and algorithm 1).
    """
    count = len(x) * distributed.world_size()
    nodes = torch.linspace(-REACH, REACH, NODES, dtype=x.dtype, device=x.device)
    normal = (-nodes.square() / 2).exp()
    turned = (x @ F.normalize(directions.to(x.dtype), dim=0))[..., None] * nodes
    real = distributed.total(turned.cos().sum(dim=0)) / count
    imaginary = distributed.total(turned.sin().sum(dim=0)) / count
    gap = ((real - normal).square() + imaginary.square()) * normal
    # Times the count, as the test's statistic is: its size for a truly normal cloud is then the same at any batch size.
    return count * torch.trapezoid(gap, nodes, dim=1).mean()


@objective
def koleo(x: Tensor) -> Tensor:
    """Minus the mean log distance of every row to its nearest other row, of unit length (x: B x D, all processes).

    The Kozachenko-Leonenko estimate of how spread out they are, but for a constant; DINOv2 (2304.07193).
    """
    x = F.normalize(x, dim=1)
    everyone = distributed.gather(x)
    own = torch.arange(len(x), device=x.device) + distributed.rank() * len(x)
    with torch.no_grad():
        nearest = nearest_other(x, everyone, own)
    # Bounded below, where rows are alike: the slope of the logarithm would be infinite.
    return -(x - everyone[nearest]).square().sum(dim=1).clamp(min=CLOSEST**2).log().mean() / 2


@objective
def tico_terms(a: Tensor, target: Tensor, moment: Tensor) -> tuple[Tensor, Tensor]:
    """TiCo's transformation invariance and covariance contrast (a, target: B x D unit rows; moment: D x D).

    2206.10698, equation 6: minus the mean cosine, and the mean of how much a lies along what features have in common.
    """
    return -(a * target).sum(dim=1).mean(), ((a @ moment) * a).sum(dim=1).mean()


@objective
def second_moment(x: Tensor) -> Tensor:
    """The mean of x x^T (x: B x D, all processes): D x D."""
    return distributed.total(x.T @ x) / (len(x) * distributed.world_size())


def off_diagonal(matrix: Tensor) -> Tensor:
    """What lies beside the diagonal, squared and summed."""
    return matrix.square().sum() - matrix.diagonal().square().sum()
