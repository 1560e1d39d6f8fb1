"""Images of 8 bits and of 16, of which cameras use 10, 12 or 14: brought to one meaning, and said."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selftaught.data.images.decode import picture
from selftaught.data.images.inspection import inspect
from selftaught.data.images.preparation import brightest
from selftaught.data.images.samples import Images, open_samples

RANDOM = np.random.default_rng(0)
SCENES = np.concatenate([RANDOM.random((8, 20, 20)), np.ones((1, 20, 20))])  # the last is as bright as can be
ROWS = np.arange(len(SCENES))


def saved(root: Path, depth: int, scenes: np.ndarray = SCENES) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        levels = (scene * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)
        Image.fromarray(levels).save(root / f"{number:02d}.png")
    return root


def seen(images: Images, rows: np.ndarray = ROWS) -> np.ndarray:
    """As the encoder's preparation scales them, in [0, 1]."""
    preparation = images.preparation
    return (images.batch(rows)[0].numpy().astype(float) - preparation.low) / (preparation.high - preparation.low)


@pytest.mark.parametrize(("value", "white"), [(3000, 4095), (4095, 4095), (4096, 16383), (700, 1023), (9, 255)])
def test_a_depth_is_told_by_the_brightest_value(value: int, white: int) -> None:
    assert brightest(value) == white


@pytest.mark.parametrize(("depth", "deep"), [(12, True), (8, False)])
def test_a_recipe_says_what_levels_of_16_bits_and_transparency_become(depth: int, deep: bool, tmp_path: Path) -> None:
    told = open_samples(saved(tmp_path / "x", depth)).preparation.recipe()
    assert ("levels of 16 bits, of which 4095 is as bright as 255 of 8 bits" in told) == deep
    assert "lay what is transparent on white" in told


@pytest.mark.parametrize("odd", ["grey", "colour"])
def test_one_image_of_8_bits_costs_the_others_no_levels(
    odd: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = saved(tmp_path / "x", 12)
    before = open_samples(root).batch(ROWS)[0].numpy()
    assert capsys.readouterr().err == ""
    eight = (SCENES[0] * 255).astype(np.uint8)
    Image.fromarray(eight if odd == "grey" else np.dstack([eight] * 3)).save(root / "zz.png")
    images = open_samples(root)
    after = images.batch(np.arange(10))[0].numpy()
    assert np.array_equal(after[:9, :1], before) and after.dtype == np.uint16 and images.preparation.top == 4095
    assert np.abs(after[9, 0].astype(int) - before[0, 0]).max() <= 4095 / 255  # as bright as what it is a copy of
    assert "holds images of 8 bits, most has 16: 255 is taken for 4095" in capsys.readouterr().err
    assert any("(9 of 16 bits, 1 of 8 bits)" in note for note in inspect(root).notes)


@pytest.mark.parametrize("kind", ["files", "array"])
@pytest.mark.parametrize(("learnt", "given"), [(12, 8), (8, 12), (16, 8), (8, 16), (14, 8)])
def test_images_of_another_depth_look_to_an_encoder_as_they_are(
    learnt: int, given: int, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    def data(depth: int) -> str:
        if kind == "files":
            return str(saved(tmp_path / str(depth), depth))
        levels = (SCENES * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)
        np.savez(tmp_path / f"{depth}.npz", x=levels)
        return str(tmp_path / f"{depth}.npz")

    own = open_samples(data(learnt))
    assert own.preparation.top == (None if learnt == 8 else 2**learnt - 1)
    other = open_samples(data(given), like=own.preparation)
    assert np.abs(seen(own) - seen(other)).max() < 1 / 100
    told = capsys.readouterr().err
    assert f"{given} holds images of {'8' if given == 8 else '16'} bits" in told and "the encoder learnt from" in told
    few = open_samples(data(given), like=own.preparation, limit=3)  # by the encoder's scale, where that is the finer
    if given == 8:
        chosen = np.array([int(Path(key).stem) for key in few.keys])
        assert np.array_equal(seen(few, np.arange(3)), seen(other)[chosen])


@pytest.mark.parametrize("kind", ["F", "I"])
def test_an_open_picture_has_the_values_of_its_file(kind: str) -> None:
    fractions, numbers = (
        RANDOM.random((8, 9, 7), np.float32),
        RANDOM.integers(-1000, 200_000, (8, 9, 7)).astype(np.int32),
    )
    for pixels in {"F": [*fractions, np.ones((9, 7), np.float32)], "I": [*numbers, numbers[0] % 4096]}[kind]:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "TIFF")
        stored = picture(file.getvalue()).pixels
        for image in (Image.fromarray(pixels), Image.open(file)):
            assert np.array_equal(picture(image).pixels, stored)
        assert picture(Image.open(file)).pixels.dtype == stored.dtype == pixels.dtype


def test_levels_of_16_bits_stay_such_where_pillow_widens_them() -> None:
    levels = (SCENES[0] * 65535).astype(np.uint16)
    file = b"P5\n20 20\n65535\n" + levels.astype(">u2").tobytes()
    for given in (
        file,
        Image.open(io.BytesIO(file)),
        Image.fromarray(levels),
        Image.fromarray(levels.astype(np.int32)),
    ):
        found = picture(given).pixels[..., 0]
        assert found.dtype == np.uint16 and np.array_equal(found, levels)


def test_16_bits_of_another_range_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    twelve = open_samples(saved(tmp_path / "twelve", 12)).preparation
    sixteen = open_samples(saved(tmp_path / "sixteen", 16)).preparation
    dim = saved(tmp_path / "dim", 12, SCENES[:8] * 0.4)
    open_samples(dim, like=twelve)
    assert capsys.readouterr().err == ""
    open_samples(tmp_path / "sixteen", like=twelve)
    assert "sixteen holds values up to 65535, and the encoder learnt from values up to 4095" in capsys.readouterr().err
    open_samples(tmp_path / "twelve", like=sixteen)
    assert "twelve holds values up to 4095, and the encoder learnt from values up to 65535" in capsys.readouterr().err


def test_one_image_of_16_bits_among_those_of_8_keeps_its_brightness(tmp_path: Path) -> None:
    root = saved(tmp_path / "x", 8)
    twelve = (SCENES[0] * 4095).astype(np.uint16)
    Image.fromarray(twelve).save(root / "zz.png")
    images = open_samples(root)
    assert images.storage.dtype == np.uint8 and images.preparation.high == 255
    pixels = images.batch(np.array([0, 9]))[0].numpy().astype(int)
    assert np.abs(pixels[0] - pixels[1]).max() <= 1
