"""Any folder of images: each odd file gives its golden pixels or a reason, and what is whole can be trained on."""

import csv
import json
import os
import re
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

import selftaught
from selftaught.commands.cli import run_command
from selftaught.data.images import decode as decoding
from selftaught.data.images import samples as store
from selftaught.data.images.decode import DecodeError, decode
from selftaught.data.images.samples import open_samples
from selftaught.data.sources.files import Files
from selftaught.data.sources.open import open_source
from selftaught.system.errors import DataError
from tests.networks import HALVED
from tests.pictures import encoded
from tests.reliability.corpus import (
    BROKEN,
    DUPLICATE,
    FILES,
    GOOD,
    IGNORED,
    MEASURED,
    NAMES,
    NOISE,
    Odd,
    populate,
)
from tests.reliability.faults import in_child

QUICK = {"method": "simclr", "encoder": HALVED, "size": 16, "precision": "32-true", "layout": "contiguous"}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole corpus, which no test changes."""
    root = tmp_path_factory.mktemp("odd") / "folder"
    populate(root)
    return root


@pytest.fixture(params=["pillow", "simplejpeg"])
def jpeg_decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds with the [fast] extra and without."""
    if request.param == "pillow":
        monkeypatch.setattr(decoding, "simplejpeg", None)
    else:
        pytest.importorskip("simplejpeg")


def fault(name: str, fate: Odd) -> str | None:
    """What of the file's fate has not come true."""
    try:
        pixels = decode(fate.data)
    except DecodeError as error:
        hit = fate.reason and re.search(fate.reason, str(error))
        return None if hit else f"{name}: refused with {error}"
    if fate.pixels is None:
        return f"{name}: taken for an image of {pixels.shape}"
    golden = np.broadcast_to(fate.pixels, pixels.shape) if 1 in fate.pixels.shape[:2] else fate.pixels
    if pixels.shape != golden.shape:
        return f"{name}: {pixels.shape}, not {golden.shape}"
    off = int(np.abs(pixels.astype(np.int64) - golden.astype(np.int64)).max())
    return f"{name}: {off} off" if off > fate.slack else None


@pytest.mark.filterwarnings("ignore")  # Pillow's, about odd metadata
@pytest.mark.usefixtures("jpeg_decoder")
def test_every_odd_file_gives_its_golden_pixels_or_a_reason() -> None:
    assert len(FILES) >= 60
    assert [told for told in (fault(name, fate) for name, fate in FILES.items()) if told] == []


def test_the_folder_is_indexed_without_opening_a_pipe(odd: Path) -> None:
    source = open_source(odd)
    assert isinstance(source, Files)
    assert set(source.keys) == {*FILES, *NAMES, *DUPLICATE}
    assert dict(source.ignored) == IGNORED
    assert source.fingerprint() == open_source(odd).fingerprint()


def test_a_pipe_that_takes_a_files_place_is_not_opened(tmp_path: Path) -> None:

    populate(tmp_path / "x", ["plain.bmp"])
    source = open_source(tmp_path / "x")
    assert isinstance(source, Files)
    (tmp_path / "x" / "plain.bmp").unlink()
    os.mkfifo(tmp_path / "x" / "plain.bmp")
    caught: list[BaseException] = []

    def read() -> None:
        try:
            source.read(source.keys.index("plain.bmp"))
        except OSError as error:
            caught.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join()  # for ever, where a pipe is opened that nobody writes to
    assert "not a regular file" in str(caught)


def test_the_whole_folder_is_decoded_and_what_is_broken_is_listed(odd: Path) -> None:
    images = open_samples(odd, size=(16, 16), tolerance=1.0)
    assert {key for key, _ in images.quarantined} == {*BROKEN, *MEASURED}
    assert set(images.keys) == {*GOOD, *NAMES, *DUPLICATE} - {*MEASURED}
    shapes = {tuple(images.batch(np.array([row]))[0].shape) for row in range(images.count)}
    assert len(shapes) == 1 and all(reason.strip() for _, reason in images.quarantined)


