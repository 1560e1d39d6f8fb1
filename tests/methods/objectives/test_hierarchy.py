"""Contrast at every scale of time against slow loops written from TS2Vec, and its gradient."""

import torch
from torch import Tensor

from selftaught.methods.objectives.hierarchy import hierarchical_contrast


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 1 and 2, a moment at a time, and algorithm 1: (B, D, n)."""
    series, moments, scales = a.new_zeros(()), a.new_zeros(()), 0
    while True:
        count, _, length = a.shape
        for one, other in ((a, b), (b, a)):
            for i in range(count):
                for t in range(length):
                    mine, yours = one[i, :, t], other[i, :, t]
                    of_series = sum(
                        torch.exp(mine @ other[j, :, t]) + (torch.exp(mine @ one[j, :, t]) if j != i else 0)
                        for j in range(count)
                    )
                    series = series - torch.log(torch.exp(mine @ yours) / of_series) / (2 * count * length)
                    if length == 1:
                        continue
                    of_moments = sum(
                        torch.exp(mine @ other[i, :, s]) + (torch.exp(mine @ one[i, :, s]) if s != t else 0)
                        for s in range(length)
                    )
                    moments = moments - torch.log(torch.exp(mine @ yours) / of_moments) / (2 * count * length)
        scales += 1
        if length == 1:
            return series / scales, moments / scales
        half = length // 2 * 2
        a, b = (torch.maximum(z[..., 0:half:2], z[..., 1:half:2]) for z in (a, b))


def test_equals_the_paper_and_has_its_gradient() -> None:
    for length in (1, 2, 7):  # of which the last moment has no other at the second scale
        a, b = (draw(seed, 3, 4, length).requires_grad_() for seed in (0, 1))
        actual, expected = hierarchical_contrast(a, b), slow(a, b)
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)
        found, truth = (torch.autograd.grad(x + 2 * y, (a, b), allow_unused=True) for x, y in (actual, expected))
        torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-11)


def test_moments_that_agree_and_differ_from_all_others_cost_nothing() -> None:
    apart = 20 * torch.eye(12, dtype=torch.float64).reshape(12, 3, 4).permute(1, 0, 2)  # each moment its own direction
    series, moments = hierarchical_contrast(apart, apart)
    assert series < 1e-6 and moments < 1e-6
    series, moments = hierarchical_contrast(apart, apart.flip(2))
    assert series > 1 and moments > 1
