"""The map of a run: whose features are alike, where samples lie, and what a damaged one does to the page."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from selftaught.commands.python import Run
from selftaught.contracts.samples import Samples
from selftaught.data.images.pictures import visible
from selftaught.data.images.samples import open_samples
from selftaught.reporting import map_section as embedding_map
from selftaught.reporting.map_section import clusters, layouts, map_json
from selftaught.reporting.run_page import write_report
from selftaught.run.export import load_encoder
from selftaught.run.map import FOLDER, LARGEST, Facts, read_map
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import UsageError
from selftaught.system.pictures import encoded
from selftaught.training.looking.features import features
from selftaught.training.looking.neighbours import CELL, KEPT, components, mapped
from selftaught.training.looking.patches import patch_colours
from selftaught.training.pretrain import pretrain
from selftaught.training.resolve import preflight
from tests.networks import NARROW

WEBP = 16383  # pixels of a side, at most
EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run on 40 small images in two folders, one of them of an evil name."""
    root = tmp_path_factory.mktemp("map")
    rng = np.random.default_rng(0)
    for folder, tint in (("blue", (30, 60, 200)), ("<b>red", (200, 60, 30))):
        (root / "photos" / folder).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(np.array(tint) + rng.integers(-30, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "photos" / folder / f"{number}{EVIL.replace('/', '')}.png")
    return pretrain(small(root / "photos", root / "run"))


def small(data: Path, out: Path, **more: object) -> Pretrain:
    told = {"data": str(data), "encoder": NARROW, "batch_size": 20, "size": 32, "steps": 4, "out": str(out)}
    return Pretrain.parse({**told, "precision": "32-true", "layout": "contiguous", **more})


def samples_of(run: Run) -> Samples:
    preparation = load_encoder(run.folder).preparation
    return open_samples(run.recipe.data, like=preparation)


def test_neighbours_are_the_nearest_by_cosine(run: Run) -> None:
    held = read_map(run.folder)
    assert held and held.start and held.start.step == 0 and held.end.step == 4
    found = features(load_encoder(run.folder), samples_of(run))
    for row, near in zip(held.end.asked, held.end.nearest, strict=True):
        cosine = [
            float(x @ found[row] / np.linalg.norm(x) / np.linalg.norm(found[row])) if other != row else -2.0
            for other, x in enumerate(found)
        ]
        kept = [cosine[place] for place in near]
        assert len(near) == 6 and row not in near
        assert kept == sorted(kept, reverse=True)
        np.testing.assert_allclose(kept, sorted(cosine, reverse=True)[:6], atol=1e-5)


def test_thumbnails_are_the_samples(run: Run) -> None:
    held = read_map(run.folder)
    assert held and held.sheet
    (x,) = samples_of(run).views(("plain",))(*_all(samples_of(run)))
    width, height = held.end.cell
    assert (width, height) == (32, 32)
    own = visible(x, samples_of(run).preparation)
    for place in (0, 6, 39):
        left, top = place % held.end.columns * width, place // held.end.columns * height
        seen = np.asarray(held.sheet.crop((left, top, left + width, top + height)))
        assert np.abs(seen.astype(int) - own[place].astype(int)).max() == 0  # a small sheet is kept without loss


def _all(samples: Samples) -> tuple:  # type: ignore[type-arg]
    rows = np.arange(samples.count)
    return torch.from_numpy(rows), *samples.batch(rows)


def test_places_keep_the_distances_that_two_components_can(run: Run) -> None:
    held = read_map(run.folder)
    assert held
    places = layouts(run.folder, held.points)
    assert places.pca.min() >= 0 and places.pca.max() <= 1
    drawn = np.linalg.norm(places.pca[:1] - places.pca, axis=1)
    kept = np.linalg.norm(held.points[:1, :2] - held.points[:, :2], axis=1)
    np.testing.assert_allclose(drawn / drawn.max(), kept / kept.max(), atol=1e-6)
    assert len(places.tsne) == 40 and len(np.unique(places.clusters)) == 10


def test_the_layout_is_made_once_and_again_for_other_points(run: Run) -> None:
    held = read_map(run.folder)
    assert held
    file = run.folder / FOLDER / "layout.npz"
    first = layouts(run.folder, held.points)
    made = file.stat().st_mtime_ns
    assert np.array_equal(layouts(run.folder, held.points).tsne, first.tsne) and file.stat().st_mtime_ns == made
    other = layouts(run.folder, held.points[:, ::-1].copy())
    assert file.stat().st_mtime_ns > made and not np.array_equal(other.pca, first.pca)
    for damaged in (b"PK not really", file.read_bytes()[:300]):
        file.write_bytes(damaged)
        assert np.array_equal(layouts(run.folder, held.points).clusters, first.clusters)


def test_no_name_can_end_the_script_element(run: Run) -> None:
    held = read_map(run.folder)
    assert held
    labels = dict.fromkeys(held.end.keys, EVIL)
    told = map_json(run.folder, held, labels)
    assert "<" not in told
    read = json.loads(told)
    assert read["groups"]["label"]["names"] == [EVIL] and sorted(read["groups"]["folder"]["names"]) == [
        "<b>red",
        "blue",
    ]
    assert read["keys"] == held.end.keys and any("<script>alert" in key for key in held.end.keys)
    page = write_report([run.folder], run.folder / "report.html").read_text()
    assert "<script>alert" not in page and page.count("<script") == 2


def test_labels_are_found_by_file_name_and_those_that_fit_nothing_are_told(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    held = read_map(run.folder)
    assert held
    held.end.keys = [f"in/{number}.jpg" for number in range(40)]  # as from a camera; the labels have folders by class
    by_class = {f"{'even' if number % 2 == 0 else 'odd'}/{number}.jpg": str(number % 2) for number in range(30)}
    read = json.loads(map_json(run.folder, held, by_class))
    assert read["groups"]["label"]["names"] == ["0", "1", "no label"]
    assert read["groups"]["label"]["of"][:3] == [0, 1, 0] and read["groups"]["label"]["of"][30:] == [2] * 10
    told = capsys.readouterr().err
    assert "10 of the 40 samples in the map of run have no label" in told
    assert "note: 30 of the 40 samples in the map of run have a label by the name of their file alone" in told
    held.end.keys = [f"in/{number // 4}.npy[{number}:9]" for number in range(40)]  # windows, and labels of recordings
    whole = {f"in/{number}.npy": str(number % 2) for number in range(10)}
    assert json.loads(map_json(run.folder, held, whole))["groups"]["label"]["of"][:9] == [0] * 4 + [1] * 4 + [0]
    held.end.keys = [f"in/{number}.jpg" for number in range(40)]
    assert "label" not in json.loads(map_json(run.folder, held, {"other.png": "a"}))["groups"]
    assert "it has in/0.jpg, the labels have other.png" in capsys.readouterr().err.replace("\n", " ")


def test_a_name_that_several_samples_have_is_no_label_of_theirs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    held = read_map(run.folder)
    assert held
    held.end.keys = [f"{number // 2}/{number % 2}.jpg" for number in range(39)] + ["19/alone.jpg"]
    read = json.loads(map_json(run.folder, held, {"0/0.jpg": "red", "there/1.jpg": "blue", "there/alone.jpg": "red"}))
    assert read["groups"]["label"] == {"names": ["no label", "red"], "of": [1, *38 * [0], 1]}
    told = capsys.readouterr().err
    assert "note: 1 of the 40 samples" in told and "38 of the 40 samples in the map of run have no label" in told


def test_labels_of_a_run_without_a_map_are_said_to_colour_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bare := tmp_path / "bare").mkdir()
    write_report([bare], tmp_path / "report.html", labels={"a": "red"})
    assert "note: bare has no map (--map 0, or none yet), so --labels colours nothing of it" in capsys.readouterr().err
    write_report([bare], tmp_path / "report.html")
    assert capsys.readouterr().err == ""


def test_a_resumed_run_has_the_same_map(run: Run, tmp_path: Path) -> None:
    part = small(Path(run.recipe.data), tmp_path / "run", time_limit=None, checkpoint_every="2")
    whole = pretrain(part)
    held = read_map(whole.folder)
    for step in sorted(whole.checkpoints.glob("step_*"))[1:]:
        (step / "manifest.json").unlink()
    (whole.folder / FOLDER / "end.json").unlink()
    again = read_map(pretrain(part.model_copy(update={"resume": True})).folder)
    assert held and again and again.start == held.start and again.end == held.end
    assert np.array_equal(again.points, held.points)


def test_what_a_killed_run_was_writing_is_swept(run: Run) -> None:
    code = "import sys; from pathlib import Path; from selftaught.system.files import temporary_for; "
    code += "temporary_for(Path(sys.argv[1])).write_bytes(b'half')"
    subprocess.run([sys.executable, "-c", code, str(run.folder / FOLDER / "end.json")], check=True)
    assert len(list((run.folder / FOLDER).glob(".*~*"))) == 1
    with run.claimed(resume=True, overwrite=False):
        assert not list((run.folder / FOLDER).glob(".*~*"))


def test_none_is_kept_where_none_is_wanted(run: Run, tmp_path: Path) -> None:
    bare = pretrain(small(Path(run.recipe.data), tmp_path / "run", map=0, steps=1))
    assert not (bare.folder / FOLDER).exists()
    assert 'class="plane"' not in write_report([bare.folder], tmp_path / "report.html").read_text()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("z", [np.ones((1, 8)), np.ones((5, 8)), np.zeros((2, 3))])
def test_samples_without_any_spread_have_one_place_and_nothing_is_said(z: np.ndarray) -> None:
    assert np.allclose(components(z), 0) and len(components(z)) == len(z)


@pytest.mark.filterwarnings("error")
def test_points_that_are_nearly_the_same_make_fewer_groups_and_nothing_is_said() -> None:
    places = np.repeat(np.eye(3), 8, axis=0)
    found = clusters(places + 1e-13 * np.random.default_rng(0).normal(size=places.shape))
    assert len(set(found)) < 10 and set(found) == {*range(len(set(found)))}
    assert not set(found[:8]) & set(found[8:16]) | set(found[:16]) & set(found[16:])


def test_rows_have_a_map_without_pictures_and_are_read_out(tmp_path: Path) -> None:
    told = {"data": "sklearn:wine", "steps": 2, "batch_size": 32, "out": str(tmp_path / "run"), "precision": "32-true"}
    held = read_map(pretrain(Pretrain.parse(told)).folder)
    assert held and held.sheet is None and len(held.points) == 178 and not held.patches
    page = write_report([tmp_path / "run"], tmp_path / "report.html").read_text()
    assert "near it now" in page and "alcohol 1" in page and 'class="near places"' not in page


class Blotting(nn.Module):
    """An encoder whose map (B, 3, side, side) is what images have there."""

    patch = 1

    def __init__(self, side: int = 8) -> None:
        super().__init__()
        self.side = side

    def map(self, x: torch.Tensor) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(x, self.side)


def test_places_that_are_the_same_to_a_network_have_one_colour(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 10, (6, 16, 16, 3))
    kinds = rng.integers(0, 3, (6, 2, 2))  # of each quarter
    pixels += 200 * (np.arange(3) == kinds[..., None]).repeat(8, axis=1).repeat(8, axis=2)
    np.savez(tmp_path / "images.npz", x=pixels.astype(np.uint8))
    samples = open_samples(str(tmp_path / "images.npz"))
    strip = patch_colours(Blotting(), samples)  # type: ignore[arg-type]
    assert strip and strip.size == (6 * 96, 96)
    tiles = np.asarray(strip).reshape(2, 48, 6, 2, 48, 3).transpose(2, 0, 3, 1, 4, 5).reshape(24, -1, 3).astype(int)
    of = [tiles[kinds.reshape(-1) == kind].reshape(-1, 3) for kind in range(3)]
    means = np.array([one.mean(axis=0) for one in of])
    # Values differ by a twentieth within a kind; the third component is of nothing else.
    assert all(np.abs(one[:, :2] - mean[:2]).max() < 40 for one, mean in zip(of, means))
    apart = [np.abs(means[a, :2] - means[b, :2]).max() for a, b in ((0, 1), (0, 2), (1, 2))]
    assert min(apart) > 100
    assert patch_colours(Blotting(3), samples) is None  # type: ignore[arg-type]


def test_what_places_are_is_kept_of_the_start_and_the_end_and_shown(run: Run, tmp_path: Path) -> None:
    held = read_map(run.folder)
    assert held and {when: len(tiles) for when, tiles in held.patches.items()} == {"start": 8, "end": 8}
    page = write_report([run.folder], tmp_path / "report.html").read_text()
    places = page.partition('class="near places"')[2].partition("</table>")[0]
    assert places.count("<tr>") == 3 and places.count("data:image/webp") == 24 and "<script" not in places
    shutil.copytree(run.folder / FOLDER, tmp_path / FOLDER)
    (tmp_path / FOLDER / "patches.start.webp").write_bytes(b"RIFF")
    held = read_map(tmp_path)
    assert held and [*held.patches] == ["end"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("end.json", b'{"step": 1'),
        ("end.json", b'{"step": 1, "keys": ["a"], "asked": [7], "nearest": [[0]]}'),
        ("points.npy", b"\x93NUMPY nothing"),
        ("points.npy", b""),
    ],
)
def test_a_damaged_map_is_left_out(run: Run, tmp_path: Path, file: str, content: bytes) -> None:
    for name in ("end.json", "start.json", "points.npy", "sheet.webp"):
        (tmp_path / FOLDER).mkdir(exist_ok=True)
        (tmp_path / FOLDER / name).write_bytes((run.folder / FOLDER / name).read_bytes())
    assert read_map(tmp_path)
    (tmp_path / FOLDER / file).write_bytes(content)
    assert read_map(tmp_path) is None


