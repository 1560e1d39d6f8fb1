"""Which features of an encoder are judged: what they are, which of them `auto` stands for, how they are recorded."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.models import save_for_hf
from torch import nn

from selftaught.commands.python import Run
from selftaught.contracts.encoder import Encoder
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.data.tables import MODALITY
from selftaught.judging import shown
from selftaught.judging.probes import knn
from selftaught.judging.result import Evaluation, choices, doubts
from selftaught.judging.shown import features_of, parse_features, taken
from selftaught.run.export import save_encoder
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.training.looking.features import features
from selftaught.training.pretrained import load_pretrained
from tests.judging.test_evaluate import stripes

IMAGES = Preparation(channels=1, size=(16, 16), low=0, high=255, mean=(0.5,), std=(0.3,))
VIT = Part(name="vit_tiny_patch16_224", options={"depth": 5, "width": 32, "patch": 4})
BOTH = [VIT, Part(name="test_resnet")]


def built(part: Part) -> Encoder:
    torch.manual_seed(0)
    return build_encoder(part, IMAGES).eval()


@pytest.mark.parametrize("part", BOTH, ids=lambda part: part.name)
@torch.no_grad()
def test_features_are_what_they_are_called(part: Part) -> None:
    encoder, x = built(part), torch.randn(3, 1, 16, 16)
    made, places = features_of(encoder, x), encoder.map(x)
    close = {"rtol": 1e-4, "atol": 1e-5}
    assert torch.allclose(made["own"], encoder(x), **close)
    assert torch.allclose(made["mean"], places.mean(dim=(2, 3)), **close)
    deviation = ((places - places.mean(dim=(2, 3), keepdim=True)) ** 2).mean(dim=(2, 3)).sqrt()
    if "mean_std" in made:
        assert torch.allclose(made["mean_std"], torch.cat([made["mean"], deviation], dim=1), rtol=1e-3, atol=1e-4)
    if part is not VIT:
        assert not {"class", "last_blocks"} & made.keys()
        return
    halves = [places[:, :, :2], places[:, :, 2:]]
    quarters = [side.mean(dim=(2, 3)) for half in halves for side in (half[..., :2], half[..., 2:])]
    assert torch.allclose(made["quarters"].view(3, 32, 4), torch.stack(quarters, dim=2), **close)
    assert torch.allclose(made["class"], encoder.tokens(x).prefix[:, 0], **close)
    assert made["last_blocks"].shape == (3, 4 * 32)
    # The last block's part is the feature itself but for the weights of the last norm, which are one and zero here.
    assert torch.allclose(made["last_blocks"][:, -32:], made["mean"], **close)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224", "torchvision/resnet18"])
@pytest.mark.parametrize("pool", ["avg", "grid"])
@torch.no_grad()
def test_a_feature_and_its_map_are_the_same_in_one_pass(name: str, pool: str) -> None:
    if pool == "grid" and name != "resnet18":
        pytest.skip("what a ResNet can tells enough")
    side = 224 if "swin" in name else 32
    images = IMAGES.model_copy(update={"channels": 3, "size": (side, side), "mean": (0.5,) * 3, "std": (0.3,) * 3})
    encoder = build_encoder(Part(name=name, options={"pool": pool}), images).eval()
    x = torch.randn(2, 3, side, side)
    feature, places = encoder.feature_and_map(x)
    assert torch.allclose(feature, encoder(x), atol=1e-5) and torch.allclose(places, encoder.map(x), atol=1e-5)


@torch.no_grad()
def test_a_network_of_yours_gives_a_map_as_well() -> None:
    net = nn.Sequential(nn.Conv2d(1, 8, 4, 4), nn.ReLU())
    encoder = build_encoder(Part(name="own"), IMAGES, net).eval()
    made = features_of(encoder, torch.randn(2, 1, 16, 16))
    assert {name: x.shape[1] for name, x in made.items()} == {"own": 8, "mean": 8, "mean_std": 16, "quarters": 32}


def slow_bag(encoder: Encoder, x: torch.Tensor) -> torch.Tensor:
    """Of squares half as wide as the square x, evenly from the first place to the last, as large as x."""
    side, found = x.shape[3], torch.zeros(len(x), encoder.dim)
    for top in range(4):
        for left in range(4):
            up, across = round(top * side / 6), round(left * side / 6)
            patch = x[:, :, up : up + side // 2, across : across + side // 2]
            found += encoder(nn.functional.interpolate(patch, (side, side), mode="bilinear", align_corners=False)) / 16
    return found


@pytest.mark.parametrize("part", BOTH, ids=lambda part: part.name)
@torch.no_grad()
def test_a_bag_is_the_mean_of_the_features_of_patches_and_only_had_by_name(part: Part) -> None:
    encoder, x = built(part), torch.randn(3, 1, 16, 16)
    found = features_of(encoder, x, ("bag",))
    assert list(found) == ["bag"] and torch.allclose(found["bag"], slow_bag(encoder, x), rtol=1e-4, atol=1e-5)
    both = features_of(encoder, x, ("bag", "own"))
    assert list(both) == ["own", "bag"] and torch.allclose(both["own"], encoder(x), atol=1e-5)
    assert "bag" not in features_of(encoder, x), "it costs a pass for each patch"


@torch.no_grad()
def test_a_bag_of_a_tiny_image_has_each_place_once() -> None:
    tiny = IMAGES.model_copy(update={"size": (2, 3)})
    encoder = build_encoder(Part(name="own"), tiny, nn.Conv2d(1, 4, 1)).eval()
    seen: list[tuple[int, ...]] = []
    encoder.register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape)))
    features_of(encoder, torch.randn(1, 1, 2, 3), ("bag",))
    assert seen == [(1, 1, 2, 3)] * 4


def test_rows_have_no_bag() -> None:
    rows = MODALITY.open_samples("sklearn:wine")
    encoder = MODALITY.build_encoder(Part(name="mlp"), rows.preparation)
    with pytest.raises(UsageError, match=r"--features cannot be 'bag': of the given encoder there are own, mean$"):
        taken(encoder, [rows], ("bag",), lambda done: None, rows.count)


def test_what_others_trained_is_taken_by_its_own_tokens(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_for_hf(timm.create_model("test_vit", num_classes=12), tmp_path / "theirs", model_config={"num_classes": 12})
    grey = IMAGES.model_copy(update={"size": (32, 32)})
    encoder, _ = load_pretrained(str(tmp_path / "theirs"), Part(name="test_resnet"), grey)
    x = torch.rand(2, 1, 32, 32)
    made = features_of(encoder, x)
    with torch.no_grad():
        assert torch.allclose(made["own"], encoder(x), atol=1e-5) and "last_blocks" in made
        # Of patches of what the run's encoder is shown, each normalised as these weights have it.
        assert torch.allclose(features_of(encoder, x, ("bag",))["bag"], slow_bag(encoder, x), atol=1e-5)


def test_auto_has_no_feature_twice_and_none_that_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = open_samples(stripes(tmp_path / "a.npz", 20, 1))
    encoder = build_encoder(VIT, images.preparation)
    told: list[int] = []
    made = taken(encoder, [images, images], (), told.append, 40)
    assert list(made) == ["mean", "class", "mean_std", "quarters", "last_blocks"] and told[-1] == 40
    assert all(x.shape[0] == 40 and np.array_equal(x[:20], x[20:]) for x in made.values())
    assert np.allclose(made["mean"][:20], features(encoder, images), atol=1e-5)
    by_class = build_encoder(Part(name=VIT.name, options={**VIT.options, "pool": "token"}), images.preparation)
    assert list(taken(by_class, [images], (), told.append, 20))[:2] == ["class", "mean"], "its own is first"
    monkeypatch.setattr(shown, "AUTO_WIDTH", 100)
    assert list(taken(encoder, [images], (), told.append, 20)) == ["mean", "class", "mean_std"]
    monkeypatch.setattr(shown, "AUTO_BYTES", 4 * 20 * 70)
    assert list(taken(encoder, [images], (), told.append, 20)) == ["mean", "class"]
    assert list(taken(encoder, [images], ("quarters",), told.append, 20)) == ["quarters"], "what is asked for is had"


def test_names_are_checked() -> None:
    assert parse_features("auto") == () and parse_features("own, mean_std,own") == ("own", "mean_std")
    for bad, said in {"means": "did you mean 'mean'", "": "'' is none", "auto,mean": "'auto' is none"}.items():
        with pytest.raises(UsageError, match=f"--features cannot be '{bad}': .*{said}"):
            parse_features(bad)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An untrained vision transformer in a run folder."""
    folder = tmp_path_factory.mktemp("run")
    images = open_samples(stripes(folder / "some.npz", 64, 0))
    torch.manual_seed(3)
    save_encoder(build_encoder(VIT, images.preparation), VIT, images.preparation, folder / "encoder", {})
    (folder / "recipe.yaml").write_text("data: some\n")
    return Run(folder)


