"""Data that somebody holds in Python: each face gives the samples of the files that it was made of."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from scipy.sparse import csr_matrix
from torch.utils.data import Dataset, TensorDataset

import selftaught
from selftaught.commands.cli import run_command
from selftaught.contracts import modality
from selftaught.data.images.samples import open_samples
from selftaught.data.sources.arrays import NOT_FINITE
from selftaught.data.sources.handed import handed
from selftaught.data.sources.open import open_source, openers
from selftaught.data.tables.columns import open_table
from selftaught.data.tables.samples import open_samples as open_rows
from selftaught.system.errors import DataError, UsageError
from tests.networks import HALVED
from tests.pictures import encoded

COUNT = 24
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 12, 3), dtype=np.uint8)
CLASSES = ["ant" if row % 2 else "bee" for row in range(COUNT)]
FAST: dict[str, Any] = {
    **{"method": "simclr", "encoder": HALVED, "steps": 4, "batch_size": 8, "map": 0},
    **{"precision": "32-true", "layout": "contiguous", "checkpoint_every": "2"},
}


class Listed(Dataset):
    """A map-style data set of torch, of whatever is in a list."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        return self.items[row]


class Picture:
    """What Hugging Face says of a column of images."""

    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


Picture.__name__ = "Image"


class Names:
    """What Hugging Face says of a column of classes."""

    names = ("ant", "bee")


class Face:
    """The face of a data set of Hugging Face, whose decoder would stop at a broken image."""

    def __init__(self, table: dict[str, list[Any]], decode: bool = True) -> None:
        self.table = table
        self.features = {"image": Picture(decode), "label": Names()}
        self.column_names = list(table)

    def cast_column(self, name: str, feature: Picture) -> "Face":
        assert name == "image"
        return Face(self.table, feature.decode)

    def __len__(self) -> int:
        return len(self.table["label"])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self.table[key]
        assert not self.features["image"].decode, "its own decoder was asked"  # type: ignore[union-attr]
        return {name: cells[key] for name, cells in self.table.items()}


class Frame:
    """The face of pandas: columns by name, and each a list of cells."""

    def __init__(self, cells: dict[str, list[Any]]) -> None:
        self.cells, self.columns = cells, list(cells)
        self.shape = (len(cells[self.columns[0]]), len(cells))

    def __getitem__(self, name: str) -> Any:
        return np.array(self.cells[name], dtype=object)


class Column:
    """The face of a column of pandas some rows of which were taken: asked for a number, it gives the row of that label.

    Gone through it gives its cells in their order.
    """

    def __init__(self, cells: dict[int, Any]) -> None:
        self.cells, self.iloc = cells, list(cells.values())

    def __len__(self) -> int:
        return len(self.cells)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iloc)

    def __getitem__(self, label: int) -> Any:
        return self.cells[label]


def hugging(stored: list[bytes]) -> Face:
    label = [Names.names.index(name) for name in CLASSES]
    return Face({"image": [{"bytes": one, "path": None} for one in stored], "label": label})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for row, pixels in enumerate(PIXELS):
        (root / f"{row:02d}.png").write_bytes(encoded(pixels))
    return root


def faces(folder: Path) -> Iterator[tuple[str, Any]]:
    """The same images, as people have them."""
    stored = [encoded(pixels) for pixels in PIXELS]
    pictures = [Image.fromarray(pixels) for pixels in PIXELS]
    yield "array", PIXELS
    yield "tensor", torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    yield "paths", sorted(folder.iterdir())
    names = [str(path) for path in sorted(folder.iterdir())]
    yield "an array of paths", np.array(names)
    yield "an array of objects", np.array(names, dtype=object)
    yield "a column of pyarrow", pa.array(names)
    yield "pictures", pictures
    yield "arrays", list(PIXELS)
    yield "bytes", Listed(stored)
    yield "tuples", Listed([*zip(pictures, CLASSES)])
    yield "tensors", TensorDataset(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), torch.arange(COUNT))
    yield "dictionaries", Listed([{"image": one, "label": name} for one, name in zip(PIXELS, CLASSES)])
    yield "hugging face", hugging(stored)


def test_every_face_gives_the_samples_of_the_folder(folder: Path) -> None:
    wanted = open_samples(folder)
    rows = np.arange(COUNT)
    for name, data in faces(folder):
        with handed(data) as named:
            samples = open_samples(named)
        assert samples.preparation == wanted.preparation, name
        for part, same in zip(samples.batch(rows), wanted.batch(rows)):
            assert torch.equal(part, same), name
        assert len(samples.fingerprint) == 32 and samples.count == COUNT, name
    with handed(PIXELS) as one, handed(list(PIXELS)) as other:
        assert (one, other) == ("python:array", "python:list")
        assert open_samples(one).fingerprint == open_samples(other).fingerprint  # one content, one identity