@pytest.mark.parametrize("content", [b"RIFF", b"\x89PNG\r\n\x1a\n", b""])
def test_a_damaged_sheet_leaves_points(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FOLDER).mkdir()
    for name in ("end.json", "points.npy"):
        (tmp_path / FOLDER / name).write_bytes((run.folder / FOLDER / name).read_bytes())
    (tmp_path / FOLDER / "sheet.webp").write_bytes(content)
    held = read_map(tmp_path)
    assert held and held.sheet is None and json.loads(map_json(tmp_path, held, {}))["columns"] == 0


def test_a_map_takes_little_beside_training() -> None:
    class Many:
        count = 100_000

        def subset(self, rows: np.ndarray) -> np.ndarray:
            return rows

    nowhere = Path("nowhere")
    assert len(mapped(nowhere, Many(), 2000, seen=10_000_000)) == 2000  # type: ignore[arg-type]
    assert len(mapped(nowhere, Many(), 2000, seen=20_000)) == 1000  # type: ignore[arg-type]
    assert len(mapped(nowhere, Many(), 2000, seen=100)) == 256  # type: ignore[arg-type]


def test_a_map_is_no_larger_than_its_sheet_can_be() -> None:
    class Many:
        count = 3_000_000

        def subset(self, rows: np.ndarray) -> np.ndarray:
            return rows

    shown = len(mapped(Path("nowhere"), Many(), 1_000_000, seen=10**9))  # type: ignore[arg-type]
    columns = math.ceil(math.sqrt(shown))
    assert shown == 100_000 and columns * CELL < WEBP and shown * KEPT * 4 < LARGEST
    asked = Pretrain.parse({"data": "x", "method": "simclr", "map": 200_000})  # as older recipes may say
    with pytest.raises(UsageError, match="--map cannot be 200000: a map shows 100,000 samples at most"):
        preflight(asked, None)
    preflight(asked.model_copy(update={"fingerprint": "begun"}), None)


