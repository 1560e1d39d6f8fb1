"""Judging end to end: honest baselines, intervals, verdicts, and no leak."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import selftaught
from selftaught.commands.python import Run
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.data.tables import MODALITY as TABLES
from selftaught.judging.accuracy import gain_over, measured, row, wilson
from selftaught.judging.baselines import Pixels, untrained
from selftaught.judging.evaluate import evaluate
from selftaught.judging.result import Row, verdicts
from selftaught.run.export import save_encoder
from selftaught.run.recipes import Evaluate
from selftaught.system.components import Part
from selftaught.system.errors import DataError, UsageError
from selftaught.training.looking.features import estimate_norms, features
from tests.networks import HALVED


def stripes(file: Path, count: int, seed: int) -> Path:
    """Two classes that differ by the direction of noisy stripes, which raw pixels hardly tell apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    phase = rng.integers(0, 4, count)
    wave = np.where((np.arange(16)[None] + phase[:, None]) % 4 < 2, 200, 60)
    x = np.where(y[:, None, None] == 0, wave[:, None, :], wave[:, :, None]) + rng.normal(0, 12, (count, 16, 16))
    np.savez(file, x=x.clip(0, 255).astype(np.uint8), y=y)
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run folder with an untrained encoder in it: enough to be judged."""
    folder = tmp_path_factory.mktemp("run")
    images = open_samples(stripes(folder / "some.npz", 64, 0))
    torch.manual_seed(3)
    encoder = build_encoder(HALVED, images.preparation)
    save_encoder(encoder, HALVED, images.preparation, folder / "encoder", {"method": "none"})
    (folder / "recipe.yaml").write_text("data: some\n")
    return Run(folder)


def test_the_file_holds_what_the_design_says(run: Run, tmp_path: Path) -> None:
    train, test = stripes(tmp_path / "a.npz", 80, 1), stripes(tmp_path / "b.npz", 60, 2)
    result = run.evaluate(train, test, probe="knn,linear", labels="2,100%", repeats=3)
    told = json.loads((run.folder / "evaluation.json").read_text())
    assert told == result.model_dump(mode="json")
    assert {(r["features"], r["probe"], r["labels"]) for r in told["rows"]} == {
        (features, probe, labels)
        for features in ("trained", "untrained", "pixels")
        for probe in ("knn", "linear")
        for labels in ("2 per class", "all labels")
    }
    assert {r["repeats"] for r in told["rows"] if r["labels"] == "all labels"} == {1}
    assert {r["repeats"] for r in told["rows"] if r["labels"] == "2 per class"} == {3}
    assert (
        told["test_samples"] == 60
        and told["classes"] == ["0", "1"]
        and told["verdict"].startswith("linear, 2 per class")
    )


def test_labels_that_mean_nothing_give_chance(run: Run, tmp_path: Path) -> None:
    """Noise with labels drawn from a hat: whatever is above chance has leaked."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        x = rng.integers(0, 255, (300, 16, 16), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", x=x, y=rng.permutation(np.arange(300) % 2))
    train, test = tmp_path / "a.npz", tmp_path / "b.npz"
    rows = run.evaluate(train, test, probe="knn,linear").rows
    assert {(r.probe, r.features) for r in rows} >= {(p, f) for p in ("knn", "linear") for f in ("trained", "pixels")}
    for r in rows:
        assert 0.4 < r.accuracy < 0.6, r


def test_judging_twice_gives_the_same(run: Run, tmp_path: Path) -> None:
    train = stripes(tmp_path / "a.npz", 40, 1)
    first, second = (run.evaluate(train, probe="knn,linear", labels="5", repeats=2) for _ in range(2))
    assert first == second


def test_without_a_test_set_every_sample_is_left_out_once(run: Run, tmp_path: Path) -> None:
    result = run.evaluate(stripes(tmp_path / "a.npz", 40, 1), probe="knn", repeats=2)
    assert result.test is None and {r.repeats for r in result.rows} == {2}
    pixels = next(r for r in result.rows if r.features == "pixels")
    assert (pixels.accuracy * 80) == pytest.approx(round(pixels.accuracy * 80))


