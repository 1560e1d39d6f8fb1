"""Series from end to end: the same methods and commands as for images and rows, unchanged."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import selftaught
from selftaught.commands.cli import run_command
from selftaught.contracts.method import Data
from selftaught.data.series import MODALITY
from selftaught.data.series.encoders import build_encoder
from selftaught.data.series.samples import open_samples
from selftaught.judging.groups import groups_named
from selftaught.judging.labelled import splits
from selftaught.judging.opening import open_labelled
from selftaught.judging.shown import features_of
from selftaught.judging.subsets import parse_labels
from selftaught.methods import registry
from selftaught.methods.parts.blocks import context_and_targets
from selftaught.run.recipes import Evaluate
from selftaught.system import randomness
from selftaught.system.components import Part
from selftaught.system.errors import DataError, UsageError
from tests.data.series.rockets import with_aeon
from tests.data.series.writing import waves
from tests.methods.making import KINDS

PREPARATION = KINDS["series"].preparation
NETWORKS = {
    "dilated_conv": {"depth": 2, "width": 8, "dim": 16},
    "patch_transformer": {"depth": 1, "width": 16, "patch": 4},
}
TINY = ["--encoder", "patch_transformer", "--encoder.width", "16", "--encoder.depth", "1"]
QUICK = {
    "check": ["--encoder", "patch_transformer", "--batch-size", "16", "--json"],
    "preview": [*TINY, "--samples", "4"],
    "pretrain": [*TINY, *["--batch-size", "16", "--precision", "32-true", "--layout", "contiguous", "--map", "24"]],
    "evaluate": ["--probe", "knn,linear", "--labels", "5", "--repeats", "1", "--json"],
    "finetune": ["--finetune.epochs", "1"],
}


@pytest.mark.parametrize("collator", ["paper", "authors"])
def test_blocks_on_a_line_are_stretches_of_it(collator: Any) -> None:
    with randomness.at(0, 0, slice(0, 16)):
        cpu = torch.device("cpu")
        blocks = context_and_targets(16, (40,), 4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), collator, cpu)
    assert blocks.targets.shape[:2] == (16, 4) and 6 <= blocks.targets.shape[2] <= 8
    assert (blocks.targets.diff(dim=2) == 1).all() and blocks.targets[..., 0].unique().numel() > 8
    apart = (blocks.context[:, None, :, None] != blocks.targets[:, :, None]).all()
    assert apart and blocks.context.shape[1] >= 8


def test_what_simmim_hides_of_a_series_are_whole_patches_and_it_says_each_moment() -> None:
    encoder = build_encoder(Part(name="patch_transformer", options=NETWORKS["patch_transformer"]), PREPARATION)
    method = registry.method_class("simmim")(encoder, Data(64, PREPARATION.shape, (0,) * 4, (1,) * 4))
    with randomness.at(0, 0, slice(0, 8)):
        shown = method.picture(torch.randn(8, *PREPARATION.shape))
    hidden = shown["shown"] == 0
    by_patch = encoder.patchify(hidden.float()[..., :20])
    assert hidden.any() and (by_patch.amin(dim=2) == by_patch.amax(dim=2)).all()
    x = torch.randn(2, encoder.dim, 6)
    whole = method.head(x)
    x[..., 2] += 1  # what is said of a patch is said of its own four moments
    assert ((method.head(x) != whole).any(dim=(0, 1)).nonzero()[:, 0] == torch.arange(8, 12)).all()


def test_the_pages_commands_lead_from_series_to_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with_aeon(monkeypatch)
    waves(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "series.md").read_text()
    (block,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    said = {}
    for line in block.splitlines():
        words = line.replace("--epochs 100", "--steps 4").split()[1:]
        assert run_command([*words, *QUICK.get(words[0], ())]) == 0, line
        said[words[0]] = capsys.readouterr().out
    found, judged = (json.loads(said[name]) for name in ("check", "evaluate"))
    assert found["things"] == "series" and found["series"]["lengths"]["min"] == 17 and found["forecast"]["seconds"] > 0
    assert Image.open("preview.png").width > 4 * 160
    assert {"pictures.png", "encoder", "map", "report.html"} <= {path.name for path in Path("run").iterdir()}
    beside = {row["features"] for row in judged["rows"]}
    assert beside == {"trained", "untrained", "pixels", "usual"} == {row["features"] for row in judged["details"]}
    assert {gain["against"] for gain in judged["gains"]} == beside - {"trained"} and judged["things"] == "series"
    assert "raw values" in judged["verdict"] and "MiniRocket" in judged["verdict"]
    assert len(Path("predictions.csv").read_text().splitlines()) == 49
    assert (
        Path("run/encoder/model.onnx").is_file()
        and "“MiniRocket” uses no network either" in Path("run/report.html").read_text()
    )
    encoder = selftaught.load_encoder("run")
    samples = open_samples("series:waves.npz", like=encoder.preparation)
    with torch.no_grad():
        again = encoder(samples.batch(np.arange(48))[0]).numpy()
    assert np.allclose(again, np.load("features.npz")["features"], atol=1e-5)
    assert "time-series-feature-extraction" in Path("run/encoder/README.md").read_text()
    with_aeon(monkeypatch, there=False)
    capsys.readouterr()
    assert run_command(["evaluate", "run", "--train", "series:waves.npz", *QUICK["evaluate"]]) == 0
    told, line = capsys.readouterr(), "pip install 'selftaught[series]'"
    alone = json.loads(told.out)["rows"]
    assert told.err.count(line) == 1 and alone == [row for row in judged["rows"] if row["features"] != "usual"]


def test_a_run_that_goes_on_ends_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    data = waves(tmp_path)
    how = {
        "method": "simclr",
        "encoder": {"name": "dilated_conv", "options": NETWORKS["dilated_conv"]},
        "batch_size": 16,
    }
    how |= {"precision": "32-true", "layout": "contiguous", "map": 0, "window": 8, "stride": 4, "limit": 100}
    whole = selftaught.pretrain(data, out=str(tmp_path / "whole"), steps=6, **how)
    for step in selftaught.steps(data, out=str(tmp_path / "run"), steps=6, **how):
        if step.step == 3:
            break
    again = selftaught.pretrain(data, out=str(tmp_path / "run"), steps=6, resume=True, **how)
    one, two = (selftaught.load_encoder(run.folder).state_dict() for run in (whole, again))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert again.recipe.window == 8 and selftaught.load_encoder(again.folder).preparation.stride == 4


def test_windows_of_one_recording_are_on_one_side_of_every_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "logs.npz", x=np.random.default_rng(0).normal(size=(12, 1, 40)), y=np.arange(12) % 2)
    data = f"series:{tmp_path / 'logs.npz'}"
    cut = open_samples(data, window=8, stride=4)
    labelled = open_labelled(Evaluate(run="", train=data), cut.preparation)
    for split in splits(labelled, parse_labels("100%")[0], 1, 0):
        sides = [{cut.groups[row].split("[")[0] for row in rows} for rows in (split.train, split.test)]  # type: ignore[index]
        assert sides[0] and sides[1] and not sides[0] & sides[1]
    assert labelled.tested == 12  # recordings, of 108 windows


def test_windows_are_named_by_their_recording_in_groups_and_metadata(tmp_path: Path) -> None:
    np.savez(tmp_path / "logs.npz", x=np.random.default_rng(0).normal(size=(3, 1, 20)), lengths=[20, 16, 8])
    cut = open_samples(f"series:{tmp_path / 'logs.npz'}", window=8, tolerance=1)
    assert cut.keys == ["0[0:8]", "0[8:16]", "1[0:8]", "1[8:16]", "2"]
    file = tmp_path / "machines.csv"
    file.write_text("path,group\n0,a\n1,b\n1[8:16],c\n2,a\n")
    groups = groups_named(Evaluate(run="x", train="x", groups=file), [cut])
    assert groups is not None and groups.tolist() == [0, 0, 1, 2, 0]
    file.write_text("path,age\n0,41\n1,52\n1[8:16],60\n2,41\nx,1\n")
    assert cut.metadata(["age"], str(file))[0].cells == ["41", "41", "52", "60", "41"]
    assert cut.notes[-1] == f"1 of the 5 lines of {file} are of other series"
    file.write_text("path,age\n0,41\n0,42\n")
    with pytest.raises(DataError, match=r"contradicts itself about '0\[0:8\]'"):
        cut.metadata(["age"], str(file))


def test_what_is_not_for_series_is_refused_in_one_line(tmp_path: Path) -> None:
    data = waves(tmp_path)
    with pytest.raises(UsageError, match=r"rotation asks about images, and series:.* holds series"):
        selftaught.pretrain(data, method="rotation", out=str(tmp_path / "a"))
    with pytest.raises(UsageError, match="aim asks what lies beside what, and sklearn:wine holds rows"):
        selftaught.pretrain("sklearn:wine", method="aim", out=str(tmp_path / "b"))
    with pytest.raises(UsageError, match="--window 8 is for series: rows are not cut into windows"):
        selftaught.pretrain("sklearn:wine", window=8, out=str(tmp_path / "b"))
    with pytest.raises(UsageError, match="mae needs an encoder that works on tokens, which resnet1d does not; try"):
        selftaught.pretrain(data, method="mae", encoder="resnet1d", out=str(tmp_path / "c"))
    run = selftaught.pretrain(
        data, out=str(tmp_path / "run"), steps=1, batch_size=16, map=0, precision="32-true", layout="contiguous",
        encoder={"name": "dilated_conv", "options": NETWORKS["dilated_conv"]},
    )  # fmt: skip
    (tmp_path / "run/inside.npy").write_bytes((tmp_path / "waves.npz").read_bytes())
    with pytest.raises(UsageError, match=r"DATA .*inside\.npy lies in .*run, which is to be replaced"):
        selftaught.pretrain(f"series:{tmp_path / 'run/inside.npy'}", out=str(run.folder), overwrite=True)
    assert MODALITY.RAW == "raw values"


def test_the_greatest_of_each_feature_over_time_is_judged_too() -> None:
    x = torch.randn(3, *PREPARATION.shape)
    for network, options in NETWORKS.items():
        encoder = build_encoder(Part(name=network, options=options), PREPARATION).eval()
        made = features_of(encoder, x, ("max", "mean"))
        assert torch.allclose(made["max"], encoder.map(x).amax(dim=2)) and not torch.equal(made["max"], made["mean"])
