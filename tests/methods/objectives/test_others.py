"""Distillation, redundancy, cluster and prediction objectives against slow loops written from their papers."""

import math

import pytest
import torch
from torch import Tensor

from selftaught.methods.objectives.clusters import sinkhorn, swapped_prediction
from selftaught.methods.objectives.distillation import (
    across_views,
    cosine_distance,
    distilled,
    half_distance,
    moved_centre,
    sharpened,
    views_apart,
    within_views,
)
from selftaught.methods.objectives.prediction import (
    binary_cross_entropy,
    hidden_error,
    normalised_patches,
    weighted_cross_entropy,
    weighted_error,
)
from selftaught.methods.objectives.redundancy import covariance, invariance, variance
from selftaught.methods.parts.damage import blurred
from selftaught.system.profiling import PREFIX


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_byols_distance_is_that_of_unit_vectors() -> None:
    a, b = draw(5, 6), draw(5, 6, seed=1)
    slow = sum(((x / x.norm() - y / y.norm()) ** 2).sum() for x, y in zip(a, b)) / 5
    assert torch.allclose(cosine_distance(a, b), slow)
    assert cosine_distance(a, 2 * a).item() == pytest.approx(0, abs=1e-12)
    assert cosine_distance(a, -a).item() == pytest.approx(4)
    assert torch.autograd.gradcheck(cosine_distance, (a.requires_grad_(), b))


def test_vicregs_terms_equal_the_paper() -> None:
    x, other = draw(9, 4), draw(9, 4, seed=1)
    slow_variance, slow_covariance = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    centred = x - x.mean(dim=0)
    for i in range(4):
        deviation = ((centred[:, i] ** 2).sum() / 8 + 1e-4).sqrt()
        slow_variance += max(1 - deviation, torch.zeros(())) / 4
        for j in range(4):
            if i != j:
                slow_covariance += ((centred[:, i] * centred[:, j]).sum() / 8) ** 2 / 4
    assert torch.allclose(variance(x), slow_variance) and torch.allclose(covariance(x), slow_covariance)
    assert torch.allclose(invariance(x, other), ((x - other) ** 2).sum() / 36)
    assert variance(torch.zeros(8, 3)).item() == pytest.approx(0.99)
    assert torch.autograd.gradcheck(lambda v: variance(v) + covariance(v), x.requires_grad_())


def test_binary_cross_entropy_equals_its_definition() -> None:
    scores, truth = draw(4, 3), draw(4, 3, seed=1) > 0
    slow = 0.0
    for score, true in zip(scores.flatten().tolist(), truth.flatten().tolist()):
        share = 1 / (1 + math.exp(-score))
        slow -= math.log(share if true else 1 - share) / 12
    assert binary_cross_entropy(scores, truth).item() == pytest.approx(slow)
    assert torch.autograd.gradcheck(lambda x: binary_cross_entropy(x, truth), scores.requires_grad_())


def slow_sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """SwAV, algorithm 1, with prototypes as rows."""
    q = torch.exp(scores / epsilon).T
    q = q / q.sum()
    rows, columns = q.shape
    for _ in range(iterations):
        for i in range(rows):
            q[i] = q[i] / q[i].sum() / rows
        for j in range(columns):
            q[:, j] = q[:, j] / q[:, j].sum() / columns
    return (q * columns).T


def test_sinkhorn_equals_the_paper_and_shares_prototypes_equally() -> None:
    scores = draw(12, 5).clamp(-1, 1)
    assert torch.allclose(sinkhorn(scores, 0.05, 3), slow_sinkhorn(scores, 0.05, 3))
    settled = sinkhorn(scores, 0.5, 200)
    assert torch.allclose(settled.sum(dim=1), torch.ones(12, dtype=torch.float64))
    assert torch.allclose(settled.sum(dim=0), torch.full((5,), 12 / 5, dtype=torch.float64))
    assert sinkhorn(scores.float() * 1e4, 0.05, 3).isfinite().all()
    several = torch.stack([scores.float(), scores.float() - 1e4])  # apart: neither is lost beside the other
    assert torch.allclose(sinkhorn(several, 0.05, 3), sinkhorn(scores.float(), 0.05, 3), atol=2e-2)


