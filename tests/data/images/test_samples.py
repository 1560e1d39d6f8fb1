"""The store: decoded once, on one canvas, in the source's number type; failures are listed, never padded."""

import errno
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from selftaught.data import storage
from selftaught.data.images import plugins
from selftaught.data.images.samples import open_samples
from selftaught.data.sources import files
from selftaught.data.sources.files import Files
from selftaught.system import clock
from selftaught.system.arrays import Pages
from selftaught.system.errors import DataError


def folder(root: Path, count: int, size: tuple[int, int] = (10, 8), mode: str = "RGB", seed: int = 0) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(root / f"{number:03d}.png")
    return root


def test_images_of_one_small_size_are_kept_as_they_are(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", 5)
    images = open_samples(root)
    assert images.preparation.size == (8, 10) and images.storage.dtype == np.uint8
    batch, aspect = images.batch(np.array([3, 1]))
    assert batch.shape == (2, 3, 8, 10) and aspect.tolist() == [1.25, 1.25]
    assert np.array_equal(batch[0].permute(1, 2, 0).numpy(), np.asarray(Image.open(root / "003.png")))
    assert images.keys[3] == "003.png" and images.quarantined == []


def test_photos_are_squashed_and_remember_their_shape(tmp_path: Path) -> None:
    folder(tmp_path, 2, (300, 100))
    folder(tmp_path / "tall", 1, (100, 400))
    images = open_samples(tmp_path, size=(32, 32))
    assert images.storage.shape == (64, 64, 3) and images.count == 3
    assert images.batch(np.arange(3))[1].tolist() == [3.0, 3.0, 0.25]
    assert open_samples(tmp_path, size=(128, 128)).storage.shape[:2] == (256, 256)
    assert open_samples(tmp_path, size=(280, 280)).storage.shape[:2] == (320, 320)


def test_what_an_image_looks_like_depends_on_no_other_beside_it(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", 3, (300, 100))
    folder(photos / "tall", 1, (100, 300))
    alone = folder(tmp_path / "alone", 2, (20, 16), seed=1)
    beside = folder(tmp_path / "beside", 2, (20, 16), seed=1)
    folder(beside / "large", 1, (310, 200))
    arrays = tmp_path / "alone.npy"
    np.save(arrays, np.stack([np.asarray(Image.open(file)) for file in sorted(alone.iterdir())]))
    for data, canvas in ((photos, (64, 64)), (folder(tmp_path / "small", 3, (20, 16)), (16, 20))):
        like = open_samples(data, size=(32, 32)).preparation
        assert like.canvas == canvas
        shown = [open_samples(each, like=like).batch(np.arange(2))[0] for each in (alone, beside, arrays)]
        assert shown[0].shape[2:] == canvas and all(np.array_equal(shown[0], other) for other in shown[1:])
        # Encoders of before it was noted keep their way, and views of another size have another canvas.
        former = like.model_copy(update={"canvas": None})
        assert "canvas" not in former.model_dump_json() and "canvas" in like.model_dump_json()  # by which digests go
        assert open_samples(alone, like=former).batch(np.arange(2))[0].shape[2:] == (16, 20)
        assert like.sized((32, 32)) == like and like.sized((96, 96)).canvas is None
        told = f"resize it to {canvas[0]} x {canvas[1]} whatever its shape"
        assert told in like.recipe() and "whatever its shape" not in former.recipe()


def test_channels_and_number_types_follow_the_images(tmp_path: Path) -> None:
    assert open_samples(folder(tmp_path / "grey", 3, mode="L")).preparation.channels == 1
    deep = tmp_path / "deep"
    deep.mkdir()
    for number in range(3):
        Image.fromarray(np.full((4, 4), 1000 + number * 20000, np.uint16)).save(deep / f"{number}.png")
    images = open_samples(deep)
    assert images.storage.dtype == np.uint16 and images.storage.take(np.arange(3))[0][:, 0, 0, 0].tolist() == [
        1000,
        21000,
        41000,
    ]
    assert (images.preparation.low, images.preparation.high) == (1000, 41000)
    folder(deep / "eight", 4, (4, 4))
    assert open_samples(deep).storage.dtype == np.uint8  # as most have


def test_an_encoders_preparation_is_used_unchanged(tmp_path: Path) -> None:
    colour = open_samples(folder(tmp_path / "colour", 3))
    grey = open_samples(folder(tmp_path / "grey", 3, (30, 20), "L"), like=colour.preparation)
    assert grey.preparation == colour.preparation and grey.batch(np.arange(3))[0].shape[1] == 3
    back = open_samples(tmp_path / "colour", like=open_samples(tmp_path / "grey").preparation)
    assert back.batch(np.arange(3))[0].shape[1] == 1
    with pytest.raises(DataError, match="5 channels, the encoder takes 3"):
        open_samples(np.zeros((2, 8, 8, 5), np.uint8), like=colour.preparation)


def test_mean_and_deviation_are_those_of_the_data() -> None:
    x = np.random.default_rng(0).normal(5, 2, (200, 6, 6, 2)).astype(np.float32)
    facts = open_samples(x).preparation
    scaled = (x - x.min()) / (x.max() - x.min())
    assert facts.mean == pytest.approx(scaled.mean(axis=(0, 1, 2)), abs=1e-5)
    assert facts.std == pytest.approx(scaled.std(axis=(0, 1, 2)), abs=1e-5)
    x[3, 2, 1, 0] = np.inf
    assert open_samples(x).quarantined == [("3", "holds values that are not finite (NaN or infinite)")]
    with pytest.raises(DataError, match=r"1 of 200 images in array cannot be used, more .* is 3: .* not fini"):
        open_samples(x, tolerance=0.0)


def test_a_limit_is_a_fixed_random_subset_and_stratified_with_labels(tmp_path: Path) -> None:
    x, y = np.arange(400, dtype=np.uint8).repeat(16).reshape(400, 4, 4), np.arange(400) // 100
    np.savez(tmp_path / "a.npz", x=x, y=y)
    some = open_samples(tmp_path / "a.npz", limit=40)
    assert some.keys == open_samples(tmp_path / "a.npz", limit=40).keys
    assert some.keys != open_samples(tmp_path / "a.npz", limit=40, seed=1).keys
    assert [int(key) for key in some.keys] == sorted(int(key) for key in some.keys)
    assert len({int(key) // 100 for key in some.keys}) == 4 and some.keys != [str(i) for i in range(40)]
    labelled = open_samples(tmp_path / "a.npz", limit=41, labelled=True)
    assert sorted(np.unique(labelled.labels, return_counts=True)[1]) == [10, 10, 10, 11]


def test_only_labelled_images_are_used_where_labels_are_wanted(tmp_path: Path) -> None:
    folder(tmp_path / "x", 6)
    with pytest.raises(DataError, match="no labels: put each class in a folder"):
        open_samples(tmp_path / "x", labelled=True)
    (tmp_path / "labels.csv").write_text("002.png,a\n004.png,b\n")
    images = open_samples(tmp_path / "x", labelled=True, labels=tmp_path / "labels.csv")
    assert images.keys == ["002.png", "004.png"] and images.labels == ["a", "b"]


def test_what_cannot_be_decoded_is_listed_and_the_rest_keeps_its_keys(tmp_path: Path) -> None:
    folder(tmp_path, 5)
    (tmp_path / "001.png").write_bytes(b"no image")
    (tmp_path / "004.png").write_bytes(b"")
    images = open_samples(tmp_path, tolerance=0.5)
    assert images.keys == ["000.png", "002.png", "003.png"] and images.count == 3
    assert [key for key, _ in images.quarantined] == ["001.png", "004.png"]
    assert images.quarantined[1][1] == "empty file"
    with pytest.raises(DataError, match=r"2 of 5 images in .* cannot be decoded, more than 1%; the first is 001\.png"):
        open_samples(tmp_path)


def test_a_file_that_vanishes_or_is_no_file_is_quarantined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, 3)
    read = Files.__init__

    def losing(self, name, keys, sizes, reader, *rest):  # type: ignore[no-untyped-def]
        def one(i: int) -> bytes:
            if i == 1:
                raise PermissionError("denied")
            return reader(i)

        read(self, name, keys, sizes, one, *rest)

    monkeypatch.setattr(Files, "__init__", losing)
    images = open_samples(tmp_path, tolerance=0.5)
    assert images.count == 2 and "PermissionError" in images.quarantined[0][1]


def some_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """200 images, one of them broken and none changed just now, and a cache that even small data go to."""
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "WORTH_CACHING", 0)
    later = clock.wall() + 3600
    monkeypatch.setattr(clock, "wall", lambda: later)
    root = folder(tmp_path / "x", 200)
    (root / "001.png").write_bytes(b"broken")
    return root


ROWS = np.array([0, 50, 198])


def test_memory_cache_and_stream_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = some_photos(tmp_path, monkeypatch)
    resident = open_samples(root, cache=0)
    cached, again = open_samples(root, memory=100), open_samples(root, memory=100)
    loaded = open_samples(root)
    for images in (cached, again):
        assert isinstance(images.storage, storage.Resident) and isinstance(images.storage.pixels, Pages)
    shutil.rmtree(tmp_path / "cache")
    streamed = open_samples(root, memory=100, cache=0)
    streamed_again = open_samples(root, memory=100, cache=0)
    assert isinstance(streamed_again.storage, storage.Streamed)
    for images in (cached, again, loaded, streamed, streamed_again):
        for _ in range(2):
            assert (images.batch(ROWS)[0] == resident.batch(ROWS)[0]).all()
        assert images.keys == resident.keys and images.quarantined == resident.quarantined
        assert images.preparation == resident.preparation and images.fingerprint == resident.fingerprint


def test_a_cache_that_cannot_be_written_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = some_photos(tmp_path, monkeypatch)
    (tmp_path / "cache").touch()
    for _ in range(2):
        assert open_samples(root).count == 199
    told = [line for line in capsys.readouterr().err.splitlines() if "cached" in line]
    assert len(told) == 1 and told[0].startswith(f"warning: decoded images cannot be cached in {tmp_path / 'cache'}: ")
    assert told[0].endswith("; the next run decodes them again ($SELFTAUGHT_CACHE moves it)")


def test_the_cache_is_shared_whole_and_follows_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = some_photos(tmp_path, monkeypatch)
    decoded: list[int] = []

    def count(done: int, total: int) -> None:
        decoded.append(done)

    open_samples(root, progress=count)
    assert len(decoded) == 200
    open_samples(root, progress=count)
    assert len(decoded) == 200  # nothing was decoded again
    assert len(list((tmp_path / "cache").glob("*.*"))) == 2  # pixels and facts, nothing half-written
    root.rename(tmp_path / "y")
    for number, file in enumerate(sorted((tmp_path / "y").iterdir())):
        file.rename(tmp_path / "y" / f"other-{number:03d}.png")
    images = open_samples(tmp_path / "y", progress=count)  # decoded, as nobody knows yet what it is
    assert len(list((tmp_path / "cache").glob("*.*"))) == 2 and images.keys[1] == "other-002.png"
    assert [key for key, _ in images.quarantined] == ["other-001.png"]
    Image.new("RGB", (24, 24), (9, 9, 9)).save(tmp_path / "new.png")
    (tmp_path / "new.png").replace(tmp_path / "y" / "other-000.png")
    decoded.clear()
    images = open_samples(tmp_path / "y", progress=count)
    assert decoded == [1, *range(1, 201)]  # the one is read, and then all are decoded
    assert images.batch(np.array([0]))[0].unique().tolist() == [9]


def test_other_pictures_of_the_same_names_sizes_and_times_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    made = []
    for seed, name in enumerate(("cats", "dogs")):
        (tmp_path / name).mkdir()
        for number in range(12):
            pixels = np.random.default_rng((seed, number)).integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file := tmp_path / name / f"{number}.bmp")
            os.utime(file, (315532800, 315532800))
        made.append(open_samples(tmp_path / name, memory=1000))
    truth = open_samples(tmp_path / "dogs")
    assert (made[1].batch(np.arange(12))[0] == truth.batch(np.arange(12))[0]).all()
    assert made[0].former_fingerprint == made[1].former_fingerprint and made[0].fingerprint != made[1].fingerprint


def test_a_damaged_cache_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = some_photos(tmp_path, monkeypatch)
    whole = open_samples(root, memory=100).batch(ROWS)[0]
    (file,) = (tmp_path / "cache").glob("*.npy")
    file.write_bytes(file.read_bytes()[:1000])
    assert (open_samples(root, memory=100).batch(ROWS)[0] == whole).all()


def test_what_is_decoded_is_named_by_what_was_read_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = some_photos(tmp_path, monkeypatch)
    first = open_samples(root, memory=100).fingerprint
    for file in (tmp_path / "cache").glob("*.*"):
        file.unlink()
    names = storage.make_room

    def changing(*asked: Any) -> str | None:
        Image.new("RGB", (10, 8), (9, 9, 9)).save(root / "000.png")  # after it was looked at, before it is read
        return names(*asked)

    monkeypatch.setattr(storage, "make_room", changing)
    changed = open_samples(root, memory=100)
    assert changed.fingerprint != first and changed.batch(np.array([0]))[0].unique().tolist() == [9]
    monkeypatch.setattr(storage, "make_room", names)
    assert open_samples(root, memory=100).fingerprint == changed.fingerprint
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


@pytest.mark.parametrize("memory", [100, storage.MEMORY])
def test_pixels_that_were_damaged_in_the_cache_are_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], memory: int
) -> None:
    root = some_photos(tmp_path, monkeypatch)
    whole = open_samples(root, memory=100).batch(ROWS)[0]
    (file,) = (tmp_path / "cache").glob("*.npy")
    content = file.read_bytes()
    file.write_bytes(content[:-4000] + bytes(4000))  # the last images
    capsys.readouterr()
    images = open_samples(root, memory=memory)
    assert images.preparation == open_samples(root, cache=0).preparation
    for _ in range(2):
        assert (images.batch(ROWS)[0] == whole).all()
    assert capsys.readouterr().err.count("warning: ") == 1
    (root / "199.png").unlink()
    with pytest.raises(DataError, match=r"199\.png: cannot be read"):
        images.batch(np.array([198]))


