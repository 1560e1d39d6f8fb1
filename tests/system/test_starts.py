"""Fixed positions and Xavier's weights, against their formulas."""

import numpy as np
import pytest
import torch
from torch import nn

from selftaught.system.starts import sine_positions, xavier


def test_positions_are_all_different() -> None:
    positions = sine_positions((5, 7), 30)
    assert positions.shape == (35, 30)
    distances = torch.cdist(positions, positions) + 10 * torch.eye(35)
    assert distances.min() > 0.1


def test_positions_are_the_papers_sines() -> None:
    positions = sine_positions((3, 4), 16).view(3, 4, 4, 4)  # row, column, which wave, frequency
    for row, column, number in np.ndindex(3, 4, 4):
        slow = 10_000 ** (-number / 4)
        waves = [np.sin(row * slow), np.cos(row * slow), np.sin(column * slow), np.cos(column * slow)]
        assert np.allclose(positions[row, column, :, number], waves, atol=1e-6)


@pytest.mark.parametrize(("each", "outputs"), [(False, 3 * 64), (True, 64)])
def test_xavier_takes_query_key_and_value_together_or_each(each: bool, outputs: int) -> None:
    torch.manual_seed(0)
    block = nn.ModuleDict({"qkv": nn.Linear(64, 3 * 64), "out": nn.Linear(64, 16, bias=False)})
    xavier(block, each)
    for layer, fan in (("qkv", outputs), ("out", 16)):
        bound = (6 / (64 + fan)) ** 0.5
        assert 0.98 * bound < block[layer].weight.abs().max() <= bound
    assert not block["qkv"].bias.any()