def test_fine_tuning_stands_beside_from_scratch(run: Run, tmp_path: Path) -> None:
    train, test = stripes(tmp_path / "a.npz", 40, 1), stripes(tmp_path / "b.npz", 40, 2)
    how = {"epochs": 12, "batch_size": 20, "lr": 3e-3, "light": {"flip": 0}}
    rows = {r.features: r for r in run.evaluate(train, test, probe="finetune", finetune=how).rows}
    assert rows.keys() == {"trained", "scratch"} and all(r.accuracy > 0.8 for r in rows.values())


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"probe": "knnn"}, UsageError, "did you mean 'knn'"),
        ({"labels": "many"}, UsageError, "--labels cannot be 'many'"),
        ({"repeat": 3}, UsageError, "did you mean 'repeats'"),
        ({"train": "nowhere"}, DataError, "nowhere does not exist"),
    ],
)
def test_mistakes_are_told(run: Run, tmp_path: Path, options: dict, error: type, said: str) -> None:
    values = {"train": stripes(tmp_path / "a.npz", 40, 1), **options}
    with pytest.raises(error, match=said):
        run.evaluate(**values)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test_labels": "nowhere.csv"}, "--test-labels needs --test$"),
        ({"probe": "attentive", "features": "max"}, "--features is .*; --probe attentive reads none of them"),
        ({"finetune": {"epochs": 1}}, "--finetune.epochs is of --probe finetune, which was not asked for"),
        ({"pretrained": "none", "pretrained_size": "32"}, "--pretrained-size is of weights .* there are none"),
    ],
)
def test_what_concerns_nothing_is_refused(run: Run, tmp_path: Path, options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run.evaluate(stripes(tmp_path / "a.npz", 40, 1), **options)
    with pytest.raises(UsageError, match="--test-labels needs --test"):
        run.finetune(tmp_path / "a.npz", tmp_path / "out", test_labels="nowhere.csv")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tested", [True, False], ids=["test set", "folds"])
def test_labels_that_cannot_be_had_are_refused_before_anything_is_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tested: bool
) -> None:
    def sources(*asked: object) -> None:
        raise AssertionError("features are made")

    monkeypatch.setattr("selftaught.judging.evaluate.sources", sources)
    train = stripes(tmp_path / "a.npz", 40, 1)
    test = stripes(tmp_path / "b.npz", 40, 2) if tested else None
    with pytest.raises(DataError, match="--labels 500 asks for 500 of class 0, which has "):
        run.evaluate(train, test, labels="10%,500")


def test_classes_must_be_known_and_more_than_one(run: Run, tmp_path: Path) -> None:
    train = stripes(tmp_path / "a.npz", 40, 1)
    held = np.load(train)
    np.savez(tmp_path / "new.npz", x=held["x"], y=held["y"] + 5)
    np.savez(tmp_path / "one.npz", x=held["x"], y=held["y"] * 0)
    with pytest.raises(
        DataError, match="classes that --train has not: 5, 6; --train has 0, 1: give both the same names"
    ):
        run.evaluate(train, tmp_path / "new.npz")
    with pytest.raises(DataError, match="--test has classes that LABELLED has not: 5, 6; LABELLED has 0, 1: give"):
        run.finetune(train, tmp_path / "clf", test=str(tmp_path / "new.npz"))
    with pytest.raises(DataError, match="only one class"):
        run.evaluate(tmp_path / "one.npz")


def test_the_untrained_baseline_has_statistics_of_the_data(tmp_path: Path) -> None:
    images = open_samples(stripes(tmp_path / "a.npz", 64, 0))
    fresh = estimate_norms(untrained(HALVED, images.preparation, 0), images)
    naive = build_encoder(HALVED, images.preparation).eval()
    norms = [m for m in fresh.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.running_mean.abs().sum() > 0 for norm in norms) and not fresh.training
    with torch.no_grad():
        fresh.train()
        first = next(m for m in fresh.modules() if isinstance(m, nn.BatchNorm2d))
        seen: list[torch.Tensor] = []
        first.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
        expected = first.running_mean.clone()
        from selftaught.training.looking.features import view_batches

        for x in view_batches(images):
            fresh(x)
    assert torch.allclose(expected, torch.cat(seen).mean(dim=(0, 2, 3)), atol=1e-4)
    assert torch.equal(untrained(HALVED, images.preparation, 0).net.layer1[0].conv1.weight,
                       untrained(HALVED, images.preparation, 0).net.layer1[0].conv1.weight)  # fmt: skip
    assert naive is not fresh


def test_a_users_own_untrained_network_is_really_fresh(tmp_path: Path) -> None:
    images = open_samples(stripes(tmp_path / "a.npz", 16, 0))
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    nn.init.constant_(module[0].weight, 7.0)
    fresh = untrained(Part(name="own"), images.preparation, 0, module)
    assert (fresh.net[0].weight != 7).any() and (module[0].weight == 7).all()


