"""What every method promises, over all that are found: no method needs a test of its own for these."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from selftaught.contracts.encoder import BEGIN, PADDING, WORDS
from selftaught.contracts.method import Data, Method
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.series.encoders import build_encoder as build_encoder_of_series
from selftaught.data.series.preparation import Preparation as OfSeries
from selftaught.data.text.encoders import build_encoder as build_encoder_of_texts
from selftaught.data.text.preparation import Preparation as OfTexts
from selftaught.methods import registry
from selftaught.system import components, randomness
from selftaught.system.components import Part
from selftaught.training.optimizers import apply_schedule, build_optimizer

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
# features together.
TEXTS = OfTexts(words=40, length=12, tokenizer="")
OF_TEXTS = Part(name="text_tiny", options={"depth": 1, "width": 16})
SERIES = OfSeries(names=("", ""), length=22, means=(0, 0), deviations=(1, 1))
OF_SERIES = Part(name="dilated_conv", options={"depth": 2, "width": 8, "dim": 16})
OWN = {"wmse": {"dim": 4}, "moco": {"group": 4}, "visreg": {"scale": 4.0}}


def small(name: str) -> dict[str, Any]:
    """Options that make a method small: its own defaults ask for heads of up to 65,536 outputs."""
    possible = components.options(registry.method_class(name))
    return {key: value for key, value in SMALL.items() if key in possible} | OWN.get(name, {})


def made(
    name: str,
    channels: int = 3,
    encoder: str | None = None,
    size: tuple[int, int] = (32, 32),
    starts: bool = True,
    **chosen: Any,
) -> Method:
    torch.manual_seed(0)
    cls = registry.method_class(name)
    if registry.kind_of(cls) == "text":
        return cls(build_encoder_of_texts(OF_TEXTS, TEXTS), Data.of(TEXTS, COUNT), **(small(name) | chosen))
    if registry.kind_of(cls) == "series":
        return cls(build_encoder_of_series(OF_SERIES, SERIES), Data.of(SERIES, COUNT), **(small(name) | chosen))
    facts = {"low": 0, "high": 255, "mean": (0.5,) * channels, "std": (0.25,) * channels}
    preparation = Preparation(channels=channels, size=size, **facts)
    network = encoder or ("test_vit" if cls.needs_tokens else "test_resnet")
    data = Data(COUNT, preparation.shape, preparation.mean, preparation.std)
    teacher = [build_encoder(Part(name="test_convnext"), preparation)] if cls.needs_teacher else []
    method = cls(build_encoder(Part(name=network), preparation), data, *teacher, **(small(name) | chosen))
    if starts:
        method.start(torch.randn(COUNT, *preparation.shape))
    return method


def views(method: Method, step: int = 0, channels: int = 3, size: tuple[int, int] = (32, 32)) -> list[Tensor]:
    draws = torch.Generator().manual_seed(step)
    if registry.kind_of(method) == "text":
        return [texts(draws) for _ in method.views]
    if registry.kind_of(method) == "series":
        return [torch.randn(BATCH, *SERIES.shape, generator=draws) for _ in method.views]
    small = (size[0] // 2, size[1] // 2)
    shapes = {"local": (BATCH, channels, *small)}
    return [
        torch.arange(BATCH)
        if name == "index"
        else torch.randn(shapes.get(name, (BATCH, channels, *size)), generator=draws)
        for name in method.views
    ]


def texts(draws: torch.Generator) -> Tensor:
    """Texts of several lengths, one of which is a single word."""
    x = torch.randint(WORDS, TEXTS.words, (BATCH, *TEXTS.shape), generator=draws)
    x[..., 0] = BEGIN
    ends = torch.randint(3, TEXTS.length + 1, (BATCH, 1, 1), generator=draws)
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
) -> float:
    with randomness.at(0, 0 if fixed else step, slice(0, BATCH)):
        torch.manual_seed(step)
        terms = method(*views(method, 0 if fixed else step, size=size))
        loss = sum(terms.values())
        optimizer.zero_grad()
        loss.backward()
    method.before_step(step / steps)
    optimizer.step()
    if not fixed:
        method.after_step((step + 1) / steps)
    return loss.item()


def each(test: Callable) -> Callable:
    return pytest.mark.parametrize("name", sorted(registry.places()))(test)


@each
def test_the_class_says_which_views_its_defaults_make_since_help_reads_them_there(name: str) -> None:
    assert registry.method_class(name).views == made(name).views


@each
def test_terms_are_finite_scalars_and_the_chance_level_is_near_a_fresh_loss(name: str) -> None:
    method = made(name)
    for step in range(3):  # queues and banks come to hold features
        with randomness.at(0, step, slice(0, BATCH)):
            terms = method(*views(method, step))
        method.after_step(0.0)
    assert terms and all(term.ndim == 0 and term.isfinite() for term in terms.values())
    floor = method.chance(BATCH)
    if floor is not None:
        assert 0.5 * floor < sum(terms.values()).item() < 2.5 * floor


@each
def test_the_optimiser_moves_the_encoder_and_nothing_that_is_frozen(name: str) -> None:
    size = (side(name), side(name))
    method = made(name, size=size)
    optimizer = build_optimizer(method, method.preset, 256)
    owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
    frozen = [p for p in method.parameters() if not p.requires_grad]
    assert not owned & {id(p) for p in frozen}
    before = {key: value.clone() for key, value in method.encoder.named_parameters()}
    for step in range(3):
        apply_schedule(optimizer, method.preset, 0.2)
        take(method, optimizer, step, size=size)
    still = [key for key, p in method.encoder.named_parameters() if p.requires_grad and torch.equal(p, before[key])]
    assert not still
    assert all(p.grad is None for p in frozen)


@each
def test_with_everything_held_fixed_15_steps_lower_the_loss(name: str) -> None:
    size = (side(name), side(name))
    method = made(name, size=size)
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], 1e-3)
    losses = [take(method, optimizer, step, fixed=True, size=size) for step in range(15)]
    assert losses[-1] < losses[0]


@each
def test_draws_come_from_their_address(name: str) -> None:
    method = made(name).eval()  # eval: no running statistics, so a second pass is the same computation
    batch = views(method)
    with torch.no_grad():
        with randomness.at(0, 3, slice(0, BATCH)):
            first = method(*batch)
        torch.rand(5)
        with randomness.at(0, 3, slice(0, BATCH)):
            second = method(*batch)
    assert all(torch.equal(first[key], second[key]) for key in first)


@each
@pytest.mark.parametrize("channels", [1, 5])
def test_other_channel_counts(name: str, channels: int) -> None:
    cls = registry.method_class(name)
    if cls.needs_color or registry.kind_of(cls) != "images":
        pytest.skip("asks about colours, or is for other kinds of data")
    method = made(name, channels)
    with randomness.at(0, 0, slice(0, BATCH)):
        assert all(term.isfinite() for term in method(*views(method, channels=channels)).values())


@each
def test_a_picture_shows_image_batches(name: str) -> None:
    method = made(name).eval()
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        pictures = method.picture(*views(method))
    assert pictures
    axes = 4 if registry.kind_of(method) == "images" else 3
    assert all(shown.ndim == axes and len(shown) == BATCH and shown.isfinite().all() for shown in pictures.values())


@each
def test_methods_that_need_no_tokens_work_on_a_vit_too(name: str) -> None:
    if registry.kind_of(registry.method_class(name)) != "images":
        pytest.skip("is for other kinds of data")
    method = made(name, encoder="test_vit")
    with randomness.at(0, 0, slice(0, BATCH)):
        sum(method(*views(method)).values()).backward()
    assert all(p.grad is not None for p in method.encoder.parameters() if p.requires_grad)
