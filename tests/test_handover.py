"""The lines of the guide that hand an encoder to other libraries, run as they stand there: its features stay."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor

from selftaught.commands.cli import run_command
from selftaught.contracts.encoder import Encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.run.onnx import to_onnx
from tests.commands.finding import drawn, run_of
from tests.judging.test_transfer import made
from tests.networks import HALVED
from tests.run.test_export import exported

GUIDE = (Path(__file__).parent.parent / "docs" / "guides" / "handover.md").read_text()
SIDE = 96
HALF = 5e-3  # how far weights that were kept in half precision may lead


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    """One of timm's in runs/photos, where the guide has it."""
    monkeypatch.chdir(tmp_path)
    return exported(tmp_path / "runs" / "photos" / "encoder", "test_resnet", size=SIDE, stem="timm")


def carried_out(section: str, **instead: str) -> dict[str, Any]:
    """What the Python of a section leaves behind; `instead` of resnet18 and the like stands something smaller."""
    text = next(part for part in GUIDE.split("\n## ") if part.startswith(section))
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for whole, small in instead.items():
        assert whole in code
        code = code.replace(whole, small)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def images() -> Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_timm_has_its_maps_a_head_and_the_values(encoder: Encoder) -> None:
    made = carried_out("timm")
    x = images()
    assert torch.allclose(made["maps"].eval()(x)[-1], encoder.map(x), atol=1e-5)
    assert made["classifier"].eval()(x).shape == (2, 7)
    normalise = made["transform"].transforms[-1]
    assert torch.allclose(normalise.mean, torch.full((3,), 0.4)) and torch.allclose(
        normalise.std, torch.full((3,), 0.2)
    )


def test_torchvision_learns_boxes_on_its_maps(encoder: Encoder) -> None:
    detector = carried_out("torchvision")["detector"]
    levels = []
    detector.backbone.body.register_forward_hook(lambda module, given, maps: levels.append((given[0], maps[-1])))
    detector.transform.min_size, detector.transform.max_size = (SIDE,), SIDE
    boxes = {"boxes": torch.tensor([[10.0, 10.0, 50.0, 50.0]]), "labels": torch.tensor([1])}
    sum(detector(list(images()), [boxes, boxes]).values()).backward()
    assert all(weight.grad is not None for weight in detector.backbone.pyramid.parameters())
    detector.eval()(list(images()))
    seen, last = levels[-1]
    assert torch.allclose(seen, (images() - 0.4) / 0.2, atol=1e-5)
    body = timm.create_model("local-dir:runs/photos/encoder", pretrained=True, features_only=True).train()
    assert torch.allclose(last, detector.backbone.body(seen)[-1])
    assert all(torch.equal(a, b) for a, b in zip(body.parameters(), detector.backbone.body.parameters(), strict=True))


@torch.no_grad()
def test_segmentation_models_give_its_maps_to_their_decoder(encoder: Encoder) -> None:
    pytest.importorskip("segmentation_models_pytorch", reason="needs segmentation-models-pytorch")
    net = carried_out("segmentation", resnet18="test_resnet")["net"].eval()
    x = images()
    assert torch.allclose(net.encoder(x)[-1], encoder.map(x), atol=1e-5) and net(x).shape == (2, 2, SIDE, SIDE)


def test_yolo_sees_what_the_encoder_saw_and_begins_to_learn_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    pytest.importorskip("ultralytics", reason="needs ultralytics")
    monkeypatch.chdir(tmp_path)
    encoder = exported(tmp_path / "runs" / "photos" / "encoder", "torchvision/resnet18", size=SIDE)
    yolo = carried_out("Ultralytics")["yolo"]
    begun: list[dict[str, Tensor]] = []

    def begins(trainer: Any) -> None:
        begun.append({name: value.clone() for name, value in trainer.model.model[0].state_dict().items()})
        raise InterruptedError  # that is all there is to see

    yolo.add_callback("on_train_start", begins)
    held = {name: value.clone() for name, value in yolo.model.model[0].state_dict().items()}
    with pytest.raises(InterruptedError):
        yolo.train(data=str(boxes(tmp_path / "boxes")), imgsz=SIDE, epochs=1, workers=0, device="cpu", plots=False)
    assert all(torch.equal(value, held[name]) for name, value in begun[0].items())

    backbone, net, x = as_ours(yolo.model.model[0].m), encoder.net, images()
    with torch.no_grad():
        stem = backbone[:2](x)[..., 2:-2, 2:-2]  # beyond which padding is another
        assert torch.allclose(stem, net.bn1(net.conv1((x - 0.4) / 0.2))[..., 2:-2, 2:-2], atol=HALF)
        maps = net.layer4(net.layer3(net.layer2(net.layer1(stem))))
        assert (backbone[4:](stem) - maps).abs().max() < HALF * maps.abs().max()