def test_what_is_done_to_the_cache_while_it_is_open_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = some_photos(tmp_path, monkeypatch)
    open_samples(root, memory=100)
    images = open_samples(root, memory=100)
    whole = images.batch(ROWS)[0]  # and so compared with its checksum once
    (file,) = (tmp_path / "cache").glob("*.npy")
    with file.open("r+b") as stream:
        stream.seek(-300, os.SEEK_END)
        stream.write(bytes(200))
    assert (images.batch(ROWS)[0] == whole).all()
    for size in (file.stat().st_size - 5, file.stat().st_size // 2, 0):
        os.truncate(file, size)
        assert (images.batch(ROWS)[0] == whole).all()
    assert capsys.readouterr().err.count("is damaged; what is damaged there is decoded again") == 1


@pytest.mark.parametrize("damage", ["more", "fewer", "other", "5", "{", "[]", "", '{"kept": ["x"], "quarantined": []}'])
@pytest.mark.parametrize("cache", [None, 0])
def test_damaged_facts_of_the_cache_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, cache: int | None
) -> None:
    root = some_photos(tmp_path, monkeypatch)
    whole = open_samples(root, memory=100, cache=cache)
    (file,) = (tmp_path / "cache").glob("*.json")
    held = json.loads(file.read_text())
    held["kept"] = {"more": [row + 1000 for row in held["kept"]], "fewer": held["kept"][:2]}.get(damage, held["kept"])
    held["quarantined"] = [[1, "something else"]] if damage == "other" else held["quarantined"]
    file.write_text(json.dumps(held) if damage in ("more", "fewer", "other") else damage)
    again = open_samples(root, memory=100, cache=cache)
    assert again.keys == whole.keys and again.quarantined == whole.quarantined
    assert (again.batch(ROWS)[0] == whole.batch(ROWS)[0]).all()


