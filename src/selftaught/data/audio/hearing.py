"""All clips of a source, decoded once by threads: what is heard of each, and of which nothing can be."""

import os
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from selftaught.data.audio.decode import DecodeError, Header, Sound, decode, header
from selftaught.data.audio.preparation import LOUDEST, USUAL_RATE, Preparation
from selftaught.data.audio.spectrogram import Transform
from selftaught.data.first_pass import looked_at
from selftaught.data.sources.files import Files
from selftaught.data.sources.source import Progress
from selftaught.data.storage import BATCHED, Failures
from selftaught.system.errors import DataError, Interrupted, SelftaughtError
from selftaught.system.text import filesize, printable

Frames = NDArray[np.float16]  # (frames, mels) in dB, of which a twentieth is no matter, and memory is
Rows = NDArray[np.int64]
Made = TypeVar("Made")


@dataclass
class Heard:
    """What was heard of some clips."""

    headers: list[Header] = field(default_factory=list)  # of those that are whole
    parts: list[Frames] = field(default_factory=list)  # of each
    kept: list[int] = field(default_factory=list)  # their places among all
    broken: Failures = field(default_factory=list)  # keys of the others, with the reason

    @property
    def frames(self) -> Frames:
        """Of all clips, one behind the other (frames, mels)."""
        return np.concatenate(self.parts)

    @property
    def stretches(self) -> NDArray[np.int64]:
        """Where each clip lies among the frames (N, 2): the first, and how many."""
        lengths = np.array([len(part) for part in self.parts], np.int64)
        return np.stack([lengths.cumsum() - lengths, lengths], axis=1)


def usual_rate(source: Files, rows: Rows) -> int:
    """The most frequent sampling rate of the clips, of evenly spread ones of many; or less, where that is high.

    Raises DataError where none can be read.
    """
    told = list(each(source, rows[looked_at(len(rows))], header))
    rates = Counter(one.rate for one in told if isinstance(one, Header))
    if not rates:
        first = f"{printable(source.keys[rows[0]])} {told[0]}"
        raise DataError(f"no clip in {printable(source.name)} can be read; the first: {first}")
    return min(USUAL_RATE, max(rates, key=lambda rate: (rates[rate], rate)))


def hear(source: Files, rows: Rows, how: Preparation, memory: int, workers: int | None, progress: Progress) -> Heard:
    """Spectrograms of the clips of these rows. Raises DataError where they take more than `memory` bytes."""
    heard, held = Heard(), 0
    transform = how.transform

    def made(data: bytes) -> tuple[Header, Frames]:
        told, sound = decode(data, how.rate)
        return told, listened(sound, how, transform)

    for place, found in enumerate(each(source, rows, made, workers)):
        progress(place + 1, len(rows))
        if isinstance(found, str):
            heard.broken.append((source.keys[rows[place]], found))
            continue
        heard.headers.append(found[0])
        heard.parts.append(found[1])
        heard.kept.append(place)
        held += found[1].nbytes
        if held > memory:
            far = f"{place + 1:,} of {len(rows):,} clips of {printable(source.name)} take"
            way = "raise it, take fewer by --limit, or a smaller --size"
            raise DataError(f"{far} {filesize(held)} as spectrograms, more than --memory {filesize(memory)}: {way}")
    return heard


def listened(sound: Sound, how: Preparation, transform: Transform) -> Frames:
    """The spectrogram (frames, mels) of a clip. Raises DecodeError where it is too short, or too loud, to have one."""
    refuse_short(sound, how)
    frames = transform(torch.from_numpy(sound)).T.numpy()
    if not frames.max() <= LOUDEST:  # nor where it is no number
        raise DecodeError(f"is no sound by its values, which reach {np.abs(sound).max():.2g}, where 1 is loudest")
    made: Frames = frames.astype(np.float16)
    return made


def refuse_short(sound: Sound, how: Preparation) -> None:
    """Raise DecodeError where sound does not fill a window."""
    if len(sound) < how.window:
        told, window = (f"{1000 * samples / how.rate:.3g} ms" for samples in (len(sound), how.window))
        raise DecodeError(f"lasts {told}, less than a window of {window}")


def each(source: Files, rows: Rows, make: Callable[[bytes], Made], workers: int | None = None) -> Generator[Made | str]:
    """What is made of each clip in turn, or why nothing can be; threads work a bounded number ahead."""
    with ThreadPoolExecutor(workers or os.cpu_count(), thread_name_prefix="decode") as pool:
        for start in range(0, len(rows), BATCHED):
            some = rows[start : start + BATCHED].tolist()
            yield from pool.map(lambda row: attempt(source, row, make), some)


def attempt(source: Files, row: int, make: Callable[[bytes], Made]) -> Made | str:
    """What is made of a clip, or why nothing can be."""
    try:
        return make(cast(bytes, source.fetch(row)))
    except DecodeError as error:
        return str(error)
    except (SelftaughtError, Interrupted):  # which is no fault of this clip alone
        raise
    except Exception as error:  # unreadable, vanished, or a broken archive member
        return f"cannot be read: {type(error).__name__}: {printable(error)}"


def notes_on(heard: Heard, how: Preparation) -> list[str]:
    """What to know of how clips were read."""
    rates = Counter(told.rate for told in heard.headers)
    others = {rate: count for rate, count in rates.most_common() if rate != how.rate}
    notes = []
    if others:
        told = ", ".join(f"{count:,} of {rate:,} Hz" for rate, count in others.items())
        notes.append(f"clips are resampled to {how.rate:,} Hz: {told}")
    if several := sum(told.channels > 1 for told in heard.headers):
        notes.append(f"{several:,} clips have several channels, which are mixed to one")
    short = sum(len(part) < how.size[1] for part in heard.parts)
    long = sum(len(part) > how.size[1] for part in heard.parts)
    if short:
        notes.append(f"{short:,} clips are shorter than the {how.seconds:.2g} s of a view, with silence round them")
    if long:
        notes.append(f"{long:,} clips are longer than the {how.seconds:.2g} s of a view: judging hears their middle")
    return notes
