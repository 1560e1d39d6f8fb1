"""Everything that can be known of images before training, by reading and decoding every one of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts.findings import Bin, File, Findings, ImageFacts, Spread
from selftaught.contracts.modality import parts_among
from selftaught.data.facts import classes, counted, files_of, notes_of_copies, notes_of_labels, too_many
from selftaught.data.first_pass import by_sample
from selftaught.data.images.decoded import Reading
from selftaught.data.images.looks import Look, beside_each_other, channels_of, copies_among, looks_of
from selftaught.data.images.overlooked import missing, overlooked, remarked
from selftaught.data.images.pages import paged
from selftaught.data.images.values import note_of, values_of
from selftaught.data.sources.arrays import Arrays
from selftaught.data.sources.encoded import Encoded
from selftaught.data.sources.manifest import damaged
from selftaught.data.sources.metadata import facts_of
from selftaught.data.sources.open import open_source
from selftaught.system import randomness
from selftaught.system.text import number_of, printable, spelled

SMALLEST = 16  # bin of the histogram, in pixels; each further one is twice as wide
FEWEST = 2  # images that can be told apart


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
    seen = looks_of(source, rows, way, workers, progress)
    looks = beside_each_other(seen)
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
    notes = _notes(findings, unused, channels_of(seen))
    findings.notes = [*source.notes, *notes_of_labels(source), *_notes_of_parts(source), *notes]
    findings.usable = not findings.problems
    return findings


def _ignored(source: Encoded | Arrays) -> list[File]:
    """What was passed over; of what is only counted, an example a kind."""
    if isinstance(source, Arrays):
        return []
    examples = [File(path=one.example, reason=f"{one.reason}; one of {one.count:,}") for one in source.passed]
    return [*files_of(source.ignored), *examples]


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


def _notes(findings: Findings, unused: list[str], channels: int) -> list[str]:
    """What is good to know, and stops nothing; channels: that images are stored with."""
    facts, notes = findings.images, []
    if findings.checked < findings.count:
        notes.append(f"a random {findings.checked:,} of {findings.count:,} images were looked at")
    if by_sample("auto", findings.count):
        notes.append("a run looks at a sample of so many before its first step; --first-pass all has it look at all")
    notes += unused
    notes += notes_of_copies(findings.things, findings.duplicates)
    if alike := findings.alike:
        those = f"{alike:,} images look like others" if alike > 1 else "1 image looks like another"
        notes.append(f"{those}; contrastive methods are told that they differ")
    if facts and len(facts.channels) > 1:
        notes.append(f"grey and colour images are mixed: all are trained on as {'colour' if channels == 3 else 'grey'}")
    if facts and len(facts.bits) > 1:
        mixed = ", ".join(f"{count:,} of {bits} bits" for bits, count in facts.bits.items())
        notes.append(f"images of several depths are mixed ({mixed}): all are brought to that of most")
    notes += note_of(facts.values if facts else None)
    if facts and (turned := sum(count for way, count in facts.orientations.items() if way != "1")):
        how = "are turned upright by their" if turned > 1 else "is turned upright by its"
        notes.append(f"{number_of(turned, 'image')} {how} EXIF orientation")
    return notes
