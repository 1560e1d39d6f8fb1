"""Label-free scores on features whose spread and rank are known."""

import numpy as np
import pytest

from selftaught.judging.label_free import alignment, alpha_req, feature_spread, rankme, uniformity

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