def test_the_cache_keeps_its_budget_by_forgetting_what_was_used_longest_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "WORTH_CACHING", 0)
    roots = [folder(tmp_path / name, 20, seed=seed) for seed, name in enumerate("abc")]
    cache = tmp_path / "cache"
    open_samples(roots[0])
    (first,) = cache.glob("*.npy")
    budget = 2 * first.stat().st_size + 500
    open_samples(roots[1], cache=budget)
    os.utime(first)  # used again, so the second is the oldest
    second = next(file for file in cache.glob("*.npy") if file != first)
    os.utime(second, (1, 1))
    open_samples(roots[2], cache=budget)
    assert first.exists() and not second.exists() and len(list(cache.glob("*.npy"))) == 2
    assert sum(file.stat().st_size for file in cache.glob("*.npy")) <= budget


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = some_photos(tmp_path, monkeypatch)

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    images = open_samples(root, memory=100)
    assert isinstance(images.storage, storage.Streamed) and not list((tmp_path / "cache").glob(".*"))


def test_an_image_that_vanishes_while_streaming_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = some_photos(tmp_path, monkeypatch)
    images = open_samples(root, memory=100, cache=0)
    (root / "002.png").unlink()
    with pytest.raises(DataError, match=r"002\.png: cannot be read: FileNotFoundError"):
        images.batch(np.array([1]))


