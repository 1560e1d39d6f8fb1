"""Ways to hide and perturb: shares, shapes, addresses."""

import pytest
import torch

from selftaught.contracts.method import Data
from selftaught.methods.parts import damage, masks
from selftaught.methods.parts.blocks import _outside, context_and_targets
from selftaught.system import distributed, randomness

DATA = Data(100, (3, 16, 20), (0.5, 0.4, 0.3), (0.25, 0.2, 0.2))
CPU = torch.device("cpu")


def at(function, *args, rows: slice = slice(0, 64), total: int = 64, step: int = 0):  # type: ignore[no-untyped-def]
    with randomness.at(0, step, rows, total):
        return function(*args)


def test_random_masks_hide_their_share_uniformly() -> None:
    keep, hidden = at(masks.random_mask, 64, 36, 0.75, CPU)
    assert keep.shape == (64, 9) and (hidden.sum(dim=1) == 27).all()
    assert not hidden.gather(1, keep).any() and (keep.diff(dim=1) > 0).all()
    assert (hidden.float().mean(dim=0) - 0.75).abs().max() < 0.25
    assert len({tuple(row) for row in keep.tolist()}) > 60
    part = at(masks.random_mask, 4, 36, 0.75, CPU, rows=slice(10, 14))
    assert torch.equal(part[0], keep[10:14]) and torch.equal(part[1], hidden[10:14])


