"""What every method promises, over all that are found and all kinds of data: no method needs a test of its own."""

from collections.abc import Callable

import pytest
import torch

from selftaught.contracts import modality
from selftaught.methods import registry
from selftaught.system import randomness
from selftaught.training.optimizers import apply_schedule, build_optimizer
from tests.methods.making import BATCH, KINDS, PAIRS, made, side, take, views


def each(test: Callable) -> Callable:
    return pytest.mark.parametrize("name", sorted(registry.places()))(test)


def each_pair(test: Callable) -> Callable:
    """Of a method and a kind of data that it can be asked of."""
    return pytest.mark.parametrize(("name", "kind"), PAIRS)(test)


def test_most_methods_can_be_asked_of_all_kinds_of_data() -> None:
    counts = {kind: sum(where == kind for _, where in PAIRS) for kind in modality.NAMES}
    assert all(count >= 20 for count in counts.values()), counts
    assert {name for name, _ in PAIRS} == set(registry.places())


@each
def test_the_class_says_which_views_its_defaults_make_since_help_reads_them_there(name: str) -> None:
    assert registry.method_class(name).views == made(name).views


@each_pair
def test_terms_are_finite_scalars_and_the_chance_level_is_near_a_fresh_loss(name: str, kind: str) -> None:
    method = made(name, kind=kind)
    for step in range(3):  # queues and banks come to hold features
        with randomness.at(0, step, slice(0, BATCH)):
            terms = method(*views(method, step, kind=kind))
        method.after_step(0.0)
    assert terms and all(term.ndim == 0 and term.isfinite() for term in terms.values())
    floor = method.chance(BATCH)
    if floor is not None and kind == registry.kind_of(method):  # on others fresh networks tell views apart at once
        assert 0.5 * floor < sum(terms.values()).item() < 2.5 * floor


@each_pair
def test_the_optimiser_moves_the_encoder_and_nothing_that_is_frozen(name: str, kind: str) -> None:
    size = (side(name), side(name))
    method = made(name, size=size, kind=kind)
    optimizer = build_optimizer(method, method.preset, 256)
    owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
    frozen = [p for p in method.parameters() if not p.requires_grad]
    assert not owned & {id(p) for p in frozen}
    before = {key: value.clone() for key, value in method.encoder.named_parameters()}
    for step in range(3):
        apply_schedule(optimizer, method.preset, 0.2)
        take(method, optimizer, step, size=size, kind=kind)
    still = [key for key, p in method.encoder.named_parameters() if p.requires_grad and torch.equal(p, before[key])]
    assert not still
    assert all(p.grad is None for p in frozen)


@each_pair
def test_with_everything_held_fixed_15_steps_lower_the_loss(name: str, kind: str) -> None:
    size = (side(name), side(name))
    method = made(name, size=size, kind=kind)
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], 1e-3)
    losses = [take(method, optimizer, step, fixed=True, size=size, kind=kind) for step in range(15)]
    first = 0 if kind == registry.kind_of(method) else 1  # at 0 a student is a copy of its teacher, and agrees with it
    assert losses[-1] < losses[first]


@each_pair
def test_draws_come_from_their_address(name: str, kind: str) -> None:
    method = made(name, kind=kind).eval()  # eval: no running statistics, so a second pass is the same computation
    batch = views(method, kind=kind)
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


@each_pair
def test_a_picture_shows_batches_of_samples(name: str, kind: str) -> None:
    method = made(name, kind=kind).eval()
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        pictures = method.picture(*views(method, kind=kind))
    assert pictures
    axes = 1 + len(KINDS[kind].preparation.shape)
    assert all(shown.ndim == axes and len(shown) == BATCH and shown.isfinite().all() for shown in pictures.values())


@each_pair
def test_methods_that_need_no_tokens_work_on_a_transformer_too(name: str, kind: str) -> None:
    method = made(name, kind=kind, encoder=KINDS[kind].tokens)
    with randomness.at(0, 0, slice(0, BATCH)):
        sum(method(*views(method, kind=kind)).values()).backward()
    assert all(p.grad is not None for p in method.encoder.parameters() if p.requires_grad)
