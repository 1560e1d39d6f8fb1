"""Encoders: dims and maps of every kind, tokens that equal timm's own arithmetic, and weights to start from."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import nn

from selftaught.contracts.encoder import TokenEncoder
from selftaught.contracts.method import Data, Training
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.methods import registry
from selftaught.run.recipes import Pretrain
from selftaught.run.weights import load_initial_weights
from selftaught.system import randomness
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.starts import sine_positions
from selftaught.training.optimizers import build_optimizer
from selftaught.training.resolve import preflight


def facts(size: tuple[int, int] = (32, 32), channels: int = 3) -> Preparation:
    return Preparation(channels=channels, size=size, low=0, high=255, mean=(0.5,) * channels, std=(0.25,) * channels)


def build(name: str, size: tuple[int, int] = (32, 32), channels: int = 3, module: nn.Module | None = None, **options):
    torch.manual_seed(0)
    return build_encoder(Part(name=name, options=options), facts(size, channels), module).eval()


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(32, 32), (32, 48), (96, 96)])
@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_convnext", "torchvision/squeezenet1_1", "torchvision/resnet18"]
)
def test_features_and_maps_have_the_promised_shapes(name: str, size: tuple[int, int], channels: int) -> None:
    if name == "torchvision/squeezenet1_1":
        with pytest.raises(UsageError, match="no linear layer"):
            build(name, size, channels)
        return
    encoder = build(name, size, channels)
    x = torch.randn(2, channels, *size)
    found = encoder.map(x)
    assert encoder(x).shape == (2, encoder.dim) and found.shape[:2] == (2, encoder.dim) and found.ndim == 4


def test_small_images_get_a_small_stem_unless_timms_is_asked_for() -> None:
    x = torch.randn(1, 3, 32, 32)
    assert build("resnet18").map(x).shape[2:] == (4, 4) and build("resnet18").origin.small_stem
    assert build("resnet18", stem="timm").map(x).shape[2:] == (1, 1)
    assert build("resnet10t").map(x).shape[2:] == (4, 4)  # a deep stem: its first stride goes
    assert not build("resnet18", (96, 96)).origin.small_stem
    assert build("resnet18", (96, 96), stem="small").map(torch.randn(1, 3, 96, 96)).shape[2:] == (12, 12)
    assert build("resnet18", stem="half").map(x).shape[2:] == (2, 2)
    assert build("resnet10t", stem="half").map(x).shape[2:] == (2, 2)
    assert build("test_vit").patch == 4 and build("test_vit", (8, 8)).patch == 2
    assert build("test_vit", (32, 32), patch=8).patch == 8


def test_vision_transformers_take_depth_width_and_pooling() -> None:
    encoder = build("vit_tiny_patch16_224", depth=2, width=96)
    assert encoder.dim == 96 and len(encoder.net.blocks) == 2
    x = torch.randn(2, 3, 32, 32)
    tokens = encoder.tokens(x)
    assert torch.allclose(encoder(x), tokens.patches.mean(dim=1), atol=1e-5)
    by_token = build("vit_tiny_patch16_224", depth=2, pool="token")
    assert torch.allclose(by_token(x), by_token.tokens(x).prefix[:, 0], atol=1e-5)


def test_sine_positions_are_fixed_and_leave_with_the_weights() -> None:
    encoder = build("vit_tiny_patch16_224", depth=1, width=16, positions="sincos").train()
    before = encoder.net.pos_embed.detach().clone()
    assert not before[:, 0].any()  # the class token's
    assert torch.equal(before[0, 1:], sine_positions((8, 8), 16))
    optimizer = build_optimizer(encoder, Training(), 256)
    encoder(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    assert torch.equal(encoder.net.pos_embed, before)
    alone = timm.create_model(encoder.origin.name, num_classes=0, **encoder.origin.arguments).eval()
    alone.load_state_dict(encoder.net.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert encoder.origin.timm_alone and torch.equal(alone(x), encoder.eval()(x))
    assert encoder(torch.randn(2, 3, 16, 24)).shape == (2, 16)


def test_relative_positions_are_timms_own_and_follow_the_patches_that_are_kept() -> None:
    encoder = build("beit_base_patch16_224", depth=2, width=32, positions="relative")
    torch.nn.init.normal_(encoder.net.rel_pos_bias.relative_position_bias_table)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        whole = encoder.tokens(x)
        assert torch.allclose(encoder.feature(whole), encoder(x), atol=1e-5)
        assert torch.allclose(encoder.map(x).flatten(2).mT, encoder.net.forward_features(x)[:, 1:], atol=1e-5)
        every = torch.stack([torch.randperm(64) for _ in range(2)])
        kept = encoder.tokens(x, keep=every).patches
        assert torch.allclose(kept, whole.patches.gather(1, every[..., None].expand_as(kept)), atol=1e-5)
        near, far = (encoder.tokens(x, keep=torch.tensor([pair, pair])).patches for pair in ([0, 1], [0, 63]))
        assert not torch.allclose(near[:, 0], far[:, 0], atol=1e-3)
        causal = torch.ones(64, 64, dtype=torch.bool).tril()
        changed = torch.cat([x[..., :16, :], -x[..., 16:, :]], dim=2)  # the later half of the patches
        first, same = (encoder.tokens(image, attend=causal).patches[:, :32] for image in (x, changed))
        assert torch.allclose(first, same, atol=1e-5)
    alone = timm.create_model(encoder.origin.name, num_classes=0, **encoder.origin.arguments).eval()
    alone.load_state_dict(encoder.net.state_dict())
    assert encoder.origin.timm_alone and torch.equal(alone(x), encoder(x)) and alone.pos_embed is None
    assert all(block.attn.relative_position_bias_table is None for block in alone.blocks)
    with pytest.raises(UsageError, match="32 x 32 px alone"):
        encoder.tokens(torch.randn(1, 3, 48, 32))


@pytest.mark.parametrize(("init", "outputs"), [("xavier", 48), ("xavier_each", 16)])
def test_xaviers_weights_also_draw_the_patches(init: str, outputs: int) -> None:
    encoder = build("vit_tiny_patch16_224", depth=1, width=16, init=init)
    attention, patches = encoder.net.blocks[0].attn.qkv, encoder.net.patch_embed.proj
    for weight, bound in ((attention.weight, 6 / (16 + outputs)), (patches.weight, 6 / (48 + 16))):
        assert 0.9 * bound**0.5 < weight.abs().max() <= bound**0.5


@pytest.mark.parametrize("method", ["ijepa", "aim", "mae"])
def test_a_transformer_without_a_class_token_has_patches_alone(method: str) -> None:
    encoder = build("test_vit", class_token=False).train()
    x = torch.randn(2, 3, 32, 32)
    tokens = encoder.tokens(x)
    assert tokens.prefix.shape == (2, 0, encoder.dim) and encoder.net.cls_token is None
    assert torch.allclose(encoder(x), tokens.patches.mean(dim=1), atol=1e-5)
    taught = registry.method_class(method)(encoder, Data(64, (3, 32, 32), (0.5,) * 3, (0.25,) * 3))
    with randomness.at(0, 0, slice(0, 2)):
        sum(taught(x).values()).backward()
    assert encoder.net.blocks[0].attn.qkv.weight.grad.any()


@pytest.fixture(scope="module")
def vit() -> TokenEncoder:
    return build("test_vit")


def test_patches_go_back_to_the_image(vit: TokenEncoder) -> None:
    x = torch.randn(2, 3, 32, 24)
    patches = vit.patchify(x)
    assert patches.shape == (2, vit.length((32, 24)), vit.patch_dim) and vit.grid((32, 24)) == (8, 6)
    assert torch.equal(vit.unpatchify(patches, (32, 24)), x)
    assert torch.equal(patches[0, 1].view(3, 4, 4), x[0, :, :4, 4:8])


def test_keeping_all_tokens_in_any_order_changes_nothing(vit: TokenEncoder) -> None:
    x = torch.randn(2, 3, 32, 32)
    order = torch.stack([torch.randperm(64), torch.randperm(64)])
    whole, kept = vit.tokens(x), vit.tokens(x, keep=order)
    expected = whole.patches.gather(1, order[..., None].expand(-1, -1, vit.dim))
    assert torch.allclose(kept.patches, expected, atol=1e-5)
    assert torch.allclose(kept.prefix, whole.prefix, atol=1e-5)


def test_a_few_tokens_equal_timms_blocks_on_those_alone(vit: TokenEncoder) -> None:
    x, keep, net = torch.randn(2, 3, 32, 32), torch.tensor([[3, 60, 7], [0, 1, 2]]), vit.net
    stream = net._pos_embed(net.patch_embed(x))
    stream = torch.cat([stream[:, :1], stream[:, 1:].gather(1, keep[..., None].expand(-1, -1, vit.dim))], dim=1)
    stream = net.norm(net.blocks(net.norm_pre(stream)))
    found = vit.tokens(x, keep=keep)
    assert torch.allclose(found.patches, stream[:, 1:], atol=1e-5)
    assert torch.allclose(found.prefix, stream[:, :1], atol=1e-5)


def test_what_is_hidden_cannot_be_seen(vit: TokenEncoder) -> None:
    x = torch.randn(2, 3, 32, 32)
    hidden = torch.zeros(2, 64, dtype=torch.bool)
    hidden[:, 10:30] = True
    hole = torch.randn(vit.dim)
    patches = vit.patchify(x)
    other = vit.unpatchify(torch.where(hidden[..., None], torch.randn_like(patches), patches), (32, 32))
    assert torch.equal(
        vit.tokens(x, hidden=hidden, hole=hole).patches, vit.tokens(other, hidden=hidden, hole=hole).patches
    )
    assert not torch.allclose(vit.tokens(x).patches, vit.tokens(other).patches)
    keep = (~hidden[:1]).nonzero()[:, 1].expand(2, -1)
    assert torch.equal(vit.tokens(x, keep=keep).patches, vit.tokens(other, keep=keep).patches)


def test_a_causal_mask_keeps_the_future_out(vit: TokenEncoder) -> None:
    causal = torch.ones(64, 64, dtype=torch.bool).tril()
    x = torch.randn(1, 3, 32, 32)
    patches = vit.patchify(x).clone()
    patches[:, 40:] += 1
    changed = vit.unpatchify(patches, (32, 32))
    before, after = vit.tokens(x, attend=causal).patches, vit.tokens(changed, attend=causal).patches
    assert torch.allclose(before[:, :40], after[:, :40], atol=1e-5)
    assert not torch.allclose(before[:, 40:], after[:, 40:], atol=1e-3)


def test_layers_and_other_sizes(vit: TokenEncoder) -> None:
    found = vit.tokens(torch.randn(2, 3, 16, 40), layers=(1, 5))
    assert found.patches.shape == (2, 40, vit.dim) and len(found.layers) == 2
    assert torch.allclose(vit.net.norm(found.layers[1])[:, 1:], found.patches)
    assert vit.map(torch.randn(1, 3, 16, 40)).shape == (1, vit.dim, 4, 10)
    with pytest.raises(ValueError, match="multiple of the patch"):
        vit.length((30, 32))


class Gives(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.scale = shape, nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * torch.ones(len(x), *self.shape)


@pytest.mark.parametrize(
    ("shape", "dim", "map_shape"), [((7,), 7, (1, 1)), ((7, 2, 3), 7, (2, 3)), ((6, 7), 7, (6, 1))]
)
def test_a_users_own_network(shape: tuple[int, ...], dim: int, map_shape: tuple[int, int]) -> None:
    encoder = build("own", module=Gives(shape))
    x = torch.randn(2, 3, 32, 32)
    assert encoder.dim == dim and encoder(x).shape == (2, dim) and encoder.map(x).shape == (2, dim, *map_shape)
    with pytest.raises(UsageError, match="must give"):
        build("own", module=Gives((2, 2, 2, 2)))
    with pytest.raises(UsageError, match="does not take images"):
        build("own", module=nn.Linear(4, 4))


def test_a_resnet_takes_a_depth_and_a_width() -> None:
    encoder = build("resnet18", depth=1, width=16)
    assert encoder.dim == 128 and [len(encoder.net.get_submodule(f"layer{i}")) for i in (1, 2, 3, 4)] == [1, 1, 1, 1]


def test_a_grid_keeps_quarters_and_stages_apart() -> None:
    encoder = build("resnet18", depth=1, width=16, pool="grid").eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        found = encoder(x)
        assert found.shape == (2, encoder.dim) == (2, 4 * (64 + 128))
        last = F.adaptive_avg_pool2d(encoder.map(x), 2).flatten(1)
        assert torch.allclose(found[:, 4 * 64 :], last)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("test_vit", {"pool": "grid"}, "'avg' and 'token'"),
        ("resnet18", {"pool": "token"}, "'avg' and 'grid'"),
        ("resnet81", {}, "no encoder named 'resnet81'; did you mean"),
        ("torchvision/resnet81", {}, "did you mean 'resnet"),
        ("own", {}, "pass it in Python"),
        ("test_convnext", {"depth": 3}, "no option 'depth'; vision transformers and ResNets have"),
        (
            "test_vit",
            {"patch": 5},
            "--size 32 is not a multiple of the patch of 5; say --size 30 or --size 35 or --encod",
        ),
        ("test_vit", {"stem": "tiny"}, "cannot be 'tiny'"),
        ("test_vit", {"class_token": False, "pool": "token"}, "without a class token"),
        ("resnet18", {"positions": "sincos"}, "no option 'positions'; vision transformers have"),
        ("test_vit", {"positions": "relative"}, "for timm's BEiTs"),
        ("own", {"positions": "sincos"}, "encoder own has no option 'positions'"),
        ("beit_base_patch16_224", {"positions": "relative", "class_token": False}, "neither 'init' nor"),
        ("beit_base_patch16_224", {"depth": 2}, "no option 'depth'"),
        ("test_convnext", {"init": "xavier"}, "no option 'init'; vision transformers have"),
        ("torchvision/resnet18", {"class_token": False}, "no option 'class_token'; vision transformers have"),
        ("vit_relpos_small_patch16_224", {"positions": "sincos"}, "no option 'positions'"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(name: str, options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build(name, **options)


@pytest.mark.parametrize(
    ("size", "patch", "side"),
    [
        ((64, 64), None, 8),
        ((96, 96), None, 16),  # its own
        ((72, 72), None, 9),  # which its own does not divide
        ((80, 72), None, 8),
        ((72, 72), 12, 12),
    ],
)
def test_patches_divide_small_images(size: tuple[int, int], patch: int | None, side: int) -> None:
    built = build("vit_tiny_patch16_224", size, patch=patch, depth=1)
    assert built.patch == side
    assert built(torch.zeros(1, 3, *size)).shape == (1, built.dim)


@pytest.mark.parametrize(
    ("size", "patch", "fixes"),
    [
        ((100, 100), None, "the patch of 16; say --size 96 or --size 112 or --encoder.patch 10"),
        ((101, 211), None, "the patch of 16; say --size 96x208 or --size 112x224"),
        ((67, 67), None, "the patch of 16; say --size 64 or --size 80"),  # by 67, or by 1
        ((40, 40), 16, "the patch of 16; say --size 32 or --size 48 or --encoder.patch 10"),
        ((10, 10), 16, "the patch of 16; say --size 16 or --encoder.patch 10"),
    ],
)
def test_sizes_that_patches_do_not_divide_are_refused_with_those_near(
    size: tuple[int, int], patch: int | None, fixes: str
) -> None:
    with pytest.raises(UsageError) as refused:
        build("vit_tiny_patch16_224", size, patch=patch, depth=1)
    assert str(refused.value).endswith(fixes)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("torchvision/resnet18", {"drop_path": 0.5}, "no option 'drop_path'; many networks of timm's have"),
        ("torchvision/convnext_tiny", {"stem": "small"}, "no option 'stem'; ResNets have"),
        ("densenet121", {"stem": "small"}, "encoder densenet121 has no option 'stem'; ResNets have"),
        ("efficientnet_b0", {"stem": "half"}, "no option 'stem'"),
        ("beit_base_patch16_224", {"stem": "small"}, "encoder beit_base_patch16_224 has no option 'stem'"),
        ("own", {"depth": 2}, "encoder own has no option 'depth': it is a network of yours, as it is"),
        ("own", {"stem": "small"}, "encoder own has no option 'stem'"),
    ],
)
def test_an_option_that_a_network_does_not_have_is_refused_where_a_run_begins(
    name: str, options: dict[str, Any], said: str
) -> None:
    module = nn.Flatten() if name == "own" else None
    asked = {"data": "photos", "method": "simclr", "encoder": {"name": name, "options": options}}
    with pytest.raises(UsageError, match=said):
        preflight(Pretrain.parse(asked), module)
    preflight(Pretrain.parse({**asked, "fingerprint": "abc"}), module)  # as one goes on that was begun with it


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_vit", {"stem": "small"}),
        ("beit_base_patch16_224", {"stem": "small", "positions": "relative", "depth": 1, "width": 32}),
        ("test_vit", {"drop_path": 0.1}),
        ("test_resnet", {"stem": "half"}),
        ("test_convnext", {"stem": "small"}),
        ("torchvision/resnet18", {"stem": "small"}),
        ("densenet121", {"stem": "timm"}),
        ("own", {}),
    ],
)
def test_an_option_that_a_network_has_is_taken(name: str, options: dict[str, Any]) -> None:
    asked = {"data": "photos", "method": "simclr", "size": 32, "encoder": {"name": name, "options": options}}
    preflight(Pretrain.parse(asked), nn.Flatten() if name == "own" else None)


def test_weights_from_a_file_a_wrapped_checkpoint_and_another_size(tmp_path: Path) -> None:
    donor = build("test_vit", (48, 48), patch=4)
    nn.init.normal_(donor.net.pos_embed)
    save_file(dict(donor.net.state_dict()), tmp_path / "a.safetensors")
    encoder = build("test_vit")
    told = load_initial_weights(encoder, str(tmp_path / "a.safetensors"))
    assert told.startswith(f"{len(list(encoder.net.parameters()))} of {len(list(encoder.net.parameters()))} tensors")
    assert torch.equal(encoder.net.blocks[0].attn.qkv.weight, donor.net.blocks[0].attn.qkv.weight)

    wrapped = {"state_dict": {f"module.backbone.{k}": v for k, v in build("test_resnet").net.state_dict().items()}}
    torch.save(wrapped, tmp_path / "b.pth")
    other = build("test_resnet", stem="timm")
    nn.init.zeros_(other.net.layer1[0].conv1.weight)
    load_initial_weights(other, str(tmp_path / "b.pth"))
    assert other.net.layer1[0].conv1.weight.abs().sum() > 0

    grown = build("test_resnet", channels=5)
    assert "fresh" not in load_initial_weights(grown, str(tmp_path / "b.pth"))


def test_weights_for_colours_are_folded_for_grey_and_back(tmp_path: Path) -> None:
    colours, grey, again, more = (build("test_resnet", channels=channels) for channels in (3, 1, 3, 4))
    save_file(dict(colours.net.state_dict()), tmp_path / "colours.safetensors")
    assert "fresh" not in load_initial_weights(grey, str(tmp_path / "colours.safetensors"))
    x = torch.rand(2, 1, 32, 32)
    seen = colours.eval()(x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(grey.eval()(x), seen)
    save_file(dict(grey.net.state_dict()), tmp_path / "grey.safetensors")
    load_initial_weights(again, str(tmp_path / "grey.safetensors"))
    torch.testing.assert_close(again.eval()(x.expand(-1, 3, -1, -1)), seen)
    with torch.no_grad():
        next(iter(more.net.parameters())).zero_()
    assert "fresh" not in load_initial_weights(more, str(tmp_path / "colours.safetensors"))
    assert next(iter(more.net.parameters())).abs().sum() > 0
    save_file({"conv1.0.weight": torch.rand(16, 2, 3, 3), "fc": torch.zeros(1)}, tmp_path / "two.safetensors")
    with pytest.raises(UsageError, match="fits no weight"):
        load_initial_weights(build("test_resnet"), str(tmp_path / "two.safetensors"))


class Bomb:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (Path.touch, (Path("exploded"),))


def test_weights_that_fit_nowhere_or_hide_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_file({"other.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    torch.save({"a": Bomb()}, tmp_path / "bomb.pth")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/pytorch_model.bin").write_text("hello")
    for name, said in {
        "other.safetensors": "fits no weight of test_resnet; it holds other.weight and others: name .* by --encoder",
        "theirs": "neither .*: it holds pytorch_model.bin, which may be named itself",
        "timm:resnet18": "neither .*: timm's own is called resnet18",
        "bomb.pth": "--init bomb.pth",
        "text.pth": "--init text.pth",
        "nowhere": "neither a model of timm's, a file nor a folder with an encoder",
    }.items():
        with pytest.raises(UsageError, match=said) as caught:
            load_initial_weights(build("test_resnet"), name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_timm_weights_without_a_network_are_a_clear_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args, **kwargs):  # type: ignore[no-untyped-def]
        raise OSError("We couldn't connect to the Hub\nmore lines")

    ready = build("test_resnet")
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UsageError, match=r"could not be had: We couldn't connect to the Hub$"):
        load_initial_weights(ready, "timm")


def test_positions_of_another_size_are_resampled_as_timm_does() -> None:
    encoder = build("test_vit")
    nn.init.normal_(encoder.net.pos_embed)
    old = list(encoder.net.patch_embed.grid_size)
    expected = resample_abs_pos_embed(encoder.net.pos_embed, new_size=[5, 3], old_size=old, num_prefix_tokens=1)
    size = (5 * encoder.patch, 3 * encoder.patch)
    torch.testing.assert_close(encoder._positions(encoder.net.pos_embed[:, 1:], size), expected[:, 1:])
    known = encoder.net.pos_embed[:, 1:]
    assert encoder._positions(known, [side * encoder.patch for side in old]) is known


def test_a_file_that_holds_code_is_refused_without_advice_to_run_it(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "script.pt"))
    torch.save(torch.zeros(3), tmp_path / "bare.pt")
    with pytest.raises(UsageError, match=r"is a TorchScript archive that holds code; save its state_dict\(\)") as told:
        load_initial_weights(build("test_resnet"), str(tmp_path / "script.pt"))
    assert "weights_only" not in str(told.value)
    with pytest.raises(UsageError, match="holds a Tensor, not weights by name"):
        load_initial_weights(build("test_resnet"), str(tmp_path / "bare.pt"))
