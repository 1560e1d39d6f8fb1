"""Decoders: any map and grid in, the right places out."""

import pytest
import torch
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.methods.parts.decoders import MapDecoder, MapHead, TokenDecoder
from selftaught.system.components import Part


class Pool(Encoder):
    """An encoder whose map has a given size."""

    dim = 6

    def __init__(self, grid: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.grid, self.layer, self.norm = grid, nn.Conv2d(channels, 6, 1), nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x).mean(dim=(2, 3))

    def map(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(self.norm(self.layer(x)), self.grid)


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (4, 4), (8, 5)])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 20, 28), (5, 8, 8)])
def test_a_map_of_any_size_becomes_an_image_of_any_size(grid: tuple[int, int], shape: tuple[int, int, int]) -> None:
    encoder = Pool(grid, shape[0])
    before = encoder.norm.running_mean.clone()
    decoder = MapDecoder(encoder, shape, shape[0], 32)
    assert torch.equal(encoder.norm.running_mean, before) and encoder.training
    assert decoder(encoder.map(torch.randn(4, *shape))).shape == (4, *shape)


@pytest.mark.parametrize("grid", [(1, 1), (4, 4)])
def test_a_decoder_can_learn_an_image_by_heart(grid: tuple[int, int]) -> None:
    """From one cell too: every place must have weights of its own."""
    torch.manual_seed(0)
    target = torch.rand(4, 3, 16, 16)
    encoder = Pool(grid, 3)
    decoder = MapDecoder(encoder, (3, 16, 16), 3, 64)
    code = torch.randn(4, 6, *grid)
    optimizer = torch.optim.AdamW(decoder.parameters(), 0.01)
    for _ in range(150):
        loss = (decoder(code) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * target.var().item()


def test_a_decoder_is_drawn_as_torch_does_or_by_xavier() -> None:
    torch.manual_seed(0)
    plain, drawn = (TokenDecoder(8, 12, 16, 1, 2, init) for init in ("torch", "xavier"))
    assert plain.predict.bias.any() and not drawn.predict.bias.any() and drawn.hole.any()
    bound = (6 / (16 + 64)) ** 0.5
    assert 0.9 * bound < drawn.blocks[0].mlp.fc1.weight.abs().max() <= bound


def test_kept_tokens_reach_their_own_places() -> None:
    """The gradient of a prediction with respect to its own token is the largest through the skip connections."""
    torch.manual_seed(0)
    decoder = TokenDecoder(dim=8, patch_dim=12, width=16, depth=0, heads=2)
    patches = torch.randn(2, 3, 8, requires_grad=True)
    keep = torch.tensor([[0, 4, 7], [1, 2, 3]])
    predicted = decoder(patches, torch.randn(2, 1, 8), keep, (2, 4))
    assert predicted.shape == (2, 8, 12)
    predicted[0, 4].sum().backward()
    assert patches.grad is not None
    touched = patches.grad.abs().sum(dim=2)
    assert touched[0, 1] > 0 and touched.sum() == touched[0, 1]


@pytest.mark.parametrize("part", [Part(name="torchvision/alexnet"), Part(name="resnet18", options={"pool": "grid"})])
def test_decoders_fit_maps_that_are_not_as_wide_as_the_feature(part: Part) -> None:
    facts = Preparation(channels=3, size=(64, 64), low=0, high=255, mean=(0.5,) * 3, std=(0.25,) * 3)
    encoder = build_encoder(part, facts)
    x = torch.randn(2, 3, 64, 64)
    features = encoder.map(x)
    assert features.shape[1] != encoder.dim
    assert (
        MapDecoder(encoder, (3, 64, 64), 3, 16)(features).shape
        == MapHead(encoder, (3, 64, 64), 3)(features).shape
        == x.shape
    )
