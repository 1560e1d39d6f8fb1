"""Encoders of series: what they see, what reaches what, and what they refuse."""

import pytest
import torch
from torch import nn

from selftaught.contracts.encoder import TokenEncoder
from selftaught.contracts.method import Data
from selftaught.data.series.encoders import ENCODERS, build_encoder
from selftaught.data.series.networks import Dilated
from selftaught.data.series.preparation import Preparation
from selftaught.methods import registry
from selftaught.system import randomness
from selftaught.system.components import Part
from selftaught.system.errors import UsageError

SMALL = {
    "dilated_conv": {"depth": 3, "width": 8, "dim": 12},
    "resnet1d": {"depth": 2, "width": 6},
    "inception_time": {"width": 3, "kernel": 9},
    "patch_transformer": {"depth": 2, "width": 8, "heads": 2, "patch": 4},
}


def preparation(length: int = 26, channels: int = 3, masked: bool = False) -> Preparation:
    facts = {"means": (0.0,) * channels, "deviations": (1.0,) * channels}
    return Preparation(names=("",) * channels, length=length, masked=masked, **facts)


def built(name: str, how: Preparation, **more: object) -> TokenEncoder:
    torch.manual_seed(0)
    return build_encoder(Part(name=name, options=SMALL[name] | more), how).eval()  # type: ignore[return-value]


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("masked", [False, True])
def test_features_maps_and_gradients(name: str, masked: bool) -> None:
    how = preparation(masked=masked)
    encoder = built(name, how)
    x = torch.randn(4, *how.shape)
    features, places = encoder.feature_and_map(x)
    assert features.shape == (4, encoder.dim) and places.shape[:2] == (4, encoder.dim) and places.ndim == 3
    assert torch.allclose(encoder(x), features, atol=1e-6) and encoder.origin.name == name and encoder.along
    features.pow(2).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize("name", ENCODERS[:3])
def test_the_feature_of_a_convolution_is_that_of_what_was_seen(name: str) -> None:
    how = preparation(masked=True, channels=1)
    encoder = built(name, how)
    x = torch.cat([torch.randn(2, 1, 26), torch.ones(2, 1, 26)], dim=1)
    x[:, :, 20:] = 0
    features, places = encoder.feature_and_map(x)
    assert torch.allclose(features, places[..., :20].mean(dim=2), atol=1e-5)
    assert encoder(torch.zeros(1, 2, 26)).isfinite().all()  # of which nothing was seen


def test_dilations_reach_twice_as_far_with_each_block() -> None:
    net = Dilated(1, 3, 4, 4)
    x = torch.zeros(1, 1, 101, requires_grad=True)
    net(x)[0, :, 50].sum().backward()
    reach = x.grad[0, 0].nonzero()[:, 0] - 50  # type: ignore[index]
    assert reach.min() == -30 and reach.max() == 30  # two convolutions of 1, 2, 4 and 8 points to each side


