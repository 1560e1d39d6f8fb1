"""The orders of an epoch: each sample once, the same for any number of processes, in no memory, and mixed."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from selftaught.system import randomness
from selftaught.system.order import LANES, ORDERS, WINDOW, Apart, Blocks, Full, Kind, keys_of, permuted


@pytest.mark.parametrize("count", [1, 2, 3, 10, 63, 64, 65, 4097])
def test_a_permutation_has_everything_once_and_is_another_for_another_key(count: int) -> None:
    places = np.arange(count)
    one, other = (permuted(places, count, keys_of(0, name)) for name in "ab")
    assert sorted(one.tolist()) == sorted(other.tolist()) == list(range(count))
    assert count < 10 or (one != other).mean() > 0.7
    assert (permuted(places[::-1], count, keys_of(0, "a"))[::-1] == one).all()


def test_a_permutation_is_any_of_all() -> None:
    """Each of the 24 of four things comes as often as by chance: the statistic lies below its 99.9 % quantile."""
    codes = [tuple(permuted(np.arange(4), 4, keys_of(seed)).tolist()) for seed in range(2400)]
    counts = np.unique(np.array(codes) @ 4 ** np.arange(4), return_counts=True)[1]
    assert len(counts) == 24 and ((counts - 100) ** 2 / 100).sum() < 49.7


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize(("count", "size"), [(1000, 48), (37, 5), (70_000, 1024), (8, 8)])
def test_an_epoch_shows_no_sample_twice_and_leaves_less_than_a_batch_out(kind: Kind, count: int, size: int) -> None:
    order, seen = ORDERS[kind](3, count, size), np.zeros(count, np.int64)
    for epoch in range(3):
        shown = np.concatenate([order(epoch, batch, 0, size) for batch in range(count // size)])
        assert len(np.unique(shown)) == len(shown) == count // size * size
        seen[shown] += 1
    assert seen.min() >= 1  # whoever is left out once is not so again and again


@pytest.mark.parametrize("kind", ORDERS)
def test_any_number_of_processes_sees_the_same_batches(kind: Kind) -> None:
    order = ORDERS[kind](5, 5000, 96)
    for epoch, batch in ((0, 0), (0, 51), (1, 7)):
        whole = order(epoch, batch, 0, 96)
        for world in (1, 2, 3, 4, 6, 8, 12, 16):
            shares = [order(epoch, batch, rank * 96 // world, (rank + 1) * 96 // world) for rank in range(world)]
            assert (np.concatenate(shares) == whole).all()


def test_blocks_are_read_once_by_processes_that_share_none() -> None:
    count, size, world = 50_000, 512, 8
    order = Blocks(0, count, size)
    assert order.block == count // (LANES * 64)
    begin = order.begin(0)
    opened: list[set[int]] = [set() for _ in range(world)]
    for rank in range(world):
        last, left = dict[int, int](), 0
        for batch in range(count // size):
            rows = (order(0, batch, rank * size // world, (rank + 1) * size // world) - begin) % count
            for block in np.unique(rows // order.block).tolist():
                left += block in last and batch - last[block] > 2 * WINDOW * order.block // order.share
                last[block] = batch
        assert left <= 1  # none is come back to after its window, but where one lane ends and the other begins
        opened[rank] = set(last)
    shared = sum(len(one & other) for place, one in enumerate(opened) for other in opened[place + 1 :])
    assert shared <= 3 * world and min(map(len, opened)) > 120  # where one's part of the line ends another's begins


def test_ten_billion_samples_take_no_memory() -> None:
    order = Blocks(1, 10**10, 65_536)
    tracemalloc.start()
    rows = order(3, 12_345, 4096, 8192)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(rows)) == 4096 and rows.max() > 10**9 and peak < 4 << 20


def test_neighbours_are_mixed() -> None:
    """Within a window as by chance: of two that follow each other in a lane few lie side by side."""
    order = Blocks(2, 100_000, 16)
    lane = [int(order(0, batch, 3, 4)[0]) for batch in range(500)]
    assert sum(abs(a - b) == 1 for a, b in pairwise(lane)) < 15
    blocks = [row // order.block for row in lane]
    assert len(set(blocks)) > 4 and sum(a != b for a, b in pairwise(blocks)) > 250


def test_orders_stay_what_they_are() -> None:
    """Runs that began go on by them."""
    assert Full(7, 20, 4)(1, 2, 0, 4).tolist() == randomness.permutation(7, 1, 20)[8:12].tolist()
    assert Blocks(7, 1000, 8)(1, 2, 0, 8).tolist() == [941, 766, 552, 328, 30, 417, 18, 455]
    rows = [98648, 24436, 98647, 53486, 52440, 55188, 55185, 55139]
    assert Blocks(7, 100_000, 64)(3, 5, 8, 16).tolist() == rows


def test_no_batch_holds_two_of_a_group_and_each_sample_comes_once() -> None:
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(60), 7))  # 420, in 17 batches of 24
    order = Apart(3, groups, 24)
    for epoch in range(3):
        batches = [order(epoch, batch, 0, 24) for batch in range(17)]
        assert all(len(np.unique(groups[rows])) == 24 for rows in batches)
        assert len(np.unique(np.concatenate(batches))) == 17 * 24
        assert (np.concatenate([order(epoch, 4, 0, 9), order(epoch, 4, 9, 24)]) == batches[4]).all()
    assert (order(0, 0, 0, 24) != order(1, 0, 0, 24)).any()


def test_groups_larger_than_an_epoch_has_batches_are_dealt_out_evenly() -> None:
    groups = np.arange(400) % 2
    order = Apart(0, groups, 40)
    assert {int(groups[order(0, batch, 0, 40)].sum()) for batch in range(10)} == {20}
