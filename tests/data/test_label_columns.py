"""Labels in several columns of yes and no, wherever labels are read: a CSV of labels, a list of images, tables."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selftaught.data.images.samples import open_samples as open_images
from selftaught.data.sources.labels import labels_for
from selftaught.data.sources.taken import Taken
from selftaught.data.tables.columns import open_table
from selftaught.data.tables.samples import open_samples as open_rows
from selftaught.system.errors import DataError, UsageError
from selftaught.system.randomness import subset

KEYS = ["a.png", "b.png", "c.png", "d.png"]
LINES = "path,who,cat,dog\na.png,x,1,yes\nb.png,x,0,TRUE\nc.png,x,no,false\nd.png,x,,\n"


def test_a_csv_of_labels_may_have_a_column_for_each(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(LINES)
    assert labels_for(file, KEYS, "images", "cat,dog") == ["cat;dog", "dog", ";", ""]
    assert labels_for(file, KEYS, "images", "dog, cat") == ["dog;cat", "dog", ";", ""]
    assert labels_for(file, KEYS, "images", "who") == ["x"] * 4


@pytest.mark.parametrize(
    ("asked", "lines", "said"),
    [
        ("cat,bird", LINES, "--label-column bird is no column of "),
        ("cat,who", LINES, "column 'who' of .* holds 'x': .* each must hold 0 or 1"),
        ("cat,dog", LINES.replace("TRUE", "2"), "column 'dog' of .* holds '2'"),
        ("cat,a;b", LINES.replace("dog", "a;b"), "column 'a;b' of .* cannot be one of several labels"),
    ],
)
def test_what_is_no_yes_and_no_is_refused(asked: str, lines: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(lines)
    with pytest.raises((DataError, UsageError), match=said):
        labels_for(tmp_path / "labels.csv", KEYS, "images", asked)


def test_a_column_whose_name_has_a_comma_is_one_column(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text('path,"cat,dog"\na.png,both\n')
    assert labels_for(tmp_path / "labels.csv", ["a.png"], "images", "cat,dog") == ["both"]


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        ("a.png,cat;dog\nb.png,dog;bird\n", ["cat;dog", "dog;bird"]),
        ("path,label\na.png,cat;dog\nb.png,dog;bird\n", ["cat;dog", "dog;bird"]),
        ("a.png;1,5\nb.png;2,5\n", ["1.5", "2.5"]),
        ("a.png;1,5\nb.png;long\n", ["1,5", "long"]),
        ("path;label\na.png;cat\nb.png;dog\n", ["cat", "dog"]),
    ],
)
def test_what_parts_labels_parts_no_cells(lines: str, labels: list[str], tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(lines)
    assert labels_for(tmp_path / "labels.csv", KEYS[:2], "images") == labels


def test_a_list_of_images_may_have_a_column_for_each(tmp_path: Path) -> None:
    for key in KEYS:
        Image.new("L", (8, 8)).save(tmp_path / key)
    (tmp_path / "list.csv").write_text(LINES)
    images = open_images(str(tmp_path / "list.csv"), label_column="cat,dog", labelled=True)
    assert images.labels == ["cat;dog", "dog", ";"], "of the last nothing is known"
    assert any("labels in column 'cat, dog'; not learnt from: who" in note for note in images.notes)


def test_a_list_of_images_may_have_numbers_with_commas(tmp_path: Path) -> None:
    for key in KEYS[:2]:
        Image.new("L", (8, 8)).save(tmp_path / key)
    (tmp_path / "list.csv").write_text("path;label\na.png;1.234,5\nb.png;2,5\n")
    images = open_images(str(tmp_path / "list.csv"), labelled=True)
    assert images.labels == ["1234.5", "2.5"] and any("written with commas" in note for note in images.notes)


def test_a_table_may_have_a_column_for_each_and_learns_from_none(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i % 2},{i % 3 == 0},{i * 0.5}\n" for i in range(12))
    (tmp_path / "rows.csv").write_text(f"size,wet,cold,length\n{rows}")
    table = open_table(str(tmp_path / "rows.csv"), "wet,cold")
    assert list(table.columns) == ["size", "length"] and table.label == "wet,cold"
    assert table.labels == ["cold", "wet", ";", "wet;cold", ";", "wet"] * 2
    again = open_table(str(tmp_path / "rows.csv"), None, Taken(("size", "length"), "wet,cold"))
    assert again.labels == table.labels, "a run knows what its labels were"
    with pytest.raises(UsageError, match="the encoder has learnt from column 'cold'"):
        open_table(str(tmp_path / "rows.csv"), "wet,cold", Taken(("size", "length", "cold"), None))
    assert open_rows(str(tmp_path / "rows.csv"), label_column="wet,cold", labelled=True).labels == table.labels


def test_a_parquet_table_may_have_columns_of_truth_values(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"x": [0.5, 1.5, 2.5], "wet": [True, False, False], "cold": [1, 1, 0]}
    parquet.write_table(arrow.table(columns), tmp_path / "rows.parquet")
    assert open_table(str(tmp_path / "rows.parquet"), "wet,cold").labels == ["wet;cold", "cold", ";"]


def test_a_limit_takes_of_numbers_as_of_classes() -> None:
    rows = np.arange(20_000)
    few = subset(rows, [str(i / 7) for i in range(20_000)], 50, 0)
    assert len(set(few.tolist())) == 50
    shares = subset(rows, ["a"] * 15_000 + ["b"] * 5_000, 100, 0)
    assert int((shares < 15_000).sum()) == 75
