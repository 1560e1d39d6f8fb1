"""Series from every kind of file: what is told apart, cut, masked, put aside and refused."""

from pathlib import Path

import numpy as np
import pytest

from selftaught.contracts import modality
from selftaught.data.series.files import open_recordings, recognises
from selftaught.data.series.inspection import inspect
from selftaught.data.series.samples import open_samples
from selftaught.run.recipes import Pretrain
from selftaught.run.ways import ways
from selftaught.system.errors import BrokenData, DataError, UsageError

TS = """# a comment
@problemName tiny
@timeStamps false
@univariate false
@classLabel true up down
@data
1,2,3:10,20,30:up
4,?,6,7:40,50,60,70:down
8,9:1:x,y:up
2,4,6:1,1,1:?
"""
LONG = "series,time,ax,ay,label\nb,2,5,50,run\na,0,1,10,walk\na,1,2,,walk\nb,0,3,30,run\nb,1,4,40,walk\n"


def wrote(name: str, text: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    return name


def test_what_was_images_or_rows_stays_so_and_series_are_said_or_told(here: Path) -> None:
    np.save("rows.npy", np.zeros((4, 8)))
    np.save("images.npy", np.zeros((4, 8, 8)))
    told = [modality.of(name).THINGS for name in ("rows.npy", "images.npy", "series:rows.npy")]
    assert told == ["rows", "images", "series"]
    assert modality.of(wrote("a.csv", "time,x\n0,1\n1,2\n")).THINGS == "rows"
    assert modality.of(wrote("b.csv", LONG)).THINGS == modality.of(wrote("c.ts", TS)).THINGS == "series"
    assert not recognises("nowhere.ts") and not recognises(np.zeros((4, 2, 8)))
    assert modality.place_of("series:a/b.npy") == "a/b.npy" and modality.place_of("sklearn:wine") == "sklearn:wine"


def test_arrays_of_one_channel_of_several_and_of_unequal_lengths(here: Path) -> None:
    x = np.arange(48, dtype=np.int16).reshape(4, 2, 6)
    for name, given, shape in (("a", x, (4, 2, 6)), ("b", x[:, 0], (4, 1, 6))):
        np.save(name, given)
        samples = open_samples(f"series:{name}.npy")
        assert samples.batch(np.arange(4))[0].shape == shape and not samples.preparation.masked
        assert abs(samples.batch(np.arange(4))[0].mean(dim=(0, 2))).max() < 1e-6
    flat, offsets = np.concatenate([x[0].T, x[1].T[:3], x[2].T]), [0, 6, 9, 15]
    np.savez("ragged", values=flat, offsets=offsets, y=[1, 0, 1], rate=50.0, units=["g", "g"], channels=["l", "r"])
    np.savez("padded", x=x[:3], lengths=[6, 3, 6], y=[1, 0, 1])
    one, other = open_samples("series:ragged.npz", labelled=True), open_samples("series:padded.npz", labelled=True)
    assert (one.batch(np.arange(3))[0] == other.batch(np.arange(3))[0]).all() and one.labels == ["1", "0", "1"]
    assert one.preparation.rate == 50 and one.preparation.units == ("g", "g") and one.preparation.names == ("l", "r")
    assert one.fingerprint == other.fingerprint and one.subset(np.array([2, 0])).count == 2


def test_missing_values_are_zero_and_told_by_a_channel_of_their_own(here: Path) -> None:
    x = np.arange(36, dtype=np.float32).reshape(3, 2, 6)
    x[0, 1, 2:4], x[1, 0, 5] = np.nan, np.inf
    np.save("x.npy", x)
    samples = open_samples("series:x.npy")
    (batch,) = samples.batch(np.arange(3))
    assert samples.preparation.masked and batch.shape == (3, 4, 6) and "1 infinite values" in samples.notes[0]
    seen = np.isfinite(x)
    assert (batch[:, 2:].numpy() == seen).all() and (batch[:, :2].numpy()[~seen] == 0).all()
    mean, deviation = x[:, 1][seen[:, 1]].mean(), x[:, 1][seen[:, 1]].std()  # of what was seen alone
    assert np.allclose(batch[2, 1].numpy(), (x[2, 1] - mean) / deviation, atol=1e-5)
    np.save("whole.npy", np.nan_to_num(x, nan=1, posinf=1))
    whole = open_samples("series:whole.npy").preparation
    assert "the encoder has learnt nothing" in open_samples("series:x.npy", like=whole).notes[-1]
    assert (open_samples("series:x.npy", like=whole).batch(np.arange(3))[0][0, 1, 2:4] == 0).all()


def test_ts_files_with_gaps_and_a_line_that_cannot_be_read(here: Path) -> None:
    read = open_recordings(wrote("tiny.ts", TS))
    assert read.keys == ["0", "1", "3"] and read.labels == ["up", "down", ""] and read.lengths.tolist() == [3, 4, 3]
    assert read.stretch(0).tolist() == [[1, 10], [2, 20], [3, 30]] and np.isnan(read.stretch(1)[1, 0])
    assert read.broken[0][0] == "2" and read.broken[0][1].startswith("cannot be read, line 9: ")
    with pytest.raises(BrokenData, match="1 of 4 series in tiny cannot be used, more than 1%; the first: 2 cannot be"):
        open_samples("tiny.ts")
    assert open_samples("tiny.ts", tolerance=0.5).quarantined[0][0] == "2"
    wrote("stamped.ts", "@timeStamps true\n@data\n(0,1),(1,2)\n")
    with pytest.raises(DataError, match=r"stamped\.ts has a time stamp at each value, which is not read"):
        open_recordings("stamped.ts")
    with pytest.raises(DataError, match=r"other\.ts is no \.ts file of series: it has no line @data"):
        open_recordings(wrote("other.ts", "export const x = 1\n"))


def test_a_table_of_points_is_put_in_order_and_a_label_may_change_on_the_way(here: Path) -> None:
    read = open_recordings(wrote("long.csv", LONG))
    assert read.keys == ["b", "a"] and read.channels.names == ("ax", "ay") and read.channels.rate == 1
    assert read.stretch(0)[:, 0].tolist() == [3, 4, 5] and np.isnan(read.stretch(1)[1, 1])
    assert read.labels == ["", "walk"]  # of b, which begins running, walks and runs again, there is no single one
    cut = open_samples("long.csv", window=2, stride=1, tolerance=1)
    assert cut.keys == ["b[0:2]", "b[1:3]", "a"] and cut.groups == ["b", "b", "a"]
    assert cut.labels is None and open_samples("long.csv", window=2, labelled=True).keys == ["a"]
    wrote("dates.csv", "time,x\n2024-01-01T00:00:02,3\n2024-01-01T00:00:00,1\n2024-01-01T00:00:01,2\n")
    one = open_recordings("series:dates.csv")
    assert one.stretch(0)[:, 0].tolist() == [1, 2, 3] and one.channels.rate == 1
    wide = open_recordings("series:" + wrote("wide.csv", "id,t0,t1,class\nu,1,2,a\nv,3,,b\n"))
    assert wide.keys == ["u", "v"] and wide.labels == ["a", "b"] and wide.values.shape == (4, 1)
    assert "each of its lines is a series" in wide.notes[0]


def test_a_folder_holds_a_recording_a_file_and_what_is_unlike_the_others_is_put_aside(here: Path) -> None:
    for place, shape in {"a/1": (2, 9), "a/2": (2, 7), "b/3": (3, 9), "b/4": (2, 1), "b/5": (2, 9)}.items():
        wrote(f"all/{place}.npy", "")
        np.save(f"all/{place}.npy", np.full(shape, np.nan) if place == "b/5" else np.ones(shape))
    wrote("all/b/6.npy", "no array")
    wrote("all/b/notes.txt", "")
    read = open_recordings("series:all")
    assert read.keys == ["a/1.npy", "a/2.npy"] and read.labels == ["a", "a"] and read.ignored[0][0] == "b/notes.txt"
    told = dict(read.broken)
    assert told["b/3.npy"] == "has 3 channel(s), the first has 2" and told["b/4.npy"].startswith("has 1 point(s)")
    assert told["b/5.npy"] == "is missing all of its values" and told["b/6.npy"].startswith("cannot be read")


def test_windows_know_their_recording_and_are_made_again_as_the_encoder_had_them(here: Path) -> None:
    np.savez("logs.npz", x=np.random.default_rng(0).normal(size=(3, 2, 20)), lengths=[20, 13, 5], y=[0, 1, 0])
    cut = open_samples("series:logs.npz", window=8, stride=4, tolerance=0.5, labelled=True)
    assert cut.keys == ["0[0:8]", "0[4:12]", "0[8:16]", "0[12:20]", "1[0:8]", "1[4:12]"]
    assert cut.groups == ["0"] * 4 + ["1"] * 2 and cut.labels == ["0"] * 4 + ["1"] * 2
    assert cut.quarantined == [("2", "has 5 points, fewer than the window of 8")]
    assert cut.notes == ["1 points at the ends of recordings fill no window of 8"]
    (whole,) = open_samples("series:logs.npz").batch(np.array([0]))
    (part,) = cut.batch(np.array([1]))
    scale = (part / whole[:, :2, 4:12]).std()
    assert part.shape == (1, 2, 8) and scale < 0.2  # the same points, whose mean and deviation are those of the windows
    again = open_samples("series:logs.npz", like=cut.preparation, tolerance=0.5)
    assert again.keys == cut.keys and (again.batch(np.array([1]))[0] == part).all()
    assert cut.subset(np.array([4, 0])).groups == ["1", "0"]
    Path("labels.csv").write_text("series,label\n0,x\n1,y\n")
    assert open_samples("series:logs.npz", window=8, tolerance=1, labels=Path("labels.csv"), labelled=True).labels == [
        "x", "x", "y",
    ]  # fmt: skip
    Path("labels.csv").write_text("series,label\n1[0:8],y\n")
    assert open_samples("series:logs.npz", window=8, tolerance=1, labels=Path("labels.csv"), labelled=True).count == 1


def test_recordings_are_counted_among_recordings_and_windows_among_windows(here: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        wrote(f"logs/{number:02d}.npy", "")
        np.save(f"logs/{number:02d}.npy", rng.normal(size=(1 + (number == 5), 400)))
    told = r"1 of 12 recordings in logs cannot be used, more than 1%; the first: 05\.npy has 2 channel"
    for window, stride in ((200, 200), (16, 4)):
        with pytest.raises(BrokenData, match=told):
            open_samples("series:logs", window=window, stride=stride)
        assert inspect("series:logs", window=window, stride=stride).problems == [
            "1 of 12 recordings (8.33%) cannot be used, more than 1%: mend or remove them, or leave them out with "
            "--tolerance"
        ]
    assert open_samples("series:logs", window=16, stride=4, tolerance=1 / 12).count == 11 * 97
    recipe = Pretrain.parse({"data": "series:logs", "fingerprint": "abc", "window": 16, "stride": 4})
    begun = open_samples("series:logs", **ways(recipe, modality.named("series")))  # as earlier versions counted
    assert begun.count == 11 * 97 and begun.quarantined[0][0] == "05.npy"
    x = rng.normal(size=(3, 1, 40))
    x[1, 0, :10] = np.nan
    np.savez("gaps.npz", x=x)
    told = r"1 of 12 windows in gaps cannot be used, .*: 1\[0:10\] is missing all of its"
    with pytest.raises(BrokenData, match=told):
        open_samples("series:gaps.npz", window=10)
    assert inspect("series:gaps.npz", window=10, tolerance=0.1).usable


def test_other_channels_than_the_encoder_takes_are_refused_and_longer_series_cut(here: Path) -> None:
    np.save("two.npy", np.random.default_rng(0).normal(size=(4, 2, 6)))
    np.save("three.npy", np.ones((4, 3, 6)))
    np.save("long.npy", np.ones((4, 2, 9)))
    like = open_samples("series:two.npy").preparation
    with pytest.raises(DataError, match=r"three has series of 3 channel\(s\), and the encoder takes 2"):
        open_samples("series:three.npy", like=like)
    longer = open_samples("series:long.npy", like=like)
    assert longer.batch(np.arange(4))[0].shape == (4, 2, 6) and "of 4 series only the first 6 points" in longer.notes[0]
    known = open_samples(wrote("a.csv", LONG), tolerance=1).preparation
    swapped = LONG.replace("ax,ay", "ay,ax")
    assert open_samples(wrote("b.csv", swapped), like=known).values[0].tolist() == [30, 3]
    for name, channels in (("left", ["l", "r"]), ("right", ["r", "l"])):
        np.savez(name, x=np.arange(24.0).reshape(2, 2, 6), channels=channels)
    turned = open_samples("series:right.npz", like=open_samples("series:left.npz").preparation)
    assert turned.values[0].tolist() == [6, 0]
    with pytest.raises(DataError, match="has no channel 'ay', which"):
        open_samples(wrote("c.csv", LONG.replace("ay", "az")), like=known)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"x": np.zeros((2, 3, 4, 5))}, r"has shape \(2, 3, 4, 5\); series are \(N, points\), \(N, channels, points\)"),
        ({"z": np.zeros(3)}, r"must hold series as 'x' of shape .*; it holds z"),
        ({"x": np.array([["a", "b"]])}, "holds <U1; series are numbers"),
        ({"x": np.zeros((2, 4)), "lengths": [4, 5]}, "'lengths' must be one of 0 to 4 points for each of 2 series"),
        ({"values": np.zeros(4), "offsets": [0, 5]}, "'offsets' must rise from 0 to the 4 points of 'values'"),
        ({"x": np.zeros((2, 4)), "rate": -1.0}, "'rate' must be a single number above 0"),
        ({"x": np.zeros((2, 4)), "units": ["g", "g"]}, "'units' must be one for each of the 1 channels"),
        ({"x": np.full((2, 4), np.nan)}, "holds no series that can be used: 0 is missing all of its values"),
        ({"x": np.zeros((1, 2, 400))}, "holds one series of 400 points: cut it into windows, such as by --window 256"),
        ({"x": np.array([[1, None]], dtype=object)}, "cannot be read: Object arrays cannot be loaded"),
    ],
)
def test_bad_arrays_get_one_line_that_says_what_is_wrong(here: Path, made: dict[str, object], said: str) -> None:
    np.savez("bad.npz", **made)
    with pytest.raises(DataError, match=said) as error:
        open_samples("series:bad.npz")
    assert "\n" not in str(error.value)