def test_ten_thousand_images_fit_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_map, "EMBEDDED", 30)  # t-SNE takes its time, and no room
    monkeypatch.setattr(embedding_map, "CLUSTERS", 2)
    count, columns, cell = 10_000, 100, 48
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:cell, 0:cell] / cell
    waves = rng.uniform(3, 36, (1000, 2))
    tiles = np.sin(waves[:, :1, None] * x + waves[:, 1:, None] * y)[..., None] * rng.uniform(0.3, 1, (1000, 1, 1, 3))
    grained = 127 + 100 * tiles + rng.normal(0, 6, tiles.shape)  # photographs have some grain
    pixels = np.clip(grained, 0, 255).astype(np.uint8)[np.arange(count) % 1000]
    pixels = pixels.reshape(columns, columns, cell, cell, 3)
    sheet = Image.fromarray(pixels.swapaxes(1, 2).reshape(columns * cell, columns * cell, 3))
    (tmp_path / "run" / FOLDER).mkdir(parents=True)
    (tmp_path / "run" / "recipe.yaml").write_text("data: photos\n")
    keys = [f"holidays/2024/summer/IMG_{number:05d}.jpg" for number in range(count)]
    asked, near = [5, 900, 7000], [[1, 2, 3, 4, 5, 6]] * 3
    facts = Facts(step=9, keys=keys, asked=asked, nearest=near, columns=columns, cell=(cell, cell))
    (tmp_path / "run" / FOLDER / "end.json").write_text(facts.model_dump_json())
    np.save(tmp_path / "run" / FOLDER / "points.npy", rng.normal(size=(count, 50)).astype(np.float32))
    (tmp_path / "run" / FOLDER / "sheet.webp").write_bytes(encoded(sheet, "WEBP"))
    page = write_report([tmp_path / "run"], tmp_path / "report.html")
    assert 2e6 < page.stat().st_size < 15e6
