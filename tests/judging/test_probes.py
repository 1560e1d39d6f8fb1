"""Probes and splits: against slow references, and never a look at the test labels."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from selftaught.judging import onevsrest
from selftaught.judging.logistic import TOLERANCE, fit
from selftaught.judging.neighbours import Coarse, neighbours, unit
from selftaught.judging.principal import principal
from selftaught.judging.probes import linear
from selftaught.judging.probes.knn import knn_predict, neighbours_for
from selftaught.judging.probes.linear import Choice, choose, linear_predict, penalised, searched
from selftaught.judging.shown import Shown
from selftaught.judging.subsets import folds, held_out, label_subset, parse_labels
from selftaught.system.errors import DataError, Interrupted, UsageError
from selftaught.system.interruption import stopping

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
    monkeypatch.setattr("selftaught.judging.neighbours.CHUNK_BYTES", 4 * 200 * 3)
    assert knn_predict(train[:200], y[:200], test[:40], 10, 7).tolist() == expected
    assert knn_predict(train[:3], y[:3], test[:5], 10, 50).shape == (5,)


def test_few_samples_mean_few_neighbours() -> None:
    assert neighbours_for(10, 10) == 1 and neighbours_for(100, 10) == 5 and neighbours_for(50_000, 10) == 200


def shown(train, test, scaled=False, **others):  # type: ignore[no-untyped-def]
    """Training features followed by those of the test set, as the probe is shown them; and the rows of both."""
    features = {"own": (train, test), **others}
    rows, asked = np.arange(len(train)), np.arange(len(train), len(train) + len(test))
    return Shown({name: np.concatenate(both) for name, both in features.items()}, rows, scaled), rows, asked


def predicted(train, y, test, **others):  # type: ignore[no-untyped-def]
    features, rows, asked = shown(train, test, **others)
    said, choice, _ = linear_predict(features, y, rows, asked, 0)
    return said, choice


def test_the_linear_probe_is_as_good_as_scikit_learns_best(digits) -> None:  # type: ignore[no-untyped-def]
    train, y, test, truth = digits
    said, _ = predicted(train, y, test)
    grid = np.logspace(-4, 2, 7)
    best = max(LogisticRegression(C=c, max_iter=2000).fit(train, y).score(test, truth) for c in grid)
    assert (said == truth).mean() > best - 0.003 - 0.01  # 897 test samples: one point is nine of them


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("strength", [1e-3, 1.0, 100.0])
def test_a_fit_is_scikit_learns_to_the_end(digits, whitened: bool, strength: float) -> None:  # type: ignore[no-untyped-def]
    """Of features as they are and whitened ones: no worse a loss than that of a solver that takes its time."""
    train, y, test, _ = digits
    features = np.concatenate([train, test]) * np.geomspace(0.1, 10, 64)[None].astype(np.float32)
    rows = np.arange(len(train))
    turned = principal(features, rows)
    found = fit(turned.z[rows], y, 10, penalised(turned, whitened) / (strength * len(rows)))
    assert found.converged and found.iterations < 300
    own = turned.z if whitened else turned.z * np.sqrt(turned.variances)
    exact = LogisticRegression(C=strength, max_iter=10**5, tol=1e-8, solver="newton-cg").fit(own[rows].astype(float), y)

    def loss(weights: np.ndarray, scores: np.ndarray) -> float:
        right = log_softmax(scores[rows], axis=1)[rows, y]
        return -float(right.mean()) + float((weights**2).sum()) / (2 * strength * len(rows))

    weights = found.weights / (1 if whitened else np.sqrt(turned.variances)[:, None])
    ours, best = loss(weights, own @ weights + found.bias), loss(exact.coef_, own @ exact.coef_.T + exact.intercept_)
    assert best - 1e-6 < ours < best + 1e-3
    said = found.says(turned.z[len(train) :])
    assert (said == exact.predict(own[len(train) :])).mean() > 0.95


def test_components_have_variance_one_where_they_were_measured() -> None:
    rng = np.random.default_rng(0)
    for samples, width in ((300, 20), (30, 50)):  # products of the features, and of the samples
        x = (rng.normal(size=(samples, width)) @ rng.normal(size=(width, width)) + 3).astype(np.float32)
        part = np.arange(samples - 10)
        x[part[-1] + 1 :] += 5  # which nothing is measured on
        turned = principal(x, part)
        z = turned.z[part].astype(np.float64)
        k = min(width, len(part) - 1)
        assert turned.z.shape == (samples, k) and np.allclose(z.mean(axis=0), 0, atol=1e-3)
        assert np.allclose(z.T @ z / len(part), np.eye(k), atol=1e-2)
        assert turned.variances.sum() == pytest.approx(x[part].var(axis=0, dtype=np.float64).sum(), rel=1e-4)
    constant = principal(np.ones((5, 3), dtype=np.float32), np.arange(5))
    assert constant.z.shape == (5, 1) and not constant.z.any()


def test_what_few_iterations_cannot_do_is_told(digits, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    train, y, _, _ = digits
    turned = principal(train, np.arange(len(train)))
    monkeypatch.setattr("selftaught.judging.logistic.ITERATIONS", 2)
    assert not fit(turned.z, y, 10, np.full(turned.z.shape[1], TOLERANCE)).converged


def test_a_stop_does_not_wait_for_the_end_of_a_fit(digits) -> None:  # type: ignore[no-untyped-def]
    x, y, *_ = digits
    several = y[:, None] == np.arange(10)
    with stopping(time_limit=1e-9):  # which has passed as soon as it is asked for
        with pytest.raises(Interrupted):
            fit(x, y.astype(np.int64), 10, np.full(64, 1e-3))
        with pytest.raises(Interrupted):
            onevsrest.fit(x, several, np.full(64, 1e-3))


def test_the_choice_is_made_without_the_test_set(digits, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    train, y, test, _ = digits
    choice = predicted(train, y, test)[1]
    assert choice == predicted(train, y, np.zeros_like(test))[1]
    features, rows, _ = shown(train, test)
    assert choice == choose(features, y, rows, 0)
    monkeypatch.setattr(linear, "STRENGTHS", (1e-9, 1e-1))
    assert choose(features, y, rows, 0).strength >= 1e-1  # the one that cannot learn anything loses


def test_an_end_of_the_grid_that_wins_is_gone_beyond() -> None:
    for best in (1e-6, 1e-2, 1e4):
        asked: list[int] = []

        def right(strength: float, best: float = best, asked: list[int] = asked) -> int:
            asked.append(round(np.log10(strength)))
            return -abs(asked[-1] - round(np.log10(best)))

        assert searched(right) == (best, 0) and len(asked) == len(set(asked))
        assert set(asked) >= {round(np.log10(best)) + step for step in (-1, 0, 1)}
    assert searched(lambda c: round(np.log10(c)))[0] == 1e5 and searched(lambda c: -round(np.log10(c)))[0] == 1e-7
    assert Choice("own", False, 1e5).at_limit and not Choice("own", False, 1e4).at_limit
    assert searched(lambda c: 1) == (1e-2, 1), "of equals the middle one"


def test_whitening_and_features_are_chosen_by_what_they_are_good_for() -> None:
    """Classes that differ in all directions, large and small; classes in the largest alone; features that are noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    sign = np.where(y, 1.0, -1.0)[:, None]
    everywhere = (rng.normal(size=(2000, 150)) + 0.15 * sign) * np.geomspace(10, 0.05, 150)
    largest = rng.normal(size=(2000, 400)) * 0.1
    largest[:, :1] = sign * 1.5 + rng.normal(size=(2000, 1))
    noise = rng.normal(size=(2000, 8))
    for features, whitened in ((everywhere, True), (largest, False)):
        first, other = (x.astype(np.float32) for x in (noise, features))
        said, choice = predicted(first[:600], y[:600], first[600:], good=(other[:600], other[600:]))
        assert (choice.features, choice.whitened) == ("good", whitened)
        assert (said == y[600:]).mean() > 0.85


