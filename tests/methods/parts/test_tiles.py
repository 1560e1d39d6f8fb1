"""Tiles: where they come from, and that no shortcut tells their place."""

import math
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from selftaught.contracts.method import Data
from selftaught.methods.parts.tiles import Tiles, joined
from selftaught.methods.self_prediction.augmented.jigsaw import far_apart
from selftaught.system import randomness
from selftaught.system.errors import UsageError
from tests.methods.making import made
from tests.networks import HALVED


def tiles(x: torch.Tensor, drop_colors: bool = False, gap: float = 0.15, dropped: str = "copies") -> torch.Tensor:
    encoder = made("rotation").encoder
    data = Data(64, tuple(x.shape[1:]), (0.5,) * x.shape[1], (0.25,) * x.shape[1])
    return drawn(Tiles(encoder, data, gap, drop_colors, dropped=dropped), x)


def drawn(cut: Any, x: torch.Tensor) -> Any:
    """What is cut of x, by the draws of a step."""
    with randomness.at(0, 0, slice(0, len(x))):
        return cut(x)


def test_every_tile_lies_in_its_cell_with_a_gap_between() -> None:
    rows, columns = torch.meshgrid(torch.arange(36.0), torch.arange(48.0), indexing="ij")
    cut = tiles(torch.stack([rows, columns])[None].expand(64, -1, -1, -1))
    assert cut.shape[:3] == (64, 9, 2) and cut.shape[3] >= 16
    assert torch.allclose(cut.mean(dim=(3, 4)), torch.zeros(()), atol=0.02)  # normalised one by one
    assert torch.allclose(cut.std(dim=(3, 4)), torch.ones(()), atol=0.15)


def test_one_channel_of_a_tile_is_shown_in_all() -> None:
    cut = tiles(torch.randn(8, 3, 48, 48), drop_colors=True)
    assert torch.equal(cut[:, :, 0], cut[:, :, 1]) and torch.equal(cut[:, :, 0], cut[:, :, 2])
    assert not torch.equal(tiles(torch.randn(8, 3, 48, 48))[:, :, 0], cut[:, :, 1])


def test_channels_that_are_not_shown_may_hold_faint_noise() -> None:
    x = torch.randn(8, 3, 144, 144)  # tiles that are not enlarged, which would smooth the noise
    copies, noisy = (tiles(x, drop_colors=True, dropped=kind) for kind in ("copies", "noise"))
    deviations = noisy.std(dim=(3, 4)).sort(dim=2).values
    assert deviations[..., :2].mean() == pytest.approx(0.01, rel=0.05) and (deviations[..., 2] > 0.9).all()
    shown = noisy.std(dim=(3, 4)).argmax(dim=2)
    kept = noisy.gather(2, shown.view(8, 9, 1, 1, 1).expand(-1, -1, 1, *noisy.shape[3:]))
    assert torch.allclose(kept[:, :, 0], copies[:, :, 0], atol=1e-6)
    assert {0, 1, 2} == set(shown.flatten().tolist())


def test_images_too_small_for_tiles_are_refused_with_the_size_that_does() -> None:
    with pytest.raises(UsageError, match=r"16 x 16 are too small .* use --size (\d+) or more") as refused:
        tiles(torch.randn(2, 3, 16, 16))
    side = int(str(refused.value).split("--size ")[1].split()[0])
    assert tiles(torch.randn(2, 3, side, side)).shape[1] == 9


