"""An encoder that others trained stands beside a run's, shown the same images as it is used to see them."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

from selftaught.commands.python import Run
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.run.export import save_encoder
from selftaught.run.recipes import Pretrain
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.training.pretrained import load_pretrained, rival, weights_of
from selftaught.training.starting import teacher_of

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
    cfg = theirs.pretrained_cfg
    assert found.preparation == GREY.model_copy(update={"size": cfg["input_size"][1:]})  # its own size
    theirs.reset_classifier(0)
    unit = torch.rand(4, 1, *found.preparation.size)
    expected = normal(theirs, cfg["mean"], cfg["std"], unit)
    with torch.no_grad():
        assert torch.allclose(found((unit - 0.3) / 0.4), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_it_can_be_shown_another_size(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=12)
    save_for_hf(theirs, tmp_path / "theirs", model_config={"num_classes": 12})
    found, told = load_pretrained(str(tmp_path / "theirs"), PART, GREY, (32, 48))
    assert found.preparation.size == (32, 48) and "at 32 x 48 px" in told
    sized = timm.create_model(name, num_classes=12, **({"img_size": (32, 48)} if name == "test_vit" else {}))
    held = theirs.state_dict()
    if name == "test_vit":
        held = timm.models.vision_transformer.checkpoint_filter_fn(held, sized)
    sized.load_state_dict(held)
    sized.reset_classifier(0)
    unit = torch.rand(4, 1, 32, 48)
    expected = normal(sized, theirs.pretrained_cfg["mean"], theirs.pretrained_cfg["std"], unit)
    with torch.no_grad():
        assert torch.allclose(found((unit - 0.3) / 0.4), expected, atol=1e-5)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache with the weights of timm's test_resnet, such as they are, in it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    known = timm.get_pretrained_cfg("test_resnet")
    place = tmp_path / "hub" / f"models--{known.hf_hub_id.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text("abc")
    (place / "snapshots/abc").mkdir(parents=True)
    torch.manual_seed(0)
    theirs = timm.create_model("test_resnet", num_classes=known.num_classes)
    save_file(theirs.state_dict(), place / "snapshots/abc/model.safetensors")
    return place / "snapshots/abc/model.safetensors"


def test_public_weights_of_the_architecture_are_found_where_the_hub_keeps_them(cached: Path, tmp_path: Path) -> None:
    assert weights_of(PART) == cached and weights_of(Part(name="test_vit")) is None
    assert weights_of(Part(name="no such network")) is None
    assert rival(tmp_path, PART) == "timm"
    found, told = load_pretrained("timm", PART, GREY)
    theirs = timm.create_model("test_resnet", num_classes=0)
    theirs.load_state_dict({k: v for k, v in load_file(cached).items() if not k.startswith("fc.")})
    unit = torch.rand(2, 1, *found.preparation.size)
    expected = normal(theirs, theirs.pretrained_cfg["mean"], theirs.pretrained_cfg["std"], unit)
    with torch.no_grad():
        assert torch.allclose(found((unit - 0.3) / 0.4), expected, atol=1e-5)
    assert "test_resnet" in told


def test_what_a_run_was_begun_with_is_its_rival(cached: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "recipe.yaml").write_text(f"data: some\ninit: {tmp_path / 'theirs'}\n")
    assert rival(tmp_path, PART) == str(tmp_path / "theirs")
    (tmp_path / "birds/classifier").mkdir(parents=True)  # whose weights have a head among them
    (tmp_path / "recipe.yaml").write_text(f"data: some\ninit: {tmp_path / 'birds/classifier'}\n")
    assert rival(tmp_path, PART) == "timm"


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


def save_own(folder: Path) -> None:
    """An encoder as runs leave it, with the stem of small images and a normalisation of its own."""
    torch.manual_seed(1)
    seen = Preparation(channels=3, size=(32, 32), low=0, high=255, mean=(0.1, 0.2, 0.3), std=(0.2,) * 3)
    save_encoder(build_encoder(PART, seen), PART, seen, folder, {})


def own_and_file(layout: str, place: Path) -> tuple[Path, Path]:
    """A folder that tells which network its weights are of, and the file of these."""
    if layout == "timm":
        torch.manual_seed(1)
        save_for_hf(timm.create_model("test_vit", num_classes=0), place, model_config={"num_classes": 0})
        return place, place / "model.safetensors"
    save_own(place / "encoder")
    return place, place / "encoder/model.safetensors"


@pytest.mark.parametrize("layout", ["run", "timm"])
def test_a_file_in_a_folder_that_tells_of_it_is_what_the_folder_is(layout: str, tmp_path: Path) -> None:
    folder, file = own_and_file(layout, tmp_path / "theirs")
    by_folder, by_file = (load_pretrained(str(source), PART, GREY)[0] for source in (folder, file))
    assert by_file.preparation == by_folder.preparation
    shown = torch.randn(4, *by_folder.preparation.shape)
    with torch.no_grad():
        assert torch.equal(by_file(shown), by_folder(shown))


def test_of_a_file_that_two_stems_fit_it_is_said_which_was_taken(tmp_path: Path) -> None:
    save_own(tmp_path / "encoder")
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes((tmp_path / "encoder/model.safetensors").read_bytes())
    told = load_pretrained(str(bare), PART, GREY)[1]
    assert told.endswith(", taken with timm's stem and normalisation; of a run name the folder, which tells its own")
    assert ", taken with" not in load_pretrained(str(tmp_path / "encoder/model.safetensors"), PART, GREY)[1]


def test_a_run_that_goes_on_keeps_the_teacher_that_it_took_a_file_for(tmp_path: Path) -> None:
    folder, file = own_and_file("run", tmp_path / "theirs")

    def asked(source: Path, **more: str) -> Pretrain:
        return Pretrain.parse({"data": "x", "method": "distill", "encoder": PART, "teacher": str(source), **more})

    now, shown = teacher_of(asked(file), GREY), torch.randn(4, *GREY.shape)
    alone = load_pretrained(str(file), PART, GREY, GREY.size, alone=True)[0]
    before = teacher_of(asked(file, teacher_fingerprint=now.former), GREY)
    with torch.no_grad():
        assert torch.equal(before.encoder(shown), alone(shown))
        assert not torch.allclose(now.encoder(shown), alone(shown))
    assert teacher_of(asked(file, teacher_fingerprint=now.fingerprint), GREY) is now
    of_folder = teacher_of(asked(folder, teacher_fingerprint=now.former), GREY)  # of before, from a folder
    assert of_folder.fingerprint == now.fingerprint != now.former == before.fingerprint


def test_what_does_not_fit_is_told_in_one_line(tmp_path: Path) -> None:
    save_file({"nonsense": torch.zeros(3)}, tmp_path / "w.safetensors")
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/recipe.yaml").write_text("data: some\n")
    (tmp_path / "birds/classifier").mkdir(parents=True)
    save_for_hf(timm.create_model("test_vit", num_classes=0), tmp_path / "vit", model_config={"num_classes": 0})
    five = GREY.model_copy(update={"channels": 5, "mean": (0.5,) * 5, "std": (0.5,) * 5})
    for source, preparation, said in (
        ("w.safetensors", GREY, "--pretrained .* fits no weight"),
        ("nowhere", GREY, "--pretrained .* is neither"),
        ("empty", GREY, "cannot be loaded by timm"),
        ("begun", GREY, "begun holds no encoder yet"),
        ("birds", GREY, "birds is a classifier, and no pre-training: name the run that its encoder is of"),
        ("timm:resnet18", GREY, "neither .*: timm's own is called resnet18"),
        ("vit", five, "takes 3 channels, the run's images have 5"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            load_pretrained(source if ":" in source else str(tmp_path / source), PART, preparation)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="30"):
        load_pretrained(str(tmp_path / "vit"), PART, GREY, (30, 30))


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


def test_by_default_what_is_at_hand_stands_beside_at_its_own_size(
    cached: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    y = np.arange(40) % 2
    x = np.random.default_rng(0).integers(0, 90, (40, 16, 16)) + 99 * y[:, None, None]
    np.savez(tmp_path / "a.npz", x=x.astype(np.uint8), y=y)
    images = open_samples(str(tmp_path / "a.npz"))
    encoder = build_encoder(PART, images.preparation)
    save_encoder(encoder, PART, images.preparation, tmp_path / "run/encoder", {})
    run, asked = Run(tmp_path / "run"), {"train": tmp_path / "a.npz", "repeats": 1}
    result = run.evaluate(**asked, probe="knn,finetune", finetune={"epochs": 1})
    assert result.pretrained == "timm" and "at 160 x 160 px" in capsys.readouterr().err
    assert sum(row.features == "pretrained" for row in result.rows) == 2
    small = run.evaluate(**asked, probe="knn", pretrained_size=(32, 32))
    assert small.pretrained == "timm" and "at 32 x 32 px" in capsys.readouterr().err
    without = run.evaluate(**asked, probe="knn", pretrained="none")
    assert without.pretrained is None and not any(row.features == "pretrained" for row in without.rows)
    assert "stand beside" not in capsys.readouterr().err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    assert run.evaluate(**asked, probe="knn").pretrained is None
    assert "no public weights of test_resnet are on this machine" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["file", "folder"])
def test_a_teacher_is_read_again_where_its_files_are_other_ones(layout: str, tmp_path: Path) -> None:
    place = tmp_path / "teacher.safetensors" if layout == "file" else tmp_path / "teacher"
    asked = {"data": "x", "method": "distill", "encoder": PART, "teacher": str(place)}
    taught = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        theirs = timm.create_model(PART.name, num_classes=0)
        save_file(theirs.state_dict(), place) if layout == "file" else save_for_hf(theirs, place, model_config={})
        taught += [teacher_of(Pretrain.parse(asked), GREY) for _ in range(2)]
    assert taught[0] is taught[1] and taught[2] is taught[3]
    assert taught[0].fingerprint != taught[2].fingerprint
