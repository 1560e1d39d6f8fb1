"""Label-free scores on features whose spread and rank are known."""

import numpy as np
import pytest

from selftaught.judging.label_free import feature_spread, rankme

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
