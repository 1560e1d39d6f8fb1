"""Exports load without this package, and give the same features: that it loads proves nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import selftaught
from selftaught.contracts.encoder import Encoder
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.run.classifier import Calibrated, save_classifier
from selftaught.run.export import load_encoder, save_encoder
from selftaught.run.meaning import Meaning
from selftaught.run.onnx import to_onnx
from selftaught.run.pte import to_executorch
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from tests.networks import onnx_answers


def exported(
    folder: Path, name: str, size: int = 32, channels: int = 3, module: nn.Module | None = None, **options
) -> Encoder:
    torch.manual_seed(1)
    facts = {"low": 0, "high": 255, "mean": (0.4,) * channels, "std": (0.2,) * channels}
    preparation = Preparation(channels=channels, size=(size, size), **facts)
    part = Part(name=name, options=options)
    encoder = build_encoder(part, preparation, module)
    encoder.start(torch.randn(8, channels, size, size), seed=0)
    encoder.train()
    encoder(torch.randn(8, channels, size, size))  # running statistics that are not the initial ones
    save_encoder(encoder, part, preparation, folder, {"method": "simclr", "step": 3})
    return encoder.eval()


@pytest.mark.parametrize(
    ("name", "size", "channels", "options"),
    [
        ("test_vit", 32, 3, {"depth": 3, "width": 48}),
        ("test_vit", 32, 5, {"patch": 8, "pool": "token"}),
        ("test_convnext", 32, 3, {}),
        ("test_resnet", 32, 1, {"stem": "timm"}),
        ("test_resnet", 96, 3, {}),
    ],
)
def test_timm_loads_what_it_can_express(tmp_path: Path, name: str, size: int, channels: int, options: dict) -> None:
    encoder = exported(tmp_path / "encoder", name, size, channels, **options)
    net = timm.create_model(f"local-dir:{tmp_path / 'encoder'}", pretrained=True, num_classes=0).eval()
    x = torch.randn(4, channels, size, size)
    with torch.no_grad():
        assert torch.allclose(net(x), encoder(x), atol=1e-5)
    config = json.loads((tmp_path / "encoder" / "config.json").read_text())
    assert config["pretrained_cfg"]["mean"] == [0.4] * channels and config["num_features"] == encoder.dim


@pytest.mark.parametrize(
    ("name", "channels", "options"),
    [
        ("test_vit", 3, {"depth": 3, "width": 48}),
        ("test_vit", 1, {"patch": 8, "pool": "token"}),
        ("test_convnext", 3, {}),
        ("test_convnext", 1, {}),
        ("test_resnet", 3, {"stem": "timm"}),
        ("test_efficientnet", 3, {}),
        ("test_byobnet", 3, {}),
        ("test_mambaout", 3, {}),
    ],
)
def test_timm_gives_what_it_loads_a_new_head_and_other_channels(
    tmp_path: Path, name: str, channels: int, options: dict
) -> None:
    encoder = exported(tmp_path / "encoder", name, channels=channels, **options)
    x = torch.randn(4, 1, 32, 32)

    def loaded(**how: int) -> torch.Tensor:
        net = timm.create_model(f"local-dir:{tmp_path / 'encoder'}", pretrained=True, num_classes=7, **how).eval()
        given = x.expand(-1, how.get("in_chans", channels), -1, -1)
        assert net(given).shape == (4, 7)
        return net.forward_head(net.forward_features(given), pre_logits=True)

    with torch.no_grad():
        wanted = encoder(x.expand(-1, channels, -1, -1))
        assert torch.allclose(loaded(), wanted, atol=1e-5)
        # A first layer for grey sums over the colours, so a grey image is seen as it was; so it is by one for colours.
        for other in {1, 3} - {channels}:
            assert torch.allclose(loaded(in_chans=other), wanted, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"stem": "half"}, {"pool": "grid"}])
@pytest.mark.parametrize("name", ["resnet18", "test_resnet"])
def test_what_timm_cannot_build_has_its_ends_named_too(tmp_path: Path, name: str, options: dict) -> None:
    encoder = exported(tmp_path / "encoder", name, **options)
    known = json.loads((tmp_path / "encoder" / "config.json").read_text())["pretrained_cfg"]
    assert encoder.net.get_submodule(known["first_conv"]).in_channels == 3
    assert known["classifier"] == "fc" and not list(encoder.net.get_submodule("fc").parameters())


REPLACED: list[tuple[str, dict]] = [
    ("resnet18", {}),
    ("resnet18", {"stem": "half", "depth": 1, "width": 16}),
    ("resnet18", {"depth": 1, "width": 16, "pool": "grid"}),
    ("resnet18", {"depth": 1, "width": 16, "pool": "grid", "filters": 8}),
    ("resnet10t", {"filters": 70}),
    ("resnet10t", {"filters": 8, "mirror": True}),
    ("test_convnext", {"filters": 8}),
    ("test_resnet", {}),
    ("test_resnet", {"stem": "half"}),
    ("torchvision/resnet18", {}),
]
# One process reads them all: it knows nothing of selftaught, only what a page says.
READER = """
import os, sys
from safetensors.torch import load_file, save_file
import torch
for folder, features in [line.split("\\t") for line in open("folders.txt").read().splitlines()]:
    os.chdir(folder)
    names = {}
    exec(open("lines.py").read(), names)
    assert "selftaught" not in sys.modules
    with torch.no_grad():
        save_file({"y": names[features](load_file("../x.safetensors")["x"])}, "y.safetensors")
