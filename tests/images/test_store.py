"""The store: decoded once, on one canvas, in the source's number type; failures are listed, never padded."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selftaught.errors import DataError
from selftaught.images import store
from selftaught.images.store import open_images


def folder(root: Path, count: int, size: tuple[int, int] = (10, 8), mode: str = "RGB") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(root / f"{number:03d}.png")
    return root


def test_images_of_one_small_size_are_kept_as_they_are(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", 5)
    images = open_images(root)
    assert images.preparation.size == (8, 10) and images.pixels.dtype == np.uint8
    batch, aspect = images.batch(np.array([3, 1]))
    assert batch.shape == (2, 3, 8, 10) and batch.is_contiguous() and aspect.tolist() == [1.25, 1.25]
    assert np.array_equal(batch[0].permute(1, 2, 0).numpy(), np.asarray(Image.open(root / "003.png")))
    assert images.keys[3] == "003.png" and images.quarantined == []


def test_photos_are_squashed_and_remember_their_shape(tmp_path: Path) -> None:
    folder(tmp_path, 2, (300, 100))
    folder(tmp_path / "tall", 1, (100, 400))
    images = open_images(tmp_path, size=(32, 32))
    assert images.pixels.shape == (3, 64, 64, 3)
    assert images.aspect.tolist() == [3.0, 3.0, 0.25]
    assert open_images(tmp_path, size=(128, 128)).pixels.shape[1:3] == (256, 256)
    assert open_images(tmp_path, size=(280, 280)).pixels.shape[1:3] == (320, 320)


def test_channels_and_number_types_follow_the_images(tmp_path: Path) -> None:
    assert open_images(folder(tmp_path / "grey", 3, mode="L")).preparation.channels == 1
    deep = tmp_path / "deep"
    deep.mkdir()
    for number in range(3):
        Image.fromarray(np.full((4, 4), 1000 + number * 20000, np.uint16)).save(deep / f"{number}.png")
    images = open_images(deep)
    assert images.pixels.dtype == np.uint16 and images.pixels[:, 0, 0, 0].tolist() == [1000, 21000, 41000]
    assert (images.preparation.low, images.preparation.high) == (1000, 41000)
    folder(deep, 3, (4, 4))
    assert open_images(deep).pixels.dtype == np.uint8


def test_an_encoders_preparation_is_used_unchanged(tmp_path: Path) -> None:
    colour = open_images(folder(tmp_path / "colour", 3))
    grey = open_images(folder(tmp_path / "grey", 3, (30, 20), "L"), like=colour.preparation)
    assert grey.preparation == colour.preparation and grey.batch(np.arange(3))[0].shape[1] == 3
    back = open_images(tmp_path / "colour", like=open_images(tmp_path / "grey").preparation)
    assert back.batch(np.arange(3))[0].shape[1] == 1
    with pytest.raises(DataError, match="5 channels, the encoder takes 3"):
        open_images(np.zeros((2, 8, 8, 5), np.uint8), like=colour.preparation)


def test_mean_and_deviation_are_those_of_the_data() -> None:
    x = np.random.default_rng(0).normal(5, 2, (200, 6, 6, 2)).astype(np.float32)
    facts = open_images(x).preparation
    scaled = (x - x.min()) / (x.max() - x.min())
    assert facts.mean == pytest.approx(scaled.mean(axis=(0, 1, 2)), abs=1e-5)
    assert facts.std == pytest.approx(scaled.std(axis=(0, 1, 2)), abs=1e-5)
    x[3, 2, 1, 0] = np.inf
    with pytest.raises(DataError, match="not finite"):
        open_images(x)


def test_a_limit_is_a_fixed_random_subset_and_stratified_with_labels(tmp_path: Path) -> None:
    x, y = np.arange(400, dtype=np.uint8).repeat(16).reshape(400, 4, 4), np.arange(400) // 100
    np.savez(tmp_path / "a.npz", x=x, y=y)
    some = open_images(tmp_path / "a.npz", limit=40)
    assert some.keys == open_images(tmp_path / "a.npz", limit=40).keys
    assert some.keys != open_images(tmp_path / "a.npz", limit=40, seed=1).keys
    assert [int(key) for key in some.keys] == sorted(int(key) for key in some.keys)
    assert len({int(key) // 100 for key in some.keys}) == 4 and some.keys != [str(i) for i in range(40)]
    labelled = open_images(tmp_path / "a.npz", limit=41, labelled=True)
    assert sorted(np.unique(labelled.labels, return_counts=True)[1]) == [10, 10, 10, 11]


def test_only_labelled_images_are_used_where_labels_are_wanted(tmp_path: Path) -> None:
    folder(tmp_path / "x", 6)
    with pytest.raises(DataError, match="no labels: put each class in a folder"):
        open_images(tmp_path / "x", labelled=True)
    (tmp_path / "labels.csv").write_text("002.png,a\n004.png,b\n")
    images = open_images(tmp_path / "x", labelled=True, labels=tmp_path / "labels.csv")
    assert images.keys == ["002.png", "004.png"] and images.labels == ["a", "b"]


def test_what_cannot_be_decoded_is_listed_and_the_rest_keeps_its_keys(tmp_path: Path) -> None:
    folder(tmp_path, 5)
    (tmp_path / "001.png").write_bytes(b"no image")
    (tmp_path / "004.png").write_bytes(b"")
    images = open_images(tmp_path, tolerance=0.5)
    assert images.keys == ["000.png", "002.png", "003.png"] and images.count == 3
    assert [key for key, _ in images.quarantined] == ["001.png", "004.png"]
    assert images.quarantined[1][1] == "empty file"
    with pytest.raises(DataError, match=r"2 of 5 images in .* cannot be decoded, more than 1%; the first is 001\.png"):
        open_images(tmp_path)


def test_a_file_that_vanishes_or_is_no_file_is_quarantined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, 3)
    read = store.Files.__init__

    def losing(self, name, keys, sizes, reader):  # type: ignore[no-untyped-def]
        def one(i: int) -> bytes:
            if i == 1:
                raise PermissionError("denied")
            return reader(i)

        read(self, name, keys, sizes, one)

    monkeypatch.setattr(store.Files, "__init__", losing)
    images = open_images(tmp_path, tolerance=0.5)
    assert images.count == 2 and "PermissionError" in images.quarantined[0][1]


def test_past_the_memory_budget_pixels_live_in_a_file_and_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    root = folder(tmp_path / "x", 200)
    (root / "001.png").write_bytes(b"broken")
    resident, cached = open_images(root), open_images(root, memory_budget=100)
    assert isinstance(cached.pixels, np.memmap) or isinstance(cached.pixels.base, np.memmap)
    again = open_images(root, memory_budget=100)
    rows = np.array([0, 50, 198])
    for images in (cached, again):
        assert (images.batch(rows)[0] == resident.batch(rows)[0]).all()
        assert images.keys == resident.keys and images.quarantined == resident.quarantined
    assert len(list((tmp_path / "cache").iterdir())) == 2  # pixels and facts, nothing half-written


def test_decoding_reports_how_far_it_is(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    open_images(folder(tmp_path, 7), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 7) for i in range(1, 8)]
