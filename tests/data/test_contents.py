"""A sample is what its bytes are: digests of all, read once for as long as their files stay as they are."""

import io
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from selftaught.data.images.pages import paged
from selftaught.data.images.samples import open_samples
from selftaught.data.sources import files
from selftaught.data.sources.contents import Contents, content_of
from selftaught.data.sources.encoded import Encoded
from selftaught.data.sources.files import Files
from selftaught.data.sources.open import open_source
from selftaught.data.tables.columns import open_table
from selftaught.system import clock
from tests.data.test_chunked import h5, zarred
from tests.pictures import encoded

Read = list[str]


@pytest.fixture(autouse=True)
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of one's own, and files that were not changed just now."""
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    later = clock.wall() + 3600
    monkeypatch.setattr(clock, "wall", lambda: later)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The names of files that were read."""
    names: Read = []

    def noted(file: Path, read: Callable[[Path], bytes] = files.read_regular) -> bytes:
        names.append(file.name)
        return read(file)

    monkeypatch.setattr(files, "read_regular", noted)
    return names


def pictures(root: Path, seed: int, count: int = 6) -> Path:
    """Uncompressed, so that all have the same size, and of one time."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(root / f"{number}.bmp")
        os.utime(root / f"{number}.bmp", (315532800, 315532800))
    return root


def touched(root: Path) -> None:
    """Put another time on each file, as one that a backup brings back has."""
    for file in root.iterdir():
        os.utime(file, (315532801, 315532801))


def remembered(root: Path) -> list[bytes]:
    source = open_source(root)
    held = source.digests(np.arange(len(source)))
    assert held is not None and source.contents
    source.contents.remember()
    return list(map(bytes, held))


def test_a_second_start_reads_nothing(tmp_path: Path, read: Read) -> None:
    root = pictures(tmp_path / "x", 0)
    first = remembered(root)
    assert len(set(first)) == len(read) == 6 and remembered(root) == first and len(read) == 6
    root.rename(tmp_path / "y")  # elsewhere they are read again, and are what they were
    assert remembered(tmp_path / "y") == first and len(read) == 12


def test_only_what_was_touched_is_read_again(tmp_path: Path, read: Read) -> None:
    root = pictures(tmp_path / "x", 0)
    first = remembered(root)
    other = pictures(tmp_path / "y", 1)
    (other / "2.bmp").replace(root / "2.bmp")  # of the same name, size and time
    (root / "1.bmp").unlink()
    shutil.copy2(other / "0.bmp", root / "0a.bmp")
    read.clear()
    again = remembered(root)
    assert sorted(read) == ["0a.bmp", "2.bmp"] and again[2] not in first
    assert [again[place] for place in (0, 3, 4, 5)] == [first[place] for place in (0, 3, 4, 5)]


def test_a_file_that_was_changed_just_now_is_not_relied_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = pictures(tmp_path / "x", 0)
    changed = max((root / f"{number}.bmp").stat().st_ctime for number in range(6))
    for age, known in ((1.0, 0), (3.0, 6)):  # seconds; a file system may keep times of two
        monkeypatch.setattr(clock, "wall", lambda age=age: changed + age)
        remembered(root)
        source = open_source(root)
        assert source.contents
        source.contents.recall()
        assert source.contents.known.sum() == known


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "padded"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, read: Read, damage: str) -> None:
    root = pictures(tmp_path / "x", 0)
    first = remembered(root)
    (index,) = (tmp_path / "cache" / "contents").iterdir()
    held = bytearray(index.read_bytes())
    held[80] ^= damage == "changed"
    index.write_bytes({"cut": held[:-1], "changed": held, "emptied": b"", "padded": held + bytes(64)}[damage])
    read.clear()
    assert remembered(root) == first and len(read) == 6
    assert remembered(root) == first and len(read) == 6


def test_an_archive_is_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = pictures(tmp_path / "x", 0)
    first = remembered(root)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in sorted(root.iterdir(), reverse=True):
            archive.write(file, file.name)
    shutil.make_archive(str(tmp_path / "y"), "tar", root)
    for name in ("x.zip", "y.tar"):
        assert remembered(tmp_path / name) == first
    monkeypatch.setattr(Files, "fetch", lambda self, row: pytest.fail("it was read again"))
    for name in ("x.zip", "y.tar"):
        assert remembered(tmp_path / name) == first


def test_what_cannot_be_read_has_no_digest_and_is_asked_for_again(tmp_path: Path, read: Read) -> None:
    root = pictures(tmp_path / "x", 0)
    source = open_source(root)
    (root / "3.bmp").unlink()
    held = source.digests(np.arange(6))
    assert held is not None and not held[3].any() and held[[0, 1, 2, 4, 5]].any(axis=1).all()


