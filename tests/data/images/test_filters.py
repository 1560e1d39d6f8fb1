"""Filters that are patches of the data: what they answer, how they begin, and where they stay as they are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import selftaught
from selftaught.contracts.encoder import Encoder
from selftaught.data import filters as data_filters
from selftaught.data.filters import CHUNK, EPSILON, STEADY, THRESHOLD, PatchFilters
from selftaught.data.images.samples import open_samples
from selftaught.judging.beside import beside
from selftaught.run.export import load_encoder
from selftaught.run.recipes import Evaluate
from selftaught.system.errors import UsageError
from selftaught.training.looking.features import estimate_norms, norms_of
from tests.data.images.test_encoders import build

OPTIONS: dict[str, Any] = {"filters": 16, "depth": 1, "width": 8}
RUN: dict[str, Any] = {
    **{"encoder": {"name": "resnet18", "options": OPTIONS}, "size": 16, "batch_size": 16},
    **{"precision": "32-true", "layout": "contiguous", "map": 0},
}


NO_LABELS: Any = None  # are asked for, where no public weights are


def smooth(count: int, size: int = 16, channels: int = 3) -> Tensor:
    """Images whose pixels are like their neighbours."""
    coarse = torch.randn(count, channels, size // 4, size // 4, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, size=(size, size), mode="bilinear") + 0.1 * torch.randn(count, channels, size, size)


def photos(file: Path) -> Path:
    x = np.random.default_rng(0).normal(100, 20, (32, 16, 16, 3)).clip(0, 255)
    np.savez(file, x=x.astype(np.uint8))
    return file


def unfolded(x: Tensor, side: int, stride: int) -> Tensor:
    """Patches (B, places, D) without their mean, divided by their deviation."""
    raw = F.unfold(x, side, stride=stride).mT
    apart = raw - raw.mean(dim=2, keepdim=True)
    return apart / (raw.var(dim=2, keepdim=True, correction=0) + STEADY).sqrt()


def test_filters_answer_how_alike_they_and_whitened_patches_are_in_each_quarter() -> None:
    torch.manual_seed(0)
    filters, x = PatchFilters(3, 100, 6, 2).double().eval(), smooth(64, 18).double()  # more than are asked at once
    filters.start(x, seed=3)
    answers = unfolded(x, 6, 2) @ filters.kernel.flatten(1).mT - filters.offset
    places = torch.stack([answers, -answers]).mT.unflatten(3, (7, 7))  # (2, B, filters, 7, 7)
    wanted = F.adaptive_avg_pool2d(F.relu(places - THRESHOLD).flatten(0, 1), 2).unflatten(0, (2, 64)).flatten(3)
    found = filters(x)
    assert found.shape == (64, filters.dim) and filters.dim == 800
    assert torch.allclose(found.unflatten(1, (2, 100, 4)).movedim(1, 0), wanted)


def test_filters_answer_alike_to_however_many_samples_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    filters, x = PatchFilters(3, 8, 6, 3, mirror=True).double(), smooth(7, 18).double()
    filters.start(x, seed=0)
    whole, asked = filters(x), []
    answers = filters._answers
    monkeypatch.setattr(filters, "_answers", lambda part: asked.append(len(part)) or answers(part))
    monkeypatch.setattr(data_filters, "ANSWERS", 3 * CHUNK * 5 * 5)  # of three samples at five by five places
    assert torch.allclose(filters(x), whole) and asked == [3, 3, 3, 3, 1, 1]
    monkeypatch.setattr(data_filters, "ANSWERS", 1)  # and never fewer than one
    assert torch.allclose(filters(x), whole)


def test_filters_with_a_mirror_answer_the_mean_of_both_and_the_same_to_both() -> None:
    x = smooth(8, 18)
    plain, both = PatchFilters(3, 8, 6, 3), PatchFilters(3, 8, 6, 3, mirror=True)
    for filters in (plain, both):
        filters.start(x, seed=0)
    assert torch.equal(both(x), (plain(x) + plain(x.flip(3))) / 2) and not torch.equal(both(x), plain(x))
    assert torch.allclose(both(x), both(x.flip(3)))


def test_filters_are_whitened_patches_of_length_one() -> None:
    """Over patches of the data, an answer has mean zero; those of a filter's own patch are the greatest of all."""
    torch.manual_seed(0)
    filters, x = PatchFilters(3, 16, 6, 1).double(), smooth(256).double()
    filters.start(x, seed=0)
    patches = unfolded(x, 6, 1).flatten(0, 1)
    covariance = torch.cov(patches.mT)
    values, vectors = torch.linalg.eigh(covariance)
    whitening = vectors * (values + EPSILON).rsqrt() @ vectors.mT
    directions = filters.kernel.flatten(1) @ torch.linalg.pinv(whitening)
    assert torch.allclose(directions.norm(dim=1), torch.ones(16, dtype=torch.float64), atol=0.02)
    answers = patches @ filters.kernel.flatten(1).mT - filters.offset
    assert answers.mean(dim=0).abs().max() < 0.05
    best = (patches[answers.argmax(dim=0)] - patches.mean(dim=0)) @ whitening
    assert torch.allclose((F.normalize(best, dim=1) * directions).sum(dim=1), torch.ones(16).double(), atol=0.02)


