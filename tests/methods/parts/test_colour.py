"""CIE Lab against scikit-image's, and its bins."""

import numpy as np
import torch
from skimage.color import lab2rgb, rgb2lab

from selftaught.methods.parts.colour import STEP, annealed_mean, best_constant, gamut, lab, rgb, soft_bins
from selftaught.methods.parts.damage import blurred, compressed, warped


def shades(count: int = 500) -> torch.Tensor:
    return torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_lab_equals_scikit_images_and_comes_back() -> None:
    x = shades()
    actual = lab(x)
    assert np.allclose(actual[:, :, 0, 0], rgb2lab(x[:, :, 0, 0].numpy()[:, None])[:, 0], atol=0.02)
    assert torch.allclose(rgb(actual), x, atol=1e-3)
    odd = torch.tensor([[50.0, 120.0, -100.0]], dtype=torch.float64)[..., None, None]  # no screen can show it
    assert np.allclose(rgb(odd)[0, :, 0, 0], lab2rgb(odd[0, :, 0, 0].numpy()), atol=0.01)


def test_the_gamut_holds_every_colour_within_half_a_bin() -> None:
    bins = gamut()
    assert 230 < len(bins) < 330 and (bins % STEP == 0).all()
    ab = lab(shades(5000))[:, 1:, 0, 0].float()
    assert torch.cdist(ab, bins, p=float("inf")).amin(dim=1).max() <= STEP / 2 + 0.01


def test_the_whole_gamut_has_the_bins_of_all_colours() -> None:
    sampled, whole = gamut(), gamut(whole=True)
    assert len(sampled) == 260 and len(whole) == 261
    (missed,) = set(map(tuple, whole.tolist())) - set(map(tuple, sampled.tolist()))
    assert missed == (-30.0, -40.0)
    levels = torch.arange(256) / 255
    for red in (0.0, 0.2, 0.5, 1.0):  # no colour of these slices lies elsewhere
        shades = torch.cartesian_prod(torch.tensor([red]), levels, levels)
        met = torch.unique((lab(shades[:, :, None])[:, 1:, 0] / STEP).round(), dim=0) * STEP
        assert set(map(tuple, met.tolist())) <= set(map(tuple, whole.tolist()))


def test_soft_bins_weigh_the_five_nearest_by_a_gaussian() -> None:
    bins = gamut()
    ab = torch.tensor([[3.0, -4.0], [40.0, 40.0]])
    actual = soft_bins(ab, bins)
    for point, made in zip(ab, actual):
        distance = (bins - point).square().sum(dim=1).sqrt()
        near = distance.argsort()[:5]
        weight = torch.exp(-distance[near].square() / 50)
        assert torch.allclose(made[near], weight / weight.sum(), atol=1e-5)
        assert (made > 0).sum() <= 5


def test_the_annealed_mean_lies_between_the_mean_and_the_likeliest() -> None:
    bins = torch.tensor([[0.0, 0.0], [10.0, 0.0], [50.0, 20.0]])
    scores = torch.tensor([0.5, 0.4, 0.1]).log()[None, :, None]
    assert torch.allclose(annealed_mean(scores, bins, 1.0)[0, :, 0], torch.tensor([9.0, 2.0]), atol=1e-4)
    assert torch.allclose(annealed_mean(scores, bins, 0.01)[0, :, 0], bins[0], atol=1e-2)


def test_the_best_constant_answer_costs_the_entropy_of_the_mean() -> None:
    shares = torch.tensor([0.5, 0.25, 0.25])
    expected = -(shares * shares.log()).sum()
    assert torch.allclose(best_constant([shares[None], shares[None]]), expected)
    assert torch.allclose(best_constant([3 * shares[None]]), expected)  # weights do not change what is best
    many, few = shares.repeat(9, 1), torch.tensor([[0.0, 0.0, 1.0]])
    assert torch.equal(best_constant([many, few]), best_constant([torch.cat([many, few])]))


def test_colours_and_warps_keep_their_precision_inside_autocast() -> None:
    x = torch.rand(2, 3, 16, 16)
    corners = torch.tensor([[[-0.9, -1], [1, -0.8], [1, 1], [-1, 0.7]]]).expand(2, -1, -1)
    expected = (lab(x), rgb(lab(x)), warped(x, corners), blurred(x, torch.ones(2), 2.0), compressed(x, torch.ones(2)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = (lab(x), rgb(lab(x)), warped(x, corners), blurred(x, torch.ones(2), 2.0), compressed(x, torch.ones(2)))
    for a, b in zip(actual, expected, strict=True):
        assert torch.equal(a, b)
