"""What fine-tuning aims at, by task: losses, what chooses when to stop, and how sure the result may be."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.judging.aim import Aim, aim_of
from selftaught.judging.certainty import (
    calibration_error,
    fitted_margin,
    fitted_temperature,
    fitted_thresholds,
    meaning_of,
)
from selftaught.judging.finetune import Tuning, finetune, scores_of
from selftaught.judging.labelled import Labelled, Split
from selftaught.judging.marks import KEYS, in_words, marks
from selftaught.judging.metrics import counting_once, mean_average_precision, uneven
from selftaught.judging.probe import Exam
from selftaught.judging.probes.finetune import PROBE
from selftaught.judging.targets import targets_of
from selftaught.run.classifier import Calibrated
from selftaught.run.meaning import Meaning
from selftaught.system.errors import DataError, UsageError
from tests.networks import HALVED

GREY = Preparation(channels=1, size=(16, 16), low=0, high=255, mean=(0.5,), std=(0.25,))
MANY = 80


def labelled(task: str, labels: list[str], x: np.ndarray, group: np.ndarray | None = None) -> Labelled:
    alone = np.arange(len(labels)) if group is None else group
    targets = targets_of([labels], task)
    samples = open_samples(x, like=GREY)
    return Labelled(samples, None, targets.strata, targets.names, alone, alone, targets=targets)


@pytest.fixture(scope="module")
def squares() -> tuple[np.ndarray, np.ndarray]:
    """Images of which the left and the lower half may be bright, and which are."""
    rng = np.random.default_rng(0)
    bright = rng.random((MANY, 2)) < 0.5
    x = rng.integers(0, 60, (MANY, 16, 16, 1))
    x[:, :, :8] += 90 * bright[:, 0, None, None, None]
    x[:, 8:] += 90 * bright[:, 1, None, None, None]
    return x.astype(np.uint8), bright


def data_of(task: str, squares: tuple[np.ndarray, np.ndarray]) -> Labelled:
    x, bright = squares
    if task == "several":
        labels = [";".join(n for n, on in zip(("left", "lower"), own) if on) or ";" for own in bright]
    elif task == "number":
        labels = [f"{1000 + 5 * own[0] + 20 * own[1]:.1f}" for own in bright]
    else:
        labels = ["left" if own[0] else "no" for own in bright]
    return labelled(task, labels, x)


def encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    made = build_encoder(HALVED, GREY)
    made.preparation = GREY
    return made


def probed(task: str, squares: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, Labelled, np.ndarray]:
    """What the probe says of a fourth of the samples, and these."""
    data, rows = data_of(task, squares), np.arange(MANY)
    plain = {"flip": 0, "crop": (1.0, 1.0)}
    how = {"epochs": 25, "batch_size": 20, "lr": 0.003, "frozen": 0.0, "held_out": 0.0, "light": plain}
    exam = Exam(data=data, split=Split(0, rows[:60], rows[60:]), seed=0, tuning=Tuning.parse(how), kind="untrained")
    return PROBE.predict(encoder(), exam), data, rows[60:]


def test_the_probe_says_how_likely_each_label_is(squares: tuple[np.ndarray, np.ndarray]) -> None:
    said, data, rows = probed("several", squares)
    assert said.shape == (20, 2) and ((said > 0) & (said < 1)).all()
    assert ((said > 0.5) == data.truth[rows]).mean() > 0.9


def test_the_probe_says_numbers_as_the_labels_have_them(squares: tuple[np.ndarray, np.ndarray]) -> None:
    said, data, rows = probed("number", squares)
    assert said.shape == (20,)
    assert np.abs(said - data.truth[rows]).mean() < 3 and data.truth[rows].std() > 7


def test_the_probe_says_classes_as_it_did(squares: tuple[np.ndarray, np.ndarray]) -> None:
    said, data, rows = probed("classes", squares)
    assert said.shape == (20,) and said.dtype.kind == "i" and (said == data.truth[rows]).mean() > 0.9
    assert {"classes", "several", "number"} == set(PROBE.tasks)


def test_losses_are_what_they_are_called() -> None:
    scores = torch.tensor([[0.3, -1.2], [2.0, 0.1]])
    truth = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    several = Aim("several", 2, truth)
    p = torch.sigmoid(scores)
    wanted = -(truth * p.log() + (1 - truth) * (1 - p).log()).mean()
    assert several.called == "binary_cross_entropy" and several.loss(scores, truth).item() == pytest.approx(
        wanted.item()
    )
    number = Aim("number", 1, torch.tensor([1.0, -1.0]), mean=10.0, deviation=4.0)
    loss = number.loss(torch.tensor([[0.5], [1.0]]), number.truth)
    assert number.called == "squared_error" and loss.item() == pytest.approx((0.25 + 4) / 2)
    assert number.said(torch.tensor([[0.5], [1.0]])) == pytest.approx([12, 14])


def test_rare_classes_and_labels_count_for_more_where_asked(squares: tuple[np.ndarray, np.ndarray]) -> None:
    x, rows = squares[0], np.arange(4)
    classes = labelled("classes", ["a", "a", "a", "b"], x[:4])
    assert aim_of(classes, rows).weight is None
    aim = aim_of(classes, rows, weighted=True)
    assert aim.weight is not None and aim.weight.tolist() == pytest.approx([4 / 6, 4 / 2])
    scores = torch.tensor([[1.0, 0.0], [0.5, 0.2], [0.0, 0.0], [0.3, 0.9]])
    each = -scores.log_softmax(dim=1)[torch.arange(4), aim.truth]
    weight = aim.weight[aim.truth]
    assert aim.loss(scores, aim.truth).item() == pytest.approx(((weight * each).sum() / weight.sum()).item())
    several = aim_of(labelled("several", ["a", "a", "a;b", "a"], x[:4]), rows, weighted=True)
    assert several.weight is not None and several.weight.tolist() == pytest.approx([1 / 4, 3])
    p = torch.sigmoid(scores)
    wanted = -(several.weight * several.truth * p.log() + (1 - several.truth) * (1 - p).log()).mean().item()
    assert several.loss(scores, several.truth).item() == pytest.approx(wanted)
    with pytest.raises(UsageError, match="'weighting' cannot be 'balanced' here: labels are numbers"):
        aim_of(labelled("number", ["1.5", "2.5"], x[:2]), rows[:2], weighted=True)
    for weighting in ("none", "balanced"):
        tuning = Tuning.parse({"epochs": 1, "batch_size": 4, "weighting": weighting})
        model = finetune(encoder(), classes, rows, held=rows[:0], tuning=tuning, seed=0)  # type: ignore[arg-type]
        assert (model.aim.weight is None) == (weighting == "none")


def test_numbers_are_standardised_by_those_that_are_learnt_from(squares: tuple[np.ndarray, np.ndarray]) -> None:
    labels = ["1.5", "2.5", "3.5", "900.5"]
    aim = aim_of(labelled("number", labels, squares[0][:4]), np.array([0, 1, 2]))
    assert aim.mean == pytest.approx(2.5) and aim.deviation == pytest.approx(math.sqrt(2 / 3))
    assert aim.truth[:3].mean().item() == pytest.approx(0) and aim.outputs == 1
    same = aim_of(labelled("number", labels, squares[0][:4]), np.array([3]))
    assert (same.mean, same.deviation) == (900.5, 1.0) and torch.isfinite(same.truth).all()
    with pytest.raises(DataError, match=r"reach 1.5e\+308: too far apart"):
        aim_of(labelled("number", ["1.5e308", "-1.5e308", "0.5"], squares[0][:3]), np.arange(3))


def test_what_chooses_when_to_stop_is_the_measure_of_the_task() -> None:
    truth = torch.tensor([0] * 8 + [1] * 2)
    lazy, keen = torch.zeros(10, 2), torch.zeros(10, 2)
    lazy[:, 0] = 1.0  # all are of the common class: 80 of a hundred right, and half of the classes
    keen[:, 1] = 1.0
    keen[:5, 0] = 2.0  # 7 of 10 right, and 0.8125 of the classes
    plain, balanced = Aim("classes", 2, truth), Aim("classes", 2, truth, balanced=True)
    assert [plain.good(s, truth)[0] for s in (lazy, keen)] == pytest.approx([0.8, 0.7])
    assert [balanced.good(s, truth)[0] for s in (lazy, keen)] == pytest.approx([0.5, 0.8125])
    assert uneven(np.array([9, 2])) and not uneven(np.array([8, 2]))
    several = Aim("several", 3, torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]]))
    scores = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.2, 0.9], [0.7, 0.3, 0.1]])
    # The first label's samples stand first and third, the second's second; nobody has the third.
    assert several.good(scores, several.truth)[0] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    number = Aim("number", 1, torch.tensor([0.0, 2.0, 4.0]))
    assert number.good(torch.tensor([[0.0], [2.0], [2.0]]), number.truth)[0] == pytest.approx(1 - 4 / 8)
    assert number.good(torch.full((3, 1), math.nan), number.truth) == (-math.inf, -math.inf)


def test_uneven_classes_stop_by_balanced_accuracy(
    squares: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    good = Aim.good
    monkeypatch.setattr(Aim, "good", lambda self, *more: (seen.append(self.balanced), good(self, *more))[1])
    tuning = Tuning.parse({"epochs": 1, "batch_size": 20})
    for few in (10, 40):
        data = labelled("classes", ["rare"] * few + ["common"] * (MANY - few), squares[0])
        rows = np.arange(MANY)
        finetune(encoder(), data, rows[::2], held=rows[1::2], tuning=tuning, seed=0)  # type: ignore[arg-type]
    assert set(seen[: seen.index(False)]) == {True} and not any(seen[seen.index(False) :]) and seen[0]


def test_one_temperature_serves_all_labels() -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(size=(3000, 4)) * 2)
    truth = (torch.rand(3000, 4, generator=torch.Generator().manual_seed(0)) < torch.sigmoid(scores)).float()
    assert fitted_temperature(3 * scores, truth) == pytest.approx(3, rel=0.08)


def test_a_threshold_is_that_of_the_best_f1() -> None:
    sure = np.array([0.1, 0.2, 0.3, 0.35, 0.4, 0.6, 0.7, 0.9])
    truth = np.array([0, 0, 0, 1, 1, 1, 1, 1], dtype=bool)
    rare = np.array([0, 0, 0, 0, 0, 0, 1, 1], dtype=bool)  # of which too few tell
    found = fitted_thresholds(np.stack([sure, sure], axis=1), np.stack([truth, rare], axis=1), np.ones(8))
    assert found == pytest.approx((0.325, 0.5))


def test_a_margin_holds_as_many_as_it_says() -> None:
    assert fitted_margin(np.arange(1.0, 20), np.arange(19)) == 19  # of nineteen and the new one the largest is 95 %
    assert fitted_margin(np.arange(1.0, 40), np.arange(39)) == 38
    copied = np.repeat(np.arange(39), 3)
    copied[-3:] = [38, 38, 38]
    assert fitted_margin(np.repeat(np.arange(1.0, 40), 3), copied) == 38
    heavy = np.concatenate([np.arange(1.0, 20), np.full(500, 0.5)])  # one patient with many easy pictures
    assert fitted_margin(heavy, np.concatenate([np.arange(19), np.full(500, 19)])) == 19
    rng, held = np.random.default_rng(0), []
    for _ in range(400):
        off = np.abs(rng.standard_t(3, 60))
        held.append((off[59:] <= fitted_margin(off[:59], np.arange(59))).mean())
    assert 0.92 < np.mean(held) < 0.98


class Said:
    """What stands in for a classifier whose scores are known."""

    def __init__(self, meaning: Meaning) -> None:
        self.meaning, self.task = meaning, meaning.task


def marked(monkeypatch: pytest.MonkeyPatch, meaning: Meaning, scores: list[list[float]], data: Labelled) -> dict:
    monkeypatch.setattr("selftaught.judging.marks.scores_of", lambda *_: torch.tensor(scores))
    return marks(Said(meaning), data, np.arange(len(scores)))  # type: ignore[arg-type]


def test_marks_of_numbers_count_each_group_once(
    squares: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = labelled("number", ["1.5", "1.5", "3.5", "7.5"], squares[0][:4], np.array([0, 0, 1, 2]))
    meaning = Meaning(task="number", mean=1.0, deviation=2.0, margin=2.5)
    found = marked(monkeypatch, meaning, [[0.25], [0.25], [2.25], [1.75]], data)  # 1.5, 1.5, 5.5 and 4.5
    assert found["MAE"] == pytest.approx((0 + 2 + 3) / 3) and found["RMSE"] == pytest.approx(math.sqrt(13 / 3))
    truth = np.array([1.5, 3.5, 7.5])
    assert found["R2"] == pytest.approx(1 - 13 / ((truth - truth.mean()) ** 2).sum())
    assert found["held_by_margin"] == pytest.approx(2 / 3) and found["low"] < found["R2"] < found["high"] <= 1
    assert found["measured_on"] == 4 and "measured_per_class" not in found


def test_marks_of_labels(squares: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    data = labelled("several", ["a", "a;b", "b", "c", ";"], squares[0][:5])
    data = Labelled(data.train, None, *(getattr(data, k) for k in ("classes", "names", "content", "exact")))
    data.targets = targets_of([["a", "a;b", "b", "c", ";"]], "several")
    meaning = Meaning(task="several", thresholds=(0.5, 0.9, 0.5))
    scores = [[3.0, -1, -2], [2, 1, -2], [-2, 5, -2], [-2, -2, -1], [1, -3, -3]]
    found = marked(monkeypatch, meaning, scores, data)
    assert found["average_precision"] == pytest.approx([1, 1, 1]) and found["mAP"] == pytest.approx(1)
    assert found["low"] < 0.6 and found["high"] == 1  # five samples are no proof of perfection
    assert found["recall"] == pytest.approx([1, 0.5, 0]) and found["precision"][:2] == pytest.approx([2 / 3, 1])
    assert found["precision"][2] is None and found["macro_F1"] == pytest.approx((0.8 + 2 / 3 + 0) / 3)
    assert found["measured_per_class"] == [2, 2, 1]


@pytest.mark.parametrize("task", ["classes", "several"])
def test_a_sample_that_came_often_makes_a_classifier_neither_surer_nor_better_calibrated(
    task: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    scores, names = torch.from_numpy(2 * rng.normal(size=(18, 3))), ["a", "b", "c"]
    noisy = scores + torch.from_numpy(rng.normal(size=(18, 3)))
    truth = noisy.argmax(dim=1) if task == "classes" else (noisy > 0).float()
    held: Any = {"group": np.arange(18), "truth": truth.numpy().astype(int if task == "classes" else bool)}
    data: Any = SimpleNamespace(**held, names=names, subset=lambda rows: scores[rows])
    model: Any = SimpleNamespace(aim=SimpleNamespace(task=task, mean=0.0, deviation=1.0, outputs=3, truth=truth))
    for module in ("certainty", "marks"):
        monkeypatch.setattr(f"selftaught.judging.{module}.scores_of", lambda model, given: given)

    def found(rows: np.ndarray) -> tuple[Meaning, dict[str, Any]]:
        meaning = meaning_of(model, data, rows)
        return meaning, marks(Said(meaning), data, rows)  # type: ignore[arg-type]

    once, often = np.arange(18), np.concatenate([np.arange(18), np.full(100, 3)])
    (one, first), (other, second) = found(once), found(often)
    said = capsys.readouterr().err
    assert "was chosen by 18 samples alone" in said and "was chosen by 18 groups of samples alone" in said
    assert one.temperature == fitted_temperature(scores, truth)  # to the last bit, where no sample has a copy
    assert other.temperature == pytest.approx(one.temperature, rel=1e-4)
    assert other.thresholds == pytest.approx(one.thresholds)
    for error in ("calibration_error", "calibration_error_before"):
        assert second[error] == pytest.approx(first[error], rel=1e-4) and second["measured_on"] == 118


def test_a_label_that_one_group_has_is_rare_however_often_it_came() -> None:
    sure, truth = np.array([0.1, 0.2, 0.3, 0.4, *[0.7] * 12]), np.array([0] * 4 + [1] * 12, dtype=bool)
    for groups, least in ((12, 0.55), (5, 0.55), (4, 0.5)):
        weight = counting_once(np.concatenate([np.arange(4), 4 + np.arange(12) % groups]))
        assert fitted_thresholds(sure[:, None], truth[:, None], weight) == pytest.approx((least,))


def test_nothing_measured_is_nothing_known(squares: tuple[np.ndarray, np.ndarray]) -> None:
    for task, unknown in (("several", "how good it is"), ("number", "how far off it is"), ("classes", "its accuracy")):
        data = data_of(task, squares)
        classes = [] if task == "number" else data.names
        head = torch.nn.Linear(encoder().dim, len(classes) or 1)
        found = marks(Calibrated(encoder(), head, Meaning(task=task), classes), data, np.arange(0))
        assert found["measured_on"] == 0 and all(found[key] is None for key in KEYS[task])
        told = {"task": task, "classes": classes, **found}
        assert f"too few labels to measure {unknown};" in in_words({**told, "held_out": 3})
        assert f"no labels were held out to measure {unknown};" in in_words({**told, "held_out": 0})


def test_mean_average_precision_and_calibration_leave_out_what_is_not_there() -> None:
    truth = np.zeros((4, 2), dtype=bool)
    assert mean_average_precision(truth, np.ones((4, 2))) == 0
    assert calibration_error(np.tile([0.2, 0.8], (10, 1)), np.array([1] * 8 + [0] * 2)) == pytest.approx(0)


def test_scores_of_labels_have_a_column_each(squares: tuple[np.ndarray, np.ndarray]) -> None:
    data, rows = data_of("several", squares), np.arange(MANY)
    tuning = Tuning.parse({"epochs": 1, "batch_size": 40})
    model = finetune(encoder(), data, rows, held=rows[:0], tuning=tuning, seed=0)  # type: ignore[arg-type]
    assert scores_of(model, data.subset(rows[:7])).shape == (7, 2)
