"""Histograms of oriented gradients against scikit-image's."""

import numpy as np
import pytest
import torch
from skimage.feature import hog

from selftaught.methods.parts.hog import histograms, strokes


@pytest.mark.parametrize(("cell", "bins"), [(4, 9), (8, 9), (5, 6)])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_every_channel_equals_scikit_images(cell: int, bins: int, size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    actual = histograms(x, cell, bins).unflatten(1, (3, bins))
    for image, made in zip(x, actual):
        for channel, own in zip(image, made):
            expected = hog(
                channel.numpy(),
                orientations=bins,
                pixels_per_cell=(cell, cell),
                cells_per_block=(1, 1),
                block_norm="L2",
                feature_vector=False,
            )
            assert np.allclose(own.permute(1, 2, 0), expected[:, :, 0, 0], atol=1e-4)


def test_an_edge_votes_for_its_own_direction() -> None:
    upright = torch.zeros(1, 1, 16, 16)
    upright[..., 8:] = 1.0
    lying = upright.mT
    cell = histograms(upright, 16)[0, :, 0, 0]
    assert cell.argmax() == 0 and cell[0] > 0.99  # the gradient runs across an upright edge: no turn
    assert histograms(lying, 16)[0, :, 0, 0].argmax() == 4  # a quarter turn, of nine bins over half a circle
    assert (histograms(torch.full((1, 2, 16, 16), 0.3), 8) == 0).all()


def test_strokes_run_along_the_edge() -> None:
    upright = torch.zeros(1, 1, 32, 32)
    upright[..., 16:] = 1.0
    drawn = strokes(histograms(upright, 32), 9, (32, 32))
    assert drawn.shape == (1, 1, 32, 32) and drawn.max() <= 1
    assert drawn[0, 0, :, 12:20].mean() > 3 * drawn[0, 0, 12:20, :8].mean()