def test_labels_come_beside_data_or_in_it_and_nobody_reads_them_unasked(folder: Path) -> None:
    stored = [encoded(pixels) for pixels in PIXELS]
    table = {"number": list(range(COUNT)), "kind": CLASSES}
    for data, how in (
        ((PIXELS, CLASSES), {}),
        ((sorted(folder.iterdir()), np.array(CLASSES)), {}),
        (Listed([*zip(PIXELS, CLASSES)]), {}),
        (hugging(stored), {}),
        (Listed([*zip(stored, range(COUNT), CLASSES)]), {"label_column": "2", "column": "0"}),
        (Listed([{"a": one, "kind": name} for one, name in zip(PIXELS, CLASSES)]), {"label_column": "kind"}),
    ):
        with handed(data, how.get("column")) as named:
            assert open_samples(named, labelled=True, **how).labels == CLASSES
    several = Listed([{"image": one, "tags": ["wet"] * (row % 2) + ["cold"]} for row, one in enumerate(PIXELS)])
    with handed(several) as named:
        assert open_samples(named, labelled=True, label_column="tags").labels == ["cold", "wet;cold"] * 12
    tags = [["wet"] * (row % 2) + ["cold"] for row in range(COUNT)]
    cells = np.empty(COUNT, dtype=object)
    cells[:] = tags
    pairs = [["cold", "wet"]] * COUNT
    for beside, said in ((tags, ["cold", "wet;cold"] * 12), (cells, ["cold", "wet;cold"] * 12), (pairs, None)):
        with handed((PIXELS, beside)) as named:
            assert open_samples(named, labelled=True).labels == (said or ["cold;wet"] * COUNT)
    with handed((PIXELS, [[0, 1]] * COUNT)) as named, pytest.raises(DataError, match="labels of shape"):
        open_samples(named, labelled=True)  # which may be a column for each class as well
    with handed((Frame(table), CLASSES)) as named:
        assert modality.of(named).THINGS == "rows" and open_table(named).labels == CLASSES

    class Sealed(Listed):
        def __getitem__(self, row: Any) -> Any:
            assert isinstance(row, int)
            return {"image": PIXELS[row], "label": Told()}

    class Told:
        def __str__(self) -> str:
            raise AssertionError("a label was read")

    with handed(Sealed(list(PIXELS))) as named:
        assert open_samples(named).count == COUNT


def test_a_table_is_read_as_its_file_would_be() -> None:
    cells: dict[str, list[Any]] = {"a": [1.5, float("nan"), 3.0], "b": ["x", None, "y"], "label": [0, 1, 0]}
    for table in (Frame(cells), pa.table({name: pa.array(column, from_pandas=True) for name, column in cells.items()})):
        with handed(table) as named:
            held = open_table(named)
        assert held.labels == ["0", "1", "0"] and list(held.columns) == ["a", "b"] and held.columns["b"][0] == "x"
        assert np.isnan(held.columns["a"][1]) and held.columns["b"][1] == "nan"
    with handed(np.zeros((5, 3), np.float32)) as named:
        assert modality.of(named).THINGS == "rows" and list(open_table(named).columns) == [
            f"column {i}" for i in range(3)
        ]


@pytest.mark.parametrize("name", ["features", "column_names"])
def test_a_column_may_be_called_as_something_of_other_libraries_is(name: str) -> None:
    class Attributes(Frame):  # as pandas has its columns, too
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__") or name not in vars(self).get("columns", ()):
                raise AttributeError(name)
            return self[name]

    with handed(Attributes({name: [1.5, 2.5, 3.5], "b": [1, 2, 3]})) as named:
        assert modality.of(named).THINGS == "rows" and list(open_table(named).columns) == [name, "b"]


