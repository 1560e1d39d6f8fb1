"""Encoders of samples with two axes, which images are and spectrograms: any timm model, torchvision/NAME, or the user's
own module."""

from functools import partial
from typing import Any, Literal, cast

import timm
import torch
import torchvision
from timm.models.beit import Beit
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder, Origin
from selftaught.contracts.samples import Preparation
from selftaught.data.encoders import Own, build
from selftaught.data.filters import PatchFilters
from selftaught.data.networks import TimmGrid, TimmPooled, TimmRelative, TimmTokens, TorchvisionPooled
from selftaught.data.patching import patch_for
from selftaught.system import bounds, components, starts
from selftaught.system.errors import UsageError

SMALL = 64  # sides up to this get a small stem
HAVE = {  # who has which option
    "patch": "vision transformers and ConvNeXts",
    "depth": "vision transformers and ResNets",
    "width": "vision transformers and ResNets",
    "filters": "timm's networks that pool a map, as resnet18,",
    "mirror": "those with filters",
    "positions": "vision transformers",
    "init": "vision transformers",
    "class_token": "vision transformers",
    "drop_path": "many networks of timm's",
    "stem": "ResNets",
}
STARTS = {"positions": "learnt", "init": "timm", "class_token": True}  # of a vision transformer, where nothing is said
FILTERS = ("filters", "mirror")  # options of those
POOLS = {True: "a vision transformer has 'avg' and 'token'", False: "this network has 'avg' and 'grid'"}
TOKEN_ENCODERS = ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224")


def named_encoders(pattern: str) -> list[str]:
    """Names of timm's and torchvision's networks that contain `pattern`."""
    bare, of_torchvision = pattern.removeprefix("torchvision/"), torchvision.models.list_models(torchvision.models)
    return [*timm.list_models(f"*{pattern}*"), *(f"torchvision/{name}" for name in of_torchvision if bare in name)]


def create(
    name: str,
    preparation: Preparation,
    module: nn.Module | None = None,
    /,
    *,
    stem: Literal["auto", "small", "half", "timm"] = "auto",
    patch: bounds.Pixels | None = None,
    depth: bounds.Blocks | None = None,
    width: bounds.Width | None = None,
    pool: Literal["avg", "token", "grid"] = "avg",
    drop_path: bounds.BelowOne = 0.0,
    positions: Literal["learnt", "sincos", "relative"] = "learnt",
    init: Literal["timm", "xavier", "xavier_each"] = "timm",
    class_token: bool = True,
    filters: bounds.Width | None = None,
    mirror: bool = False,
) -> Encoder:
    """Build an encoder; the keyword-only parameters are its options.

    stem: a ResNet's 7 x 7 stem, one for small images (3 x 3, no pooling), or that one at half the resolution, four
    times as fast; auto: by the size of the images. filters: so many patches of the images themselves, whitened, whose
    answers are the end of a feature and are there before the first step; mirror: they look at an image and at its
    mirror image, and the mean is their answer, where left and right are alike as in photos. depth, width: blocks and
    width of a vision transformer, blocks in each stage and width of the first stage of a ResNet. patch: side of a patch
    in pixels. pool: what a vision transformer's feature is, the mean or the class token; of other networks of timm's,
    "grid" keeps the quarters of the last two stages apart. Of a vision transformer: positions, learnt or fixed sines,
    as in MAE, MoCo v3, I-JEPA and AIM, or, of a BEiT, a learnt bias for each way from place to place that all blocks
    share, as in SimMIM; init, how weights are drawn: timm's normal ones of deviation 0.02, or Xavier's, of query, key
    and value together (MAE) or each (MoCo v3); class_token, whether there is one (not in I-JEPA and AIM).
    """
    small = stem in ("small", "half") or (stem == "auto" and max(preparation.size) <= SMALL)
    stride = 2 if stem == "half" else 1
    given: dict[str, Any] = {
        key: value
        for key, value in {"patch": patch, "depth": depth, "width": width, "filters": filters}.items()
        if value
    }
    given |= {"mirror": True} if mirror else {}
    starting = {"positions": positions, "init": init, "class_token": class_token}
    given |= {key: value for key, value in starting.items() if value != STARTS[key]}
    if pool != "avg" and (name == "own" or name.startswith("torchvision/")):
        raise UsageError(f"encoder {name} option 'pool' cannot be {pool!r}: it is for encoders of timm's")
    if name == "own":
        _refuse_options(name, {key: value for key, value in given.items() if key in (*STARTS, *FILTERS)})
        return Own(module, preparation.shape, modality.named(preparation.modality).THINGS)
    if name.startswith("torchvision/"):
        _refuse_options(name, given)
        encoder, origin = _torchvision(name.removeprefix("torchvision/"), preparation, stride if small else None)
        ignored = ["drop_path"] * bool(drop_path)
    else:
        encoder, origin = _timm(name, preparation, stride if small else None, given, pool, drop_path)
        ignored = []
    if stem in ("small", "half") and not (origin.small_stem or _has_patches(name, positions == "relative")):
        ignored.append("stem")
    encoder.origin, encoder.ignored = origin, tuple((option, _lacks(name, option)) for option in ignored)
    return encoder


