"""Strategies that choose what to label: each held to its formula, written out slowly, or to cases made by hand."""

import pkgutil
from collections.abc import Sequence
from itertools import islice
from typing import Any, get_args

import numpy as np
import pytest

from selftaught.judging import choosing
from selftaught.judging.choosing import strategy
from selftaught.judging.choosing.pool import Pool, look_alike
from selftaught.judging.choosing.probcover import radius
from selftaught.judging.choosing.strategy import Pick, Wanted
from selftaught.judging.choosing.typiclust import clusters, typicality
from selftaught.run.recipes import Select

SIZES = (40, 30, 20)


def blobs(sizes: Sequence[int] = SIZES, spread: float = 0.1, seed: int = 0) -> np.ndarray:
    """Directions (N, 8) about one axis each, in float32 as features are."""
    rng = np.random.default_rng(seed)
    x = np.eye(8)[np.repeat(np.arange(len(sizes)), sizes)] + spread * rng.normal(size=(sum(sizes), 8))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def chosen(by: str, pool: Pool, count: int, **wanted: Any) -> list[Pick]:
    return list(islice(strategy.named(by).choose(pool, Wanted(count=count, **wanted)), count))


def rows(picks: list[Pick]) -> list[int]:
    return [pick.row for pick in picks]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a.astype(float) - b) ** 2).sum()))


def test_every_strategy_can_be_asked_for() -> None:
    known = {module.name for module in pkgutil.iter_modules(choosing.__path__)} - {"pool", "strategy"}
    asked = get_args(Select.model_fields["by"].annotation)
    assert known == set(asked) and all(strategy.named(name).digest for name in asked)


def test_typiclust_takes_the_most_typical_of_each_cluster_the_largest_first() -> None:
    x = blobs()
    picks = chosen("typiclust", Pool(x), 3)
    starts = np.cumsum([0, *SIZES])
    for place, pick in enumerate(picks):
        own = np.arange(starts[place], starts[place + 1])
        k = min(20, len(own) // 2)
        worth = [1 / np.mean(sorted(distance(x[a], x[b]) for b in own if b != a)[:k]) for a in own]
        assert pick.row == own[int(np.argmax(worth))] and pick.worth == pytest.approx(max(worth), rel=1e-4)
    assert len({pick.cluster for pick in picks}) == 3


def test_clusters_that_have_labels_come_last() -> None:
    picks = chosen("typiclust", Pool(blobs()), 2, labelled=np.array([0]))
    assert 40 <= picks[0].row < 70 <= picks[1].row
    covered = chosen("coreset", Pool(blobs()), 2, labelled=np.array([0]))
    assert all(pick.row >= 40 for pick in covered) and covered[0].worth and covered[0].worth > 1.2


def test_clusters_too_small_to_be_typical_come_last_and_still_come() -> None:
    x = blobs((30, 30, 3))
    assert all(pick.row < 60 for pick in chosen("typiclust", Pool(x), 3))  # of the large ones there are more to take
    picks = chosen("typiclust", Pool(x), 63)
    assert sorted(rows(picks)) == list(range(63)) and [row >= 60 for row in rows(picks)].count(True) == 3
    assert min(place for place, row in enumerate(rows(picks)) if row >= 60) > 2
    assert typicality(x[:1]).tolist() == [0] and len(set(clusters(np.ones((9, 4), np.float32), 3, 0))) == 1


def test_coreset_is_k_centre_greedy() -> None:
    x = blobs(spread=0.4)
    expected = [int(np.argmax(x.astype(float) @ x.astype(float).mean(axis=0)))]
    worth: list[float | None] = [None]
    for _ in range(9):
        reach = [min(distance(x[a], x[b]) for b in expected) for a in range(len(x))]
        expected.append(int(np.argmax(reach)))
        worth.append(max(reach))
    picks = chosen("coreset", Pool(x), 10)
    assert rows(picks) == expected and [pick.worth for pick in picks[1:]] == pytest.approx(worth[1:], abs=1e-3)
    assert picks[0].worth is None


def test_probcover_covers_the_most_each_time_with_the_largest_pure_balls() -> None:
    x = blobs(spread=0.3)
    within = radius(x, 3, 0)
    of = clusters(x, 3, 0)
    apart = np.array([[distance(a, b) for b in x] for a in x])

    def pure(r: float) -> float:
        return float(np.mean([len(set(of[apart[row] <= r])) == 1 for row in range(len(x))]))

    assert pure(within - 1e-4) >= 0.95 > pure(within + 0.05)
    covered, expected, worth = np.zeros(len(x), bool), [], []
    for _ in range(12):
        held = ((apart <= within) & ~covered).sum(axis=1).astype(float)
        held[expected] = -1
        expected.append(int(held.argmax()))
        worth.append(held.max())
        covered |= apart[expected[-1]] <= within
    picks = chosen("probcover", Pool(x), 12, classes=3)
    assert rows(picks) == expected and [pick.worth for pick in picks] == worth and worth[-1] >= 1
    everything = rows(chosen("probcover", Pool(x), len(x), classes=3))
    assert sorted(everything) == list(range(len(x)))  # also where all is covered long before


def test_probcover_does_not_cover_again_what_labels_cover() -> None:
    first = chosen("probcover", Pool(blobs()), 1, classes=3)[0]
    after = chosen("probcover", Pool(blobs()), 1, classes=3, labelled=np.array([first.row]))[0]
    assert first.row < 40 <= after.row and first.worth and after.worth and after.worth < first.worth


@pytest.mark.parametrize(("by", "expected", "worth"), [("uncertainty", [2, 1, 0], 0.6), ("margin", [1, 2, 0], 0.02)])
def test_a_classifier_is_asked_about_what_it_wavers_at(by: str, expected: list[int], worth: float) -> None:
    likely = np.array([[0.9, 0.1, 0.0], [0.51, 0.49, 0.0], [0.4, 0.3, 0.3]])
    picks = chosen(by, Pool(blobs((1, 1, 1))), 3, probabilities=likely)
    assert rows(picks) == expected and picks[0].worth == pytest.approx(worth)


@pytest.mark.parametrize("by", get_args(Select.model_fields["by"].annotation))
def test_no_strategy_takes_two_that_look_alike_or_what_is_closed(by: str) -> None:
    x = blobs()
    twice = np.concatenate([x, x + np.float32(1e-4)])  # row 90 + n looks like row n
    likely = np.random.default_rng(0).dirichlet(np.ones(3), len(twice))
    near = look_alike(twice)
    assert 1e-3 < near < 0.1
    pool = Pool(twice, near=near)
    pool.take(np.arange(10))
    picks = rows(chosen(by, pool, 180, classes=3, probabilities=likely))
    assert len({row % 90 for row in picks}) == len(picks) == 80 and min(row % 90 for row in picks) == 10
    same = Pool(x, content=np.arange(90) // 2)  # copies by their content, whatever features say
    assert len(chosen(by, same, 90, classes=3, probabilities=likely[:90])) == 45


def test_chance_goes_by_the_seed_alone() -> None:
    one, again, other = (rows(chosen("random", Pool(blobs()), 20, seed=seed)) for seed in (0, 0, 1))
    assert one == again != other and len(set(one)) == 20


def test_samples_that_are_all_the_same_have_no_look_alikes_but_copies() -> None:
    assert look_alike(np.ones((5, 4), np.float32) / 2) == 0.0
