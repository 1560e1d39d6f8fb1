"""What judges a comparison: digests tell other samples, labels and groups, and a line names the flag."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from selftaught.data.images.samples import open_samples
from selftaught.judging.judges import judged_alike
from selftaught.judging.labelled import Labelled
from selftaught.judging.opening import open_labelled
from selftaught.run.recipes import Compare, Evaluate
from selftaught.system.errors import UsageError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    """40 labelled images to learn from and 16 to judge on."""
    folder, rng = tmp_path_factory.mktemp("judges"), np.random.default_rng(0)
    files: list[Path] = []
    for count in (40, 16):
        files.append(folder / f"{count}.npz")
        np.savez(files[-1], x=rng.integers(0, 256, (count, 8, 8), np.uint8), y=np.arange(count) % 2)
    train, test = map(str, files)
    return open_labelled(Evaluate(run="", train=train, test=test), open_samples(train).preparation)


@pytest.mark.parametrize(
    ("asked", "part", "said"),
    [
        ({}, "train_samples", "--train has other samples"),
        ({}, "train_labels", "--train has other labels"),
        ({"train_labels": "a.csv"}, "train_labels", "--train-labels has other labels"),
        ({"test_labels": "b.csv"}, "test_labels", "--test-labels has other labels"),
        ({"groups": "g.csv"}, "train_groups", "--groups has other groups"),
        ({"groups": "g.csv"}, "test_groups", "--groups has other groups"),
        ({"groups": "g.csv", "test_groups": "h.csv"}, "test_groups", "--test-groups has other groups"),
    ],
)
def test_what_judges_another_way_is_named_by_its_flag(
    asked: dict[str, str], part: str, said: str, data: Labelled
) -> None:
    begun = judged_alike(Compare(data="", train="t.npz", test="u.npz"), data).model_copy(update=asked)
    assert judged_alike(begun, data) == begun
    with pytest.raises(UsageError, match=f"cannot resume: {said} than when this comparison began"):
        judged_alike(begun.model_copy(update={"judged_by": begun.judged_by | {part: "another"}}), data)


def test_groups_are_known_by_what_belongs_together(data: Labelled) -> None:
    groups = np.arange(56) // 4
    begun = judged_alike(Compare(data="", train="t.npz", test="u.npz", groups="g.csv"), replace(data, named=groups))
    judged_alike(begun, replace(data, named=groups.max() - groups))  # the same, called otherwise
    with pytest.raises(UsageError, match="--groups has other groups"):
        judged_alike(begun, replace(data, named=(groups + (np.arange(56) == 55)) % 14))
