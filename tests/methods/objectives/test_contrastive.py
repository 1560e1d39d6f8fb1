"""Objectives with negatives against slow loops written from the papers, known values, and gradients."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.methods.objectives import similarity
from selftaught.methods.objectives.contrastive import (
    alignment_loss,
    dcl,
    info_nce,
    info_nce_with_queue,
    margin_contrastive,
    noise_contrastive,
    nt_xent,
    semi_hard_triplet,
    told_apart,
    uniformity_loss,
)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def slow_nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """SimCLR, equation 1, one pair at a time."""
    views = unit(torch.cat([a, b]))
    total, count = torch.zeros((), dtype=a.dtype), len(views)
    for i in range(count):
        j = (i + count // 2) % count
        others = sum(math.e ** ((views[i] @ views[k]) / temperature) for k in range(count) if k != i)
        total = total - torch.log(math.e ** ((views[i] @ views[j]) / temperature) / others)
    return total / count


def slow_dcl(a: Tensor, b: Tensor, temperature: float, sigma: float | None = None) -> Tensor:
    """DCL, equations 5 and 6."""
    views = unit(torch.cat([a, b]))
    total, count = torch.zeros((), dtype=a.dtype), len(views)
    kernel = [torch.exp((views[i] @ views[(i + count // 2) % count]) / (sigma or 1.0)) for i in range(count)]
    for i in range(count):
        j = (i + count // 2) % count
        weight = 1.0 if sigma is None else 2 - (kernel[i] / (sum(kernel) / count)).detach()
        others = sum(torch.exp((views[i] @ views[k]) / temperature) for k in range(count) if k not in (i, j))
        total = total - weight * (views[i] @ views[j]) / temperature + torch.log(others)
    return total / count


def slow_info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """MoCo v3, algorithm 1: a cross entropy whose right answers are 0, 1, 2 ..."""
    logits = unit(queries) @ unit(keys).T / temperature
    return F.cross_entropy(logits, torch.arange(len(queries)))


def slow_with_queue(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """MoCo, algorithm 1: the positive first, then the queue."""
    queries, keys = unit(queries), unit(keys)
    logits = torch.cat([(queries * keys).sum(dim=1, keepdim=True), queries @ queue.T], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(queries), dtype=torch.int64))


def slow_noise_contrastive(scores: Tensor, noise: Tensor, expected: float) -> Tensor:
    """Instance discrimination, equations 5 to 7: h is P / (P + m Pn)."""
    own, other = scores.exp(), noise.exp()
    total = torch.zeros((), dtype=scores.dtype)
    for i in range(len(scores)):
        total = total - torch.log(own[i] / (own[i] + expected))
        for value in other[i]:
            total = total - torch.log(1 - value / (value + expected))
    return total / len(scores)


def slow_told_apart(own: Tensor, others: Tensor, temperature: float) -> Tensor:
    """PIRL, equations 3 and 4."""
    own, others = (own / temperature).exp(), (others / temperature).exp()
    total = torch.zeros((), dtype=own.dtype)
    for i in range(len(own)):
        total = total - torch.log(own[i] / (own[i] + others[i].sum()))
        for value in others[i]:
            total = total - torch.log(1 - value / (value + others[i].sum()))
    return total / len(own)


def slow_margin(a: Tensor, b: Tensor, margin: float) -> Tensor:
    """Hadsell et al., equation 4, over all pairs of a view and another sample's other view."""
    similar = [(a[i] - b[i]).norm() ** 2 / 2 for i in range(len(a))]
    apart = [max(0, margin - (a[i] - b[j]).norm()) ** 2 / 2 for i in range(len(a)) for j in range(len(a)) if i != j]
    return sum(similar) / len(similar) + sum(apart) / len(apart)


