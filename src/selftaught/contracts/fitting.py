"""Which methods can be asked of which kinds of data: what a method needs, against what a kind says of its samples."""

from typing import TYPE_CHECKING

from selftaught.contracts.modality import Modality

if TYPE_CHECKING:
    from selftaught.contracts.method import Method


def unfit(method: "type[Method]", kind: Modality) -> str:
    """Why a method has no question to ask of samples of a kind, in words that follow its name; "" where it has one."""
    lacking = (
        (method.needs_teacher and not kind.PRETRAINED, "learns from a network that others have taught on images"),
        (method.needs_words and not kind.WORDS, "asks about words"),
        (method.needs_time and (kind.WORDS or kind.SPATIAL or not kind.ALONG), "asks about moments of time series"),
        (method.needs_values and kind.WORDS, "asks about values such as pixels"),
        (method.needs_places and not kind.ALONG, "asks what lies beside what"),
        (method.needs_images and not kind.SPATIAL, "asks about images"),
        (method.needs_color and not kind.COLORED, "asks about colours"),
        (method.needs_turns and not kind.TURNABLE, "turns samples, whose axes must mean the same for that"),
    )
    return next((told for lacks, told in lacking if lacks), "")