def test_a_column_of_a_list_is_named_and_rows_have_none(tmp_path: Path) -> None:
    for row, pixels in enumerate(PIXELS):
        (tmp_path / f"{row:02d}.png").write_bytes(encoded(pixels))
    listed = tmp_path / "all.csv"
    lines = [f"{row:02d}.png,{(row + 1) % COUNT:02d}.png,{name}" for row, name in enumerate(CLASSES)]
    listed.write_text("\n".join(["image,path,label", *lines]))
    one, other = (open_samples(listed, column=column, labelled=True) for column in ("image", "path"))
    assert one.keys == other.keys and one.labels == CLASSES and other.labels == CLASSES[-1:] + CLASSES[:-1]
    with pytest.raises(UsageError, match=r"--column x is no column of .*; it has image, path, label"):
        open_samples(listed, column="x")
    with pytest.raises(UsageError, match="--column x is for images, and sklearn:wine holds rows"):
        open_rows("sklearn:wine", column="x")


def test_a_column_is_asked_by_place_however_its_rows_are_called(folder: Path) -> None:
    order = np.random.default_rng(3).permutation(COUNT).tolist()
    labels = [CLASSES[row] for row in order]
    for cells in (PIXELS, [str(path) for path in sorted(folder.iterdir())]):
        with handed((Column({row: cells[row] for row in order}), labels)) as named:
            samples = open_samples(named, labelled=True)
        pixels = samples.batch(np.arange(COUNT))[0]
        with handed(PIXELS[order]) as named:
            assert torch.equal(pixels, open_samples(named).batch(np.arange(COUNT))[0])
        assert samples.labels == labels


def test_a_table_of_paths_is_a_set_of_images(folder: Path) -> None:
    table = Frame({"file": [str(path) for path in sorted(folder.iterdir())], "label": CLASSES})
    with handed(table, "file") as named:
        assert modality.of(named).THINGS == "images"
        samples = open_samples(named, column="file", labelled=True)
    assert samples.labels == CLASSES and samples.count == COUNT


@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_a_run_goes_on_with_the_same_data_and_with_no_other(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = PIXELS if kind == "array" else Listed([*zip(PIXELS, CLASSES)])
    changed = PIXELS.copy()
    changed[5] ^= 1
    other = changed if kind == "array" else Listed([*zip(changed, CLASSES)])
    run = selftaught.pretrain(data, out=tmp_path / "run", **FAST)
    assert run.recipe.data == ("python:array" if kind == "array" else "python:listed")
    weights = torch.cat([p.flatten() for p in run.encoder().parameters()])
    shutil.rmtree(run.checkpoints / "step_0000004")  # as if it had been cut
    again: dict[str, Any] = {"out": run.folder, "resume": True}
    said = "1 of 24 images hold something else; the first is 5"
    with pytest.raises(UsageError, match=rf"cannot resume: python:\w+ is not the data .*: {said}"):
        selftaught.pretrain(other, **again)
    resumed = selftaught.pretrain(data, **again)
    assert "resuming at step 2" in (run.folder / "run.log").read_text()
    assert torch.equal(torch.cat([p.flatten() for p in resumed.encoder().parameters()]), weights)
    assert run_command(["pretrain", resumed.recipe.data, "--out", str(run.folder), "--resume"]) == 2
    assert "was given in Python, and has to be again" in capsys.readouterr().err


def test_what_answers_differently_is_named(tmp_path: Path) -> None:
    class Random(Listed):
        asked = 0

        def __getitem__(self, row: int) -> Any:
            self.asked += 1
            return self.items[row] ^ np.uint8(self.asked % 7)

    with pytest.raises(DataError, match="random gives another sample 0 each time that it is asked: leave out its rand"):
        selftaught.pretrain(Random(list(PIXELS)), out=tmp_path / "run", **FAST)


def test_one_run_is_judged_embedded_and_predicted_from_python(tmp_path: Path) -> None:
    labelled = [*zip(PIXELS, CLASSES)]
    run = selftaught.pretrain(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), out=tmp_path / "run", **FAST)
    found = selftaught.evaluate(run, Listed(labelled[:16]), (PIXELS[16:], CLASSES[16:]), probe="knn", pretrained="none")
    assert found.train_samples == 16 and found.test_samples == 8 and found.classes == ["ant", "bee"]
    file = selftaught.embed(run, Listed(labelled), tmp_path / "features.npz")
    assert np.load(file)["features"].shape[0] == COUNT
    run.finetune(Listed(labelled), tmp_path / "clf", finetune={"epochs": 1})
    said = selftaught.predict(tmp_path / "clf", [Image.fromarray(pixels) for pixels in PIXELS[:5]])
    assert len(said.keys) == 5 and set(said.classes) == {"ant", "bee"}
    assert selftaught.check(Listed(labelled)).labels == {"ant": 12, "bee": 12}