@pytest.mark.parametrize("channels", ["mixed", "apart"])
def test_patches_are_cut_and_put_together_and_hidden_ones_do_not_reach_the_network(channels: str) -> None:
    how = preparation(masked=True)
    encoder = built("patch_transformer", how, channels=channels)
    x, other = torch.randn(2, 4, *how.shape)
    patches = encoder.patchify(x)
    assert encoder.grid((26,)) == (7,) and patches.shape == (4, 7, encoder.patch_dim)  # the last one is not full
    assert torch.equal(encoder.unpatchify(patches, (26,)), x) and torch.equal(patches[:, 1, :4], x[:, 0, 4:8])
    keep = torch.tensor([[0, 2, 5]]).expand(4, -1)
    hidden = torch.ones(4, 7, dtype=torch.bool).scatter_(1, keep, False)
    mixed = encoder.unpatchify(torch.where(hidden[..., None], encoder.patchify(other), patches), (26,))
    for chosen in ({"keep": keep}, {"hidden": hidden, "hole": torch.zeros(8)}):
        one, two = encoder.tokens(x, **chosen), encoder.tokens(mixed, **chosen)
        assert torch.allclose(one.patches, two.patches, atol=1e-6) and one.prefix.shape == (4, 0, 8)
    attend = torch.eye(7, dtype=torch.bool)
    alone = encoder.tokens(x, attend=attend, layers=(0, 1))
    swapped = encoder.unpatchify(torch.where(torch.arange(7)[:, None] == 2, patches, encoder.patchify(other)), (26,))
    for given in (attend, attend.expand(4, 1, 7, 7)):
        again = encoder.tokens(swapped, attend=given).patches
        assert torch.allclose(alone.patches[:, 2], again[:, 2], atol=1e-5)
    assert len(alone.layers) == 2 and alone.layers[0].shape == (4, 7, 8)
    assert torch.allclose(encoder.embedded(x, keep), encoder.embedded(x, None)[:, [0, 2, 5]], atol=1e-6)


def test_channels_apart_share_their_weights_and_do_not_mix() -> None:
    how = preparation(channels=3)
    apart, mixed = (built("patch_transformer", how, channels=way) for way in ("apart", "mixed"))
    x = torch.randn(4, *how.shape)
    turned = x[:, [2, 0, 1]]
    assert torch.allclose(apart(x), apart(turned), atol=1e-5) and not torch.allclose(mixed(x), mixed(turned), atol=1e-3)
    masked = preparation(channels=3, masked=True)
    with_seen = torch.randn(4, *masked.shape)
    same = built("patch_transformer", masked, channels="apart")
    assert torch.allclose(same(with_seen), same(with_seen[:, [2, 0, 1, 5, 3, 4]]), atol=1e-5)
    each = torch.stack([apart(x[:, [place] * 3]) for place in range(3)])
    assert torch.allclose(apart(x), each.mean(dim=0), atol=1e-5)


def test_a_network_of_ones_own_and_what_is_refused() -> None:
    how = preparation()
    own = build_encoder(Part(name="own"), how, nn.Sequential(nn.Flatten(), nn.Linear(78, 5)))
    assert own(torch.randn(2, 3, 26)).shape == (2, 5)
    refused = {
        ("resnet18",): "no encoder of series named 'resnet18'",
        ("resnet1d", "patch", 4): "encoder resnet1d has no option 'patch'; patch_transformer has",
        ("dilated_conv", "channels", "apart"): "encoder dilated_conv has no option 'channels'",
        ("dilated_conv", "depth", 40): "'depth' cannot be 40: dilations double, and 24 are the most",
        ("patch_transformer", "patch", 27): "'patch' cannot be 27: series have 26 points",
        ("patch_transformer", "width", 30): "'width' cannot be 30: it is a multiple of the 4 heads",
    }
    for (name, *option), said in refused.items():
        with pytest.raises(UsageError, match=said):
            build_encoder(Part(name=name, options=dict([option]) if option else {}), how)


@pytest.mark.parametrize("name", ["aim", "mae", "crossmae"])
def test_patches_of_one_value_are_not_normalised_by_a_deviation_they_do_not_have(name: str) -> None:
    """Short series have such patches by themselves: ItalyPowerDemand's 24 points are 24 patches."""
    preparation = Preparation(names=("",), length=24, means=(0.0,), deviations=(1.0,))
    encoder = build_encoder(Part(name="patch_transformer", options={"depth": 1, "width": 16}), preparation)
    assert isinstance(encoder, TokenEncoder) and encoder.patch_dim == 1
    method = registry.method_class(name)(encoder, Data.of(preparation, 64))
    with randomness.at(0, 0, slice(0, 8)):
        loss = sum(method(torch.randn(8, 1, 24)).values())
    loss.backward()
    assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())
    assert method.chance(8) is None  # what would be reached by saying nothing is known of normalised ones alone