def test_what_was_chosen_is_recorded_for_every_kind(run: Run, tmp_path: Path) -> None:
    train, test = stripes(tmp_path / "a.npz", 80, 1), stripes(tmp_path / "b.npz", 40, 2)
    result = run.evaluate(train, test, labels="100%", features="mean_std,quarters")
    told = json.loads((run.folder / "evaluation.json").read_text())
    assert told["features"] == "mean_std,quarters"
    for detail in told["details"]:
        if detail["probe"] == "knn":
            assert detail["chosen"] == []
            continue
        [choice] = detail["chosen"]
        assert choice.keys() == {"features", "whitened", "C", "at_limit", "iterations", "converged"}
        allowed = {"pixels"} if detail["features"] == "pixels" else {"mean_std", "quarters"}
        assert choice["features"] in allowed and choice["converged"] is True
    lines = choices(result)
    assert len(lines) == 3 and lines[0].startswith("linear, all labels, this run: ") and "C " in lines[0]
    raw = next(line for line in lines if "raw pixels" in line)
    assert raw.startswith(("linear, all labels, raw pixels: as is, C", "linear, all labels, raw pixels: whitened, C"))
    before = {key: value for key, value in told.items() if key != "features"}
    for detail in before["details"]:
        del detail["chosen"]
    assert choices(Evaluation.model_validate(before)) == [], "what was written before there were choices"


