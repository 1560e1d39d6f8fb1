"""Measures of several labels, numbers and uneven classes: against scikit-learn, draws, and all swaps there are."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, balanced_accuracy_score, r2_score

from selftaught.judging import onevsrest, precision, ridge
from selftaught.judging.accuracy import gain_over, measured
from selftaught.judging.comparison import Point
from selftaught.judging.estimates import Measure
from selftaught.judging.measures import details_of, other_than_accuracy, shares, values
from selftaught.judging.paired import SIZES, interval, luck
from selftaught.judging.parts import reach_of_labels, within_of_classes, within_of_parts
from selftaught.judging.precision import Answered, luck_of_swaps
from selftaught.judging.principal import principal
from selftaught.judging.probes.knn import knn_means
from selftaught.judging.probes.linear import said_of
from selftaught.judging.ranking import with_interval
from selftaught.judging.result import Row, verdicts
from selftaught.judging.subsets import merged

MEASURES = {"balanced_accuracy": "classes", "mAP": "several", "R2": "number"}


def drawn(measure: str, rng: np.random.Generator, samples: int) -> tuple[Any, Any]:
    """What was said, and what is so; scores often tie."""
    if measure == "balanced_accuracy":
        truth = rng.choice(3, samples, p=[0.7, 0.2, 0.1])
        return np.where(rng.random(samples) < np.array([0.95, 0.6, 0.2])[truth], truth, (truth + 1) % 3), truth
    if measure == "mAP":
        own = rng.random((samples, 3)) < 0.3
        return np.round(0.3 * own + rng.random((samples, 3)), 1), own
    truth = rng.normal(size=samples)
    return truth + rng.normal(size=samples), truth


def plainly(measure: str, said: Any, truth: Any, weight: Any = None) -> float:
    if measure == "balanced_accuracy":
        return float(balanced_accuracy_score(truth, said, sample_weight=weight))
    if measure == "mAP":
        return float(average_precision_score(truth, said, average="macro", sample_weight=weight))
    return float(r2_score(truth, said, sample_weight=weight))


@pytest.mark.parametrize("measure", MEASURES)
def test_parts_have_the_measure_for_their_mean(measure: str) -> None:
    rng = np.random.default_rng(0)
    said, truth = drawn(measure, rng, 90)
    group = rng.integers(0, 50, 90)
    weight = 1 / np.bincount(group)[group]
    parts = shares(measure, [[(said, truth)]], [[group]])[0][0]
    assert parts.mean() == pytest.approx(plainly(measure, said, truth, weight))
    assert values(MEASURES[measure], [[(said, truth)]], [[group]])[measure] == pytest.approx(parts.mean())  # type: ignore[arg-type]
    folds = [np.arange(0, 40), np.arange(40, 90)]
    whole = np.arange(90)
    apart = shares(measure, [[(said[own], truth[own]) for own in folds]], [[whole[own] for own in folds]])[0]
    assert [len(own) for own in apart] == [40, 50]
    assert np.concatenate(apart).mean() == pytest.approx(plainly(measure, said, truth)), "of all folds together"


@pytest.mark.parametrize("measure", ["balanced_accuracy", "mAP"])
def test_the_details_have_the_measure_for_their_mean(measure: str) -> None:
    rng = np.random.default_rng(0)
    (first, truth), (second, _) = drawn(measure, rng, 90), drawn(measure, rng, 90)
    second = second / 2 if measure == "mAP" else np.where(rng.random(90) < 0.5, truth, second)  # on another scale
    group, folds = rng.integers(0, 50, 90), [np.arange(0, 40), np.arange(40, 90)]
    answers = [[(said[own], truth[own]) for own in folds] for said in (first, second)]
    contents = [[group[own] for own in folds]] * 2
    task: Any = MEASURES[measure]
    told = details_of(task, "trained", "knn", "all", answers, contents, 3)
    each = told.recall if measure == "balanced_accuracy" else told.average_precision
    assert np.mean(each) == pytest.approx(values(task, answers, contents)[measure])  # type: ignore[arg-type]
    alone = [[np.arange(90)[own] for own in folds]] * 2
    if measure == "mAP":
        said, own = np.concatenate([first, second]) >= 0.5, np.concatenate([truth, truth])
        recall = details_of(task, "trained", "knn", "all", answers, alone, 3).recall
        assert recall == [said[has, label].mean() for label, has in enumerate(own.T)]


@pytest.mark.parametrize("measure", MEASURES)
def test_the_spread_of_parts_is_that_of_samples_drawn_anew(measure: str) -> None:
    rng = np.random.default_rng(1)
    said, truth = drawn(measure, rng, 400)
    again = [plainly(measure, said[own], truth[own]) for own in rng.integers(0, 400, (400, 400))]
    parts = shares(measure, [[(said, truth)]], [[np.arange(400)]])[0][0]
    assert parts.std() / 20 == pytest.approx(np.std(again), rel=0.15)


@pytest.mark.parametrize("measure", MEASURES)
def test_intervals_hold_the_truth(measure: str) -> None:
    rng = np.random.default_rng(2)
    whole = plainly(measure, *drawn(measure, rng, 200_000))
    held = []
    for _ in range(200):
        answers, contents = {"trained": [[drawn(measure, rng, 80)]]}, [[np.arange(80)]]
        by = other_than_accuracy(measure, answers, contents, None)
        right = {"trained": shares(measure, answers["trained"], contents)}
        [row], _ = measured(right, "linear", "all labels", 80, by=by)
        held.append(row.low <= whole <= row.high)
    assert 0.91 <= np.mean(held) <= 0.995, np.mean(held)


def test_few_samples_of_many_labels_are_no_surer_than_an_accuracy() -> None:
    rng, found, weights = np.random.default_rng(6), [], np.ones(10)
    for _ in range(300):
        truth = rng.random((10, 10)) < 0.4
        scores = 3 * truth + rng.normal(size=(10, 10))
        parts = precision.parts(scores, truth, weights)
        found.append((parts.mean(), *within_of_parts(parts, reach_of_labels(truth, weights))))
    values, low, high = np.array(found).T
    assert ((low <= values.mean()) & (values.mean() <= high)).mean() > 0.95  # 0.74 by what parts tell alone


def test_classes_that_are_all_right_may_be_wrong_once_in_a_while() -> None:
    truth = np.repeat([0, 1], [96, 4])
    low, high = within_of_classes(truth, truth, np.ones(100))
    assert high == 1 and 0.7 < low < 0.8, "four samples say little of their class"


def test_swaps_that_are_drawn_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(3)
    truth, group = rng.random((14, 2)) < 0.5, np.repeat(np.arange(7), 2)
    own, other = np.round(0.3 * truth + rng.normal(size=(14, 2)), 1), np.round(rng.normal(size=(14, 2)), 1)
    weight = np.full(14, 0.5)

    def apart(swapped: Any) -> float:
        turned = np.array(swapped)[group][:, None]
        both = np.where(turned, other, own), np.where(turned, own, other)
        one, another = (plainly("mAP", said, truth, weight) for said in both)
        return one - another

    seen = abs(apart([False] * 7))
    exact = np.mean([abs(apart(swapped)) >= seen - 1e-9 for swapped in product([False, True], repeat=7)])
    found = luck_of_swaps([Answered(own, other, truth, group, weight)])
    assert 0.02 < exact < 0.6 and found == pytest.approx(exact, abs=0.03)
    assert luck_of_swaps([Answered(own, own, truth, group, weight)]) == 1.0


def test_swaps_of_repeats_go_together() -> None:
    """Answers that are the same in each repeat are no more evidence than once."""
    rng = np.random.default_rng(4)
    truth = rng.random((30, 2)) < 0.4
    once = Answered(truth + rng.normal(size=(30, 2)), rng.normal(size=(30, 2)), truth, np.arange(30), np.ones(30))
    assert luck_of_swaps([once] * 3) == pytest.approx(luck_of_swaps([once]), abs=0.02)


def test_coins_of_each_sample_agree_with_those_of_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = np.random.default_rng(5).normal(0.1, 1, SIZES + 100).round(3)
    each = luck(apart)
    monkeypatch.setattr("selftaught.judging.paired.SIZES", 10**6)
    assert luck(apart) == pytest.approx(each, abs=0.03) and 0.001 < each < 0.9


def test_an_interval_that_lies_to_one_side_is_told_by_its_ends() -> None:
    (all_right,), _ = measured({"trained": [[np.ones(10)]]}, "knn", "l", 10)
    assert all_right.shown() == "100.0 (72.2 to 100.0)" and all_right.half == pytest.approx(0.139, abs=1e-3)
    about: dict[str, Any] = {"features": "trained", "probe": "p", "labels": "l", "repeats": 1}
    even = Row(**about, accuracy=0.7, low=0.651, high=0.731)  # 0.9 points to one side
    assert even.shown() == "70.0 ± 4.0" and even.model_copy(update={"low": 0.62}).shown() == "70.0 (62.0 to 73.1)"
    told = Row(**about, accuracy=0.5, low=-0.2, high=0.8, measure="R2").shown()
    assert told == "0.500 (-0.200 to 0.800)"
    near = Row(**about, accuracy=0.9969, low=0.9899, high=0.9999, measure="mAP")  # 0.2 points to one side, of 0.5
    assert near.shown() == "99.7 (99.0 to 100.0)"
    assert Row(**about, accuracy=0.003, low=0.0, high=0.01).shown() == "0.3 (0.0 to 1.0)"
    point = Point(rung=1, minutes=1, value=0.98, low=0.9, high=1.0, seeds=2)
    assert with_interval(point, Measure("linear", True)) == "98.0 (90.0 to 100.0)"
    unbounded = point.model_copy(update={"low": -np.inf})
    assert with_interval(unbounded, Measure("linear", True, "R2")) == "0.980 (too few to say)"


def test_what_has_no_bound_is_not_cut_to_one() -> None:
    apart = np.linspace(1, 9, 40)
    low, high = interval(apart, reach=None)
    assert 1 < low < 5 < high and interval(apart)[1] == 1.0
    row = Row(features="trained", probe="p", labels="l", accuracy=-2.5, low=-3, high=-2, repeats=1, measure="R2")
    assert row.shown() == "-2.500 ± 0.500"
    far = row.model_copy(update={"features": "untrained", "accuracy": -4.0, "low": -4.5, "high": -3.5})
    assert verdicts([row, far])[0] == "p, l: R² -2.500 ± 0.500 against -4.000 ± 0.500 untrained: it helped"


@pytest.mark.parametrize("measure", MEASURES)
def test_a_gain_of_another_measure_is_the_difference(measure: str) -> None:
    rng = np.random.default_rng(6)
    said, truth = drawn(measure, rng, 60)
    other = rng.permutation(said)
    answers = {"trained": [[(said, truth)]] * 2, "pixels": [[(other, truth)]] * 2}
    contents = [[np.arange(60)]] * 2
    by = other_than_accuracy(measure, answers, contents, None)
    right = {kind: shares(measure, own, contents) for kind, own in answers.items()}
    rows, [gain] = measured(right, "linear", "all labels", 60, by=by)
    assert gain.gain == pytest.approx(plainly(measure, said, truth) - plainly(measure, other, truth))
    assert gain.low < gain.gain < gain.high and {row.measure for row in rows} == {measure}
    assert gain.luck is not None and gain.luck < 0.05 < gain_over(right["pixels"], right["pixels"], "", "", "").luck  # type: ignore[operator]


def test_one_against_the_rest_is_scikit_learns() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(150, 6)).astype(np.float32)
    truth = x @ rng.normal(size=(6, 3)) + rng.normal(size=(150, 3)) > [0, 1, 2]
    found = onevsrest.fit(x, truth, np.full(6, 1 / (0.5 * 150)))
    for label in range(3):
        known = LogisticRegression(C=0.5, tol=1e-8).fit(x, truth[:, label])
        assert found.says(x)[:, label] == pytest.approx(expit(known.decision_function(x)), abs=2e-3)
    assert found.converged and found.says(x).shape == (150, 3)


def test_ridge_is_scikit_learns_whatever_the_components() -> None:
    rng = np.random.default_rng(8)
    x = (rng.normal(size=(80, 5)) * [9, 3, 1, 0.5, 0.1]).astype(np.float32)
    y = 100 + x @ rng.normal(size=5) + rng.normal(size=80)
    features = principal(x, np.arange(80))
    for strength in (1e-3, 1.0, 1e3):
        found = ridge.fit(features.z, y, 1 / features.variances, strength)
        known = Ridge(alpha=1 / strength).fit(x.astype(np.float64), y)
        assert found.says(features.z) == pytest.approx(known.predict(x), abs=1e-2)
        assert ridge.fit(features.z, y, 1 / features.variances, strength, found).weights == pytest.approx(found.weights)


def test_the_strength_of_ridge_is_chosen_and_never_by_what_is_tested() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(120, 10)).astype(np.float32)
    y = x[:, 0] + rng.normal(size=120)
    rows, test = np.arange(80), np.arange(80, 120)
    shown, strata = {"own": principal(x, rows)}, rows % 5
    said, choice, _ = said_of(shown, y[rows], strata, rows, test, 0, task="number")
    changed = x.copy()
    changed[100:] = 0
    again, same, _ = said_of({"own": principal(changed, rows)}, y[rows], strata, rows, test, 0, task="number")
    assert choice.strength < 1e3 and r2_score(y[test], said) > 0.1
    assert choice == same and again[:20] == pytest.approx(said[:20], abs=1e-4)


def test_neighbours_have_a_mean_each_by_its_vote() -> None:
    rng = np.random.default_rng(10)
    train, test, held = rng.normal(size=(30, 4)), rng.normal(size=(5, 4)), rng.random((30, 2))
    for query, said in zip(test, knn_means(train, held, test, 3)):
        alike = train @ query / np.linalg.norm(train, axis=1) / np.linalg.norm(query)
        nearest = np.argsort(-alike)[:3]
        assert said == pytest.approx(np.average(held[nearest], axis=0, weights=np.exp(alike[nearest] / 0.1)), rel=1e-3)


def test_strata_that_are_too_small_for_folds_are_one() -> None:
    strata, group = np.repeat([0, 1, 2, 7], [6, 2, 3, 9]), np.arange(20)
    assert merged(strata, group).tolist() == [0] * 6 + [2] * 5 + [1] * 9
    assert merged(strata, np.minimum(group, 11)).tolist() == [0] * 6 + [1] * 14, "the last is of one group alone"
    assert merged(strata[:8], group[:8]).tolist() == [0] * 8, "too few to be a stratum are of the largest"
    assert merged(np.array([0, 1]), np.arange(2)).tolist() == [0, 0]


def test_many_samples_and_labels_draw_fewer_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    truth = rng.random((50, 3)) < 0.3
    answered = Answered(truth + rng.normal(size=(50, 3)), rng.normal(size=(50, 3)), truth, np.arange(50), np.ones(50))
    monkeypatch.setattr(precision, "WORK", 1)
    assert luck_of_swaps([answered]) * (1 + precision.FEW_DRAWS) % 1 == pytest.approx(0, abs=1e-9)