def test_a_run_over_the_whole_odd_folder(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = selftaught.pretrain(odd, steps=2, batch_size=8, tolerance="60%", out=str(tmp_path / "run"), **QUICK)
    assert run.status["state"] == "done"
    again = selftaught.pretrain(odd, resume=True, out=run.folder, **QUICK)  # what is tolerated is remembered
    assert again.status["state"] == "done"
    with (run.folder / "quarantine.csv").open(newline="") as stream:
        listed = list(csv.reader(stream))[1:]
    assert {path for path, _ in listed} == {*BROKEN, *MEASURED}


def test_too_many_broken_images_are_counted_named_and_listed(
    odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for flags, file in (([], "runs/folder-quarantine.csv"), (["--out", "mine/run"], "mine/run-quarantine.csv")):
        assert run_command(["pretrain", str(odd), "--size", "16", *flags]) == 3
        told = capsys.readouterr().err.splitlines()[-1]
        count = len(FILES) + len(NAMES) + len(DUPLICATE)
        refused = len(BROKEN) + len(MEASURED)
        assert f"{refused} of {count} images in folder cannot be decoded, more than 1%; the first is " in told
        assert told.count("; then ") == 2 and f"all are listed in {file}" in told
        assert len((tmp_path / file).read_text().splitlines()) == refused + 1
    assert not (tmp_path / "mine" / "run").exists()  # nothing in the way of the next try


def test_a_list_of_broken_images_lies_beside_the_run_and_replaces_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    populate(tmp_path / "odd", ["cut at 50.jpg", "plain.bmp"])
    monkeypatch.chdir(tmp_path)

    def listed_in(out: str) -> str:
        assert run_command(["pretrain", str(tmp_path / "odd"), "--size", "16", "--out", out]) == 3
        (found,) = re.findall(r"all are listed in (.*); use", capsys.readouterr().err)
        assert "cut at 50.jpg" in (tmp_path / found).read_text()
        return found

    assert listed_in("r1/") == "r1-quarantine.csv" and not (tmp_path / "r1").exists()
    assert listed_in("r1//") == listed_in("r1") == "r1-quarantine.csv"  # it says the same
    (tmp_path / "r2-quarantine.csv").write_text("my own notes")
    (tmp_path / "r2-quarantine-2.csv").symlink_to("mine")
    assert listed_in("r2") == "r2-quarantine-3.csv"
    assert (tmp_path / "r2-quarantine.csv").read_text() == "my own notes" and not (tmp_path / "mine").exists()
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    assert listed_in(".") == str(tmp_path / "inside-quarantine.csv")


def test_a_check_of_the_whole_odd_folder(odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, files = tmp_path / "check.html", tmp_path / "check.csv"
    assert run_command(["check", str(odd), "--json", "--out", str(page), "--files", str(files)]) == 3
    told = json.loads(capsys.readouterr().out)
    assert {file["path"] for file in told["broken"]} == {*BROKEN, *MEASURED} and len(told["ignored"]) == len(IGNORED)
    assert list(DUPLICATE) in told["duplicates"] and told["images"]["orientations"]["8"] == 1
    assert ["bilevel.png", "bilevel.tif"] in told["near_duplicates"]
    assert sum(told["images"]["formats"].values()) == told["count"] - len(BROKEN) - len(MEASURED)
    assert "<img src=x" not in page.read_text()
    assert len(files.read_text().splitlines()) > len(BROKEN) + len(IGNORED)


def test_one_broken_image_in_many_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "x"
    populate(root, ["cut at 50.jpg"])
    for number in range(110):
        (root / f"{number}.png").write_bytes(encoded(np.roll(NOISE, number, 1), "PNG"))
    assert open_samples(root, size=(16, 16)).quarantined[0][0] == "cut at 50.jpg"


def test_where_nothing_is_whole_all_are_listed(tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number:02d}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"70 of 70 images .*; the first is 00\.jpg: empty file"):
        open_samples(tmp_path, tolerance=1.0)
    (tmp_path / "01.jpg").write_bytes(encoded(NOISE, "PNG"))  # not among those that are looked at first
    assert open_samples(tmp_path, tolerance=1.0).keys == ["01.jpg"]


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), OSError(5, "Input/output error"), "vanishes"])
def test_what_cannot_be_read_is_quarantined(
    error: OSError | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "x"
    populate(root, ["plain.bmp", "plain.jpg", "plain.ppm"])
    opened = store.open_source

    def open_and_lose(*given: object) -> Files:
        source = opened(*given)
        assert isinstance(source, Files)
        read: Callable[[int], bytes] = source.read

        def losing(row: int) -> bytes:
            if source.keys[row] == "plain.jpg":
                if isinstance(error, OSError):
                    raise error
                (root / "plain.jpg").unlink(missing_ok=True)
            return read(row)

        source.read = losing
        return source

    monkeypatch.setattr(store, "open_source", open_and_lose)
    images = open_samples(root, size=(16, 16), tolerance=0.5)
    ((key, reason),) = images.quarantined
    assert key == "plain.jpg" and reason.startswith("cannot be read: ") and "plain.jpg" not in images.keys


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["bomb.png", "bomb below pillows limit.png", "bomb.gif"])
def test_a_bomb_is_refused_before_its_pixels_take_memory_or_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpacked(self: Image.Image) -> None:
        raise AssertionError("its pixels are unpacked")

    monkeypatch.setattr(ImageFile.ImageFile, "load", unpacked)
    with pytest.raises(DecodeError) as refused:
        decode(FILES[name].data)
    assert "unpacked" not in str(refused.value)


@pytest.mark.filterwarnings("ignore")
def test_bombs_take_no_memory() -> None:
    """In a fork, whose peak is its own: the parent's, of other tests, would hide it."""

    def work() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name in ("bomb.png", "bomb below pillows limit.png", "bomb.gif"):
            with pytest.raises(DecodeError):
                decode(FILES[name].data)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes; unpacked: 900 MB

    assert in_child(work) == 0


def test_a_jpeg_of_endless_scans_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_SCANS", 0)
    with pytest.raises(DecodeError, match="48 x 64 pixels in 1 scans take too long"):
        decode(FILES["plain.jpg"].data)
