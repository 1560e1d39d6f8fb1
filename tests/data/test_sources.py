"""Sources: one stable index over folders, archives and arrays, and clear words where there is nothing."""

import errno
import gzip
import io
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import selftaught
from selftaught.contracts.modality import of
from selftaught.data.series.files import open_recordings
from selftaught.data.sources.archives import members_of
from selftaught.data.sources.arrays import Arrays, dimensions, read_arrays
from selftaught.data.sources.files import PICTURES, Files, open_files
from selftaught.data.sources.folder import OURS
from selftaught.data.sources.labels import labels_for
from selftaught.data.sources.open import open_source
from selftaught.data.text.files import open_texts
from selftaught.system.errors import DataError, UsageError
from selftaught.system.ownership import begin
from tests.pictures import encoded


def png(value: int) -> bytes:
    return encoded(Image.new("L", (4, 4), value))


NAMES = ["train/cat/b.png", "train/dog/a.PNG", "train/cat/a b.png", "test/dog/c.png"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for value, name in enumerate(NAMES):
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(value))
    for clutter in (".hidden.png", "__MACOSX/x.png", "Thumbs.db", ".git/y.png", "notes.txt"):
        file = tmp_path / "tree" / clutter
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(png(99))
    return tmp_path / "tree"


def test_a_folder_is_indexed_in_a_stable_order_without_clutter(tree: Path) -> None:
    source = open_source(tree)
    assert isinstance(source, Files)
    assert source.keys == sorted(NAMES)
    assert source.read(source.keys.index("train/dog/a.PNG")) == png(1)
    assert source.labels == ["test", "train", "train", "train"]
    assert open_source(tree / "train").labels == ["cat", "cat", "dog"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_reads_like_the_folder_it_was_made_of(tree: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(tree.rglob("*")):
                archive.write(file, file.relative_to(tree))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            archive.add(tree, ".")
            link = tarfile.TarInfo("train/cat/link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    source = open_source(path)
    assert isinstance(source, Files) and source.keys == open_source(tree).keys
    assert [source.read(i) for i in range(len(source))] == [open_source(tree).read(i) for i in range(len(source))]
    place = open_source(f"{path}/train")
    assert place.keys == ["cat/a b.png", "cat/b.png", "dog/a.PNG"] and place.labels == ["cat", "cat", "dog"]
    assert place.name == "set-train" and place.read(2) == png(1)
    with pytest.raises(DataError, match="holds nothing under 'valid/'; it holds test, train"):
        open_source(f"{path}/valid")


def test_of_two_members_with_one_name_the_later_is_an_image_once(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.png", png(2))
    source = open_source(path)
    assert source.keys == ["a.png"] and source.read(0) == png(2)


class Unflagged(zipfile.ZipInfo):
    """A member whose name is written as these bytes, and no flag says what they are."""

    stored = b""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's name
        return self.stored, self.flag_bits


def zipped(path: Path, members: list[tuple[bytes, bytes]]) -> Path:
    """A zip of members with these bytes for a name and this beside it, each holding an image of its number."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, (stored, extra) in enumerate(members):
            member = Unflagged(f"member {number}")
            member.stored, member.extra = stored, extra
            archive.writestr(member, png(number))
    return path


def beside(name: str, stored: bytes) -> bytes:
    """A name as UTF-8 for what stands beside the one that is stored, as Info-ZIP writes it."""
    told = struct.pack("<BL", 1, zlib.crc32(stored)) + name.encode()
    return b"UT\1\0\0" + struct.pack("<HH", 0x7075, len(told)) + told


def test_names_in_zips_are_utf8_where_they_can_be_and_no_flag_says_so(tmp_path: Path) -> None:
    umlaut = "Käfer/größe 1.png"
    path = zipped(tmp_path / "mac.zip", [(umlaut.encode(), b""), (b"zebra/2.png", b""), ("Käfer/Ö.txt".encode(), b"")])
    source = open_source(path)
    assert isinstance(source, Files)
    assert source.keys == [umlaut, "zebra/2.png"] and source.labels == ["Käfer", "zebra"]
    assert [source.read(0), source.read(1)] == [png(0), png(1)]
    assert dict(source.ignored) == {"Käfer/Ö.txt": "not named like an image"}
    assert open_source(f"{path}/Käfer").keys == ["größe 1.png"]
    assert open_source(f"{path}/Käfer").read(0) == png(0)


def test_a_name_beside_the_stored_one_counts_where_it_is_of_that(tmp_path: Path) -> None:
    stored = "Käfer.png".encode("latin-1")  # which is no UTF-8
    for extra, name in (
        (beside("Käfer.png", stored), "Käfer.png"),
        (beside("Hund.png", b"another.png"), stored.decode("cp437")),
        (b"", stored.decode("cp437")),
    ):
        source = open_source(zipped(tmp_path / "a.zip", [(stored, extra)]))
        assert source.keys == [name] and source.read(0) == png(0)


def test_samples_of_a_zip_keep_the_places_that_they_had_by_what_zipfile_calls_them(tmp_path: Path) -> None:
    names = ["ß.png", "à.png", "a.png"]
    path = zipped(tmp_path / "a.zip", [(name.encode(), b"") for name in names])
    source = open_source(path)
    before = sorted(range(3), key=lambda number: names[number].encode().decode("cp437"))
    assert source.keys == [names[number] for number in before] != sorted(names)
    assert [source.read(row) for row in range(3)] == [png(number) for number in before]


def test_links_never_loop_nor_leave_the_root(tree: Path, tmp_path: Path) -> None:
    before = open_source(tree).keys
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(png(7))
    (tree / "train" / "loop").symlink_to(tree)
    (tree / "train" / "out").symlink_to(tmp_path / "outside")
    (tree / "train" / "out.png").symlink_to(tmp_path / "outside" / "secret.png")
    (tree / "train" / "dangling.png").symlink_to(tree / "nowhere.png")
    assert open_source(tree).keys == before


def test_a_linked_folder_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "x.png").write_bytes(png(1))
    (tmp_path / "a").symlink_to(tmp_path / "z")
    (tmp_path / "zz").symlink_to(tmp_path / "z")
    assert open_source(tmp_path).keys == ["z/x.png"]


def test_what_is_passed_over_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "secret").mkdir()
    scandir = os.scandir

    def denying(folder: str) -> object:
        if str(folder).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", denying)
    source = open_source(tree)
    assert isinstance(source, Files)
    assert dict(source.ignored) == {
        ".hidden.png": "hidden",
        ".git": "hidden",
        "__MACOSX": "left by the operating system",
        "Thumbs.db": "left by the operating system",
        "notes.txt": "not named like an image",
        "secret/": "cannot be read: Permission denied",
    }


def test_members_that_are_no_plain_files_are_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", png(1))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../up.png", png(2))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("pipe.png", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a.png"
            tar.addfile(member)
        member = tarfile.TarInfo("a.png")
        member.size = len(png(1))
        tar.addfile(member, io.BytesIO(png(1)))
    zipped, tarred = open_source(tmp_path / "a.zip"), open_source(tmp_path / "a.tar")
    assert isinstance(zipped, Files) and isinstance(tarred, Files)
    assert dict(zipped.ignored) == {"link.png": "a link", "../up.png": "hidden"} and zipped.keys == ["a.png"]
    assert dict(tarred.ignored) == {"link.png": "a link", "pipe.png": "not a regular file"} and tarred.keys == ["a.png"]


def endless(count: int = 3) -> bytes:
    """A tar of images without the blocks that end one: each of a block of header and one of content."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for row in range(count):
            member = tarfile.TarInfo(f"{row}.png")
            member.size = len(png(row))
            tar.addfile(member, io.BytesIO(png(row)))
    return made.getvalue()[: 2 * tarfile.BLOCKSIZE * count]


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_a_tar_with_a_damaged_header_is_no_end(ending: str, tmp_path: Path) -> None:
    path, whole = tmp_path / f"a.{ending}", endless()
    packed = gzip.compress if ending == "tar.gz" else bytes
    third = 4 * tarfile.BLOCKSIZE
    for damaged in (whole[: third + 148] + b"9" + whole[third + 149 :], whole[: third + 100]):
        path.write_bytes(packed(damaged))
        with pytest.raises(DataError, match=rf"a\.{ending} is damaged behind its member '1.png': put the archive back"):
            open_source(path)
    for end in (b"", bytes(100), bytes(tarfile.BLOCKSIZE), bytes(4 * tarfile.BLOCKSIZE)):
        path.write_bytes(packed(whole + end))
        assert open_source(path).keys == ["0.png", "1.png", "2.png"]


def test_a_damaged_header_is_seen_where_nothing_is_read_twice() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    whole = endless()
    assert [info.name for info in members_of(Pipe(whole), "a")] == ["0.png", "1.png", "2.png"]
    with pytest.raises(DataError, match=r"a is damaged behind its member '2.png'"):
        list(members_of(Pipe(whole + b"x" * tarfile.BLOCKSIZE), "a"))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_what_selftaught_made_is_passed_over(kind: str, tree: Path, tmp_path: Path) -> None:
    """A run's pictures lie in the folder that it learns from where its --out does, or the default one."""
    keys = open_source(tree).keys
    run = tree / "runs" / "tree-simclr-1"
    (run / "map").mkdir(parents=True)
    begin(run, "pretrain", ["pictures.png", "map"])
    for name in ("pictures.png", "map/sheet.webp"):
        Image.new("RGB", (8, 8)).save(run / name)
    source: Any = open_source(tree if kind == "folder" else packed(tree, tmp_path / f"packed.{kind}"))
    assert list(source.keys) == list(keys)
    ours = [path for path, reason in source.ignored if reason == OURS]
    assert ours == ["runs/tree-simclr-1/"] if kind == "folder" else len(ours) == 3
    if kind == "folder":
        for part in (run, run / "map"):
            with pytest.raises(DataError, match="was made by selftaught and is no data"):
                open_source(part)


def test_a_run_from_before_there_were_lists_is_passed_over_and_a_common_name_is_none(tree: Path) -> None:
    for folder in ("old", "mine"):
        (tree / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tree / folder / "pictures.png")
        (tree / folder / "recipe.yaml").write_text("data: x")
    (tree / "old" / "status.json").write_text('{"state": "done", "reason": "", "exit_code": 0, "pid": 5}')
    (tree / "mine" / "status.json").write_text('{"state": "fine"}')
    source: Any = open_source(tree)
    assert "mine/pictures.png" in source.keys and "old/pictures.png" not in source.keys
    assert ("old/", OURS) in source.ignored
    with pytest.raises(DataError, match="was made by selftaught"):
        open_source(tree / "old")


def packed(tree: Path, file: Path) -> Path:
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            for path in sorted(tree.rglob("*")):
                archive.write(path, path.relative_to(tree))
    else:
        with tarfile.open(file, "w:gz") as archive:
            archive.add(tree, ".")
    return file


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n1.png")
    (tmp_path / name).write_bytes(png(5))
    source = open_source(tmp_path)
    assert source.keys == [name] and source.read(0) == png(5) and source.fingerprint()


def test_the_fingerprint_follows_names_and_sizes(tree: Path) -> None:
    before = open_source(tree).fingerprint()
    assert open_source(tree).fingerprint() == before
    (tree / "train/cat/b.png").write_bytes(png(0) + b"x")
    changed = open_source(tree).fingerprint()
    (tree / "train/cat/z.png").write_bytes(png(0))
    assert len({before, changed, open_source(tree).fingerprint()}) == 3


def test_nothing_found_says_what_was_seen(tmp_path: Path) -> None:
    for name in ("a.jp2", "b.jp2", "c.mov"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"saw 2 \.jp2, 1 \.mov; images are"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(DataError, match="neither a folder"):
        open_source(tmp_path / "c.mov")
    (tmp_path / "d.JPG").touch()
    with pytest.raises(DataError, match=rf"d\.JPG is a single image: name its folder, {re.escape(str(tmp_path))}$"):
        open_source(tmp_path / "d.JPG")
    lines = tmp_path / "lines.txt"
    lines.touch()
    with pytest.raises(DataError, match=r"\.jsonl, \.ndjson; if each of its lines is a text, say text:.*lines\.txt"):
        open_source(lines)
    (tmp_path / "broken.zip").write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match="cannot be read as an archive"):
        open_source(tmp_path / "broken.zip")


def test_arrays_with_and_without_labels(tmp_path: Path) -> None:
    x, y = np.zeros((6, 5, 4), np.uint16), np.arange(6) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y)
    source = open_source(tmp_path / "a.npz")
    assert isinstance(source, Arrays) and source.images.shape == (6, 5, 4, 1) and source.labels == list("010101")
    np.save(tmp_path / "b.npy", np.zeros((2, 5, 4, 7), np.float32))
    assert open_source(tmp_path / "b.npy").labels is None
    np.savez(tmp_path / "c.npz", a=x, b=x)
    np.savez(tmp_path / "d.npz", x=x, y=y[:3])
    np.savez(tmp_path / "h.npz", x=x, y=np.eye(2)[y])
    np.save(tmp_path / "i.npy", np.zeros((2, 5, 4), ">f4"))
    assert open_source(tmp_path / "i.npy").dtype == np.float32
    np.save(tmp_path / "e.npy", np.zeros((2, 3), np.uint8))
    np.save(tmp_path / "f.npy", np.zeros((2, 3, 3), np.int64))
    np.save(tmp_path / "g.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    bad = {
        "c.npz": "'x' or 'images'",
        "d.npz": r"labels of shape \(3,\); 6 samples take \(6,\)",
        "h.npz": r"labels of shape \(6, 2\)",
        "e.npy": "shape",
        "f.npy": "int64",
    }
    for name, said in {**bad, "g.npy": "cannot be read"}.items():
        with pytest.raises(DataError, match=said):
            open_source(tmp_path / name)


def test_labels_from_a_csv(tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path,label\ntrain/cat/b.png,tabby\ntest/dog/c.png,poodle\n")
    assert labels_for(file, open_source(tree).keys, "images") == ["poodle", "", "tabby", ""]
    for text, said in {
        "nothing/like.png,x\n": "1 of 1 lines .* name none of the images, such as 'nothing/like.png'; the first",
        "train/cat/b.png,x\nother.png,y\n": "1 of 2 lines",
        "train/cat/b.png\n": "line 1",
        "": "must have lines",
    }.items():
        file.write_text(text)
        with pytest.raises(DataError, match=said):
            labels_for(file, open_source(tree).keys, "images")


def test_named_sets() -> None:
    photos = open_source("sklearn:photos")
    assert photos.images.shape == (120, 64, 64, 3) and sorted(set(photos.labels or [])) == ["china", "flower"]
    assert photos.images[0].std() > 1
    digits = open_source("sklearn:digits")
    assert isinstance(digits, Arrays) and digits.images.shape == (1797, 8, 8, 1) and digits.images.max() == 255
    assert digits.labels is not None and len(set(digits.labels)) == 10
    with pytest.raises(UsageError, match="did you mean 'CIFAR10'"):
        open_source("torchvision:CIFAR11")
    with pytest.raises(UsageError, match="sklearn:digits"):
        open_source("sklearn:faces")


def test_a_named_set_that_cannot_be_had_is_said_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(root: Path, download: bool, train: bool) -> None:
        raise OSError("no network") if download else RuntimeError("not found")

    monkeypatch.setattr("torchvision.datasets.MNIST", unreachable)
    monkeypatch.setenv("SELFTAUGHT_DATA", str(tmp_path / "sets"))
    said = rf"not in {tmp_path / 'sets'} \(SELFTAUGHT_DATA names another folder\) and could not .* no network"
    with pytest.raises(DataError, match=said):
        open_source("torchvision:MNIST")


def test_the_axes_of_an_array_are_known_without_reading_it(tmp_path: Path) -> None:
    rows, images = np.zeros((4000, 5)), np.zeros((40, 8, 8), np.uint8)
    np.save(tmp_path / "rows.npy", rows)
    np.savez(tmp_path / "rows.npz", other=images, x=rows)
    np.savez_compressed(tmp_path / "images.npz", x=images)
    np.savez(tmp_path / "none.npz", rows=rows)
    with (tmp_path / "long.npy").open("wb") as file:
        np.lib.format.write_array(file, rows, version=(2, 0))
    axes = {"rows.npy": 2, "rows.npz": 2, "images.npz": 3, "none.npz": 0, "long.npy": 2, "nothing.npy": 0}
    assert {name: dimensions(tmp_path / name) for name in axes} == axes
    damaged = bytearray((tmp_path / "rows.npz").read_bytes())
    middle = len(damaged) // 2  # far inside the values of x, whose checksum is wrong now
    damaged[middle : middle + 4] = b"\xff" * 4
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with pytest.raises(DataError, match="Bad CRC"):
        read_arrays(tmp_path / "damaged.npz")["x"]
    assert dimensions(tmp_path / "damaged.npz") == 2
    (tmp_path / "broken.npz").write_bytes(damaged[:100])
    assert dimensions(tmp_path / "broken.npz") == 0


@pytest.mark.parametrize("shape", [(64, 6), (64, 8, 8)])
def test_a_run_reads_its_file_once(shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).random(shape, np.float32))
    loaded, read = [], np.lib.format.read_array

    def counting(*given: Any, **how: Any) -> Any:
        array = read(*given, **how)
        loaded.append(array.shape)
        return array

    monkeypatch.setattr(np.lib.format, "read_array", counting)
    chosen = {"encoder": "mlp" if len(shape) == 2 else "test_resnet", "precision": "32-true", "layout": "contiguous"}
    selftaught.pretrain(tmp_path / "a.npz", method="simclr", steps=1, batch_size=16, out=tmp_path / "run", **chosen)
    assert loaded == [shape]


@pytest.mark.parametrize("opened", [open_source, partial(open_files, wanted=PICTURES), open_recordings, open_texts])
def test_what_is_no_folder_and_no_file_is_called_what_it_is(opened: Callable[[Path], Any], tmp_path: Path) -> None:
    (tmp_path / "gone.npy").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.npy")
    for name, told in (("gone", "is a link to nothing"), ("pipe", "is no regular file"), ("none", "does not exist")):
        with pytest.raises(DataError, match=rf"{name}\.npy {told}$"):
            opened(tmp_path / f"{name}.npy")


@pytest.mark.parametrize("opened", [open_source, partial(open_files, wanted=PICTURES), open_recordings, open_texts, of])
def test_a_folder_that_may_not_be_read_is_data_that_cannot(
    opened: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether in it or on the way to it; who may read everything, as root, sees no such folder."""

    def refused(*told: Any, **more: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "a path that nobody typed")

    for where, name in ((os, "scandir"), (Path, "stat")) if opened is not of else ((Path, "stat"),):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, refused)
            with pytest.raises(DataError, match=rf"{re.escape(str(tmp_path))} cannot be read: Permission denied$"):
                opened(tmp_path)