def boxes(folder: Path) -> Path:
    """Two pictures with a box each, as Ultralytics has them."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number in range(2):
        Image.fromarray(np.full((SIDE, SIDE, 3), 90 * number, np.uint8)).save(folder / "images" / f"{number}.png")
        (folder / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (folder / "boxes.yaml").write_text(f"path: {folder}\ntrain: images\nval: images\nnames: [a, b, c]\n")
    return folder / "boxes.yaml"


def as_ours(backbone: Any) -> Any:
    """With what the encoder's batch norms add to a variance, which theirs have otherwise."""
    for layer in backbone.eval().modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = 1e-5
    return backbone


def planes(high: float = 255) -> list[np.ndarray]:
    """Two that brighten, to the right and downwards, and one that darkens."""
    across, down = np.meshgrid(np.linspace(0, high, 120), np.linspace(0, high, 80))
    return [across, down, high - across]


def drawn_of(kind: str) -> Image.Image:
    """A picture of some kind of pixels."""
    if kind == "grain":  # of the size of a view, and of the finest detail
        return Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    if kind == "16 bits":
        return Image.fromarray(planes(4095)[1].astype(np.uint16))
    red, green, blue = (Image.fromarray(plane.astype(np.uint8)) for plane in planes())
    veil = Image.fromarray(np.where(planes()[0] > 120, 255, 0).astype(np.uint8))
    if kind == "palette":
        flat = Image.merge("RGB", (red, green, blue)).quantize(16)
        flat.info["transparency"] = 0
        return flat
    bands = {"RGB": (red, green, blue), "RGBA": (red, green, blue, veil), "LA": (red, veil), "L": (red,)}[kind]
    return Image.merge(kind, bands)


EIGHT = {"stored": "uint8", "low": 0, "high": 255}
KEPT = {**EIGHT, "canvas": (40, 40)}  # whatever the shape of an image, and larger than some
SIXTEEN = {"stored": "uint16", "low": 0, "high": 4000, "top": 4095}


@pytest.mark.parametrize(
    ("kind", "channels", "values"),
    [
        ("RGB", 3, EIGHT),
        ("RGB", 3, KEPT),
        ("grain", 3, KEPT),
        ("RGBA", 3, EIGHT),
        ("palette", 3, EIGHT),
        ("L", 3, EIGHT),
        ("L", 1, EIGHT),
        ("LA", 1, EIGHT),
        ("RGB", 1, EIGHT),
        ("16 bits", 1, SIXTEEN),
        ("16 bits", 1, {**SIXTEEN, "canvas": (40, 52)}),
        ("L", 1, SIXTEEN),
    ],
)
@torch.no_grad()
def test_onnx_says_of_a_photo_what_the_classifier_does(
    kind: str,
    channels: int,
    values: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    facts = {"mean": (0.4,) * channels, "std": (0.2,) * channels, **values}
    classifier = made("test_resnet", known=Preparation(channels=channels, size=(32, 32), **facts))
    classifier.head.weight.mul_(100)  # so that what is prepared another way is told apart
    to_onnx(classifier, Path("runs/birds/classifier/model.onnx"), "probabilities")
    capsys.readouterr()
    Path("new-photos").mkdir()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    how: dict = {"format": "JPEG", "quality": 95, "exif": turned} if kind == "RGB" else {"format": "PNG"}
    drawn_of(kind).save("new-photos/one.jpg", **how)
    samples = open_samples("new-photos", like=classifier.preparation)
    known = classifier(samples.views(("plain",))(torch.zeros(1), *samples.batch(np.zeros(1, np.int64)))[0]).numpy()
    found = carried_out("ONNX")["probabilities"]
    assert found.shape == (1, 4) and np.abs(found - known).max() < 0.005
    assert capsys.readouterr().out.startswith(classifier.classes[known.argmax()])


def test_scikit_learn_has_a_row_a_sample_and_its_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labelled = drawn(tmp_path / "labelled")
    run_of(tmp_path / "runs" / "photos", str(labelled), HALVED)
    assert run_command(["embed", "runs/photos", str(labelled), "--out", "features.npz"]) == 0
    made = carried_out("scikit-learn")
    assert Counter(made["labels"]) == {"a": 8, "b": 8, "c": 8} and len(made["held"]["features"]) == 24
    assert len(made["scores"]) == 5 and 0 <= made["scores"].min() <= made["scores"].max() <= 1
