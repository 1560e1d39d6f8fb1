"""Fine-tuning: layers by depth, the head first, an early stop that looks at nothing but held-out labels."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.data.tables.encoders import build_encoder as build_for_rows
from selftaught.data.tables.preparation import Column
from selftaught.data.tables.preparation import Preparation as Columns
from selftaught.judging import finetune as tuning_module
from selftaught.judging.certainty import calibration_error, fitted_temperature
from selftaught.judging.finetune import Tuning, finetune, scores_of
from selftaught.judging.labelled import Labelled, Split
from selftaught.judging.probes.finetune import PROBE
from selftaught.judging.subsets import held_out
from selftaught.run.meaning import Meaning
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.training.layers import depths, layer_scales
from selftaught.training.optimizers import build_optimizer

GREY = Preparation(channels=1, size=(16, 16), low=0, high=255, mean=(0.5,), std=(0.25,))


def layer_of(net: nn.Module, name: str) -> int:
    return depths(net)[net.get_parameter(name)]


@pytest.mark.parametrize(
    ("name", "in_order", "deepest"),
    [
        ("test_vit", ["patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.5.norm1.bias"], "norm.weight"),
        ("resnet18", ["conv1.weight", "layer1.1.conv2.weight", "layer2.0.bn1.bias", "layer4.0.conv1.weight"], None),
        ("torchvision/resnet18", ["conv1.weight", "layer1.0.conv1.weight", "layer4.0.bn1.bias"], None),
        ("torchvision/convnext_tiny", ["features.0.0.weight", "features.1.0.layer_scale"], None),
    ],
)
def test_layers_are_numbered_from_the_input(name: str, in_order: list[str], deepest: str | None) -> None:
    net = build_encoder(Part(name=name), GREY.model_copy(update={"size": (32, 32)})).net
    found = [layer_of(net, weight) for weight in in_order]
    assert found == sorted(set(found)) and found[0] == 0
    assert set(depths(net)) == set(net.parameters())
    scales = layer_scales(net, 0.5)
    assert max(scales.values()) == 0.5 and scales[net.get_parameter(in_order[0])] == min(scales.values())
    if deepest:  # the last norm belongs to the last block
        assert layer_of(net, deepest) == found[-1] == 6


def test_stages_and_blocks_are_those_of_timm() -> None:
    assert max(depths(timm.create_model("resnet18", num_classes=0)).values()) == 4
    assert max(depths(timm.create_model("test_vit", num_classes=0)).values()) == 6


def test_networks_of_rows_have_layers_too() -> None:
    facts = Columns(columns=tuple(Column(name=str(i), kind="number") for i in range(5)))
    net = build_for_rows(Part(name="mlp"), facts).net
    assert layer_of(net, "0.weight") < layer_of(net, "3.weight") < layer_of(net, "9.weight")
    net = build_for_rows(Part(name="ft_transformer"), facts).net
    assert layer_of(net, "weight") < layer_of(net, "blocks.0.norm1.weight") < layer_of(net, "blocks.2.norm1.weight")


def test_the_optimiser_learns_slower_near_the_input() -> None:
    net = timm.create_model("test_vit", num_classes=0)
    preset = tuning_module.Training(lr=1e-2, scaling="none")
    groups = build_optimizer(net, preset, 64, layer_scales(net, 0.5)).param_groups
    lr = {name: group["peak_lr"] for group in groups for name in group["names"]}
    assert lr["blocks.5.norm1.weight"] == pytest.approx(5e-3) and lr["cls_token"] == pytest.approx(1e-2 * 0.5**7)
    assert {name for name, _ in net.named_parameters()} == set(lr)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"layer_decy": 0.5}, "did you mean 'layer_decay'"),
        ({"layer_decay": 0}, "'layer_decay' cannot be 0: it is a share, above 0"),
        ({"frozen": 1}, "'frozen' cannot be 1: it is a share below 1"),
        ({"epochs": "some"}, "'epochs' cannot be 'some': it is a positive number"),
        ({"batch_size": 1}, "'batch_size' cannot be 1: it is two or more"),
        ({"lr": float("nan")}, "'lr' cannot be nan: it is a positive number"),
        ({"held_out": 0.6}, "'held_out' cannot be 0.6: it is a share up to 0.5"),
        ({"precision": "16"}, "'precision' cannot be '16': it is 32-true or bf16-mixed"),
        ({"patience": 0}, "'patience' cannot be 0: it is 1 or more"),
    ],
)
def test_options_that_cannot_be_are_told(chosen: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Tuning.parse(chosen)


def test_the_number_of_labels_decides_where_the_user_does_not() -> None:
    usual = Tuning()
    assert usual.steps(1) == 100 and usual.steps(20) == 600 and usual.steps(1000) == 2000
    assert usual.spared(499) == 0 and usual.spared(500) == 0.1
    assert Tuning(epochs=0.5).steps(20) == 10 and Tuning(held_out=0.3).spared(10) == 0.3


def test_few_passes_over_many_labels_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    Tuning().warn_of_few_passes(1_000)
    Tuning(epochs=1).warn_of_few_passes(50_000)
    assert capsys.readouterr().err == ""
    Tuning().warn_of_few_passes(50_000)
    assert "2,000 steps are 2.6 passes over 50,000 labels" in capsys.readouterr().err.replace("\n", " ")


def test_what_is_held_out_keeps_proportions_and_leaves_one_of_each() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 1])
    learnt, held = held_out(labels, np.arange(151), 0.2, 0)
    assert np.bincount(labels[held]).tolist() == [20, 10] and not set(learnt) & set(held)
    assert sorted([*learnt, *held]) == list(range(151)) and (held_out(labels, np.arange(151), 0.2, 1)[1] != held).any()


@pytest.fixture(scope="module")
def squares():  # type: ignore[no-untyped-def]
    """Bright and dark images, which anything learns at once."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = (rng.integers(0, 60, (40, 16, 16, 1)) + 150 * y[:, None, None, None]).astype(np.uint8)
    torch.manual_seed(0)
    encoder = build_encoder(Part(name="test_resnet"), GREY)
    return open_samples(x, like=GREY), y, encoder


