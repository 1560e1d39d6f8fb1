"""Which columns of a table are its labels, and so no features: as somebody says, as an encoder knows, or by name."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from selftaught.data.sources.labels import LABELS, LIKE_LABELS, NO_LABEL, labels_among, named_like, parted
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

AXES = ("x", "z")  # beside which "y" is an axis as well


class OwnLabels(str):
    """A note on a source that says where it has labels of its own, which is not so where those of a file are taken."""


@dataclass(frozen=True)
class Taken:
    """What an encoder has taken from a table, where there is one already."""

    columns: tuple[str, ...] = ()
    label: str | None = None  # the column that was left out as the label, several by commas; NO_LABEL where none is
    length: int | None = None  # points of a whole series; None of what is no series, or was cut into windows
    # Those of the columns that are of numbers, and the cells of each that were taken for missing.
    numbers: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def named(self) -> tuple[str, ...]:
        """The columns, where they are known by name; those of arrays are all called ""."""
        return self.columns if any(self.columns) else ()


def label_columns(
    header: Sequence[str], asked: str | None, taken: Taken | None, shown: str, axes: bool = False
) -> tuple[list[str], list[str]]:
    """The columns that hold the labels, and those that are no features either, as they are named like labels.

    axes: whether columns may be directions in space. Raises UsageError where an encoder has learnt from a column that
    was asked for.
    """
    features = taken.named if taken else ()
    for column in parted(header, asked) if asked is not None else ():
        if column in features:
            told = f"the encoder has learnt from column '{printable(column)}' of {shown}, so it cannot be judged by it"
            raise UsageError(f"{told}: pre-train anew with --label-column {printable(asked)}")
    if asked is None and taken and taken.label and finds(header, taken.label):
        asked = taken.label
    if asked is not None:
        return labels_among(header, asked, shown), []
    # Of an encoder that has learnt from names, and from no "y", that was the label.
    space = axes and not features and bool(named_like(header, AXES))
    open_to = [column for column in header if column not in features and not (space and column.lower() == "y")]
    named = named_like(open_to, LABELS)
    return named[:1], named[1:]


def finds(header: Sequence[str], label: str) -> bool:
    """Whether all columns that a label was in, several by commas, are there again."""
    return label == NO_LABEL or {*parted(header, label)} <= {*header}


def notes_of_labels(
    header: Sequence[str], labels: Sequence[str], left_out: Sequence[str], asked: str | None, taken: Taken | None
) -> list[str]:
    """What to say of columns that are labels, or that could be mistaken for such."""
    told = f"column '{printable(', '.join(labels))}'"
    if taken:
        return [OwnLabels(f"labels are those of {told}")] * bool(labels)
    notes = []
    if labels:
        why = "holds the labels" if asked else "is taken for the label"
        way = "" if asked else f"; --label-column {NO_LABEL} learns from it as well"
        notes.append(f"{told} {why} and is not learnt from{way}")
    if left_out:
        left = ", ".join(repr(printable(column)) for column in left_out)
        notes.append(f"{left} is left out as well, to be no feature; --label-column says which is the label")
    others = [] if asked or labels else named_like(header, (*LABELS, *LIKE_LABELS))
    return notes + [
        f"column '{printable(column)}' is named like a label and is learnt from; "
        f"--label-column {printable(column)} leaves it out"
        for column in others
    ]


def without_own(notes: Sequence[str]) -> list[str]:
    """Notes on a source, in place of whose labels stand those of a file."""
    return [note for note in notes if not isinstance(note, OwnLabels)]