@pytest.mark.parametrize("ratio", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("grid", [(1, 2), (1, 9), (4, 4)])
def test_of_any_share_something_is_hidden_and_something_left_to_see(grid: tuple[int, int], ratio: float) -> None:
    cells = grid[0] * grid[1]
    masked = [at(masks.random_mask, 64, cells, ratio, CPU)[1], at(masks.inverse_block, 64, grid, ratio, CPU)[1]]
    masked += [at(made, 64, grid, ratio, CPU).flatten(1) for made in masks.MASKS.values()]
    for hidden in masked:
        assert hidden.shape == (64, cells) and hidden.any(dim=1).all() and not hidden.all(dim=1).any()


def test_of_no_share_or_of_a_single_token_nothing_is_hidden() -> None:
    for cells, ratio in ((9, 0.0), (1, 0.5)):
        assert not at(masks.random_mask, 64, cells, ratio, CPU)[1].any()
        assert not at(masks.blockwise_mask, 64, (1, cells), torch.full((64,), ratio), CPU).any()


@pytest.mark.parametrize("grid", [(6, 8), (16,)])
def test_an_inverse_block_shows_one_block_that_may_go_over_an_edge_anywhere_alike(grid: tuple[int, ...]) -> None:
    keep, hidden = at(masks.inverse_block, 2000, grid, 0.75, CPU, rows=slice(0, 2000), total=2000)
    tall, wide = (1, *grid)[-2:]
    count = tall * wide // 4
    assert keep.shape == (2000, count) and (keep.diff(dim=1) > 0).all()
    assert torch.equal(hidden, masks.outside(keep, tall * wide))
    assert (
        (~hidden).float().mean(dim=0) - 0.25
    ).abs().max() < 0.05  # a block that stays inside would show corners less
    shown = ~hidden.view(-1, tall, wide)
    rows, columns = shown.any(dim=2), shown.any(dim=1)
    # A ring of which one stretch is shown changes twice, or never where all of it is.
    assert all(((part != part.roll(1, dims=1)).sum(dim=1) <= 2).all() for part in (rows, columns))
    sides = torch.stack([rows.sum(dim=1), columns.sum(dim=1)], dim=1)
    assert (sides.prod(dim=1) - count < sides[:, 1]).all()  # nothing but the last row is cut
    assert len(set(sides[:, 1].tolist())) > (1 if tall > 1 else 0)


@pytest.mark.parametrize("function", [masks.block_mask, masks.region_mask, masks.centre_mask])
@pytest.mark.parametrize("area", [0.25, 0.5])
@pytest.mark.parametrize("size", [(16, 20), (40,)])
def test_shaped_masks_cover_about_their_area(function, area: float, size: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    mask = at(function, 64, size, area, CPU)
    assert mask.shape == (64, 1, *size) and mask.dtype == torch.bool
    assert abs(mask.float().mean().item() - area) < 0.06
    assert mask.flatten(1).any(dim=1).all() and not mask.flatten(1).all(dim=1).any()
    assert torch.equal(mask, at(function, 64, size, area, CPU))


@pytest.mark.parametrize("function", [masks.block_mask, masks.region_mask, masks.centre_mask])
@pytest.mark.parametrize("area", [0.01, 0.97, 0.99])
@pytest.mark.parametrize("size", [(32, 32), (6, 7), (22,), (2,)])
def test_shaped_masks_leave_something_and_hide_something(function, area: float, size: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    mask = at(function, 256, size, area, CPU, rows=slice(0, 256), total=256).flatten(1)
    assert mask.any(dim=1).all() and not mask.all(dim=1).any()


def test_a_centred_mask_of_nearly_all_leaves_the_edge_of_the_longest_side() -> None:
    assert (~masks.centre_mask(1, (32, 40), 0.99, CPU)).sum() == 32
    assert (~masks.centre_mask(1, (22,), 0.99, CPU)).sum() == 1


def test_regions_are_connected_shapes_and_blocks_are_rectangles() -> None:
    for function in (masks.region_mask, masks.block_mask):
        mask = at(function, 64, (32, 32), 0.25, CPU).float()
        inner = torch.nn.functional.avg_pool2d(mask, 3, 1, 1) * mask
        assert (inner > 0.99).sum() > 0.3 * mask.sum()  # far from salt and pepper


@pytest.mark.parametrize("shape", [(64, 3, 16, 20), (64, 3, 7)])
def test_swapped_cells_hold_what_other_samples_hold_in_the_same_place(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    x[:, :, 0] = 1.0  # the same in all samples: swapped or not, nothing there is false
    swapped, changed = at(damage.swapped_cells, x, 0.3)
    assert changed.shape == (64, 1, *shape[2:]) and changed.dtype == torch.bool
    assert torch.equal((swapped != x).any(dim=1, keepdim=True), changed) and not changed[:, :, 0].any()
    assert abs(changed[:, :, 1:].float().mean() - 0.3) < 0.06
    for row, _, *place in changed.nonzero()[:40].tolist():
        cell = (slice(None), slice(None), *place)
        assert (swapped[cell][row] == x[cell]).all(dim=1).any(), "all channels of one cell"
    part = at(damage.swapped_cells, x[8:24], 0.3, rows=slice(8, 24))
    assert torch.equal(at(damage.swapped_cells, x, 0.3)[1], changed) and part[1].shape[0] == 16


def test_masking_noise_sets_values_to_zero_before_normalisation() -> None:
    x = torch.randn(64, 3, 16, 20)
    noisy, hit = at(damage.masking_noise, x, 0.3, DATA)
    black = (0 - torch.tensor(DATA.mean)) / torch.tensor(DATA.std)
    assert abs(hit.float().mean() - 0.3) < 0.01 and torch.equal(noisy[~hit], x[~hit])
    assert torch.allclose(noisy, torch.where(hit, black.view(3, 1, 1), x))


def test_salt_and_pepper_goes_to_both_extremes() -> None:
    x = torch.zeros(64, 3, 16, 20)
    noisy, hit = at(damage.salt_and_pepper, x, 0.2, DATA)
    low, high = damage.extremes(DATA, x)
    salt, pepper = (noisy == high), (noisy == low)
    assert torch.equal(hit, salt | pepper) and torch.equal(noisy[~hit], x[~hit])
    assert abs(salt.float().mean() - 0.1) < 0.01 and abs(pepper.float().mean() - 0.1) < 0.01


def test_gaussian_noise_has_its_deviation() -> None:
    noisy, hit = at(damage.gaussian_noise, torch.zeros(64, 3, 16, 20), 0.7, DATA)
    assert hit.all() and abs(noisy.std() - 0.7) < 0.01


@pytest.mark.parametrize("grid", [(8, 8), (4, 6), (14, 14)])
def test_blockwise_masks_hide_exactly_their_share_in_blocks(grid: tuple[int, int]) -> None:
    hidden = at(masks.blockwise_mask, 64, grid, 0.4, CPU)
    cells = grid[0] * grid[1]
    assert hidden.shape == (64, *grid) and (hidden.flatten(1).sum(dim=1) == round(0.4 * cells)).all()
    agree = [(hidden.int().diff(dim=axis) == 0).float().mean() for axis in (1, 2)]
    assert sum(agree) / 2 > 0.62  # single cells at random agree with their neighbours in 0.52 of all cases
    part = at(masks.blockwise_mask, 4, grid, 0.4, CPU, rows=slice(10, 14))
    assert torch.equal(part, hidden[10:14])


def test_every_sample_may_hide_a_share_of_its_own() -> None:
    ratio = torch.linspace(0, 0.9, 64)
    hidden = at(masks.blockwise_mask, 64, (8, 8), ratio, CPU)
    assert torch.equal(hidden.flatten(1).sum(dim=1).float(), (ratio * 64).round())


def boundary(hidden: torch.Tensor) -> float:
    """Sides of cells between what is hidden and what is not, on average."""
    rows, columns = (hidden.diff(dim=axis).flatten(1).sum(dim=1) for axis in (1, 2))
    return float((rows + columns).float().mean())


def test_grown_masks_are_whole_blocks_that_never_hide_too_much() -> None:
    grown, cut = (at(made, 64, (14, 14), 0.6, CPU) for made in (masks.grown_mask, masks.blockwise_mask))
    counts = grown.flatten(1).sum(dim=1)
    assert counts.max() <= 118 and counts.float().mean() > 112
    assert boundary(grown) < 0.9 * boundary(cut)
    one = at(masks.grown_mask, 64, (8, 8), 6 / 64, CPU)  # of a block or two: each is a rectangle of that many at most
    assert one.flatten(1).sum(dim=1).max() <= 6
    part = at(masks.grown_mask, 4, (14, 14), 0.6, CPU, rows=slice(10, 14))
    assert torch.equal(part, grown[10:14])
    shares = torch.tensor([0.0, 0.3]).repeat(32)
    some = at(masks.grown_mask, 64, (8, 8), shares, CPU).flatten(1).sum(dim=1)
    assert not some[::2].any() and some[1::2].min() > 8 and some.max() <= 19


@pytest.mark.parametrize(("side", "batch", "paper", "authors"), [(8, 32, 21.7, 13.8), (14, 16, 64.8, 58.5)])
def test_contexts_are_as_large_as_those_of_the_authors_collator(
    side: int, batch: int, paper: float, authors: float
) -> None:
    choices = (4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0))
    for kind, wanted in (("paper", paper), ("authors", authors)):
        sizes = []
        for step in range(150):
            with randomness.at(0, step, slice(0, batch)):
                blocks = context_and_targets(batch, (side, side), *choices, kind, CPU)
            sizes.append(blocks.context.shape[1])
            if kind == "authors":
                assert sizes[-1] > 10  # the code gives targets back before it shows less
                for places in (blocks.context, blocks.targets.flatten(1)):
                    assert (places // side).max() < side - 1 and (places % side).max() < side - 1
        assert sum(sizes) / len(sizes) == pytest.approx(wanted, rel=0.06)


def test_a_context_without_room_gets_targets_back_from_the_last() -> None:
    around = torch.ones(1, 4, 4, dtype=torch.bool)
    asked = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    asked[:, 0, :1], asked[:, 1, 1:] = True, True
    assert _outside(around, asked, 10)[0].sum() == 12  # without the first target, with the second


def test_a_tube_hides_all_of_a_cell_and_no_more() -> None:
    coarse = at(masks.blockwise_mask, 64, (4, 5), 0.4, CPU)
    fine = masks.tube(coarse, (8, 20))
    assert torch.equal(fine, coarse.repeat_interleave(2, dim=1).repeat_interleave(4, dim=2))
    assert masks.tube(coarse, (9, 7)).shape == (64, 9, 7)


def test_contexts_and_targets_never_overlap_and_are_the_same_in_any_process(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = (4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), "paper", CPU)
    counts = set()
    for step in range(8):
        blocks = at(context_and_targets, 64, (8, 10), *choices, step=step)
        batch, targets, length = blocks.targets.shape
        assert (batch, targets) == (64, 4) and 6 <= length <= 20
        for context, asked in zip(blocks.context, blocks.targets):
            assert not set(context.tolist()) & set(asked.flatten().tolist())
            for block in asked:
                rows, columns = block // 10, block % 10
                tall, wide = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
                assert tall * wide == length == len(set(block.tolist()))
        fewest = torch.tensor([blocks.context.shape[1]])  # as the other processes would say
        with monkeypatch.context() as others, randomness.at(0, step, slice(20, 30), 64):
            others.setattr(distributed, "gather", lambda own, fewest=fewest: torch.cat([own, fewest]))
            part = context_and_targets(10, (8, 10), *choices)
        assert torch.equal(part.context, blocks.context[20:30]) and torch.equal(part.targets, blocks.targets[20:30])
        counts.add(blocks.context.shape[1])
    assert len(counts) > 1 and min(counts) >= 1


def test_a_warp_to_its_own_corners_changes_nothing_and_a_quarter_turn_turns() -> None:
    x = torch.randn(3, 2, 12, 12)
    own = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    assert torch.allclose(damage.warped(x, own.expand(3, 4, 2)), x, atol=1e-4)
    turned = damage.warped(x, own.roll(-1, dims=0).expand(3, 4, 2))
    assert torch.allclose(turned, x.rot90(1, (2, 3)), atol=1e-4)
    half = damage.warped(x, (own * 2).expand(3, 4, 2))  # a window twice as large: the image in its middle
    assert (half[..., 0] == 0).all() and half[..., 4:8, 4:8].abs().sum() > 0


def test_a_projective_warp_takes_corners_where_they_belong() -> None:
    """The identity map as an image: its values are its places."""
    side = 33
    place = (2 * torch.arange(side) + 1 - side) / side
    x = torch.stack(torch.meshgrid(place, place, indexing="ij"))[None]
    corners = torch.tensor([[[-0.7, -0.5], [0.6, -0.8], [0.8, 0.7], [-0.5, 0.6]]])
    seen = damage.warped(x, corners)
    actual = torch.stack([seen[0, :, i, j].flip(0) for i, j in ((0, 0), (0, -1), (-1, -1), (-1, 0))])
    assert torch.allclose(actual, corners[0], atol=0.06)  # the window's corner lies half a pixel further out


def test_a_blur_equals_torchvisions_inside() -> None:
    from torchvision.transforms.functional import gaussian_blur

    x = torch.randn(2, 3, 40, 40)
    actual = damage.blurred(x, torch.tensor([1.5, 0.6]), 1.5)
    for image, made, sigma in zip(x, actual, (1.5, 0.6)):
        expected = gaussian_blur(image, [11, 11], [sigma, sigma])
        assert torch.allclose(made[:, 8:-8, 8:-8], expected[:, 8:-8, 8:-8], atol=2e-3)
    line = torch.randn(2, 3, 12)
    rows = damage.blurred(line[:, :, None].expand(-1, -1, 5, -1), torch.tensor([1.5, 0.6]), 1.5)
    assert torch.allclose(damage.blurred(line, torch.tensor([1.5, 0.6]), 1.5), rows[:, :, 2], atol=1e-6)
    assert torch.allclose(damage.blurred(torch.ones(1, 1, 9, 9), torch.tensor([2.0]), 2.0), torch.ones(1, 1, 9, 9))


def test_pixelation_keeps_means_and_compression_fine_steps() -> None:
    x = torch.randn(2, 3, 18, 20)
    exact = x.double()  # of which a mean near zero is as exact as any
    coarse = damage.pixelated(exact, 4)
    assert coarse.shape == x.shape and torch.allclose(coarse[0, 0, :4, :4], exact[0, 0, :4, :4].mean())
    assert torch.allclose(damage.compressed(x, torch.tensor([1e-4, 1e-4])), x, atol=2e-3)
    rough = damage.compressed(x, torch.tensor([2.0, 2.0]))
    assert rough.shape == x.shape and 0.1 < (rough - x).std() < 1.2
    flat = torch.full((2, 3, 18, 20), 0.5)
    assert damage.compressed(flat, torch.tensor([0.1, 0.1])).std() < 1e-5  # nothing but the mean, which is kept
