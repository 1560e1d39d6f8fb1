"""A packed set: the same images in the same order with their labels, whatever stopped the packing, and none else."""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

import selftaught
from selftaught.commands.cli import run_command
from selftaught.data.images.duplicates import sketch
from selftaught.data.images.inspection import inspect
from selftaught.data.images.packing import packed_image
from selftaught.data.images.samples import open_samples
from selftaught.data.sources import files, packing
from selftaught.data.sources.folder import BESIDE, HIDDEN, NO_IMAGE
from selftaught.data.sources.manifest import JOURNAL, MANIFEST, digest_of, manifest_of
from selftaught.data.sources.open import open_source
from selftaught.data.sources.shards import of_files
from selftaught.system import clock
from selftaught.system.errors import BrokenData, DataError, UsageError
from selftaught.system.ownership import MANIFEST as OWNERSHIP
from selftaught.system.ownership import begin
from tests.data.test_python import CLASSES, COUNT, PIXELS
from tests.data.test_shards import batches, forms, sample, tar
from tests.pictures import encoded
from tests.reliability.forks import child

EACH = 5  # samples in a shard
SMALL: dict[str, Any] = {"shard_samples": EACH, "short_side": 8, "workers": 2}


def folder(root: Path) -> Path:
    """Images in two classes, by name in another order than by class."""
    for row, pixels in enumerate(PIXELS):
        file = root / "photos" / CLASSES[row] / f"{row:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(pixels))
    return root / "photos"


def held(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.iterdir()}


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def test_files_are_packed_byte_for_byte_in_their_order_with_keys_and_labels(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "shards"
    with pytest.raises(UsageError, match="is the folder of the images itself"):
        selftaught.pack(data, data)
    made = selftaught.pack(data, out, shard_samples=EACH)
    assert {*held(out)} == {MANIFEST, *(f"train-{number:06d}.tar" for number in range(5))}
    first = members(out / "train-000000.tar")
    assert list(first)[:2] == ["000000000.png", "000000000.json"] and len(first) == 2 * EACH
    source, packed = open_source(data), open_source(out)
    assert [packed.read(row) for row in range(COUNT)] == [source.read(row) for row in range(COUNT)]  # type: ignore[union-attr]
    assert json.loads(first["000000001.json"]) == {"key": source.keys[1], "label": "ant"}
    assert packed.labels == source.labels and packed.name == "shards"
    assert all(map(torch.equal, batches(str(out), 4), batches(str(data), 4)))
    assert manifest_of(out) == made and made.samples == COUNT and made.sha256 == digest_of(made.shards)
    assert [one.bytes for one in made.shards] == [len(held(out)[one.name]) for one in made.shards]


def test_folders_that_are_named_like_nothing_stay_classes(tmp_path: Path) -> None:
    for row, name in enumerate(("None", "-", "ant", "ant")):
        file = tmp_path / "photos" / name / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(PIXELS[row]))
    selftaught.pack(tmp_path / "photos", tmp_path / "shards", shard_samples=2)
    shards = sorted((tmp_path / "shards").glob("*.tar"))
    for packed in (
        open_source(tmp_path / "shards"),
        open_source(tmp_path / "shards" / "train-{000000..000001}.tar"),
        of_files(shards, "what an address names"),
    ):
        assert packed.labels == ["-", "None", "ant", "ant"] and not packed.notes
    (tmp_path / "labels.csv").write_text("0.png,None\n1.png,x\n")
    selftaught.pack(tmp_path / "photos", tmp_path / "told", labels=tmp_path / "labels.csv")
    assert open_source(tmp_path / "told").labels == ["x", "", "", ""]
    for number, name in enumerate(("0000", "000000000")):  # of somebody else
        more = {"label": "None", "key": "0"} if number else {"key": "0", "label": "None"}
        members = [(f"{name}.png", encoded(PIXELS[0])), (f"{name}.json", json.dumps(more).encode())]
        assert of_files([tar(tmp_path / f"{number}.tar", members)], "shards").labels == [""]