def test_decoding_reports_how_far_it_is(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    open_samples(folder(tmp_path, 7), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 7) for i in range(1, 8)]


def test_what_another_run_tolerated_is_refused_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = some_photos(tmp_path, monkeypatch)
    for memory, cache in ((storage.MEMORY, None), (100, 0)):  # from the cache file, and from the notes of a stream
        assert open_samples(root, tolerance=1.0, memory=memory, cache=cache).count == 199
        with pytest.raises(DataError, match="1 of 200 images"):
            open_samples(root, tolerance=0.0, memory=memory, cache=cache)
        shutil.rmtree(tmp_path / "cache")


KEPT = pytest.mark.parametrize(("memory", "cache"), [(storage.MEMORY, None), (100, None), (100, 0)])


@KEPT
def test_photos_are_there_once_their_extra_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, cache: int | None
) -> None:
    root = some_photos(tmp_path, monkeypatch)
    plugins.heif()
    Image.new("RGB", (10, 8), (9, 9, 9)).save(root / "photo.heic", "HEIF")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        plugins.heif.cache_clear()
        lacking = open_samples(root, memory=memory, cache=cache)
        assert lacking.count == 199 and "pip install 'selftaught[heif]'" in dict(lacking.quarantined)["photo.heic"]
        assert open_samples(root, memory=memory, cache=cache).quarantined == lacking.quarantined
    for _ in range(2):
        whole = open_samples(root, memory=memory, cache=cache)
        assert whole.count == 200 and [key for key, _ in whole.quarantined] == ["001.png"]
        assert abs(int(whole.batch(np.array([199]))[0].max()) - 9) < 3