def test_many_labels_choose_the_features_by_some_of_them(digits, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    train, y, test, truth = digits
    noise = np.random.default_rng(0).normal(size=(2, len(train), 64)).astype(np.float32)
    monkeypatch.setattr(linear, "CHOOSING", 200)
    features, rows, asked = shown(noise[0], noise[1, : len(test)], good=(train, test))
    fitted: list[int] = []
    inner = linear._fit
    monkeypatch.setattr(linear, "_fit", lambda z, *how: fitted.append(len(z)) or inner(z, *how))
    said, choice, _ = linear_predict(features, y, rows, asked, 0)
    assert choice.features == "good" and (said == truth).mean() > 0.9
    assert sorted(set(fitted)) == [160, 720, 900], "a part, four fifths of all, all"


def test_classes_that_are_rare_among_many_labels_may_be_missed_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 labels 100 choose the features: of 30 classes that have ten each, some then have one label or none."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.zeros(100, dtype=np.int64), np.repeat(np.arange(1, 31), 10)])
    good = (rng.normal(size=(31, 20)) * 4)[y] + rng.normal(size=(400, 20))
    noise = rng.normal(size=(400, 20))
    monkeypatch.setattr(linear, "CHOOSING", 100)
    both = [x.astype(np.float32) for x in (noise, good)]
    features, rows, asked = shown(both[0], both[0], good=(both[1], both[1]))
    said, choice, _ = linear_predict(features, y, rows, asked, 0)
    assert choice.features == "good" and (said == y).mean() > 0.9


def test_few_labels_choose_no_features(digits) -> None:  # type: ignore[no-untyped-def]
    train, y, test, _ = digits
    noise = np.random.default_rng(0).normal(size=(2, len(train), 64)).astype(np.float32)
    for per_class, expected in (("9", "own"), ("10", "good")):
        rows = label_subset(y, NAMES, parse_labels(per_class)[0], 0)
        features, _, asked = shown(noise[0], noise[1, : len(test)], good=(train, test))
        assert linear_predict(features, y[rows], rows, asked, 0)[1].features == expected


def test_few_labels_do_not_choose_whitening_either() -> None:
    """Of classes that differ in all directions, large and small, for which whitening is good."""
    rng = np.random.default_rng(0)
    y = np.arange(1000) % 2
    x = (rng.normal(size=(1000, 150)) + 0.15 * np.where(y, 1.0, -1.0)[:, None]) * np.geomspace(10, 0.05, 150)
    for labels, whitened in ((18, False), (400, True)):
        learnt, asked = (part.astype(np.float32) for part in (x[:labels], x[400:]))
        assert predicted(learnt, y[:labels], asked)[1].whitened == whitened


def test_one_label_a_class_is_enough_to_fit(digits) -> None:  # type: ignore[no-untyped-def]
    train, y, test, truth = digits
    rows = label_subset(y, NAMES, parse_labels("1")[0], 0)
    features, _, asked = shown(train, test)
    said, choice, _ = linear_predict(features, y[rows], rows, asked, 0)
    assert choice == Choice("own", False, linear.WITHOUT_CHOICE) and (said == truth).mean() > 0.35


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
    with pytest.raises(
        DataError, match="asks for 11 of class cat, which has 10 to learn from: there are at most 10 of each class"
    ):
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
    monkeypatch.setattr("selftaught.judging.neighbours.SMALL", 0)
    clock = iter(range(10**6))
    # A clock by which the second of two measurements, the low precision, is much slower or much faster.
    ticks = iter([0.0, 1.0, 0.0, 1.0 / always if always else 9.0])
    monkeypatch.setattr("selftaught.judging.neighbours.time.perf_counter", lambda: next(ticks, next(clock)))
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 3000)
    x = (5 + rng.normal(size=(4, 32))[y] * 0.4 + rng.normal(size=(3000, 32))).astype(np.float32)
    expected = slow_knn(x[:2900], y[:2900], x[2900:], 4, 20)
    assert knn_predict(x[:2900], y[:2900], x[2900:], 4, 20).tolist() == expected


