"""Columns of tables of series: which are channels, which are labels or names of lines, and what is said of it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from selftaught.data.series.files import open_recordings
from selftaught.data.series.inspection import inspect
from selftaught.data.series.preparation import Preparation
from selftaught.data.series.samples import open_samples
from selftaught.system.errors import DataError, UsageError

LEFT_OUT = "is taken for the label and is not learnt from; --label-column none learns from it as well"
AS_ROW = "its first line is a row as well: columns have no names, and are called '0' and so on"
NUMBERED = "its first line is taken for the names of its columns, though most of it are numbers"


pytestmark = pytest.mark.usefixtures("here")


def wrote(name: str, header: str, *rows: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(f"{line}\n" for line in (header, *rows)))
    return f"series:{name}"


def logs(files: Mapping[str, tuple[str, ...]]) -> str:
    for name, lines in files.items():
        wrote(f"logs/{name}", *lines)
    return "series:logs"


def test_a_label_in_a_folder_is_that_of_its_points_and_no_channel() -> None:
    data = logs({
        "a.csv": ("time,x,label,class,series,group", "0,5,1,3,7,ann", "1,6,1,3,7,ann", "2,7,0,3,7,ann"),
        "b.csv": ("time,x,label,class,series,group", "0,5,0,3,8,bob", "1,8,0,3,8,bob"),
    })  # fmt: skip
    read = open_recordings(data)
    assert read.channels.names == ("x",) and read.labels == ["", "0"] and read.groups == ["ann", "bob"]
    assert f"column 'label' {LEFT_OUT}" in read.notes and "'class' is left out as well" in read.notes[1]
    cut = open_samples(data, window=2, stride=1, labelled=True)
    assert cut.keys == ["a.csv[0:2]", "b.csv"] and cut.labels == ["1", "0"]
    both = open_recordings(data, "none")
    assert both.channels.names == ("x", "label", "class") and both.labels is None
    wrote("logs/b.csv", "time,x,label", "0,5,walk", "1,6,walk")
    wrote("logs/a.csv", "time,x,label", "0,5,run", "1,6,run")
    assert open_recordings(data).labels == ["run", "walk"]


def test_labels_with_decimal_commas_are_numbers_in_one_table_as_in_a_folder() -> None:
    said = "labels in label are numbers whose decimals are written with commas"
    one = open_recordings(wrote("a.csv", "series;time;x;label", "u;0;1,5;0,126", "u;1;2;0,126", "v;0;3;2", "v;1;3;2"))
    assert one.labels == ["0.126", "2"] and said in one.notes
    wide = open_recordings(wrote("b.csv", "a;b;label", "1,5;2;1,5", "2;3;0,5"))
    assert wide.labels == ["1.5", "0.5"] and said in wide.notes
    data = logs({"a.csv": ("time;x;label", "0;1,5;0,5", "1;2;1,5"), "b.csv": ("time;x;label", "0;1;7", "1;2;7")})
    both = open_recordings(data)
    assert both.labels == ["", "7"] and (both.marks == ["0.5", "1.5", "7", "7"]).all()
    wrote("logs/b.csv", "time;x;label", "0;1;still", "1;2;still")  # so labels are names, in the other file as well
    assert (open_recordings(data).marks == ["0,5", "1,5", "still", "still"]).all()


def test_series_of_one_name_are_told_apart_and_their_windows_stay_together() -> None:
    data = wrote("a.csv", "id,a,b,c,d", "u,1,2,3,4", "v,5,6,7,8", "u,9,1,2,3")
    read = open_recordings(data)
    assert read.keys == ["u#1", "v#1", "u#2"] and read.groups is None
    assert "several series are called 'u': all are numbered behind their names, as 'u#1'" in read.notes
    cut = open_samples(data, window=2)
    assert cut.keys[:2] == ["u#1[0:2]", "u#1[2:4]"] and cut.groups == ["u", "u", "v", "v", "u", "u"]
    np.savez("b.npz", x=np.arange(12.0).reshape(3, 4), keys=["u", "v", "u"])
    assert open_recordings("series:b.npz").keys == read.keys


def test_folders_are_labels_before_a_column_unless_one_is_asked_for_or_was() -> None:
    lines = {"a/1.csv": ("x,label,mood", "1,u,glad", "2,u,glad"), "b/2.csv": ("x,label,mood", "3,v,sad", "4,v,sad")}
    data = logs(lines)
    with pytest.raises(DataError, match=r"channel 'mood' holds 'glad' .* is no number; --label-column mood leaves it"):
        open_recordings(data)
    for name, (header, *rows) in lines.items():
        wrote(f"logs/{name}", header.removesuffix(",mood"), *(row.rpartition(",")[0] for row in rows))
    read = open_recordings(data)
    assert read.labels == ["a", "b"] and read.channels.names == ("x",)
    assert read.notes == [
        "labels are those of folders; column 'label' is not learnt from, and --label-column label takes those it has"
    ]
    asked = open_samples(data, label_column="label", labelled=True)
    assert asked.labels == ["u", "v"] and "column 'label' holds the labels and is not learnt from" in asked.notes
    assert open_samples(data, like=asked.preparation, labelled=True).labels == ["u", "v"]
    with pytest.raises(UsageError, match=r"--label-column mood is no column of 1\.csv; it has x, label"):
        open_recordings(data, "mood")
    wrote("logs/b/3.csv", "x", "3", "4")
    assert open_recordings(data, "label").broken[0][0] == "b/3.csv"


def test_a_channel_that_an_encoder_has_learnt_from_stays_one_whatever_it_is_called() -> None:
    how = {"length": 2, "means": (0.0,) * 4, "deviations": (1.0,) * 4}
    old = Preparation(names=("x", "label", "series", ""), **how)
    assert old.label is None and "label" not in old.model_dump(exclude_defaults=True)
    data = logs({f"{i}.csv": (",x,label,series", "0,5,1,7", "1,6,1,8") for i in range(2)})
    assert open_samples(data, like=old).values[1].tolist() == [6, 1, 8, 1]
    with pytest.raises(UsageError, match=r"has learnt from column 'label' of 0\.csv, so it cannot be judged by it"):
        open_samples(data, like=old, label_column="label")
    table = wrote("one.csv", "time,x,class", "0,1,2", "1,3,4")
    known = Preparation(names=("x", "class"), length=2, means=(0.0, 0.0), deviations=(1.0, 1.0))
    assert open_samples(table, like=known).values.tolist() == [[1, 2], [3, 4]]


def test_all_columns_that_are_named_like_labels_are_left_out_and_it_is_said() -> None:
    read = open_recordings(wrote("a.csv", "series,time,x,label,class", "a,0,1,u,5", "a,1,2,u,6"))
    assert read.channels.names == ("x",) and read.labels == ["u"] and read.label == "label"
    assert read.notes[0] == f"column 'label' {LEFT_OUT}" and read.notes[1].startswith("'class' is left out as well")
    wide = open_recordings(wrote("b.csv", "target,y,0.5,0.9", "u,8,1,2", "v,9,3,4"))
    assert wide.labels == ["u", "v"] and wide.lengths.tolist() == [2, 2] and f"column 'target' {LEFT_OUT}" in wide.notes
    assert f"column 'label' {LEFT_OUT}" in inspect("series:a.csv", window=2).notes


def test_y_is_an_axis_beside_others_and_else_a_label() -> None:
    for header in ("time,x,y,z", "time,X,Y", "time,y,z", "time,x,y,z,label"):
        rows = (",".join(str(row + place) for place in range(header.count(",") + 1)) for row in range(3))
        read = open_recordings(wrote("a.csv", header, *rows))
        assert set("XYZ") & set(header.upper()) == {name.upper() for name in read.channels.names}
    assert open_recordings("series:a.csv").label == "label"
    read = open_recordings(wrote("a.csv", "time,x,y", "0,1,5", "1,2,5"))
    way = "column 'y' is named like a label and is learnt from; --label-column y leaves it out"
    assert read.notes == [way] and open_recordings("series:a.csv", "y").labels == ["5"]
    assert open_recordings(wrote("b.csv", "time,ax,y", "0,1,5", "1,2,5")).labels == ["5"]
    old = Preparation(names=("x",), length=2, means=(0.0,), deviations=(1.0,))  # to which y was the label
    assert open_recordings("series:a.csv", taken=old.taken).labels == ["5"]


def test_a_wide_table_leaves_out_again_what_was_left_out() -> None:
    data = wrote("gun.csv", "kind,p0,p1,p2", "1,5,6,7", "2,8,9,4")
    first = open_samples(data, label_column="kind")
    assert first.preparation.label == "kind" and first.preparation.length == 3
    again = open_samples(data, like=first.preparation, labelled=True)
    assert (again.values == first.values).all() and again.labels == ["1", "2"] and again.preparation.length == 3
    other = wrote("other.csv", "p0,p1,p2,target", "1,5,6,u")
    assert open_samples(other, like=first.preparation, labelled=True).labels == ["u"]
    everything = open_samples(wrote("b.csv", "class,p0,p1", "1,5,6", "2,8,9"), label_column="none").preparation
    assert everything.label == "none" and open_samples("series:b.csv", like=everything).lengths.tolist() == [3, 3]
    assert Preparation.model_validate(first.preparation.model_dump(exclude={"label"})).label is None


@pytest.mark.parametrize(
    ("header", "points", "fed"),
    [
        (",p0,p1,p2", [0, 4, 5, 6], [""]),  # from a column that numbers lines, as encoders of earlier versions did
        ("index,p0,p1,p2", [0, 4, 5, 6], ["index"]),
        ("label,target,p1,p2", [4, 5, 6], ["target"]),  # and from a second one that is named like a label
        ("index,label,target,p1,p2", [0, 4, 5, 6], ["target", "index"]),
        (",p0,p1,p2", [4, 5, 6], []),  # or not
        ("label,target,p1,p2", [5, 6], []),
        (",p0,p1,p2", [4, 5], []),  # of no length that it can have: as a new table is read
    ],
)
def test_points_of_a_wide_table_are_those_that_an_encoder_has_learnt_from(
    header: str, points: list[float], fed: list[str]
) -> None:
    known = Preparation(names=("",), length=len(points), means=(0.0,), deviations=(1.0,))
    row = dict(zip(("", "index", "label", "target", "p0", "p1", "p2"), "0074456"))
    data = wrote("wide.csv", header, ",".join(row[name] for name in header.split(",")))
    read = open_samples(data, like=known)
    assert read.batch(np.array([0]))[0][0, 0].tolist() == points
    told = [f"column {name!r} is given to the encoder as a point" for name in fed]
    assert [note for note in read.notes if "as a point" in note] == told


def test_a_label_is_no_point_of_an_encoder_that_has_learnt_from_none() -> None:
    known = open_samples(wrote("a.csv", "p0,p1,p2", "5,6,7", "8,9,4"), label_column="none").preparation
    assert known.label == "none"
    for header, row in (("label,p0,p1,p2", "1,5,6,7"), ("label,target,p0,p1,p2", "1,1,5,6,7")):
        read = open_samples(wrote("b.csv", header, row), like=known, labelled=True)
        assert read.values[:, 0].tolist() == [5, 6, 7] and read.labels == ["1"]
        assert "labels are those of column 'label'" in read.notes
    learnt = open_samples(wrote("b.csv", "label,p0,p1", "1,5,6"), like=known)
    assert learnt.values[:, 0].tolist() == [1, 5, 6]
    assert "column 'label' is given to the encoder as a point" in learnt.notes


@pytest.mark.parametrize(
    ("lines", "series", "note"),
    [
        (("1,,3", "4,5,6"), 2, AS_ROW),
        (("0.5,0.25,0.75", "4,5,6"), 2, AS_ROW),
        (("1,5;2,5;0,5", "4,5;5;6"), 2, AS_ROW),
        (("1.5;2.5;0.5", "4.5;5;6"), 2, AS_ROW),
        (("1,2,4,8,16,32,64,128", "4,5,6,7,8,9,9,9"), 2, AS_ROW),  # what grows is no row of names
        (("0,1,2", "4,5,6"), 1, NUMBERED),
        ((",0,1,2", "0,4,5,6"), 1, NUMBERED),
        (("Unnamed: 0,p,q,r", "0,4,5,6"), 1, ""),
        (("key,,p,q,r", "u,0,4,5,6"), 1, ""),
        (("1,2,3",), 1, AS_ROW),
    ],
)  # fmt: skip
def test_names_of_columns_and_of_lines_are_told_from_series(lines: tuple[str, ...], series: int, note: str) -> None:
    read = open_recordings(wrote("wide.csv", *lines))
    assert len(read) == series and read.notes[1:] == [note] * bool(note)
    assert set(read.lengths.tolist()) == {8 if len(lines[0]) > 18 else 3}


def test_the_numbers_that_pandas_gives_to_rows_are_no_channel() -> None:
    read = open_recordings(wrote("a.csv", ",time,x", "0,0,5", "1,1,6"))
    assert read.channels.names == ("x",) and read.values.tolist() == [[5], [6]]


def test_a_folder_says_what_a_single_table_would() -> None:
    data = logs({
        "a.csv": ("time,x", "0,5", "1,6", "2,7"),
        "b.csv": ("time,x,w", "0,5,1", "1,6,1", "5,7,1"),
        "c.csv": ("time,x,w", "0,5,1", "0.5,6,1", "1,7,1"),
    })  # fmt: skip
    read = open_recordings(data)
    assert read.channels.rate is None and read.channels.names == ("x",)
    assert read.notes == [
        "its column 'time' does not rise evenly; points are taken as if it did (1 of 3 files)",
        "its recordings differ in rate, from 1 to 2 points in a unit of time; they are taken as if they did not",
        "channel 'w' is left out: 2 of 3 files have it, and the first has not",
    ]
    assert not any("left out" in note for note in open_samples(data, like=open_samples(data).preparation).notes)
    Path("logs/b.csv").unlink()
    wrote("logs/c.csv", "time,x", "0,5", "1.001,6", "2,7")
    assert open_recordings(data).channels.rate == 1 and not open_recordings(data).notes
    wrote("logs/c.csv", "series,time,x", "u,0,5", "v,1,6")
    assert "holds several series by its column 'series': in a folder each has a" in open_recordings(data).broken[0][1]


def test_tables_of_a_folder_are_matched_by_name_where_an_encoder_knows_none() -> None:
    numbers = np.array([[1, 2, 3], [70, 80, 90]], np.float32)
    np.save("like.npy", np.stack([numbers, numbers]))
    unnamed = open_samples("series:like.npy").preparation
    assert unnamed.names == ("", "")
    data = logs({"a.csv": ("time,u,v", "0,1,70", "1,2,80", "2,3,90"),
                 "b.csv": ("time,v,u,w", "0,70,1,5", "1,80,2,5", "2,90,3,5")})  # fmt: skip
    read = open_samples(data, like=unnamed)
    assert not read.quarantined and (read.batch(np.array([0]))[0] == read.batch(np.array([1]))[0]).all()
    assert "channel 'w' is left out: 1 of 2 files have it, and the first has not" in read.notes
    np.save("logs/0.npy", numbers)  # whose channels have no names either
    for like in (unnamed, None):
        first, second, third = open_samples(data, like=like).batch(np.arange(3))[0]
        assert (first == second).all() and (second == third).all()


def test_channels_of_arrays_beside_tables_have_the_names_of_these_whichever_comes_first() -> None:
    lines = ("time,u,v", "0,1,70", "1,2,80", "2,3,90")
    by_order = "1 of 2 files name no channels, and are taken for 'u', 'v' in this order"
    for name in ("0.npy", "b.npy"):
        data = logs({"a.csv": lines})
        np.save(f"logs/{name}", np.array([[1, 2, 3], [70, 80, 90]], np.float32))
        learnt = open_samples(data)
        assert learnt.preparation.names == ("u", "v") and by_order in learnt.notes
        assert (learnt.batch(np.array([0]))[0] == learnt.batch(np.array([1]))[0]).all()
        Path(f"logs/{name}").unlink()
    swapped = wrote("swapped.csv", "time,v,u", "0,70,1", "1,80,2", "2,90,3")
    again = open_samples(swapped, like=learnt.preparation)
    assert (again.batch(np.array([0]))[0] == learnt.batch(np.array([0]))[0]).all() and not again.notes
    with pytest.raises(DataError, match="no channel 'u', which"):
        open_samples(wrote("other.csv", "time,foo,v", "0,1,70", "1,2,80"), like=learnt.preparation)
    np.save("logs/0.npy", np.ones((3, 3), np.float32))  # of which those names tell nothing
    odd = open_recordings("series:logs")
    assert odd.channels.names == ("", "", "") and odd.broken[0][0] == "a.csv"


def test_what_is_taken_by_its_order_is_said() -> None:
    np.save("like.npy", np.ones((2, 2, 3)) * np.arange(3))
    table = wrote("a.csv", "series,time,u,v", *(f"{key},{at},{at},{at}" for key in "pq" for at in range(3)))
    unnamed, named = (open_samples(data).preparation for data in ("series:like.npy", table))
    told = "the encoder knows no names of channels: it is given 'u', 'v' in this order"
    assert open_samples(table, like=unnamed).notes == [told]
    told = "its channels have no names, and are taken for 'u', 'v' in this order"
    assert open_samples("series:like.npy", like=named).notes == [told]
    assert not open_samples(table, like=named).notes and not open_samples("series:like.npy", like=unnamed).notes


@pytest.mark.parametrize(
    ("name", "parting", "cells", "values"),
    [
        ("a.tsv", "\t", ("1,5", "1,25", "2"), [1.5, 1.25, 2]),
        ("a.csv", ",", ('"1,5"', '"1,25"', ""), [1.5, 1.25, None]),
        ("a.csv", ";", ("1.234,5", "1.250,25", "999,75"), [1234.5, 1250.25, 999.75]),
        ("a.csv", ";", ("1,5", "2.125", "3"), [1.5, 2.125, 3]),  # points beside commas, as ever
        ("a.csv", ",", ('"1,234.5"', "7", "-"), [1234.5, 7, None]),
        ("a.csv", ",", ("True", "false", ""), [1, 0, None]),
    ],
)
def test_numbers_of_channels_are_read_as_those_of_tables_are(
    name: str, parting: str, cells: tuple[str, ...], values: list[float | None]
) -> None:
    data = wrote(name, parting.join(("time", "x")), *(f"{at}{parting}{cell}" for at, cell in enumerate(cells)))
    read = open_recordings(data).values[:, 0].tolist()
    assert [None if value != value else value for value in read] == values


def test_what_was_read_of_cells_is_said_and_what_is_no_number_shown_as_written() -> None:
    notes = open_recordings(wrote("a.csv", "time;x", "0;1.234,5", "1;2,5")).notes
    assert notes == [
        "its decimals are written with commas",
        "column 'x': read by their numbers alone: 1 cell such as '1.234,5'",
    ]
    with pytest.raises(DataError, match=r"channel 'x' holds '1\.234,5\.6' in line 3, which is no number$"):
        open_recordings(wrote("a.csv", "time;x", "0;1,5", "1;1.234,5.6"))


def test_a_channel_that_is_called_otherwise_is_named_beside_what_nothing_takes() -> None:
    for place in range(3):
        wrote(f"logs/{place}.csv", "time,u,v", "0,1,7", f"1,2,{place}")
        wrote(f"later/{place}.csv", "time,u,druck", "0,1,7", "1,2,8")
    like = open_samples("series:logs").preparation
    told = r"0\.csv has no channel 'v', which is wanted; left over: 'druck'; so it is with all 3$"
    with pytest.raises(DataError, match=told):
        open_samples("series:later", like=like)
    data = wrote("one.csv", "series,time,u,druck", "a,0,1,7", "a,1,2,8")
    with pytest.raises(DataError, match=r"no channel 'v', which is wanted; left over: 'druck'$"):
        open_samples(data, like=like)
    wrote("later/0.csv", "time,u", "0,1", "1,2")
    with pytest.raises(DataError, match=r"0\.csv has no channel 'v', which is wanted$"):
        open_samples("series:later", like=like)