def test_segments_of_a_series_lie_in_their_cells_and_keep_what_was_seen() -> None:
    encoder = made("ts2vec").encoder
    for points, count in ((90, 9), (29, 3)):
        x = torch.arange(float(points)).expand(64, 1, points)
        seen = (torch.arange(points) != points // 2).float().expand(64, 1, points)
        cut = Tiles(encoder, Data(64, (2, points), (0.0,) * 2, (1.0,) * 2, masked=True), 0.15, True)
        raw, _ = drawn(cut._cut, torch.cat([x, seen], dim=1))
        assert raw.shape[:3] == (64, count, 2) and (raw[:, :, 0].diff(dim=2) == 1).all()
        cell = points // count
        first = raw[:, :, 0, 0] - (points - count * cell) // 2 - torch.arange(count) * cell
        assert first.min() == 0 and first.max() == cell - cut.side and cut.side == round(0.85 * cell)
        shown = drawn(cut, torch.cat([x, seen], dim=1))
        assert shown.shape == (64, count, 2, cut.shown) and shown[:, 0, 0].mean(dim=1).abs().max() < 0.02
        assert (shown[:, 0, 1] == 1).all() and (shown[:, count // 2, 1] < 1).any()  # where the gap is
        assert joined(shown, (points,)).shape == (64, 2, points)
    with pytest.raises(UsageError, match=r"series of 12 points are too short .* takes (\d+)") as refused:
        Tiles(encoder, Data(64, (1, 12), (0.0,), (1.0,)), 0.15, True)
    least = int(str(refused.value).split("takes ")[1])
    assert Tiles(encoder, Data(64, (1, least), (0.0,), (1.0,)), 0.15, True).count == 3


def test_tiles_put_together_in_order_look_like_the_image() -> None:
    smooth = F.interpolate(torch.randn(4, 1, 4, 4), size=(48, 48), mode="bicubic")
    whole = joined(tiles(smooth), (48, 48))
    assert whole.shape == smooth.shape


def test_permutations_differ_from_each_other_in_many_places() -> None:
    chosen = torch.from_numpy(far_apart(50))
    assert (chosen.sort(dim=1).values == torch.arange(9)).all()
    distance = (chosen[:, None] != chosen[None]).sum(dim=2).float()
    others = distance[~torch.eye(50, dtype=torch.bool)]
    random = torch.stack([torch.randperm(9, generator=torch.Generator().manual_seed(i)) for i in range(50)])
    drawn = (random[:, None] != random[None]).sum(dim=2).float()[~torch.eye(50, dtype=torch.bool)]
    assert others.mean() > drawn.mean() and distance[:9, :9].sum() == 9 * 8 * 9  # the first nine share no place
    assert len({tuple(row) for row in chosen.tolist()}) == 50


@cache
def fringed_noise(count: int, seed: int) -> torch.Tensor:
    """Noise in which the first and last channel are magnified about the middle: a lens's colour fringe, and all that
    tells a place."""
    noise = torch.randn(count, 1, 80, 80, generator=torch.Generator().manual_seed(seed))
    # Smooth, and larger than is seen: or interpolation and borders would tell places as well.
    noise = F.avg_pool2d(F.avg_pool2d(noise, 5, 1, 2), 5, 1, 2)
    planes = []
    for zoom in (0.9, 1.0, 1.1):
        theta = torch.tensor([[[0.6 * zoom, 0, 0], [0, 0.6 * zoom, 0]]]).expand(count, -1, -1)
        grid = F.affine_grid(theta, [count, 1, 48, 48], align_corners=False)
        planes.append(F.grid_sample(noise, grid, mode="bicubic", align_corners=False))
    x = torch.cat(planes, dim=1)
    return (x - x.mean(dim=(2, 3), keepdim=True)) / x.std(dim=(2, 3), keepdim=True)


@pytest.mark.parametrize("name", ["jigsaw", "relative_location"])
def test_a_colour_fringe_on_noise_tells_nothing(name: str) -> None:
    """And would, were all channels shown: or the test would prove nothing."""
    losses = {}
    for drop in (True, False):
        few = {"permutations": 4} if name == "jigsaw" else {}
        method = made(name, size=(48, 48), encoder=HALVED, drop_colors=drop, **few)
        optimizer = torch.optim.AdamW(method.parameters(), 4e-3)
        for step in range(40):
            with randomness.at(0, step, slice(0, 8)):
                loss = sum(method(fringed_noise(8, step)).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        method.eval()
        with torch.no_grad(), randomness.at(1, 0, slice(0, 64)):
            losses[drop] = float(sum(method(fringed_noise(64, 10_000)).values()))
    floor = math.log(4 if name == "jigsaw" else 8)
    assert losses[True] > 0.97 * floor, losses
    assert losses[False] < losses[True] - 0.05, losses
