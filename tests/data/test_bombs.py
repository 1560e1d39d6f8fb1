"""Files that are small and unpack to more than there is: refused by what they announce, before it is unpacked."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from selftaught.data.sources import archives
from selftaught.data.sources.arrays import Arrays, read_arrays
from selftaught.data.sources.open import open_source
from selftaught.data.tables.columns import open_table
from selftaught.system import bombs
from selftaught.system.arrays import LARGEST_HEAD, Npz, array_in, header_of
from selftaught.system.errors import DataError

MANY = 4 << 20  # bytes that zeros unpack to here, where a sixteenth of it is harmless


@pytest.fixture(autouse=True)
def a_small_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is harmless, and the machine, are small, so that small files are bombs."""
    monkeypatch.setattr(bombs, "HARMLESS", MANY // 16)
    monkeypatch.setattr(bombs, "machine_memory", lambda: 4 * MANY)
    monkeypatch.delenv(bombs.NAME, raising=False)
    yield


def refused(opener: Any, *arguments: Any) -> str:
    with pytest.raises(DataError) as caught:
        opener(*arguments)
    said = str(caught.value)
    assert "\n" not in said and f"set {bombs.NAME}=" in said
    return said


def test_an_honest_file_may_be_as_large_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bombs.allowed(10**12) == 4 * 10**12
    assert bombs.allowed(10) == MANY // 16
    monkeypatch.setattr(bombs, "machine_memory", lambda: 10**9)
    assert bombs.allowed(10**6) == 2 * 10**8
    assert bombs.allowed(10**8) == 5 * 10**8
    monkeypatch.setenv(bombs.NAME, "3GB")
    assert bombs.allowed(10) == 3 * 10**9
    monkeypatch.setenv(bombs.NAME, "much")
    with pytest.raises(ValueError, match="SELFTAUGHT_LARGEST cannot be 'much': a size looks like 500MB or 2GB"):
        bombs.allowed(10)


def test_of_a_npz_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(Npz, "__getitem__", _noting(Npz.__getitem__, read))
    np.savez_compressed(tmp_path / "a.npz", x=np.ones((8, 8, 8), np.uint8), spare=np.zeros(MANY, np.uint8))
    assert len(open_source(tmp_path / "a.npz")) == 8
    np.savez_compressed(tmp_path / "b.npz", pictures=np.ones((8, 8, 8), np.uint8), spare=np.zeros(MANY, np.uint8))
    assert len(open_source(tmp_path / "b.npz")) == 8
    np.savez_compressed(tmp_path / "c.npz", x=np.ones((8, 3)), y=np.arange(8), spare=np.zeros(MANY, np.uint8))
    assert open_table(tmp_path / "c.npz").labels == list("01234567")
    assert read == ["x", "pictures", "x", "y"]


def _noting(method: Any, read: list[str]) -> Any:
    def noted(self: Npz, name: str) -> Any:
        if name in self.headers:
            read.append(name)
        return method(self, name)

    return noted


def test_an_array_that_is_asked_for_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((MANY // 64, 8, 8), np.uint8))
    said = refused(open_source, tmp_path / "x.npz")
    assert "'x' would take 4 MB, " in said and "times what is stored; 834 kB are allowed" in said
    monkeypatch.setenv(bombs.NAME, "1GB")
    assert len(open_source(tmp_path / "x.npz")) == MANY // 64


@pytest.mark.parametrize("shape", ["(1000000000000, 8, 8)", "(8, 8", "(8, 8, 8)" + " " * (1 << 20)])
def test_a_header_that_lies_is_refused_for_what_it_is(shape: str, tmp_path: Path) -> None:
    told = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x02\x00" + len(told).to_bytes(4, "little") + told + bytes(512))
    with pytest.raises(DataError, match=r"^x.npz cannot be read: .*(fewer bytes|no header)"):
        open_source(tmp_path / "x.npz")
    with pytest.raises(DataError):
        dict(read_arrays(tmp_path / "x.npz"))


def test_of_a_header_no_more_is_read_than_one_has() -> None:
    told = io.BytesIO(b"\x93NUMPY\x02\x00" + MANY.to_bytes(4, "little") + bytes(MANY))
    with pytest.raises(ValueError, match="no header of an array"):
        header_of(told)
    assert told.tell() == LARGEST_HEAD


def test_an_array_of_ours_is_held_to_its_bound_by_its_file_and_by_its_header(tmp_path: Path) -> None:
    np.save(file := tmp_path / "x.npy", np.arange(100, dtype=np.uint8))
    size = file.stat().st_size
    assert len(array_in(file, size)) == 100
    with pytest.raises(ValueError, match=f"it holds more than {size - 1:,} bytes"):
        array_in(file, size - 1)
    file.write_bytes(file.read_bytes().replace(b"(100,), } ", b"(9999,), }", 1))
    with pytest.raises(ValueError, match=r"it says that it is of shape \(9999,\), and holds fewer bytes"):
        array_in(file, size)


def test_cells_and_text_of_a_parquet_are_counted_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"a": np.zeros(50_000), "b": np.zeros(50_000)}), file, compression="zstd")
    assert "100,000 cells would take 20 MB" in refused(open_table, file)
    parquet.write_table(pa.table({"a": [1, 2] * 50, "b": ["y" * 50_000] * 100}), file, compression="zstd")
    assert "its text would take 5 MB" in refused(open_table, file)
    parquet.write_table(pa.table({"a": [1, 2], "b": ["y" * MANY] * 2}), file, compression="zstd", use_dictionary=False)
    assert "what it holds would take 8 MB" in refused(open_table, file)
    monkeypatch.setenv(bombs.NAME, "1GB")
    assert len(open_table(file)) == 2


