"""What is far, alike or mislabelled: each held to its formula, written out slowly, and to cases made by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from selftaught.judging import odd
from selftaught.judging.choosing.pool import look_alike
from selftaught.judging.featured import Featured
from selftaught.judging.mislabelled import confident_joint, out_of_fold, suspects, telling
from selftaught.judging.outlying import Surroundings, oddness, surroundings
from selftaught.run.recipes import Odd


def directions(count: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, 6)) * 0.3 + np.eye(6)[np.arange(count) % 3]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_surroundings_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    x = directions(60)
    x[30], x[41] = x[3], x[3]  # the very same, so that no sample can be told from its copy by its place
    apart = np.sqrt(((x[:, None].astype(float) - x) ** 2).sum(axis=2))
    near = float(np.quantile(apart[np.triu_indices(60, 1)], 0.02))
    monkeypatch.setattr("selftaught.judging.neighbours.CHUNK_BYTES", 4 * 60 * 7)
    done: list[int] = []
    found = surroundings(x, 5, near, lambda count, total: done.append(count))
    assert len(done) > 5 and done == sorted(done) and done[-1] == 60
    np.fill_diagonal(apart, np.inf)
    assert np.allclose(found.reach, np.sort(apart, axis=1)[:, 4], atol=1e-3)
    expected = {(a, b) for a in range(60) for b in range(a + 1, 60) if apart[a, b] <= near}
    assert {*map(tuple, found.pairs.T.tolist())} == expected and {(3, 30), (3, 41), (30, 41)} <= expected
    assert all(abs(apart[a, b] - d) < 2e-3 for (a, b), d in zip(found.pairs.T, found.apart))
    groups = found.groups
    assert groups[3] == groups[30] == groups[41] and len(np.unique(groups)) > 30


def test_copies_are_found_among_others_that_are_nearly_as_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selftaught.judging.neighbours.SMALL", 0)
    # A clock by which low precision is the faster.
    monkeypatch.setattr("selftaught.judging.neighbours.time.perf_counter", iter([0.0, 9.0, 0.0, 1.0]).__next__)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 64))[np.arange(1500) % 3] + 0.03 * rng.normal(size=(1500, 64))  # cosines of 0.999
    x[1400:] = x[:100]
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    found = surroundings(unit, 5, 2e-3)
    assert found.pairs.T.tolist() == [[row, 1400 + row] for row in range(100)]


def test_few_samples_have_as_many_neighbours_as_there_are() -> None:
    x = directions(3)
    found = surroundings(x, 10, 0.0)
    assert np.allclose(found.reach, [max(np.linalg.norm(a - b) for b in x) for a in x], atol=1e-3)


def slowly(x: np.ndarray, of: np.ndarray, k: int) -> np.ndarray:
    """The distance of the k-th sample of another recording, or of as many as all have outside of their own."""
    apart = np.sqrt(((x[:, None].astype(float) - x) ** 2).sum(axis=2))
    apart[of[:, None] == of] = np.inf
    return np.sort(apart, axis=1)[:, min(k, len(x) - np.bincount(of).max()) - 1]


@pytest.mark.parametrize("coarse", [False, True], ids=["exact", "candidates in low precision"])
def test_no_sample_is_a_neighbour_of_another_of_its_recording(coarse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if coarse:
        monkeypatch.setattr("selftaught.judging.neighbours.SMALL", 0)
        clock = iter([0.0, 9.0, 0.0, 1.0] * 4)  # by which low precision is the faster
        monkeypatch.setattr("selftaught.judging.neighbours.time.perf_counter", clock.__next__)
    monkeypatch.setattr("selftaught.judging.neighbours.CHUNK_BYTES", 4 * 600 * 70)
    x, of = directions(600), np.random.default_rng(1).permutation(np.arange(600) % 20)
    x[of == 7] = x[np.flatnonzero(of == 7)[0]]  # a sensor that is stuck: all of its windows are the same
    x[of == 3] = x[np.flatnonzero(of == 5)]  # a recording that is there twice
    apart = np.sqrt(((x[:, None].astype(float) - x) ** 2).sum(axis=2))
    found = surroundings(x, 10, 2e-3, recordings=of)
    assert np.allclose(found.reach, slowly(x, of, 10), atol=1e-3)
    same = (apart <= 1e-6) & (of[:, None] < of)
    assert {*map(tuple, found.pairs.T.tolist())} == {(min(a, b), max(a, b)) for a, b in np.argwhere(same).tolist()}
    alone = np.arange(600)
    assert np.array_equal(surroundings(x, 10, 0.0, recordings=alone).reach, surroundings(x, 10, 0.0).reach)
    most = np.where(of < 14, 0, of)  # one recording has nearly all, and 180 are of others
    assert np.allclose(surroundings(x, 200, 0.0, recordings=most).reach, slowly(x, most, 200), atol=1e-3)


def test_how_near_is_alike_goes_by_neighbours_of_other_recordings() -> None:
    x, of = directions(60), np.repeat(np.arange(30), 2)
    x[1::2] = x[::2] + np.float32(0.01) * directions(30, 1)  # as windows that overlap are
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert look_alike(x, of) > 5 * look_alike(x)
    apart = np.sqrt(((x[:, None].astype(float) - x) ** 2).sum(axis=2))
    apart[of[:, None] == of] = np.inf
    assert look_alike(x, of) == pytest.approx(0.2 * np.median(apart.min(axis=1)), abs=1e-4)


def windows(recordings: list[str], features: np.ndarray) -> Any:
    samples: Any = SimpleNamespace(keys=[f"{name}[{row}]" for row, name in enumerate(recordings)], name="waves")
    samples.count, samples.groups = len(recordings), recordings
    samples.preparation, samples.told_labels = SimpleNamespace(modality="series"), lambda: None
    return Featured(samples, features)


def asked(data: Featured, monkeypatch: pytest.MonkeyPatch) -> odd.Oddities:
    monkeypatch.setattr(odd, "encoder_of", lambda run, module: SimpleNamespace(preparation=None))
    monkeypatch.setattr(odd, "opened", lambda *args, **how: None)
    monkeypatch.setattr(odd, "featured", lambda encoder, samples: data)
    return odd.odd(Odd.parse({"run": "r", "data": "waves"}))


def test_a_recording_that_is_odd_from_end_to_end_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    x, names = directions(240), [f"r{row // 20}" for row in range(240)]
    x[220:] = -np.eye(6)[0] - 0.01 * directions(20, 1)  # the last one, all of whose windows are much alike
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = asked(windows(names, x), monkeypatch)
    assert sorted(found.outliers[:20].tolist()) == [*range(220, 240)] and len(found.outliers) < 23
    assert not any(row >= 220 for part in found.alike for row in part)
    assert capsys.readouterr().err == ""
    one = asked(windows(["r"] * 240, x), monkeypatch)  # there are no others to compare with
    assert "all series are of one group" in capsys.readouterr().err
    alone = windows(names, x)
    alone.samples.groups = None
    for found in (one, asked(alone, monkeypatch)):
        assert not (found.outliers >= 220).any() and max(map(len, found.alike)) > 10


def test_what_is_alike_is_said_of_two_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    x, names = directions(120), [f"r{row // 10}" for row in range(120)]
    x[[3, 4, 57, 58, 59]] = x[3]
    found = asked(windows(names, x), monkeypatch)
    told = {fact["path"]: fact["of"] for fact in found.facts if fact["odd"] == "alike"}
    assert told == {"r0[4]": "r5[57]"} | dict.fromkeys(("r5[57]", "r5[58]", "r5[59]"), "r0[3]")


def test_what_is_odd_does_not_move_what_is_usual() -> None:
    usual = np.random.default_rng(0).normal(5, 2, 1001)
    scores = oddness(usual)
    assert np.median(scores) == 0 and scores.std() == pytest.approx(1, abs=0.1)
    with_odd = oddness(np.append(usual, [1000.0] * 50))
    assert np.abs(with_odd[:1001] - scores).max() < 0.6 and with_odd[1001:].min() > 300
    assert oddness(np.ones(5)).tolist() == [0] * 5


def test_as_many_are_suspect_as_the_confident_joint_has_off_its_diagonal() -> None:
    likely = np.array([
        [0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.7, 0.3, 0.0], [0.05, 0.95, 0.0],  # of class 0, the last by its label alone
        [0.55, 0.45, 0.0], [0.5, 0.5, 0.0], [0.7, 0.3, 0.0],  # of class 1, which the probe is rarely sure of
        [0.4, 0.3, 0.3],
    ])  # fmt: skip
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    # On average class 0 is 0.61 likely for its own, class 1 0.417: 0.55 and 0.5 of class 0 are no reason to doubt.
    assert confident_joint(likely, labels).tolist() == [[3, 1, 0], [1, 2, 0], [0, 0, 1]]
    found = suspects(likely, labels)
    assert found.rows.tolist() == [3, 6] and found.likely.tolist() == [1, 0]
    assert np.allclose(found.worth, [0.95, 0.7])


def slow_joint(likely: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    joint = [[0] * likely.shape[1] for _ in range(likely.shape[1])]
    for row, label in enumerate(labels):
        sure = [(likely[row, c], c) for c in range(likely.shape[1]) if likely[row, c] >= likely[labels == c, c].mean()]
        if sure:
            joint[label][max(sure)[1]] += 1
    return joint


def test_the_joint_and_suspects_of_many_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    likely = rng.dirichlet(np.ones(4), 300) * 0.5 + 0.5 * np.eye(4)[np.where(rng.random(300) < 0.2, 0, labels)]
    joint = slow_joint(likely, labels)
    assert confident_joint(likely, labels).tolist() == joint and sum(joint[label][0] for label in (1, 2, 3)) > 10
    found = suspects(likely, labels)
    for label in range(4):
        members = [row for row in range(300) if labels[row] == label]
        wrong = round(len(members) * (1 - joint[label][label] / sum(joint[label])))
        least = sorted(members, key=lambda row: likely[row, labels[row]])[:wrong]
        assert {row for row in found.rows.tolist() if labels[row] == label} == {*least}
    assert (np.diff(found.worth) <= 0).all() and not (found.likely == labels[found.rows]).any()


def test_no_sample_nor_its_copy_speaks_for_its_own_label() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(120) % 3
    tells = np.eye(3)[truth] + 0.05 * rng.normal(size=(120, 3))
    x = np.concatenate([tells, rng.normal(size=(120, 60))], axis=1).astype(np.float32)  # by which each could be known
    labels, wrong = truth.copy(), np.arange(0, 120, 13)
    labels[wrong] = (labels[wrong] + 1) % 3
    twice, given = np.concatenate([x, x]), np.concatenate([labels, labels])

    def found(group: np.ndarray) -> int:
        likely = out_of_fold(twice, given, group, 0)
        assert likely.shape == (240, 3) and np.allclose(likely.sum(axis=1), 1)
        return int(np.isin(suspects(likely, given).rows % 120, wrong).sum())

    apart, together = found(np.tile(np.arange(120), 2)), found(np.arange(240))  # of which a copy may vouch for a label
    assert apart >= 12 > 4 >= together


def test_labels_that_nothing_tells_are_not_said_to_be_wrong() -> None:
    rng, group = np.random.default_rng(0), np.arange(120)
    truth = np.arange(120) % 3
    tells = (np.eye(3)[truth] + 0.3 * rng.normal(size=(120, 3))).astype(np.float32)
    found = telling(out_of_fold(tells, truth, group, 0), truth, group)
    assert found.right > 0.8 and found.commonest == pytest.approx(1 / 3) and found.clearly
    years = rng.permutation(truth)  # which have nothing to do with what is seen
    told = telling(likely := out_of_fold(tells, years, group, 0), years, group)
    assert told.right < 0.5 and not told.clearly and len(suspects(likely, years).rows) > 30
    # Copies count once: a class all of whose samples are one is told by one alone.
    certain = np.eye(2)[[0] * 50 + [1, 1]]
    copies = telling(certain, np.array([0] * 50 + [1, 1]), np.array([0] * 50 + [1, 2]))
    assert (copies.right, copies.commonest, copies.clearly) == (1.0, pytest.approx(1 / 3), False)


def test_no_window_of_a_recording_speaks_for_the_label_of_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    which = np.repeat(np.arange(40), 3)  # of each window the recording
    given = [("x", "y", "few")[one % 2 if one < 36 else 2] for one in which.tolist()]
    features = np.random.default_rng(0).normal(size=(120, 8)).astype(np.float32)
    around = Surroundings(np.ones(120), np.array([[0], [6]]), np.zeros(1))  # windows of recordings 0 and 2 look alike
    samples: Any = SimpleNamespace(keys=[str(row) for row in range(120)], name="waves", groups=None)
    samples.preparation = SimpleNamespace(modality="series")
    asked: list[np.ndarray] = []

    def heard(z: np.ndarray, classes: np.ndarray, group: np.ndarray, *more: Any) -> np.ndarray:
        asked.append(group)
        return out_of_fold(z, classes, group, *more)

    monkeypatch.setattr(odd, "out_of_fold", heard)

    def judged() -> odd.Labels:
        found = odd._labels(Odd.parse({"run": "r", "data": "waves"}), Featured(samples, features), around, given)
        assert found is not None
        return found

    assert judged().names == ["few", "x", "y"] and len(np.unique(asked[0])) == 119
    samples.groups = [f"r{one}" for one in which]
    assert judged().names == ["x", "y"] and "few: with fewer than 5 groups of series" in capsys.readouterr().err
    joined = np.where(which == 2, 0, which)[:108]
    assert len(np.unique(asked[1])) == len(np.unique(joined)) == len({*zip(joined.tolist(), asked[1].tolist())}) == 35
