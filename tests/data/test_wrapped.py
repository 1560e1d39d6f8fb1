"""Series and texts that are held in Python: the same, all the way, as those of a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import selftaught
from selftaught import Series, Texts
from selftaught.data.sources.handed import handed
from selftaught.data.text.files import open_texts
from selftaught.system.errors import DataError, UsageError
from tests.methods.making import OF_SERIES, OF_TEXTS

QUICK: dict[str, Any] = {"steps": 3, "batch_size": 8, "precision": "32-true", "layout": "contiguous", "map": 0}


def waves(count: int = 24, points: int = 32) -> tuple[Any, list[str]]:
    """(N, 2 channels, points), fast or slow."""
    rng = np.random.default_rng(0)
    time, fast = np.arange(points), np.arange(count) % 2
    x = np.sin(time * (0.4 + 0.4 * fast[:, None]) + rng.uniform(0, 6, (count, 1)))
    x = np.stack([x, -x], axis=1) + rng.normal(0, 0.1, (count, 2, points))
    return x.astype(np.float32), ["fast" if one else "slow" for one in fast]


def lines(count: int = 24) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(0)
    words = {"sea": ["wave", "salt", "boat", "tide"], "wood": ["tree", "moss", "deer", "path"]}
    labels = [("sea", "wood")[row % 2] for row in range(count)]
    return [" ".join(rng.choice(words[label], 9)) for label in labels], labels


def weights(run: selftaught.Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "encoder" / "model.safetensors")


def same(a: selftaught.Run, b: selftaught.Run) -> bool:
    return all(torch.equal(value, weights(b)[name]) for name, value in weights(a).items())


def test_series_learn_as_those_of_a_file_do(tmp_path: Path) -> None:
    x, labels = waves()
    np.savez(tmp_path / "x.npz", x=x, y=labels, channels=["left", "right"], rate=50)
    how: dict[str, Any] = {"method": "vicreg", "encoder": OF_SERIES, **QUICK}
    given = Series(x, channels=["left", "right"], rate=50)
    filed = selftaught.pretrain(f"series:{tmp_path / 'x.npz'}", out=tmp_path / "filed", **how)
    held = selftaught.pretrain(given, out=tmp_path / "held", **how)
    assert same(filed, held) and held.recipe.data == "python:series"
    again = selftaught.pretrain(given, out=tmp_path / "held", resume=True, **how)
    assert again.status["state"] == "done"
    with pytest.raises(UsageError, match="is not the data this run was started with"):
        selftaught.pretrain(Series(x + 1), out=tmp_path / "held", resume=True, **how)
    asked: dict[str, Any] = {"probe": "knn", "repeats": 1, "out": str(tmp_path / "judged.json")}
    judged = [filed.evaluate(f"series:{tmp_path / 'x.npz'}", **asked), held.evaluate((given, labels), **asked)]
    assert judged[0].rows == judged[1].rows
    found = held.find(given, Series(x[:1]), count=3)
    assert found.keys[0] == "0"
    embedded = np.load(held.embed(given, tmp_path / "z.npz"))["features"]
    assert len(embedded) == 24
    held.finetune((given, labels), tmp_path / "classifier", finetune={"epochs": 1})
    said = selftaught.predict(tmp_path / "classifier", Series([x[0], x[1, :, :20]]))
    assert len(said.keys) == 2


def test_series_of_several_lengths_belong_to_machines_and_are_cut(tmp_path: Path) -> None:
    x, _ = waves()
    ragged = [x[row, :, : 20 + row % 3] for row in range(24)]
    seen = selftaught.check(Series(ragged, groups=np.arange(24) // 2, keys=[f"m{row}" for row in range(24)]))
    assert (seen.count, seen.things, seen.usable) == (24, "series", True)
    run = selftaught.pretrain(
        Series(ragged), window=8, stride=4, method="vicreg", encoder=OF_SERIES, out=tmp_path / "run", **QUICK
    )
    assert run.status["state"] == "done"


def test_texts_learn_as_those_of_a_file_do(tmp_path: Path) -> None:
    texts, labels = lines()
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(f"{t},{y}\n" for t, y in zip(texts, labels)))
    how: dict[str, Any] = {"method": "mlm", "encoder": OF_TEXTS, **QUICK}
    filed = selftaught.pretrain(f"text:{tmp_path / 'texts.csv'}", out=tmp_path / "filed", **how)
    held = selftaught.pretrain(Texts(texts), out=tmp_path / "held", **how)
    assert same(filed, held) and held.recipe.data == "python:texts"
    result = held.evaluate((Texts(texts[:16]), labels[:16]), (Texts(texts[16:]), labels[16:]), probe="knn", repeats=1)
    assert {row.features for row in result.rows} == {"trained", "untrained", "pixels"} and result.things == "texts"
    picked = held.select(Texts(texts, keys=[f"t{row}" for row in range(24)]), tmp_path / "to_label.csv", count=4)
    assert len(picked.keys) == 4 and picked.keys[0].startswith("t")


def test_what_is_missing_or_no_text_is_told() -> None:
    seen = selftaught.check(Texts([*lines()[0], None, float("nan"), ""]))
    assert seen.problems[0].startswith("3 of 27 texts (11.1%) cannot be used")
    for wrong, said in (("a text", "was given a single one"), ([0, "a"], "of type int")):
        with pytest.raises(UsageError, match=said):
            Texts(wrong)
    with pytest.raises(UsageError, match="1 keys for 2 texts"):
        Texts(["a", "b"], keys=["x"])


def test_texts_and_their_labels_are_looked_at_as_those_of_a_file_are() -> None:
    texts = ["one two \udc80", "three four", "five six", "seven \ud83d"]
    with handed((Texts(texts), np.array(["a", None, " b ", "c"], object))) as name:
        held = open_texts(name)
    assert held.texts == ["three four", "five six"] and held.labels == ["", "b"]
    assert held.broken == [("0", "is no text in UTF-8: byte 0x80"), ("3", "holds half a character")]
    assert held.notes == ["1 labels in texts are 'None', which is taken for no label"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros(5), r"it was given shape \(5,\)"),
        (np.zeros((2, 3, 4, 5)), "it was given shape"),
        ([], "it was given list"),
        ([np.zeros((2, 5)), np.zeros((3, 5))], "as many channels of each; it was given 2 and 3"),
        ([np.zeros((2, 5)), np.array(["a"])], "of numbers; something in the list is none of these"),
        ("signals.npz", "it was given str"),
    ],
)
def test_what_is_no_series_is_told(values: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Series(values)


def test_labels_are_one_each_and_columns_there_are_none(tmp_path: Path) -> None:
    x, labels = waves()
    run = selftaught.pretrain(Series(x), method="vicreg", encoder=OF_SERIES, out=tmp_path / "run", **QUICK)
    with pytest.raises(DataError, match="labels of shape"):
        run.evaluate((Series(x), labels[:3]))
    with pytest.raises(UsageError, match="has no columns with names"):
        selftaught.check(Texts(lines()[0]), label_column="kind")
    assert len(Series(torch.from_numpy(x))) == 24