@pytest.mark.parametrize("row", [[-2.0], [-6.0], [-8.0, -9.0], [-40.0]])
@pytest.mark.parametrize("iterations", [1, 3, 20])
def test_sinkhorn_loses_no_row_that_lies_far_below_the_others(row: list[float], iterations: int) -> None:
    scores = draw(12, 5).clamp(-1, 1)
    scores[: len(row)] += torch.tensor(row, dtype=torch.float64)[:, None]
    expected = slow_sinkhorn(scores, 0.06, iterations)
    found = sinkhorn(scores.float(), 0.06, iterations).double()
    assert torch.allclose(found.sum(dim=1), torch.ones(12, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(found, expected, atol=1e-4)
    assert torch.allclose(sinkhorn(scores, 0.06, iterations), expected, atol=1e-9)


@pytest.mark.parametrize("above", [2.0, 6.0, 8.0])
def test_sinkhorn_loses_no_row_to_one_that_lies_far_above(above: float) -> None:
    scores = draw(12, 5).clamp(-1, 1)
    scores[3] += above
    found = sinkhorn(scores.float(), 0.06, 3)
    assert torch.allclose(found.sum(dim=1), torch.ones(12), atol=1e-5)
    assert torch.allclose(found.double(), slow_sinkhorn(scores, 0.06, 3), atol=1e-4)
    assert sinkhorn(scores.float(), 0.06, 0)[3].sum().item() == pytest.approx(12)  # no step has evened rows out


def test_swapped_prediction_equals_the_paper() -> None:
    scores, assignment = draw(6, 4), sinkhorn(draw(6, 4, seed=2), 0.1, 3)
    slow = torch.zeros((), dtype=torch.float64)
    for q, s in zip(assignment, scores):
        p = torch.exp(s / 0.1) / torch.exp(s / 0.1).sum()
        slow -= (q * p.log()).sum() / 6
    assert torch.allclose(swapped_prediction(assignment, scores, 0.1), slow)
    flat = torch.full((6, 4), 0.25, dtype=torch.float64)
    assert swapped_prediction(flat, torch.ones_like(flat), 0.1).item() == pytest.approx(math.log(4))


def test_normalised_patches_have_no_mean_and_unit_deviation() -> None:
    patches = normalised_patches(3 + 2 * draw(2, 5, 48))
    assert torch.allclose(patches.mean(dim=2), torch.zeros(2, 5, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(patches.std(dim=2), torch.ones(2, 5, dtype=torch.float64), atol=1e-5)
    assert normalised_patches(torch.ones(1, 1, 48)).isfinite().all()


def test_only_hidden_tokens_count() -> None:
    predicted, target = draw(2, 6, 3).requires_grad_(), draw(2, 6, 3, seed=1)
    hidden = torch.tensor([[1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]], dtype=torch.bool)
    slow = sum(((predicted[b, n] - target[b, n]) ** 2).sum() for b, n in hidden.nonzero().tolist()) / 9
    loss = hidden_error(predicted, target, hidden)
    assert torch.allclose(loss, slow)
    loss.backward()
    assert predicted.grad is not None
    assert (predicted.grad[~hidden] == 0).all() and (predicted.grad[hidden] != 0).all()


def test_weights_average_the_error() -> None:
    predicted, target = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1)
    weight = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    whole = weight.expand(2, 3, 4, 4)
    expected = ((predicted - target) ** 2 * whole).sum() / whole.sum()
    assert torch.allclose(weighted_error(predicted, target, weight), expected)
    assert torch.allclose(
        weighted_error(predicted, target, torch.ones(1, dtype=torch.float64)), ((predicted - target) ** 2).mean()
    )
    assert weighted_error(predicted, target, torch.zeros_like(weight)).item() == 0


@pytest.mark.parametrize("kind", ["l2", "l1", "smooth_l1"])
def test_every_kind_of_error_equals_its_definition(kind: str) -> None:
    predicted, target, beta = 3 * draw(4, 5), draw(4, 5, seed=1), 2.0
    weight = torch.rand(4, 5, dtype=torch.float64)
    slow = torch.zeros((), dtype=torch.float64)
    for p, t, w in zip(predicted.flatten(), target.flatten(), weight.flatten()):
        gap = abs(p - t)
        smooth = gap**2 / (2 * beta) if gap < beta else gap - beta / 2
        slow += w * {"l2": gap**2, "l1": gap, "smooth_l1": smooth}[kind]
    assert torch.allclose(weighted_error(predicted, target, weight, kind, beta), slow / weight.sum())  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(
        lambda x: weighted_error(x, target, weight, kind, beta),  # type: ignore[arg-type]
        predicted.requires_grad_(),
    )


def test_colours_cost_their_weighted_cross_entropy() -> None:
    scores, target, weight = draw(2, 5, 3, 4), draw(2, 5, 3, 4, seed=1).softmax(dim=1), draw(2, 3, 4, seed=2).exp()
    slow = torch.zeros((), dtype=torch.float64)
    for b in range(2):
        for h in range(3):
            for w in range(4):
                p = torch.exp(scores[b, :, h, w]) / torch.exp(scores[b, :, h, w]).sum()
                slow -= weight[b, h, w] * (target[b, :, h, w] * p.log()).sum()
    assert torch.allclose(weighted_cross_entropy(scores, target, weight), slow / weight.sum())
    even = torch.ones_like(weight)
    known = weighted_cross_entropy(torch.zeros_like(scores), target, even)
    assert known.item() == pytest.approx(math.log(5))
    assert torch.autograd.gradcheck(lambda x: weighted_cross_entropy(x, target, weight), scores.requires_grad_())


def test_distillation_with_centring_and_sharpening_equals_the_paper() -> None:
    teacher, student, centre = draw(6, 4), draw(6, 4, seed=1), draw(4, seed=2)
    slow = []
    for t, s in zip(teacher, student):
        p = torch.exp((t - centre) / 0.04) / torch.exp((t - centre) / 0.04).sum()
        q = torch.exp(s / 0.1) / torch.exp(s / 0.1).sum()
        slow.append(-(p * q.log()).sum())
    actual = distilled(sharpened(teacher, centre, 0.04), student, 0.1)
    assert torch.allclose(actual, torch.stack(slow))
    assert torch.allclose(moved_centre(centre, teacher, 0.9), 0.9 * centre + 0.1 * teacher.mean(dim=0))
    assert torch.equal(moved_centre(centre, teacher[:0], 0.9), centre)
    answer = sharpened(teacher, centre, 0.04)
    assert torch.autograd.gradcheck(lambda x: distilled(answer, x, 0.1), student.requires_grad_())


def test_views_answer_each_other_and_never_themselves() -> None:
    answers, said = draw(2, 5, 4).softmax(dim=2), draw(3, 5, 4, seed=1)
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2)]
    slow = sum(distilled(answers[a], said[b], 0.1).mean() for a, b in pairs) / 4
    assert torch.allclose(across_views(list(answers), list(said), 0.1), slow)


def test_hidden_tokens_count_alike_within_a_view_and_views_alike() -> None:
    hidden = torch.tensor([[1, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=torch.bool)
    each = draw(4)
    assert torch.allclose(within_views(each, hidden, hidden.flatten().nonzero()[:, 0]), (each[:3].mean() + each[3]) / 3)
    assert within_views(each[:0], torch.zeros(2, 3, dtype=torch.bool), torch.zeros(0, dtype=torch.long)).item() == 0


def test_simdinos_distance_is_that_of_unit_vectors_of_different_views() -> None:
    answers, said = draw(2, 5, 4), draw(3, 5, 4, seed=1)
    slow = [cosine_distance(answers[a], said[b]) / 2 for a, b in [(0, 1), (0, 2), (1, 0), (1, 2)]]
    assert torch.allclose(views_apart(answers, said), sum(slow) / 4)
    assert torch.allclose(half_distance(answers[0], said[0]).mean(), cosine_distance(answers[0], said[0]) / 2)
    assert torch.autograd.gradcheck(lambda x: views_apart(answers, x), said.requires_grad_())


def test_only_objectives_are_the_loss_of_a_profile() -> None:
    x = torch.rand(2, 3, 8, 8)
    parts = []
    for call in (lambda: blurred(x, torch.ones(2), 1.0), lambda: cosine_distance(x[0, 0], x[1, 0])):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            call()
        parts.append([event.name for event in profile.events() if event.name.startswith(PREFIX)])
    assert parts == [[], [f"{PREFIX}loss"]]
