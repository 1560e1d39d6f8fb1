"""Columns beside samples: each kind of source tells those that it has, and never its labels."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from selftaught.data.images.pages import paged
from selftaught.data.images.samples import open_samples
from selftaught.data.sources.encoded import Encoded
from selftaught.data.sources.handed import handed
from selftaught.data.sources.metadata import column_of, same_parts
from selftaught.data.sources.open import open_source
from selftaught.data.tables.samples import open_samples as open_rows
from selftaught.system.errors import DataError, UsageError
from tests.pictures import encoded

COUNT = 6
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8)
CLASSES, SITES = ["ant", "bee"] * 3, ["x", "x", "y", None, "y", "x"]
KNOWN = ["x", "x", "y", "", "y", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images as a listed folder, a parquet file, and two tars."""
    root = tmp_path_factory.mktemp("data")
    for row, pixels in enumerate(PIXELS):
        (root / f"{row}.png").write_bytes(encoded(pixels))
    lines = [f"{row}.png,{label},{site or ''}\n" for row, (label, site) in enumerate(zip(CLASSES, SITES))]
    (root / "list.csv").write_text("path,label,site\n" + "".join(lines))
    table = {"image": [encoded(one) for one in PIXELS], "label": CLASSES, "site": SITES, "boxes": [[1, 2]] * COUNT}
    parquet.write_table(pa.table(table), root / "all.parquet")
    for half in range(2):
        with tarfile.open(root / f"part-{half}.tar", "w") as tar:
            for row in range(3 * half, 3 * half + 3):
                told = json.dumps({"label": CLASSES[row], "site": SITES[row]}).encode()
                for ending, data in (("png", encoded(PIXELS[row])), ("json", told)):
                    info = tarfile.TarInfo(f"{row}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return root


@pytest.mark.parametrize("name", ["list.csv", "all.parquet", "part-{0..1}.tar"])
def test_columns_stand_beside_the_samples(name: str, folder: Path) -> None:
    samples = open_samples(folder / name)
    assert samples.metadata(["site"])[0].cells == KNOWN
    with pytest.raises(UsageError, match="'label' of metadata is named as the labels"):
        samples.metadata(["label"])
    with pytest.raises(UsageError, match=r"there is no column 'boxes' of metadata .* there are: site"):
        samples.metadata(["boxes"])


def test_items_and_rows_have_columns_as_well(tmp_path: Path) -> None:
    items = [{"image": one, "label": label, "site": site} for one, label, site in zip(PIXELS, CLASSES, SITES)]
    with handed(items) as name:
        assert open_samples(name, column="image").metadata(["site"])[0].cells == KNOWN
    nested = [{**item, "scan": {"at": row}, "boxes": [{"x": row}]} for row, item in enumerate(items)]
    with handed(nested) as name:
        samples = open_samples(name, column="image")
        assert samples.metadata(["site"])[0].cells == KNOWN
        with pytest.raises(UsageError, match=r"there is no column 'scan' of metadata .* there are: site$"):
            samples.metadata(["scan"])
        assert open_samples(name, column="image", label_column="scan", labelled=True).labels[:1] == ["{'at': 0}"]
    (tmp_path / "rows.csv").write_text(
        "a,b,site\n" + "".join(f"{row},{row % 2}.5,{s or ''}\n" for row, s in enumerate(SITES))
    )
    rows = open_rows(tmp_path / "rows.csv")
    assert rows.metadata(["site"])[0].cells == KNOWN
    assert rows.subset(np.arange(2)).guidance is None


def test_a_file_names_samples_as_elsewhere_and_only_some_are_wanted(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "facts.csv"
    file.write_text("file;machine\n" + "".join(f"some/where/{row}.png;m{row % 4}\n" for row in range(COUNT)))
    samples = open_samples(folder, limit=4, seed=1)
    (machine,) = samples.metadata(["machine"], str(file))
    assert machine.cells == [f"m{int(key[0]) % 4}" for key in samples.keys]
    table = pa.table({"path": [f"{row}.png" for row in range(COUNT)], "machine": list(range(COUNT))})
    parquet.write_table(table, tmp_path / "facts.parquet")
    (machine,) = samples.metadata(["machine"], str(tmp_path / "facts.parquet"))
    assert machine.cells == [key[0] for key in samples.keys]
    with (
        handed({"machine": list(range(COUNT))}, facts=True) as name,
        pytest.raises(DataError, match="has 6 rows and no column of names, such as path"),
    ):
        samples.metadata(["machine"], name)


def test_kinds_of_columns() -> None:
    assert column_of("a", [str(n % 20) for n in range(60)]).kind == "category"
    assert column_of("a", [str(n) for n in range(60)]).kind == "number"
    assert column_of("a", ["0.5", "", "1"]).kind == "number" and column_of("a", ["0.5", "x"]).kind == "category"
    times = column_of("a", ["2024-01-01T00:00:00", "", "2024-01-01 00:01:00+00:00"])
    assert times.numbers is not None and np.diff(times.numbers[[0, 2]]) == 60 and times.codes.tolist() == [0, -1, 1]
    assert column_of("a", ["10.5", "9", "10.5"]).codes.tolist() == [1, 0, 1]


def test_names_with_underscores_are_no_numbers() -> None:
    names = [f"{one}_{two}" for one in (1, 11) for two in range(11, 31)]  # 1_11 and 11_1 are one number to Python
    column = column_of("patient", names)
    assert column.kind == "category" and len({*column.codes.tolist()}) == len(names)


def test_what_says_the_same() -> None:
    assert same_parts(["a", "b", "a", ""], ["1", "2", "1", "2"])
    assert not same_parts(["a", "b", "a"], ["1", "2", "2"]) and not same_parts(
        ["a", "b", "c", "c"], ["1", "1", "2", "2"]
    )
    assert same_parts(["1", "2", "3"], ["1", "2", "3"]) and not same_parts(["1", "2", "3"], ["3", "5", "9"])


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """A list of images that may show a cat, a dog or both, with copies of these columns under other names."""
    for row, pixels in enumerate(PIXELS):
        (tmp_path / f"{row}.png").write_bytes(encoded(pixels))
    marks = [(1, 0), (0, 1), (1, 1), (1, 0), (0, 0), (0, 1)]
    lines = [f"{row}.png,{cat},{dog},{'x' if cat else 'z'},{row % 3}\n" for row, (cat, dog) in enumerate(marks)]
    (tmp_path / "list.csv").write_text("path,cat,dog,purrs,patient\n" + "".join(lines))
    return tmp_path / "list.csv"


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("cat", "'cat' of metadata is named as the labels"),
        ("dog", "'dog' of metadata is named as the labels"),
        ("purrs", "'purrs' of metadata parts list as its labels do"),
    ],
)
def test_each_of_several_label_columns_is_no_metadata(column: str, said: str, animals: Path) -> None:
    labels, file = "cat, dog", str(animals)
    samples = open_samples(animals, label_column=labels)
    with pytest.raises(UsageError, match=said):
        samples.metadata([column], file, labels)
    assert samples.metadata(["patient"], file, labels)[0].cells == [str(row % 3) for row in range(COUNT)]
    assert samples.metadata([column], file, "none")[0].kind == "category"


