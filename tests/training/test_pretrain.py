"""Pre-training end to end on a tiny folder: what it leaves behind, and what bad input gets."""

import gc
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import selftaught
from selftaught.commands.cli import run_command
from selftaught.data.images.samples import open_samples
from selftaught.methods.self_prediction.augmented.rotation import Rotation
from selftaught.run.recipes import Pretrain
from selftaught.system import profiling, randomness
from selftaught.system.errors import DataError, DivergedError, Interrupted, UsageError
from selftaught.training import planning
from selftaught.training.job import prepare
from selftaught.training.looking.health import Health
from selftaught.training.measuring import batch_size, trial
from selftaught.training.resolve import resolve
from tests.clocks import held, steps_take, when_begun
from tests.networks import HALVED, as_words

QUICK = {
    "method": "rotation",
    "encoder": HALVED,
    "steps": 3,
    "batch_size": 8,
    "size": 16,
    "log_every": 1,
    "precision": "32-true",
    "layout": "contiguous",
}


def test_a_run_folder_holds_what_the_design_says(photos: Path, tmp_path: Path) -> None:
    run = selftaught.pretrain(photos, out=str(tmp_path / "run"), **QUICK)
    names = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*")}
    assert {
        "recipe.yaml",
        "environment.json",
        "status.json",
        "metrics.jsonl",
        "run.log",
        "quarantine.csv",
        "pictures.png",
        "checkpoints/last",
        "checkpoints/step_0000003/manifest.json",
        "encoder/model.safetensors",
        "encoder/config.json",
        "encoder/README.md",
    } <= names
    assert run.status["state"] == "done" and run.status["steps"] == 3
    assert [line["step"] for line in run.metrics()] == [1, 2, 3]
    assert {"step", "loss", "terms", "lr", "samples_per_second", "input_share"} <= run.metrics()[0].keys()
    assert run.recipe.encoder.name == "test_resnet" and run.recipe.batch_size == 8


def test_the_same_command_gives_the_same_weights_and_another_seed_others(photos: Path, tmp_path: Path) -> None:
    def weights(name: str, **more: int) -> torch.Tensor:
        run = selftaught.pretrain(photos, out=str(tmp_path / name), **QUICK, **more)
        return next(run.encoder().parameters()).detach()

    assert torch.equal(weights("a"), weights("b"))
    assert not torch.equal(weights("c", seed=1), weights("d"))


def test_the_run_folder_can_be_moved(photos: Path, tmp_path: Path) -> None:
    run = selftaught.pretrain(photos, out=str(tmp_path / "run"), **QUICK)
    before = next(run.encoder().parameters())
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert torch.equal(next(selftaught.load_encoder(tmp_path / "elsewhere").parameters()), before)