def test_bad_tables_settings_and_names_are_refused_in_one_line(here: Path) -> None:
    with pytest.raises(DataError, match=r"bad\.csv: channel 'ax' holds 'oops' in line 3, which is no number"):
        open_recordings(wrote("bad.csv", LONG.replace("a,0,1,", "a,0,oops,")))
    with pytest.raises(DataError, match=r"channel 'ax' holds '1_1' in line 3, which is no number"):
        open_recordings(wrote("bad.csv", LONG.replace("a,0,1,", "a,0,1_1,")))
    with pytest.raises(DataError, match=r"series 'a' has two lines of one time, '0', in line 3 and in line 4$"):
        open_recordings(wrote("bad.csv", LONG.replace("a,1,", "a,0,")))
    with pytest.raises(
        DataError, match="its column 'time' holds nothing in line 4: write times as 2026-03-31T01:00:00"
    ):
        open_recordings(wrote("bad.csv", LONG.replace("a,1,", "a,,")))
    with pytest.raises(UsageError, match="--stride 4 needs --window, the points of a window"):
        open_samples(wrote("long.csv", LONG), stride=4)
    with pytest.raises(
        DataError, match=r"holds no windows that can be used: b has 3 points, fewer than the window of 9"
    ):
        open_samples("long.csv", window=9)
    for name in ("a.ts", "b.csv", "c.npy"):
        Path(name).write_bytes(b"\xff\xfe\x00\xd8")
        with pytest.raises(DataError, match=f"{name} cannot be read") as error:
            open_recordings(f"series:{name}")
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=r"gone\.npy does not exist"):
        open_samples("series:gone.npy")
    with pytest.raises(DataError, match=r"is neither a folder nor a file of these, which series lie in: \.ts, \.npy"):
        open_samples("series:" + wrote("x.wav", ""))