"""


def test_a_replaced_stem_is_refused_by_timm_and_rebuilt_by_the_plain_lines(tmp_path: Path) -> None:
    x, encoders, lines = torch.randn(3, 3, 32, 32), [], []
    save_file({"x": x}, tmp_path / "x.safetensors")
    for number, (name, options) in enumerate(REPLACED):
        folder = tmp_path / str(number)
        encoders.append(exported(folder, name, **options))
        with pytest.raises(RuntimeError, match="Unknown model"):
            timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
        block = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
        assert block and "selftaught" not in block[1]
        (folder / "lines.py").write_text(block[1])
        lines.append(f"{folder}\t{'features' if options.keys() & {'pool', 'filters'} else 'net'}\n")
    (tmp_path / "folders.txt").write_text("".join(lines))
    subprocess.run([sys.executable, "-c", READER], check=True, cwd=tmp_path)
    with torch.no_grad():
        for number, encoder in enumerate(encoders):
            read = load_file(tmp_path / str(number) / "y.safetensors")["y"]
            assert torch.allclose(read, encoder(x), atol=1e-5), REPLACED[number]


def test_a_classifier_of_rows_is_loaded_by_the_lines_of_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"steps": 1, "batch_size": 16, "precision": "32-true", "layout": "contiguous", "map": 0}
    run = selftaught.pretrain("sklearn:wine", method="vicreg", encoder="mlp", out=str(tmp_path / "run"), **quick)
    encoder = run.encoder()
    classifier = Calibrated(encoder, nn.Linear(encoder.dim, 3), Meaning(temperature=1.7), ["a", "b", "c"]).eval()
    save_classifier(classifier, tmp_path / "classifier", {})
    block = re.search(r"```python\n(.*?)```", (tmp_path / "classifier" / "README.md").read_text(), re.DOTALL)
    assert block
    monkeypatch.chdir(tmp_path / "classifier")
    names: dict = {}
    exec(block[1], names)
    x = torch.randn(4, *encoder.preparation.shape)
    with torch.no_grad():
        assert torch.equal(names["probabilities"](x), classifier(x))


def test_an_encoder_comes_back_as_it_was(tmp_path: Path) -> None:
    encoder = exported(tmp_path / "encoder", "test_vit", depth=2)
    back = load_encoder(tmp_path)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(back(x), encoder(x)) and not back.training
    assert back.preparation.mean == (0.4, 0.4, 0.4) and back.part == Part(name="test_vit", options={"depth": 2})


class Own(nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def test_a_users_own_network_must_be_passed_again(tmp_path: Path) -> None:
    encoder = exported(tmp_path / "encoder", "own", module=Own())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_encoder(tmp_path, module=Own())(x), encoder(x))
    with pytest.raises(UsageError, match="pass it again"):
        load_encoder(tmp_path)


def test_a_folder_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no encoder yet"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    with pytest.raises(UsageError, match="not written by selftaught"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_onnx_gives_the_same_features(tmp_path: Path, name: str) -> None:
    exported(tmp_path / "encoder", name)
    encoder = load_encoder(tmp_path)
    assert to_onnx(encoder, tmp_path / "m.onnx") < 1e-4
    x = torch.randn(7, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(onnx_answers(tmp_path / "m.onnx", x)), encoder(x), atol=1e-4)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_executorch_gives_the_same_features(tmp_path: Path, name: str) -> None:
    runtime = pytest.importorskip("executorch.runtime", reason="needs executorch")
    exported(tmp_path / "encoder", name)
    encoder = load_encoder(tmp_path)
    assert to_executorch(encoder, tmp_path / "m.pte") < 1e-4
    x = torch.randn(1, 3, 32, 32)
    (found,) = runtime.Runtime.get().load_program(tmp_path / "m.pte").load_method("forward").execute([x])
    with torch.no_grad():
        assert torch.allclose(found, encoder(x), atol=1e-4)


def test_what_executorch_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(tmp_path / "encoder", "test_resnet")
    monkeypatch.setitem(sys.modules, "executorch.exir", None)
    with pytest.raises(UsageError, match=r"pip install 'selftaught\[executorch\]'"):
        to_executorch(load_encoder(tmp_path), tmp_path / "m.pte")
    assert not list(tmp_path.glob("*.pte"))


def test_onnx_that_disagrees_is_not_written(tmp_path: Path) -> None:
    class Fickle(Own):
        """Answers otherwise from one call to the next, as dropout left on would."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + (torch.rand(()) if not torch.compiler.is_compiling() else 0)

    exported(tmp_path / "encoder", "own", module=Fickle())
    with pytest.raises(UsageError, match="not written"):
        to_onnx(load_encoder(tmp_path, module=Fickle()), tmp_path / "m.onnx")
    assert not list(tmp_path.glob("*.onnx"))
