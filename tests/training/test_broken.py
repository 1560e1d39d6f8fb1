"""Training that begins before everything was looked at: what is broken is replaced, listed, and not too much of it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from selftaught.data import first_pass
from selftaught.data.replacing import standing
from selftaught.judging.evaluate import evaluate
from selftaught.reporting.run_page import page_of
from selftaught.run.folder import RunFolder
from selftaught.run.recipes import Evaluate, Pretrain
from selftaught.system.errors import DataError, UsageError
from selftaught.training import broken
from selftaught.training.pretrain import pretrain
from tests.networks import HALVED
from tests.training.test_resume import assert_same, losses, resumed, weights

COUNT, STEPS = 48, 7  # six steps an epoch
BROKEN = (5, 17, 30)  # none of which is among the six that are looked at
LISTED = [f"{row:03d}.png" for row in BROKEN]


@pytest.fixture(autouse=True)
def six(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_pass, "LOOKED_AT", 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for row in range(COUNT):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(root / f"{row:03d}.png")
    for row in BROKEN:
        spoil(root / f"{row:03d}.png")
    return root


def spoil(file: Path) -> None:
    """Without its size being another."""
    file.write_bytes(bytes(file.stat().st_size))


def command(data: Path, out: Path, **more: Any) -> Pretrain:
    told = {"method": "simclr", "encoder": HALVED, "batch_size": 8, "steps": STEPS, "log_every": 1, "map": 0}
    told |= {"precision": "32-true", "layout": "contiguous", "attention": "plain", "checkpoint_every": "4"}
    return Pretrain.parse(
        {"data": str(data), "out": str(out), "first_pass": "sample", "tolerance": 0.1, **told, **more}
    )


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_pass, "LOOKED_AT", 6)
        yield pretrain(command(folder, tmp_path_factory.mktemp("runs") / "whole"))


def quarantined(run: RunFolder) -> list[str]:
    return [line.partition(",")[0] for line in (run.folder / "quarantine.csv").read_text().splitlines()[1:]]


def test_a_run_begins_by_a_sample_and_lists_what_it_meets(whole: RunFolder) -> None:
    assert sorted(quarantined(whole)) == LISTED
    assert whole.recipe.first_pass == "sample" and str(whole.recipe.fingerprint).startswith(first_pass.MARK)
    held = json.loads((whole.folder / "data.json").read_text())
    assert held["samples"] == "48 images" and held["looked at"]["samples"] == 6 and held["looked at"]["broken"] == 0
    assert held["looked at"]["modes"] == {"RGB": 6} and held["looked at"]["width"]["median"] == 16
    assert not (whole.folder / "data.digests.npy").exists()  # nobody knows them all
    log = (whole.folder / "run.log").read_text()
    assert "6 of 48 were looked at before the first step" in log
    assert log.count("images that are broken are replaced by others") == 1


def test_a_run_that_is_cut_after_a_substitute_goes_on_bit_for_bit(
    whole: RunFolder, folder: Path, tmp_path: Path
) -> None:
    """Also where what was broken has been mended meanwhile: the size of its file tells nothing."""
    lines = [json.loads(line) for line in (whole.folder / "replaced.jsonl").read_text().splitlines()]
    early = next(line["row"] for line in lines if line["step"] <= 4)
    moved = shutil.copytree(folder, tmp_path / "images")
    size = (moved / f"{early:03d}.png").stat().st_size
    content = (moved / "001.png").read_bytes()
    (moved / f"{early:03d}.png").write_bytes(content.ljust(size, b"\0")[:size])
    again = resumed(whole, 4, command(moved, tmp_path / "cut", resume=True))
    assert_same(weights(whole), weights(again))
    assert losses(again) == losses(whole) and sorted(quarantined(again)) == LISTED
    assert sorted(quarantined(again)) == sorted(set(quarantined(again)))


def test_what_a_run_looks_at_stays_as_it_began(whole: RunFolder, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--first-pass is 'all', but the run was started with 'sample'"):
        resumed(whole, 4, command(folder, tmp_path / "a", resume=True, first_pass="all"))
    auto = resumed(whole, 4, command(folder, tmp_path / "b", resume=True, first_pass="auto"))
    assert_same(weights(whole), weights(auto))


def test_too_many_in_a_window_end_the_run_and_a_larger_share_lets_it_go_on(
    whole: RunFolder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broken, "WINDOW", 24)  # three steps
    met = [line["row"] for line in map(json.loads, (whole.folder / "replaced.jsonl").read_text().splitlines())]
    out = tmp_path / "run"
    with pytest.raises(DataError, match=r"1 of the last 24 images met cannot be decoded, more than 4%") as error:
        pretrain(command(folder, out, tolerance=0.04))
    run = RunFolder(out)
    assert error.value.exit_code == 3 and "--resume --tolerance" in str(error.value)
    assert run.status["state"] == "failed" and run.status["exit_code"] == 3
    assert quarantined(run) == [f"{met[0]:03d}.png"]
    with pytest.raises(DataError, match="of the last 24 images met"):  # one more step, and the window holds it still
        pretrain(command(folder, out, tolerance=0.04, resume=True))
    assert_same(weights(whole), weights(pretrain(command(folder, out, tolerance=0.5, resume=True))))


def test_too_many_in_the_sample_end_it_before_the_first_step(folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(folder, tmp_path / "images")
    spoil(moved / "047.png")
    with pytest.raises(DataError, match="1 of 6 images looked at in images cannot be decoded, more than 10%") as error:
        pretrain(command(moved, tmp_path / "run"))
    assert error.value.exit_code == 3 and not (tmp_path / "run").exists()


def test_other_data_is_refused_by_names_sizes_and_the_sample(whole: RunFolder, folder: Path, tmp_path: Path) -> None:
    for name, change in {"renamed": rename, "grown": grow, "sampled": swap}.items():
        moved = shutil.copytree(folder, tmp_path / name)
        change(moved)
        with pytest.raises(UsageError, match="is not the data this run was started with"):
            resumed(whole, 4, command(moved, tmp_path / f"run-{name}", resume=True))


def rename(root: Path) -> None:
    (root / "001.png").rename(root / "001a.png")


def grow(root: Path) -> None:
    (root / "001.png").write_bytes((root / "001.png").read_bytes() + b"\0")


def swap(root: Path) -> None:
    """The first, which is looked at, holds something else of the same size."""
    held = (root / "000.png").read_bytes()
    (root / "000.png").write_bytes(held[:-1] + bytes([held[-1] ^ 1]))


def test_substitutes_are_drawn_from_all_and_follow_from_seed_and_number() -> None:
    first = [next(place for place in standing(row, 3, 1000) if place != row) for row in range(2000)]
    assert first == [next(place for place in standing(row, 3, 1000) if place != row) for row in range(2000)]
    assert first != [next(place for place in standing(row, 4, 1000) if place != row) for row in range(2000)]
    assert len(set(first)) > 800 and min(first) < 10 and max(first) > 990


def test_who_judges_and_who_reads_the_page_hears_that_a_sample_was_looked_at(
    whole: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, labels = np.random.default_rng(1), np.arange(24) % 2
    for name in ("train", "test"):
        np.savez(tmp_path / f"{name}.npz", x=rng.integers(0, 255, (24, 16, 16, 3), dtype=np.uint8), y=labels)
    told = {"train": tmp_path / "train.npz", "test": tmp_path / "test.npz", "out": tmp_path / "e.json", "probe": "knn"}
    found = evaluate(Evaluate.parse({"run": whole.folder, "pretrained": "none", **told}))
    assert found.test_in_pretraining is None
    assert "is not known: it looked at a sample of its data" in capsys.readouterr().err
    assert "6 before the first step, of which 0 were broken" in page_of([whole.folder])
