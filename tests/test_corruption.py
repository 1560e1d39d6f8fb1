"""Ways to hide and perturb: shares, shapes, addresses."""

import pytest
import torch

from selftaught import corruption, randomness
from selftaught.method import Data

DATA = Data(100, (3, 16, 20), (0.5, 0.4, 0.3), (0.25, 0.2, 0.2))
CPU = torch.device("cpu")


def at(function, *args, rows: slice = slice(0, 64), total: int = 64, step: int = 0):  # type: ignore[no-untyped-def]
    with randomness.at(0, step, rows, total):
        return function(*args)


def test_random_masks_hide_their_share_uniformly() -> None:
    keep, hidden = at(corruption.random_mask, 64, 36, 0.75, CPU)
    assert keep.shape == (64, 9) and (hidden.sum(dim=1) == 27).all()
    assert not hidden.gather(1, keep).any() and (keep.diff(dim=1) > 0).all()
    assert (hidden.float().mean(dim=0) - 0.75).abs().max() < 0.25
    assert len({tuple(row) for row in keep.tolist()}) > 60
    part = at(corruption.random_mask, 4, 36, 0.75, CPU, rows=slice(10, 14))
    assert torch.equal(part[0], keep[10:14]) and torch.equal(part[1], hidden[10:14])


@pytest.mark.parametrize("function", [corruption.block_mask, corruption.region_mask, corruption.centre_mask])
@pytest.mark.parametrize("area", [0.25, 0.5])
def test_shaped_masks_cover_about_their_area(function, area: float) -> None:  # type: ignore[no-untyped-def]
    mask = at(function, 64, (16, 20), area, CPU)
    assert mask.shape == (64, 1, 16, 20) and mask.dtype == torch.bool
    assert abs(mask.float().mean().item() - area) < 0.06
    assert mask.flatten(1).any(dim=1).all() and not mask.flatten(1).all(dim=1).any()
    assert torch.equal(mask, at(function, 64, (16, 20), area, CPU))


def test_regions_are_connected_shapes_and_blocks_are_rectangles() -> None:
    for function in (corruption.region_mask, corruption.block_mask):
        mask = at(function, 64, (32, 32), 0.25, CPU).float()
        inner = torch.nn.functional.avg_pool2d(mask, 3, 1, 1) * mask
        assert (inner > 0.99).sum() > 0.3 * mask.sum()  # far from salt and pepper


def test_masking_noise_sets_values_to_zero_before_normalisation() -> None:
    x = torch.randn(64, 3, 16, 20)
    noisy, hit = at(corruption.masking_noise, x, 0.3, DATA)
    black = (0 - torch.tensor(DATA.mean)) / torch.tensor(DATA.std)
    assert abs(hit.float().mean() - 0.3) < 0.01 and torch.equal(noisy[~hit], x[~hit])
    assert torch.allclose(noisy, torch.where(hit, black.view(3, 1, 1), x))


def test_salt_and_pepper_goes_to_both_extremes() -> None:
    x = torch.zeros(64, 3, 16, 20)
    noisy, hit = at(corruption.salt_and_pepper, x, 0.2, DATA)
    low, high = corruption.extremes(DATA, x)
    salt, pepper = (noisy == high), (noisy == low)
    assert torch.equal(hit, salt | pepper) and torch.equal(noisy[~hit], x[~hit])
    assert abs(salt.float().mean() - 0.1) < 0.01 and abs(pepper.float().mean() - 0.1) < 0.01


def test_gaussian_noise_has_its_deviation() -> None:
    noisy, hit = at(corruption.gaussian_noise, torch.zeros(64, 3, 16, 20), 0.7, DATA)
    assert hit.all() and abs(noisy.std() - 0.7) < 0.01
