"""Arrays of pixels: their axes, their order of bytes, what is read of them, and values that are no numbers."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from selftaught.data.images.inspection import inspect
from selftaught.data.images.samples import open_samples
from selftaught.data.sources.arrays import Arrays
from selftaught.system.errors import DataError


@pytest.mark.parametrize(
    ("shape", "read", "said"),
    [
        ((5, 3, 32, 24), (5, 32, 24, 3), "taken for (N, C, H, W)"),
        ((5, 1, 28, 28), (5, 28, 28, 1), "taken for (N, C, H, W)"),
        ((5, 4, 9, 7), (5, 9, 7, 4), "taken for (N, C, H, W)"),
        ((5, 32, 32, 3), (5, 32, 32, 3), ""),
        ((5, 8, 8, 1), (5, 8, 8, 1), ""),
        ((5, 9, 8, 5), (5, 9, 8, 5), ""),
        ((5, 4, 4, 16), (5, 4, 4, 16), ""),
        ((5, 3, 32, 3), (5, 3, 32, 3), "taken for (N, H, W, C)"),
        ((5, 13, 64, 64), (5, 13, 64, 64), "taken for (N, H, W, C)"),
        ((9, 5, 40, 48), (9, 5, 40, 48), "images of 5 x 40 px with 48 channels; if channels come first"),
        ((9, 12, 64, 48), (9, 12, 64, 48), "if channels come first, save it as x.transpose(0, 2, 3, 1)"),
    ],
)
def test_channels_that_come_first_are_known_by_the_shape(
    shape: tuple[int, ...], read: tuple[int, ...], said: str
) -> None:
    x = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    source = Arrays("x", x)
    assert source.images.shape == read and said in " ".join(source.notes) and bool(source.notes) == bool(said)
    moved = x.transpose(0, 2, 3, 1) if "C, H" in said else x
    assert (source.images == moved).all()
    samples = open_samples(x)
    assert (samples.batch(np.array([3]))[0][0].numpy().transpose(1, 2, 0) == moved[3]).all()
    assert samples.notes == list(source.notes)


def test_a_single_image_in_colour_is_told_from_many_that_are_grey() -> None:
    x = np.zeros((20, 16, 3), np.uint8)
    assert any("is taken for 20 grey images of 16 x 3 px; a single" in note for note in Arrays("x", x).notes)
    assert not any(
        "grey" in note for one in (x[None], x[..., None], x.transpose(2, 0, 1)) for note in Arrays("x", one).notes
    )


@pytest.mark.parametrize("kind", ["<f8", ">f8", ">f4", ">u2", "<f4", "<u2"])
def test_another_type_or_order_of_bytes_is_turned_while_it_is_read(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(1, 100, (6, 5, 4, 2)).astype(kind)
    np.save(tmp_path / "x.npy", x)
    samples = open_samples(tmp_path / "x.npy")
    pixels = samples.batch(np.arange(6))[0].numpy().transpose(0, 2, 3, 1)
    assert pixels.dtype == (np.uint16 if "u" in kind else np.float32) and np.allclose(pixels, x)
    assert inspect(tmp_path / "x.npy").usable


@pytest.mark.parametrize("kind", ["<f8", ">f4"])
def test_a_few_rows_of_a_large_array_are_not_all_of_it_in_memory(kind: str, tmp_path: Path) -> None:
    held = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.dtype(kind), (12_000, 16, 16, 3))
    held[::400] = np.random.default_rng(0).random((30, 16, 16, 3))
    held.flush()
    whole = held.nbytes
    del held
    tracemalloc.start()
    samples = open_samples(tmp_path / "x.npy", limit=20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert samples.count == 20 and peak < 0.4 * whole  # most of it for the fingerprint, of 1,024 images


def holed(count: int, bad: list[int]) -> np.ndarray:
    x = np.random.default_rng(0).random((count, 8, 8, 1), dtype=np.float32)
    x[bad, 0, 0, 0] = np.nan
    return x


def test_images_that_hold_no_numbers_are_left_out_within_the_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selftaught.data.first_pass.LOOKED_AT", 10)  # which look at few
    samples = open_samples(holed(400, [7, 101, 303]))
    assert samples.count == 397 and [key for key, _ in samples.quarantined] == ["7", "101", "303"]
    assert "not finite" in samples.quarantined[0][1] and samples.batch(np.arange(397))[0].isfinite().all()
    assert samples.keys[7] == "8" and len(samples.keys) == 397
    with pytest.raises(DataError, match="5 of 400 images in array cannot be used, more than 1%; the first is 1: holds"):
        open_samples(holed(400, [1, 2, 3, 4, 5]))
    again = open_samples(holed(400, [7]), like=samples.preparation, tolerance=1.0)
    assert again.count == 399


def test_what_float32_cannot_hold_is_not_finite() -> None:
    x = holed(200, []).astype(np.float64)
    x[5, 0, 0, 0] = 1e300
    assert [key for key, _ in open_samples(x).quarantined] == ["5"]
