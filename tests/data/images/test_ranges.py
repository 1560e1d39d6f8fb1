"""Which values are black and white, which pages are samples or channels: as files say, or as somebody does."""

import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tifffile
from pyarrow import parquet

from selftaught.commands.cli import run_command
from selftaught.contracts import modality
from selftaught.data.images import plugins
from selftaught.data.images.decoded import Reading
from selftaught.data.images.inspection import inspect
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.judging.groups import groups_named
from selftaught.run.recipes import Evaluate, Pretrain
from selftaught.run.ways import ways
from selftaught.system.errors import BrokenData, UsageError
from tests.data.images.test_formats import dicom, saved, tiff

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(100, 3000, (8, 20, 16)).astype(np.uint16)
ROWS = np.arange(8)
STACKS = RANDOM.integers(0, 4096, (4, 3, 20, 16)).astype(np.uint16)


def taken(data: Any, **how: Any) -> np.ndarray:
    return open_samples(data, **how).batch(ROWS)[0].numpy()


def folder(root: Path, *files: tuple[str, bytes]) -> Path:
    for name, content in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def slices(**told: Any) -> list[tuple[str, bytes]]:
    return [(f"{row}.dcm", dicom(DEEP[row : row + 1], **told)) for row in ROWS]


@pytest.mark.parametrize("form", ["files", "array"])
def test_a_range_that_is_said_counts_for_all_and_stays_with_the_encoder(form: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", DEEP)
    files = [(f"x/{row}.png", saved(image, "PNG")) for row, image in enumerate(DEEP)]
    data = folder(tmp_path, *files) / "x" if form == "files" else tmp_path / "x.npy"
    images = open_samples(data, reading={"range": (200.5, 2000.0)})
    known = images.preparation
    assert (known.low, known.high, known.ranged, known.stored) == (200.5, 2000, "given", "uint16")
    assert np.array_equal(images.batch(ROWS)[0].numpy()[:, 0], np.clip(DEEP, 201, 2000))
    part = np.clip(DEEP[:3], 201, 2000).astype(float)
    assert np.isclose(known.mean[0], (np.clip(DEEP, 201, 2000).astype(float).mean() - 200.5) / 1799.5, atol=1e-5)
    np.save(tmp_path / "y.npy", DEEP[:3])
    assert np.array_equal(open_samples(tmp_path / "y.npy", like=known).batch(ROWS[:3])[0].numpy()[:, 0], part)
    again = Preparation.model_validate(json.loads(known.model_dump_json()))
    assert again == known and Reading.of(again) == Reading((200.5, 2000.0)) and "being cut off" in known.recipe()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_each_image_by_its_own_values_only_where_asked(kind: Any, tmp_path: Path) -> None:
    values = (DEEP // 12).astype(kind) * (0.5 if kind == np.float32 else 1)
    values = values.astype(kind)
    np.save(tmp_path / "x.npy", values)
    (tmp_path / "x").mkdir()
    for row, image in enumerate(values):
        tifffile.imwrite(tmp_path / f"x/{row}.tif", image)
    white = {np.uint8: 255, np.uint16: 65535, np.float32: 1.0}[kind]
    for data in (tmp_path / "x", tmp_path / "x.npy"):
        usual, each = open_samples(data), open_samples(data, reading={"range": "each"})
        assert np.array_equal(usual.batch(ROWS)[0].numpy()[:, 0], values) and usual.preparation.ranged == "declared"
        found = each.batch(ROWS)[0].numpy()[:, 0]
        assert found.dtype == kind and (each.preparation.low, each.preparation.high) == (0, white)
        low, high = (end(axis=(1, 2), keepdims=True).astype(float) for end in (values.min, values.max))
        wanted = (values - low) / (high - low) * white
        assert np.abs(found - wanted).max() <= (0.5001 if kind != np.float32 else 1e-6)
        like = open_samples(data, like=each.preparation, limit=2)
        assert like.batch(np.arange(2))[0].numpy().max(axis=(1, 2, 3)).tolist() == [white] * 2


@pytest.mark.filterwarnings("ignore")
def test_windows_of_single_images_make_them_alike(tmp_path: Path) -> None:
    """The same scene, of which two scanners have stored other numbers, with a window that says so."""
    one = {"BitsStored": 12, "WindowCenter": 1500, "WindowWidth": 3001}
    other = {"RescaleSlope": 1, "RescaleIntercept": -1000, "WindowCenter": 500, "WindowWidth": 3001}
    files = [(f"a/{row}.dcm", dicom(DEEP[row : row + 1], **(one if row % 2 else other))) for row in ROWS]
    wide = [(f"b/{row}.dcm", dicom(DEEP[row : row + 1], BitsStored=12)) for row in ROWS]
    folder(tmp_path, *files, *wide)
    images = open_samples(tmp_path / "a")
    known = images.preparation
    assert (known.low, known.high, known.top, known.ranged) == (0, 65535, 65535, "declared")
    assert np.abs(images.batch(ROWS)[0].numpy()[:, 0] - np.round((DEEP + 0.5) / 3000 * 65535)).max() <= 0.5
    assert np.abs(taken(tmp_path / "b")[:, 0] - np.round(DEEP / 4095 * 65535)).max() <= 0.5
    units = taken(tmp_path / "a", reading={"range": (-1000.0, 3000.0)})[:, 0]
    assert units.dtype == np.float32 and np.array_equal(units, DEEP - np.where(ROWS % 2, 0, 1000)[:, None, None])
    photo = open_samples(RANDOM.integers(0, 256, (4, 20, 16, 1), dtype=np.uint8)).preparation
    dim = folder(tmp_path / "c", *((f"{row}.dcm", dicom(DEEP[row : row + 1] // 4, BitsStored=12)) for row in ROWS))
    eight = taken(dim, like=photo)[:, 0]  # by what is white for the file, not by its brightest value
    assert eight.dtype == np.uint8 and np.abs(eight - DEEP // 4 / 4095 * 255).max() <= 1


def test_a_range_beyond_the_values_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    open_samples(DEEP, reading={"range": (0.0, 1.0)})
    assert "warning: array: 100% of the values lie beyond 0 to 1, and are cut off" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "parsed"), [("0:4095", (0.0, 4095.0)), ("-1e3:400", (-1000.0, 400.0)), ("each", "each")]
)
def test_a_range_is_parsed(said: str, parsed: Any) -> None:
    recipe = Pretrain.parse({"data": "x", "range": said})
    assert recipe.range == parsed and Pretrain.parse(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize("said", ["1", "5:5", "9:1", "a:b", "0:inf", "nan:1"])
def test_what_is_no_range_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match="--range cannot be"):
        Pretrain.parse({"data": "x", "range": said})


def test_runs_from_before_keep_their_way_and_rows_have_none() -> None:
    images, rows = modality.named("images"), modality.named("tables")
    old, new = Pretrain.parse({"data": "x", "fingerprint": "abc"}), Pretrain.parse({"data": "x", "pages": "samples"})
    assert ways(old, images) == {"reading": {"range": None, "bands": "colours"}} and ways(old, rows) == {}
    assert ways(new, images) == {"reading": {"pages": "samples"}}
    with pytest.raises(UsageError, match="--pages is for images, and these are rows"):
        ways(new, rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["tif", "dcm"])
def test_pages_are_samples_with_the_labels_of_their_file(kind: str, tmp_path: Path) -> None:
    def stack(pages: np.ndarray) -> bytes:
        return tiff(pages) if kind == "tif" else dicom(pages)

    files = [(f"{'ab'[row % 2]}/{row}.{kind}", stack(STACKS[row])) for row in range(4)]
    root = folder(tmp_path / "x", *files, ("b/one.png", saved(STACKS[0, 0], "PNG")))
    how = {"reading": {"pages": "samples"}}
    images = open_samples(root, labelled=True, **how)
    assert images.count == 13 and images.keys[:4] == [*(f"a/0.{kind}#{n}" for n in (1, 2, 3)), f"a/2.{kind}#1"]
    assert images.keys[-1] == "b/one.png" and images.labels == ["a"] * 6 + ["b"] * 7
    assert "pages are samples: 13, of 5 files of which 4 have several" in images.notes
    order = [STACKS[row, page] for row in (0, 2, 1, 3) for page in range(3)]
    assert np.array_equal(images.batch(np.arange(12))[0].numpy()[:, 0], order)
    assert len(np.unique(images.digests(), axis=0)) == 13  # pages of one file are no copies of each other
    assert open_samples(root, like=images.preparation).count == 13
    labels = tmp_path / "labels.csv"
    labels.write_text(f"path,label\na/0.{kind},cat\nb/1.{kind},dog\n")
    assert open_samples(root, labels=labels, labelled=True, **how).labels == ["cat"] * 3 + ["dog"] * 3
    assert inspect(root, **how).count == 13
    labels.write_text(f"path,group\na/0.{kind},x\na/2.{kind},y\nb/1.{kind},z\nb/3.{kind},x\nb/one.png,o\n")
    groups = groups_named(Evaluate(run="x", train="x", groups=labels), [images])
    assert groups is not None and groups.tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 1, 1, 0]
    first = open_samples(root)
    assert first.count == 5 and np.array_equal(first.batch(np.array([0]))[0].numpy()[0, 0], STACKS[0, 0])


@pytest.mark.filterwarnings("ignore")
def test_every_form_gives_the_same_pixels_by_content_alone(tmp_path: Path) -> None:
    files = slices(BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    root = folder(tmp_path / "x", *files)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed, tarfile.open(tmp_path / "x.tar", "w") as tape:
        for name, content in files:
            packed.writestr(name, content)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tape.addfile(info, io.BytesIO(content))
    parquet.write_table(pa.table({"scan": [content for _, content in files]}), tmp_path / "x.parquet")
    folder(tmp_path / "y", *((name.replace("dcm", "jpg"), content) for name, content in files))
    folder(tmp_path / "n", *((f"1.2.{name[0]}", content) for name, content in files), ("DICOMDIR", files[0][1]))
    wanted = taken(root)
    assert wanted.dtype == np.uint16 and (wanted[0, 0] == np.round((4095.0 - DEEP[0]) / 4095 * 65535)).all()
    for form in ("x.zip", "x.tar", "x.parquet", "y", "n"):
        assert np.array_equal(taken(tmp_path / form), wanted), form


def test_a_missing_extra_is_named_with_how_many_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = [(f"{row}.png", saved(DEEP[row].astype(np.uint8), "PNG")) for row in range(4)]
    heic = saved(np.zeros((20, 16, 3), np.uint8), "HEIF")
    bands = tiff(np.moveaxis(STACKS[0], 0, 2), planarconfig="contig")
    root = folder(tmp_path / "x", *grey, ("a.heic", heic), ("b.heic", heic), ("c.tif", bands))
    for module in ("pillow_heif", "tifffile"):
        monkeypatch.setitem(sys.modules, module, None)
    plugins.heif.cache_clear()
    counted = "2 of them need pip install 'selftaught[heif]'"
    with pytest.raises(BrokenData, match=r"3 of 7 images .* cannot be decoded") as told:
        open_samples(root)
    assert counted in str(told.value) and "1 of them need pip install 'selftaught[science]'" in str(told.value)
    assert counted in inspect(root).notes and inspect(root).broken[0].path == "a.heic"
    images = open_samples(root, tolerance=0.9)
    assert images.count == 4 and f"warning: x: 3 images are left out; {counted}" in capsys.readouterr().err
    reasons = dict(images.quarantined)
    assert reasons["c.tif"] == (
        "a TIFF of 3 bands of 16-bit unsigned numbers, which needs pip install 'selftaught[science]'"
    )


def test_pages_as_channels_go_from_the_command_to_the_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path / "x", *((f"{row}.tif", tiff(STACKS[row % 4] // (1 + row // 4))) for row in range(8)))
    how = ["--encoder", "test_resnet", "--size", "16", "--batch-size", "4", "--steps", "1", "--map", "0"]
    asked = ["--pages", "channels", "--range", "0:2000"]
    assert run_command(["pretrain", str(root), *how, *asked, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert run_command(["check", str(root), *how[:6], *asked]) == 0
    assert "--range 0.0:2000.0 --pages channels" in " ".join(capsys.readouterr().out.split())
    recipe = (tmp_path / "run/recipe.yaml").read_text()
    assert "pages: channels" in recipe and "bands: all" in recipe and "- 2000.0" in recipe
    config = json.loads((tmp_path / "run/encoder/config.json").read_text())
    held = config["selftaught"]["preparation"]
    assert held["channels"] == 3 and (held["low"], held["high"], held["ranged"]) == (0, 2000, "given")
    assert run_command(["embed", str(tmp_path / "run"), str(root), "--out", str(tmp_path / "f.npz")]) == 0
    np.savez(tmp_path / "x.npz", x=np.moveaxis(np.stack([STACKS[row % 4] // (1 + row // 4) for row in range(8)]), 1, 3))
    assert run_command(["embed", str(tmp_path / "run"), str(tmp_path / "x.npz"), "--out", str(tmp_path / "g.npz")]) == 0
    files, array = (np.load(tmp_path / f"{name}.npz")["features"] for name in "fg")
    assert np.allclose(files, array, atol=1e-5)