def test_what_is_broken_is_set_aside_and_what_cannot_be_is_refused() -> None:
    broken = Listed([*map(encoded, PIXELS), b"nonsense"])
    with handed(broken) as named:
        samples = open_samples(named, tolerance=0.1)
    assert samples.count == COUNT and [key for key, _ in samples.quarantined] == [str(COUNT)]
    pair = Listed([(PIXELS[0], PIXELS[1])] * 3)
    refused: list[tuple[Any, str | None, str]] = [
        (iter(PIXELS), None, "cannot be of type generator|cannot be of type .*only be gone through"),
        ({"x": PIXELS}, None, "cannot be of type dict"),
        ([], None, "a list of length 0"),
        (csr_matrix(np.eye(3)), None, "data cannot be sparse, as this csr_matrix is: give its toarray"),
        (("photos", "more"), None, "a pair is of data and its labels"),
        (pair, None, r"gives items with 2 images: say which of 0, 1 with --column"),
        (pair, "7", r"--column 7 is no part of the items of listed; they have 0, 1"),
        (Listed([3, 4]), None, "gives int, and samples are images"),
        (PIXELS, "x", "--column x: array has no columns"),
        (
            Frame({"path": ["a.png"], "y": [1]}),
            None,
            "frame is a table: say which of path, y holds the images with --co",
        ),
        (pa.table({"path": ["a.png"], "y": [1]}), None, "table is a table: say which of path, y holds the images"),
    ]
    for data, column, said in refused:
        with pytest.raises(UsageError, match=said), handed(data, column) as named:
            open_source(named, column=column)
    with handed([np.zeros((4, 4), np.int64)] * 2) as named, pytest.raises(DataError, match="floating point, not int64"):
        open_samples(named)
    for none in (PIXELS[:0], PIXELS[:0, ..., 0]):
        with handed(none) as named, pytest.raises(DataError, match=r"^array holds no images$"):
            open_source(named)
    with pytest.raises(UsageError, match="given in Python"):
        open_source("python:array")


class Lazy:
    """The face of a lazy frame of polars, which is no table yet, and warns whoever asks it for columns."""

    @property
    def columns(self) -> Any:
        raise AssertionError("asked for columns")


def test_a_lazy_frame_is_refused_without_a_warning() -> None:
    with pytest.raises(UsageError, match="data cannot be of type Lazy"), handed(Lazy()):
        pass


def test_values_of_another_kind_than_the_encoders_are_told_alike_however_they_come() -> None:
    said = r" holds values up to 1, the encoder takes 0 to 255: scale them alike$"
    like = open_samples(PIXELS).preparation
    fractions = np.linspace(0, 1, PIXELS.size, dtype=np.float32).reshape(PIXELS.shape)
    tensors = torch.from_numpy(fractions).permute(0, 3, 1, 2)
    for data in (fractions, list(fractions), TensorDataset(tensors, torch.arange(COUNT))):
        for tolerance in (0.01, 1.0):
            with handed(data) as named, pytest.raises(DataError, match=said):
                open_samples(named, like=like, tolerance=tolerance)
    with handed(list(PIXELS)) as named, pytest.raises(DataError, match="up to 255, the encoder takes 0 to 1: scale"):
        open_samples(named, like=open_samples(fractions).preparation)
    some = [*PIXELS, fractions[0]]
    with (
        handed(some) as named,
        pytest.raises(DataError, match=r"1 of 25 images in list cannot be used.*24: holds meas"),
    ):
        open_samples(named, like=like)


def test_many_channels_and_fractions_are_kept() -> None:
    rng = np.random.default_rng(1)
    bands = [rng.random((8 + row % 2, 8, 5), np.float32) for row in range(4)]
    with handed(bands) as named:
        samples = open_samples(named, size=(8, 8))
    assert samples.preparation.channels == 5 and samples.preparation.stored == "float32"
    held = samples.batch(np.arange(4))[0]
    assert float(held.min()) > 0 and float(held.max()) < 1 and len(held.unique()) > 100  # what shrinks is not rounded
    with handed([Image.fromarray(pixels[..., 0]) for pixels in bands]) as named:
        samples = open_samples(named, size=(8, 8))
    assert samples.preparation.stored == "float32" and len(samples.batch(np.arange(4))[0].unique()) > 100
    with handed(torch.zeros(3, 5, 8, 9)) as named, handed([torch.zeros(5, 8, 9)] * 3) as items:
        assert {open_samples(one).batch(np.arange(3))[0].shape for one in (named, items)} == {(3, 5, 8, 9)}
    with (
        handed([*bands, PIXELS[0]]) as named,
        pytest.raises(DataError, match="in 8 bits"),
    ):
        open_samples(named, size=(8, 8))


