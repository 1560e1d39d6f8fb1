"""What lies among images and is not taken is said by whoever opens them, once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selftaught.commands.cli import run_command
from selftaught.data.images.inspection import inspect
from selftaught.data.images.samples import open_samples
from selftaught.judging.opening import open_labelled
from selftaught.run.recipes import Evaluate
from selftaught.system.errors import DataError

LINE = (
    "images in formats that are not read are passed over (4 .jp2, 1 .nii): convert them first; nothing is left of "
    "cats, dogs"
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in ("apes/1.JPG", "apes/2.jfif", "bees/1.png", "bees/2.avif"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        kind = {"JPG": "JPEG", "jfif": "JPEG", "avif": "AVIF"}.get(name.split(".")[1], "PNG")
        noise = np.random.default_rng(len(name)).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / name, kind)
    for name in ("apes/3.JP2", "cats/1.JP2", "cats/2.jp2", "cats/3.jp2", "dogs/1.nii", "notes/a.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"\0\0\0\x0cjP  ")
    return root


def test_photos_that_are_not_read_are_counted_and_lost_classes_named(
    photos: Path, capsys: pytest.CaptureFixture
) -> None:
    images = open_samples(photos)
    assert images.keys == ["apes/1.JPG", "apes/2.jfif", "bees/1.png", "bees/2.avif"] and images.quarantined == []
    assert capsys.readouterr().err == f"warning: photos: {LINE}\n"
    assert LINE in inspect(photos).notes


def test_they_are_told_once_where_a_source_is_opened_twice(photos: Path, capsys: pytest.CaptureFixture) -> None:
    like = open_samples(np.zeros((4, 8, 8, 3), np.uint8)).preparation
    other = photos.parent / "test"
    for name in ("apes/1.png", "bees/1.png"):
        (other / name).parent.mkdir(parents=True)
        Image.new("RGB", (24, 24), (9, 9, len(name))).save(other / name)
    open_labelled(Evaluate.parse({"run": "x", "train": str(photos), "test": str(other)}), like)
    assert capsys.readouterr().err.count(LINE) == 1


def test_check_says_it_among_its_notes_and_not_twice(photos: Path, capsys: pytest.CaptureFixture) -> None:
    run_command(["check", str(photos), "--encoder", "test_resnet", "--size", "16", "--batch-size", "2"])
    told = capsys.readouterr()
    assert " ".join((told.out + told.err).split()).count("nothing is left of cats, dogs") == 1


def test_a_tree_of_links_names_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    blobs, tree = tmp_path / "blobs", tmp_path / "tree"
    for folder in (blobs, tree):
        folder.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(blobs / f"{number}.png")
        (tree / f"{number}.png").symlink_to(blobs / f"{number}.png")
    with pytest.raises(DataError, match=r"links are not followed: name the folder they lead to, or copy .* \(cp -rL\)"):
        open_samples(tree)
    Image.new("RGB", (8, 8)).save(tree / "own.png")
    assert open_samples(tree).count == 1
    for number in range(2):
        (tree / f"gone {number}.png").symlink_to(tmp_path / "nothing.png")
    assert open_samples(tree).count == 1
    told = capsys.readouterr().err
    assert told.count("3 links that lead elsewhere are not followed: copy what they lead to") == 2
    assert told.count("2 links lead to nothing: put back what they led to, or remove them") == 1
