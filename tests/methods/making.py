"""Small methods on small networks, one of each kind of data that they can be asked of, for the tests of many rooms."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from selftaught.contracts import modality
from selftaught.contracts.encoder import BEGIN, PADDING, WORDS
from selftaught.contracts.fitting import unfit
from selftaught.contracts.method import Data, Method
from selftaught.data.audio.preparation import Preparation as OfClips
from selftaught.data.images.preparation import Preparation as OfImages
from selftaught.data.series.preparation import Preparation as OfSeries
from selftaught.data.tables.preparation import Column
from selftaught.data.tables.preparation import Preparation as OfRows
from selftaught.data.text.preparation import Preparation as OfTexts
from selftaught.methods import registry
from selftaught.system import components, randomness
from selftaught.system.components import Part
from tests.data.audio.tones import folder
from tests.data.series.writing import waves
from tests.data.text.writing import lines
from tests.networks import NARROW, SHALLOW
from tests.test_golden import data

BATCH, COUNT = 8, 128
TILED = ("jigsaw", "pirl", "relative_location")
SMALL = {
    "width": 32,
    "dim": 16,
    "decoder_width": 32,
    "prototypes": 6,
    "queue": 16,
    "permutations": 12,
    "predictor_width": 32,
    "head_width": 32,
    "head_depth": 1,
    "out_dim": 24,
    "bottleneck": 16,
    "group": 8,
}
# What a batch of eight asks of some. Quantiles of so few are those of a cloud of deviation 0.75, which pulls visreg's
# features together. Cosines of 16 numbers are 0.25 by chance, which msn's temperature makes certain.
OWN = {"wmse": {"dim": 4}, "msn": {"dim": 32}, "moco": {"group": 4}, "visreg": {"scale": 4.0}}
TEXTS = OfTexts(words=40, length=12, tokenizer="")
OF_TEXTS = Part(name="text_tiny", options={"depth": 1, "width": 16})
SERIES = OfSeries(names=("", ""), length=22, means=(0, 0), deviations=(1, 1), masked=True)
OF_SERIES = Part(name="dilated_conv", options={"depth": 2, "width": 8, "dim": 16})
COLUMNS = (
    *(Column(name=str(number), kind="number") for number in range(5)),
    Column(name="colour", kind="category", values=("red", "green", "blue")),
)


def images(channels: int = 3, size: tuple[int, int] = (32, 32)) -> OfImages:
    """How images of so many channels become input."""
    facts = {"low": 0, "high": 255, "mean": (0.5,) * channels, "std": (0.25,) * channels}
    return OfImages(channels=channels, size=size, **facts)


def clips(size: tuple[int, int] = (24, 32)) -> OfClips:
    """How tones become input, of so many mels and frames."""
    return OfClips.at(4000, size)


@dataclass(frozen=True)
class Kind:
    """A kind of data as tests have it."""

    preparation: Any
    plain: Part  # a network that makes one vector of a sample
    tokens: Part  # and one that works on tokens
    written: Callable[[Path], Any]  # writes 48 samples below a folder, and says where


KINDS = {
    "images": Kind(images(), NARROW, SHALLOW, partial(data, kind="images", seed=0)),
    "audio": Kind(
        clips(),
        Part(name="test_resnet", options={"depth": 1, "width": 8}),
        Part(name="test_vit", options={"patch": 4, "depth": 1, "width": 16}),
        lambda place: folder(place / "clips"),
    ),
    "series": Kind(
        SERIES, OF_SERIES, Part(name="patch_transformer", options={"depth": 1, "width": 16, "patch": 4}), waves
    ),
    "tables": Kind(
        OfRows(columns=COLUMNS),
        Part(name="mlp", options={"depth": 2, "width": 32}),
        Part(name="ft_transformer", options={"depth": 1, "width": 16, "heads": 2}),
        partial(data, kind="rows", seed=0),
    ),
    "text": Kind(TEXTS, OF_TEXTS, OF_TEXTS, lines),
}
# Every method, and every kind of data that it can be asked of.
PAIRS = [
    (name, kind)
    for kind in KINDS
    for name in sorted(registry.places())
    if not unfit(registry.method_class(name), modality.named(kind))
]


def small(name: str) -> dict[str, Any]:
    """Options that make a method small: its own defaults ask for heads of up to 65,536 outputs."""
    possible = components.options(registry.method_class(name))
    return {key: value for key, value in SMALL.items() if key in possible} | OWN.get(name, {})


def network(name: str, kind: str) -> Part:
    """An encoder that a method can do with."""
    known = KINDS[kind]
    return known.tokens if registry.method_class(name).needs_tokens else known.plain


def made(
    name: str,
    channels: int = 3,
    encoder: str | Part | None = None,
    size: tuple[int, int] = (32, 32),
    starts: bool = True,
    kind: str = "",
    **chosen: Any,
) -> Method:
    """A method, asked of images where it can be. `channels` is for these, `size` for clips as well."""
    torch.manual_seed(0)
    cls = registry.method_class(name)
    kind = kind or registry.kind_of(cls)
    preparation = _preparation(kind, channels, size)
    build = modality.named(kind).build_encoder
    part = Part(name=encoder) if isinstance(encoder, str) else encoder or network(name, kind)
    teacher = [build(KINDS["images"].plain, preparation)] if cls.needs_teacher else []
    method: Method = cls(build(part, preparation), Data.of(preparation, COUNT), *teacher, **(small(name) | chosen))
    if starts:
        method.start(noise(kind, preparation.shape, COUNT, torch.default_generator))
    return method


def _preparation(kind: str, channels: int, size: tuple[int, int]) -> Any:
    if kind == "images":
        return images(channels, size)
    return clips(size) if kind == "audio" else KINDS[kind].preparation


def noise(kind: str, shape: tuple[int, ...], count: int, draws: torch.Generator) -> Tensor:
    """So many samples, which show nothing."""
    return texts(draws, count) if kind == "text" else torch.randn(count, *shape, generator=draws)


def views(
    method: Method, step: int = 0, channels: int = 3, size: tuple[int, int] = (32, 32), kind: str = ""
) -> list[Tensor]:
    """A batch of a method's views."""
    draws = torch.Generator().manual_seed(step)
    kind = kind or registry.kind_of(method)
    whole = _preparation(kind, channels, size).shape
    halved = modality.named(kind).SPATIAL  # other kinds have local views as long as the others
    local = (whole[0], whole[1] // 2, whole[2] // 2) if halved else whole
    return [
        torch.arange(BATCH) if name == "index" else noise(kind, local if name == "local" else whole, BATCH, draws)
        for name in method.views
    ]


def texts(draws: torch.Generator, count: int = BATCH) -> Tensor:
    """Texts of several lengths, one of which is a single word."""
    x = torch.randint(WORDS, TEXTS.words, (count, *TEXTS.shape), generator=draws)
    x[..., 0] = BEGIN
    ends = torch.randint(3, TEXTS.length + 1, (count, 1, 1), generator=draws)
    ends[0] = 2
    return x.masked_fill(torch.arange(TEXTS.length) >= ends, PADDING)


def side(name: str) -> int:
    """The fewest pixels that a method can do with, where convolutions are nearly all that its steps cost."""
    if registry.method_class(name).needs_tokens:
        return 32
    return 24 if name in TILED else 16


def take(
    method: Method,
    optimizer: torch.optim.Optimizer,
    step: int,
    steps: int = 20,
    fixed: bool = False,
    size: tuple[int, int] = (32, 32),
    kind: str = "",
) -> float:
    """One step and its loss; `fixed`: always on the same views, by the same draws, and nothing is kept of them."""
    with randomness.at(0, 0 if fixed else step, slice(0, BATCH)):
        torch.manual_seed(step)
        terms = method(*views(method, 0 if fixed else step, size=size, kind=kind))
        loss = sum(terms.values())
        optimizer.zero_grad()
        loss.backward()
    method.before_step(step / steps)
    optimizer.step()
    if not fixed:
        method.after_step((step + 1) / steps)
    return loss.item()