def test_what_a_users_network_cannot_draw_anew_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.full((1, 1, 8), 7.0))
            self.layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.layer(x.flatten(1)[:, :8].unsqueeze(1)) + self.token).squeeze(1)

    images, module = open_samples(stripes(tmp_path / "a.npz", 16, 0)), Own()
    nn.init.constant_(module.layer.self_attn.in_proj_weight, 7.0)
    fresh = untrained(Part(name="own"), images.preparation, 0, module)
    assert (fresh.net.layer.self_attn.in_proj_weight != 7).all() and (fresh.net.token == 7).all()
    assert "the untrained network beside yours keeps the trained token: " in capsys.readouterr().err.replace("\n", " ")


def test_features_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    images = open_samples(stripes(tmp_path / "a.npz", 300, 0))
    encoder = build_encoder(HALVED, images.preparation)
    found = features(encoder, images)
    assert found.shape == (300, encoder.dim) and found.dtype == np.float32
    alone = features(encoder, images.subset(np.array([3, 299])))
    assert np.allclose(found[[3, 299]], alone, atol=1e-5)


def test_pixels_are_fitted_on_the_training_images_alone(tmp_path: Path) -> None:
    train, test = open_samples(stripes(tmp_path / "a.npz", 40, 0)), open_samples(stripes(tmp_path / "b.npz", 10, 1))
    pixels = Pixels(train, 0)
    found = pixels(train)
    assert found.shape == (40, 40) and np.abs(found.mean(axis=0)).max() < 1e-3
    assert np.array_equal(pixels(test), Pixels(train, 0)(test))
    assert np.abs(pixels(test).mean(axis=0)).max() > 1e-2


def test_pixels_that_are_too_many_are_averaged_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = open_samples(stripes(tmp_path / "a.npz", 40, 0)), open_samples(stripes(tmp_path / "b.npz", 600, 1))
    whole = Pixels(train, 0)
    told = whole(test)
    assert whole.scaler.n_features_in_ == 256 and "averaged" not in capsys.readouterr().err
    monkeypatch.setattr("selftaught.judging.coarse.MOST", 4 * 256 * 300)
    assert np.allclose(whole(test), told, atol=1e-4), "in parts, and the same"
    monkeypatch.setattr("selftaught.judging.coarse.MOST", 4 * 256 * 10)
    fewer = Pixels(train, 0)
    assert fewer.scaler.n_features_in_ == 64 and fewer(test).shape == (600, 40)
    assert "raw pixels of many images are averaged over 2 x 2, to fit in memory" in capsys.readouterr().err
    assert np.allclose(fewer.scaler.mean_.mean(), whole.scaler.mean_.mean(), atol=1e-5)


def test_rows_of_a_table_are_never_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selftaught.judging.coarse.MOST", 1000)
    rows = TABLES.open_samples("sklearn:wine")
    assert Pixels(rows, 0)(rows).shape == (178, 13)


def test_wilsons_interval_has_known_values() -> None:
    low, high = wilson(0.5, 100)
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(1.0, 10)[1] == 1.0 and wilson(0.0, 10)[0] == 0.0 and wilson(1.0, 10)[0] < 0.75


def right(share: float, count: int) -> np.ndarray:
    return np.arange(count) < share * count


def test_repeats_widen_the_interval_by_their_spread() -> None:
    calm, wild = (row("trained", "knn", "5", [[right(a, 1000)] for a in told], 1000)
                  for told in ((0.6, 0.6, 0.6), (0.5, 0.6, 0.7)))  # fmt: skip
    assert calm.accuracy == pytest.approx(wild.accuracy) and calm.half == pytest.approx(0.030, abs=0.001)
    # Student's t with two degrees of freedom is 4.303, and the standard error of the mean 0.1 over the root of 3.
    assert wild.half == pytest.approx(np.hypot(calm.half, 4.303 * 0.1 / 3**0.5), rel=0.01)
    assert row("trained", "knn", "5", [[right(0.99, 100)], [right(1.0, 100)]], 5).high <= 1


def test_folds_that_share_their_samples_are_not_taken_for_independent() -> None:
    """Students who flip coins: of many such judgements at least 95 in 100 intervals hold the truth."""
    rng = np.random.default_rng(0)
    held, halves = 0, []
    for _ in range(200):
        knows = rng.random(100) < 0.7  # what a round of folds finds right, it finds right in the next
        rounds = [np.array_split(rng.permutation(knows), 5) for _ in range(20)]
        judged = row("trained", "knn", "5", rounds, 100, folded=True)
        held += judged.low <= 0.7 <= judged.high
        halves.append(judged.half)
    assert held >= 186 and np.mean(halves) < 0.12