def test_a_bag_is_made_of_every_network_alike(run: Run, tmp_path: Path) -> None:
    train = stripes(tmp_path / "a.npz", 60, 1)
    result = run.evaluate(train, probe="knn,linear", features="bag", repeats=1)
    assert {row.features for row in result.rows} == {"trained", "untrained", "pixels"}
    told = json.loads((run.folder / "evaluation.json").read_text())
    chosen = {d["features"]: {c["features"] for c in d["chosen"]} for d in told["details"] if d["probe"] == "linear"}
    assert chosen == {"trained": {"bag"}, "untrained": {"bag"}, "pixels": {"pixels"}}


def test_a_feature_that_the_encoder_lacks_is_refused(run: Run, tmp_path: Path) -> None:
    train = stripes(tmp_path / "a.npz", 40, 1)
    images = open_samples(train)
    part = Part(name="test_resnet")
    save_encoder(build_encoder(part, images.preparation), part, images.preparation, tmp_path / "other/encoder", {})
    (tmp_path / "other/recipe.yaml").write_text("data: some\n")
    with pytest.raises(UsageError, match="--features cannot be 'class': of the trained encoder there are own, mean"):
        Run(tmp_path / "other").evaluate(train, probe="knn", features="class")
    result = run.evaluate(train, probe="knn", features="class", repeats=1)
    assert {row.features for row in result.rows} == {"trained", "untrained", "pixels"}


def test_features_that_are_named_are_what_neighbours_are_found_by(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kNN chooses nothing: it takes the first that is named, and else the encoder's own, whatever else is asked."""
    train, test = stripes(tmp_path / "a.npz", 60, 1), stripes(tmp_path / "b.npz", 60, 2)
    seen: list[np.ndarray] = []
    inner = knn.knn_predict
    monkeypatch.setattr(knn, "knn_predict", lambda train, *rest: seen.append(train) or inner(train, *rest))

    def shown_to_it(**how: str) -> np.ndarray:
        seen.clear()
        run.evaluate(train, test, repeats=1, **how)
        return seen[0]  # of the trained network

    encoder = run.encoder()
    own = features(encoder, open_samples(train, like=encoder.preparation))
    for how in ({"probe": "knn"}, {"probe": "knn,linear"}, {"probe": "knn,linear", "features": "own,quarters"}):
        assert np.allclose(shown_to_it(**how), own, atol=1e-5)
    assert shown_to_it(probe="knn", features="quarters,mean").shape[1] == 4 * own.shape[1]


def test_fits_that_go_wrong_are_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    train, test = stripes(tmp_path / "a.npz", 60, 1), stripes(tmp_path / "b.npz", 60, 2)
    monkeypatch.setattr("selftaught.judging.logistic.ITERATIONS", 1)
    monkeypatch.setattr("selftaught.judging.probes.linear.STRENGTHS", (1e5,))
    monkeypatch.setattr("selftaught.judging.probes.linear.LIMITS", (1e5, 1e5))
    result = run.evaluate(train, test, probe="linear", features="mean", repeats=1)
    lines = doubts(result)
    assert "linear probe of this run, all labels: 1 of 1 fits did not converge" in lines
    assert "linear probe of this run, all labels: 1 of 1 fits chose the last C that is ever tried" in lines
    err = capsys.readouterr().err
    assert all(f"warning: {line}" in err for line in lines)


def test_a_fold_is_not_looked_at_before_it_is_judged(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaler and components of features and of pixels are measured where a fold learns."""
    seen: list[set[int]] = []
    inner = shown.principal
    monkeypatch.setattr(shown, "principal", lambda x, part: seen.append(set(part)) or inner(x, part))
    run.evaluate(stripes(tmp_path / "a.npz", 40, 1), probe="linear", features="mean", repeats=1)
    assert len(seen) == 15 and all(len(part) == 32 for part in seen), "three kinds, five folds"
    assert len({frozenset(part) for part in seen}) == 5