def slow_triplet(a: Tensor, b: Tensor, margin: float) -> Tensor:
    """FaceNet, section 3.2: the nearest negative that is farther than the positive, else the farthest."""
    views, count = unit(torch.cat([a, b])), 2 * len(a)
    total = torch.zeros((), dtype=a.dtype)
    for i in range(count):
        j = (i + count // 2) % count
        near = (views[i] - views[j]).square().sum()
        others = [(views[i] - views[k]).square().sum() for k in range(count) if k not in (i, j)]
        farther = [distance for distance in others if distance > near]
        total = total + torch.relu(near - (min(farther) if farther else max(others)) + margin)
    return total / count


def slow_alignment(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    return sum((x - y).norm() ** alpha for x, y in zip(unit(a), unit(b))) / len(a)


def slow_uniformity(x: Tensor, t: float) -> Tensor:
    x = unit(x)
    pairs = [torch.exp(-t * (x[i] - x[j]).square().sum()) for i in range(len(x)) for j in range(len(x)) if i != j]
    return torch.log(sum(pairs) / len(pairs))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(count: int = 5, dim: int = 7) -> tuple[Tensor, Tensor]:
    return draw(count, dim), draw(count, dim, seed=1)


QUEUE = unit(draw(6, 7, seed=2))
CASES: dict[str, tuple[Callable, Callable, tuple]] = {
    "nt_xent": (nt_xent, slow_nt_xent, (*pair(), 0.3)),
    "dcl": (dcl, slow_dcl, (*pair(), 0.3)),
    "dcl, weighted": (dcl, slow_dcl, (*pair(), 0.3, 0.5)),
    "info_nce": (info_nce, slow_info_nce, (*pair(), 0.3)),
    "info_nce_with_queue": (info_nce_with_queue, slow_with_queue, (*pair(), QUEUE, 0.3)),
    "noise_contrastive": (noise_contrastive, slow_noise_contrastive, (draw(4), draw(4, 3, seed=1), 0.4)),
    "told_apart": (told_apart, slow_told_apart, (draw(4), draw(4, 3, seed=1), 0.5)),
    "margin_contrastive": (margin_contrastive, slow_margin, (*pair(), 4.0)),
    "semi_hard_triplet": (semi_hard_triplet, slow_triplet, (*pair(), 0.2)),
    "alignment": (alignment_loss, slow_alignment, (*pair(), 2.0)),
    "alignment, to the first power": (alignment_loss, slow_alignment, (*pair(), 1.0)),
    "uniformity": (uniformity_loss, slow_uniformity, (draw(5, 7), 2.0)),
}


def held_to_the_paper(case: str) -> list[Tensor]:
    """Compare value and gradient with the slow loop's; the tensors they were taken of."""
    fast, slow, given = CASES[case]
    tensors = [value.clone().requires_grad_() if isinstance(value, Tensor) else value for value in given]
    wanted = [value for value in tensors if isinstance(value, Tensor)]
    actual, expected = fast(*tensors), slow(*tensors)
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)
    grads, truth = torch.autograd.grad(actual, wanted), torch.autograd.grad(expected, wanted)
    torch.testing.assert_close(grads, truth, rtol=1e-9, atol=1e-11)
    return wanted


@pytest.mark.parametrize("case", CASES)
def test_equals_the_paper_and_has_its_gradient(case: str) -> None:
    fast, _, given = CASES[case]
    wanted = held_to_the_paper(case)
    if case != "dcl, weighted":  # its weights are constants to the gradient, which finite differences cannot know
        assert torch.autograd.gradcheck(lambda *xs: fast(*xs, *[v for v in given if not isinstance(v, Tensor)]), wanted)


def cut(monkeypatch: pytest.MonkeyPatch, cells: int, height: int) -> None:
    """Tiles of so many similarities, and so many rows at least."""
    monkeypatch.setitem(similarity.CELLS, "cpu", cells)
    monkeypatch.setattr(similarity, "HEIGHT", height)


@pytest.mark.parametrize(("cells", "height"), [(1, 1), (7, 1), (30, 1), (12, 3), (100, 1)])
@pytest.mark.parametrize("case", CASES)
def test_tiles_change_nothing(case: str, cells: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, cells, height)
    held_to_the_paper(case)


def test_tiles_stay_high_however_many_keys_there_are() -> None:
    down, across = similarity._tiles(torch.empty(256, 1), torch.empty(131_072, 1))
    assert (len(down), len(across)) == (2, 32)  # all keys are met twice, not once for every four queries
    down, across = similarity._tiles(torch.empty(2048, 1), torch.empty(2048, 1))
    assert (len(down), len(across)) == (8, 1)


@pytest.mark.parametrize("scale", [2.0, similarity.STEEPEST, similarity.STEEPEST + 0.1])
def test_half_the_pairs_say_what_all_of_them_do(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, 50, 3)
    vectors = F.normalize(torch.randn(20, 6), dim=1)
    vectors[7] = -vectors[3]  # opposite: the least share there can be
    own = torch.arange(20)
    skip = torch.stack([own, own.roll(10)], dim=1)
    half, whole = (vectors.clone().requires_grad_() for _ in range(2))
    actual = similarity.log_sum_exp_within(half, scale, skip)
    expected = similarity.log_sum_exp(whole, whole, scale, skip)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-4)
    actual.sum().backward(), expected.sum().backward()
    torch.testing.assert_close(half.grad, whole.grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 3.0])
