"""Addressed randomness: every number is a function of its address and of nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selftaught.system import randomness


def draw(seed: int, step: int, rows: slice, total: int, position: int = 0, purpose: str = "crop") -> torch.Tensor:
    with randomness.at(seed, step, rows, total), randomness.view(position):
        return randomness.uniform((rows.stop - rows.start, 3), purpose)


def test_a_part_of_a_batch_draws_what_the_whole_batch_draws() -> None:
    whole = draw(0, 7, slice(0, 8), 8)
    parts = [draw(0, 7, slice(start, start + 2), 8) for start in range(0, 8, 2)]
    assert torch.equal(torch.cat(parts), whole)


def former(total: int, columns: int, kind: str) -> np.ndarray:
    """What was drawn of a global batch before there were blocks: all of it, from one stream."""
    rng = randomness.generator(3, "noise", 7, 2)
    return (
        rng.standard_normal((total, columns), np.float32)
        if kind == "normal"
        else rng.integers(1000, size=(total, columns))
    )


def part(kind: str, rows: slice, total: int, columns: int) -> np.ndarray:
    shape = (rows.stop - rows.start, columns)
    with randomness.at(3, 7, rows, total), randomness.view(2):
        return (
            randomness.normal(shape, "noise") if kind == "normal" else randomness.integers(1000, shape, "noise")
        ).numpy()


@pytest.mark.parametrize("columns", [1, 3, 8, 22])
def test_a_draw_that_jumps_gets_the_numbers_of_one_that_draws_all_before(columns: int) -> None:
    whole = randomness.generator(3, "mask", 7, 2).random((1000, columns), dtype=np.float32)
    for start, stop in ((0, 1000), (0, 1), (1, 2), (333, 700), (999, 1000)):
        with randomness.at(3, 7, slice(start, stop), 1000), randomness.view(2):
            jumped = randomness.uniform((stop - start, columns), "mask")
        assert np.array_equal(jumped.numpy(), whole[start:stop])


@pytest.mark.parametrize("kind", ["normal", "integers"])
def test_numbers_of_unlike_length_are_the_former_ones_up_to_a_block_and_the_same_for_any_part(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert np.array_equal(part(kind, slice(200, 300), 600, 7), former(600, 7, kind)[200:300])
    monkeypatch.setattr(randomness, "BLOCK", 7 * 100 + 3)  # a hundred rows each
    whole = part(kind, slice(0, 600), 600, 7)
    assert np.array_equal(whole[:100], former(600, 7, kind)[:100])
    assert len(np.unique(whole[::100], axis=0)) == 6  # each block is a stream of its own
    for start, stop in ((0, 50), (50, 150), (100, 200), (250, 599), (599, 600)):
        assert np.array_equal(part(kind, slice(start, stop), 600, 7), whole[start:stop])


def test_what_began_with_one_stream_goes_on_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomness, "BLOCK", 70)
    with randomness.drawn_by("streams"):
        assert np.array_equal(part("normal", slice(300, 310), 600, 7), former(600, 7, "normal")[300:310])
    assert not np.array_equal(part("normal", slice(300, 310), 600, 7), former(600, 7, "normal")[300:310])


def test_a_process_draws_no_more_than_its_rows_and_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(randomness, "generator", lambda *told, **where: Counted(drawn))
    with randomness.at(0, 0, slice(65_000, 65_128), 65_536):
        randomness.uniform((128, 196), "mask")
        randomness.normal((128, 30), "noise")
        randomness.integers(9, (128, 30), "donor")
    assert drawn[0] < 128 * 196 + randomness.WORDS and max(drawn) <= randomness.BLOCK + 128 * 30


class Counted:
    """A generator that tells how many numbers it was asked for."""

    def __init__(self, drawn: list[int]) -> None:
        self.drawn = drawn

    def random(self, count: int, dtype: type) -> np.ndarray:
        self.drawn.append(count)
        return np.zeros(count, dtype)

    standard_normal = random

    def integers(self, high: int, size: int) -> np.ndarray:
        return self.random(size, np.int64)


def test_every_part_of_the_address_matters() -> None:
    first = draw(0, 7, slice(0, 8), 8)
    others = [
        draw(1, 7, slice(0, 8), 8),
        draw(0, 8, slice(0, 8), 8),
        draw(0, 7, slice(0, 8), 8, position=1),
        draw(0, 7, slice(0, 8), 8, purpose="flip"),
    ]
    assert all(not torch.equal(first, other) for other in others)
    assert torch.equal(first, draw(0, 7, slice(0, 8), 8))


def test_a_seed_may_use_more_than_32_bits() -> None:
    assert not torch.equal(draw(2**40, 0, slice(0, 4), 4), draw(0, 0, slice(0, 4), 4))


def test_neighbouring_steps_do_not_overlap() -> None:
    """A long draw at one step must not run into the counter of the next."""
    with randomness.at(0, 0, slice(0, 1000), 1000):
        first = randomness.uniform((1000, 50), "noise")
    with randomness.at(0, 1, slice(0, 1000), 1000):
        second = randomness.uniform((1000, 50), "noise")
    assert len(np.intersect1d(first[:, 0].numpy(), second.numpy().ravel())) < 20  # of float32 chance matches


def test_the_distributions_are_what_they_say() -> None:
    with randomness.at(3, 0, slice(0, 20_000), 20_000):
        uniform = randomness.uniform((20_000,), "u")
        normal = randomness.normal((20_000,), "n")
        integers = randomness.integers(4, (20_000,), "i")
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.01
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03
    assert (torch.bincount(integers, minlength=4) / 20_000 - 0.25).abs().max() < 0.02


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**60), epoch=st.integers(0, 10_000), count=st.integers(1, 300))
def test_an_epoch_visits_every_sample_once(seed: int, epoch: int, count: int) -> None:
    assert sorted(randomness.permutation(seed, epoch, count)) == list(range(count))


def test_without_an_address_there_are_no_numbers() -> None:
    with pytest.raises(RuntimeError, match="address"):
        randomness.uniform((4,), "crop")


def test_asking_for_other_rows_than_the_address_has_is_refused() -> None:
    with randomness.at(0, 0, slice(0, 4), 4), pytest.raises(ValueError, match="5 rows"):
        randomness.uniform((5,), "crop")


def test_indices_are_as_many_as_the_things_there_are() -> None:
    draws = torch.tensor([0.0, 0.25, 0.999, 1 - 2**-24])
    assert randomness.indices(draws, 4).tolist() == [0, 1, 3, 3]
    many = 2**24 + 3  # more than a float32 tells apart, in which this is 2**24 + 4
    assert randomness.indices(draws, many).max() < many


@pytest.mark.parametrize("device", [False, True])
def test_a_step_seeds_every_generator_of_torch_and_by_its_address(
    device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: device)
    if device:
        monkeypatch.setattr(torch, "manual_seed", seeded.append)
        randomness.seed_torch(0, 3, 0)
        assert seeded == [int(randomness.generator(0, "torch", 3, 0).integers(2**32))]
        return
    with torch.random.fork_rng(devices=[]):
        randomness.seed_torch(0, 3, 0)
        drawn = torch.rand(4)
        torch.manual_seed(int(randomness.generator(0, "torch", 3, 0).integers(2**32)))
        assert torch.equal(drawn, torch.rand(4))
