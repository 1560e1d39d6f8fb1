"""Where nothing was learnt, one verdict in twenty at most says otherwise; where something was, that is seen.

The draws are those of bench/false_claims.py, which has more circumstances, and more of each.
"""

import numpy as np
import pytest
from bench.false_claims import (
    Cell,
    claims,
    compared,
    folded,
    grouped,
    imbalanced,
    numbers,
    one_test_set,
    opposed,
    several,
    subsets,
    too_many,
    uneven,
)

from selftaught.judging import precision
from selftaught.judging.paired import interval, luck
from selftaught.judging.result import FEWEST

TRIALS = 150
CELLS = [
    *(opposed(samples) for samples in (FEWEST - 1, FEWEST, 10, 40)),
    *(one_test_set(samples, easy) for samples, easy in ((10, 0.5), (40, 0.8), (1_000, 0.5))),
    *(imbalanced(samples, 20) for samples in (50, 500)),
    *(grouped(groups, most, alike) for groups, most, alike in ((6, 100, 0.0), (12, 10, 2.0), (40, 100, 0.0))),
    *(subsets(samples, repeats, 0.03) for samples, repeats in ((100, 3), (2_000, 2))),
    *(folded(samples, 2, 4, 0.0, baselines=1) for samples in (10, 20, 150)),
    folded(60, 2, 4, 0.6, per_group=5),
    folded(60, 2, 4, 0.6, rare=0.7),
    *(compared(methods, seeds, 10_000, False) for methods, seeds in ((2, 1), (2, 2), (10, 2), (40, 2))),
    compared(10, 2, 10_000, True),
    *(compared(8, 2, samples, False) for samples in (FEWEST - 1, FEWEST, 20)),
]


OTHERS = [  # by other measures than accuracy
    *(uneven(samples, rare) for samples, rare in ((20, 0.2), (200, 0.05))),
    folded(60, 2, 4, 0.6, rare=0.5, measure="balanced_accuracy"),
    *(numbers(samples, freedom) for samples, freedom in ((8, 3.0), (60, 3.0))),
]
SLOW = [several(10, 3), several(40, 2, per_group=2)]


@pytest.mark.parametrize("cell", CELLS + OTHERS, ids=lambda cell: cell.about)
def test_where_nothing_was_learnt_nothing_is_claimed(cell: Cell) -> None:
    found = claims(cell, TRIALS, power=False)
    assert not too_many(found["false"], TRIALS), found
    if "2 seed(s), test set of 10,000" in cell.about:
        assert abs(found["above"]) < 0.3, "the value of the winner is that of the others"


@pytest.mark.parametrize("cell", SLOW, ids=lambda cell: cell.about)
def test_nor_is_by_measures_that_take_longer_to_test(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "WORK", 1)  # the fewest swaps that are ever drawn
    found = claims(cell, 100, power=False)
    assert not too_many(found["false"], 100), found


@pytest.mark.parametrize(
    ("cell", "least"),
    [
        (one_test_set(1_000, 0.5), 0.95),
        (opposed(100), 0.25),
        (grouped(40, 100, 0.0), 0.15),
        (subsets(2_000, 5, 0.0), 0.95),
        (folded(150, 2, 200, 0.1), 0.8),
        (compared(8, 2, 10_000, False), 0.9),
        (compared(8, 2, 1_000, True), 0.4),
        (uneven(200, 0.2), 0.8),
        (several(30, 3), 0.5),
        (numbers(100, 30.0), 0.75),
    ],
    ids=lambda value: value.about if isinstance(value, Cell) else "",
)
def test_what_was_learnt_is_seen(cell: Cell, least: float) -> None:
    assert claims(cell, 40)["sees"] >= least * 40


def test_the_bound_is_one_that_a_wrong_test_does_not_keep() -> None:
    assert too_many(18, TRIALS) and not too_many(7, TRIALS)  # 12 % is what two test images once had


def test_luck_is_the_exact_test_of_mcnemar() -> None:
    def apart(ahead: int, behind: int, same: int = 0) -> np.ndarray:
        return np.repeat([1.0, -1.0, 0.0], [ahead, behind, same])

    assert luck(apart(FEWEST, 0)) == pytest.approx(2 * 0.5**FEWEST) and luck(apart(FEWEST - 1, 0)) > 0.05
    assert luck(apart(0, 0, 9)) == 1.0 and luck(apart(3, 3)) == 1.0
    assert luck(apart(1, 8)) == pytest.approx(20 / 512)  # one or none of nine coins, or as many of the other side
    assert luck(apart(1, 8, 1000)) == luck(apart(8, 1)) and luck(apart(4, 32) / 3) == luck(apart(4, 32))


def test_signs_that_are_drawn_agree_with_all_of_them() -> None:
    apart = np.array([0.5, 0.25, 1.0, 0.75, -0.25, 1.0, 0.0, 0.5, 1.0])
    signs = 1 - 2 * np.array(np.meshgrid(*[[0, 1]] * len(apart))).reshape(len(apart), -1)
    exact = float((np.abs(apart @ signs) >= abs(apart.sum()) - 1e-9).mean())
    assert luck(apart) == pytest.approx(exact, abs=0.012) and luck(apart) == luck(-apart)


def test_an_interval_holds_the_truth_and_no_more_than_it_must() -> None:
    rng = np.random.default_rng(0)
    for samples, ahead, behind in ((20, 0.5, 0.2), (60, 0.2, 0.0), (400, 0.2, 0.15)):
        drawn = rng.choice([1.0, -1.0, 0.0], (400, samples), p=[ahead, behind, 1 - ahead - behind])
        found = np.array([interval(apart) for apart in drawn])
        held = ((found[:, 0] <= ahead - behind) & (ahead - behind <= found[:, 1])).mean()
        assert held > 0.93, (samples, held)
        assert (found[:, 1] - found[:, 0]).mean() < 5.5 * drawn.std() / samples**0.5
    assert interval(np.ones(FEWEST - 1))[0] <= 0 < interval(np.ones(20))[0]
