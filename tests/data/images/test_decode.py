"""The decoder: golden pixels for every kind of image, and a reason for everything that is not one."""

import numpy as np
import pytest
from PIL import Image

from selftaught.data.images import decode as module
from selftaught.data.images.decode import DecodeError, decode
from tests.pictures import encoded

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True, params=["pillow", "simplejpeg"])
def jpeg_decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds with the [fast] extra and without."""
    if request.param == "pillow":
        monkeypatch.setattr(module, "simplejpeg", None)
    else:
        pytest.importorskip("simplejpeg")
    assert module.jpeg_decoder() == request.param


def corners() -> Image.Image:
    """2 x 3 pixels, red at the top left, green at the top right, blue at the bottom left."""
    image = Image.new("RGB", (3, 2))
    for place, colour in {(0, 0): RED, (2, 0): GREEN, (0, 1): BLUE}.items():
        image.putpixel(place, colour)
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # transpositions of Pillow that store the image so
    stored = corners()
    if orientation in undo:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(stored, exif=exif))
    assert pixels.shape == (2, 3, 3)
    assert tuple(pixels[0, 0]) == RED and tuple(pixels[0, 2]) == GREEN and tuple(pixels[1, 0]) == BLUE


def test_broken_exif_is_as_good_as_none() -> None:
    data = encoded(corners(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage", quality=95)
    assert decode(data).shape == (2, 3, 3)


def test_16_bit_grey_keeps_all_its_levels() -> None:
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    pixels = decode(encoded(Image.fromarray(ramp)))
    assert pixels.dtype == np.uint16 and np.array_equal(pixels[..., 0], ramp)


def test_floating_point_stays_what_it_is() -> None:
    ramp = np.linspace(-3, 5, 64, dtype=np.float32).reshape(8, 8)
    pixels = decode(encoded(Image.fromarray(ramp), "TIFF"))
    assert pixels.dtype == np.float32 and np.array_equal(pixels[..., 0], ramp)
    ramp[0, 0] = np.nan
    with pytest.raises(DecodeError, match="not finite"):
        decode(encoded(Image.fromarray(ramp), "TIFF"))


def test_colours_hidden_under_transparency_do_not_leak() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 255, 255))
    pixels = decode(encoded(image))
    assert tuple(pixels[0, 0]) == (255, 255, 255) and tuple(pixels[0, 1]) == BLUE


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    pixels = decode(encoded(image, transparency=0))
    assert tuple(pixels[0, 0]) == (255, 255, 255) and tuple(pixels[0, 1]) == BLUE
    assert tuple(decode(encoded(image))[0, 0]) == RED


def test_cmyk_grey_bilevel_and_animation() -> None:
    assert (
        np.abs(decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))[0, 0].astype(int) - RED).max() < 6
    )
    assert decode(encoded(Image.new("L", (4, 3), 77))).tolist() == [[[77]] * 4] * 3
    assert decode(encoded(Image.new("1", (2, 2), 1)))[0, 0, 0] == 255
    frames = [Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), BLUE)]
    assert tuple(decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0, 0]) == RED


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_image_is_refused_and_never_padded(share: float, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(DecodeError):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"<html><body>404</body></html>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),
        (b"SIMPLE  =                    T" + b" " * 3000, "not an image"),
    ],
)
def test_what_is_no_image_gets_a_reason(data: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        decode(data)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 10_000)
    with pytest.raises(DecodeError, match="200 x 100 pixels"):
        decode(encoded(Image.new("L", (200, 100))))


def test_large_jpegs_are_decoded_at_a_smaller_scale() -> None:
    data = encoded(Image.new("RGB", (1600, 1200), RED), "JPEG")
    height, width, _ = decode(data, at_least=(256, 256)).shape
    assert 256 <= height < 700 and 256 <= width < 900


def test_both_jpeg_decoders_agree() -> None:
    pytest.importorskip("simplejpeg")
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (12, 10, 3), dtype=np.uint8)).resize((97, 61))
    for image in (smooth, smooth.convert("L")):
        data = encoded(image, "JPEG", quality=90)
        fast = decode(data)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "simplejpeg", None)
            slow = decode(data)
        assert fast.shape == slow.shape and np.abs(fast.astype(int) - slow).max() <= 1