@pytest.mark.parametrize("kind", ["parquet", "several", "h5", "zarr"])
def test_another_column_of_the_same_file_is_no_copy_of_the_first(tmp_path: Path, kind: str) -> None:
    columns = {name: np.full((6, 8, 8, 3), level, np.uint8) for name, level in (("left", 10), ("right", 200))}
    cells = {name: [encoded(pixels) for pixels in column] for name, column in columns.items()}
    for number in range(2):
        parquet.write_table(pa.table(cells), tmp_path / f"{number}.parquet")
    h5(tmp_path / "x.h5", **columns)
    zarred(tmp_path / "x.zarr.zip", 3, **columns)
    names = {"parquet": "0.parquet", "several": "{0..1}.parquet", "h5": "x.h5", "zarr": "x.zarr.zip"}
    data = str(tmp_path / names[kind])
    left, right = (open_samples(data, column=name, memory=0) for name in ("left", "right"))
    assert left.fingerprint != right.fingerprint and float(right.batch(np.arange(6))[0].float().mean()) == 200
    assert open_samples(data, column="right").fingerprint == right.fingerprint


def test_each_page_of_each_row_is_remembered_as_itself(tmp_path: Path) -> None:
    stacks = []
    for row in range(3):
        pages, stream = [Image.new("L", (8, 8), 10 * row + page) for page in range(3)], io.BytesIO()
        pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
        stacks.append(stream.getvalue())
    parquet.write_table(pa.table({"image": stacks}), tmp_path / "stacks.parquet")
    held = []
    for _ in range(2):
        source = open_source(tmp_path / "stacks.parquet")
        assert isinstance(source, Encoded)
        source = paged(source)
        held.append(source.digests(np.arange(9)))
        source.contents.remember()
    assert len(set(map(bytes, held[0]))) == 9 and np.array_equal(*held)


def test_every_row_of_an_array_counts_and_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).integers(0, 255, (3000, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    first = open_samples(tmp_path / "x.npy")
    x[1] = 0  # 1,024 evenly spread rows do without it
    np.save(tmp_path / "y.npy", x)
    second = open_samples(tmp_path / "y.npy")
    assert first.former_fingerprint == second.former_fingerprint and first.fingerprint != second.fingerprint
    one, two = first.digests(), second.digests()
    assert one is not None and two is not None and np.flatnonzero((one != two).any(axis=1)).tolist() == [1]
    assert open_samples(x).fingerprint == second.fingerprint != open_samples(x[::-1]).fingerprint
    monkeypatch.setattr(Contents, "note", lambda *asked: pytest.fail("it was read again"))
    assert open_samples(tmp_path / "y.npy").fingerprint == second.fingerprint


def test_a_part_of_samples_has_their_digests(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (30, 4, 4), dtype=np.uint8)
    for samples in (open_samples(x), open_samples(pictures(tmp_path / "x", 0))):
        whole, part = samples.digests(), samples.subset(np.array([4, 2])).digests()
        assert whole is not None and part is not None and (part == whole[[4, 2]]).all()


def test_a_row_of_a_table_is_its_values(tmp_path: Path) -> None:
    lines = [f"{number},{'ab'[number % 2]},{number / 3}" for number in range(10)]
    (tmp_path / "a.csv").write_text("n,kind,share\n" + "\n".join(lines))
    lines[4] = "4,b,1.3333333333333333"
    (tmp_path / "b.csv").write_text("n,kind,share\n" + "\n".join(lines))
    one, two = (open_table(tmp_path / name).digests(np.arange(10)) for name in ("a.csv", "b.csv"))
    assert np.flatnonzero((one != two).any(axis=1)).tolist() == [4] and len(set(map(bytes, one))) == 10
    (tmp_path / "c.csv").write_text("one,two\na,bc\nab,c\na,b\n")
    for table in (open_table(np.arange(6.0).reshape(3, 2)), open_table(tmp_path / "c.csv")):
        assert len(set(map(bytes, table.digests(np.arange(3))))) == 3


def test_what_is_read_before_an_index_is_looked_at_is_not_taken_for_what_stands_there(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pictures", seed=0)
    known = remembered(root)
    touched(root)  # so that the index knows none of them
    source = open_source(root)
    assert source.contents
    for row in (0, 3):
        source.fetch(row)
    source.contents.recall()
    assert [bytes(source.contents.digests[row]) for row in (0, 3)] == [known[0], known[3]]
    assert source.contents.known.tolist() == [True, False, False, True, False, False]
    source.contents.remember()
    assert remembered(root) == known


def test_an_index_of_an_earlier_layout_is_made_anew(tmp_path: Path, read: Read) -> None:
    root = pictures(tmp_path / "pictures", seed=0)
    known = remembered(root)
    (index,) = (tmp_path / "cache/contents").iterdir()
    body = index.read_bytes()[16:]
    body = body[: -len(body) // 2]  # and what stands there is not believed
    index.write_bytes(content_of(body) + body)
    read.clear()
    assert remembered(root) == known and len(read) == len(known)
    read.clear()
    assert remembered(root) == known and not read