def test_a_gain_is_counted_sample_by_sample() -> None:
    rng = np.random.default_rng(0)
    easy = rng.random(400) < 0.7
    better = easy.copy()
    better[np.flatnonzero(~easy)[:20]] = True  # all that the other knows, and twenty more
    gain = gain_over([[better]], [[easy]], "knn", "5", "pixels")
    assert gain.gain == pytest.approx(0.05) and gain.low > 0 and gain.high < 0.1
    assert (gain.against, gain.probe, gain.labels) == ("pixels", "knn", "5")
    apart = [row(kind, "knn", "5", [[right]], 400) for kind, right in (("trained", better), ("pixels", easy))]
    assert apart[0].low < apart[1].high  # the two intervals alone cannot tell
    assert verdicts(apart, gains=[gain])[0].endswith("it helped")
    assert verdicts(apart)[0].endswith("too close to call")
    few = gain_over([[np.array([True] * 5)]], [[np.array([False] * 5)]], "knn", "5", "pixels")
    assert few.low <= 0 and few.luck == 2 / 32 and few.samples == 5  # five samples prove nothing
    assert gain_over([[better]], [[easy]], "knn", "5", "pixels", beside=2).high > gain.high
    same = gain_over([[easy[:200], easy[200:]]] * 2, [[easy[:200], easy[200:]]] * 2, "knn", "5", "pixels", folded=True)
    assert same.low < 0 == same.gain < same.high


def scored(trained: float, untrained: float, pixels: float, usual: float = 0.0, half: float = 0.01) -> list[Row]:
    def one(kind: str, value: float) -> Row:
        interval = {"low": value - half, "high": value + half}
        return Row(features=kind, probe="linear", labels="all labels", accuracy=value, repeats=1, **interval)

    rows = [one("trained", trained), one("untrained", untrained), one("pixels", pixels)]
    return rows + [one("usual", usual)] * (usual > 0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.7, 0.5, 0.6), "it helped"),
        ((0.5, 0.4, 0.6), "it did not help"),
        ((0.7, 0.5, 0.6, 0.8), "it did not help"),
        ((0.61, 0.4, 0.6), "too close to call"),
        ((0.59, 0.4, 0.6), "too close to call"),
    ],
)
def test_the_verdict_minds_the_best_baseline_and_the_doubt(values: tuple[float, float, float], said: str) -> None:
    (line,) = verdicts(scored(*values))
    assert line.endswith(said) and f"{100 * values[0]:.1f} ± 1.0 against" in line and "raw pixels" in line


def test_a_verdict_needs_enough_samples_and_every_baseline() -> None:
    def judged(right: int, wrong: int) -> str:
        told = {"trained": np.arange(right + wrong) < right, "untrained": np.zeros(right + wrong, bool)}
        rows, gains = measured({kind: [[own]] for kind, own in told.items()}, "knn", "5", right + wrong)
        return verdicts(rows, gains=gains)[0].split(": ")[-1]

    assert judged(5, 0) == "too few to say (5 independent images, and below 6 nothing can be proved)"
    assert judged(6, 0) == "it helped"  # six coins that fall alike, one time in 32
    assert judged(5, 60) == "too close to call" and judged(8, 60) == "it helped"
    rng = np.random.default_rng(0)
    best, own, low = rng.random(400) < 0.75, rng.random(400) < 0.75, rng.random(400) < 0.3
    right = {"trained": [[own]], "untrained": [[low]], "pixels": [[best]]}
    rows, gains = measured(right, "knn", "5", 400)
    assert verdicts(rows, gains=gains)[0].endswith("too close to call")  # no better than the better of the two


def test_samples_that_came_in_several_rounds_of_folds_count_once() -> None:
    own, other = right(0.7, 60), right(0.5, 60)
    order = [np.random.default_rng(seed).permutation(60) for seed in range(3)]
    rounds = [[[kind[fold] for fold in np.array_split(o, 5)] for o in order] for kind in (own, other)]
    voting = [np.array_split(o, 5) for o in order]
    gain = gain_over(*rounds, "knn", "5", "pixels", folded=True, voting=voting)
    assert gain.samples == 60 and gain.luck == pytest.approx(2 * 0.5**12)
    assert gain.low > 0  # of 12 that differ all are on one side


