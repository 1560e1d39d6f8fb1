"""MiniRocket beside a verdict: what it is fitted to, what is filled in for it, and what is said where it is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selftaught.contracts.modality import usual_of
from selftaught.data.series import baseline
from selftaught.data.series.baseline import filled, minirocket
from selftaught.data.series.samples import open_samples
from selftaught.judging.labelled import Labelled
from selftaught.judging.opening import open_labelled
from selftaught.judging.result import kinds
from selftaught.judging.sources import _fitted
from selftaught.run.recipes import Evaluate
from tests.data.series.rockets import MiniRocket, with_aeon
from tests.data.series.writing import waves

PART = np.arange(36)  # of 48 series


def labelled(folder: Path) -> Labelled:
    data = waves(folder)
    return open_labelled(Evaluate(run="", train=data), open_samples(data).preparation)


def written(folder: Path, x: np.ndarray, **more: Any) -> Any:
    np.savez(folder / "x.npz", x=x, **more)
    return open_samples(f"series:{folder / 'x.npz'}")


def products(answers: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Of series with each other, where each answer is standardised by a part: all that a linear probe can know."""
    deviation = answers[part].std(axis=0)
    scaled = (answers - answers[part].mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return scaled @ scaled[part].T


def test_it_is_fitted_to_the_training_part_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_aeon(monkeypatch)
    data = labelled(tmp_path)
    fit: Any = minirocket(data.sources)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    found, everything = _fitted(fit, data, 0, PART), _fitted(fit, data, 0, np.arange(48))
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]
    assert [len(x) for x in MiniRocket.fitted] == [36, 48] and found.dtype == np.float32
    assert not np.array_equal(found, _fitted(fit, data, 1, PART))
    data.train.values[data.train.starts[36] :] *= 9  # type: ignore[attr-defined]
    assert np.array_equal(found[PART], _fitted(fit, data, 0, PART)[PART])
    assert not np.allclose(everything[PART, :4], _fitted(fit, data, 0, np.arange(48))[PART, :4])


def test_directions_say_all_of_few_series_and_the_foremost_of_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_aeon(monkeypatch)
    data = labelled(tmp_path)
    fit: Any = minirocket(data.sources)
    answers = MiniRocket(random_state=0)
    answers.fit(filled(data.train, np.random.default_rng(0).permutation(36)))
    found = _fitted(fit, data, 0, PART)
    wanted = products(answers.transform(filled(data.train, np.arange(48))).astype(float), PART)
    assert np.allclose(found @ found[PART].T, wanted, atol=1e-3) and np.abs(wanted).max() > 1
    monkeypatch.setattr(baseline, "EXACT", 16)
    monkeypatch.setattr(baseline, "FOREMOST", 5)
    monkeypatch.setattr(baseline, "CHUNK", 7)
    assert _fitted(fit, data, 0, PART).shape == (48, 5) and len(MiniRocket.fitted[-1]) == 16


def test_gaps_and_short_series_are_filled_for_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_aeon(monkeypatch)
    nan = np.nan
    x = np.array([[[nan, 1, nan, nan, 4, 9], [2, 2, 2, 2, 2, 2]], [[7, 8, 9, 6, 5, 5], [nan] * 6]])
    samples = written(tmp_path, x, lengths=[5, 6])
    deviation, means = np.array(samples.preparation.deviations), np.array(samples.preparation.means)
    made = filled(samples, np.arange(2)) * deviation[:, None] + means[:, None]
    assert np.allclose(made[0, 0], [1, 1, 2, 3, 4, 4, 4, 4, 4], atol=1e-5)  # the end lies at its fifth point
    assert np.allclose(made[1, 0], [7, 8, 9, 6, 5, 5, 5, 5, 5], atol=1e-5)
    assert np.allclose(made[1, 1], means[1], atol=1e-5)
    assert np.isnan(samples.stretches(np.arange(2))).sum() == 3 + 2 + 6  # which the network is shown as before
    whole = written(tmp_path, np.random.default_rng(0).normal(size=(4, 12)))
    capsys.readouterr()
    assert minirocket([whole]) and not capsys.readouterr().err
    assert minirocket([whole, samples]) and minirocket([samples])
    assert capsys.readouterr().err.count("\n") == 1
    baseline.say_once.cache_clear()
    short = written(tmp_path, np.random.default_rng(0).normal(size=(4, 8)))
    assert minirocket([short]) and "up to 9 points" in capsys.readouterr().err


def test_series_that_are_all_the_same_have_features_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_aeon(monkeypatch)
    samples = written(tmp_path, np.tile(np.arange(10.0), (4, 1)))
    fit: Any = minirocket([samples])
    made = fit(samples, 0)(samples)
    assert made.shape == (4, 4) and (made == 0).all()


def test_where_aeon_is_missing_one_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_aeon(monkeypatch, there=False)
    samples: Any = [written(tmp_path, np.random.default_rng(0).normal(size=(4, 12)))]
    capsys.readouterr()
    assert minirocket(samples) is None and minirocket(samples) is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "aeon" in said and "pip install 'selftaught[series]'" in said


def test_pages_know_what_it_is_called() -> None:
    called = kinds("series")
    assert called["usual"] == usual_of("series") == "MiniRocket" and called["pixels"] == "raw values"
    assert kinds("images")["usual"] == usual_of("melodies") == usual_of("texts") == "usual features"
    assert list(called).index("usual") == list(called).index("pixels") + 1


def test_with_aeon_its_answers_are_those_of_the_library(tmp_path: Path) -> None:
    library = pytest.importorskip("aeon.transformations.collection.convolution_based").MiniRocket
    data = labelled(tmp_path)
    found = _fitted(minirocket(data.sources), data, 3, PART)  # type: ignore[arg-type]
    own = library(random_state=3)
    own.fit(filled(data.train, np.random.default_rng(3).permutation(36)))
    answers = own.transform(filled(data.train, np.arange(48))).astype(float)
    assert answers.shape == (48, 9996) and np.allclose(found @ found[PART].T, products(answers, PART), atol=0.1)
