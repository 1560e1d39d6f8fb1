"""Objectives without negatives or teachers: agree across views, and use every feature for something of its own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives.objective import objective
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
    x = distributed.gather(x)
    # Inside the root: its slope at a feature that has died would be infinite.
    return F.relu(floor - (x.var(dim=0) + EPSILON).sqrt()).mean()


@objective
def covariance(x: Tensor) -> Tensor:
    """Squared covariance left between different features, summed and divided by D (x: B x D, all processes).

    VICReg (equations 3 and 4).
    """
    x = distributed.gather(x)
    matrix = torch.cov(x.T)
    return off_diagonal(matrix) / x.shape[1]


@objective
def cross_correlation(a: Tensor, b: Tensor, epsilon: float = 1e-5) -> Tensor:
    """How each feature of one view goes with each of the other (a, b: B x D, all processes): D x D.

    Barlow Twins (2103.03230, equation 2); `epsilon` is added to variances, as batch norm does.
    """
    count = len(a) * distributed.world_size()

    def standardised(x: Tensor) -> Tensor:
        x = x - distributed.total(x.sum(dim=0)) / count
        return x * (distributed.total(x.square().sum(dim=0)) / count + epsilon).rsqrt()

    return distributed.total(standardised(a).T @ standardised(b)) / count


@objective
def whitened(x: Tensor, epsilon: float) -> Tensor:
    """Rows with identity covariance (x: ... x N x D), by the inverse of a Cholesky factor.

    W-MSE (2007.06346, section 3); the covariance is mixed with `epsilon` of the identity.
    """
    x = x - x.mean(dim=-2, keepdim=True)
    matrix = x.mT @ x / (x.shape[-2] - 1)
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    # A factor exists only where no direction is flat; a share of the identity sees to that. Not the kind that raises,
    # for which the host would wait: what is not finite is for the loop to tell.
    factor = torch.linalg.cholesky_ex((1 - epsilon) * matrix + epsilon * eye).L
    # Solved, not inverted: the same rows, with less rounding.
    return torch.linalg.solve_triangular(factor, x.mT, upper=False).mT


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
    count, dim = x.shape[-2:]
    # Of x x^T it is the same: the smaller of the two matrices is decomposed.
    matrix = dim / (count * epsilon) * (x.mT @ x if dim <= count else x @ x.mT)
    eye = torch.eye(matrix.shape[-1], dtype=x.dtype, device=x.device)
    # Twice the sum of the logarithms of a Cholesky factor's diagonal is that of the determinant. Not the kind that
    # raises, as above.
    return torch.linalg.cholesky_ex(eye + matrix).L.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)


@objective
def log_frobenius(x: Tensor) -> Tensor:
    """log of the squared Frobenius norm of x^T x, of which the trace is made one (x: ... x N x D).

    FroSSL (2310.02903): 0 where all rows lie along one direction, and -log of the smaller of N and D where no direction
    has more than another, which is told without decomposing anything.
    """
    count, dim = x.shape[-2:]
    matrix = x.mT @ x if dim <= count else x @ x.mT  # of one norm
    return matrix.square().sum(dim=(-2, -1)).log() - 2 * x.square().sum(dim=(-2, -1)).log()


@objective
def scale_gap(x: Tensor) -> Tensor:
    """How far each feature's standard deviation is from one, squared, on average (x: ... x N x D).

    VISReg (2606.02572), whose slope stays the same size where features collapse.
    """
    return (1 - _deviation(x)).square().mean()


@objective
def shape_gap(x: Tensor, directions: Tensor) -> Tensor:
    """Squared distance of x from a standard normal along each of some directions (D x S), on average (x: ... x N x D).

    The sliced Wasserstein distance of VISReg (2606.02572): sorted projections beside the quantiles of the normal. Scale
    is divided out, as a constant for the gradient: it is `scale_gap`'s.
    """
    scaled = (x - x.mean(dim=-2, keepdim=True)) / _deviation(x).detach()
    projected = (scaled @ F.normalize(directions.to(x.dtype), dim=0)).sort(dim=-2).values
    count = x.shape[-2]
    ranks = torch.arange(1, count + 1, dtype=x.dtype, device=x.device) / (count + 1)
    return (projected - torch.special.ndtri(ranks)[:, None]).square().mean()


def _deviation(x: Tensor) -> Tensor:
    """Of each feature (... x 1 x D)."""
    # Lifted, not moved: the root's slope at a feature that is dead to the last bit would be infinite.
    return x.var(dim=-2, correction=0, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny).sqrt()


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
    x = F.normalize(distributed.gather(x), dim=1)
    with torch.no_grad():
        nearest = (x @ x.T).fill_diagonal_(-torch.inf).argmax(dim=1)
    # Bounded below, where rows are alike: the slope of the logarithm would be infinite.
    return -(x - x[nearest]).square().sum(dim=1).clamp(min=CLOSEST**2).log().mean() / 2


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
