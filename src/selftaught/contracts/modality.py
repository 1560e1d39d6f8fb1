"""What a kind of data brings along, so that everything else can do without knowing which kind it is.

A modality is a folder below `data/` with a preparation.py (how a sample becomes network input), whose package holds a
`Modality` by the name MODALITY. Nothing else lists it. Methods never import one, and it imports no method. Another
package's comes by an entry point of the group `selftaught.modalities`, which names its `Modality`.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts.samples import Samples
from selftaught.system.components import meant
from selftaught.system.errors import DataError
from selftaught.system.plugins import left_out_if_broken
from selftaught.system.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from selftaught.contracts.encoder import Encoder
    from selftaught.contracts.findings import Findings
    from selftaught.system.components import Part


DATA = Path(__file__).parents[1] / "data"
Fit = Callable[[Samples, int], Callable[[Samples], NDArray[Any]]]  # to samples, by a seed; then (N, D) is made of any
PARTS = ("train", "training", "test", "testing", "val", "valid", "validation", "eval", "dev")  # of a split, by folders
UNLABELLED = ("unlabeled", "unlabelled", "extra")  # beside such parts
GROUP = "selftaught.modalities"  # of entry points
DEFAULT = "images"  # what is no other kind of data: folders of files have no mark by which to know them
NAMES = (DEFAULT, *sorted({file.parent.name for file in DATA.glob("*/preparation.py")} - {DEFAULT}))


class Pictures(Protocol):
    """How samples that people can look at are shown."""

    def visible(self, views: "Tensor", preparation: Any, /) -> NDArray[np.uint8]:
        """Views (B, *shape) as 8-bit RGB (B, H, W, 3)."""

    def thumbnails(self, views: "Tensor", preparation: Any, side: int, /) -> NDArray[np.uint8]:
        """The same with no side longer than `side`, all of one size."""

    def contact_sheet(self, pictures: Mapping[str, "Tensor"], preparation: Any, columns: int = 8) -> "Image":
        """One row a name, its views beside it."""


class Looks(Protocol):
    """How samples are found that show the same and are stored in another way."""

    def sketches(self, stored: Sequence["Tensor"], preparation: Any, /) -> NDArray[np.uint8]:
        """Of each sample of a batch (B, ...)."""

    def same_look(
        self, sketches: NDArray[np.uint8], confirm: Callable[[NDArray[np.int64]], NDArray[np.bool_]], /
    ) -> list[list[int]]:
        """Groups of places of sketches that look alike, of which `confirm` says so of pairs (2, M)."""

    def closely_alike(
        self, one: Sequence["Tensor"], other: Sequence["Tensor"], preparation: Any, /
    ) -> NDArray[np.bool_]:
        """Whether each sample of one batch is the same as that of another (B,), by a closer look."""


class Masks(Protocol):
    """How the class of each pixel of samples is read."""

    def beside(self, data: str, /) -> str:
        """Where masks lie that nobody has named. Raises UsageError."""

    def read_masks(
        self,
        data: str,
        folder: str,
        keys: Sequence[str],
        view: tuple[int, int],
        out: tuple[int, int],
        tolerance: float,
        progress: Callable[[int, int], None],
    ) -> tuple[NDArray[np.uint16], NDArray[np.int64], list[tuple[str, str]]]:
        """Class numbers (M, *out) of what plain views of `view` show, the rows of `keys`, and what cannot be used."""

    @property
    def VOID(self) -> int:  # noqa: N802 - a constant of a module
        """The number of pixels of which nothing is said."""


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A kind of data. What has a default here is right for a kind that says nothing of it."""

    THINGS: str  # what its samples are called, in the plural
    THING: str = "sample"  # and a single one
    ENCODER: str  # where the user names none
    LIGHT_ENCODER: str = ""  # likewise, where a CPU trains it; empty: the same
    SIDES: Mapping[str, int] = field(default_factory=dict)  # of views in pixels, likewise, by the type of the device
    FIRST_CHOICES: Sequence[str]  # encoders to name where nobody has asked for any
    TOKEN_ENCODERS: Sequence[str]
    Preparation: Any
    create: Callable[..., Any]  # whose keyword-only parameters are the options of encoders
    build_encoder: Callable[..., "Encoder"]  # of a Part, a preparation and, for "own", the user's network
    guess: Callable[[tuple[int, int] | None, "Part"], Any]  # a preparation to try options on before data is opened
    recognises: Callable[[Any], bool]  # whether a name or an array is of this kind
    open_samples: Callable[..., Samples]  # of options of other kinds it takes no notice
    inspect: Callable[..., "Findings"]  # what is known of the data before training
    labels_by_key: Callable[[str], dict[str, str]]  # of labelled data, or a CSV
    view_options: Callable[[], dict[str, dict[str, Any]]]

    refuse_views: Callable[[Mapping[str, Mapping[str, Any]]], None] = lambda options: None  # those that cannot be made
    # By what samples show, the options of each view that are others than usual: --views-for.
    VIEWS_FOR: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    # Of a view by its name and options: what a method that needs it can no longer ask, "up" or "color", with the
    # option that takes it.
    lost: Callable[[str, Mapping[str, Any]], dict[str, str]] = lambda name, options: {}
    RAW: str = "raw values"  # samples without any encoder, as a baseline
    raw: Fit | None = None  # how that baseline is fitted; None: to their values
    USUAL: str = "usual features"  # what a practitioner would take of them without a network, beside that baseline
    # How it is fitted, by what is judged: samples to learn from, then those to test on. None where the kind has none,
    # or, which is said, where it cannot be had.
    usual: Callable[[Sequence[Samples]], Fit | None] = lambda sources: None
    # Files that stand beside an exported encoder, by name, so that others can prepare samples, of a preparation.
    beside: Callable[[Any], Mapping[str, str]] = lambda preparation: {}
    DOMAIN: str = ""  # what the Hub puts before the name of a task
    TIMM: Mapping[str, Any] = field(default_factory=dict)  # what timm, too, is told of how samples are prepared
    READ_IN_WAYS: bool = False  # whether --range, --pages and --bands say how samples are read
    SIZED: bool = False  # whether samples are made as large as --size says
    SPATIAL: bool = False  # whether samples have two axes, so that methods that ask about places in them can be asked
    COLORED: bool = False  # whether samples may have three channels that are colours
    TURNABLE: bool = False  # whether both axes mean the same, so that a sample can be turned and mirrored
    ALONG: bool = False  # whether methods that ask what lies beside what can be asked, on one axis at least
    WORDS: bool = False  # whether samples are words (contracts/encoder.py), by --tokenizer, --vocabulary and --context
    WINDOWED: bool = False  # whether samples may be windows of something longer, as --window says
    RATED: bool = False  # whether samples hold so many values a second, as --sampling-rate says
    COLUMNS: bool = False  # whether a sample is a row of columns, which scikit-learn counts
    PRETRAINED: bool = False  # whether encoders that others have taught are known
    # Of weights that somebody names, the encoder they are of, where a folder of others' says so; it has the words then.
    begun: "Callable[[str], Part | None]" = lambda source: None
    PICTURES: Pictures | None = None  # where a sample is something to look at
    # Views (B, *shape) as they read, where a few words say more of a sample than a thumbnail would.
    snippets: "Callable[[Tensor, Any], list[str]] | None" = None
    ASIDE: Sequence[str] = ()  # fields of a preparation that are too long to be said where it is described
    pack: Callable[..., Any] | None = None  # into tars, where each sample can be a file of its own
    LOOKS: Looks | None = None  # where one sample may be stored in several ways
    MASKS: Masks | None = None  # where each pixel of a sample may have a class of its own
    named_encoders: Callable[[str], list[str]] | None = None  # those of this pattern, where there are more
    # On the disk, of so many decoded, with so many for memory.
    # Bytes on the disk, of so many that samples take when they are decoded, where so many may be held in memory.
    cache_bytes: Callable[[int, int], int] = lambda decoded, memory: 0

    def task(self, name: str) -> str:
        """The Hub's tag of a task: tabular-classification."""
        return f"{self.DOMAIN}-{name}" if self.DOMAIN else name

    def usual_encoder(self, device: str, tokens: bool = False) -> str:
        """Where the user names none: by the type of the device, for a method that needs `tokens`, or for any."""
        if tokens:
            return self.TOKEN_ENCODERS[0]
        return (self.LIGHT_ENCODER if device == "cpu" else "") or self.ENCODER

    def encoders(self, pattern: str) -> list[str]:
        """Names of encoders that contain `pattern`; the first choices where it is empty."""
        if pattern and self.named_encoders:
            return self.named_encoders(pattern)
        return [name for name in self.FIRST_CHOICES if pattern in name]