def test_a_copy_of_one_of_several_labels_is_none_whichever_file_it_is_in(animals: Path, tmp_path: Path) -> None:
    facts = tmp_path / "facts.csv"
    lines = animals.read_text().splitlines()
    facts.write_text("".join(f"{line.split(',')[0]},{line.split(',', 3)[3]}\n" for line in lines))
    with pytest.raises(UsageError, match="'purrs' of metadata parts list as its labels do"):
        open_samples(animals, label_column="cat,dog").metadata(["purrs"], str(facts), "cat,dog")
    assert open_samples(animals, label_column="cat,dog").metadata(["patient"], str(facts), "cat,dog")
    (tmp_path / "list.csv").rename(tmp_path / "told.csv")  # now a folder, whose labels are known by their columns alone
    with pytest.raises(UsageError, match=r"'purrs' of metadata parts .* as its labels do"):
        open_samples(tmp_path).metadata(["purrs"], str(tmp_path / "told.csv"), "cat,dog")


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    """Three TIFFs, of two pages, one and three."""
    for file, pages in enumerate((PIXELS[:2], PIXELS[2:3], PIXELS[3:])):
        first, *more = map(Image.fromarray, pages)
        first.save(tmp_path / f"{file}.tif", save_all=True, append_images=more)
    return tmp_path


def test_pages_have_what_stands_beside_their_file(stacks: Path, tmp_path: Path) -> None:
    file, how = stacks / "list.csv", {"reading": {"pages": "samples"}}
    file.write_text("path,label,site\n0.tif,a,x\n1.tif,b,y\n2.tif,a,z\n")
    samples = open_samples(file, **how)
    assert samples.metadata(["site"])[0].cells == list("xxyzzz")
    facts = tmp_path / "facts.csv"
    facts.write_text("file,plate\nwhere/0.tif,p\n1,q\n2.tif#1,r\n2.tif#3,s\n")
    assert samples.metadata(["plate"], str(facts))[0].cells == ["p", "p", "q", "r", "", "s"]
    facts.write_text("file,plate\n0.tif,p\n2.tif,q\n9.tif,r\n")
    assert samples.metadata(["plate"], str(facts))[0].cells == ["p", "p", "", "q", "q", "q"]
    assert samples.notes[-1].startswith("1 of the 3 lines of ")


def test_what_a_tar_passes_over_is_said_of_its_pages_as_well(stacks: Path) -> None:
    for number in range(2):
        with tarfile.open(stacks / f"s-{number}.tar", "w") as tar:
            tar.add(stacks / f"{number}.tif", f"{number}.tif")
            tar.add(__file__, "notes.txt")
    source = open_source(str(stacks / "s-{0..1}.tar"))
    assert isinstance(source, Encoded)
    pages = paged(source)
    assert len(pages) == 3 and [(one.ending, one.count) for one in pages.passed] == [(".txt", 2)]
