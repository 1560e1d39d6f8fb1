"""TIFFs of science: bands, pages and number types are read as what they are, or it is said what is not used."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from selftaught.data.images.decode import DecodeError, decode, header, picture
from selftaught.data.images.decoded import Reading
from selftaught.data.images.inspection import inspect
from selftaught.data.images.samples import open_samples
from selftaught.system.errors import DataError

RANDOM = np.random.default_rng(0)
STACK = RANDOM.integers(0, 4096, (20, 24, 24)).astype(np.uint16)
BANDS = np.moveaxis(STACK // 16, 0, -1).astype(np.uint8)  # (24, 24, 20)
COLOURS = BANDS[..., :3]
FORMER = Reading.FORMER
IMAGEJ = "ImageJ=1.54f\nimages=20\nslices=20\n"  # which names one page alone where a stack is large


def tiff(values: np.ndarray, **how: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **how)
    return buffer.getvalue()


def bands(values: np.ndarray) -> bytes:
    """Of (C, H, W)."""
    last = values.transpose(1, 2, 0)
    return tiff(last if len(values) > 1 else values[0], photometric="minisblack", planarconfig="contig")


def rgb(count: int, *extra: str, **how: Any) -> bytes:
    return tiff(BANDS[..., :count], photometric="rgb", extrasamples=extra, **how)


@pytest.mark.parametrize(
    ("data", "shown", "said"),
    [
        (tiff(STACK, photometric="minisblack"), STACK[0][..., None], ["more pages than one: the first is used"]),
        (tiff(STACK[0], description=IMAGEJ, metadata=None), STACK[0][..., None], ["more pages"]),
        (tiff(STACK[:3], photometric="minisblack", metadata={"axes": "CYX"}), STACK[0][..., None], ["more pages"]),
        (tiff(STACK, photometric="minisblack", bigtiff=True), STACK[0][..., None], ["more pages"]),
        (rgb(5, "unspecified", "unspecified"), COLOURS, ["5 bands: the first 3 are used"]),
        (rgb(4, "unspecified"), COLOURS, ["4 bands: the first 3 are used"]),
        (
            tiff(BANDS[..., :2], photometric="minisblack", planarconfig="contig", extrasamples=["unspecified"]),
            BANDS[..., :1],
            ["2 bands: the first is used"],
        ),
        (tiff(STACK[0], photometric="minisblack"), STACK[0][..., None], []),
        (rgb(3), COLOURS, []),
        (tiff(np.moveaxis(STACK[:3] * 16, 0, -1), photometric="rgb"), COLOURS, ["the upper 8 are used"]),
    ],
    ids=["stack", "imagej", "channels", "bigtiff", "five", "four", "two", "grey", "colours", "deep colours"],
)
def test_what_of_a_file_is_not_used_is_said(data: bytes, shown: np.ndarray, said: list[str]) -> None:
    made = picture(data, reading=FORMER)
    assert np.array_equal(made.pixels, shown) and made.band is None
    assert len(made.remarks) == len(said) and all(told in remark for told, remark in zip(said, made.remarks))


def test_smaller_copies_are_no_pages() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(COLOURS, photometric="rgb")
        writer.write(COLOURS[::2, ::2], photometric="rgb", subfiletype=1)
    assert picture(buffer.getvalue()).remarks == ()


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tag", ["unassalpha", "assocalpha"])
def test_a_fourth_band_tagged_as_alpha_is_a_mask_only_where_it_looks_like_one(tag: str, compression: str) -> None:
    masked = BANDS[..., :4].copy()
    masked[..., 3] = 255
    masked[:8, :, 3] = 0
    if tag == "assocalpha":
        masked[:8, :, :3] = 0  # colours are multiplied by it

    def read(values: np.ndarray, band: bool | None = None, reading: Reading = FORMER) -> Any:
        data = tiff(values, photometric="rgb", extrasamples=[tag], compression=compression)
        return picture(data, band=band, reading=reading)

    laid = read(masked)
    assert laid.band is False and laid.remarks == () and (laid.pixels[:8] == 255).all()
    assert np.array_equal(laid.pixels[8:], masked[8:, :, :3])
    for infrared in (BANDS[..., 3], np.full((24, 24), 60, np.uint8), np.zeros((24, 24), np.uint8)):
        measured = np.dstack([COLOURS, infrared])
        kept = read(measured)
        assert np.array_equal(kept.pixels, COLOURS) and kept.band is True
        assert "tagged as alpha that is no transparency" in kept.remarks[0]
        every = read(measured, reading=Reading())
        assert np.array_equal(every.pixels, measured) and every.band is True and not every.remarks
    assert np.array_equal(read(masked, reading=Reading()).pixels, laid.pixels)
    assert np.array_equal(read(masked, band=True).pixels, masked[..., :3])  # as the data set has it
    assert read(np.dstack([COLOURS, BANDS[..., 3]]), band=False).remarks == ()


@pytest.mark.parametrize(
    ("values", "how", "said"),
    [
        (STACK[:8].astype(np.int16), {"planarconfig": "separate"}, "8 bands of 16-bit signed"),
        (np.moveaxis(STACK[:12], 0, -1), {"planarconfig": "contig"}, "12 bands of 16-bit unsigned"),
        (RANDOM.normal(size=(8, 8)), {}, "1 band of 64-bit floating-point"),
    ],
)
def test_a_tiff_that_is_not_read_is_called_one_and_once(
    values: np.ndarray, how: dict, said: str, capfd: pytest.CaptureFixture
) -> None:
    data = tiff(values, photometric="minisblack", **how)
    with pytest.raises(DecodeError, match=f"a TIFF of {said} numbers, which is read with --bands all alone") as told:
        picture(data, reading=FORMER)
    assert "not an image" not in str(told.value) and capfd.readouterr().err == ""  # Pillow's own line a file
    wanted = np.moveaxis(values, 0, 2) if how == {"planarconfig": "separate"} else values.reshape(*values.shape[:2], -1)
    assert np.array_equal(decode(data), wanted)


def test_a_damaged_tiff_is_called_damaged() -> None:
    with pytest.raises(DecodeError, match="a TIFF that is damaged"):
        decode(b"II*\0\xff\xff\xff")


@pytest.mark.parametrize(
    "values",
    [
        STACK[0].astype(np.int16) - 1000,
        (STACK[0] // 16).astype(np.int8),
        STACK[0].astype(np.uint32) * 1_000_000,
        STACK[0].astype(np.int32) * 1000 - 5,
        RANDOM.normal(size=(24, 24)).astype(np.float32),
    ],
    ids=["int16", "int8", "uint32", "int32", "float32"],
)
def test_numbers_are_what_was_written(values: np.ndarray) -> None:
    assert np.array_equal(decode(tiff(values, photometric="minisblack"))[..., 0], values)


def set_of(root: Path, images: np.ndarray) -> Path:
    root.mkdir(parents=True)
    for number, image in enumerate(images):
        tifffile.imwrite(root / f"{number:02d}.tif", image)
    return root


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_measured_values_have_one_range_for_all_as_arrays_have(tmp_path: Path, kind: Any) -> None:
    images = (RANDOM.normal(size=(12, 20, 20)) * 300 - np.arange(12)[:, None, None] * 50).astype(kind)
    np.savez(tmp_path / "x.npz", x=images.astype(np.float32))
    files, array = open_samples(set_of(tmp_path / "x", images)), open_samples(tmp_path / "x.npz")
    assert files.preparation == array.preparation and files.preparation.stored == "float32"
    assert (files.preparation.low, files.preparation.high) == (images.min(), images.max())
    rows = np.arange(12)
    assert np.array_equal(files.batch(rows)[0].numpy(), array.batch(rows)[0].numpy())
    again = open_samples(set_of(tmp_path / "y", images[3:5]), like=files.preparation)
    assert np.array_equal(again.batch(np.arange(2))[0].numpy()[:, 0], images[3:5])


def test_a_run_that_knew_no_number_types_keeps_its_way(tmp_path: Path) -> None:
    images = RANDOM.normal(size=(4, 20, 20)).astype(np.float32)
    files = set_of(tmp_path / "x", images)
    noted = {"stored": None, "top": None, "band": None, "ranged": None, "pages": None, "bands": None}
    old = open_samples(files).preparation.model_copy(update={"low": 0.0, "high": 65535.0, **noted})
    levels = open_samples(files, like=old).batch(np.arange(4))[0].numpy()
    assert levels.dtype == np.uint16 and (levels.min(axis=(1, 2, 3)) == 0).all()
    assert (levels.max(axis=(1, 2, 3)) == 65535).all()
    fitting = np.minimum(np.abs(images * 9000), 32767).astype(np.int16)  # which stayed what they were
    kept = open_samples(set_of(tmp_path / "y", fitting), like=old).batch(np.arange(4))[0].numpy()
    assert np.array_equal(kept[:, 0], fitting)
    veiled = tmp_path / "z"
    veiled.mkdir()
    for number in range(2):
        (veiled / f"{number}.tif").write_bytes(rgb(4, "unassalpha"))
    eight = open_samples(np.zeros((2, 24, 24, 3), np.uint8)).preparation
    colours = eight.model_copy(update={"bands": "colours"})
    assert (open_samples(veiled, like=colours).batch(np.array([0]))[0][0, 0].numpy() == COLOURS[..., 0]).all()
    faded = open_samples(veiled, like=eight.model_copy(update=noted)).batch(np.array([0]))[0]
    assert (faded[0, 0].numpy() >= COLOURS[..., 0]).all() and faded[0, 0].numpy().mean() > COLOURS[..., 0].mean() + 20


def test_levels_and_measured_values_are_not_mixed(tmp_path: Path) -> None:
    root = set_of(tmp_path / "x", RANDOM.normal(size=(3, 20, 20)).astype(np.float32))
    Image.fromarray(BANDS[..., 0]).save(root / "photo.png")
    images = open_samples(root, tolerance=0.5)
    (broken,) = images.quarantined
    assert broken[0] == "photo.png" and "levels from black to white" in broken[1]
    assert [(file.path, file.reason) for file in inspect(root, tolerance=0.5).broken] == [broken]
    like = open_samples(np.zeros((3, 20, 20), np.uint8)).preparation
    measured = open_samples(root, like=like, tolerance=1.0)
    assert measured.keys == ["photo.png"] and "measured values" in measured.quarantined[0][1]


def test_channels_that_are_pages_of_their_own_are_counted() -> None:
    apart = tiff(STACK[:3], ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    assert header(apart).mode == "3 x uint16" and picture(apart).pixels.shape == (24, 24, 3)
    assert header(bands(STACK[:3])).mode == "3 x uint16"


@pytest.mark.parametrize(("count", "other"), [(3, 2), (4, 6), (1, 2)])
def test_images_of_other_channels_are_broken_to_a_run_and_to_a_check(count: int, other: int, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.tif").write_bytes(bands(STACK[number : number + count]))
    (tmp_path / "other.tif").write_bytes(bands(STACK[:other]))
    found = inspect(tmp_path)
    said = f"has {other} channels, and the others {count}"
    assert [(file.path, file.reason) for file in found.broken] == [("other.tif", said)]
    assert not found.usable and "1 of 5 images (20%) are broken" in found.problems[0]
    assert found.images and found.images.channels == {str(count): 4}
    with pytest.raises(DataError, match=f"other.tif: {said}"):
        open_samples(tmp_path)
    found = inspect(tmp_path, tolerance=0.2)
    assert found.usable and not any("grey and colour" in note for note in found.notes)
    assert open_samples(tmp_path, tolerance=0.2).quarantined == [("other.tif", said)]


def test_a_check_says_what_grey_and_colour_images_are_stored_as(tmp_path: Path) -> None:
    for number in range(6):
        Image.fromarray(COLOURS if number < 3 else BANDS[..., number]).save(tmp_path / f"{number}.png")

    def told() -> tuple[str, int]:
        (note,) = [note for note in inspect(tmp_path, tolerance=0.5).notes if "grey and colour" in note]
        return note, open_samples(tmp_path, tolerance=0.5).preparation.channels

    assert told() == ("grey and colour images are mixed: all are trained on as colour", 3)
    (tmp_path / "two.tif").write_bytes(bands(STACK[:2]))
    (tmp_path / "2.png").unlink()  # of three kinds it is the one that most have
    assert told() == ("grey and colour images are mixed: all are trained on as grey", 1)


def test_a_check_takes_what_is_tagged_as_alpha_as_a_run_does(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.tif").write_bytes(rgb(4, "unassalpha"))
    cut = BANDS[..., :4].copy()
    cut[..., 3] = np.where(np.arange(24) < 12, 0, 255)
    (tmp_path / "3.tif").write_bytes(tiff(cut, photometric="rgb", extrasamples=["unassalpha"]))
    found = inspect(tmp_path)
    assert found.usable and found.images and found.images.channels == {"4": 4} and not found.broken
    assert open_samples(tmp_path).preparation.channels == 4


def test_the_rule_for_alpha_is_that_of_the_data_set_and_stays_with_the_encoder(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.tif").write_bytes(rgb(4, "unassalpha"))
    cut = BANDS[..., :4].copy()
    cut[..., 3] = np.where(np.arange(24) < 12, 0, 255)  # one whose infrared is dark here and glaring there
    tifffile.imwrite(tmp_path / "6.tif", cut, photometric="rgb", extrasamples=["unassalpha"])
    images = open_samples(tmp_path)
    assert images.preparation.band is True and images.preparation.channels == 4
    assert (images.batch(np.array([5]))[0][0].permute(1, 2, 0).numpy() == cut).all()
    colours = open_samples(tmp_path, reading={"bands": "colours"})
    assert (colours.batch(np.array([5]))[0][0].permute(1, 2, 0).numpy() == cut[..., :3]).all()
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "6.tif").write_bytes((tmp_path / "6.tif").read_bytes())
    kept = open_samples(alone, like=colours.preparation)
    assert (kept.batch(np.array([0]))[0][0].permute(1, 2, 0).numpy() == cut[..., :3]).all()


@pytest.mark.parametrize("how", [{"memory": 100}, {"memory": 100, "cache": 0}, {}], ids=["cache", "stream", "memory"])
def test_what_is_not_used_is_said_once_and_again_where_nothing_is_decoded(
    how: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "x"
    root.mkdir()
    for number in range(70):
        Image.fromarray(STACK[number % 20]).save(root / f"{number:02d}.png")
    for name in ("b.tif", "a.tif"):
        tifffile.imwrite(root / name, STACK, photometric="minisblack")
    for _ in range(2):
        images = open_samples(root, **how)
        images.batch(np.arange(images.count))
        told = [line for line in capsys.readouterr().err.splitlines() if "pages" in line]
        assert told == ["warning: x: 2 images have more pages than one: the first is used, such as a.tif"]
    assert "2 images have more pages than one: the first is used, such as a.tif" in inspect(root).notes