def test_inspection_counts_what_a_run_would_meet(here: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 2, 12))
    x[1], x[2, 0, :3], x[3] = x[0], np.nan, np.nan
    np.savez("x.npz", x=x, y=["a", "a", "b", "b", "b"])
    found = inspect("series:x.npz", tolerance=0.5)
    assert found.usable and found.count == 5 and found.labels == {"a": 2, "b": 2} and found.duplicates == [["0", "1"]]
    assert found.broken[0].path == "3" and found.series and found.series.channels[0].missing == 3
    assert found.series.lengths.max == 12 and found.series.recordings == 4 and not inspect("series:x.npz").usable
    assert inspect("series:x.npz", window=6, tolerance=1).series.recordings == 4  # type: ignore[union-attr]


def test_inspection_counts_recordings_and_what_belongs_together_by_themselves(here: Path) -> None:
    rows = [f"p{n},{at},{n + at % 2},g{n // 2}" for n in range(4) for at in range(6)]
    wrote("long.csv", "\n".join(["series,time,x,group", *rows, ""]))
    for how in ({}, {"window": 2}):
        facts = inspect("long.csv", **how).series  # type: ignore[arg-type]
        assert facts and (facts.recordings, facts.groups) == (4, 2)
    wrote("long.csv", "\n".join(["series,time,x", *(row.rpartition(",")[0] for row in rows), ""]))
    facts = inspect("long.csv", window=2).series
    assert facts and (facts.recordings, facts.groups) == (4, None)
