"""Redundancy and cluster objectives against slow loops written from their papers, known values, and gradients."""

import itertools
import math
from statistics import NormalDist

import pytest
import torch
from torch import Tensor

from selftaught.methods.objectives.clusters import mean_entropy, nearest_centre, spherical_k_means
from selftaught.methods.objectives.distillation import negative_cosine
from selftaught.methods.objectives.redundancy import (
    coding_rate,
    cross_correlation,
    koleo,
    log_frobenius,
    nuclear_norm,
    scale_gap,
    second_moment,
    shape_gap,
    sigreg,
    tico_terms,
    whitened,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_barlow_twins_correlation_equals_the_paper() -> None:
    a, b = draw(9, 4), draw(9, 3, seed=1)[:, :3].repeat(1, 2)[:, :4]
    slow = torch.zeros(4, 4, dtype=torch.float64)
    x, y = a - a.mean(dim=0), b - b.mean(dim=0)
    for i in range(4):
        for j in range(4):
            slow[i, j] = (x[:, i] * y[:, j]).sum() / ((x[:, i] ** 2).sum().sqrt() * (y[:, j] ** 2).sum().sqrt())
    assert torch.allclose(cross_correlation(a, b, 0.0), slow)
    assert torch.allclose(cross_correlation(a, a, 0.0).diagonal(), torch.ones(4, dtype=torch.float64))
    assert torch.autograd.gradcheck(cross_correlation, (a.requires_grad_(), b.clone().requires_grad_()))


def test_whitened_features_have_the_identity_as_covariance() -> None:
    mixed = draw(2, 40, 5) @ draw(5, 5, seed=1)
    white = whitened(mixed, 0.0)
    for x in white:
        assert torch.allclose(torch.cov(x.T), torch.eye(5, dtype=torch.float64), atol=1e-9)
        assert torch.allclose(x.mean(dim=0), torch.zeros(5, dtype=torch.float64), atol=1e-12)
    # The inverse Cholesky factor is lower triangular: the first feature is only scaled (section 3).
    first = mixed[0, :, 0] - mixed[0, :, 0].mean()
    assert torch.allclose(white[0, :, 0], first / first.std())
    assert torch.autograd.gradcheck(lambda x: whitened(x, 1e-3), draw(6, 3).requires_grad_())


def test_what_has_no_cholesky_factor_is_no_number() -> None:
    """Not some numbers that are finite, with which a run would go on."""
    mixed = draw(3, 40, 5).float()
    mixed[1, :, 3] = 1  # a feature that has died
    flat = mixed.requires_grad_()
    white = whitened(flat, 0.0)
    assert white[1].isnan().all() and white[[0, 2]].isfinite().all()
    (slope,) = torch.autograd.grad(white.sum(), flat)
    assert not slope[1].isfinite().all() and slope[[0, 2]].isfinite().all()
    assert whitened(flat, 1e-4).isfinite().all()
    assert coding_rate(torch.full((4, 4), 2.0**30), 2.0**-20).isnan()  # beside which the identity is nothing
    assert coding_rate(torch.nn.functional.normalize(draw(9, 4), dim=1), 0.2).isfinite()


def test_nuclear_norm() -> None:
    x = draw(6, 4)
    assert nuclear_norm(x).item() == pytest.approx(torch.linalg.eigvalsh(x.T @ x).clamp(min=0).sqrt().sum().item())
    assert nuclear_norm(torch.eye(3)).item() == pytest.approx(3)
    assert nuclear_norm(torch.ones(4, 4)).item() == pytest.approx(4)  # all samples alike: one direction
    assert torch.autograd.gradcheck(nuclear_norm, x.requires_grad_())


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
def test_the_coding_rate_equals_the_paper(shape: tuple[int, int]) -> None:
    x = torch.nn.functional.normalize(draw(*shape), dim=1)
    count, dim = shape
    slow = torch.zeros(dim, dim, dtype=torch.float64)
    for row in x:
        slow += torch.outer(row, row)
    spectrum = torch.linalg.eigvalsh(torch.eye(dim, dtype=torch.float64) + dim / (count * 0.2) * slow)
    assert coding_rate(x, 0.2).item() == pytest.approx(spectrum.log().sum().item() / 2)
    alike = x[:1].expand(count, -1)  # one direction: all others cost nothing
    assert coding_rate(alike, 0.2).item() == pytest.approx(math.log(1 + dim / 0.2) / 2)
    assert coding_rate(torch.stack([x, alike]), 0.2)[1] < coding_rate(x, 0.2)
    assert torch.autograd.gradcheck(lambda v: coding_rate(v, 0.2), x.requires_grad_())


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
def test_frossls_norm_is_that_of_the_spectrum(shape: tuple[int, int]) -> None:
    x = draw(*shape)
    shares = torch.linalg.eigvalsh(x.T @ x).clamp(min=0)
    shares = shares / shares.sum()
    assert log_frobenius(x).item() == pytest.approx(math.log((shares**2).sum().item()))
    assert log_frobenius(3 * x).item() == pytest.approx(log_frobenius(x).item())
    assert log_frobenius(torch.eye(*shape)).item() == pytest.approx(-math.log(4))
    assert log_frobenius(x[:1].expand(shape)).item() == pytest.approx(0)
    assert torch.allclose(log_frobenius(torch.stack([x, x.flip(0) ** 2]))[1], log_frobenius(x**2))
    assert torch.autograd.gradcheck(log_frobenius, x.requires_grad_())


def test_visregs_terms_equal_the_paper() -> None:
    x, directions = 2 * draw(12, 4), draw(4, 3, seed=1)
    deviations = [math.sqrt(sum((v - sum(c) / 12) ** 2 for v in c) / 12) for c in x.T.tolist()]
    assert scale_gap(x).item() == pytest.approx(sum((1 - d) ** 2 for d in deviations) / 4)
    quantiles = [NormalDist().inv_cdf(i / 13) for i in range(1, 13)]
    scaled, slow = (x - x.mean(dim=0)) / torch.tensor(deviations, dtype=torch.float64), 0.0
    for direction in directions.T:
        along = sorted((scaled @ (direction / direction.norm())).tolist())
        slow += sum((a - q) ** 2 for a, q in zip(along, quantiles)) / 12 / 3
    assert shape_gap(x, directions).item() == pytest.approx(slow)
    both = torch.stack([x, 3 * x])  # each view by itself, and shape has no scale
    assert shape_gap(both, directions).item() == pytest.approx(slow)
    assert scale_gap(both).item() == pytest.approx((scale_gap(x).item() + scale_gap(3 * x).item()) / 2)
    many = draw(4000, 4)
    assert shape_gap(many, directions).item() < 0.01 < shape_gap(many**3, directions).item()
    assert torch.autograd.gradcheck(scale_gap, x.requires_grad_())


def test_visregs_scale_is_a_constant_for_its_shape_and_pulls_a_collapsed_cloud_apart() -> None:
    x, directions = draw(12, 4).requires_grad_(), draw(4, 3, seed=1)
    (slope,) = torch.autograd.grad(shape_gap(x, directions), x)
    deviation, size = x.std(dim=0, correction=0).detach(), torch.ones((), dtype=torch.float64, requires_grad=True)
    scaled, slow = (x - x.mean(dim=0)).detach() / deviation * size, torch.zeros((), dtype=torch.float64)
    for direction in directions.T:
        along = (scaled @ (direction / direction.norm())).sort().values
        slow = slow + sum((a - NormalDist().inv_cdf(i / 13)) ** 2 for i, a in enumerate(along, 1)) / 12 / 3
    # How it changes where all of x grows: not at all, were the deviation no constant.
    assert (slope * x).sum().item() == pytest.approx(torch.autograd.grad(slow, size)[0].item())
    sizes = []
    for shrunk in (1e-2, 1e-8):
        small = (shrunk * draw(12, 4)).requires_grad_()
        sizes.append(torch.autograd.grad(scale_gap(small), small)[0].norm())
    assert sizes[1] == pytest.approx(float(sizes[0]), rel=0.05)
    dead = torch.zeros(5, 2, requires_grad=True)
    assert torch.autograd.grad(scale_gap(dead) + shape_gap(dead, draw(2, 3)), dead)[0].isfinite().all()


def slow_epps_pulley(values: list[float]) -> float:
    """The statistic of one projection: N times the integral of |phi_N(t) - phi(t)|^2 w(t), by the trapezoid rule."""
    nodes = [-5 + 10 * k / 16 for k in range(17)]
    heights = []
    for t in nodes:
        real = sum(math.cos(t * v) for v in values) / len(values)
        imaginary = sum(math.sin(t * v) for v in values) / len(values)
        normal = math.exp(-(t**2) / 2)
        heights.append(((real - normal) ** 2 + imaginary**2) * normal)
    area = sum((a + b) / 2 * (nodes[1] - nodes[0]) for a, b in itertools.pairwise(heights))
    return len(values) * area


def test_sigreg_equals_the_paper_and_is_small_for_a_normal_cloud() -> None:
    x, directions = draw(12, 4), draw(4, 3, seed=1)
    slow = [slow_epps_pulley((x @ (d / d.norm())).tolist()) for d in directions.T]
    assert sigreg(x, directions).item() == pytest.approx(sum(slow) / 3)
    many = draw(4000, 4)
    assert sigreg(many, directions).item() < 5 < sigreg(3 * many, directions).item()
    assert sigreg(many[:, :1].expand(-1, 4), directions).item() > 5  # collapsed to a line
    assert torch.autograd.gradcheck(lambda v: sigreg(v, directions), x.requires_grad_())


def test_ticos_terms_equal_the_paper() -> None:
    a, b = (x / x.norm(dim=1, keepdim=True) for x in (draw(5, 3), draw(5, 3, seed=1)))
    moment = sum(torch.outer(x, x) for x in a) / 5
    assert torch.allclose(second_moment(a), moment)
    agreement, contrast = tico_terms(a, b, moment)
    assert torch.allclose(agreement, -sum(x @ y for x, y in zip(a, b)) / 5)
    assert torch.allclose(contrast, sum(x @ moment @ x for x in a) / 5)
    assert torch.autograd.gradcheck(lambda x: sum(tico_terms(x, b, second_moment(x))), a.requires_grad_())


def test_koleo_equals_the_paper_and_bears_rows_that_are_alike() -> None:
    x = draw(7, 3)
    units = [row / row.norm() for row in x]
    nearest = [min((a - b).norm() for b in units if b is not a) for a in units]
    assert torch.allclose(koleo(x), -sum(distance.log() for distance in nearest) / 7)
    assert torch.allclose(koleo(5 * x), koleo(x))
    assert koleo(torch.eye(3)).item() == pytest.approx(-math.log(2) / 2)  # far apart, and still not each its own
    assert torch.autograd.gradcheck(koleo, x.requires_grad_())
    twice = torch.ones(4, 3, requires_grad=True)
    koleo(twice).backward()
    assert koleo(twice).item() == pytest.approx(-math.log(1e-8), rel=1e-3)
    assert twice.grad is not None and twice.grad.isfinite().all()


def test_simsiams_cosine() -> None:
    a, b = draw(5, 3), draw(5, 3, seed=1)
    assert torch.allclose(negative_cosine(a, b), -sum(x @ y / (x.norm() * y.norm()) for x, y in zip(a, b)) / 5)
    assert torch.autograd.gradcheck(negative_cosine, (a.requires_grad_(), b))


def test_mean_entropy_is_highest_where_all_prototypes_are_used() -> None:
    scores = draw(6, 4)
    share = sum(torch.exp(row / 0.5) / torch.exp(row / 0.5).sum() for row in scores) / 6
    assert torch.allclose(mean_entropy(scores, 0.5), -(share * share.log()).sum())
    assert mean_entropy(100 * torch.eye(4), 0.1).item() == pytest.approx(math.log(4), abs=1e-4)
    assert mean_entropy(100 * torch.eye(4)[:1].expand(4, 4), 0.1).item() == pytest.approx(0, abs=1e-4)
    assert torch.autograd.gradcheck(lambda x: mean_entropy(x, 0.5), scores.requires_grad_())


def test_k_means_finds_the_clusters_and_leaves_an_unused_centre_where_it_is() -> None:
    truth = torch.eye(3, 8, dtype=torch.float64)
    x = torch.nn.functional.normalize(truth.repeat_interleave(20, dim=0) + 0.05 * draw(60, 8), dim=1)
    far = -torch.ones(1, 8, dtype=torch.float64)
    centres = spherical_k_means(x, torch.cat([x[[0, 25, 50]], far]), 5)
    nearest = nearest_centre(x, centres)
    assert nearest.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert torch.allclose(centres[0], torch.nn.functional.normalize(x[:20].sum(dim=0), dim=0))
    assert torch.allclose(centres[3], torch.nn.functional.normalize(far, dim=1)[0])
    assert nearest_centre(x, centres).equal(nearest)
