"""DICOM: pixels in the units that they stand for, and the range that the file declares for them.

DICOM PS3.3: C.7.6.3 (pixels), C.11.1 (what stored values mean), C.11.2 (the window), C.7.6.16 (several frames).
"""

import io
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.images.decoded import DecodeError, Header, MissingExtraError, Picture, Reading, Span
from selftaught.data.sources.source import MAX_BYTES

GREY, COLOURS = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"
DEFLATED = b"1.2.840.10008.1.2.1.99"  # a transfer syntax of which nobody can tell what it unpacks to
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# Places of what is told of single frames, or of all, where an image has several.
MEANING, WINDOW = "PixelValueTransformationSequence", "FrameVOILUTSequence"
EXACT, CURVED = "LINEAR_EXACT", "SIGMOID"


def dataset(data: bytes) -> Any:
    """What a file says, as pydicom has it. Raises DecodeError where it holds no image, or one that is not read."""
    try:
        import pydicom
    except ImportError:
        raise MissingExtraError("a DICOM file", "dicom") from None
    if DEFLATED in data:  # which stands in its head, wherever that ends
        raise DecodeError("a DICOM file that is deflated as a whole, which is not read: save it uncompressed")
    held = pydicom.dcmread(io.BytesIO(data))
    if not any(name in held for name in PIXELS):
        cut = "is damaged or truncated: it lacks its pixels" if "Rows" in held else "holds no image, or is cut off"
        raise DecodeError(f"a DICOM file that {cut}")
    if (kind := held.get("PhotometricInterpretation")) not in (*GREY, *COLOURS, PALETTE):
        raise DecodeError(f"a DICOM file of {kind} pixels, which are not read")
    return held


def frames(held: Any) -> int:
    """How many there are."""
    return int(held.get("NumberOfFrames") or 1)


def header_of(held: Any) -> Header:
    """What the file says of itself."""
    return Header("DICOM", held.PhotometricInterpretation, int(held.Columns), int(held.Rows), 1, frames(held) > 1)


def read(data: bytes, reading: Reading, frame: int | None, most: int) -> tuple[Picture, bool]:
    """The image of a file, of at most so many pixels, and whether it has frames that are not in it.

    frame: the only one that is wanted; None: those that the reading asks for.
    """
    held = dataset(data)
    count = frames(held)
    wanted = range(count) if reading.pages == "channels" and frame is None else [frame or 0]
    pixels = int(held.Rows) * int(held.Columns)
    if pixels > most:
        raise DecodeError(f"{held.Columns} x {held.Rows} pixels are more than {most:,}")
    if pixels * len(wanted) * int(held.SamplesPerPixel) * int(held.BitsAllocated) // 8 > MAX_BYTES:
        raise DecodeError(f"{len(wanted):,} frames of {held.Columns} x {held.Rows} pixels are too many for one image")
    made = [_frame(held, number, reading) for number in wanted]
    if reading.range == "declared":  # for each frame by itself
        made = [one.read(reading) for one in made]
    whole = replace(made[0], pixels=np.concatenate([one.pixels for one in made], axis=2))
    return whole, frame is None and len(wanted) < count


def _frame(held: Any, number: int, reading: Reading) -> Picture:
    from pydicom.pixels.processing import apply_color_lut

    stored = _stored(held, number)
    if held.PhotometricInterpretation == PALETTE:
        colours = apply_color_lut(stored, held)[..., :3]
        return Picture(colours, declared=(0.0, 255.0 if colours.dtype == np.uint8 else 65535.0))
    if held.PhotometricInterpretation in COLOURS:
        return Picture(stored, declared=_stored_range(held))
    return _grey(held, number, stored, units=isinstance(reading.range, tuple))


def _stored(held: Any, number: int) -> NDArray[Any]:
    from pydicom.pixels.utils import pixel_array

    try:
        return pixel_array(held, index=number)
    except Exception as error:  # of many kinds, of many decoders
        way = f"a DICOM file in {held.file_meta.TransferSyntaxUID.name}, for which pydicom has no decoder here"
        if "missing dependencies" in str(error):
            raise DecodeError(f"{way}: pip install 'pylibjpeg[all]'") from None
        raise DecodeError(f"a DICOM file that is damaged or truncated: {' '.join(str(error).split())}") from None


def _grey(held: Any, number: int, stored: NDArray[Any], units: bool) -> Picture:
    """One frame of grey; units: whether values are wanted as fractions in what they stand for."""
    values, span = _in_units(held, number, stored)
    span = _window(held, number) or span
    if span is None and not np.isfinite(values).all():
        raise DecodeError("holds values that are not finite (NaN or infinite)")
    values = values.astype(np.float32) if units else values
    inverted = held.PhotometricInterpretation == "MONOCHROME1"
    return Picture(values[..., None], declared=span, inverted=inverted, levels=values.dtype.kind == "f" and not units)


def _in_units(held: Any, number: int, stored: NDArray[Any]) -> tuple[NDArray[Any], Span | None]:
    """What stored values stand for, and the range that these can have; None of numbers with fractions."""
    from pydicom.pixels.processing import apply_modality_lut

    if stored.dtype.kind == "f":
        return stored, None
    low, high = _stored_range(held)
    if held.get("ModalityLUTSequence"):
        meant = apply_modality_lut(stored, held)
        return meant, (0.0, float(np.iinfo(meant.dtype).max))
    slope, more = (_told(held, number, MEANING, name) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope is None or (float(slope), float(more or 0)) == (1.0, 0.0):
        return stored, (low, high)
    slope, more = float(slope), float(more or 0)
    ends = sorted((low * slope + more, high * slope + more))
    return stored.astype(np.float64) * slope + more, (ends[0], ends[1])


def _stored_range(held: Any) -> Span:
    bits, signed = int(held.BitsStored), int(held.get("PixelRepresentation") or 0)
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)


def _window(held: Any, number: int) -> Span | None:
    """What the first window shows as black and as white; a curved one is taken for its tangent in the middle."""
    centre, width = (_first(_told(held, number, WINDOW, name)) for name in ("WindowCenter", "WindowWidth"))
    how = str(_told(held, number, WINDOW, "VOILUTFunction") or "LINEAR")
    if centre is None or width is None or width <= (how == "LINEAR"):
        return None
    if how in (EXACT, CURVED):
        return centre - width / 2, centre + width / 2
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _first(value: Any) -> float | None:
    """The first of one or more numbers."""
    if value is None or value == "":
        return None
    return float(value if isinstance(value, (int, float, str)) else value[0])


def _told(held: Any, number: int, place: str, name: str) -> Any:
    """What is told of a frame: of it alone, of all frames, or of the file."""
    own = held.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*own[number : number + 1], *(held.get("SharedFunctionalGroupsSequence") or [])]
    for group in groups:
        for item in group.get(place) or []:
            if name in item:
                return item.get(name)
    return held.get(name)