def tuned(squares, held: list[int], **how):  # type: ignore[no-untyped-def]
    samples, y, encoder = squares
    rows = np.array([row for row in range(40) if row not in held])
    data = Labelled(samples, None, y, ["dark", "bright"], np.arange(40), np.arange(40))
    options = Tuning(epochs=8, batch_size=16, **how)
    return finetune(encoder, data, rows, held=np.array(held, dtype=int), tuning=options, seed=0)


def test_the_head_learns_alone_at_first(squares) -> None:  # type: ignore[no-untyped-def]
    _, _, encoder = squares
    model = tuned(squares, [], frozen=0.85)
    # 14 of 16 steps: the encoder has moved in the first of the other two, the last one's rate being zero.
    moved = max((a - b).abs().max().item() for a, b in zip(model.encoder.parameters(), encoder.parameters()))
    assert 0 < moved <= 1.1e-3
    counted = {name: n for name, n in model.encoder.named_buffers() if name.endswith("num_batches_tracked")}
    assert {int(n) for n in counted.values()} == {2}


def test_training_ends_where_nothing_gets_better_and_the_best_is_kept(squares) -> None:  # type: ignore[no-untyped-def]
    samples, y, _ = squares
    held = list(range(10))
    long = {"lr": 0.01, "frozen": 0.0}
    best = tuned(squares, held, patience=1, **long)
    assert best.steps < 16
    scores = scores_of(best, samples.subset(np.array(held)))
    assert (scores.argmax(dim=1).numpy() == y[held]).mean() >= 0.5
    again = tuned(squares, held, patience=1, **long)
    assert all(torch.equal(a, b) for a, b in zip(best.parameters(), again.parameters()))


def probabilities_of(scores: torch.Tensor, temperature: float) -> np.ndarray:
    return Meaning(temperature=temperature).answers(scores.double()).numpy()


def test_a_temperature_makes_the_too_sure_as_sure_as_they_are_right() -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(size=(6000, 5)) * 2)
    truth = torch.multinomial(torch.softmax(scores, dim=1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    boasting = 4 * scores
    found = fitted_temperature(boasting[:3000], truth[:3000])
    assert found == pytest.approx(4, rel=0.08)
    before, after = (
        calibration_error(probabilities_of(boasting[3000:], t), truth[3000:].numpy()) for t in (1.0, found)
    )
    assert after < 0.03 < 0.15 < before


def test_a_few_right_answers_are_no_proof_of_certainty() -> None:
    scores = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 2.0]])
    found = probabilities_of(scores, fitted_temperature(scores, torch.tensor([0, 1, 0, 1])))
    assert 0.8 < found.max() < 0.95


def test_the_calibration_error_has_known_values() -> None:
    sure = np.tile([0.9, 0.1], (10, 1))
    assert calibration_error(sure, np.array([0] * 9 + [1])) == pytest.approx(0)
    assert calibration_error(sure, np.array([0] * 4 + [1] * 6)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("folds", "rounds", "told"),
    [
        (5, 3, "; there are fewer with --test or --repeats 1"),
        (5, 1, "; there are fewer with --test"),
        (1, 3, "; there are fewer with --repeats 1"),
        (1, 1, ""),
    ],
)
def test_what_makes_networks_fewer_is_told_with_their_number(
    folds: int, rounds: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.arange(20)
    parts = [Split(repeat, rows, rows) for repeat in range(rounds) for _ in range(folds)]
    PROBE.announce(parts, Tuning(epochs=10), 2 * len(parts))
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "networks" in line)
    assert line.startswith(f"fine-tuning: {2 * len(parts)} networks, each trained for up to ")
    assert line.endswith(f" steps{told}")


@pytest.mark.parametrize(
    ("labels", "how", "said"),
    [
        (400, {"patience": 1}, "of 400 labels, fewer than 500, none are held out to choose when to stop"),
        (600, {"patience": 1, "held_out": 0.0}, "of 600 labels none are held out to choose when to stop"),
        (600, {"patience": 1}, None),
        (400, {"patience": 1, "held_out": 0.1}, None),
        (400, {}, None),
    ],
)
def test_a_patience_that_nothing_reads_is_told(
    labels: int, how: dict, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    PROBE.announce([Split(0, np.arange(labels), np.arange(10))], Tuning(epochs=10, **how), 1)
    told = capsys.readouterr().err.replace("\n", " ")
    assert (f"note: --finetune.patience 1 does nothing: {said}" in told) if said else "patience" not in told
