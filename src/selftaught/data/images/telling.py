"""What is said of images when they are opened: what is not used, left out, or of another depth."""

import numpy as np

from selftaught.data.images.canvas import LEVELS, MEASURED, Pixels, Values
from selftaught.data.images.decoded import Span
from selftaught.data.images.overlooked import missing, overlooked, remarked
from selftaught.data.images.preparation import Preparation, brightest
from selftaught.data.sources.arrays import NOT_FINITE
from selftaught.data.sources.encoded import Encoded
from selftaught.data.sources.folder import NO_FAULTS
from selftaught.data.storage import Failures, Work
from selftaught.system.errors import BrokenData, DataError
from selftaught.system.saying import say
from selftaught.system.text import printable

NAMED = 3  # of the broken images, in an error
FAR = 4  # times: so much of the range of 16 bits may be unused by chance
OTHER_RANGE = 100  # values that are so many times larger or smaller mean something else
MUCH = 0.5  # of all values, beyond a range that was asked for
OF_OTHERS = {MEASURED, LEVELS}  # why an image that was decoded has no place, where the others are of another kind


def tell_remarks(name: str, work: Work) -> None:
    """Say what of the files is not used, once for each kind, and what they need that is missing."""
    for line in remarked(work.remarks):
        say(f"warning: {printable(name)}: {line}")
    for line in missing(work.quarantined):
        say(f"warning: {printable(name)}: {len(work.quarantined):,} images are left out; {line}")


def tell_cut(name: str, seen: list[Pixels], span: Span) -> None:
    """Say where a range that was asked for leaves out most of what there is."""
    beyond = np.mean([np.mean((image < span[0]) | (image > span[1])) for image in seen])
    if beyond > MUCH:
        told = f"{100 * beyond:.0f}% of the values lie beyond {span[0]:g} to {span[1]:g}, and are cut off"
        say(f"warning: {printable(name)}: {told}: is --range what was meant?")


def tell_depths(name: str, seen: list[Pixels], values: Values, of_encoder: bool, known: bool) -> None:
    """Say where levels of 8 and of 16 bits meet, or those of 16 bits have another range than the encoder's.

    known: whether it is known which values are black and white, so that images may well be dark.
    """
    dtype, top, shown = values.dtype, values.top, printable(name)
    those = "what the encoder learnt from" if of_encoder else "most"
    eight, sixteen = ([image for image in seen if image.dtype == kind] for kind in (np.uint8, np.uint16))
    largest = max((int(image.max()) for image in sixteen), default=0)
    if dtype == np.uint16 and eight:
        say(f"warning: {shown} holds images of 8 bits, {those} has 16: 255 is taken for {top}")
    elif dtype == np.uint8 and sixteen:
        say(f"warning: {shown} holds images of 16 bits (up to {largest}), {those} has 8: {top} is taken for 255")
    elif of_encoder and not known and sixteen and top and not top / FAR < brightest(largest) <= top:
        say(
            f"warning: {shown} holds values up to {largest}, and the encoder learnt from values up to {top}: scale "
            "them alike, where they do not mean the same"
        )


def unread(source: Encoded) -> Failures:
    """What was passed over for a fault of its own; what else a person may miss is told aloud."""
    for line in overlooked(source):
        say(f"warning: {printable(source.name)}: {line}")
    return [(key, reason) for key, reason in source.ignored if reason not in NO_FAULTS]


def refuse_broken(
    name: str,
    count: int,
    tolerance: float,
    sampled: bool,
    like: Preparation | None,
    seen: list[Pixels],
    failed: Failures,
) -> None:
    """Raise BrokenData where too many of `count` images, which may be a sample, cannot be decoded, or used.

    like: of an encoder; where no image is of the kind that it takes, what they are is told by those `seen`.
    """
    if not too_many(failed, count, tolerance):
        return
    if like and seen and len(failed) == count and {reason for _, reason in failed} <= OF_OTHERS:
        raise _other_values(name, max(float(image.max()) for image in seen), like)
    verb = "used" if failed[0][1] in {NOT_FINITE, *OF_OTHERS} else "decoded"  # they are pixels already
    things = f"images{' looked at' * sampled} in {printable(name)}"
    raise BrokenData(counted(things, verb, count, tolerance, failed), name, failed)


def refuse_other_values(name: str, pixels: Pixels, like: Preparation) -> None:
    """Values of quite another range, such as [0, 1] for [0, 255], would all look the same to the encoder."""
    top, span = float(pixels.max()), like.high - like.low
    eight_bit = pixels.dtype == np.uint8 and (like.low, like.high) == (0, 255)  # black is black
    if not eight_bit and not span / OTHER_RANGE <= top - like.low <= span * OTHER_RANGE:
        raise _other_values(name, top, like)


def _other_values(name: str, top: float, like: Preparation) -> DataError:
    taken = f"the encoder takes {like.low:g} to {like.high:g}"
    return DataError(f"{printable(name)} holds values up to {top:g}, {taken}: scale them alike")


def too_many(failed: Failures, count: int, tolerance: float) -> bool:
    """Whether more of `count` have failed than are allowed to, or all."""
    return len(failed) > tolerance * count or len(failed) == count


def counted(things: str, verb: str, count: int, tolerance: float, failed: Failures) -> str:
    """How many of what cannot be decoded or used, and why the first few are not."""
    first = "; then ".join(f"{printable(key)}: {reason}" for key, reason in failed[:NAMED])
    allowed = f", more than {100 * tolerance:g}%" if tolerance < 1 else ""
    needed = "".join(f"; {line}" for line in missing(failed))
    return f"{len(failed)} of {count} {things} cannot be {verb}{allowed}; the first is {first}{needed}"
