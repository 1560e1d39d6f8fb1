"""The table of docs/formats.md, held to the code: a real file of each row, its golden pixels, and half of it."""

import io
import json
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pillow_heif
import pydicom
import pytest
import tifffile
import zarr
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from selftaught.data.images import decode as decoding
from selftaught.data.images import plugins
from selftaught.data.images.decode import DecodeError, pages_in, picture
from selftaught.data.images.decoded import Reading
from selftaught.data.images.samples import open_samples
from selftaught.system.errors import SelftaughtError
from tests.pictures import deep_png, encoded

PAGE = (Path(__file__).parents[3] / "docs/formats.md").read_text()
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.integers(0, 256, (64, 48, 3), dtype=np.uint8)
GREY, SIXTEEN = NOISE[..., 0], RANDOM.integers(0, 65536, (64, 48), dtype=np.uint16)
STACK = RANDOM.integers(0, 4096, (3, 2, 64, 48)).astype(np.uint16)  # pages, channels
FLOATS = RANDOM.normal(size=(64, 48, 5))
BLOCKS = np.kron(RANDOM.integers(0, 256, (2, 3, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
USUAL = Reading()
CHANNELS, FIRST = Reading(pages="channels"), "have more pages than one: the first is used"


@dataclass(frozen=True)
class Sample:
    data: Any  # bytes of a file, or what writes one
    pixels: np.ndarray
    reading: Reading = USUAL
    slack: int = 0
    said: str = ""


def table() -> dict[str, list[str]]:
    """The cells of each row behind its name."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return {name: cells for name, *cells in rows[1:]}


def saved(image: Any, kind: str, **how: Any) -> bytes:
    plugins.heif()
    import pillow_jxl  # noqa: F401

    return encoded(image, kind, **how)


def tiff(values: np.ndarray, **how: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **{"photometric": "minisblack", **how})
    return buffer.getvalue()


def shipped(name: str) -> tuple[bytes, Any]:
    """A file that comes with pydicom, and what it says."""
    data = Path(str(get_testdata_file(name))).read_bytes()
    return data, pydicom.dcmread(io.BytesIO(data))


def dicom(frames: np.ndarray, **told: Any) -> bytes:
    """A file of grey frames (N, H, W)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = (
        pydicom.uid.ExplicitVRLittleEndian,
        "1.2.840.10008.5.1.4.1.1.7",
    )
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    held = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    bits = 8 * frames.dtype.itemsize
    usual = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "HighBit": bits - 1,
    }
    usual |= {"Rows": frames.shape[1], "Columns": frames.shape[2], "NumberOfFrames": len(frames), "BitsStored": bits}
    usual |= {"PixelRepresentation": int(frames.dtype.kind == "i"), "PixelData": frames.tobytes()}
    for name, value in {**usual, **told}.items():
        setattr(held, name, value)
    buffer = io.BytesIO()
    held.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def group(slope: int, centre: float) -> Dataset:
    """What an enhanced file says of one frame: twice what is stored, or so, and a window of 1,001 values."""
    held, meant, window = Dataset(), Dataset(), Dataset()
    meant.RescaleSlope, meant.RescaleIntercept = slope, 0
    window.WindowCenter, window.WindowWidth = centre, 1001
    held.PixelValueTransformationSequence, held.FrameVOILUTSequence = [meant], [window]
    return held


def levels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """As the standard's linear window has it, of 16 bits."""
    return np.round(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 65535).astype(np.uint16)


def _tiffs() -> dict[str, list[Sample]]:
    bands, deep = np.moveaxis(STACK.reshape(6, 64, 48), 0, 2), np.dstack([SIXTEEN, SIXTEEN.T.reshape(64, 48), SIXTEEN])
    four = NOISE[..., [0, 1, 2, 0]]
    ends = [(340, "H", 1, 0, True), (341, "H", 1, 4095, True)]
    every = np.concatenate([np.moveaxis(page, 0, 2) for page in STACK], 2)
    return {
        "TIFF, grey or colours of 8 bits": [
            Sample(saved(NOISE, "TIFF"), NOISE),
            Sample(tiff(GREY, extratags=ends), GREY[..., None]),
            Sample(tiff(SIXTEEN), SIXTEEN[..., None]),
            Sample(tiff(STACK[0, 0], extratags=ends), levels(STACK[0, 0], 0, 4095)[..., None]),
            Sample(tiff(FLOATS[..., 0].astype(np.float32)), FLOATS[..., :1].astype(np.float32)),
        ],
        "TIFF, more bands or deeper": [
            Sample(tiff(bands, planarconfig="contig", compression="zlib", predictor=True), bands),
            Sample(tiff(four, photometric="rgb", extrasamples=["unspecified"]), four),
            Sample(tiff(deep, photometric="rgb", compression="lzw", tile=(16, 16)), deep),
            Sample(tiff(np.moveaxis(FLOATS, 2, 0), planarconfig="separate"), FLOATS),
            Sample(tiff(bands.astype(np.int32) - 5, planarconfig="contig", bigtiff=True), bands.astype(np.int32) - 5),
        ],
        "TIFF stack, OME-TIFF": [
            Sample(tiff(STACK[:, 0], metadata=None), np.moveaxis(STACK[:, 0], 0, 2), CHANNELS),
            Sample(tiff(STACK[:, 0], metadata=None), STACK[0, 0, ..., None], said=FIRST),
            Sample(tiff(STACK, ome=True, metadata={"axes": "ZCYX"}), np.moveaxis(STACK[0], 0, 2), said=FIRST),
            Sample(tiff(STACK, ome=True, metadata={"axes": "ZCYX"}), every, CHANNELS),
            Sample(tiff(STACK, imagej=True, metadata={"axes": "ZCYX"}), every, CHANNELS),
        ],
    }


def _dicoms() -> dict[str, list[Sample]]:
    ct, mr = shipped("CT_small.dcm"), shipped("MR_small.dcm")
    ct_raw, mr_raw = (np.frombuffer(one.PixelData, "<i2").reshape(one.Rows, one.Columns, 1) for _, one in (ct, mr))
    shown = levels(mr_raw, 600 - 0.5 - 799.5, 600 - 0.5 + 799.5)
    window = {"WindowCenter": [40, 500], "WindowWidth": [400, 1500], "RescaleSlope": 2, "RescaleIntercept": -1024}
    twelve, dark = STACK[:, 0], {"PhotometricInterpretation": "MONOCHROME1"}
    eight = levels(twelve[0] * 2.0 - 1024, 40 - 0.5 - 199.5, 40 - 0.5 + 199.5)[..., None]
    two = np.stack([levels(twelve[0], 400, 1400), levels(twelve[1] * 2.0, 1300, 2300)], 2)
    palette, told = shipped("examples_palette.dcm")
    index = np.frombuffer(told.PixelData, np.uint8).reshape(told.Rows, told.Columns)
    tables = (told.get(f"{name}PaletteColorLookupTableData") for name in ("Red", "Green", "Blue"))
    coloured = np.stack([np.frombuffer(lut, "<u2")[index] for lut in tables], 2)
    ybr, whole = shipped("SC_ybr_full_422_uncompressed.dcm")[0], np.zeros((100, 100, 3), np.uint8)
    for row, colour in enumerate(
        [(255, 0, 0), (255, 128, 128), (0, 255, 0), (128, 255, 128), (0, 0, 255), (128, 128, 255)]
    ):
        whole[10 * row : 10 * row + 10] = colour
    for row, value in enumerate((0, 64, 192, 255), 6):
        whole[10 * row : 10 * row + 10] = value
    units = Reading(range=(-1024.0, 3071.0))
    return {
        "DICOM, grey": [
            Sample(ct[0], (ct_raw.astype(int) + 32768).astype(np.uint16)),  # of all values that 16 bits have
            Sample(mr[0], shown),
            Sample(shipped("MR_small_RLE.dcm")[0], shown),
            Sample(shipped("MR_small_jp2klossless.dcm")[0], shown),
            Sample(ct[0], ct_raw.astype(np.float32) - 1024, units),
            Sample(dicom(twelve, BitsStored=12, HighBit=11, **window), eight, said=FIRST),
            Sample(dicom(twelve[:1], BitsStored=12, **dark), levels(4095.0 - twelve[0], 0, 4095)[..., None]),
            Sample(dicom(twelve, BitsStored=12), levels(np.moveaxis(twelve, 0, 2), 0, 4095), CHANNELS),
            Sample(
                dicom(twelve[:2], PerFrameFunctionalGroupsSequence=[group(1, 900.5), group(2, 1800.5)]), two, CHANNELS
            ),
            Sample(dicom(GREY[None]), GREY[..., None]),
            Sample(dicom(GREY[None], **dark), 255 - GREY[..., None]),
        ],
        "DICOM, colours": [
            Sample(palette, coloured),
            Sample(ybr, whole, slack=6),
            Sample(shipped("SC_rgb_rle.dcm")[0], whole),
            Sample(shipped("SC_rgb_jpeg_dcmtk.dcm")[0], whole, slack=6),
        ],
    }


def _pictures() -> dict[str, list[Sample]]:
    indexed = Image.fromarray(NOISE).quantize(256)
    ten = NOISE.astype(np.uint16) * 257
    hdr = io.BytesIO()
    pillow_heif.from_bytes(mode="RGB;16", size=(48, 64), data=ten.tobytes()).save(hdr, quality=-1, chroma=444)
    jpeg = saved(NOISE, "JPEG", quality=100, subsampling=0)
    bare = "have colours of 16 bits: the upper 8 are used, which leaves few levels where values are small"
    opaque = np.dstack([SIXTEEN, np.full_like(SIXTEEN, 65535)])
    fine = "have more than 8 bits a colour: the upper 8 are used"
    return {
        "JPEG": [Sample(jpeg, NOISE, slack=6), Sample(saved(GREY, "JPEG", quality=100), GREY[..., None], slack=3)],
        "PNG": [
            Sample(saved(NOISE, "PNG"), NOISE),
            Sample(saved(SIXTEEN, "PNG"), SIXTEEN[..., None]),
            Sample(deep_png(ten, 2), NOISE, said=bare),
            Sample(deep_png(opaque, 4), np.repeat(SIXTEEN[..., None] >> 8, 3, axis=2).astype(np.uint8), said=bare),
        ],
        "WebP": [Sample(saved(NOISE, "WEBP", lossless=True), NOISE)],
        "AVIF": [Sample(saved(NOISE, "AVIF", quality=100, subsampling="4:4:4"), NOISE, slack=4)],
        "GIF": [Sample(saved(indexed, "GIF"), np.asarray(indexed.convert("RGB")))],
        "BMP": [Sample(saved(NOISE, "BMP"), NOISE)],
        "PPM, PGM": [
            Sample(saved(NOISE, "PPM"), NOISE),
            Sample(saved(GREY, "PPM"), GREY[..., None]),
            Sample(b"P6\n48 64\n65535\n" + ten.astype(">u2").tobytes(), NOISE, said=fine),
            Sample(b"P3\n48 64\n1020\n" + " ".join(map(str, (4 * (ten // 257)).ravel())).encode(), NOISE, said=fine),
        ],
        "HEIC, HEIF": [
            Sample(saved(NOISE, "HEIF", quality=-1, chroma=444), NOISE, slack=2),
            Sample(hdr.getvalue(), NOISE, slack=4, said=fine),
        ],
        "JPEG XL": [
            Sample(saved(NOISE, "JXL", lossless=True), NOISE),
            Sample(saved(SIXTEEN, "JXL", lossless=True), SIXTEEN[..., None]),
            Sample(saved(NOISE, "JXL", lossless=True, use_container=True), NOISE),
        ],
    }


def _arrays() -> dict[str, list[Callable[[Path], tuple[Path, Path]]]]:
    """What writes images in a folder: the file to open, and the one that half is left of."""
    images = NOISE.reshape(16, 12, 16, 3)

    def npz(root: Path) -> tuple[Path, Path]:
        np.savez(root / "a.npz", x=images)
        return root / "a.npz", root / "a.npz"

    def hdf5(root: Path) -> tuple[Path, Path]:
        with h5py.File(root / "a.h5", "w") as file:
            file["x"] = images
        return root / "a.h5", root / "a.h5"

    def zarred(root: Path) -> tuple[Path, Path]:
        zarr.open_group(str(root / "a.zarr"), mode="w").create_array("x", data=images, chunks=(16, 12, 16, 3))
        return root / "a.zarr", root / "a.zarr/x/c/0/0/0/0"

    return {".npy, .npz": [npz], "HDF5 (.h5, .hdf5)": [hdf5], "Zarr (.zarr, .zarr.zip, v2 and v3)": [zarred]}


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    FILES = {**_pictures(), **_tiffs(), **_dicoms()}
ARRAYS = _arrays()
ROWS = table()


def test_every_row_has_a_file_and_every_file_a_row() -> None:
    assert set(ROWS) == {*FILES, *ARRAYS}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", FILES)
def test_files_hold_what_the_table_says(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, bits, channels, *_, broken = ROWS[row]
    for sample in FILES[row]:
        made = picture(sample.data, reading=sample.reading)
        assert made.pixels.shape == sample.pixels.shape and made.pixels.dtype.itemsize <= sample.pixels.dtype.itemsize
        assert np.abs(made.pixels.astype(float) - sample.pixels).max() <= sample.slack
        assert str(8 * made.pixels.dtype.itemsize) in bits.split(", ")
        assert channels == "any" or str(made.pixels.shape[2]) in channels.split(", ") or sample.reading == CHANNELS
        assert list(made.remarks) == [sample.said] * bool(sample.said)
    with pytest.raises(DecodeError, match=re.escape(broken.strip("`"))):
        picture(FILES[row][0].data[: len(FILES[row][0].data) // 2], reading=FILES[row][0].reading)
    if extra := re.search(r"\(`\[(science|heif|jxl|dicom)\]`\)", reader):
        module = {"science": "tifffile", "heif": "pillow_heif", "jxl": "pillow_jxl", "dicom": "pydicom"}[extra[1]]
        plugins.heif.cache_clear()
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(DecodeError, match=re.escape(f"needs pip install 'selftaught[{extra[1]}]'")):
            picture(FILES[row][0].data, reading=FILES[row][0].reading)


@pytest.mark.parametrize("row", ARRAYS)
def test_arrays_hold_what_the_table_says(row: str, tmp_path: Path) -> None:
    for write in ARRAYS[row]:
        opened, cut = write(tmp_path)
        pixels = open_samples(opened).batch(np.arange(16))[0].numpy()
        assert np.array_equal(pixels.transpose(0, 2, 3, 1), NOISE.reshape(16, 12, 16, 3))
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
        with pytest.raises(SelftaughtError, match=re.escape(ROWS[row][-1].strip("`"))):
            open_samples(opened)


def test_pages_that_a_file_cannot_have_are_not_counted() -> None:
    told = json.dumps({"shape": [10**9, 64, 48], "axes": "QYX"})
    assert pages_in(tiff(GREY, description=told, metadata=None)) == 1
    with pytest.raises(DecodeError, match=r"1,000,000,000 frames, more than it has bytes"):
        pages_in(dicom(GREY[None], NumberOfFrames=10**9))


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "HEIF"])
def test_orientations_come_out_upright(kind: str) -> None:
    undo = {3: 3, 6: 2, 7: 6}  # transpositions of Pillow that store the image so
    how = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}
    for orientation, way in undo.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(BLOCKS).transpose(Image.Transpose(way))
        found = picture(
            saved(stored, kind, exif=exif.tobytes(), **how.get(kind, {"quality": -1, "chroma": 444}))
        ).pixels
        assert found.shape == BLOCKS.shape and np.abs(found.astype(int) - BLOCKS).max() <= 3


@pytest.mark.filterwarnings("ignore")
def test_a_bomb_of_any_format_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1000)
    for name, (first, *_) in FILES.items():
        head = first.data[:64] if name == "JPEG XL" else first.data  # whose library decodes what it opens
        with pytest.raises(DecodeError, match=r"pixels are more than 1,000"):
            picture(head, reading=first.reading)