def test_what_is_masked_is_not_known() -> None:
    mask = np.arange(15).reshape(5, 3) == 4
    rows = np.ma.masked_array(np.arange(15.0).reshape(5, 3), mask)
    with handed((rows, np.ma.masked_array([1, 2, 1, 2, 1], [0, 0, 0, 0, 1]))) as named:
        table = open_table(named)
    assert np.isnan(table.columns["column 1"][1]) and table.labels == ["1", "2", "1", "2", ""]
    told = r"of a masked array of int64 nothing says what its masked values are: .* its filled\(value\)"
    with pytest.raises(UsageError, match=told), handed(rows.astype(np.int64)):
        pass
    with handed(np.ma.masked_array(PIXELS, False)) as named:
        assert np.array_equal(open_samples(named).batch(np.arange(2))[0].permute(0, 2, 3, 1), PIXELS[:2])
    images = np.ma.masked_array(np.random.default_rng(0).random((4, 8, 8)), np.arange(256).reshape(4, 8, 8) == 70)
    with handed(list(images)) as named:
        assert open_samples(named, tolerance=0.5).quarantined == [("1", NOT_FINITE)]


PLUGIN = """
from pathlib import Path

import numpy as np

from selftaught import Encoded


def open_scans(name, column=None):
    files = sorted(Path(name.removeprefix("scans:")).glob("*.scan"))
    keys = [file.stem for file in files]
    sizes = [file.stat().st_size for file in files]

    def read(row):
        return np.frombuffer(files[row].read_bytes(), np.uint8).reshape(16, 12, 3)

    return Encoded(f"scans-{column}", keys, lambda: sizes, read, tell=lambda: [key[:1] for key in keys])


OPENS = {"scans:": open_scans, ".zip": None}
"""


def test_a_source_of_somebody_elses_is_opened_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, scans = tmp_path / "site", tmp_path / "scans"
    (site / "theirs-1.0.dist-info").mkdir(parents=True)
    (site / "their_scans.py").write_text(PLUGIN)
    (site / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = "[selftaught.sources]\nscans = their_scans\n"
    (site / "theirs-1.0.dist-info" / "entry_points.txt").write_text(points)
    scans.mkdir()
    for row, pixels in enumerate(PIXELS):
        (scans / f"{row:02d}.scan").write_bytes(pixels.tobytes())
    monkeypatch.syspath_prepend(site)
    openers.cache_clear()
    try:
        samples = open_samples(f"scans:{scans}", column="red", labelled=True)
        assert openers()[".zip"] is not None  # a plug-in takes no name away
        run = selftaught.pretrain(f"scans:{scans}", out=tmp_path / "run", **FAST)
        with pytest.raises(UsageError, match=r"--label-column x: scans:.* has no columns"):
            open_source(f"scans:{scans}", label_column="x")
    finally:
        openers.cache_clear()
    with handed(PIXELS) as named:
        wanted = open_samples(named)
    assert samples.name == "scans-red" and samples.labels == ["0"] * 10 + ["1"] * 10 + ["2"] * 4
    assert samples.fingerprint == wanted.fingerprint and run.status["state"] == "done"


@pytest.mark.parametrize(
    ("shape", "read", "said"),
    [
        ((3, 20, 16), (20, 16, 3), "taken for (C, H, W): an image of 20 x 16 px with 3 channels"),
        ((5, 20, 24), (5, 20, 24), "24 channels; if channels come first, give x.transpose(1, 2, 0)"),
        ((20, 16, 3), (20, 16, 3), ""),
    ],
)
def test_the_axes_of_one_image_are_told_where_they_could_be_mistaken(
    shape: tuple[int, ...], read: tuple[int, ...], said: str
) -> None:
    with handed([(np.full(shape, number, np.uint8), "a") for number in range(4)]) as named:
        source = open_source(named)
        assert said in " ".join(source.notes) and bool(source.notes) == bool(said)
        assert source.read(2).shape == read


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"a": [1, 2]}, "data cannot be of type dict: give columns by name as a table"),
        (
            [[1, 2, 3], [4, 5, 6]],
            r"gives items of 3 numbers or words, and none is an image: give rows as a table: np\.array",
        ),
        ([{"a": 1.5, "b": "x"}], r"where their parts have names, pandas\.DataFrame"),
    ],
)
def test_rows_that_are_no_table_are_told_how_to_become_one(rows: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        selftaught.check(rows)