def test_a_file_beside_the_folders_for_whose_sake_these_are_no_labels_is_told(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "shards"
    (data / "stray.png").write_bytes(encoded(PIXELS[0]))
    told = f"1 of {COUNT + 1} files lies in no folder (stray.png), so folders are no labels"
    assert selftaught.pack(data, out).notes == [told] and told in inspect(data).notes
    with pytest.raises(DataError, match=re.escape(f"photos has no labels: {told}; put each class in a folder")):
        open_samples(data, labelled=True)
    with tarfile.open(tmp_path / "photos-0.tar", "w") as archive:
        archive.add(data, ".")
    with pytest.raises(DataError, match=re.escape(told)):
        open_samples(tmp_path / "photos-{0..0}.tar", labelled=True)
    (tmp_path / "labels.csv").write_text("stray.png,ant\n")
    assert not selftaught.pack(data, tmp_path / "told", labels=tmp_path / "labels.csv").notes
    for row in range(COUNT):
        (data / f"{row}.png").write_bytes(encoded(PIXELS[row]))
    assert not any("no labels" in note for note in inspect(data).notes)  # of a tree of photos there is nothing to say


def test_whatever_holds_images_is_packed_without_a_loss(tmp_path: Path) -> None:
    for name, data in forms(tmp_path).items():
        made = selftaught.pack(data, tmp_path / f"of {name}", shard_samples=EACH)
        packed = open_samples(tmp_path / f"of {name}", labelled=made.asked.labels is not None)
        assert packed.count == COUNT and packed.labels in (None, CLASSES), name
        pixels = packed.batch(np.arange(COUNT))[0]
        assert (pixels.permute(0, 2, 3, 1).numpy() == PIXELS).all(), name
    deep = np.arange(COUNT * 64, dtype=np.uint16).reshape(COUNT, 8, 8) * 37
    wanted = batches(str(tmp_path / "all.npz"), 2)
    for name, data in {"npz": tmp_path / "all.npz", "pictures": [Image.fromarray(one) for one in PIXELS]}.items():
        selftaught.pack(data, tmp_path / name)
        assert all(map(torch.equal, batches(str(tmp_path / name), 2), wanted)), name
    assert open_source(tmp_path / "npz").labels == CLASSES and open_source(tmp_path / "pictures").labels is None
    selftaught.pack(deep, tmp_path / "deep")
    assert (open_samples(tmp_path / "deep").batch(np.arange(COUNT))[0][:, 0].numpy() == deep).all()
    with pytest.raises(BrokenData, match="float32 in 3 channels is in no image file that could be packed"):
        selftaught.pack(PIXELS.astype(np.float32), tmp_path / "floats")


def photo(height: int, width: int, orientation: int = 1, **how: Any) -> bytes:
    """A JPEG that is brighter to the right and redder below, as a person sees it."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    image = Image.fromarray(np.stack([down, across, across], axis=2).astype(np.uint8))
    exif = Image.Exif()
    if orientation == 6:  # to be turned by a quarter clockwise
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[0x0112] = orientation
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95, exif=exif, **how)
    return stream.getvalue()


@pytest.mark.parametrize(("height", "width", "orientation"), [(300, 401, 1), (401, 300, 6), (64, 640, 1)])
def test_larger_images_become_upright_jpegs_of_the_side_asked_for(height: int, width: int, orientation: int) -> None:
    made = packed_image(photo(height, width, orientation), 48, 90)
    with Image.open(io.BytesIO(made.content)) as image:
        assert image.format == "JPEG" and not image.getexif()
        scale = 48 / min(height, width)
        assert image.size == (round(width * scale), round(height * scale)) and min(image.size) == 48
        seen = sketch(np.asarray(image)).astype(int)
    assert np.abs(seen - sketch(np.asarray(Image.open(io.BytesIO(photo(height, width)))))).max() <= 3
    assert len(packed_image(photo(300, 401), 48, 60).content) < len(packed_image(photo(300, 401), 48, 90).content)


def test_what_is_small_enough_or_no_photo_stays_as_it_is() -> None:
    small, odd = photo(40, 60, 6), io.BytesIO()
    assert packed_image(small, 40, 90).content == small and packed_image(small, None, 90).ending == "jpg"
    Image.fromarray(np.full((90, 80), 300, np.uint16)).save(odd, "PNG")
    made = packed_image(odd.getvalue(), 40, 90)
    assert made.content == odd.getvalue() and made.ending == "png" and "kept as they are" in made.remarks[0]


def at(target: Any, name: str, time: int, after: bool = False) -> Callable[[], None]:
    """From now on the process is gone at the so-manieth call of a function, before or after it."""

    def armed() -> None:
        function, calls = getattr(target, name), iter(range(time))

        def called(*given: Any, **more: Any) -> Any:
            last = next(calls, None) == time - 1
            if last and not after:
                os._exit(9)
            result = function(*given, **more)
            if last:
                os._exit(9)
            return result

        setattr(target, name, called)

    return armed


MOMENTS = {
    "in the first shard": at(packing.Tar, "add", 3),
    "in the third": at(packing.Tar, "add", 13),
    "before a line of the journal": at(packing, "append_line", 2),
    "before a shard has its name": at(packing.Tar, "appear", 2),
    "when it has": at(packing.Tar, "appear", 2, after=True),
    "before the manifest": at(packing, "write_json", 1),
    "before the journal is gone": at(packing, "write_json", 1, after=True),
}


def test_a_killed_packing_goes_on_and_gives_the_very_files_of_one_that_nobody_killed(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "out"
    (data / "ant" / "broken.png").write_bytes(b"no image")
    told = {**SMALL, "tolerance": 0.1}
    selftaught.pack(data, tmp_path / "whole", **told)
    wanted = held(tmp_path / "whole")
    assert len(wanted) == 6 and b"broken.png" in wanted[MANIFEST]
    selftaught.pack(data, tmp_path / "alone", **{**told, "workers": 1})
    assert held(tmp_path / "alone") == wanted

    def killed(armed: Callable[[], None]) -> None:
        armed()
        selftaught.pack(data, out, **told)

    for name, armed in MOMENTS.items():
        assert child(lambda armed=armed: killed(armed)) == 9, name  # type: ignore[misc]
        times = {file.name: file.stat().st_mtime_ns for file in out.glob("train-*.tar")}
        if name == "in the third":  # what the disk had of a line that was being written
            with (out / JOURNAL).open("ab") as journal:
                journal.write(b'{"shard": {"na')
            assert child(lambda: killed(MOMENTS["before the manifest"])) == 9
        else:
            with pytest.raises(UsageError, match="not 80: choose another --out"):
                selftaught.pack(data, out, **{**told, "quality": 80})
        selftaught.pack(data, out, **told)
        assert held(out) == wanted, name
        assert all((out / shard).stat().st_mtime_ns == then for shard, then in times.items()), name
        for file in out.iterdir():
            file.unlink()


def test_a_folder_of_another_set_is_refused_and_nothing_of_anybody_else_is_touched(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "train-000000.tar").write_bytes(b"mine")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"train-000000.tar was not written by pack: move it away"):
            selftaught.pack(data, out, **SMALL)
        (out / "train-000000.tar").replace(out / "train-000001.tar")
        (out / "train-000001.tar").replace(out / "train-000000.tar")
    assert held(out) == {"train-000000.tar": b"mine"}
    (out / "train-000000.tar").replace(out / "notes.txt")
    (out / MANIFEST).write_text("{}")
    with pytest.raises(UsageError, match=r"manifest.json was not written by pack"):
        selftaught.pack(data, out, **SMALL)
    (out / MANIFEST).unlink()
    selftaught.pack(data, out, **SMALL)
    done = held(out)
    assert done["notes.txt"] == b"mine" and selftaught.pack(data, out, **SMALL) == manifest_of(out)
    other = {"short_side": 9, "quality": 80, "shard_samples": 6, "drop_duplicates": True}
    for name, value in other.items():
        with pytest.raises(UsageError, match=f"with --{name.replace('_', '-')} .*, not {value}: choose another --out"):
            selftaught.pack(data, out, **{**SMALL, name: value})
    (tmp_path / "labels.csv").write_text("".join(f"{key},x\n" for key in open_source(data).keys))
    with pytest.raises(UsageError, match="packed with other labels"):
        selftaught.pack(data, out, labels=tmp_path / "labels.csv", **SMALL)
    (data / "bee" / "more.png").write_bytes(encoded(PIXELS[0]))
    with pytest.raises(UsageError, match="packed of other data"):
        selftaught.pack(data, out, **SMALL)
    assert held(out) == done


def changed(data: Path) -> None:
    """One image holds something else, in a file of the same name and size."""
    file = data / "ant" / "01.png"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_images_of_the_same_names_and_sizes_that_hold_something_else_are_other_data(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "out"
    made = selftaught.pack(data, out, **SMALL)
    (data / open_source(data).keys[3]).touch()  # which holds what it held
    assert selftaught.pack(data, out, **SMALL) == made
    changed(data)
    before = held(out)
    with pytest.raises(UsageError, match="packed of other data"):
        selftaught.pack(data, out, **SMALL)
    assert held(out) == before
    old = json.loads(before[MANIFEST])
    del old["contents"]  # as earlier versions have written it
    (out / MANIFEST).write_text(json.dumps(old))
    assert selftaught.pack(data, out, **SMALL).contents is None
    pixels = [np.array(pixels) for pixels in PIXELS]
    with_items = tmp_path / "items"
    selftaught.pack(pixels, with_items, **SMALL)
    pixels[3] = 255 - pixels[3]
    with pytest.raises(UsageError, match="packed of other data"):
        selftaught.pack(pixels, with_items, **SMALL)


def test_another_column_of_the_same_file_is_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = clock.wall() + 3600  # when the file was not changed just now, and what was read of it is remembered
    monkeypatch.setattr(clock, "wall", lambda: later)
    stored = {"left": list(map(encoded, PIXELS)), "right": list(map(encoded, 255 - PIXELS))}
    parquet.write_table(pa.table(stored), tmp_path / "two.parquet")
    data, out = tmp_path / "two.parquet", tmp_path / "out"
    made = selftaught.pack(data, out, column="left", **SMALL)
    assert selftaught.pack(data, out, column="left", **SMALL) == made
    with pytest.raises(UsageError, match="packed of other data"):
        selftaught.pack(data, out, column="right", **SMALL)


@contextmanager
def unreadable(name: str) -> Iterator[None]:
    """For a while a disk or a share does not give this file."""
    read = files.read_regular

    def failing(path: Path, *given: Any, **more: Any) -> bytes:
        if Path(path).name == name:
            raise OSError(5, "Input/output error")
        return read(path, *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "read_regular", failing)
        yield


def test_what_cannot_be_read_for_a_moment_is_no_other_data(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "out"
    made = selftaught.pack(data, out, **SMALL)
    told = r"1 of 24 images in photos cannot be read now, such as ant/01\.png, which may be packed already: try again"
    with unreadable("01.png"), pytest.raises(DataError, match=told):
        selftaught.pack(data, out, **SMALL)
    assert selftaught.pack(data, out, **SMALL) == made


def test_what_could_not_be_read_when_it_was_packed_stays_left_out_of_the_same_data(tmp_path: Path) -> None:
    data, out, told = folder(tmp_path), tmp_path / "out", {**SMALL, "tolerance": 0.1}

    def killed() -> None:
        with unreadable("01.png"):
            MOMENTS["in the third"]()
            selftaught.pack(data, out, **told)

    assert child(killed) == 9
    made = selftaught.pack(data, out, **told)
    assert [one.key for one in made.left_out] == ["ant/01.png"] and made.samples == COUNT - 1
    assert selftaught.pack(data, out, **told) == made
    with unreadable("01.png"):
        assert selftaught.pack(data, out, **told) == made
    changed(data)  # which is not packed
    assert selftaught.pack(data, out, **told) == made
    file = data / open_source(data).keys[3]
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with unreadable("01.png"), pytest.raises(UsageError, match="packed of other data"):
        selftaught.pack(data, out, **told)


def test_who_goes_on_does_not_mix_what_was_packed_with_other_images(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "out"

    def killed() -> None:
        MOMENTS["in the third"]()
        selftaught.pack(data, out, **SMALL)

    assert child(killed) == 9 and (out / JOURNAL).is_file()
    file = data / open_source(data).keys[COUNT - 1]  # not packed yet
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    shards = {file.name: file.read_bytes() for file in out.glob("train-*.tar")}
    changed(data)  # which is packed
    with pytest.raises(UsageError, match="packed of other data"):
        selftaught.pack(data, out, **SMALL)
    assert {*held(out)} == {JOURNAL, *shards} and all(held(out)[name] == then for name, then in shards.items())
    changed(data)  # it is again what it was
    assert selftaught.pack(data, out, **SMALL).samples == COUNT


def test_duplicates_are_dropped_as_check_names_them(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "out"
    for name, content in {"ant/like-a": photo(64, 64), "ant/like-b": photo(64, 64, progressive=True)}.items():
        (data / f"{name}.jpg").write_bytes(content)
    (data / "bee" / "again.png").write_bytes((data / "ant" / "01.png").read_bytes())
    (data / "bee" / "scaled.jpg").write_bytes(photo(32, 32))
    found = inspect(data).files()
    made = selftaught.pack(data, out, drop_duplicates=True)
    dropped = [(one.key, one.reason) for one in made.left_out]
    assert ("bee/again.png", "the same as ant/01.png") in dropped and dropped == sorted(found)
    assert [reason for _, reason in dropped].count("looks like ant/like-a.jpg") == 2
    assert made.duplicates == len(dropped) and made.samples == COUNT + 4 - len(dropped)
    assert not {key for key, _ in dropped} & {json.loads(text)["key"] for text in keys_in(out)}


def keys_in(out: Path) -> list[bytes]:
    tars = sorted(out.glob("*.tar"))
    return [content for file in tars for name, content in members(file).items() if name.endswith(".json")]


def test_broken_images_are_named_and_too_many_end_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = folder(tmp_path), tmp_path / "out"
    (data / "ant" / "broken.png").write_bytes(encoded(PIXELS[0])[:90])
    words = ["pack", str(data), "--out", str(out), "--json"]
    assert run_command(words) == 3
    assert "1 of 25 images in photos cannot be packed" in capsys.readouterr().err
    assert run_command([*words, "--tolerance", "5%"]) == 0  # which changes no byte of what is packed
    said = capsys.readouterr()
    assert (
        json.loads(said.out)["broken"] == 1 and "1 images are broken and left out: manifest.json lists them" in said.err
    )
    (one,) = manifest_of(out).left_out  # type: ignore[union-attr]
    assert one.key == "ant/broken.png" and "truncated" in one.reason
    (data / "bee" / "broken.png").write_bytes(b"")
    again = ["pack", str(data), "--out", str(tmp_path / "again")]
    assert run_command(again) == 3 and not any((tmp_path / "again").iterdir())
    (data / "bee" / "broken.png").unlink()  # as the error says
    (data / "ant" / "broken.png").unlink()
    assert run_command([*again, "--short-side", "8"]) == 0 and manifest_of(tmp_path / "again").samples == COUNT  # type: ignore[union-attr]
    capsys.readouterr()
    assert run_command(["pack", "sklearn:wine", "--out", str(tmp_path / "rows")]) == 2
    assert "rows, which are not packed: only images are" in capsys.readouterr().err


def test_tars_are_as_large_as_they_may_be_and_no_larger(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (150, 150, 3), dtype=np.uint8)) for _ in range(40)]
    made = selftaught.pack(noise, tmp_path / "out", shard_size=1_000_000)
    assert [one.samples for one in made.shards] == [14, 14, 12]
    assert all(900_000 < one.bytes <= 1_000_000 for one in made.shards[:2])


def test_what_is_not_as_it_was_packed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = folder(tmp_path), tmp_path / "out"
    told_before = {**SMALL, "short_side": None}
    selftaught.pack(data, out, **told_before)
    shard, whole = out / "train-000001.tar", (out / "train-000001.tar").read_bytes()
    assert inspect(out).usable
    place = whole.index(b"IDAT") - 20  # of a picture's header, which still is one
    times = shard.stat()
    shard.write_bytes(whole[:520] + b"\x01" + whole[521:])
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert place > 520 and run_command(["check", str(out), "--json", "--tolerance", "10%"]) == 3
    told = json.loads(capsys.readouterr().out)["problems"]
    assert told == ["train-000001.tar is damaged: its SHA-256 is not that of manifest.json"]
    shard.write_bytes(whole[:-512])
    askings: list[Callable[[], Any]] = [lambda: open_source(out), lambda: selftaught.pack(data, out, **told_before)]
    for asking in askings:
        with pytest.raises(DataError, match=r"not what was packed: train-000001.tar has [\d,]+ bytes in place of"):
            asking()
    shard.unlink()
    for asking in askings:
        with pytest.raises(DataError, match=r"train-000001.tar cannot be read \(No such file"):
            asking()
    shard.write_bytes(whole)
    made = json.loads((out / MANIFEST).read_text())
    made["shards"].pop()
    (out / MANIFEST).write_text(json.dumps(made))
    with pytest.raises(DataError, match=r"manifest.json is damaged"):
        open_source(out)
    (out / MANIFEST).replace(out / JOURNAL)
    with pytest.raises(DataError, match="is not packed to its end"):
        open_source(out)


def test_a_folder_of_tars_is_data_and_one_of_images_stays_what_it_is(tmp_path: Path) -> None:
    for part in range(2):
        tar(tmp_path / f"x-{part}.tar", [one for row in range(6) for one in sample(6 * part + row, ("cls", b"bee"))])
    (tmp_path / "README.md").write_text("tars")
    source = open_source(tmp_path)
    assert len(source) == 12 and source.keys[6] == "x-1.tar/0006.png" and source.labels == ["bee"] * 12
    (tmp_path / "one.png").write_bytes(encoded(PIXELS[0]))
    assert list(open_source(tmp_path).keys) == ["one.png"]


def test_a_folder_of_images_or_of_a_run_is_not_packed_into(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "mine"
    (out / "kept").mkdir(parents=True)
    for name, content in (("kept/one.png", b"mine"), ("two.png", b"mine"), ("other.tar", b"mine")):
        (out / name).write_bytes(content)
    for name in ("kept/", "other.tar", "two.png"):
        with pytest.raises(
            UsageError, match=f"mine holds {name}, which would be passed over .*: name a folder that is"
        ):
            selftaught.pack(data, out, **SMALL)
        (out / name).rename(tmp_path / Path(name).name)
    begin(out, "run", ())
    with pytest.raises(UsageError, match=r"mine holds other work of selftaught: name a folder that is empty"):
        selftaught.pack(data, out, **SMALL)
    assert [file.name for file in out.iterdir()] == [OWNERSHIP]


def test_what_lies_beside_tars_is_counted_and_images_there_are_told(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "out"
    selftaught.pack(data, out, **SMALL)
    before = open_source(out)
    assert not before.ignored and not before.notes
    for name in ("SHA256SUMS", "one.png", ".hidden"):
        (out / name).write_bytes(b"mine")
    selftaught.pack(out, out / "smaller", **{**SMALL, "shard_samples": 9})
    source = open_source(out)
    reasons = {".hidden": HIDDEN, "SHA256SUMS": NO_IMAGE, "one.png": BESIDE, "smaller/": BESIDE}
    assert dict(source.ignored) == reasons and source.fingerprint() == before.fingerprint()
    assert source.notes == [
        "2 that lie beside its tars are passed over, such as one.png: name a folder of them alone to have those"
    ]
    for name in (MANIFEST, "one.png"):
        (out / name).unlink()
    assert list(open_source(out).keys) == list(before.keys)  # a set that was packed from tars is none of their folders