@pytest.mark.parametrize("apart", [1.0, 0.1, 0.05], ids=["spread", "tight", "tighter than rounding"])
def test_neighbours_are_exact_where_low_precision_cannot_tell_them(
    apart: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selftaught.judging.neighbours.SMALL", 0)
    monkeypatch.setattr("selftaught.judging.neighbours.time.perf_counter", iter([0.0, 9.0, 0.0, 1.0]).__next__)
    monkeypatch.setattr("selftaught.judging.neighbours.CHUNK_BYTES", 4 * 2000 * 30)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 64))[rng.integers(0, 5, 2100)] + apart * rng.normal(size=(2100, 64))
    keys, queries = unit(x[:2000]), unit(x[2000:])
    found = [similarity.sort(dim=1, descending=True)[0] for similarity, _ in neighbours(keys, queries, 20)]
    expected = (queries.double() @ keys.double().T).topk(20, dim=1)[0]
    assert len(found) == 4 and np.allclose(np.concatenate(found), expected, atol=1e-6, rtol=0)


def test_neighbours_that_low_precision_tells_are_not_looked_for_again() -> None:
    keys = unit(np.random.default_rng(0).normal(size=(3000, 32)))
    mean = keys.mean(dim=0)
    _, _, unsure = Coarse.of(keys, (keys - mean).bfloat16(), mean).nearest(keys[:200], 40)
    assert len(unsure) < 10


def test_a_choice_is_not_misled_by_what_belongs_together() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(24), 10)
    y = group % 2
    alike = rng.normal(0, 1, (24, 24))[group] + rng.normal(0, 0.05, (240, 24))  # which tells the group, and no class
    tells = rng.normal(0, 1, (240, 8)) + 0.4 * y[:, None]
    rows = np.arange(240)
    features = Shown({"alike": alike.astype(np.float32), "tells": tells.astype(np.float32)}, rows)
    assert choose(features, y, rows, 0, group).features == "tells"
    assert choose(features, y, rows, 0).features == "alike"  # as it would be
    few = np.isin(group, range(8))  # four of a class
    only = Shown({"alike": features.features["alike"]}, rows)
    assert choose(only, y[few], rows[few], 0, group[few]).right < 80  # of five times 20
