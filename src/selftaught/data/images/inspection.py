"""Everything that can be known of images before training, by reading and decoding every one of them."""

import os
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts.findings import Bin, File, Findings, ImageFacts, Spread
from selftaught.contracts.modality import parts_among
from selftaught.data.facts import classes, counted, files_of, notes_of_copies, same_content, too_many
from selftaught.data.first_pass import by_sample
from selftaught.data.images.canvas import LEVELS, MEASURED
from selftaught.data.images.decode import attempt, header, picture
from selftaught.data.images.decoded import Header, Reading
from selftaught.data.images.duplicates import same_look, sketch
from selftaught.data.images.overlooked import missing, overlooked, remarked
from selftaught.data.images.pages import paged
from selftaught.data.images.values import Some, note_of, places_of, some_of, values_of
from selftaught.data.sources.arrays import NOT_FINITE, Arrays
from selftaught.data.sources.contents import content_of
from selftaught.data.sources.encoded import Encoded, Page
from selftaught.data.sources.manifest import damaged
from selftaught.data.sources.metadata import facts_of
from selftaught.data.sources.open import open_source
from selftaught.system import randomness
from selftaught.system.text import printable, spelled

AHEAD = 256  # images handed to the threads at once
SCALED = (64, 64)  # a JPEG is read to its end, but no larger than needed for a sketch
SMALLEST = 16  # bin of the histogram, in pixels; each further one is twice as wide
MEASURED_BITS = 32  # of what is signed, wider or has fractions
FEWEST = 2  # images that can be told apart

Groups = list[list[int]]


@dataclass(frozen=True)
class Look:
    """One image that is whole."""

    header: Header
    length: int  # of the file in bytes
    channels: int
    bits: int
    digest: bytes
    sketch: NDArray[np.uint8]
    remarks: tuple[str, ...] = ()  # what of the file is not used
    values: Some | None = None  # of those images that are looked at for them