def test_folds_that_disagree_prove_less() -> None:
    other = [right(0.5, 40)] * 5
    even, odd = ([np.r_[fold, np.zeros(40 - len(fold), bool)] for fold in folds] for folds in (
        [right(1.0, 30)] * 5, [right(1.0, n) for n in (40, 40, 40, 10, 20)]))  # fmt: skip
    calm, wild = (gain_over([own], [other], "knn", "5", "pixels", folded=True) for own in (even, odd))
    assert calm.gain == wild.gain == pytest.approx(0.25) and calm.luck == pytest.approx(wild.luck, abs=1e-6)
    assert calm.low > 0.15 and wild.low < 0
    thrice = gain_over([odd] * 3, [other] * 3, "knn", "5", "pixels", folded=True)
    apart = np.tile([0.5, 0.5, 0.5, -0.25, 0.0], 3)
    error = np.sqrt(np.var(apart, ddof=1) * (1 / 15 + 1 / 4))
    assert thrice.low == pytest.approx(0.25 - 2.776 * error, abs=0.001)  # by the freedom of one round, not of all


def test_an_array_of_another_channel_count_is_refused(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "five.npz", x=np.zeros((8, 16, 16, 5), np.uint8), y=np.arange(8) % 2)
    with pytest.raises(DataError, match="5 channels, the encoder takes 1"):
        run.evaluate(tmp_path / "five.npz")


def test_values_of_another_range_are_scaled_or_refused(run: Run, tmp_path: Path) -> None:
    held = np.load(stripes(tmp_path / "a.npz", 24, 1))
    np.savez(tmp_path / "unit.npz", x=(held["x"] / 255).astype(np.float32), y=held["y"])
    with pytest.raises(DataError, match="the encoder takes 0 to 255: scale them alike"):
        run.evaluate(tmp_path / "unit.npz")
    like = run.encoder().preparation
    for number, image in enumerate(held["x"][:3]):
        Image.fromarray(image.astype(np.uint16) * 257).save(tmp_path / f"{number}.png")  # the same in 16 bits
    deep = open_samples(tmp_path, like=like).batch(np.arange(3))[0]
    assert deep.dtype == torch.uint8 and np.array_equal(deep[:, 0].numpy(), held["x"][:3])


def test_another_set_has_its_own_classes_size_and_colours(run: Run, tmp_path: Path) -> None:
    """The encoder was made for grey squares of 16 pixels; flowers are larger, in colour, and of three kinds."""
    rng = np.random.default_rng(0)
    for label, tint in (("rose", 220), ("iris", 120), ("fern", 20)):
        (tmp_path / "flowers" / label).mkdir(parents=True)
        for number in range(8):
            height, width = rng.integers(20, 60, 2)
            pixels = (tint + rng.integers(-20, 20, (height, width, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "flowers" / label / f"{number}.png")
    result = run.evaluate(tmp_path / "flowers", probe="knn,linear", labels="3", repeats=1)
    assert result.classes == ["fern", "iris", "rose"] and result.train_samples == 24
    assert all(r.accuracy > 0.8 for r in result.rows if (r.features, r.probe) == ("pixels", "linear")), result.rows
    assert {len(detail.recall) for detail in result.details} == {3}


def test_it_can_be_called_from_the_package(run: Run, tmp_path: Path) -> None:
    assert selftaught.evaluate(run, stripes(tmp_path / "a.npz", 40, 1), probe="knn", repeats=1).rows
    with pytest.raises(UsageError, match="not a run folder"):
        selftaught.evaluate(tmp_path, "x")
    assert Preparation  # the preparation travels with the encoder


def test_baselines_that_are_known_are_not_judged_again(run: Run, tmp_path: Path) -> None:
    train, test = stripes(tmp_path / "a.npz", 80, 1), stripes(tmp_path / "b.npz", 60, 2)
    recipe = Evaluate.parse({"run": str(run.folder), "train": str(train), "test": str(test), "probe": "knn,linear"})
    whole = evaluate(recipe)
    marked = [r.model_copy(update={"accuracy": 0.123}) for r in whole.rows]
    again = evaluate(recipe, baselines=marked)
    assert {(r.features, r.probe) for r in again.rows} == {(r.features, r.probe) for r in whole.rows}
    assert all((r.accuracy == 0.123) == (r.features != "trained") for r in again.rows)
    assert [r for r in again.rows if r.features == "trained"] == [r for r in whole.rows if r.features == "trained"]
