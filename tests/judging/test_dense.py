"""Intersection over union, its intervals and what luck does to it."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import jaccard_score

from selftaught.judging import dense
from selftaught.judging.dense import counted, gain_over, luck, miou, pixel_accuracy, said
from selftaught.judging.masks import VOID, masks_of
from selftaught.system.errors import DataError

Array = NDArray[np.int64]
CLASSES = 4


def drawn(rng: np.random.Generator, count: int, right: Array) -> tuple[Array, Array]:
    """Truth of images, each mostly of one class, and answers of which a share (count,) is right."""
    truth = np.where(rng.random((count, 6, 6)) < 0.7, rng.integers(CLASSES, size=(count, 1, 1)), 0)
    other = rng.integers(CLASSES, size=truth.shape)
    return truth, np.where(rng.random(truth.shape) < right[:, None, None], truth, other)


def judged(told: Array, truth: Array) -> dense.Said:
    return said([[counted(told, truth, CLASSES)]], [[np.arange(len(told))]])


def test_it_is_the_mean_over_classes_of_all_pixels_but_void() -> None:
    rng = np.random.default_rng(0)
    truth, told = drawn(rng, 9, np.full(9, 0.5))
    truth[rng.random(truth.shape) < 0.2] = VOID
    truth[truth == 3] = 2  # a class that is said and is not there
    own, known = judged(told, truth), truth != VOID
    one = jaccard_score(truth[known], told[known], labels=[0, 1, 2], average=None)
    assert own.value == pytest.approx(one.mean())
    assert float(pixel_accuracy(own.images.sum(axis=0))) == pytest.approx((truth[known] == told[known]).mean())
    line = dense.detail("trained", "segment", "all labels", own, [])
    assert line.iou and line.iou[:3] == pytest.approx(one.tolist()) and line.iou[3] is line.recall[3] is None
    assert float(miou(np.zeros((3, CLASSES)))) == 0


def test_luck_is_what_changing_places_does() -> None:
    """With five images all 32 ways can be gone through."""
    rng = np.random.default_rng(3)
    truth, one = drawn(rng, 5, np.full(5, 0.6))
    other = np.where(rng.random(one.shape) < 0.2, 0, one)
    first, second = judged(one, truth).images, judged(other, truth).images
    seen = abs(miou(first.sum(axis=0)) - miou(second.sum(axis=0)))
    as_far = []
    for number in range(32):
        swap = np.array([number >> place & 1 for place in range(5)], dtype=bool)[:, None, None]
        a, b = np.where(swap, second, first).sum(axis=0), np.where(swap, first, second).sum(axis=0)
        as_far.append(abs(miou(a) - miou(b)) >= seen - 1e-12)
    assert 2 / 32 < np.mean(as_far) < 0.9
    assert luck(first, second) == pytest.approx(np.mean(as_far), abs=0.03)
    assert luck(first, first) == 1


@pytest.mark.parametrize("count", [6, 12, 60])
def test_of_equals_few_are_called_better(count: int) -> None:
    """Answers of some images are much better than of others, as of some scenes they are."""
    rng, times, claimed, beyond = np.random.default_rng(count), 300, 0, 0
    for _ in range(times):
        truth, one = drawn(rng, count, rng.random(count))
        wrong = rng.integers(CLASSES, size=truth.shape)
        other = np.where(rng.random(truth.shape) < rng.random(count)[:, None, None], truth, wrong)
        gain = gain_over(judged(one, truth), judged(other, truth), "segment", "all labels", "untrained", False)
        claimed += gain.low > 0 or gain.high < 0
        beyond += gain.luck is not None and gain.luck <= 0.05
    assert claimed <= beyond <= 0.08 * times


def test_intervals_hold_what_is_true() -> None:
    """Of many draws of forty images, 95 % of the intervals of the difference hold that of all images."""
    rng, count = np.random.default_rng(0), 40
    truth, one = drawn(rng, 4000, rng.uniform(0.3, 0.9, 4000))
    other = np.where(rng.random(truth.shape) < 0.15, rng.integers(CLASSES, size=truth.shape), one)
    tables = [counted(told, truth, CLASSES).sums for told in (one, other)]
    true = [float(miou(own.sum(axis=0))) for own in tables]
    held = np.zeros(3)
    for _ in range(200):
        rows = rng.integers(len(truth), size=count)
        first, second = (said([[dense.Counted(own[rows], np.zeros((4, 4)))]], [[np.arange(count)]]) for own in tables)
        gain = gain_over(first, second, "segment", "all labels", "untrained", False)
        row = dense.row("trained", "segment", "all labels", first, False)
        held += row.low <= true[0] <= row.high, gain.low <= true[0] - true[1] <= gain.high, gain.low > 0
    assert (held[:2] / 200 >= 0.91).all() and held[2] / 200 > 0.9  # which is there to be seen


def test_few_images_of_one_method_say_little() -> None:
    truth, told = drawn(np.random.default_rng(0), 1, np.ones(1))
    row = dense.row("trained", "segment", "all labels", judged(told, truth), False)
    assert (row.low, row.high) == (0, 1) and row.samples == 1


def test_numbers_of_files_become_places_and_255_none() -> None:
    read = np.array([[[0, 5, 255, 300]]], dtype=np.uint16)
    masks = masks_of([read], ["train"], 255, (1, 4))
    assert masks.names == ["0", "5", "300"] and masks.truth.tolist() == [[[0, 1, VOID, 2]]]


def test_what_is_of_no_class_is_told_with_its_share(capsys: pytest.CaptureFixture[str]) -> None:
    """255 is what most tools write for the foreground, which would be left out without a word."""
    read = np.array([[[0, 128, 255, 255]]], dtype=np.uint8)
    assert masks_of([read, read % 255 // 128 * 128], ["train", "test"], 255, (1, 4)).names == ["0", "128"]
    (told,) = capsys.readouterr().err.splitlines()
    assert told == "note: train: 50% of the pixels are 255, which stands for none: nothing is learnt or judged there"


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ([0, 255, 0], [0, 0, 0], "train has only one class, 0: .*; 255 stands for none: number classes 0, 1, 2"),
        ([3, 3, 3], [3, 3, 3], "train has only one class, 3: there is nothing to tell apart$"),
        ([255, 255, 255], [0, 1, 0], "train has no class, only 255, which stands for none: there is nothing to tell"),
        ([0, 1, 0], [255, 255, 255], "test has no class, only 255, which stands for none: there is nothing to judge"),
    ],
)
def test_masks_of_which_too_little_is_known_are_refused(train: list[int], test: list[int], said: str) -> None:
    numbers = [np.array([[own]], dtype=np.uint8) for own in (train, test)]
    with pytest.raises(DataError, match=said):
        masks_of(numbers, ["train", "test"], 255, (1, 3))
