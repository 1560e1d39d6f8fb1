"""Judging pixel by pixel: masks lie over their images, nothing is known of void, and who knows textures finds them."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from selftaught.commands.python import Run
from selftaught.contracts import modality
from selftaught.data.images import masks
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.data.sources import folder
from selftaught.judging import coarse
from selftaught.judging.maps import maps, pixels_at
from selftaught.judging.masked import open_masked
from selftaught.judging.opening import shown_to
from selftaught.judging.printed import table
from selftaught.judging.probes import segment
from selftaught.reporting.run_page import write_report
from selftaught.run.export import save_encoder
from selftaught.run.recipes import Evaluate
from selftaught.system.components import Part
from selftaught.system.errors import DataError, SelftaughtError, UsageError

Write = Callable[[Path, NDArray[np.uint8]], None]
SIDE = 32


def as_grey(file: Path, numbers: NDArray[np.uint8]) -> None:
    Image.fromarray(numbers).save(file)


def as_deep(file: Path, numbers: NDArray[np.uint8]) -> None:
    Image.fromarray(numbers.astype(np.uint16)).save(file)


def as_palette(file: Path, numbers: NDArray[np.uint8]) -> None:
    image = Image.fromarray(numbers, "P")
    image.putpalette([value for number in range(256) for value in (number * 37 % 256, number * 91 % 256, 7)])
    image.save(file)


def scene(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Stripes that stand (class 3) or lie (7), of any contrast, in parts of an image; around them is noise (0)."""
    numbers = np.zeros((SIDE, SIDE), dtype=np.uint8)
    image = rng.normal(128, 40, (SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    for number, along in ((3, x), (7, y)):
        top, left = rng.integers(0, SIDE // 2 + 1, 2)
        own = np.s_[top : top + SIDE // 2, left : left + SIDE // 2]
        numbers[own] = number
        image[own] = 128 + rng.uniform(30, 110) * np.where((along + rng.integers(4)) % 4 < 2, 1, -1)[own]
    return image.clip(0, 255).astype(np.uint8), numbers


def scenes(folder: Path, count: int, seed: int, write: Write = as_grey) -> Path:
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for place in range(count):
        image, numbers = scene(rng)
        Image.fromarray(image).save(folder / "images" / f"{place:03d}.png")
        write(folder / "masks" / f"{place:03d}.png", numbers)
    return folder / "images"


class Stripes(nn.Module):
    """How much stands and how much lies, at every place; drawn anew it sees directions that say little."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.conv.weight[0, 0] = torch.tensor([[-1.0, 0, 1]] * 3)
            self.conv.weight[1, 0] = self.conv.weight[0, 0].T

    def forward(self, x: Tensor) -> Tensor:
        energy = nn.functional.avg_pool2d(self.conv(x).abs(), 4)
        return torch.cat([energy, energy[:, :1] - energy[:, 1:]], dim=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return scenes(folder / "train", 40, 1), scenes(folder / "test", 30, 2)


@pytest.fixture
def run(data: tuple[Path, Path], tmp_path: Path) -> Run:
    """A run whose encoder knows stripes by its making."""
    return run_of(tmp_path / "run", data[0], Stripes())


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few images teach a layer in a third of the steps that are usual."""
    monkeypatch.setattr(segment, "FEWEST", 100)
    monkeypatch.setattr(segment, "MOST", 100)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, short: None) -> None:
    """A few steps, where it does not matter what is learnt."""
    monkeypatch.setattr(segment, "FEWEST", 20)
    monkeypatch.setattr(segment, "MOST", 20)


def run_of(
    folder: Path, images: Path, net: nn.Module | None, name: str = "own", size: tuple[int, int] = (32, 32)
) -> Run:
    preparation, part = open_samples(images, size=size).preparation, Part(name=name)
    encoder = build_encoder(part, preparation, net)
    save_encoder(encoder, part, preparation, folder / "encoder", {"method": "none"})
    (folder / "recipe.yaml").write_text("data: some\n")
    return Run(folder, net)


def test_who_knows_the_textures_finds_them(run: Run, data: tuple[Path, Path]) -> None:
    train, test = data
    result = run.evaluate(train, test, probe="segment", repeats=2)
    rows = {row.features: row for row in result.rows}
    assert set(rows) == {"trained", "untrained", "pixels"} and result.classes == ["0", "3", "7"]
    assert rows["trained"].accuracy > max(0.7, rows["untrained"].accuracy + 0.08), rows
    assert rows["trained"].accuracy > rows["pixels"].accuracy + 0.1
    assert result.verdict.startswith("segment, all labels: ") and result.verdict.endswith(": it helped")
    assert {row.measure for row in result.rows} == {"mIoU"} and {row.samples for row in result.rows} == {30}
    told = json.loads((run.folder / "evaluation.json").read_text())
    own = told["details"][0]
    found = np.array(own["confusion"])
    assert found.sum() == 30 * SIDE**2
    union = found.sum(axis=0) + found.sum(axis=1) - np.diag(found)
    assert own["iou"] == pytest.approx((np.diag(found) / union).tolist())
    assert own["recall"] == pytest.approx((np.diag(found) / found.sum(axis=1)).tolist())
    assert np.mean(own["iou"]) == pytest.approx(told["rows"][0]["accuracy"])
    page = write_report([run.folder], run.folder / "report.html").read_text()
    assert "mIoU in per cent with 95" in page and "intersection over union in per cent" in page
    assert f"<td>{100 * own['iou'][1]:.1f}</td>" in page and table(result).title == "mIoU, 95 % intervals"
    assert told["rows"][0]["measures"]["pixel_accuracy"] == pytest.approx(np.diag(found).sum() / found.sum())


@pytest.mark.parametrize("size", [(48, 32), (32, 80), (40, 40)])
def test_masks_lie_over_their_images_whatever_their_shapes(tmp_path: Path, size: tuple[int, int]) -> None:
    """Each class has a brightness of its own: inside of its parts a view and its mask agree at every pixel."""
    rng, images = np.random.default_rng(0), tmp_path / "images"
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for place, shape in enumerate(((90, 60), (60, 90), (70, 200), (301, 77), (33, 47))):
        numbers = np.kron(rng.integers(0, 3, (4, 4)), np.ones((76, 50), dtype=int))[: shape[0], : shape[1]].astype(
            np.uint8
        )
        numbers = np.roll(numbers, (place * 7, place * 5), (0, 1))
        Image.fromarray(numbers * 120).save(images / f"{place}.png")
        as_grey(tmp_path / "masks" / f"{place}.png", numbers)
    samples = open_samples(images, size=size)
    assert samples.storage.shape[0] == samples.storage.shape[1]  # squashed
    view = samples.views(("plain",))(torch.arange(5), *samples.batch(np.arange(5)))[0]
    seen = np.round((view[:, 0] * samples.preparation.std[0] + samples.preparation.mean[0]).numpy() * 255 / 120)
    read, rows, failed = masks.read_masks(str(images), str(tmp_path / "masks"), samples.keys, size, size, 0.0)
    assert rows.tolist() == [0, 1, 2, 3, 4] and not failed and read.shape == (5, *size)
    around = np.lib.stride_tricks.sliding_window_view(read, (5, 5), axis=(1, 2))
    inside = around.min(axis=(3, 4)) == around.max(axis=(3, 4))
    assert inside.mean() > 0.3 and (seen[:, 2:-2, 2:-2] == read[:, 2:-2, 2:-2])[inside].all()
    assert (seen == read).mean() > 0.9


def test_of_each_part_the_middle_is_taken() -> None:
    numbers = np.random.default_rng(0).integers(0, 9, (12, 30)).astype(np.uint16)
    assert np.array_equal(masks.cut(numbers, (4, 10), (4, 10)), numbers[1::3, 1::3])
    assert np.array_equal(masks.cut(numbers, (12, 30), (24, 60)), numbers.repeat(2, axis=0).repeat(2, axis=1))
    assert np.array_equal(masks.cut(numbers, (12, 12), (12, 12)), numbers[:, 9:21])
    assert np.array_equal(masks.cut(numbers, (4, 30), (4, 30)), numbers[4:8])


@pytest.mark.parametrize("write", [as_deep, as_palette])
def test_class_numbers_are_read_as_they_are_however_they_are_stored(tmp_path: Path, write: Write) -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
    write(tmp_path / "mask.png", numbers)
    assert np.array_equal(masks.class_numbers((tmp_path / "mask.png").read_bytes()), numbers)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_grey_are_numbers_and_no_brightness(tmp_path: Path, bits: int) -> None:
    numbers = np.arange(2**bits, dtype=np.uint8)[None].repeat(3, axis=0)
    image = Image.fromarray(numbers, "P")  # which Pillow saves in few bits, where grey always takes 8
    image.putpalette([value for grey in range(2**bits) for value in (grey,) * 3])
    image.save(tmp_path / "mask.png", bits=bits)
    data = (tmp_path / "mask.png").read_bytes()
    assert (data[24], data[25]) == (bits, masks.PALETTE) and np.array_equal(masks.class_numbers(data), numbers)
    assert np.array_equal(masks.class_numbers(in_grey(data)), numbers)


def in_grey(data: bytes) -> bytes:
    """A PNG with a palette as one of grey levels of as many bits."""
    parts, place = [data[:8]], 8
    while place < len(data):
        length = int.from_bytes(data[place : place + 4])
        kind, held = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        held = held[:9] + bytes([masks.GREY]) + held[10:] if kind == b"IHDR" else held
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            parts.append(length.to_bytes(4) + kind + held + zlib.crc32(kind + held).to_bytes(4))
        place += 12 + length
    return b"".join(parts)


def with_void(file: Path, numbers: NDArray[np.uint8]) -> None:
    """The upper half of every mask is void, and below nothing is."""
    numbers = numbers.copy()
    numbers[: SIDE // 2] = masks.VOID
    as_grey(file, numbers)


def test_of_void_nothing_is_learnt_and_nothing_judged(tmp_path: Path) -> None:
    """Where it is void the image is noise, so whoever took void for a class would say it of noise below, too."""
    train, test = scenes(tmp_path / "train", 30, 1, with_void), scenes(tmp_path / "test", 20, 2, with_void)
    run = run_of(tmp_path / "run", train, Stripes())
    result = run.evaluate(train, test, probe="segment", repeats=1, pretrained="none")
    own = result.details[0]
    assert own.confusion is not None and result.classes == ["0", "3", "7"]
    assert np.sum(own.confusion) == 20 * SIDE**2 // 2 and result.rows[0].accuracy > 0.65


def test_a_mask_that_is_void_altogether_teaches_nothing_and_harms_nothing(tmp_path: Path) -> None:
    train = scenes(tmp_path / "train", 12, 1)
    for place in range(6):
        as_grey(tmp_path / "train/masks" / f"{place:03d}.png", np.full((SIDE, SIDE), 255, dtype=np.uint8))
    run = run_of(tmp_path / "run", train, Stripes())
    result = run.evaluate(train, scenes(tmp_path / "test", 8, 2), probe="segment", repeats=1)
    assert result.rows[0].accuracy > 0.5


@pytest.mark.usefixtures("quick")
def test_folds_leave_every_image_out_once_and_a_share_of_images_is_drawn(run: Run, data: tuple[Path, Path]) -> None:
    result = run.evaluate(data[1], probe="segment", labels="50%", repeats=2)
    assert result.verdict.startswith("segment, 50% of the labels: ")
    assert all(np.sum(detail.confusion) == 2 * 30 * SIDE**2 for detail in result.details)
    assert {row.samples for row in result.rows} == {30}


@pytest.mark.usefixtures("quick")
def test_copies_have_one_vote(run: Run, data: tuple[Path, Path], tmp_path: Path) -> None:
    test = scenes(tmp_path / "test", 8, 5)
    for name in ("images", "masks"):
        for copy in range(4):
            (test.parent / name / f"copy{copy}.png").write_bytes((test.parent / name / "000.png").read_bytes())
    once = run.evaluate(data[0], scenes(tmp_path / "once", 8, 5), probe="segment", repeats=1)
    both = run.evaluate(data[0], test, probe="segment", repeats=1)
    assert both.test_samples == 12 and both.independent_test_samples == 8
    assert [r.samples for r in both.rows] == [8] * 3 == [r.samples for r in once.rows]
    assert [r.accuracy for r in both.rows] == pytest.approx([r.accuracy for r in once.rows])
    assert [(g.low, g.high) for g in both.gains] == [(g.low, g.high) for g in once.gains]


def test_the_map_of_a_transformer_is_its_patches(data: tuple[Path, Path], tmp_path: Path) -> None:
    part = Part(name="vit_tiny_patch16_224", options={"depth": 1, "patch": 4, "width": 24})
    preparation = open_samples(data[0], size=(16, 32)).preparation
    torch.manual_seed(0)
    encoder = build_encoder(part, preparation)
    save_encoder(encoder, part, preparation, tmp_path / "run/encoder", {"method": "none"})
    recipe = Evaluate.parse({"run": str(tmp_path / "run"), "train": str(data[0])})
    held = open_masked(recipe, preparation)
    made = maps("trained", encoder, held)
    assert made.shape == (40, 24, 4, 8) and held.masks and held.masks.truth.shape == (40, 16, 32)
    view = held.train.views(("plain",))(torch.arange(3), *held.train.batch(np.arange(3)))[0]
    with torch.no_grad():
        assert torch.allclose(made[:3, :, 2, 5], encoder.tokens(view).patches[:, 2 * 8 + 5], atol=1e-5)
    pixels = pixels_at(held, (4, 8))
    assert torch.equal(pixels[:3, :16, 2, 5], view[:, 0, 8:12, 20:24].flatten(1))


def test_maps_that_are_too_large_are_averaged_and_that_is_said(
    run: Run, data: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Evaluate.parse({"run": str(run.folder), "train": str(data[0])})
    held, encoder = open_masked(recipe, open_samples(data[0]).preparation), run.encoder()
    whole = maps("trained", encoder, held)
    monkeypatch.setattr(coarse, "MOST", 4 * whole.numel() // 2)
    made = maps("trained", encoder, held)
    assert made.shape == (40, 3, 4, 4) and "averaged over 2 x 2" in capsys.readouterr().err
    assert torch.allclose(made, torch.nn.functional.avg_pool2d(whole, 2), atol=1e-6)


def test_pixels_that_are_too_many_are_averaged_and_that_is_said(
    data: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = open_masked(Evaluate.parse({"run": "x", "train": str(data[0])}), open_samples(data[0]).preparation)
    whole = pixels_at(held, (4, 4))
    assert whole.shape[1] == 64 + 5 and "averaged" not in capsys.readouterr().err
    monkeypatch.setattr(coarse, "MOST", 4 * 40 * 4 * 4 * 20)
    fewer = pixels_at(held, (4, 4))
    assert fewer.shape == (40, 16 + 5, 4, 4) and "to 4 x 4 a place, to fit in memory" in capsys.readouterr().err
    assert torch.allclose(fewer[:, 0], whole[:, [0, 1, 8, 9]].mean(dim=1), atol=1e-6)


def test_masks_that_are_too_many_are_held_at_fewer_pixels_and_that_is_said(
    data: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, preparation = Evaluate.parse({"run": "x", "train": str(data[0])}), open_samples(data[0]).preparation
    whole = open_masked(recipe, preparation).masks
    assert whole and "held at" not in capsys.readouterr().err
    monkeypatch.setattr(coarse, "MOST", whole.truth.nbytes // 4)
    fewer = open_masked(recipe, preparation).masks
    assert fewer and fewer.truth.shape == (40, 16, 16) and "at every 2. pixel of a view" in capsys.readouterr().err
    monkeypatch.setattr(coarse, "MOST", 1)
    least = open_masked(recipe, preparation).masks
    assert least and least.truth.shape == (40, 1, 1), "at least one"


def broken(folder: Path, change: str) -> dict[str, str]:
    """Options of an evaluation of which something is wrong."""
    train, test = scenes(folder / "train", 10, 1), scenes(folder / "test", 8, 2)
    mask = folder / "train/masks/004.png"
    options = {"train": str(train), "test": str(test), "probe": "segment"}
    if change == "missing":
        mask.unlink()
    elif change == "size":
        as_grey(mask, np.zeros((SIDE, SIDE + 3), dtype=np.uint8))
    elif change == "colours":
        Image.new("RGB", (SIDE, SIDE)).save(mask)
    elif change == "truncated":
        mask.write_bytes(mask.read_bytes()[:-40])
    elif change == "jpeg":
        Image.new("L", (SIDE, SIDE)).save(mask, "JPEG")
    elif change == "unseen":
        as_grey(folder / "test/masks/001.png", np.full((SIDE, SIDE), 9, dtype=np.uint8))
    elif change == "one class":
        for file in (folder / "train/masks").iterdir():
            as_grey(file, np.full((SIDE, SIDE), 3, dtype=np.uint8))
    elif change == "no folder":
        (folder / "train/masks").rename(folder / "train/other")
    elif change == "whole":
        options["train"] = str(folder / "train")
    elif change == "inside":
        options |= {"train": str(folder / "train"), "masks": str(folder / "train/masks")}
    else:
        options |= json.loads(change)
    return options


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ("missing", DataError, "1 of 10 masks in .*masks cannot be used.*the first is 004.png: there is no 004.png"),
        ("size", DataError, "004.png: its mask has 32 x 35 pixels, and it has 32 x 32"),
        ("colours", DataError, "004.png: holds colours, and masks hold class numbers"),
        ("truncated", DataError, "004.png: .*"),
        ("jpeg", DataError, "004.png: is a JPEG, and masks are PNG"),
        ("unseen", DataError, "test/masks has class numbers that .*train/masks has not: 9"),
        ("one class", DataError, "train/masks has only one class, 3: there is nothing to tell apart"),
        ("no folder", DataError, "train/masks does not exist"),
        ("whole", UsageError, "lies in no folder images, .*: name .*train/images"),
        ("inside", UsageError, "masks lies in .*train, so that masks would be images"),
        ('{"labels": "5"}', UsageError, "--labels 5 is per class, and a mask has pixels of many"),
        ('{"probe": "segment,knn"}', UsageError, "segment learns from masks, and knn from labels"),
        ('{"probe": "knn", "masks": "m"}', UsageError, "--masks and --test-masks are what --probe segment reads"),
        ('{"task": "classes"}', UsageError, "--task is about labels of images"),
        ('{"train_labels": "x.csv"}', UsageError, "--train-labels is about labels of images"),
        ('{"test": null, "test_masks": "m"}', UsageError, "--test-masks needs --test"),
        ('{"train": "sklearn:digits"}', UsageError, "digits lies in no folder images"),
        ('{"train": "sklearn:digits", "masks": "."}', DataError, "sklearn:digits holds no files: a mask is a file"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    run: Run, tmp_path: Path, change: str, error: type[SelftaughtError], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        run.evaluate(**broken(tmp_path / "data", change))
    assert type(raised.value) is error and "\n" not in str(raised.value)


@pytest.mark.usefixtures("quick")
def test_what_a_person_allows_is_left_out(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run.evaluate(**broken(tmp_path / "data", "missing"), tolerance="20%", repeats=1)
    assert result.train_samples == 9 and result.test_samples == 8
    assert "1 of" in (told := capsys.readouterr().err) and "there is no 004.png" in told


def test_who_has_no_places_is_refused(data: tuple[Path, Path], tmp_path: Path) -> None:
    flat = run_of(tmp_path / "flat", data[0], nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 4)))
    with pytest.raises(
        UsageError, match=r"needs a map of at least 2 x 2 places, and that of the trained encoder has 1 x 1"
    ):
        flat.evaluate(*data, probe="segment")
    kind, preparation = modality.named("tables"), modality.named("tables").guess(None, Part(name="rows"))
    with pytest.raises(UsageError, match=f"about places in an image, and {kind.THINGS} have none"):
        open_masked(Evaluate.parse({"run": "x", "train": "sklearn:wine"}), preparation)


def test_another_part_of_the_images_is_refused(run: Run, data: tuple[Path, Path]) -> None:
    recipe = Evaluate.parse({"run": str(run.folder), "train": str(data[0]), "probe": "segment"})
    held = open_masked(recipe, run.encoder().preparation)
    larger = run.encoder().preparation.model_copy(update={"size": (64, 64)})
    again = shown_to(larger, recipe, held)
    assert again.masks is held.masks and list(again.train.keys) == list(held.train.keys)
    with pytest.raises(UsageError, match="--pretrained-size 32x32"):
        shown_to(larger.model_copy(update={"size": (64, 48)}), recipe, held)


def test_masks_beside_images_are_named_where_they_are_taken_for_images(tmp_path: Path) -> None:
    images = scenes(tmp_path / "set" / "train", 3, 0)
    assert not open_samples(images).notes
    assert open_samples(tmp_path / "set").notes == [
        "what train/masks holds is taken for images; to leave masks out, name train/images alone"
    ]
    assert folder.masked(["images/a.png", "masks/a.png", "b/masks/c.png"]) == [""]
    assert not folder.masked(["b/masks/c.png", "images/a.png"]) and not folder.masked(["unmasks/c.png", "images/a.png"])