def encoder_meant(name: str) -> str:
    """The encoder of any kind of data that is meant, whatever its case, hyphens and spaces; else what was said."""
    kinds = [named(one) for one in names()]
    known = [one for kind in kinds for one in (kind.named_encoders or kind.encoders)("")]
    return name if name in known else meant(name, known)


def parts_among(labels: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The labels of samples, where they are folders, and folders that data is split into rather than classes."""
    names = sorted(set(labels) - {""})
    of_folders = all(key.startswith(f"{label}/") for label, key in zip(labels, keys))
    learnt = any(name.lower() in PARTS for name in names)
    return names if learnt and of_folders and all(name.lower() in (*PARTS, *UNLABELLED) for name in names) else []


def names() -> tuple[str, ...]:
    """Those of all kinds of data, other packages' last."""
    return (*NAMES, *_plugins())


@cache
def _plugins() -> dict[str, Modality]:
    """The kinds of other packages by name; one that cannot be had is said and left out, and ours stay ours."""
    found: dict[str, Modality] = {}
    for point in entry_points(group=GROUP):
        with left_out_if_broken(f"the kind of data {printable(point.name)}"):
            kind = point.load()
            if kind.Preparation.modality != point.name or point.name in NAMES:
                raise ValueError(f"it must be called {kind.Preparation.modality!r}, and as none of ours is")
            found[point.name] = kind
    return found


def named(name: str) -> Modality:
    """The modality of this name, which may come from a file: nothing else is imported. Raises ValueError."""
    if name not in NAMES:
        if name not in _plugins():
            raise ValueError(f"there is no modality {name!r}")
        return _plugins()[name]
    kind: Modality = import_module(f"selftaught.data.{name}").MODALITY
    return kind


def of(data: Any) -> Modality:
    """The modality of the data that the user names. Raises DataError where it may not be looked at."""
    asked = data if isinstance(data, np.ndarray) else str(data)
    own = "" if isinstance(asked, np.ndarray) else asked.partition(":")[0]
    first = sorted(names()[1:], key=lambda name: name != own)  # text:a.csv looks like rows, too
    try:
        return next((kind for kind in map(named, first) if kind.recognises(asked)), named(DEFAULT))
    except OSError as error:  # of a folder above it that may not be gone through
        raise DataError(f"{printable(data)} cannot be read: {error.strerror or error}") from None


def place_of(data: str) -> str:
    """Where data lies whose name may begin with what kind it is of: signals.npy of series:signals.npy."""
    kind, mark, rest = data.partition(":")
    return rest if mark and kind in names() else data


def name_as(kind: Modality, data: str) -> str | None:
    """How data that lies on the disk is called as of a kind: series:signals.npy for signals.npy.

    None where there is nothing, or where names of this kind have no such mark.
    """
    mark, place = f"{kind.Preparation.modality}:", place_of(data)
    there = os.path.exists(place)  # noqa: PTH110 - Path raises for a name that no file can have
    return mark + place if there and kind.Preparation.modality != DEFAULT and kind.recognises(mark) else None


def raw_of(things: str) -> str:
    """What the baseline without any encoder is called, of samples that are called so."""
    return _with(things).RAW


def usual_of(things: str) -> str:
    """Likewise, what is usual of them beside it."""
    return _with(things).USUAL


def _with(things: str) -> Modality | type[Modality]:
    """The modality whose samples are called so; where there is none, what is so by default."""
    return next((kind for kind in map(named, names()) if things == kind.THINGS), Modality)
