"""Which weights of an encoder learn: norms, the last layers, or thin matrices that are added and made one again."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import selftaught
from selftaught.contracts.encoder import Encoder
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.run.export import merged
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.training.adapting import LowRank, adapt, count_weights
from selftaught.training.announcing import in_millions
from selftaught.training.layers import depths
from selftaught.training.looking.health import SKETCHED, sketched
from tests.networks import HALVED

SEEN = Preparation(channels=3, size=(32, 32), low=0, high=255, mean=(0.5,) * 3, std=(0.25,) * 3)


def encoder(name: str = "test_vit") -> Encoder:
    torch.manual_seed(0)
    built: Encoder = build_encoder(Part(name=name), SEEN)
    return built


def learning(network: Encoder) -> set[str]:
    return {name for name, weight in network.net.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_norms_alone(name: str) -> None:
    network = encoder(name)
    adapt(network, "norms")
    found = {type(network.net.get_submodule(own.rpartition(".")[0])).__name__ for own in learning(network)}
    assert found and all("Norm" in kind for kind in found), found


def test_the_last_layers_alone() -> None:
    network = encoder()
    depth = depths(network.net)
    adapt(network, "last:2")
    found = {depth[weight] for weight in network.net.parameters() if weight.requires_grad}
    assert found == {max(depth.values()) - 1, max(depth.values())} and "norm.weight" in learning(network)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_low_ranks_start_as_nothing_and_become_one_with_the_weights(name: str) -> None:
    network, x = encoder(name).eval(), torch.randn(2, 3, 32, 32)
    before, names = network(x), set(network.net.state_dict())
    adapt(network, "lora:2")
    assert torch.equal(network(x), before) and all("parametrizations" in own for own in learning(network))
    thin = [layer for layer in network.modules() if isinstance(layer, LowRank)]
    for layer in thin:
        nn.init.normal_(layer.up)
    after = network(x)
    assert not torch.allclose(after, before) and all(len(layer.down) <= 2 for layer in thin)
    plain = encoder(name).eval()
    assert set(merged(network.net)) == names
    plain.net.load_state_dict(merged(network.net))
    assert torch.allclose(plain(x), after, atol=1e-5)


def test_what_is_added_has_the_rank_and_the_scale() -> None:
    thin = LowRank(torch.zeros(6, 4, 3, 3), 2)
    nn.init.normal_(thin.up)
    added = thin(torch.zeros(6, 4, 3, 3)).flatten(1)
    assert int(torch.linalg.matrix_rank(added)) == 2 and torch.allclose(added, 2 * thin.up @ thin.down)
    assert len(LowRank(torch.zeros(3, 1), 8).down) == 1, "no rank above the weight's own"


def test_how_far_weights_have_moved_counts_what_is_added_and_not_the_thin_matrices() -> None:
    network = encoder("test_vit")
    began = {name: weight.detach().clone() for name, weight in network.net.named_parameters()}
    adapt(network, "lora:2")
    thin = [layer for layer in network.modules() if isinstance(layer, LowRank)]
    held = {name: weight for name, weight in began.items() if name.removesuffix(".weight") in _added_to(network)}
    before = sketched(network)
    assert torch.equal(before, _picked(held))
    for layer in thin:
        nn.init.constant_(layer.up, 1e-4)
    now = merged(network.net)
    assert torch.equal(sketched(network), _picked({name: now[name] for name in held}))
    assert 0 < float((sketched(network) - before).norm() / before.norm()) < 0.01


def _added_to(network: Encoder) -> set[str]:
    return {name for name, layer in network.net.named_modules() if hasattr(layer, "parametrizations")}


def _picked(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([w.detach().flatten()[:: 1 + w.numel() // SKETCHED] for w in weights.values()])


def test_what_learns_is_counted_and_what_is_added_is_none_of_the_networks_weights() -> None:
    whole = count_weights(encoder())[0]
    assert count_weights(encoder()) == (whole, whole)
    network = encoder()
    adapt(network, "lora:1")
    thin = sum(w.numel() for layer in network.modules() if isinstance(layer, LowRank) for w in layer.parameters())
    assert count_weights(network) == (whole, thin) and 0 < thin < whole
    assert (in_millions(11_234_567), in_millions(0), in_millions(8_000)) == ("11.2", "0.0", "0.008")


def test_a_network_without_such_weights_is_refused() -> None:
    network = encoder("test_vit")
    network.net = nn.Sequential(nn.Flatten(), nn.Conv1d(3, 3, 3, groups=3))
    with pytest.raises(UsageError, match="--adapt cannot be 'lora:4': test_vit has no weights of that kind"):
        adapt(network, "lora:4")


@pytest.mark.parametrize("how", ["lora:2", "norms", "last:1"])
@pytest.mark.parametrize("method", ["byol", "simclr"])
def test_a_run_learns_them_alone_and_is_exported_whole(
    how: str, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = {"encoder": HALVED, "limit": 64, "batch_size": 16, "precision": "32-true", "layout": "contiguous"}
    same |= {"map": 0, "checkpoint_every": "2"}
    first = selftaught.pretrain("sklearn:digits", method=method, steps=1, out=tmp_path / "first", **same)
    out = tmp_path / "run"
    same |= {"init": str(first.folder), "adapt": how, "training": {"frozen": 0.0}}
    run = selftaught.pretrain("sklearn:digits", method=method, steps=4, out=out, **same)
    whole = sum(weight.numel() for weight in run.encoder().net.parameters())
    said = capsys.readouterr().err
    assert f"M weights ({len(list(run.encoder().net.parameters()))} of" in said and f"--adapt {how}: " in said
    assert f" of {in_millions(whole)} M weights learn" in said
    began, now = (load_file(run.folder / name / "model.safetensors") for name in ("initial", "encoder"))
    assert began.keys() == now.keys()
    measured = ("running_mean", "running_var", "num_batches_tracked")
    moved = {name for name in now if not torch.equal(began[name], now[name]) and not name.endswith(measured)}
    kinds = {name: type(run.encoder().net.get_submodule(name.rpartition(".")[0])).__name__ for name in moved}
    wanted = {"lora:2": "Conv2d", "norms": "BatchNorm2d"}.get(how, "")
    assert moved and all(wanted in kind for kind in kinds.values())
    assert how != "last:1" or all(name.startswith("layer4") for name in moved)
    (run.checkpoints / "last").write_text("step_0000002\n")
    again = selftaught.pretrain("sklearn:digits", resume=True, out=out)
    assert all(torch.equal(v, now[n]) for n, v in load_file(again.folder / "encoder/model.safetensors").items())


def test_where_all_learn_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = {"encoder": HALVED, "limit": 32, "batch_size": 16, "precision": "32-true", "layout": "contiguous", "map": 0}
    first = selftaught.pretrain("sklearn:digits", method="simclr", steps=1, out=tmp_path / "first", **how)
    how |= {"init": str(first.folder), "adapt": "last:99"}
    selftaught.pretrain("sklearn:digits", method="simclr", steps=1, out=tmp_path / "run", **how)
    whole = in_millions(sum(weight.numel() for weight in first.encoder().net.parameters()))
    assert f"--adapt last:99: all {whole} M weights learn" in capsys.readouterr().err
