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