def test_the_same_seed_and_data_give_the_same_filters_and_images_of_one_colour_none_that_are_not_numbers() -> None:
    x, kernels = smooth(32), {}
    for seed in (0, 0, 1):
        filters = PatchFilters(3, 16, 6, 2)
        filters.start(x, seed)
        if seed in kernels:
            assert torch.equal(kernels[seed], filters.kernel)
        kernels[seed] = filters.kernel.clone()
    assert not torch.equal(kernels[0], kernels[1])
    flat = PatchFilters(3, 16, 6, 2)
    flat.start(torch.ones(4, 3, 16, 16), 0)
    assert flat(torch.ones(4, 3, 16, 16)).isfinite().all() and flat(x).isfinite().all()


@pytest.mark.parametrize("pool", ["avg", "grid"])
@pytest.mark.parametrize(
    ("name", "size", "side", "stride"),
    [("resnet18", 8, 3, 1), ("test_resnet", 32, 6, 1), ("test_convnext", 64, 6, 2), ("resnet18", 96, 6, 3)],
)
def test_answers_of_filters_that_fit_the_size_are_the_end_of_a_feature(
    name: str, size: int, side: int, stride: int, pool: str
) -> None:
    x = torch.randn(2, 3, size, size)
    encoder, alone = (build(name, (size, size), pool=pool, **more) for more in ({"filters": 16}, {}))
    filters = encoder.net.patch_filters
    assert encoder.starts
    encoder.start(x, seed=0)
    assert not encoder.starts and not alone.starts
    assert filters.kernel.shape == (16, 3, side, side) and filters.stride == stride
    with torch.no_grad():
        told = encoder(x)
        assert told.shape == (2, encoder.dim) == (2, alone.dim + filters.dim)
        assert torch.equal(told, torch.cat([alone(x), filters(x)], dim=1)), "the network is the one that it would be"
        feature, features = encoder.feature_and_map(x)
        assert torch.allclose(feature, told, atol=1e-5) and torch.allclose(features, alone.map(x), atol=1e-5)
        encoder.leave_out()
        assert encoder.dim == alone.dim and encoder.left_out == filters.dim and torch.equal(encoder(x), alone(x))


@pytest.mark.parametrize("name", ["test_vit", "beit_base_patch16_224", "torchvision/resnet18", "own"])
def test_other_networks_have_no_filters(name: str) -> None:
    more = {"positions": "relative"} if name.startswith("beit") else {}
    with pytest.raises(UsageError, match=f"encoder {name} has no option 'filters'; timm's networks that pool a map"):
        build(name, module=torch.nn.Conv2d(3, 8, 1), filters=16, **more)
    with pytest.raises(UsageError, match=f"encoder {name} has no option 'mirror'; those with filters have"):
        build(name, module=torch.nn.Conv2d(3, 8, 1), mirror=True, **more)


def test_there_is_no_mirror_without_filters() -> None:
    with pytest.raises(UsageError, match="encoder resnet18 has no option 'mirror'; those with filters have"):
        build("resnet18", mirror=True)