def test_the_labels_of_many_images_may_be_packed_to_nothing(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    draws = np.random.default_rng(0)
    images: list[Any] = [{"bytes": draws.bytes(400), "path": None} for _ in range(5000)]
    parquet.write_table(pa.table({"image": images, "label": ["a", "b"] * 2500}), tmp_path / "x.parquet")
    assert len(open_source(tmp_path / "x.parquet")) == 5000
    images = [None] * 4990 + images[:10]
    parquet.write_table(pa.table({"image": images, "label": ["a", "b"] * 2500}), tmp_path / "x.parquet")
    assert "10,000 cells would take 2 MB" in refused(open_source, tmp_path / "x.parquet")


@pytest.mark.parametrize("nested", [True, False])
def test_an_image_that_a_parquet_holds_once_is_not_there_in_every_row(nested: bool, tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    cells = [buffer.getvalue()] * 400
    column = pa.array([{"bytes": cell, "path": None} for cell in cells]) if nested else pa.array(cells)
    parquet.write_table(pa.table({"image": column}), tmp_path / "x.parquet")
    source: Any = open_source(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"its text would take 5 MB, .* set SELFTAUGHT_LARGEST="):
        source.read(0)
    parquet.write_table(pa.table({"image": column[:16]}), tmp_path / "y.parquet")
    assert open_source(tmp_path / "y.parquet").read(15) == cells[0]


@pytest.mark.parametrize("way", ["gz", "bz2", "xz"])
def test_a_compressed_tar_has_bounded_room(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    name = {"gz": "x.tgz"}.get(way, "x.tar")  # of which the content tells
    with tarfile.open(tmp_path / name, f"w:{way}") as archive:
        for path, content in {"zeros.bin": bytes(MANY), "a.png": buffer.getvalue()}.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    said = refused(open_source, tmp_path / name)
    assert "the copy that it is read from would take" in said
    monkeypatch.setenv(bombs.NAME, "1GB")
    assert len(open_source(tmp_path / name)) == 1


def test_a_full_disk_for_the_copy_says_where_room_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.png"), io.BytesIO())

    class Full(io.BytesIO):
        def write(self, content: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.tempfile, "TemporaryFile", Full)
    with pytest.raises(DataError, match=r"does not fit into .* \(No space left on device\); set TMPDIR"):
        open_source(tmp_path / "x.tgz")


def test_a_member_of_a_zip_that_unpacks_beyond_measure_is_passed_over(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(MANY))
        archive.writestr("b.png", bytes(100))
    source: Any = open_source(tmp_path / "x.zip")
    assert source.keys == ["b.png"] and list(source.ignored) == [("a.png", archives.TOO_LARGE)]


def test_a_csv_is_held_to_what_its_cells_take(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n" + "1,2\n" * (MANY // 4))
    assert "its cells would take 67 MB, 16 times" in refused(open_table, tmp_path / "x.csv")


def test_arrays_are_whole_as_ever(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((20, 5, 4))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", images=x, labels=np.arange(20), other=np.zeros(3))
        source = open_source(tmp_path / "x.npz")
        assert isinstance(source, Arrays) and np.array_equal(source.images[..., 0], x)
        assert source.labels == [str(i) for i in range(20)]
