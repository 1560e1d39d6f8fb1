"""Inspecting images: every count right, copies and look-alikes found, and nothing compared with everything."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selftaught.data.facts import notes_of_copies
from selftaught.data.images.duplicates import same_look, sketch
from selftaught.data.images.inspection import inspect
from selftaught.data.images.samples import open_samples
from selftaught.system.errors import DataError

SMOOTH = np.asarray(
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((96, 64), 3)
)


def saved(file: Path, pixels: np.ndarray, **options) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **options)
    return file


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(1)
    for number in range(4):
        saved(root / "a" / f"{number}.png", rng.integers(0, 256, (20, 10, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    saved(root / "a" / "turned.jpg", rng.integers(0, 256, (40, 100, 3), dtype=np.uint8), exif=turned)
    saved(root / "b" / "deep.png", rng.integers(0, 65536, (30, 30), dtype=np.uint16))
    saved(root / "b" / "film.gif", rng.integers(0, 256, (30, 30), dtype=np.uint8))
    frames = [Image.fromarray(rng.integers(0, 256, (30, 30), dtype=np.uint8)) for _ in range(2)]
    frames[0].save(root / "b" / "film.gif", save_all=True, append_images=frames[1:])
    (root / "b" / "again.png").write_bytes((root / "a" / "0.png").read_bytes())
    (root / "b" / "broken.jpg").write_bytes(b"")
    (root / "b" / "notes.txt").touch()
    return root


def test_everything_is_counted(mixed: Path) -> None:
    found = inspect(mixed, tolerance=0.2)
    facts = found.images
    assert facts and found.usable and (found.count, found.checked) == (9, 9)
    assert facts.formats == {"PNG": 6, "JPEG": 1, "GIF": 1} and facts.modes["I;16"] == 1
    assert facts.channels == {"3": 7, "1": 1} and facts.bits == {"8": 7, "16": 1}
    assert facts.orientations == {"1": 7, "6": 1} and facts.animated == 1
    assert (facts.width.min, facts.width.median, facts.width.max) == (10, 10, 40)
    assert (facts.height.min, facts.height.max, facts.distinct_sizes) == (20, 100, 3)
    assert [(b.start, b.end, b.count) for b in facts.sizes] == [(16, 31, 7), (32, 63, 0), (64, 127, 1)]
    assert facts.bytes == sum(file.stat().st_size for file in mixed.rglob("*.*") if file.suffix != ".txt")
    assert [(file.path, file.reason) for file in found.broken] == [("b/broken.jpg", "empty file")]
    assert [(file.path, file.reason) for file in found.ignored] == [("b/notes.txt", "not named like an image")]
    assert found.duplicates == [["a/0.png", "b/again.png"]] and found.near_duplicates == []
    assert found.labels == {"a": 5, "b": 4}
    assert ("b/again.png", "the same as a/0.png") in found.files()


def test_a_single_one_is_told_in_the_singular(mixed: Path) -> None:
    assert "1 image is turned upright by its EXIF orientation" in inspect(mixed, tolerance=0.2).notes
    (copies,) = notes_of_copies("series", [["a", "b"]])
    assert copies.startswith("1 of the series is a copy of another; ")
    assert notes_of_copies("rows", [["a", "b", "c"]])[0].startswith("2 rows are copies of others; ")


def test_too_many_broken_images_make_data_unusable(mixed: Path) -> None:
    found = inspect(mixed)
    assert not found.usable and "1 of 9 images (11.1%) are broken, more than 1%" in found.problems[0]


def test_a_limit_looks_at_so_many_and_says_so(mixed: Path) -> None:
    found = inspect(mixed, limit=4, tolerance=1)
    assert (found.count, found.checked) == (9, 4) and "a random 4 of 9" in found.notes[0]
    assert found == inspect(mixed, limit=4, tolerance=1, workers=1)


def test_arrays_are_inspected_as_well(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(6, 9, 8, 5)).astype(np.float32)
    x[3] = x[1]
    np.save(tmp_path / "x.npy", x)
    found = inspect(tmp_path / "x.npy")
    assert found.usable and found.images and found.images.channels == {"5": 6} and found.duplicates == [["1", "3"]]
    x[4, 0, 0, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    found = inspect(tmp_path / "x.npy")
    assert not found.usable and "1 of 6 images (16.7%) are broken" in found.problems[0]
    assert [(file.path, "not finite" in file.reason) for file in found.broken] == [("4", True)]
    assert inspect(tmp_path / "x.npy", tolerance=0.2).usable


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300, np.nan])
def test_one_value_that_no_run_takes_has_no_others_look_alike(value: float, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 12, 12, 1))
    x[4, 0, 0, 0] = value
    np.save(tmp_path / "x.npy", x)
    found = inspect(tmp_path / "x.npy", tolerance=0.1)
    assert [file.path for file in found.broken] == ["4"] and found.usable and not found.near_duplicates
    assert not inspect(tmp_path / "x.npy").usable  # as a run says
    with pytest.raises(DataError, match=r"1 of 30 images .* cannot be used"):
        open_samples(tmp_path / "x.npy")


def test_nothing_whole_and_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        inspect(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    found = inspect(tmp_path, tolerance=1)
    assert not found.usable and found.images is None and "0 of 1 images can be used" in found.problems[0]


def test_look_alikes_survive_scaling_and_recompressing_and_others_do_not_join(tmp_path: Path) -> None:
    saved(tmp_path / "whole.png", SMOOTH)
    saved(tmp_path / "recompressed.jpg", SMOOTH, quality=40)
    saved(tmp_path / "smaller.png", np.asarray(Image.fromarray(SMOOTH).resize((48, 32))))
    saved(tmp_path / "grey.png", np.asarray(Image.fromarray(SMOOTH).convert("L")))
    saved(tmp_path / "mirrored.png", SMOOTH[:, ::-1])
    saved(tmp_path / "upside down.png", SMOOTH[::-1])
    saved(tmp_path / "inverted.png", 255 - SMOOTH)
    found = inspect(tmp_path)
    assert len(found.near_duplicates) == 1
    assert set(found.near_duplicates[0]) >= {"whole.png", "recompressed.jpg", "smaller.png"}
    assert not set(found.near_duplicates[0]) & {"mirrored.png", "upside down.png", "inverted.png"}


def test_look_alikes_are_those_that_a_slow_search_finds() -> None:
    rng = np.random.default_rng(2)
    first = rng.integers(0, 256, (150, 8, 9), dtype=np.uint8)
    shifted = np.clip(first[:60].astype(int) + rng.integers(-3, 4, (60, 8, 9)), 0, 255).astype(np.uint8)
    sketches = np.concatenate([first, shifted])
    bits = (sketches[:, :, 1:] > sketches[:, :, :-1]).reshape(len(sketches), -1)
    slow = set()
    for i in range(len(sketches)):
        for j in range(i):
            apart = np.abs(sketches[i].astype(float) - sketches[j]).mean()
            contrast = min(sketches[i].std(), sketches[j].std())
            if (bits[i] != bits[j]).sum() <= 3 and apart <= max(2, 0.08 * contrast):
                slow.add((j, i))
    assert len(slow) > 20 and {tuple(group) for group in same_look(sketches)} == slow


def test_many_copies_of_one_look_are_one_group_and_take_no_time() -> None:
    film = np.random.default_rng(3).integers(0, 256, (1, 8, 9)).repeat(20_000, axis=0)
    film = np.clip(film + np.random.default_rng(4).integers(-1, 2, film.shape), 0, 255).astype(np.uint8)
    (group,) = same_look(np.concatenate([film, np.zeros((1, 8, 9), np.uint8)]))
    assert group == list(range(20_000))
    assert same_look(film[:0]) == [] and same_look(film[:1]) == []


def test_a_sketch_keeps_what_is_bright_where_it_is() -> None:
    image = np.zeros((80, 90, 3), np.uint8)
    image[40:, 45:] = 200
    small = sketch(image)
    assert small.shape == (8, 9) and small[:3].max() == 0 and small[5:, 6:].min() == 200
    assert np.array_equal(sketch(image.astype(np.uint16) * 257), small)
    assert np.array_equal(sketch(image[..., :1]), small)  # grey as well
