"""HDF5 and Zarr: images that stay in their files, by the rules of .npz, and nothing that runs or leads elsewhere."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from selftaught.commands.cli import run_command
from selftaught.data.images.inspection import inspect
from selftaught.data.images.samples import open_samples
from selftaught.data.sources import hdf5, zarrs
from selftaught.data.sources.lazily import Slabs
from selftaught.data.sources.open import open_source
from selftaught.system.errors import DataError, UsageError
from tests.data.test_python import CLASSES, COUNT, PIXELS

DEEP = np.random.default_rng(0).integers(0, 4096, (20, 9, 7)).astype(np.uint16)


def h5(file: Path, **held: Any) -> Path:
    with h5py.File(file, "w") as opened:
        for name, values in held.items():
            opened.create_dataset(name, data=values)
    return file


def zarred(file: Path, version: int = 3, **held: Any) -> Path:
    store = zarr.storage.ZipStore(file, mode="w") if file.suffix == ".zip" else str(file)
    group = zarr.open_group(store, mode="w", zarr_format=version)
    for name, values in held.items():
        group.create_array(name, data=values, chunks=(7, *values.shape[1:]))
    if file.suffix == ".zip":
        store.close()
    return file


@pytest.mark.parametrize("chunk", [1, 4])
def test_rows_are_those_of_the_array_whatever_is_asked_for(chunk: int) -> None:
    read: list[tuple[int, int]] = []
    slabs = Slabs("x", "", lambda a, b: read.append((a, b)) or DEEP[a:b], DEEP.shape, DEEP.dtype, chunk)
    rows = np.array([5, 4, 19, 4, 0, 1])
    assert np.array_equal(slabs[rows], DEEP[rows])
    assert read == [(0, 2), (4, 6), (19, 20)]  # of a chunk, too, no more than lies between those asked for
    assert np.array_equal(slabs[:3], DEEP[:3]) and np.array_equal(slabs[7], DEEP[7]) and len(slabs[np.arange(0)]) == 0
    moved = slabs[..., None].transpose(0, 3, 1, 2)
    assert moved.shape == (20, 1, 9, 7) and np.array_equal(moved[rows], DEEP[rows][:, None])


@pytest.mark.parametrize("form", ["a.h5", "a.zarr", "v2.zarr", "a.zarr.zip"])
def test_they_hold_what_an_npz_holds(form: str, tmp_path: Path) -> None:
    first = np.moveaxis(np.stack([DEEP, DEEP + 1, DEEP + 2], -1), 3, 1)  # channels come first
    labels = np.arange(20) % 3
    np.savez(tmp_path / "a.npz", x=first, y=labels)
    made = tmp_path / form
    _ = h5(made, x=first, y=labels) if form == "a.h5" else zarred(made, 2 if form[0] == "v" else 3, x=first, y=labels)
    wanted, found = open_samples(tmp_path / "a.npz", labelled=True), open_samples(made, labelled=True)
    assert found.labels == wanted.labels and found.preparation == wanted.preparation and found.notes == wanted.notes
    rows = np.array([3, 19, 3, 0])
    assert np.array_equal(found.batch(rows)[0].numpy(), wanted.batch(rows)[0].numpy())
    assert np.array_equal(found.digests(), wanted.digests()) and inspect(made).usable
    assert open_source(made, label_column="none").labels is None
    with pytest.raises(UsageError, match=r"--column z is no data set of .* it has x, y"):
        open_source(made, column="z")


def test_of_several_arrays_one_has_to_be_named(tmp_path: Path) -> None:
    text = np.array([f"é{row}" for row in range(20)], object)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["left/scan"], file["right/scan"] = DEEP, DEEP + 1
        file["right/labels"], file["left/kind"] = text, np.array([b"cat", b"dog"] * 10)
    with pytest.raises(DataError, match=r"must hold its images .* left/scan, right/scan: say which with --column"):
        open_source(tmp_path / "a.h5")
    right = open_source(tmp_path / "a.h5", column="/right/scan")
    assert right.labels == text.tolist() and right.images[2].max() == (DEEP[2] + 1).max()
    left = open_source(tmp_path / "a.h5", "left/kind", "left/scan")
    assert left.labels == ["cat", "dog"] * 10
    with pytest.raises(DataError, match=r"labels of shape \(20, 9, 7\)"):
        open_source(tmp_path / "a.h5", "left/scan", "left/scan")


def test_nothing_leads_out_of_an_hdf5_file_and_objects_are_not_read(tmp_path: Path) -> None:
    inside = h5(tmp_path / "other.h5", x=DEEP)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["x"] = h5py.ExternalLink(inside, "x")
    with pytest.raises(DataError, match=r"it holds nothing"):
        open_source(tmp_path / "link.h5")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(DEEP.shape, DEEP.dtype)
        layout[:] = h5py.VirtualSource(inside, "x", DEEP.shape)
        file.create_virtual_dataset("x", layout)
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("x", DEEP.shape, DEEP.dtype, external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)])
    for name in ("virtual", "outside"):
        with pytest.raises(DataError, match=r"'x' of .* is made of other files, which are not opened"):
            open_source(tmp_path / f"{name}.h5")
    with h5py.File(tmp_path / "objects.h5", "w") as file:
        file.create_dataset("x", (20, 2, 2), h5py.vlen_dtype(np.uint8))
    with pytest.raises(DataError, match=r"'x' of objects.h5 holds objects, and is read where it holds numbers"):
        open_source(tmp_path / "objects.h5", column="x")


def test_zarr_is_unpacked_by_what_unpacks_numbers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = zarred(tmp_path / "a.zarr", 2, x=DEEP)
    meta = json.loads((root / "x/.zarray").read_text())
    monkeypatch.setattr("pickle.loads", lambda *how: pytest.fail("it was unpickled"))

    def refused(said: str, **changed: Any) -> None:
        (root / "x/.zarray").write_text(json.dumps({**meta, **changed}))
        with pytest.raises(DataError, match=said):
            open_source(root, column="x")

    refused("'x' of a.zarr is packed by 'pickle', which is not let through", filters=[{"id": "pickle"}])
    refused("holds objects", dtype="|O", filters=[{"id": "pickle"}])
    refused("holds objects", dtype=[["a", "<u2"]])
    refused("more than any image takes", shape=[20, 1 << 20, 1 << 20])
    (root / "x/.zarray").write_text(json.dumps(meta))
    third = zarred(tmp_path / "b.zarr", x=DEEP)
    told = json.loads((third / "x/zarr.json").read_text())
    told["codecs"] = [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "numcodecs.pickle"}]}}]
    (third / "x/zarr.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"packed by 'pickle'"):
        open_source(third)


def test_what_is_broken_or_lacking_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = h5(tmp_path / "a.h5", x=DEEP).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut.h5 cannot be read as HDF5: .*truncated"):
        open_source(tmp_path / "cut.h5")
    root = zarred(tmp_path / "a.zarr", x=DEEP)
    chunk = root / "x/c/1/0/0"
    stored = chunk.read_bytes()
    chunk.write_bytes(stored[: len(stored) // 2])
    with pytest.raises(DataError, match=r"a.zarr cannot be read as Zarr"):
        open_samples(root)
    chunk.write_bytes(stored * 1000)  # more than it could unpack to
    with pytest.raises(DataError, match=r"more than it can unpack to"):
        open_samples(root)
    chunk.unlink()
    assert "1 of its chunks are not stored, and hold one value" in open_source(root).notes[0]
    shutil.rmtree(root / "x")
    with pytest.raises(DataError, match=r"it holds nothing"):
        open_source(root)
    for module, name in ((hdf5, "h5py"), (zarrs, "zarr")):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        (opener,) = set(module.OPENS.values())
        with pytest.raises(UsageError, match=rf"a\.h5 needs {name}: pip install 'selftaught\["):
            opener(tmp_path / "a.h5")


def test_of_shards_in_zarr_each_that_lacks_counts_once(tmp_path: Path) -> None:
    values = np.ones((100, 8, 8, 3), np.uint8)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=3)
    group.create_array("x", data=values, chunks=(10, 8, 8, 3), shards=(40, 8, 8, 3))  # the last of them half beyond
    assert not open_source(tmp_path / "a.zarr").notes
    (tmp_path / "a.zarr/x/c/2/0/0/0").unlink()
    (note,) = open_source(tmp_path / "a.zarr").notes
    assert note == "1 of its shards are not stored, and hold one value by what the format says"


def test_a_command_takes_the_name_of_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"], file["two"] = PIXELS, PIXELS[::-1].copy()
        file["kind"] = np.array(CLASSES, "S")
    assert len(PIXELS) == COUNT
    command = ["check", str(tmp_path / "a.h5"), "--encoder", "test_resnet", "--size", "16", "--batch-size", "4"]
    assert run_command([*command, "--column", "two", "--label-column", "kind"]) == 0
    assert f"{COUNT} images" in capsys.readouterr().out