def test_nt_xent_is_symmetric_and_blind_to_length(temperature: float) -> None:
    a, b = pair()
    assert torch.allclose(nt_xent(a, b, temperature), nt_xent(b, a, temperature))
    assert torch.allclose(nt_xent(3 * a, b, temperature), nt_xent(a, b, temperature))


def test_known_values() -> None:
    same = torch.ones(6, 4, dtype=torch.float64)
    assert nt_xent(same, same, 0.5).item() == pytest.approx(math.log(11))  # nothing learnt: all views alike
    assert dcl(same, same, 0.5).item() == pytest.approx(math.log(10) + 2 - 2)
    assert info_nce(same, same, 0.5).item() == pytest.approx(math.log(6))
    apart = torch.eye(6, dtype=torch.float64)
    expected = math.log(1 + 10 * math.exp(-2))  # pairs agree, all others are orthogonal
    assert nt_xent(apart, apart, 0.5).item() == pytest.approx(expected)
    assert uniformity_loss(apart, 2.0).item() == pytest.approx(-4)
    assert margin_contrastive(apart, apart, 1.0).item() == pytest.approx(0)
    assert semi_hard_triplet(apart, apart, 0.2).item() == 0
    assert semi_hard_triplet(same, same, 0.2).item() == pytest.approx(0.2)


def test_a_low_temperature_does_not_overflow() -> None:
    a, b = (x.float() for x in pair())
    assert all(loss(a, b, 0.002).isfinite() for loss in (nt_xent, dcl, info_nce))
    assert info_nce_with_queue(a, b, QUEUE.float(), 0.002).isfinite()


def test_half_types_are_promoted_inside_autocast() -> None:
    a, b = pair()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nt_xent(a.float(), b.float(), 0.5)
        assert nt_xent(a.bfloat16(), b.bfloat16(), 0.5).dtype == torch.float32
    assert loss.dtype == torch.float32 and torch.allclose(loss.double(), slow_nt_xent(a, b, 0.5), rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 0.01, 1e-6])
def test_a_narrow_kernel_weighs_pairs_in_float32_as_in_float64(sigma: float) -> None:
    a, b = draw(16, 32), draw(16, 32) + 0.1 * draw(16, 32, seed=1)
    expected = dcl(a, b, 0.1, sigma)
    assert expected.isfinite()
    assert dcl(a.float(), b.float(), 0.1, sigma).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("loss", [nt_xent, dcl, lambda a, b, t: info_nce_with_queue(a, b, b.detach().repeat(4, 1), t)])
def test_no_similarity_matrix_is_kept(loss: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, 64, 1)
    kept: list[int] = []
    a, b = (torch.randn(64, 8, requires_grad=True) for _ in range(2))
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        actual = loss(a, b, 0.5)
    actual.backward()
    assert kept and max(kept) <= 256 * 8