def test_a_run_begins_with_patches_of_its_data_and_keeps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = photos(tmp_path / "photos.npz")
    run = selftaught.pretrain(data, method="byol", steps=3, checkpoint_every="1", out=tmp_path / "run", **RUN)
    encoder = run.encoder()
    assert encoder.net.patch_filters.made and encoder.dim == encoder.net.num_features + 8 * 16
    assert "a feature ends with 128 numbers by patches of the data itself" in capsys.readouterr().err
    config = json.loads((run.folder / "encoder/config.json").read_text())
    assert config["num_features"] == encoder.dim and "filters" in config["architecture"]
    one = selftaught.pretrain(data, method="simclr", steps=1, out=tmp_path / "one", **RUN).encoder()
    assert torch.equal(one.net.patch_filters.kernel, encoder.net.patch_filters.kernel), (
        "made before any step, whatever the method"
    )
    others = {**RUN, "seed": 1}
    other = selftaught.pretrain(data, method="simclr", steps=1, out=tmp_path / "other", **others).encoder()
    assert not torch.equal(other.net.patch_filters.kernel, encoder.net.patch_filters.kernel)
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(load_encoder(run.folder)(x), encoder(x))
    on = selftaught.pretrain(
        data, method="simclr", init=str(run.folder), steps=1, out=tmp_path / "on", **{**RUN, "seed": 2}
    )
    assert torch.equal(on.encoder().net.patch_filters.kernel, encoder.net.patch_filters.kernel), (
        "they came with the weights"
    )
    smaller = {**RUN, "size": 8}
    fresh = selftaught.pretrain(data, method="simclr", init=str(run.folder), steps=1, out=tmp_path / "less", **smaller)
    assert fresh.encoder().net.patch_filters.made, "those of another size do not fit, and others are taken"


def test_what_follows_slowly_has_the_same_patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from selftaught.methods.contrastive.distillation import byol  # whose copy is made before the patches are

    seen: list[list[Tensor]] = []
    forward = byol.BYOL.forward

    def watched(self: Any, *views: Tensor) -> dict[str, Tensor]:
        seen.append([part.net.patch_filters.kernel for part in self.modules() if isinstance(part, Encoder)])
        return forward(self, *views)

    monkeypatch.setattr(byol.BYOL, "forward", watched)
    selftaught.pretrain(photos(tmp_path / "photos.npz"), method="byol", steps=1, out=tmp_path / "run", **RUN)
    assert len(seen[-1]) == 2 and torch.equal(*seen[-1]) and seen[-1][0].any()


def test_an_untrained_network_beside_a_run_has_the_patches_that_it_began_with(tmp_path: Path) -> None:
    """Or what a second of looking at patches brings would be told as what training did."""
    data = photos(tmp_path / "photos.npz")
    run = selftaught.pretrain(data, method="simclr", steps=5, out=tmp_path / "run", **RUN)
    encoder = run.encoder()
    recipe = Evaluate(run=str(run.folder), train=str(data), pretrained="none")
    fresh = beside(recipe, encoder, NO_LABELS, None).encoders["untrained"]
    assert torch.equal(fresh.filters.kernel, encoder.filters.kernel) and fresh.filters.made
    assert not torch.equal(fresh.net.layer1[0].conv1.weight, encoder.net.layer1[0].conv1.weight)


@pytest.mark.parametrize("pool", ["avg", "grid"])
def test_norms_are_measured_without_what_no_norm_sees(pool: str, tmp_path: Path) -> None:
    """The answers of many patches take longer than the network does."""
    samples = open_samples(photos(tmp_path / "photos.npz"))
    encoder, alone = (build("test_resnet", (32, 32), pool=pool, **more) for more in ({"filters": 16}, {}))
    encoder.start(torch.randn(8, 3, 32, 32), seed=0)
    asked: list[Tensor] = []
    encoder.filters.register_forward_pre_hook(lambda module, given: asked.append(given[0]))
    for network in (encoder, alone):
        estimate_norms(network, samples)
    assert not asked
    held = encoder.state_dict()
    assert all(torch.equal(value, held[name]) for name, value in alone.state_dict().items()) and norms_of(alone)
    encoder(torch.randn(2, 3, 32, 32))
    assert len(asked) == 1