def inspect(
    data: str | Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    tolerance: float = 0.01,
    label_column: str | None = None,
    column: str | None = None,
    metadata: str | None = None,
    reading: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Findings:
    """Read and decode the images of `data`, or a random `limit` of them. Raises DataError where there are none.

    reading: how files are read, see `decoded.Reading`.
    """
    source = open_source(data, label_column, column)
    way = Reading(**(reading or {}))
    if way.pages == "samples" and isinstance(source, Encoded):
        source = paged(source)
    rows = randomness.subset(np.arange(len(source)), None, limit, seed)
    keys = [spelled(source.keys[row]) for row in rows]
    looks = looks_of(source, rows, way, workers, progress)
    whole = [(key, look) for key, look in zip(keys, looks) if isinstance(look, Look)]
    same, alike = copies_among(looks)
    findings = Findings(
        data=printable(str(data)),
        things="images",
        count=len(source),
        checked=len(rows),
        usable=True,
        decoded=isinstance(source, Encoded),
        broken=[File(path=key, reason=look) for key, look in zip(keys, looks) if isinstance(look, str)],
        ignored=_ignored(source),
        passed_over=len(getattr(source, "ignored", ())) + sum(one.count for one in getattr(source, "passed", ())),
        duplicates=[[keys[place] for place in group] for group in same],
        near_duplicates=[[keys[place] for place in group] for group in alike],
        labels=classes(source),
        images=_summary([look for _, look in whole]) if whole else None,
        metadata=facts_of(source, metadata, "images"),
    )
    findings.problems = [*damaged(Path(data)), *_problems(findings, tolerance)]
    lacking = missing([(file.path, file.reason) for file in findings.broken])
    unused = [*lacking, *overlooked(source), *remarked({key: look.remarks for key, look in whole})]
    findings.notes = [*source.notes, *_notes_of_parts(source), *_notes(findings, unused)]
    findings.usable = not findings.problems
    return findings


def _ignored(source: Encoded | Arrays) -> list[File]:
    """What was passed over; of what is only counted, an example a kind."""
    if isinstance(source, Arrays):
        return []
    examples = [File(path=one.example, reason=f"{one.reason}; one of {one.count:,}") for one in source.passed]
    return [*files_of(source.ignored), *examples]


def looks_of(
    source: Encoded | Arrays,
    rows: NDArray[np.int64],
    way: Reading,
    workers: int | None,
    progress: Callable[[int, int], None],
) -> list[Look | str]:
    """A look at each image of these rows, or why it is broken."""
    source.contents.recall()
    looks: list[Look | str] = []
    for_values = places_of(len(rows))
    with warnings.catch_warnings(), closing(_looked(source, rows, way, workers)) as looked:
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata
        for look in looked:
            looks.append(look if len(looks) in for_values or isinstance(look, str) else replace(look, values=None))
            progress(len(looks), len(rows))
    source.contents.remember()
    return _beside_each_other(looks)


def copies_among(looks: Sequence[Look | str]) -> tuple[Groups, Groups]:
    """Groups of places of looks at the same content, and at others that look alike."""
    whole = [(place, look) for place, look in enumerate(looks) if isinstance(look, Look)]
    same = [[whole[at][0] for at in group] for group in same_content(look.digest for _, look in whole)]
    copies = {place for group in same for place in group[1:]}
    single = [(place, look.sketch) for place, look in whole if place not in copies]
    alike = same_look(np.array([one for _, one in single], np.uint8).reshape(-1, 8, 9))
    return same, [[single[at][0] for at in group] for group in alike]


def _looked(
    source: Encoded | Arrays, rows: NDArray[np.int64], way: Reading, workers: int | None
) -> Generator[Look | str]:
    """Each image in turn, or why it is broken; threads work a bounded number ahead."""
    look = _look_at_arrays(source) if isinstance(source, Arrays) else partial(_look_at_file, source, way)
    with ThreadPoolExecutor(workers or os.cpu_count(), thread_name_prefix="check") as pool:
        for start in range(0, len(rows), AHEAD):
            yield from pool.map(look, rows[start : start + AHEAD].tolist())


def _look_at_file(source: Encoded, way: Reading, row: int) -> Look | str:
    def look() -> Look:
        data = source.fetch(row)
        made = picture(data, SCALED, reading=way)
        pixels, bits = made.pixels, {"uint8": 8, "uint16": 16}.get(str(made.pixels.dtype), MEASURED_BITS)
        content = source.contents.digests[row].tobytes()
        stored = data.data if isinstance(data, Page) else data
        length = len(stored) if isinstance(stored, bytes) else pixels.nbytes
        return Look(header(data), length, pixels.shape[2], bits, content, sketch(pixels), made.remarks, some_of(pixels))

    return attempt(look)


def _beside_each_other(looks: list[Look | str]) -> list[Look | str]:
    """The same, with the reason in place of each image whose values have no meaning beside those of most."""
    bits = [look.bits for look in looks if isinstance(look, Look) and look.header.format != "array"]
    odd = {8: LEVELS} if 2 * bits.count(MEASURED_BITS) > len(bits) else {MEASURED_BITS: MEASURED}
    return [odd.get(look.bits, look) if isinstance(look, Look) and bits else look for look in looks]


def _look_at_arrays(source: Arrays) -> Callable[[int], Look | str]:
    images = source.images

    def taken(stored: NDArray[Any]) -> NDArray[Any]:
        """As a run takes them: what its type cannot hold is not finite there."""
        with np.errstate(over="ignore"):
            return stored.astype(source.dtype, copy=False)

    sample = taken(images[:AHEAD])
    finite = sample[np.isfinite(sample)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    bits = 8 * source.dtype.itemsize
    shared = Header("array", str(images.dtype), images.shape[2], images.shape[1], 1, False)

    def look(row: int) -> Look | str:
        image = np.ascontiguousarray(images[row])
        seen = taken(image)
        if not np.isfinite(seen).all():
            return NOT_FINITE
        if seen.dtype != np.uint8:
            scaled = (seen.astype(np.float32) - low) / max(high - low, 1e-12)
            seen = np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
        content = content_of(image.tobytes())
        return Look(shared, image.nbytes, image.shape[2], bits, content, sketch(seen), values=some_of(image))

    return look


def _summary(looks: list[Look]) -> ImageFacts:
    headers = [look.header for look in looks]
    sizes = [(h.height, h.width) if h.orientation >= 5 else (h.width, h.height) for h in headers]
    widths, heights = np.array(sizes).T
    return ImageFacts(
        bytes=sum(look.length for look in looks),
        formats=counted([h.format for h in headers]),
        modes=counted([h.mode for h in headers]),
        channels=counted([look.channels for look in looks]),
        bits=counted([look.bits for look in looks]),
        orientations=counted([h.orientation for h in headers]),
        animated=sum(h.animated for h in headers),
        width=Spread.of(widths),
        height=Spread.of(heights),
        distinct_sizes=len(set(sizes)),
        sizes=_bins(np.maximum(widths, heights)),
        values=values_of([look.values for look in looks if look.values]),
    )


def _bins(sides: NDArray[np.int64]) -> list[Bin]:
    """Numbers of images by longer side, in steps of two, from the first that is not empty to the last."""
    edges = [1, SMALLEST]
    while edges[-1] <= sides.max():
        edges.append(2 * edges[-1])
    counts = np.histogram(sides, edges)[0]
    bins = [Bin(start=a, end=b - 1, count=int(c)) for a, b, c in zip(edges, edges[1:], counts)]
    filled = np.flatnonzero(counts)
    return bins[filled[0] : filled[-1] + 1]


def _problems(findings: Findings, tolerance: float) -> list[str]:
    """Why a run would not start."""
    broken, whole = len(findings.broken), findings.checked - len(findings.broken)
    if whole < FEWEST:
        return [f"{whole} of {findings.checked} images can be used, and no method learns from fewer than {FEWEST}"]
    return too_many("images", whole, broken, tolerance, "are broken")


def _notes_of_parts(source: Encoded | Arrays) -> list[str]:
    parts = ", ".join(map(printable, parts_among(source.labels or [], source.keys)))
    return [f"folders {parts} are parts of a split, not classes: name one of them where labels count"] * bool(parts)


def _notes(findings: Findings, unused: list[str]) -> list[str]:
    """What is good to know, and stops nothing."""
    facts, notes = findings.images, []
    if findings.checked < findings.count:
        notes.append(f"a random {findings.checked:,} of {findings.count:,} images were looked at")
    if by_sample("auto", findings.count):
        notes.append("a run looks at a sample of so many before its first step; --first-pass all has it look at all")
    notes += unused
    notes += notes_of_copies(findings.things, findings.duplicates)
    if alike := sum(len(group) - 1 for group in findings.near_duplicates):
        notes.append(f"{alike:,} images look like others; contrastive methods are told that they differ")
    if facts and len(facts.channels) > 1:
        notes.append("grey and colour images are mixed: all are trained on as colour")
    if facts and len(facts.bits) > 1:
        mixed = ", ".join(f"{count:,} of {bits} bits" for bits, count in facts.bits.items())
        notes.append(f"images of several depths are mixed ({mixed}): all are brought to that of most")
    notes += note_of(facts.values if facts else None)
    if facts and (turned := sum(count for way, count in facts.orientations.items() if way != "1")):
        notes.append(f"{turned:,} images are turned upright by their EXIF orientation")
    return notes
