"""Probes and splits: against slow references, and never a look at the test labels."""

import math

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from selftaught.judging.probes import linear
from selftaught.judging.probes.knn import knn_predict, neighbours_for
from selftaught.judging.probes.linear import choose_strength, linear_predict
from selftaught.judging.subsets import folds, held_out, label_subset, parse_labels
from selftaught.system.errors import DataError, UsageError

NAMES = ["bird", "dog", "cat"]


@pytest.fixture(scope="module")
def digits():  # type: ignore[no-untyped-def]
    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order[:900]], y[order[:900]], x[order[900:]], y[order[900:]]


def slow_knn(train, labels, test, classes, k):  # type: ignore[no-untyped-def]
    said = []
    for query in test:
        similar = [float(query @ key / np.linalg.norm(query) / np.linalg.norm(key)) for key in train]
        nearest = sorted(range(len(train)), key=lambda i: -similar[i])[:k]
        votes = [sum(math.exp(similar[i] / 0.1) for i in nearest if labels[i] == c) for c in range(classes)]
        said.append(int(np.argmax(votes)))
    return said


def test_knn_equals_a_slow_vote(digits, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    train, y, test, _ = digits
    expected = slow_knn(train[:200], y[:200], test[:40], 10, 7)
    assert knn_predict(train[:200], y[:200], test[:40], 10, 7).tolist() == expected
    monkeypatch.setattr("selftaught.judging.probes.knn.CHUNK_BYTES", 4 * 200 * 3)
    assert knn_predict(train[:200], y[:200], test[:40], 10, 7).tolist() == expected
    assert knn_predict(train[:3], y[:3], test[:5], 10, 50).shape == (5,)


def test_few_samples_mean_few_neighbours() -> None:
    assert neighbours_for(10, 10) == 1 and neighbours_for(100, 10) == 5 and neighbours_for(50_000, 10) == 200


def test_the_linear_probe_is_as_good_as_scikit_learns_best(digits) -> None:  # type: ignore[no-untyped-def]
    train, y, test, truth = digits
    said, _ = linear_predict(train, y, test, 0)
    grid = np.logspace(-4, 2, 7)
    best = max(LogisticRegression(C=c, max_iter=2000).fit(train, y).score(test, truth) for c in grid)
    assert (said == truth).mean() > best - 0.003 - 0.01  # 897 test samples: one point is nine of them


def test_the_strength_is_chosen_without_the_test_set(digits, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    train, y, test, _ = digits
    assert linear_predict(train, y, test, 0)[1] == linear_predict(train, y, np.zeros_like(test), 0)[1]
    assert linear_predict(train, y, test, 0)[1] == choose_strength(train, y, 0)
    monkeypatch.setattr(linear, "STRENGTHS", (1e-9, 1e-1))
    assert choose_strength(train, y, 0) == 1e-1  # the one that cannot learn anything loses


def test_one_label_a_class_is_enough_to_fit(digits) -> None:  # type: ignore[no-untyped-def]
    train, y, test, truth = digits
    rows = label_subset(y, NAMES, parse_labels("1")[0], 0)
    said, strength = linear_predict(train[rows], y[rows], test, 0)
    assert strength == linear.WITHOUT_CHOICE and (said == truth).mean() > 0.35


def test_label_counts_are_read_and_told() -> None:
    counts = parse_labels("1%, 10%,5,100%")
    assert [str(count) for count in counts] == ["1% of the labels", "10% of the labels", "5 per class", "all labels"]
    for bad in ("0", "0%", "101%", "ten", "5,,6", "-1"):
        with pytest.raises(UsageError, match="--labels cannot be"):
            parse_labels(bad)


def test_subsets_are_stratified_fixed_and_different_by_seed() -> None:
    labels = np.repeat([0, 1, 2], [200, 100, 10])
    some = label_subset(labels, NAMES, parse_labels("10%")[0], 0)
    assert np.bincount(labels[some]).tolist() == [20, 10, 1] and (np.diff(some) > 0).all()
    assert np.array_equal(some, label_subset(labels, NAMES, parse_labels("10%")[0], 0))
    assert not np.array_equal(some, label_subset(labels, NAMES, parse_labels("10%")[0], 1))
    assert np.bincount(labels[label_subset(labels, NAMES, parse_labels("1%")[0], 0)]).tolist() == [2, 1, 1]
    assert np.bincount(labels[label_subset(labels, NAMES, parse_labels("7")[0], 0)]).tolist() == [7, 7, 7]
    with pytest.raises(DataError, match="asks for 11 of class cat, which has 10 to learn from"):
        label_subset(labels, NAMES, parse_labels("11")[0], 0)


def test_folds_test_everyone_once_a_round_and_keep_proportions() -> None:
    labels = np.repeat([0, 1], [40, 15])
    rounds: dict[int, list[int]] = {}
    alone = np.arange(55)
    for number, train, test in folds(labels, alone, NAMES[:2], 3, 0):
        assert not set(train) & set(test) and np.bincount(labels[test]).tolist() == [8, 3]
        rounds.setdefault(number, []).extend(test.tolist())
    assert len(rounds) == 3 and all(sorted(rows) == list(range(55)) for rows in rounds.values())
    assert len(list(folds(np.array([0, 0, 0, 1, 1]), np.arange(5), NAMES[:2], 1, 0))) == 2
    with pytest.raises(DataError, match="class dog has a single labelled sample"):
        list(folds(np.array([0, 0, 1]), np.arange(3), NAMES[:2], 1, 0))


def test_what_has_the_same_content_is_on_one_side() -> None:
    labels, content = np.repeat([0, 1], 100), np.concatenate([np.arange(100), 100 + np.arange(100) % 4])
    found = list(folds(labels, content, NAMES[:2], 2, 0))
    assert len(found) == 8, "as many folds as the rarer class has contents"
    for _, train, test in found:
        assert not set(content[train]) & set(content[test]) and set(labels[train]) == {0, 1}
    assert sorted(np.concatenate([test for _, _, test in found[:4]])) == list(range(200))
    with pytest.raises(DataError, match="class dog has only copies of a single labelled sample"):
        list(folds(labels, np.where(labels == 1, 100, content), NAMES[:2], 1, 0))
    learnt, held = held_out(labels, content, 0.2, 0)
    assert not set(content[learnt]) & set(content[held])
    assert np.bincount(labels[held]).tolist() == [20, 25] and set(labels[learnt]) == {0, 1}


@pytest.mark.parametrize("always", [0.0, 1e9], ids=["exact", "low precision first"])
def test_knn_over_many_samples_finds_the_same_neighbours(always: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selftaught.judging.probes.knn.SMALL", 0)
    clock = iter(range(10**6))
    # A clock by which the second of two measurements, the low precision, is much slower or much faster.
    ticks = iter([0.0, 1.0, 0.0, 1.0 / always if always else 9.0])
    monkeypatch.setattr("selftaught.judging.probes.knn.time.perf_counter", lambda: next(ticks, next(clock)))
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 3000)
    x = (5 + rng.normal(size=(4, 32))[y] * 0.4 + rng.normal(size=(3000, 32))).astype(np.float32)
    expected = slow_knn(x[:2900], y[:2900], x[2900:], 4, 20)
    assert knn_predict(x[:2900], y[:2900], x[2900:], 4, 20).tolist() == expected
