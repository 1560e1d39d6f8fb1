"""NT-Xent against a slow loop written from the paper, known values, symmetry and gradients."""

import math

import pytest
import torch
from torch import Tensor

from selftaught.objectives.contrastive import nt_xent


def slow(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """SimCLR, equation 1, one pair at a time."""
    views = [v / v.norm() for v in torch.cat([a, b])]
    total, count = torch.zeros((), dtype=a.dtype), len(views)
    for i in range(count):
        j = (i + count // 2) % count
        others = sum(math.e ** ((views[i] @ views[k]) / temperature) for k in range(count) if k != i)
        total = total - torch.log(math.e ** ((views[i] @ views[j]) / temperature) / others)
    return total / count


def pair(count: int = 5, dim: int = 7) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    return tuple(torch.randn(count, dim, generator=draws, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("temperature", [0.07, 0.5, 3.0])
def test_equals_the_paper(temperature: float) -> None:
    a, b = pair()
    assert torch.allclose(nt_xent(a, b, temperature), slow(a, b, temperature), rtol=1e-12)
    assert torch.allclose(nt_xent(a, b, temperature), nt_xent(b, a, temperature))
    assert torch.allclose(nt_xent(3 * a, b, temperature), nt_xent(a, b, temperature))


def test_known_values() -> None:
    same = torch.ones(6, 4, dtype=torch.float64)
    assert nt_xent(same, same, 0.5).item() == pytest.approx(math.log(11))  # nothing learnt: all views alike
    apart = torch.eye(6, dtype=torch.float64)
    expected = math.log(1 + 10 * math.exp(-2))  # pairs agree, all others are orthogonal
    assert nt_xent(apart, apart, 0.5).item() == pytest.approx(expected)


def test_gradients_and_a_low_temperature_without_overflow() -> None:
    a, b = (x.requires_grad_() for x in pair(3, 4))
    assert torch.autograd.gradcheck(lambda x, y: nt_xent(x, y, 0.3), (a, b))
    assert nt_xent(a.float(), b.float(), 0.002).isfinite()


def test_half_types_are_promoted_inside_autocast() -> None:
    a, b = pair()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nt_xent(a.float(), b.float(), 0.5)
        assert nt_xent(a.bfloat16(), b.bfloat16(), 0.5).dtype == torch.float32
    assert loss.dtype == torch.float32 and torch.allclose(loss.double(), slow(a, b, 0.5), rtol=1e-5)