@KEPT
def test_a_file_that_could_not_be_read_once_is_read_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, cache: int | None
) -> None:
    root = some_photos(tmp_path, monkeypatch)
    open_samples(root)
    for file in (tmp_path / "cache").glob("*.*"):
        file.unlink()  # all but what each of them holds
    with monkeypatch.context() as failing:
        read = files.read_regular

        def once(file: Path) -> bytes:
            if file.name == "003.png":
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return read(file)

        failing.setattr(files, "read_regular", once)
        lacking = open_samples(root, memory=memory, cache=cache)
        assert "Too many open files" in dict(lacking.quarantined)["003.png"]
    decoded = list[int]()
    for count in (200, 0):
        decoded.clear()
        whole = open_samples(root, memory=memory, cache=cache, progress=lambda done, total: decoded.append(done))
        assert [key for key, _ in whole.quarantined] == ["001.png"] and len(decoded) == count


def test_other_files_in_the_cache_folder_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = some_photos(tmp_path, monkeypatch)
    (tmp_path / "cache").mkdir()
    mine = [tmp_path / "cache" / name for name in ("data.npy", "data.json", ".notes~old~1")]
    for file in mine:
        file.write_bytes(bytes(1000))
        os.utime(file, (1, 1))
    open_samples(root, cache=200 * 24 * 24 * 3 + 500)
    assert all(file.exists() for file in mine)


def test_sixteen_bits_whose_brightest_is_255_stay_what_they_are(tmp_path: Path) -> None:
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24)).astype(np.uint16)
        pixels[0, 0] = 255
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    images = open_samples(tmp_path)
    again = open_samples(tmp_path, like=images.preparation)
    assert (again.batch(np.arange(3))[0] == images.batch(np.arange(3))[0]).all() and images.preparation.high > 255


def test_an_encrypted_member_is_listed(tmp_path: Path) -> None:
    folder(tmp_path / "x", 3)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in sorted((tmp_path / "x").iterdir()):
            archive.write(file, file.name)
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the last entry of the directory says so
    (tmp_path / "x.zip").write_bytes(content)
    images = open_samples(tmp_path / "x.zip")
    assert images.count == 2 and images.quarantined == [("002.png", "encrypted")]
