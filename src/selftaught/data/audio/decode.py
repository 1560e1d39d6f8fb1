"""One strict decoder: bytes of a sound file in, one channel at one rate out, or the reason why not."""

import io
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.system.errors import UsageError
from selftaught.system.text import printable

LONGEST = 600  # seconds of a clip
MOST = 120_000_000  # values of all its channels: of silence so many are packed into next to nothing
RATES = (100, 1_000_000)  # samples a second
SILENT = 2.0**-15  # one step of 16 bits: what stays below is silence
SLACK = 64  # bytes that a size may be wrong by: some programs count what stands before it
STREAMED = 0x7FFF0000  # bytes from which on a size is that of a file whose end nobody knew as it was begun
LAST_PAGE = 4  # the bit that says so
# Of the values that an MP3 says it has, where it says it: encoders count their own delay, in whole frames.
COUNTED_IN, FEWER, LOST = 1 << 16, 0.98, 2 * 1152
FINEST = 10_000  # by whole numbers up to this the ratio of two rates is told, which is closer than any clock

Sound = NDArray[np.float32]


class DecodeError(ValueError):
    """Why a clip cannot be used, in words that follow its name."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself."""

    format: str  # WAV, FLAC, OGG, MP3
    rate: int  # samples of a second
    channels: int
    seconds: float


@cache
def library() -> Any:
    """soundfile. Raises UsageError where it is not there: then no clip can be read."""
    try:
        import soundfile
    except (ImportError, OSError):  # the latter where there is no libsndfile
        raise UsageError("sound needs soundfile: pip install 'selftaught[audio]'") from None
    return soundfile


def header(data: bytes) -> Header:
    """What the file says of itself, without decoding it. Raises DecodeError."""
    with _opened(data) as file:
        return _header(file)


def decode(data: bytes, rate: int) -> tuple[Header, Sound]:
    """The clip, its channels mixed, at `rate` samples a second. Raises DecodeError."""
    with _opened(data) as file:
        told = _header(file)
        try:
            channels = file.read(LONGEST * told.rate, dtype="float32", always_2d=True)
        except Exception as error:  # of libsndfile, and of many kinds
            raise DecodeError(f"cannot be decoded: {printable(error)}") from None
        _refuse_cut(data, file.frames, len(channels))
    if not np.isfinite(channels).all():
        raise DecodeError("holds values that are not finite (NaN or infinite)")
    sound = channels.mean(axis=1)
    if not len(sound):
        raise DecodeError("holds no sound at all")
    if np.abs(sound).max() < SILENT:
        against = bool(np.abs(channels).max() >= SILENT)
        mixed = f", as its {channels.shape[1]} channels cancel each other once they are mixed" * against
        raise DecodeError(f"is silent from its beginning to its end{mixed}")
    return told, sound if rate == told.rate else resampled(sound, told.rate, rate)


def _refuse_cut(data: bytes, told: int, there: int) -> None:
    """Raise DecodeError for a file that ends before its time, of which libsndfile gives what is there."""
    cut = f"is cut off: {there:,} values are there, and its header says more"
    if data[:4] in (b"RIFF", b"FORM"):
        size = int.from_bytes(data[4:8], "little" if data[:4] == b"RIFF" else "big")
        if len(data) + SLACK < size < STREAMED:
            raise DecodeError(cut)
    elif data[:4] == b"OggS":
        if not _is_last(data[data.rfind(b"OggS") :]):
            raise DecodeError("is cut off: it has no last page")
    elif any(mark in data[:COUNTED_IN] for mark in (b"Xing", b"Info")) and there < FEWER * told - LOST:
        raise DecodeError(cut)


def _is_last(page: bytes) -> bool:
    """Whether a page of Ogg is whole, and says that it is the last (RFC 3533, section 6)."""
    parts = page[26] if len(page) > 26 else 0
    return len(page) >= 27 + parts + sum(page[27 : 27 + parts]) and bool(page[5] & LAST_PAGE)


def resampled(sound: Sound, own: int, wanted: int) -> Sound:
    """Sound of `own` samples a second at `wanted`: a windowed sinc, by which nothing above both halves remains."""
    from scipy.signal import resample_poly  # a second, spared where nothing is resampled

    ratio = Fraction(wanted, own).limit_denominator(FINEST)
    made: Sound = resample_poly(sound, ratio.numerator, ratio.denominator).astype(np.float32)
    return made


def _opened(data: bytes) -> Any:
    soundfile = library()
    try:
        return soundfile.SoundFile(io.BytesIO(data))
    except Exception as error:  # likewise
        reason = printable(str(error).rpartition(": ")[2].rstrip("."))
        raise DecodeError(f"is no sound that can be read: {reason}") from None


def _header(file: Any) -> Header:
    told = Header(file.format, file.samplerate, file.channels, file.frames / file.samplerate)
    if not RATES[0] <= told.rate <= RATES[1]:
        raise DecodeError(f"has {told.rate:,} samples a second: {RATES[0]} to {RATES[1]:,} can be read")
    if told.seconds > LONGEST:
        raise DecodeError(f"lasts {told.seconds:,.0f} s, longer than {LONGEST} s: cut it into clips")
    if file.frames * told.channels > MOST:
        raise DecodeError(f"has {told.channels} channels of {file.frames:,} values, together more than {MOST:,}")
    return told
