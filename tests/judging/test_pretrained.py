"""An encoder that others trained stands beside a run's, shown the same images as it is used to see them."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from selftaught.commands.python import Run
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.judging.pretrained import load_pretrained
from selftaught.run.export import save_encoder
from selftaught.system.components import Part
from selftaught.system.errors import UsageError

GREY = Preparation(channels=1, size=(32, 32), low=0, high=255, mean=(0.3,), std=(0.4,))
PART = Part(name="test_resnet")


def normal(network: torch.nn.Module, mean: tuple, std: tuple, unit: torch.Tensor) -> torch.Tensor:
    """What a network says of images in [0, 1] as it wants them normalised."""
    shape = (1, 3, 1, 1)
    with torch.no_grad():
        return network.eval()(
            (unit.expand(-1, 3, -1, -1) - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
        )


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_folder_of_timms_gives_its_own_features(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=12)
    save_for_hf(theirs, tmp_path / "theirs", model_config={"num_classes": 12})
    found, told = load_pretrained(str(tmp_path / "theirs"), PART, GREY)
    assert name in told
    sized = timm.create_model(name, num_classes=12, **({"img_size": 32} if name == "test_vit" else {}))
    held = theirs.state_dict()
    if name == "test_vit":
        held = timm.models.vision_transformer.checkpoint_filter_fn(held, sized)
    sized.load_state_dict(held)
    sized.reset_classifier(0)
    unit = torch.rand(4, 1, 32, 32)
    cfg = theirs.pretrained_cfg
    expected = normal(sized, cfg["mean"], cfg["std"], unit)
    with torch.no_grad():
        assert torch.allclose(found((unit - 0.3) / 0.4), expected, atol=1e-5)


def test_a_file_of_weights_is_taken_for_the_runs_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("test_resnet", num_classes=10)
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    found, told = load_pretrained(str(tmp_path / "weights.safetensors"), PART, GREY)
    assert "fresh" not in told  # with timm's own stem and colours, although the run has neither
    unit = torch.rand(4, 1, 32, 32)
    theirs.reset_classifier(0)
    expected = normal(theirs, theirs.pretrained_cfg["mean"], theirs.pretrained_cfg["std"], unit)
    with torch.no_grad():
        assert torch.allclose(found((unit - 0.3) / 0.4), expected, atol=1e-5)


def test_what_does_not_fit_is_told_in_one_line(tmp_path: Path) -> None:
    save_file({"nonsense": torch.zeros(3)}, tmp_path / "w.safetensors")
    (tmp_path / "empty").mkdir()
    save_for_hf(timm.create_model("test_vit", num_classes=0), tmp_path / "vit", model_config={"num_classes": 0})
    five = GREY.model_copy(update={"channels": 5, "mean": (0.5,) * 5, "std": (0.5,) * 5})
    odd = GREY.model_copy(update={"size": (30, 30)})
    for source, preparation, said in (
        ("w.safetensors", GREY, "--pretrained .* fits no weight"),
        ("nowhere", GREY, "--pretrained .* is neither"),
        ("empty", GREY, "cannot be loaded by timm"),
        ("vit", five, "takes 3 channels, the run's images have 5"),
        ("vit", odd, "30"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            load_pretrained(str(tmp_path / source), PART, preparation)
        assert "\n" not in str(caught.value)


def test_it_stands_beside_the_run_in_every_probe(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x=(rng.integers(0, 90, (40, 16, 16)) + 99 * y[:, None, None]).astype(np.uint8), y=y)
    images = open_samples(str(tmp_path / "a.npz"))
    for name in ("run", "other"):
        encoder = build_encoder(PART, images.preparation)
        save_encoder(encoder, PART, images.preparation, tmp_path / name / "encoder", {})
        (tmp_path / name / "recipe.yaml").write_text("data: some\n")
    how = {"probe": "knn,finetune", "repeats": 1, "finetune": {"epochs": 1}}
    result = Run(tmp_path / "run").evaluate(tmp_path / "a.npz", pretrained=str(tmp_path / "other"), **how)
    kinds = [(row.features, row.probe) for row in result.rows]
    assert ("pretrained", "knn") in kinds and ("pretrained", "finetune") in kinds and len(kinds) == 7
    assert all(" pre-trained)" in line and "raw pixels and" not in line for line in result.verdicts)
    assert result.pretrained == str(tmp_path / "other")
