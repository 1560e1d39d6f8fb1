"""Rows from files, arrays and scikit-learn: what is a number, a category, a label, a key."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from selftaught import modality
from selftaught.errors import DataError, UsageError
from selftaught.tables.preparation import Preparation
from selftaught.tables.source import open_table
from selftaught.tables.store import open_samples

TEXT = "id,height,colour,Label,weight\na,1.5,red,cat,10\nb,NA,blue,dog,30\nc,2.5,red,cat,\nd,3.5,?,,20\n"


def csv_file(tmp_path: Path, text: str = TEXT, name: str = "animals.csv") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_columns_are_told_apart(tmp_path: Path) -> None:
    table = open_table(csv_file(tmp_path))
    assert table.name == "animals" and list(table.columns) == ["height", "colour", "weight"]
    assert table.keys == ["a", "b", "c", "d"] and table.labels == ["cat", "dog", "cat", ""]
    assert np.isnan(table.columns["height"][1]) and table.columns["colour"].dtype.kind == "U"


def test_rows_are_standardised_numbers_and_ones_for_categories(tmp_path: Path) -> None:
    table = open_table(csv_file(tmp_path))
    preparation = Preparation.measured(table)
    rows = preparation.encoded(table)
    assert preparation.shape == (2, 3) == rows.shape[1:]
    assert preparation.columns[1].values == ("red", "blue")
    heights = np.array([1.5, 2.5, 3.5])
    assert np.allclose(rows[[0, 2, 3], 0, 0], (heights - 2.5) / heights.std()) and rows[1, 0, 0] == 0
    assert rows[:, :, 1].tolist() == [[1, 0], [0, 1], [1, 0], [0, 0]]
    assert "of 3 columns (2 of numbers, 1 of categories)" in preparation.told()


def test_labels_are_no_part_of_the_data_nor_of_its_fingerprint(tmp_path: Path) -> None:
    one = open_samples(csv_file(tmp_path))
    other = open_samples(csv_file(tmp_path, TEXT.replace("dog", "cow"), "others.csv"))
    assert one.labels is None and one.count == 4 and one.fingerprint == other.fingerprint
    changed = open_samples(csv_file(tmp_path, TEXT.replace("1.5", "1.6"), "changed.csv"))
    assert changed.fingerprint != one.fingerprint
    labelled = open_samples(csv_file(tmp_path), labelled=True)
    assert labelled.labels == ["cat", "dog", "cat"] and list(labelled.keys) == ["a", "b", "c"]


def test_an_encoders_preparation_is_used_on_other_rows(tmp_path: Path) -> None:
    like = open_samples(csv_file(tmp_path)).preparation
    other = csv_file(tmp_path, "weight,colour,height\n20,green,2.5\n", "one.csv")
    values = open_samples(other, like=like).batch(np.array([0]))[0]
    assert values[0, :, 1].tolist() == [0, 0] and values[0, 0, 0] == 0
    with pytest.raises(DataError, match="has no column 'height'"):
        open_samples(csv_file(tmp_path, "weight,colour\n1,red\n", "less.csv"), like=like)
    with pytest.raises(DataError, match="'height' holds text where numbers were"):
        open_samples(csv_file(tmp_path, "weight,colour,height\n1,red,tall\n", "text.csv"), like=like)


def test_all_formats_hold_the_same_rows(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(20, 3)).round(3)
    labels = np.arange(20) % 2
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", x=values, y=labels)
    lines = ["p,q,r,label", *(",".join(map(str, [*row, label])) for row, label in zip(values, labels))]
    csv_file(tmp_path, "\n".join(lines) + "\n", "a.csv")
    csv_file(tmp_path, "\n".join(lines).replace(",", "\t") + "\n", "a.tsv")
    columns = {"p": values[:, 0], "q": values[:, 1], "r": values[:, 2], "label": labels}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = [open_samples(tmp_path / f"a.{kind}") for kind in ("npy", "npz", "csv", "tsv", "parquet")]
    assert all(np.allclose(one.values, found[0].values) for one in found)
    for kind in ("npz", "csv", "tsv", "parquet"):
        assert open_samples(tmp_path / f"a.{kind}", labelled=True).labels == [str(label) for label in labels]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n3\n", r"line 3 has 1 cells, the header has 2"),
        ("a,b\n", "holds no rows"),
        ("label\nx\n", "no columns to learn from"),
    ],
)
def test_a_broken_table_gets_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_samples(csv_file(tmp_path, text))


def test_what_is_rows_and_what_is_images(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((5, 4)))
    np.save(tmp_path / "images.npy", np.zeros((5, 8, 8), np.uint8))
    kinds = {
        str(tmp_path / "rows.npy"): "rows",
        str(tmp_path / "images.npy"): "images",
        "sklearn:wine": "rows",
        "sklearn:digits": "images",
        "table.csv": "rows",
        "photos": "images",
    }
    assert {data: modality.of(data).THINGS for data in kinds} == kinds
    with pytest.raises(DataError, match="does not exist"):
        open_samples("nothing.csv")
    with pytest.raises(UsageError, match="no data set sklearn:boston"):
        open_samples("sklearn:boston")
