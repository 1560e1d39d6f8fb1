"""Shards: many files as one source, whose samples are found by an index; each form gives the same batches."""

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from torch import Tensor

import selftaught
from selftaught.contracts import modality
from selftaught.data.images.samples import open_samples
from selftaught.data.sources import index, shards
from selftaught.data.sources.handed import handed
from selftaught.data.sources.labels import labels_for
from selftaught.data.sources.open import open_source
from selftaught.data.sources.shards import of_files
from selftaught.data.sources.webdataset import LocalShard, expanded
from selftaught.system.errors import DataError, UsageError
from selftaught.training.batches import Batches
from tests.data.loopback import serving
from tests.data.test_chunked import h5, zarred
from tests.data.test_python import CLASSES, COUNT, FAST, PIXELS, Listed, hugging
from tests.pictures import encoded

EACH = 6  # samples in a shard
Members = list[tuple[str, bytes]]


def tar(file: Path, members: Members) -> Path:
    with tarfile.open(file, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


def sample(row: int, *others: tuple[str, bytes]) -> Members:
    """What WebDataset has of one sample."""
    return [(f"./{row:04d}.{ending}", content) for ending, content in (("png", encoded(PIXELS[row])), *others)]


def written(root: Path, **told: Any) -> str:
    """Four tars of samples, with what tells their labels by ending; their pattern."""
    for start in range(0, COUNT, EACH):
        members: Members = []
        for row in range(start, start + EACH):
            members += sample(row, *((ending, label(row)) for ending, label in told.items()))
        tar(root / f"train-{start // EACH:03d}.tar", members)
    return str(root / "train-{000..003}.tar")


def plain(row: int) -> bytes:
    return f"{CLASSES[row]}\n".encode()


def struct(start: int = 0, stop: int = COUNT) -> pa.Table:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = [{"bytes": encoded(pixels), "path": None} for pixels in PIXELS[start:stop]]
    return pa.table({"image": pa.array(rows, kind), "label": CLASSES[start:stop]})


def forms(root: Path) -> dict[str, Any]:
    """The same images and labels, as people store them."""
    (root / "folder").mkdir()
    with zipfile.ZipFile(root / "all.zip", "w") as archive:
        for row, pixels in enumerate(PIXELS):
            (root / "folder" / f"{row:02d}.png").write_bytes(encoded(pixels))
            archive.writestr(f"{row:02d}.png", encoded(pixels))
    np.savez(root / "all.npz", x=PIXELS, y=CLASSES)
    h5(root / "all.h5", x=PIXELS, y=np.array(CLASSES, "S"))
    zarred(root / "all.zarr", 2, x=PIXELS, y=np.array(CLASSES, "S"))
    zarred(root / "all.zarr.zip", 2, x=PIXELS, y=np.array(CLASSES, "S"))
    parquet.write_table(struct(), root / "all.parquet", row_group_size=5)
    for part in range(2):
        parquet.write_table(struct(12 * part, 12 * part + 12), root / f"p-{part}.parquet", row_group_size=5)
    stored = [encoded(pixels) for pixels in PIXELS]
    return {
        **{name: str(root / name) for name in ("folder", "all.zip", "all.npz", "all.parquet", "p-{0..1}.parquet")},
        **{name: str(root / name) for name in ("all.h5", "all.zarr", "all.zarr.zip")},
        "tars": written(root, cls=plain),
        "list of tars": sorted(root.glob("train-*.tar")),
        "hugging face": hugging(stored),
        "torch": Listed([*zip(PIXELS, CLASSES)]),
    }


def served(url: str) -> dict[str, Any]:
    """The same by HTTP."""
    patterns = [f"{url}/{name}" for name in ("train-{000..003}.tar", "p-{0..1}.parquet", "all.zip", "all.npz")]
    return {**{name: name for name in patterns}, "list by HTTP": [f"{url}/train-{part:03d}.tar" for part in range(4)]}


def batches(named: str, steps: int) -> list[Tensor]:
    samples = open_samples(named)
    views = samples.views(("strong", "plain"))
    made = Batches(samples, views, batch_size=8, seed=7)
    return [view for step in range(steps) for view in made(step)]


def test_every_form_gives_bitwise_the_same_batches(tmp_path: Path) -> None:
    wanted: list[Tensor] = []
    with serving(tmp_path) as elsewhere:
        for name, data in {**forms(tmp_path), **served(elsewhere.url)}.items():
            with handed(data) as named:
                assert modality.of(named).THINGS == "images", name
                found = batches(named, 4)  # into the second epoch
                wanted = wanted or found
                assert len(found) == 8 and all(map(torch.equal, found, wanted)), name
                if not name.endswith(("folder", "all.zip")):  # where labels are folders
                    assert open_samples(named, labelled=True).labels == CLASSES, name
        assert elsewhere.fetched() == 8  # each file once for all who read it: they are smaller than a block


def test_an_index_is_made_once_and_only_what_was_changed_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern, read = written(tmp_path, cls=plain), list[str]()
    part_of = shards.part_of
    monkeypatch.setattr(shards, "part_of", lambda shard, column: read.append(shard.name) or part_of(shard, column))
    first = open_source(pattern)
    assert first.name == "train" and len(first) == COUNT and first.keys[7] == "train-001.tar/0007.png"
    assert first.keys[-2:] == ["train-003.tar/0022.png", "train-003.tar/0023.png"] and len(read) == 4
    assert list(first.keys) == [first.keys[row] for row in range(COUNT)]
    assert "indexing 4 of 4 shards of train" in capsys.readouterr().err
    assert open_source(pattern).labels == CLASSES and len(read) == 4
    tar(tmp_path / "train-002.tar", sample(0) + sample(1))
    again = open_source(pattern)
    assert read[4:] == ["train-002.tar"] and len(again) == COUNT - 4
    assert [again.read(row) for row in (12, 13, 14)] == [encoded(PIXELS[row]) for row in (0, 1, 18)]
    (file,) = {index.file_for(*(os.path.realpath(tmp_path / f"train-{n:03d}.tar") for n in range(4)), "")}
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    assert open_source(pattern).keys[:] == again.keys[:] and len(read) == 9  # damaged: made anew


def test_a_shard_with_a_damaged_header_is_refused(tmp_path: Path) -> None:
    pattern = written(tmp_path)
    file = tmp_path / "train-001.tar"
    whole = bytearray(file.read_bytes())
    whole[whole.index(b"./0009.png") + 148] ^= 1  # of its checksum
    file.write_bytes(whole)
    with pytest.raises(DataError, match=r"train-001.tar is damaged behind its member '0008.png': put the archive"):
        open_source(pattern)


def test_labels_come_from_json_or_from_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    pattern = written(
        tmp_path / "a", json=lambda row: json.dumps({"id": row, "label": CLASSES[row], "wet": 1}).encode()
    )
    assert open_source(pattern).labels == CLASSES and open_source(pattern, "wet").labels == ["1"] * COUNT
    assert open_source(pattern, "none").labels is None
    with pytest.raises(UsageError, match="--label-column x is no column of train; it has id, label, wet"):
        assert open_source(pattern, "x").labels
    tar(tmp_path / "b-0.tar", [(f"{CLASSES[row]}/{row}.png", encoded(PIXELS[row])) for row in range(6)])
    tar(tmp_path / "b-1.tar", [(f"{CLASSES[row]}/{row}.png", encoded(PIXELS[row])) for row in range(6, 9)])
    assert open_source(str(tmp_path / "b-{0..1}.tar")).labels == CLASSES[:9]


def test_of_several_images_a_sample_one_has_to_be_named(tmp_path: Path) -> None:
    for number in range(2):
        tar(
            tmp_path / f"s-{number}.tar",
            [m for row in range(4) for m in sample(row, ("seg.png", encoded(PIXELS[row + 4])))],
        )
    pattern = str(tmp_path / "s-{0..1}.tar")
    with pytest.raises(UsageError, match=r"s-0.tar holds several images a sample: say which of png, seg.png with"):
        open_source(pattern)
    tar(tmp_path / "mixed.tar", [("a.png", b"1"), ("a.seg.png", b"2"), ("b.PNG", b"3"), ("b.seg.png", b"4")])
    with pytest.raises(UsageError, match=r"say which of PNG, png, seg.png with"):
        of_files([tmp_path / "mixed.tar"], "mixed")
    masks = open_source(pattern, column="seg.png")
    assert len(masks) == 8 and masks.read(1) == encoded(PIXELS[5]) and masks.keys[0] == "s-0.tar/0000.seg.png"
    with pytest.raises(DataError, match=r"holds no images with the ending jpg in its 2 shards"):
        open_source(pattern, column="jpg")


def test_members_that_are_in_no_sample_are_counted_and_told_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By checking and by training, whether a shard was read just now or its part of the index was taken over."""
    odd = [("0000.txt", b"a"), ("0001.txt", b"b"), (".hidden.png", b"c"), ("9.cls", b"1"), ("__MACOSX/a.png", b"d")]
    with tarfile.open(tmp_path / "s-0.tar", "w") as archive:
        for name, content in [*sample(0), *sample(1), *sample(1), *odd]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link, folder = tarfile.TarInfo("l.png"), tarfile.TarInfo("folder")
        link.type, link.linkname, folder.type = tarfile.SYMTYPE, "0000.png", tarfile.DIRTYPE
        archive.addfile(link)
        archive.addfile(folder)
    tar(tmp_path / "s-1.tar", [*sample(2), ("2.TXT", b"a")])
    pattern = str(tmp_path / "s-{0..1}.tar")
    told = (
        "members of its tars that are passed over: 3 .txt not named like an image, such as s-0.tar/0000.txt; 1 of "
        "a name that comes twice, of which the later counts, such as s-0.tar/0001.png; 1 hidden, "
        "such as s-0.tar/.hidden.png; "
    )
    source = open_source(pattern)
    assert len(source) == 3 and source.notes[0].startswith(told) and source.notes[0].endswith("; 2 more")
    assert {one.reason: one.count for one in source.passed} == {
        **{"not named like an image": 3, "hidden": 1, "a label without an image": 1, "a link": 1},
        **{"left by the operating system": 1, "of a name that comes twice, of which the later counts": 1},
    }
    tar(tmp_path / "s-1.tar", sample(2))
    assert open_source(pattern).notes[0].startswith(told.replace("3 .txt", "2 .txt"))
    found = selftaught.check(pattern, encoder="test_resnet", size=16, tolerance=1)
    assert found.passed_over == 7 and len(found.ignored) == 6 and found.notes[0].startswith("members of its tars")
    assert ("s-0.tar/0000.txt", "passed over: not named like an image; one of 2") in found.files()
    capsys.readouterr()
    selftaught.pretrain(pattern, out=tmp_path / "run", **{**FAST, "steps": 1, "batch_size": 2})
    assert "members of its tars that are passed over: 2 .txt not" in capsys.readouterr().err
    tar(tmp_path / "s-0.tar", [("a.psd", b"a")])
    tar(tmp_path / "s-1.tar", [("b.psd", b"b")])
    with pytest.raises(DataError, match=r"in its 2 shards; what they hold is 2 .psd not named like an image"):
        open_source(pattern)


def test_many_kinds_of_members_take_no_more_room_in_an_index_than_a_few(tmp_path: Path) -> None:
    tar(tmp_path / "s-0.tar", [*sample(0), *((f"a.{number}", b"") for number in range(100))])
    tar(tmp_path / "s-1.tar", sample(1))
    source = open_source(str(tmp_path / "s-{0..1}.tar"))
    assert len(source.passed) <= 17 and sum(one.count for one in source.passed) == 100
    clean = open_source(written(tmp_path))
    assert not clean.passed and not clean.notes


def test_what_is_missing_cut_or_no_shard_is_named(tmp_path: Path) -> None:
    pattern = written(tmp_path)
    (tmp_path / "train-001.tar").unlink()
    with pytest.raises(DataError, match=r"train-001.tar does not exist; it is one of the 4 files of"):
        open_source(pattern)
    whole = (tmp_path / "train-000.tar").read_bytes()
    (tmp_path / "train-001.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"train-001.tar cannot be read as a tar: unexpected end of data"):
        open_source(pattern)
    for name in ("x-0.csv", "x-1.csv"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"names files of .csv: shards are .tar files, uncompressed, or .parquet"):
        open_source(str(tmp_path / "x-{0..1}.csv"))
    assert expanded("a-{08..11}{x,yy}.tar")[:3] == ["a-08x.tar", "a-08yy.tar", "a-09x.tar"]
    with pytest.raises(UsageError, match=r"\{0..9999999\} stands for more than 1,000,000 files"):
        open_source(str(tmp_path / "t-{0..9999999}.tar"))
    assert expanded("{9..10}") == ["9", "10"] and expanded("{3..1}") == expanded("a") == expanded("a{b}") == []


def test_parquet_files_of_one_name_have_keys_of_their_own(tmp_path: Path) -> None:
    for part, name in enumerate(("cats", "dogs")):
        (tmp_path / name / "x").mkdir(parents=True)
        parquet.write_table(struct(12 * part, 12 * part + 12), tmp_path / name / "x" / "0000.parquet")
    source = open_source(str(tmp_path / "{cats,dogs}/x/0000.parquet"))
    assert [source.keys[row] for row in (0, 11, 12)] == ["cats/x/0000/0", "cats/x/0000/11", "dogs/x/0000/0"]
    (tmp_path / "labels.csv").write_text("key,label\ndogs/x/0000/0,other\ncats/x/0000/1,one\n")
    labels = labels_for(tmp_path / "labels.csv", source.keys, "images")
    assert {row: label for row, label in enumerate(labels) if label} == {1: "one", 12: "other"}


def test_a_run_learns_from_shards_and_is_judged_by_their_labels(tmp_path: Path) -> None:
    pattern = written(tmp_path, cls=plain)
    run = selftaught.pretrain(pattern, out=tmp_path / "run", memory=0, cache=0, **FAST)
    assert run.status["state"] == "done" and run.recipe.data == pattern
    found = run.evaluate(pattern, probe="knn", pretrained="none", repeats=1)
    assert found.classes == ["ant", "bee"] and found.train_samples == COUNT
    tar(tmp_path / "train-002.tar", [m for row in range(6) for m in sample(row)])
    with pytest.raises(UsageError, match=r"cannot resume: .*6 of 24 images hold something else; the first is train"):
        selftaught.pretrain(pattern, out=run.folder, resume=True)
    assert len(LocalShard(tmp_path / "train-000.tar", "x").tag()) == 5
