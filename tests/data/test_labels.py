"""Labels: which column holds them, what is none, which line means which sample, and lines that contradict."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from selftaught.contracts import modality
from selftaught.data.images.samples import open_samples as open_images
from selftaught.data.opening import labels_in
from selftaught.data.sources.arrays import Arrays
from selftaught.data.sources.files import Files
from selftaught.data.sources.handed import handed
from selftaught.data.sources.labels import labels_for, labels_in_file
from selftaught.data.sources.metadata import columns_beside
from selftaught.data.sources.open import open_source
from selftaught.data.sources.taken import Taken
from selftaught.data.tables.columns import open_table
from selftaught.data.tables.inspection import inspect
from selftaught.data.tables.preparation import Preparation
from selftaught.data.tables.samples import open_samples
from selftaught.data.tables.telling import told_by
from selftaught.data.text.files import open_texts
from selftaught.judging.label_file import LabelFile
from selftaught.system.errors import DataError, UsageError

KEYS = ["cats/a.png", "cats/b.png", "dogs/a.png", "dogs/c.jpg"]


def saved(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def pictures(folder: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 10 * number).save(folder / name)
    return folder


def test_nan_is_no_class_in_any_format(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 2.0
    y[10:] = np.nan
    np.savez(tmp_path / "a.npz", x=x, y=y)
    np.savez(tmp_path / "b.npz", x=x, y=np.where(np.isnan(y), "NA", "c"))
    parquet.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "label": pa.array(y)}), tmp_path / "a.parquet")
    for name, classes in (("a.npz", {"0", "1"}), ("b.npz", {"c"}), ("a.parquet", {"0", "1"})):
        samples = open_samples(tmp_path / name, labelled=True)
        assert samples.count == 10 and set(samples.labels or []) == classes
    images = Arrays("x", np.zeros((30, 4, 4), np.uint8), y)
    assert images.labels is not None and images.labels[:2] == ["0", "1"] and set(images.labels[10:]) == {""}
    labels = saved(tmp_path / "l.csv", "key,label\n0,cat\n1,NA\n2,dog\n3,nan\n")
    samples = open_samples(tmp_path / "a.npz", labels=labels, labelled=True)
    assert samples.labels == ["cat", "dog"] and any("'NA'" in note for note in samples.notes)


def test_spaces_round_a_label_make_no_other_class(tmp_path: Path) -> None:
    rows = saved(tmp_path / "rows.csv", "x, label\n1, cat\n2,cat \n3,a dog\n4, NA\n")
    assert open_table(rows).labels == ["cat", "cat", "a dog", ""]
    assert Arrays("x", np.zeros((2, 4, 4), np.uint8), np.array([" cat", "cat"])).labels == ["cat", "cat"]


@pytest.mark.parametrize(
    "header", ["path,label", "filename,species", "id_code,image_id,x,Diagnosis", "label,file_name"]
)
def test_columns_of_a_csv_of_labels_are_known_by_name(header: str, tmp_path: Path) -> None:
    cells = {"path": 0, "filename": 0, "image_id": 0, "file_name": 0, "label": 1, "species": 1, "Diagnosis": 1}
    rows = [("cats/a.png", "tabby"), ("dogs/c.jpg", "poodle")]
    lines = [",".join(row[cells[name]] if name in cells else "7" for name in header.split(",")) for row in rows]
    file = saved(tmp_path / "l.csv", "\n".join([header, *lines]) + "\n")
    assert labels_for(file, KEYS, "images") == ["tabby", "", "", "poodle"]


def test_the_column_that_is_said_counts_and_none_is_guessed_among_many(tmp_path: Path) -> None:
    file = saved(tmp_path / "l.csv", "path,age,breed\ncats/a.png,3,tabby\n")
    assert labels_for(file, KEYS, "images", "breed")[0] == "tabby" and labels_for(file, KEYS, "images", "age")[0] == "3"
    with pytest.raises(UsageError, match=r"no label by name among its columns age, breed: say which with --label-col"):
        labels_for(file, KEYS, "images")


def test_a_first_line_below_a_header_is_no_header(tmp_path: Path) -> None:
    lines = ["cats/a.png,1", "cats/b.png,2"]
    told = "1 of 3 lines in .*l.csv name none of the images, such as 'gone.png'"
    for header in ("path,label", "name,breed,label"):
        rows = [line.replace(",", ",x,") if "breed" in header else line for line in ["gone.png,7", *lines]]
        with pytest.raises(DataError, match=told):
            labels_for(saved(tmp_path / "l.csv", "\n".join(["", header, *rows])), KEYS, "images")
    file = saved(tmp_path / "l.csv", "\n".join(["", "which,what", *lines]))  # which is guessed to be one
    assert labels_for(file, KEYS, "images") == ["1", "2", "", ""]


def test_lines_may_name_files_as_other_systems_and_tools_do(tmp_path: Path) -> None:
    notes: list[str] = []
    file = saved(tmp_path / "l.csv", "path,label\ncats\\a.png,x\nb.png,y\n./dogs/a.png,z\nset/dogs/c,w\n")
    assert labels_for(file, KEYS, "images", None, notes.append) == ["x", "y", "z", "w"]
    assert any("2 lines of" in note and "without their folder or ending" in note for note in notes)
    both = (
        "name more than one of the images, such as '{}', which is 'cats/a.png' and 'dogs/a.png': write it in full in l"
    )
    none = (
        "name none of the images, such as '{}'; the first of the images is 'cats/a.png': correct line 2, or leave it o"
    )
    for name, told in (("a.png", both), ("a", both), ("dogs/b.png", none), ("cats/a.jpg", none)):
        with pytest.raises(DataError, match=told.format(name)):
            labels_for(saved(tmp_path / "m.csv", f"path,label\n{name},x\nb.png,x\n"), KEYS, "images")
    with pytest.raises(DataError, match="name none of the rows"):
        labels_for(saved(tmp_path / "m.csv", "key,label\n5,x\n1,x\n"), ["5.1", "1", "2"], "rows")


def test_rows_of_empty_cells_as_spreadsheets_write_them_say_nothing(tmp_path: Path) -> None:
    file = saved(tmp_path / "l.csv", ";;\npath;label;note\ncats/a.png;x;\n;;\n ;\t;\ndogs/c.jpg;y;\n;;\n")
    assert labels_for(file, KEYS, "images") == ["x", "", "", "y"]
    assert labels_in_file(file) == {"cats/a.png": "x", "dogs/c.jpg": "y"}
    pictures(tmp_path, KEYS)
    listed = open_source(file)
    assert (listed.keys, listed.labels) == (["cats/a.png", "dogs/c.jpg"], ["x", "y"])
    images = open_source(tmp_path)
    assert columns_beside(images, str(file), "images")["label"]() == ["x", "", "", "y"] and not images.notes
    assert LabelFile(saved(tmp_path / "m.csv", ",\npath,label\n,\n")).labels(KEYS, "images") == [""] * len(KEYS)


def test_lines_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    file = saved(tmp_path / "l.csv", "path,label\ncats/a.png,x\ncats/b.png,y\ncats\\a.png,z\n")
    with pytest.raises(DataError, match=r"contradicts itself about 'cats/a.png': line 2 'x' and line 4 'z'"):
        labels_for(file, KEYS, "images")
    same = saved(tmp_path / "s.csv", "path,label\ncats/a.png,x\ncats/a.png,x\n")
    assert labels_for(same, KEYS, "images")[0] == "x" and labels_in_file(same) == {"cats/a.png": "x"}
    with pytest.raises(DataError, match="line 2 'x' and line 3 'y'"):
        labels_in_file(saved(tmp_path / "t.csv", "path,label\na,x\na,y\n"))
    rows = open_table(saved(tmp_path / "u.csv", "id,x,label\n7,1,cat\n7,2,dog\n8,3,dog\n8,4,dog\n"))
    assert labels_in(rows) == {"7#1": "cat", "7#2": "dog", "8#1": "dog", "8#2": "dog", "8": "dog"}
    rows.keys = ["7", "7", "8", "8"]
    with pytest.raises(DataError, match="contradicts itself about '7': line 1 'cat' and line 2 'dog'"):
        labels_in(rows)


def table(tmp_path: Path, label: str, rows: int = 60) -> Path:
    rng = np.random.default_rng(0)
    lines = [f"{rng.normal():.3f},{rng.normal():.3f},{'cat' if i % 3 else 'dog'}" for i in range(rows)]
    return saved(tmp_path / f"{label}.csv", f"x1,x2,{label}\n" + "\n".join(lines) + "\n")


def test_what_is_taken_for_the_label_is_said_and_can_be_chosen(tmp_path: Path) -> None:
    file = table(tmp_path, "Class")
    guessed, kept = open_table(file), open_table(file, "none")
    assert list(guessed.columns) == ["x1", "x2"] and guessed.label == "Class"
    assert any("'Class' is taken for the label and is not learnt from; --label-column none" in n for n in guessed.notes)
    assert list(kept.columns) == ["x1", "x2", "Class"] and kept.labels is None
    other = open_table(file, "x1")
    assert list(other.columns) == ["x2", "Class"] and other.labels is not None and len(set(other.labels)) > 20
    with pytest.raises(UsageError, match=r"--label-column colour is no column of .*; it has x1, x2, Class"):
        open_table(file, "colour")
    np.save(tmp_path / "a.npy", np.zeros((4, 3)))
    with pytest.raises(UsageError, match="has no columns with names of their own"):
        open_table(tmp_path / "a.npy", "y")
    with pytest.raises(UsageError, match="has no columns with names of their own"):
        open_source(pictures(tmp_path / "p", ["a/0.png"]), "y")


@pytest.mark.parametrize("label", ["species", "labels", "Outcome", "diagnosis", "label_id"])
def test_a_feature_with_the_name_of_a_label_is_said(label: str, tmp_path: Path) -> None:
    file = table(tmp_path, label)
    said = open_table(file).notes
    assert any(f"'{label}' is named like a label and is learnt from; --label-column {label} leaves" in n for n in said)
    assert not open_table(table(tmp_path, "colour")).notes


def test_columns_that_an_encoder_takes_stay_features_and_its_label_a_label(tmp_path: Path) -> None:
    file = table(tmp_path, "y")
    all_of_them = open_samples(file, label_column="none").preparation
    assert open_samples(file, like=all_of_them).values.shape[2] == 3
    with pytest.raises(UsageError, match=r"has learnt from column 'y' .* judged by it: pre-train anew with --label-c"):
        open_samples(file, like=all_of_them, label_column="y", labelled=True)
    file = table(tmp_path, "colour")
    without = open_samples(file, label_column="colour").preparation
    assert set(open_samples(file, like=without, labelled=True).labels or []) == {"cat", "dog"}
    older = {"columns": [{"name": "x", "kind": "number"}]}
    assert all_of_them.model_validate(older).label is None  # as older encoders were written


def test_a_column_that_tells_the_label_is_warned_of(tmp_path: Path) -> None:
    file = table(tmp_path, "species")
    labels = saved(tmp_path / "l.csv", "key,label\n" + "".join(f"{i},{'cat' if i % 3 else 'dog'}\n" for i in range(60)))
    said = open_samples(file, labels=labels, labelled=True).notes
    assert any("column 'species' alone tells the label of 100.0% of the rows (66.7% without it)" in n for n in said)
    assert not any("alone tells" in n for n in open_samples(table(tmp_path, "label"), labelled=True).notes)
    assert not any("alone tells" in n for n in open_samples("sklearn:wine", labelled=True).notes)


def test_how_well_one_column_tells_a_class() -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], [140, 100, 60])
    assert told_by(np.arange(300.0), classes) > 0.95
    assert told_by(rng.normal(size=300), classes) < 0.5
    assert told_by(np.array([f"n{i}" for i in range(300)]), classes) == 0  # a name of its own tells nothing of others
    assert told_by(np.where(classes == 1, 5.0, np.nan), classes) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        (range(1, 61), "rises or falls from row to row"),
        ([2 * i // 2 * 60 for i in range(60)], "rises or falls from row to row"),
        (np.random.default_rng(0).permutation(60) * 7919 + 100_000, "another whole number in nearly every row"),
        ([f"2024-{i % 12 + 1:02d}-{i // 12 + 1:02d}" for i in range(60)], "differs in nearly every row"),
        (np.random.default_rng(0).integers(0, 30, 60), ""),
        (np.random.default_rng(0).normal(size=60), ""),
    ],
)
def test_columns_that_say_which_row_it_is_are_told(cells: object, what: str, tmp_path: Path) -> None:
    lines = "".join(f"{cell},{i % 7},{'ab'[i > 29]}\n" for i, cell in enumerate(cells))  # type: ignore[arg-type]
    file = saved(tmp_path / "t.csv", "nr,x,label\n" + lines)
    told = [note for note in inspect(file).notes if "column 'nr'" in note and "alone tells" not in note]
    assert len(told) == bool(what) and all(what in note for note in told)
    judged = open_samples(file, labelled=True).notes
    assert any("warning: column 'nr'" in note and what in note for note in judged) == bool(what)


def test_a_csv_that_lists_image_files_is_images(tmp_path: Path) -> None:
    names = [f"img/{i}.png" for i in range(6)]
    pictures(tmp_path, names)
    lines = [f"{name.replace('/', chr(92))};{'ab'[i % 2]};{i}" for i, name in enumerate(names)]
    file = saved(tmp_path / "list.csv", "File_Name;species;age\n" + "\n".join([*lines, lines[0]]) + "\n")
    assert modality.of(str(file)).THINGS == "images"
    source = open_source(file)
    assert isinstance(source, Files) and list(source.keys) == names and source.labels == list("ababab")
    assert (
        "6 images in column 'File_Name', and their labels in column 'species'; not learnt from: age" in source.notes[0]
    )
    assert open_source(file, "age").labels == list("012345")
    images = open_images(file, labelled=True)
    assert images.batch(np.arange(6))[0][:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50]
    absolute = saved(tmp_path / "abs.csv", f"image,label\n{tmp_path / names[0]},a\n{tmp_path / names[1]},b\n")
    assert list(open_source(absolute).keys) == names[:2]
    bare = saved(tmp_path / "img" / "bare.csv", "image_id,label\n0,a\n3,b\n")
    assert modality.of(str(bare)).THINGS == "images" and list(open_source(bare).keys) == ["0.png", "3.png"]


def test_a_list_reads_nothing_outside_its_folder(tmp_path: Path) -> None:
    pictures(tmp_path, ["secret.png", "set/a.png", "set/b.png"])
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "secret.png")
    lines = [
        "path,label",
        "a.png,x",
        "b.png,x",
        "../secret.png,y",
        f"{tmp_path / 'secret.png'},y",
        "link.png,y",
        "gone.png,y",
    ]
    images = open_images(saved(tmp_path / "set" / "list.csv", "\n".join(lines) + "\n"), tolerance=0.8)
    assert sorted(images.keys) == ["a.png", "b.png"]
    reasons = dict(images.quarantined)
    assert len(reasons) == 4 and sum("outside the folder" in reason for reason in reasons.values()) == 3


def test_names_that_are_no_text_are_found_as_the_disk_has_them(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    pictures(tmp_path, [name, "b.png"])
    (tmp_path / "l.csv").write_bytes(b"path,label\ncaf\xe9.png,caf\xe9\nb.png,x\n")
    assert labels_for(tmp_path / "l.csv", [name, "b.png"], "images") == [os.fsdecode(b"caf\xe9"), "x"]
    source = open_source(tmp_path / "l.csv")
    assert modality.of(str(tmp_path / "l.csv")).THINGS == "images" and list(source.keys) == ["b.png", name]
    assert isinstance(source, Files) and source.read(1) == (tmp_path / name).read_bytes() and source.fingerprint()


def test_a_list_of_images_that_are_elsewhere_says_what_to_do(tmp_path: Path) -> None:
    file = saved(tmp_path / "list.csv", "path,label\nimg/a.png,x\nimg/b.png,y\n")
    with pytest.raises(DataError, match="none is there from where the list is: name the folder of the images as data"):
        open_images(file)
    pictures(tmp_path, ["img/a.png", "img/b.png"])
    with pytest.raises(DataError, match=r"contradicts itself about 'img/a\.png': line 2 'x' and line 3 'y'"):
        open_images(saved(file, "path,label\nimg/a.png,x\nimg/a.png,y\n"))
    for text, told in (
        ("img/a.png,x\nimg/b.png\n", "line 3 has not as many cells as the header"),
        ("img/a.png,x\n" * 20 + " ,y\n", "line 22 names no file in column 'path'"),
        ("img/a.png,x\n" * 20 + "img/\0.png,y\n", "line 22 names no file"),
    ):
        with pytest.raises(DataError, match=told):
            open_images(saved(file, "path,label\n" + text))
    numbers = saved(tmp_path / "t.csv", "image,x\n1,2\n2,3\n")
    assert modality.of(str(numbers)).THINGS == "rows"


@pytest.mark.parametrize("name", ["labels", "fine_label", "species"])
def test_labels_beside_images_in_parquet_are_known_by_their_names(name: str, tmp_path: Path) -> None:
    pictures(tmp_path, ["a.png", "b.png", "c.png"])
    bytes_of = [{"bytes": (tmp_path / f"{one}.png").read_bytes(), "path": f"{one}.png"} for one in "abc"]
    columns = {"image": bytes_of, name: pa.array([1.0, None, 0.0]), "age": [7, 8, 9]}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    source = open_source(tmp_path / "t.parquet")
    assert source.labels == ["1", "", "0"] and any(f"'{name}'" in note for note in source.notes)
    assert open_source(tmp_path / "t.parquet", "age").labels == ["7", "8", "9"]
    with pytest.raises(UsageError, match="no column of"):
        open_source(tmp_path / "t.parquet", "colour")


def test_labels_of_a_file_are_not_said_to_be_those_of_a_column(tmp_path: Path) -> None:
    """Of rows, of series, and of images in parquet, whose notes say where labels of their own are."""
    labels = tmp_path / "labels.csv"
    (tmp_path / "rows.csv").write_text("id,a,b,label\n0,1,2,x\n1,3,5,y\n")
    (tmp_path / "series.csv").write_text("id,label,p0,p1,p2\n0,x,5,6,7\n1,y,8,9,4\n")
    images = [file.read_bytes() for file in sorted(pictures(tmp_path, ["a.png", "b.png"]).glob("*.png"))]
    parquet.write_table(pa.table({"image": images, "label": ["x", "y"]}), tmp_path / "images.parquet")
    labels.write_text("key,label\n0,one\n1,two\n")
    for name in ("rows.csv", "series:series.csv", "images.parquet"):
        mark, _, file = name.rpartition(":")
        data = f"{mark}:{tmp_path / file}" if mark else str(tmp_path / file)
        kind = modality.of(data)
        like = kind.open_samples(data).preparation
        told = [note for note in kind.open_samples(data, like=like, labelled=True).notes if "are those of" in note]
        assert len(told) == 1 and "column 'label'" in told[0]
        named = kind.open_samples(data, like=like, labelled=True, labels=labels)
        assert named.labels == ["one", "two"] and not any("are those of" in note for note in named.notes)


def test_lists_of_numbers_in_parquet_are_columns(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 3))
    parquet.write_table(pa.table({"key": list("abcde"), "features": list(values)}), tmp_path / "f.parquet")
    table = open_table(tmp_path / "f.parquet")
    assert table.keys == list("abcde") and list(table.columns) == ["features 0", "features 1", "features 2"]
    assert np.allclose(np.stack(list(table.columns.values()), 1), values)
    parquet.write_table(pa.table({"x": [[1.0], [1.0, 2.0]]}), tmp_path / "g.parquet")
    with pytest.raises(DataError, match="column 'x' holds lists of several lengths"):
        open_table(tmp_path / "g.parquet")


def test_lists_of_labels_are_several_labels_in_a_file_and_in_python(tmp_path: Path) -> None:
    tags: list[Any] = [["app", "shop"], ["app"], [], None, ["mail", "app", "shop"]]
    said = ["app;shop", "app", ";", "", "mail;app;shop"]
    vectors = [[1.0, 7.0], None, [2.0, 8.0], [3.0, 9.0], [4.0, 6.0]]
    rows = pa.table({"x": [1.0, 2.0, 3.0, 4.0, 5.0], "v": vectors, "tags": tags})
    parquet.write_table(rows, tmp_path / "rows.parquet")
    text = rows.append_column("text", pa.array(["a b", "c d", "e f", "g h", "i j"])).select(["text", "tags"])
    parquet.write_table(text, tmp_path / "texts.parquet")
    assert open_texts(f"text:{tmp_path / 'texts.parquet'}", "tags").labels == said
    with handed(rows) as named:
        for given in (tmp_path / "rows.parquet", named):
            table = open_table(given, "tags")
            assert table.labels == said and list(table.columns) == ["x", "v 0", "v 1"]
            assert np.array_equal(table.columns["v 1"], [7, np.nan, 8, 9, 6], equal_nan=True)
            like = Preparation.of(table)
            assert open_table(given, None, like.taken).labels == said
            assert list(open_table(given, None, Taken(("x",))).columns) == ["x", "v", "tags"]  # of which x is looked at
            with pytest.raises(DataError, match="column 'tags' holds lists of several lengths"):
                open_table(given)
        old = open_table(named, None, Taken(("x", "v", "tags")))  # of a version that took lists in Python for text
        assert old.text("v").tolist()[:2] == ["[1.0, 7.0]", ""] and old.columns["tags"][0] == "['app', 'shop']"
