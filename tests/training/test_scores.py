"""Label-free scores on features whose spread and rank are known."""

import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform

from selftaught.training.looking.scores import (
    BETTER,
    alignment,
    alpha_req,
    feature_spread,
    idest,
    lidar,
    rankme,
    tree_length,
    uniformity,
    worth,
)

RNG = np.random.default_rng(0)


def test_spread_is_none_for_a_point_and_full_for_a_sphere() -> None:
    point = np.tile(RNG.normal(size=64), (500, 1))
    assert feature_spread(point) < 1e-6
    assert feature_spread(RNG.normal(size=(20_000, 64))) == pytest.approx(1, abs=0.01)
    assert feature_spread(np.concatenate([point, point + 0.5 * RNG.normal(size=point.shape)])) < 0.6


@pytest.mark.parametrize("rank", [1, 5, 32])
def test_rankme_counts_equal_directions(rank: int) -> None:
    basis, _ = np.linalg.qr(RNG.normal(size=(64, 64)))
    left, _ = np.linalg.qr(RNG.normal(size=(500, 64)))
    found = left[:, :rank] @ basis[:rank]
    assert rankme(found) == pytest.approx(rank, rel=0.01)
    assert rankme(7 * found) == pytest.approx(rankme(found))


def test_rankme_of_a_known_spectrum() -> None:
    shares = np.array([0.7, 0.2, 0.1])
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert rankme(np.diag(shares * 11)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_alpha_req_finds_the_exponent_of_a_power_law(alpha: float) -> None:
    basis, _ = np.linalg.qr(RNG.normal(size=(64, 64)))
    white, _ = np.linalg.qr(RNG.normal(size=(4000, 64)) - 0.0)
    found = (white - white.mean(axis=0)) * np.arange(1, 65) ** (-alpha / 2) @ basis
    assert alpha_req(found) == pytest.approx(alpha, rel=0.03)
    assert alpha_req(3 * found + 5) == pytest.approx(alpha_req(found))


def test_alpha_req_of_a_collapse_is_beyond_all_bounds() -> None:
    assert alpha_req(np.outer(RNG.normal(size=100), RNG.normal(size=8))) == float("inf")


def test_alignment_is_none_for_the_same_and_two_for_strangers() -> None:
    a, b = RNG.normal(size=(2, 4000, 128))
    assert alignment(a, 3 * a) == pytest.approx(0) and alignment(a, -a) == pytest.approx(4)
    assert alignment(a, b) == pytest.approx(2, abs=0.02)


def test_uniformity_is_none_for_a_point_and_that_of_the_sphere_for_all_directions() -> None:
    assert uniformity(np.tile(RNG.normal(size=16), (50, 1))) == pytest.approx(0)
    # Of points far apart in many dimensions nearly all pairs are at a squared distance of two.
    assert uniformity(RNG.normal(size=(500, 4096))) == pytest.approx(-4, abs=0.01)
    pair = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert uniformity(pair) == pytest.approx(-8)


def groups(between: np.ndarray, within: np.ndarray, samples: int = 4000, views: int = 8) -> np.ndarray:
    """Views (N, Q, D) of samples with these variances, in directions of no coordinate's."""
    basis, _ = np.linalg.qr(RNG.normal(size=(len(between), len(between))))
    centres = RNG.normal(size=(samples, 1, len(between))) * np.sqrt(between)
    return (centres + RNG.normal(size=(samples, views, len(between))) * np.sqrt(within)) @ basis


def entropy_rank(values: np.ndarray) -> float:
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def test_lidar_of_known_variances_within_and_between() -> None:
    between, within = np.array([9.0, 4.0, 4.0, 1.0, 0.25, 0.04]), np.array([1.0, 0.5, 2.0, 1.0, 1.0, 0.1])
    found = groups(between, within)
    expected = entropy_rank(between / within + 1 / 8)  # the mean of eight views keeps an eighth of their variance
    assert lidar(found) == pytest.approx(expected, rel=0.03)
    assert lidar(70 * found + 3) == pytest.approx(lidar(found), rel=1e-6)


def test_lidar_takes_away_what_differs_among_views_alone_and_rankme_does_not() -> None:
    between, within = np.full(32, 1e-6), np.full(32, 1.0)
    between[:4], within[:4] = 1.0, 0.001
    found = groups(between, within, samples=2000)
    assert lidar(found) == pytest.approx(4, rel=0.1)
    assert rankme(found.reshape(-1, 32)) > 25


def test_lidar_of_views_that_are_all_alike_counts_directions_of_samples() -> None:
    found = groups(np.array([1.0, 1.0, 1.0, 0.0, 0.0]), np.zeros(5), samples=500, views=3)
    assert lidar(found) == pytest.approx(3, rel=0.02)
    assert np.isfinite(lidar(np.ones((10, 2, 4))))


def test_a_tree_is_as_short_as_scipys_and_survives_copies() -> None:
    far = squareform(pdist(RNG.normal(size=(80, 5))))
    assert tree_length(far) == pytest.approx(minimum_spanning_tree(far).sum())
    line = np.array([0.0, 3.0, 1.0, 1.0, 7.0, 7.0])[:, None]
    assert tree_length(squareform(pdist(line))) == pytest.approx(7)


@pytest.mark.parametrize("dim", [1, 2, 4, 8])
def test_idest_finds_the_dimension_of_a_sphere_in_many_coordinates(dim: int) -> None:
    points = RNG.normal(size=(1500, dim + 1))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    basis, _ = np.linalg.qr(RNG.normal(size=(40, dim + 1)))
    found = points @ basis.T
    assert idest(found) == pytest.approx(dim, rel=0.15)
    assert idest(5 * found + 2) == pytest.approx(idest(found), rel=1e-6)


def test_idest_of_a_filled_cube_and_of_a_point() -> None:
    assert idest(RNG.random((1500, 3))) == pytest.approx(3, rel=0.15)
    assert idest(np.ones((50, 7))) == np.inf, "a collapse must not look like the lowest dimension"


def test_scores_are_turned_so_that_more_is_better() -> None:
    assert worth({"rankme": 3.0}, "rankme") > worth({"rankme": 2.0}, "rankme")
    assert worth({"idest": 3.0}, "idest") < worth({"idest": 2.0}, "idest")
    assert worth({"alpha_req": 1.1}, "alpha_req") > worth({"alpha_req": 0.5}, "alpha_req")
    assert worth({"alignment": 0.0, "feature_spread": 1e-6}, "alignment") == -np.inf
    assert worth({"alignment": 0.1, "feature_spread": 0.5}, "alignment") == -0.1
    assert all(worth({}, name) == worth({name: float("inf")}, name) == -np.inf for name in BETTER)