build_encoder = partial(build, create)


def _refuse_options(name: str, given: dict[str, Any]) -> None:
    for option in given:
        raise UsageError(_lacks(name, option))


def _lacks(name: str, option: str) -> str:
    return f"encoder {name} has no option {option!r}; {HAVE[option]} have"


def _has_patches(name: str, relative: bool) -> bool:
    """Whether small images are cut into smaller patches, which is then the stem; by a BEiT if it is `relative`."""
    modules = ["vision_transformer", "deit", "convnext", *["beit"] * relative]
    return timm.is_model(name) and timm.models.is_model_in_modules(name, modules)


def _timm(
    name: str, preparation: Preparation, stride: int | None, given: dict[str, Any], pool: str, drop_path: float
) -> tuple[Encoder, Origin]:
    if not timm.is_model(name):
        raise UsageError(f"no encoder named {name!r}; {components.hint(name, timm.list_models())}")
    height, width = preparation.size
    patches = {key: given.pop(key) for key in FILTERS if key in given}
    arguments: dict[str, Any] = {"in_chans": preparation.channels}
    if drop_path:
        arguments["drop_path_rate"] = drop_path
    relative = given.get("positions") == "relative"
    is_vit = timm.models.is_model_in_modules(name, ["vision_transformer", "deit"])
    if "filters" not in patches or is_vit or relative:
        _refuse_options(name, patches)
    if relative:
        return _relative(name, preparation, bool(stride), given, pool, arguments)
    if pool == ("grid" if is_vit else "token"):
        raise UsageError(f"encoder {name} option 'pool' cannot be {pool!r}: {POOLS[is_vit]}")
    if is_vit:
        arguments |= _vit_arguments(name, preparation, bool(stride), given, pool)
    elif timm.models.is_model_in_modules(name, ["resnet"]):
        if depth := given.pop("depth", None):
            arguments["layers"] = [depth] * 4
        if width := given.pop("width", None):
            arguments["channels"] = [width, 2 * width, 4 * width, 8 * width]
        _refuse_options(name, given)
    else:
        if timm.models.is_model_in_modules(name, ["convnext"]):
            side = given.pop("patch", None) or (max(1, min(4, min(preparation.size) // 16)) if stride else None)
            arguments |= {"patch_size": side} if side else {}
        _refuse_options(name, given)
        known = timm.get_pretrained_cfg(name)
        if known is not None and known.fixed_input_size:
            arguments["img_size"] = [height, width]
    try:
        net = timm.create_model(name, num_classes=0, **arguments)
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        raise UsageError(f"encoder {name} cannot be built for {height} x {width} px: {error}") from None
    if isinstance(net, VisionTransformer):
        _start(net, name, **{key: given[key] for key in ("positions", "init") if key in given})
        return TimmTokens(net), Origin("timm", name, arguments)
    origin = Origin("timm", name, arguments, stride is not None and _shrink_stem(net, stride))
    if pool == "grid":
        origin.features = TimmGrid.FEATURES
    filters = _filters(preparation, patches["filters"], "mirror" in patches) if patches else None
    if filters:
        origin.features = f"torch.cat([{origin.features or 'net(x)'}, answers(x)], dim=1)"
        origin.beside = filters.in_python()
    return (TimmGrid if pool == "grid" else TimmPooled)(net, filters), origin


def _filters(preparation: Preparation, count: int, mirror: bool) -> PatchFilters:
    """Patches of a fifth of a small image's side, and places that are about as many in a large one."""
    shortest = min(preparation.size)
    side, stride = 6 if shortest >= 16 else min(3, shortest), max(1, shortest // 32)
    return PatchFilters(preparation.channels, count, side, stride, mirror)


def _vit_arguments(
    name: str, preparation: Preparation, small: bool, given: dict[str, Any], pool: str
) -> dict[str, Any]:
    size = preparation.size
    side = patch_for(name, size, given.get("patch"), small)
    arguments: dict[str, Any] = {"img_size": list(size), "dynamic_img_size": True, "global_pool": pool}
    if pool == "avg":
        arguments["fc_norm"] = False  # the norm stays before the pooling, where masked methods train it
    if side:
        arguments["patch_size"] = side
    if not given.get("class_token", True):
        if pool == "token":
            raise UsageError("encoder option 'pool' cannot be 'token' without a class token; leave 'class_token' true")
        arguments["class_token"] = False
    if "depth" in given:
        arguments["depth"] = given["depth"]
    if width := given.get("width"):
        head = next((dim for dim in (64, 48, 32, 16, 8, 4) if width % dim == 0), 1)
        arguments |= {"embed_dim": width, "num_heads": width // head}
    return arguments


RELATIVE = {"use_abs_pos_emb": False, "use_rel_pos_bias": False, "use_shared_rel_pos_bias": True, "use_fc_norm": False}


def _relative(
    name: str, preparation: Preparation, small: bool, given: dict[str, Any], pool: str, arguments: dict[str, Any]
) -> tuple[Encoder, Origin]:
    """A BEiT whose blocks share their positions."""
    if not timm.models.is_model_in_modules(name, ["beit"]) or pool == "grid" or given.keys() & {"init", "class_token"}:
        raise UsageError(
            f"encoder {name} option 'positions' cannot be 'relative' here: that is for timm's BEiTs, such as "
            "beit_base_patch16_224, which pool by 'avg' or 'token' and have neither 'init' nor 'class_token'"
        )
    of_vit = _vit_arguments(name, preparation, small, given, pool)
    taken = {key: value for key, value in of_vit.items() if key not in ("dynamic_img_size", "fc_norm")}
    arguments |= taken | RELATIVE
    try:
        net = cast(Beit, timm.create_model(name, num_classes=0, **arguments))
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        raise UsageError(f"encoder {name} cannot be built for {preparation.size}: {error}") from None
    return TimmRelative(net), Origin("timm", name, arguments)


@torch.no_grad()
def _start(net: VisionTransformer, name: str, positions: str = "learnt", init: str = "timm") -> None:
    """Draw a vision transformer's weights, and fix its positions, in place."""
    if init != "timm":
        starts.xavier(net, each=init == "xavier_each")
        # As the linear layer over the values of a patch that it is.
        torch.nn.init.xavier_uniform_(net.patch_embed.proj.weight.view(net.embed_dim, -1))
    if positions == "sincos":
        if net.pos_embed is None:
            raise UsageError(f"encoder {name} option 'positions' cannot be 'sincos': it adds none to its patches")
        own = 0 if net.no_embed_class else net.num_prefix_tokens
        net.pos_embed.zero_()  # a class token is nowhere
        net.pos_embed[:, own:] = starts.sine_positions(net.patch_embed.grid_size, net.embed_dim)
        net.pos_embed.requires_grad_(False)


def _torchvision(name: str, preparation: Preparation, stride: int | None) -> tuple[Encoder, Origin]:
    known = torchvision.models.list_models(torchvision.models)
    if name not in known:
        raise UsageError(f"no encoder named 'torchvision/{name}'; {components.hint(name, known)}")
    net = torchvision.models.get_model(name, weights=None)
    if preparation.channels != 3:
        _replace_first_convolution(net, preparation.channels)
    small_stem = stride is not None and _shrink_stem(net, stride)
    origin = Origin("torchvision", name, {"in_chans": preparation.channels}, small_stem)
    return TorchvisionPooled(net), origin


def _replace_first_convolution(net: nn.Module, channels: int) -> None:
    path, layer = next((path, layer) for path, layer in net.named_modules() if isinstance(layer, nn.Conv2d))
    shape: Any = (layer.kernel_size, layer.stride, layer.padding)
    fresh = nn.Conv2d(channels, layer.out_channels, *shape, bias=layer.bias is not None)  # type: ignore[misc]
    net.set_submodule(path, fresh)


def _shrink_stem(net: nn.Module, stride: int) -> bool:
    """Replace a ResNet's stem by one for small images, in place: 3 x 3, stride 1, no max-pool (SimCLR, B.9)."""
    first, pool = getattr(net, "conv1", None), getattr(net, "maxpool", None)
    if not isinstance(pool, nn.Module) or not isinstance(first, nn.Module):
        return False
    net.maxpool = nn.Identity()
    if isinstance(first, nn.Conv2d):
        net.conv1 = nn.Conv2d(first.in_channels, first.out_channels, 3, stride, 1, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    else:  # a deep stem starts with a 3 x 3 convolution already
        assert isinstance(first, nn.Sequential) and isinstance(first[0], nn.Conv2d)
        first[0].stride = (stride, stride)
    return True