def test_an_existing_run_is_only_replaced_when_asked(photos: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    selftaught.pretrain(photos, out=out, **QUICK)
    kept = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(UsageError, match="already exists; use --resume"):
        selftaught.pretrain(photos, out=out, **QUICK)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == kept
    selftaught.pretrain(photos, out=out, overwrite=True, **QUICK)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("keep me")
    with pytest.raises(UsageError, match="other files, not a run"):
        selftaught.pretrain(photos, out=str(tmp_path / "letters"), overwrite=True, **QUICK)
    assert (tmp_path / "letters" / "dear.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "simclear"}, "no method named 'simclear'; did you mean 'simclr'"),
        ({"encoder": "resnet81"}, "resnet81"),
        ({"method": {"name": "simclr", "options": {"temperatur": 1}}}, "did you mean 'temperature'"),
        ({"method": {"name": "simclr", "options": {"temperature": "hot"}}}, "cannot be 'hot'"),
        ({"training": {"optimiser": "sgd"}}, "did you mean 'optimizer'"),
        ({"training": {"optimizer": "adamax"}}, "cannot be 'adamax'"),
        ({"views": {"stronger": {"jitter": 1}}}, "did you mean 'strong'"),
        ({"views": {"strong": {"jiter": 1}}}, "did you mean 'jitter'"),
        ({"method": "mae"}, "mae needs an encoder that works on tokens, which test_resnet does not; try"),
        (
            {"method": "exemplar", "encoder": "test_vit"},
            r"exemplar has not taught vision transformers anything yet \(after 200,000 .*\): try --encoder resnet18",
        ),
        ({"steps": 3, "epochs": 2}, "not both"),
        (
            {"lr": 0.01, "training": {"lr": 0.5}},
            "--lr 0.01 and --training.lr 0.5 are two values of one setting: give one",
        ),
        ({"batch_size": 8, "training": {"batch_size": 4}}, "--batch-size 8 and --training.batch_size 4 are two values"),
        ({"devices": "several"}, "it is a number from 1 to 1,024, or all"),
    ],
)
def test_a_wrong_word_is_one_line_and_leaves_nothing(photos: Path, tmp_path: Path, change: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        selftaught.pretrain(photos, out=str(tmp_path / "run"), **{**QUICK, **change})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_too_few_images_for_a_batch_says_what_fits(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="48 images are fewer than a batch of 64; use --batch-size 32"):
        selftaught.pretrain(photos, out=str(tmp_path / "run"), **{**QUICK, "batch_size": 64})


def test_one_image_is_too_few_for_any_batch(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r"of the images 1 can be used, and no method learns from fewer than 2$"):
        selftaught.pretrain(tmp_path / "x.npy", out=str(tmp_path / "run"), **QUICK)


def test_an_image_that_cannot_be_decoded_is_listed_and_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(120):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    run = selftaught.pretrain(folder, out=str(tmp_path / "run"), **QUICK)
    listed = (run.folder / "quarantine.csv").read_text().splitlines()
    assert len(listed) == 2 and listed[1].startswith("broken.jpg,")
    for number in range(5):
        (folder / f"{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match="6 of 121"):
        selftaught.pretrain(folder, out=str(tmp_path / "other"), **QUICK)


def test_resuming_with_other_data_is_refused(photos: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    selftaught.pretrain(photos, out=out, **QUICK)
    Image.new("RGB", (16, 16)).save(photos / "new.png")
    with pytest.raises(UsageError, match="not the data this run was started with"):
        selftaught.pretrain(photos, out=out, resume=True)


def bitmaps(root: Path, seed: int) -> Path:
    """Pictures whose files have the same names and sizes, whatever they show."""
    root.mkdir(parents=True)
    for number in range(24):
        pixels = np.random.default_rng((seed, number)).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number:02d}.bmp")
    return root


def test_other_pictures_under_the_same_names_are_no_way_to_resume(tmp_path: Path) -> None:
    out, one, two = str(tmp_path / "run"), bitmaps(tmp_path / "one", 0), bitmaps(tmp_path / "two", 1)
    run = selftaught.pretrain(one, out=out, **QUICK)
    shutil.copytree(one, tmp_path / "copy")
    for number in (5, 9):
        shutil.copy(two / f"{number:02d}.bmp", tmp_path / "copy")
    with pytest.raises(UsageError, match="the data this run was started with: 24 of 24 images hold something else"):
        selftaught.pretrain(two, out=out, resume=True)
    with pytest.raises(UsageError, match=r"2 of 24 images hold something else; the first is 05\.bmp"):
        selftaught.pretrain(tmp_path / "copy", out=out, resume=True)
    (tmp_path / "copy" / "07.bmp").unlink()
    with pytest.raises(UsageError, match=r"it has 23 images, the run had 24; the first is 05\.bmp"):
        selftaught.pretrain(tmp_path / "copy", out=out, resume=True)
    (run.folder / "data.digests.npy").unlink()
    with pytest.raises(UsageError, match=r"fingerprint \w+, expected"):
        selftaught.pretrain(two, out=out, resume=True)


def test_the_same_pictures_elsewhere_and_under_other_names_are_the_same(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    selftaught.pretrain(bitmaps(tmp_path / "one", 0), out=out, **QUICK)
    (tmp_path / "two").mkdir()
    for file in (tmp_path / "one").iterdir():
        shutil.copy(file, tmp_path / "two" / f"picture-{file.name}")
    assert selftaught.pretrain(tmp_path / "two", out=out, resume=True).status["state"] == "done"


def test_an_array_that_was_blackened_in_part_is_another(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (3000, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    selftaught.pretrain(tmp_path / "x.npy", out=str(tmp_path / "run"), **QUICK)
    x[np.setdiff1d(np.arange(3000), np.linspace(0, 2999, 1024).astype(int))] = 0
    np.save(tmp_path / "y.npy", x)
    with pytest.raises(UsageError, match=r"1,976 of 3,000 images hold something else; the first is 1$"):
        selftaught.pretrain(tmp_path / "y.npy", out=str(tmp_path / "run"), resume=True)


@pytest.mark.parametrize("kind", ["folder", "array"])
def test_a_run_from_before_there_were_digests_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    data = bitmaps(tmp_path / "one", 0)
    if kind == "array":
        np.save(data := tmp_path / "x.npy", np.random.default_rng(0).integers(0, 255, (24, 16, 16), dtype=np.uint8))
    run = selftaught.pretrain(data, out=str(tmp_path / "run"), **QUICK)
    former = open_samples(data).former_fingerprint
    run.recipe.model_copy(update={"fingerprint": former}).save(run.folder / "recipe.yaml")
    (run.folder / "data.digests.npy").unlink()
    capsys.readouterr()
    assert selftaught.pretrain(data, out=run.folder, resume=True).status["state"] == "done"
    told = capsys.readouterr().err
    assert "warning" not in told and "resuming at step" in told
    run.recipe.model_copy(update={"fingerprint": former[::-1]}).save(run.folder / "recipe.yaml")
    with pytest.raises(UsageError, match="not the data this run was started with"):
        selftaught.pretrain(data, out=run.folder, resume=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", None),
        ("batch_size", None),
        ("batch_size", "auto"),
        ("encoder", None),
        ("size", None),
        ("fingerprint", None),
        ("precision", "auto"),
    ],
)
def test_a_saved_recipe_that_leaves_open_what_was_decided_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    (run := tmp_path / "run").mkdir()
    decided = {"steps": 3, "batch_size": 8, "encoder": "test_resnet", "size": 16, "fingerprint": "f"}
    Pretrain.parse({"data": "photos", "precision": "32-true", **decided, name: value}).save(run / "recipe.yaml")
    with pytest.raises(UsageError, match=f"recipe.yaml does not say which (.* and )?{name} ") as caught:
        selftaught.pretrain("photos", out=run, resume=True)
    assert "\n" not in str(caught.value)


def test_a_run_that_began_before_there_was_a_choice_of_attention_resumes(photos: Path, tmp_path: Path) -> None:
    run = selftaught.pretrain(photos, out=str(tmp_path / "run"), **QUICK)
    held = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    (run.folder / "recipe.yaml").write_text(yaml.safe_dump({k: v for k, v in held.items() if k != "attention"}))
    assert selftaught.pretrain(photos, out=run.folder, resume=True).status["state"] == "done"


def test_a_run_goes_on_with_the_random_numbers_that_it_began_with(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[str] = []
    seeded = randomness.seed_torch
    monkeypatch.setattr(randomness, "seed_torch", lambda *at: (ways.append(randomness._way.get()), seeded(*at)))
    run = selftaught.pretrain(photos, out=str(tmp_path / "run"), **QUICK)
    assert {*ways} == {run.recipe.draws} == {"blocks"}
    held = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    (run.folder / "recipe.yaml").write_text(yaml.safe_dump({k: v for k, v in held.items() if k != "draws"}))
    for name in ("checkpoints", "encoder"):  # as one that was cut before its first checkpoint, and has all to draw
        shutil.rmtree(run.folder / name)
    run.set_status("running")
    ways.clear()
    again = selftaught.pretrain(photos, out=run.folder, resume=True)  # as one of a version that knew of no blocks
    assert {*ways} == {again.recipe.draws} == {"streams"}


def test_resume_without_a_run_starts_at_0_and_says_so(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = selftaught.pretrain(photos, out=str(tmp_path / "run"), resume=True, **QUICK)
    said = capsys.readouterr().err
    assert "nothing to resume" in said and run.status["steps"] == 3 and said.count("starting at step 0") == 1


def test_a_budget_chooses_the_steps(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time = held(monkeypatch)
    steps_take(lambda: 0.5, Rotation, time, monkeypatch)
    quick, began = {name: value for name, value in QUICK.items() if name != "steps"}, time.at
    run = selftaught.pretrain(photos, out=str(tmp_path / "run"), budget="20s", **quick)
    assert 18 < time.at - began <= 20 and 20 < run.recipe.steps < 40
    assert run.status["seconds"] == run.recipe.steps / 2 and run.status["steps"] == run.recipe.steps


def test_a_budget_that_reading_has_used_up_is_refused_before_a_run_exists(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = held(monkeypatch)
    when_begun("reading", lambda: time.advance(1), monkeypatch)
    steps_take(lambda: 0.001, Rotation, time, monkeypatch)
    with pytest.raises(UsageError, match=r"a budget of .* leaves no time to train: .* give more, or say how long with"):
        selftaught.pretrain(
            photos, method="rotation", encoder="test_resnet", budget=1, out=tmp_path / "run", batch_size=8
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("size", "patch"), [(28, 7), (33, 3)])
def test_a_patch_that_divides_the_images_is_taken_whatever_their_size(size: int, patch: int, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), dtype=np.uint8)
    encoder = {"name": "vit_tiny_patch16_224", "options": {"depth": 1, "width": 48, "patch": patch}}
    out, file = tmp_path / "run", tmp_path / "images.npz"
    np.savez(file, x=images)
    run = selftaught.pretrain(
        file,
        method="mae",
        encoder=encoder,
        out=out,
        steps=1,
        batch_size=8,
        precision="32-true",
        layout="contiguous",
        map=0,
    )
    assert run.status["state"] == "done"


def test_an_array_is_refused_where_it_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'init' cannot be an array"):
        selftaught.pretrain(tmp_path, init=np.zeros((8, 32, 32, 3), np.uint8))


@pytest.mark.parametrize(("measured", "trained"), [(0.4, 0.1), (0.1, 0.15)], ids=["hasty", "lame"])
def test_a_budget_is_corrected_on_the_way(
    measured: float,
    trained: float,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As if the machine had another pace while it was measured, before there is a run, than it has in the run."""
    time, out = held(monkeypatch), tmp_path / "run"
    steps_take(lambda: trained if out.exists() else measured, Rotation, time, monkeypatch)
    quick, began = {name: value for name, value in QUICK.items() if name != "steps"}, time.at
    run = selftaught.pretrain(photos, out=str(out), budget="10s", **quick)
    assert 9 < time.at - began <= 10
    assert "instead of" in capsys.readouterr().err
    assert run.recipe.steps == run.status["steps"] == int(run.metrics()[-1]["step"])


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_a_users_own_network(photos: Path, tmp_path: Path) -> None:
    run = selftaught.pretrain(photos, out=str(tmp_path / "run"), **{**QUICK, "encoder": Own()})
    assert run.encoder()(torch.zeros(2, 3, 16, 16)).shape == (2, 12)
    evaluation = run.evaluate(photos, probe="linear", labels="5", repeats=1)
    assert evaluation.rows
    with pytest.raises(UsageError, match="own"):
        selftaught.load_encoder(run.folder)


class Tied(nn.Module):
    """One layer under two names, and the mask of minus infinities that attention adds."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.more = self.again
        self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.more(self.again(self.first(x)).relu())


def test_an_own_network_may_share_layers_and_hold_infinite_constants(photos: Path, tmp_path: Path) -> None:
    run = selftaught.pretrain(photos, out=str(tmp_path / "run"), **{**QUICK, "encoder": Tied()})
    kept = load_file(run.folder / "encoder/model.safetensors")
    assert torch.equal(kept["more.weight"], kept["again.weight"]) and kept["mask"].isinf().any()
    resumed = selftaught.pretrain(photos, out=str(tmp_path / "run"), resume=True, **{**QUICK, "encoder": Tied()})
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(resumed.encoder()(x), run.encoder()(x))
    run.finetune(photos, tmp_path / "classifier", finetune={"epochs": 1})
    assert selftaught.predict(tmp_path / "classifier", photos, module=Tied()).predicted


def test_five_channels_through_pretraining_and_judging(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = (rng.random((60, 16, 16, 5)) * 0.3 + y[:, None, None, None] * 0.4).astype(np.float32)
    np.savez(tmp_path / "five.npz", x=x, y=y)
    run = selftaught.pretrain(tmp_path / "five.npz", out=str(tmp_path / "run"), **{**QUICK, "method": "vicreg"})
    accuracy = {
        row.features: row.accuracy
        for row in run.evaluate(tmp_path / "five.npz", probe="linear", labels="10", repeats=2).rows
    }
    assert accuracy["pixels"] > 0.9


def test_a_folder_of_grey_images(tmp_path: Path) -> None:
    for number in range(24):
        label = tmp_path / "grey" / ("dark" if number % 2 else "light")
        label.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 40 + 150 * (number % 2) + number).save(label / f"{number}.png")
    run = selftaught.pretrain(tmp_path / "grey", out=str(tmp_path / "run"), **{**QUICK, "method": "simclr"})
    assert run.encoder().preparation.channels == 1
    assert run.evaluate(tmp_path / "grey", probe="knn", labels="5", repeats=1).rows


def test_the_largest_batch_follows_the_free_memory(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    quick = {**QUICK, "encoder": "test_resnet", "batch_size": "auto", "steps": 1}

    def batch(free: int) -> int:
        monkeypatch.setattr(batch_size, "free_memory", lambda device: free)
        out = tmp_path / str(free)
        return selftaught.pretrain(photos, out=str(out), **quick).recipe.batch_size

    assert batch(10**12) == 8  # a quarter of 48 images, as a power of two
    told = re.search(r"measured (\d+) MB of memory a sample", capsys.readouterr().err)
    assert told
    weights = 16 * 470_000
    assert batch(weights * 2 + int(told[1]) * 5 * 10**6) in (2, 4)


def test_kept_memory_grows_with_the_batch_and_counts_no_weights(photos: Path) -> None:
    images = open_samples(photos, size=(16, 16))
    kept = []
    for rows in (8, 16):
        recipe = Pretrain.parse({"data": str(photos), **QUICK, "batch_size": rows})
        kept.append(trial.kept_bytes(prepare(resolve(recipe, images), images, None), rows))
    assert kept[1] == pytest.approx(2 * kept[0], rel=0.1)
    assert kept[0] > 8 * 3 * 16 * 16 * 4


def test_measuring_memory_takes_none_for_good(photos: Path) -> None:
    """A graph that held its own outputs would be out of reach of reference counts and of the garbage collector."""

    def in_graphs() -> int:
        gc.collect()
        return sum(type(found) is torch.Tensor and found.grad_fn is not None for found in gc.get_objects())

    images, before = open_samples(photos, size=(16, 16)), in_graphs()
    trial.kept_bytes(prepare(resolve(Pretrain.parse({"data": str(photos), **QUICK}), images), images, None), 8)
    assert in_graphs() == before


def test_memory_is_measured_for_a_method_that_needs_many_samples(tmp_path: Path) -> None:
    how = {**QUICK, "batch_size": 80, "steps": 1, "limit": 100}
    assert selftaught.pretrain("sklearn:digits", out=str(tmp_path / "run"), **{**how, "method": "wmse"}).status
    with pytest.raises(UsageError, match="cannot whiten 64 features of 40 samples"):
        selftaught.pretrain("sklearn:digits", out=str(tmp_path / "few"), **{**how, "batch_size": 40, "method": "wmse"})


def test_a_batch_too_small_for_a_method_is_refused_by_its_number_before_there_is_a_run(tmp_path: Path) -> None:
    """Where nothing is measured ahead, and a look before step 0 has more samples than a batch, or as few."""
    few: dict[str, Any] = {**QUICK, "steps": 1, "batch_size": 8, "method": "wmse", "map": 0}
    for limit, also in ((100, None), (20, None), (100, {"method": {"name": "rotation"}})):
        with pytest.raises(UsageError, match="cannot whiten 64 features of 8 samples; use a larger --batch-size"):
            selftaught.pretrain("sklearn:digits", limit=limit, also=also, out=str(tmp_path / "run"), **few)
        assert not (tmp_path / "run").exists()


def test_remembered_files_are_free_memory_and_a_container_has_its_limit(tmp_path: Path) -> None:
    machine, group = tmp_path / "meminfo", tmp_path
    own = trial._available(machine, group)
    assert own > 0  # where the system tells nothing more
    machine.write_text("MemTotal: 24000000 kB\nMemFree: 100 kB\nMemAvailable: 20000000 kB\n")
    assert trial._available(machine, group) == 20_000_000 << 10
    for name, told in (("max", "5000000"), ("current", "4000000"), ("stat", "anon 9\ninactive_file 300000\n")):
        (group / f"memory.{name}").write_text(told)
    assert trial._available(machine, group) == 1_300_000
    (group / "memory.max").write_text("max\n")
    assert trial._available(machine, group) == 20_000_000 << 10


def test_a_profile_says_where_the_time_went(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    quick = {**QUICK, "method": "byol", "steps": 14, "profile": True}
    run = selftaught.pretrain(photos, out=str(tmp_path / "run"), **quick)
    table = {row["part"]: row for row in json.loads((run.folder / "profile.json").read_text())}
    parts = {"input", "views", "forward", "loss", "teacher", "backward", "guard", "optimiser", "after the step"}
    assert parts | {"logging", "other"} == set(table)
    assert sum(row["share"] for row in table.values()) == pytest.approx(1, abs=1e-6)
    assert all(row["milliseconds"] >= 0 for row in table.values()) and table["backward"]["share"] > 0
    assert "backward" in capsys.readouterr().err and (run.folder / "profile_trace.json").exists()


@pytest.mark.parametrize("steps", [2, 5])
def test_a_profile_of_too_few_steps_says_so_and_stops(
    steps: int, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    going = list[str]()
    monkeypatch.setattr(profiling.profile, "start", lambda self: going.append("profile"))
    monkeypatch.setattr(profiling.profile, "stop", lambda self: going.remove("profile"))
    quick = {**QUICK, "steps": steps, "profile": True}
    run = selftaught.pretrain(str(photos), out=str(tmp_path / "run"), **quick)
    said = f"warning: nothing is profiled: --profile needs 13 steps, and there were {steps}\n"
    assert said in capsys.readouterr().err and not going and not (run.folder / "profile.json").exists()
    quick |= {"steps": 8, "on_step": interrupted}
    with pytest.raises(Interrupted):
        selftaught.pretrain(str(photos), out=str(tmp_path / "cut"), **quick)
    assert "and there were 4\n" in capsys.readouterr().err and not going


def interrupted(step: Any) -> None:
    if step.step == 4:
        raise Interrupted("by hand")


def test_nothing_that_is_not_finite_is_saved(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(self: Rotation, progress: float) -> None:
        if progress == 1:
            next(self.encoder.buffers()).fill_(torch.nan)

    monkeypatch.setattr(Rotation, "after_step", spoilt)
    with pytest.raises(DivergedError, match="not finite at step 4"):
        selftaught.pretrain(photos, out=str(tmp_path / "run"), **{**QUICK, "steps": 4, "checkpoint_every": 2})
    run = selftaught.Run.open(tmp_path / "run")
    assert all(value.isfinite().all() for value in run.encoder().state_dict().values())
    assert run.status["state"] == "diverged"


def test_half_precision_is_for_the_network_and_not_for_what_it_is_shown(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def watching(self: Rotation, *views: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.encoder(views[0])
        seen.update(view=views[0].dtype, features=features.dtype, matrix=(features @ features.T).dtype)
        return {"loss": features.float().square().mean()}

    monkeypatch.setattr(Rotation, "forward", watching)
    selftaught.pretrain(photos, out=str(tmp_path / "run"), **{**QUICK, "precision": "bf16-mixed"})
    assert seen == {"view": torch.float32, "features": torch.bfloat16, "matrix": torch.bfloat16}


def test_the_log_of_a_run_says_what_ended_it(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Rotation, *views: torch.Tensor) -> dict[str, torch.Tensor]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Rotation, "forward", broken)
    monkeypatch.setattr(planning, "chunk_that_fits", lambda plan, *rest: plan.encode_chunk)
    monkeypatch.setattr(Health, "look", lambda self: {})
    assert run_command(["pretrain", str(photos), *as_words(QUICK), "--out", str(tmp_path / "run")]) == 1
    log = (tmp_path / "run" / "run.log").read_text()
    assert "Traceback" in log and "ZeroDivisionError: a bug" in log
    assert selftaught.Run.open(tmp_path / "run").status["exit_code"] == 1
