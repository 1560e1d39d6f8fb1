"""What of a source is not used, for people: photos in other formats, links, lost classes, pages and bands."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from selftaught.data.sources.encoded import EXTRA
from selftaught.data.sources.folder import DANGLING, LINK, NO_IMAGE, OUTSIDE
from selftaught.data.sources.source import Source
from selftaught.system.text import printable

# Of images in formats that are not read: photos, then those of microscopes, scanners and hospitals.
PHOTOS = (
    *(".jp2", ".j2k", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".exr", ".tga"),
    *(".nii", ".nii.gz", ".svs", ".ndpi", ".czi", ".nd2", ".lif", ".fits"),
)
NAMED = 5  # classes, in one line


def overlooked(source: Source) -> list[str]:
    """A line for each kind of what was passed over and a person may have meant to be there."""
    ignored: Sequence[tuple[str, str]] = getattr(source, "ignored", ())
    photos = [key for key, reason in ignored if reason == NO_IMAGE and key.lower().endswith(PHOTOS)]
    counts = Counter(next(suffix for suffix in PHOTOS if key.lower().endswith(suffix)) for key in photos)
    lines = []
    if photos:
        counted = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common())
        lost = _lost(photos, source.keys)
        lines.append(f"images in formats that are not read are passed over ({counted}): convert them first{lost}")
    if links := sum(reason in (OUTSIDE, LINK) for _, reason in ignored):
        lines.append(f"{links:,} links that lead elsewhere are not followed: copy what they lead to (cp -rL)")
    if dangling := sum(reason == DANGLING for _, reason in ignored):
        lines.append(f"{dangling:,} links lead to nothing: put back what they led to, or remove them")
    return lines


def remarked(remarks: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each kind of what is not used of images, given what is of each by its printable key."""
    counts = Counter(remark for own in remarks.values() for remark in own)
    return [
        f"{count:,} images {remark}, such as {min(key for key, own in remarks.items() if remark in own)}"
        for remark, count in counts.most_common()
    ]


def missing(failed: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each extra that images lack, given the reasons why they cannot be decoded."""
    counts = Counter(found[0] for _, reason in failed if (found := re.search(EXTRA, reason)))
    return [f"{count:,} of them need {way}" for way, count in counts.most_common()]


def _lost(photos: Sequence[str], keys: Sequence[str]) -> str:
    """The top folders, as classes are, of which nothing is left."""
    left = {key.partition("/")[0] for key in keys}
    gone = sorted({key.partition("/")[0] for key in photos if "/" in key} - left)
    if not gone:
        return ""
    more = f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
    return f"; nothing is left of {', '.join(map(printable, gone[:NAMED]))}{more}"
