"""Rows from files, arrays and scikit-learn: what is a number, a category, a label, a key."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from selftaught.contracts import modality
from selftaught.data.sources.handed import handed
from selftaught.data.sources.taken import Taken
from selftaught.data.tables.columns import open_table
from selftaught.data.tables.inspection import inspect
from selftaught.data.tables.preparation import Preparation
from selftaught.data.tables.reading import snippets
from selftaught.data.tables.samples import open_samples
from selftaught.system.errors import DataError, UsageError

TEXT = "id,height,colour,Label,weight\na,1.5,red,cat,10\nb,NA,blue,dog,30\nc,2.5,red,cat,\nd,3.5,?,,20\n"


def csv_file(tmp_path: Path, text: str = TEXT, name: str = "animals.csv") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_columns_are_told_apart(tmp_path: Path) -> None:
    table = open_table(csv_file(tmp_path))
    assert table.name == "animals" and list(table.columns) == ["height", "colour", "weight"]
    assert table.keys == ["a", "b", "c", "d"] and table.labels == ["cat", "dog", "cat", ""]
    assert np.isnan(table.columns["height"][1]) and table.columns["colour"].dtype.kind == "U"


def test_rows_of_one_name_are_told_apart_in_any_format(tmp_path: Path) -> None:
    text = "id,height,label\n3,1.5,cat\n7,2,dog\n3,2.5,dog\n 3,4,\n"
    columns = pa.table({"id": [3, 7, 3, 3], "height": [1.5, 2, 2.5, 4], "label": ["cat", "dog", "dog", None]})
    parquet.write_table(columns, tmp_path / "t.parquet")
    with handed(columns) as given:
        for table in map(open_table, (csv_file(tmp_path, text), tmp_path / "t.parquet", given)):
            assert table.keys == ["3#1", "7#1", "3#2", "3#3"] and list(table.columns) == ["height"]
            assert "several rows are called '3': all are numbered behind their names, as '3#1'" in table.notes
            assert table.beside()["id"]() == ["3", "7", "3", "3"]
            assert table.labels == ["cat", "dog", "dog", ""]
    other = csv_file(tmp_path, text.replace("3,", "4,", 1), "other.csv")
    assert open_table(csv_file(tmp_path, text)).fingerprint() == open_table(other).fingerprint()
    assert open_table(csv_file(tmp_path, "id,h\n3,1\n7,2\n")).keys == ["3", "7"]


def test_a_file_may_name_one_row_or_all_of_one_name(tmp_path: Path) -> None:
    data = csv_file(tmp_path, "id,height\n3,1.5\n7,2\n3,2.5\n3,4\n")
    beside = csv_file(tmp_path, "key,label\n3#2,dog\n3,cat\n", "labels.csv")
    assert open_samples(data, labels=beside, labelled=True).labels == ["cat", "dog", "cat"]
    told = open_samples(data).metadata(["site"], str(csv_file(tmp_path, "id,site\n3,east\n7,west\n", "sites.csv")))
    assert told[0].cells == ["east", "west", "east", "east"]
    with pytest.raises(DataError, match=r"name none of the rows, such as '5'; the first of the rows is '3#1'"):
        open_samples(data, labels=csv_file(tmp_path, "key,label\n3,cat\n5,cat\n", "odd.csv"), labelled=True)


def test_rows_are_standardised_numbers_and_ones_for_categories(tmp_path: Path) -> None:
    table = open_table(csv_file(tmp_path))
    preparation = Preparation.of(table)
    rows = preparation.encoded(table)
    assert preparation.shape == (2, 3) == rows.shape[1:]
    assert preparation.columns[1].values == ("red", "blue")
    heights = np.array([1.5, 2.5, 3.5])
    assert np.allclose(rows[[0, 2, 3], 0, 0], (heights - 2.5) / heights.std()) and rows[1, 0, 0] == 0
    assert rows[:, :, 1].tolist() == [[1, 0], [0, 1], [1, 0], [0, 0]]
    assert "of 3 columns (2 of numbers, 1 of categories)" in preparation.in_words()
    told = modality.of(str(tmp_path / "animals.csv")).snippets
    assert told and told(torch.from_numpy(rows), preparation) == [
        "height 1.5, colour red, weight 10",
        "height –, colour blue, weight 30",
        "height –, colour red, weight –",  # 2.5 is the mean
        "height 3.5, colour –, weight –",
    ]


def test_a_row_reads_as_it_was_written() -> None:
    values = np.random.default_rng(0).integers(0, 9, (200, 6))
    table = open_table(values.astype(float))
    preparation = Preparation.of(table)
    assert not (values == [column.mean for column in preparation.columns]).any()  # of which nothing is told
    read = snippets(torch.from_numpy(preparation.encoded(table)), preparation)
    assert [[int(cell.split()[-1]) for cell in row.split(", ")] for row in read] == values.tolist()


def test_labels_are_no_part_of_the_data_nor_of_its_fingerprint(tmp_path: Path) -> None:
    one = open_samples(csv_file(tmp_path))
    other = open_samples(csv_file(tmp_path, TEXT.replace("dog", "cow"), "others.csv"))
    assert one.labels is None and one.count == 4 and one.fingerprint == other.fingerprint
    changed = open_samples(csv_file(tmp_path, TEXT.replace("1.5", "1.6"), "changed.csv"))
    assert changed.fingerprint != one.fingerprint
    labelled = open_samples(csv_file(tmp_path), labelled=True)
    assert labelled.labels == ["cat", "dog", "cat"] and list(labelled.keys) == ["a", "b", "c"]


def test_a_list_of_labels_must_name_rows(tmp_path: Path) -> None:
    rows, labels = csv_file(tmp_path), csv_file(tmp_path, "key,label\na,one\nc,two\n", "labels.csv")
    assert open_samples(rows, labels=labels, labelled=True).labels == ["one", "two"]
    for text, told in (
        ("a,one\nz,two\ny,two\n", "2 of 3 lines in .* name none of the rows"),
        ("key,label\nz,one\n", "such as 'z'; the first of the rows is 'a'"),
    ):
        with pytest.raises(DataError, match=told):
            open_samples(rows, labels=csv_file(tmp_path, text, "wrong.csv"), labelled=True)


def test_an_encoders_preparation_is_used_on_other_rows(tmp_path: Path) -> None:
    like = open_samples(csv_file(tmp_path)).preparation
    other = csv_file(tmp_path, "weight,colour,height\n20,green,2.5\n", "one.csv")
    values = open_samples(other, like=like).batch(np.array([0]))[0]
    assert values[0, :, 1].tolist() == [0, 0] and values[0, 0, 0] == 0
    with pytest.raises(DataError, match="has no column 'height'"):
        open_samples(csv_file(tmp_path, "weight,colour\n1,red\n", "less.csv"), like=like)
    with pytest.raises(DataError, match="'height' holds text where numbers were"):
        open_samples(csv_file(tmp_path, "weight,colour,height\n1,red,tall\n", "text.csv"), like=like)


def test_categories_that_an_encoder_does_not_know_are_told(tmp_path: Path) -> None:
    rows = "".join(f"{n},{'True' if n % 2 else 'False'},{'red' if n % 3 else 'blue'},n{n}\n" for n in range(100))
    like = open_samples(csv_file(tmp_path, "a,paid,colour,name\n" + rows)).preparation
    text = "a,paid,colour,name\n1,true,red,x\n2,false,green,y\n3,,blue,z\n4,true,,w\n"
    said = "of no category that the encoder knows"
    assert open_samples(csv_file(tmp_path, text, "other.csv"), like=like).notes == [
        f"warning: column 'paid': {said} ('False', 'True'), and so taken for missing: 3 cells such as 'true', 'false'",
        f"column 'colour': {said} ('red', 'blue'), and so taken for missing: 1 cell such as 'green'",
    ]
    known = csv_file(tmp_path, "a,paid,colour,name\n1,True,red,x\n", "known.csv")
    assert open_samples(known, like=like).notes == []


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


def test_all_columns_that_are_named_as_keys_are_no_features(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n},{n % 5},{n * n % 7},n{n}\n" for n in range(30))
    file = csv_file(tmp_path, ",id,a,b,who\n" + rows, "two.csv")
    table = open_table(file)
    assert list(table.columns) == ["a", "b", "who"] and table.keys == [str(n) for n in range(30)]
    assert table.notes == ["rows are named by column 'id'; '' is named like such and is left out as well"]
    assert list(table.beside()[""]())[:2] == ["0", "1"]  # which may still tell of what belongs together
    told = "column 'who' differs in nearly every row: a name or a date, not a feature? "
    assert told + "Leave the column out" in inspect(str(file)).notes
    without = csv_file(
        tmp_path, "a,b,who\n" + "".join(f"{line.split(',', 2)[2]}\n" for line in rows.split()), "none.csv"
    )
    assert told + "Call it 'id' to leave it out" in inspect(str(without)).notes
    old = open_table(file, None, Taken(("", "a", "b", "who")))  # of a version that left out one of them
    assert list(old.columns) == ["", "a", "b", "who"] and not old.notes


def test_what_is_wrong_with_a_table_is_told_with_a_way_out(tmp_path: Path) -> None:
    header = ",".join(["id", "segment", *(f"c{n}" for n in range(10))])
    file = csv_file(tmp_path, f"{header}\n" + "\n".join(",".join(str(n * k) for n in range(12)) for k in (1, 2)) + "\n")
    with pytest.raises(
        UsageError, match=r"--label-column segmnt is no column of .*animals.csv; did you mean 'segment'\?"
    ):
        open_table(file, "segmnt")
    with pytest.raises(
        UsageError, match=r"--label-column zzz is no column of .*; it has id, segment, c0, .* c7 and 2 more"
    ):
        open_table(file, "zzz")
    like = open_samples(file).preparation
    other = csv_file(tmp_path, file.read_text().replace("segment", "Segment"), "other.csv")
    told = "other.csv has no column 'segment', which the encoder takes; if that is its 'Segment', give it the name"
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/{told}")):
        open_samples(other, like=like)
    latin = tmp_path / "latin.csv"
    latin.write_bytes("a,b\n1,2\n3,größe\n".encode("latin-1"))
    with pytest.raises(
        DataError, match=r"latin\.csv cannot be read as text: line 3 is no text in UTF-8, byte 0xf6: save"
    ):
        open_table(latin)


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


def test_no_label_or_index_is_ever_a_feature(tmp_path: Path) -> None:
    table = open_table(csv_file(tmp_path, ",y,x,label\n7,1.5,2,cat\n8,2.5,3,dog\n"))
    assert list(table.columns) == ["x"] and table.labels == ["cat", "dog"] and table.keys == ["7", "8"]
    assert any("'y' is left out" in note for note in table.notes)
    with pytest.raises(DataError, match="two columns named 'a'"):
        open_table(csv_file(tmp_path, "a,a,b\n1,2,3\n", "twice.csv"))


def test_categories_of_digits_are_found_again(tmp_path: Path) -> None:
    like = open_samples(csv_file(tmp_path, "grade,x\nK,1\n1,2\n2,3\n1,4\n")).preparation
    values = open_samples(csv_file(tmp_path, "grade,x\n1,2\n2,2\n", "new.csv"), like=like).batch(np.arange(2))[0]
    assert like.columns[0].values[0] == "1" and values[0, :, 0].tolist() == [1, 0, 0] and values[1, :, 0].sum() == 1


def test_numbers_of_any_scale_are_standardised(tmp_path: Path) -> None:
    table = open_table(csv_file(tmp_path, "constant,small\n0.1,1e-9\n0.1,3e-9\n0.1,5e-9\n"))
    rows = Preparation.of(table).encoded(table)
    assert np.abs(rows[:, 0, 0]).max() < 1e-9 and rows[2, 0, 1] == pytest.approx(1.2247, abs=1e-3)
    other = open_table(csv_file(tmp_path, "constant,small\n1.1,1e-9\n", "other.csv"))
    assert Preparation.of(table).encoded(other)[0, 0, 0] == pytest.approx(1)
    with pytest.raises(DataError, match="'a' holds numbers too large"):
        Preparation.of(open_table(csv_file(tmp_path, "a\n1.7e308\n-1.7e308\n1.7e308\n", "huge.csv")))


def test_labels_of_an_array_are_one_a_row(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3)), y=np.eye(4))
    with pytest.raises(DataError, match=r"labels of shape \(4, 4\); 4 samples take \(4,\)"):
        open_table(tmp_path / "a.npz")
