"""JPEGs decoded by a card: asked for, scaled, turned, held to be whole. The card here is torchcodec on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import selftaught
from selftaught.data.images import decode as module
from selftaught.data.images import nvjpeg, samples
from selftaught.data.images.decode import attempt, decode, picture
from selftaught.data.images.decoded import DecodeError, Reading
from selftaught.data.images.pixels import UNKNOWN_TO_CARD
from selftaught.system.errors import OutOfMemory, UsageError
from tests.pictures import encoded

torchcodec = pytest.importorskip("torchcodec.decoders")

CARD = "cpu:0"  # which torchcodec takes for a device, and no reading for the CPU's own decoders
BY_CARD = Reading(jpeg_decoder=CARD)


def photo(width: int = 97, height: int = 61, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (12, 10, 3), dtype=np.uint8)).resize((width, height)).convert(mode)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    return encoded(image, "JPEG", quality=90, **options)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
def test_it_gives_the_pixels_of_the_cpu_within_a_rounding(mode: str, progressive: bool) -> None:
    data = jpeg(photo(mode=mode), progressive=progressive)
    made, known = picture(data, reading=BY_CARD), decode(data)
    assert made.pixels.shape == known.shape and made.pixels.dtype == np.uint8 and not made.remarks
    assert np.abs(made.pixels.astype(int) - known).max() <= 2


@pytest.mark.parametrize(("at_least", "sides"), [((100, 100), (152, 200)), ((38, 60), (76, 100)), ((10, 10), (38, 50))])
def test_what_is_large_is_shrunk_as_much_as_on_the_cpu(at_least: tuple[int, int], sides: tuple[int, int]) -> None:
    data = jpeg(photo(400, 304))
    made = picture(data, at_least, reading=BY_CARD).pixels
    assert made.shape[:2] == sides
    known = Image.fromarray(decode(data)).resize(sides[::-1], Image.Resampling.BOX)
    assert np.abs(made.astype(int) - np.asarray(known)).mean() < 2


def test_it_comes_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = jpeg(photo(), exif=exif)
    made, known = picture(data, reading=BY_CARD).pixels, decode(data)
    assert made.shape == known.shape == (97, 61, 3)
    assert np.abs(made.astype(int) - known).max() <= 2


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_what_is_cut_short_is_broken_as_ever(share: float) -> None:
    data = jpeg(photo())
    with pytest.raises(DecodeError):
        picture(data[: int(share * len(data))], reading=BY_CARD)


def test_a_card_that_pads_in_silence_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    def padded(data: bytes, **how: Any) -> torch.Tensor:
        whole = torch.zeros(3, 61, 97, dtype=torch.uint8)
        whole[:, :30] = torch.arange(97)
        return whole

    monkeypatch.setattr(torchcodec, "decode_jpeg", padded)
    data = jpeg(photo())
    with pytest.raises(DecodeError):
        picture(data[: len(data) // 2], reading=BY_CARD)
    assert not picture(data, reading=BY_CARD).pixels[-1].any()  # the CPU finds it whole, and the card's is taken


def test_a_large_one_that_ends_in_one_colour_is_held_to_be_whole_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 100)  # pixels; more are decoded one at a time
    assert not picture(jpeg(Image.new("RGB", (97, 61))), reading=BY_CARD).pixels.any()


def test_what_the_card_does_not_know_is_decoded_by_the_cpu_which_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(data: bytes, **how: Any) -> torch.Tensor:
        raise RuntimeError("nvjpegDecode failed: 9")

    monkeypatch.setattr(torchcodec, "decode_jpeg", unknown)
    made = picture(jpeg(photo()), reading=BY_CARD)
    assert made.remarks == (UNKNOWN_TO_CARD,) and np.array_equal(made.pixels, decode(jpeg(photo())))
    assert picture(jpeg(photo(mode="CMYK")), reading=BY_CARD).remarks == (UNKNOWN_TO_CARD,)


def test_a_card_without_memory_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(data: bytes, **how: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torchcodec, "decode_jpeg", full)
    with pytest.raises(OutOfMemory, match="--jpeg-decoder cuda: cpu:0 has no memory left"):
        attempt(lambda: picture(jpeg(photo()), reading=BY_CARD))


def test_other_formats_are_read_as_ever() -> None:
    assert np.array_equal(picture(encoded(photo()), reading=BY_CARD).pixels, np.asarray(photo()))


def folder(at: Path, count: int = 16) -> Path:
    at.mkdir()
    for number in range(count):
        (at / f"{number}.jpg").write_bytes(jpeg(photo(40 + number, 40)))
    return at


HOW: dict[str, Any] = {
    "method": "rotation",
    "encoder": "test_resnet",
    "size": 32,
    "steps": 1,
    "batch_size": 8,
}


def test_a_run_by_the_card_records_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def seen(data: bytes, colours: str, at_least: Any, card: str) -> Any:
        asked.append(card)
        return nvjpeg_decoded(data, colours, at_least, card)

    nvjpeg_decoded = nvjpeg.decoded
    monkeypatch.setattr(nvjpeg, "decoded", seen)
    monkeypatch.setattr(samples, "card", lambda: CARD)
    data = folder(tmp_path / "photos")
    run = selftaught.pretrain(str(data), out=str(tmp_path / "run"), jpeg_decoder="cuda", **HOW)
    assert set(asked) == {CARD} and len(asked) >= 16
    assert "jpeg_decoder: cuda\n" in (run.folder / "recipe.yaml").read_text()


def test_without_a_card_one_line_says_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card here")
    with pytest.raises(UsageError, match="--jpeg-decoder cuda needs a CUDA card, and none is seen here"):
        selftaught.pretrain(str(folder(tmp_path / "photos")), out=str(tmp_path / "run"), jpeg_decoder="cuda", **HOW)
    assert not (tmp_path / "run").exists()


def test_pixels_and_other_kinds_refuse_it(tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", np.zeros((16, 32, 32, 3), np.uint8))
    (tmp_path / "table.csv").write_text("a,b\n" + "1,2\n" * 20)
    for data, told in (("pixels.npy", "is for image files"), ("table.csv", "--jpeg-decoder is for images")):
        how = HOW if data.endswith("npy") else {"method": "mae"}
        with pytest.raises(UsageError, match=told):
            selftaught.pretrain(str(tmp_path / data), out=str(tmp_path / "run"), jpeg_decoder="cuda", **how)
