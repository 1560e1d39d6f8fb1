"""Data of which only a sample is looked at: the same batches, no read of what nobody asks for, no list of numbers."""

import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from selftaught.data import first_pass
from selftaught.data.first_pass import ALL_UP_TO, Every, by_sample
from selftaught.data.images.samples import Images, open_samples
from selftaught.data.opening import picked
from selftaught.data.replacing import TRIES, standing
from selftaught.data.sources import index
from selftaught.data.sources.files import Files
from selftaught.data.sources.index import ROW, Part
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import DataError
from selftaught.system.interruption import stopping
from selftaught.training.batches import Batches
from selftaught.training.resolve import open_data
from tests.data.test_shards import written

COUNT, SEED = 40, 3


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_pass, "LOOKED_AT", 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for row in range(COUNT):
        pixels = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{row:02d}.png")
    return tmp_path / "images"


def spoilt(folder: Path, *rows: int) -> Path:
    for row in rows:
        (folder / f"{row:02d}.png").write_bytes(b"no image")
    return folder


def opened(data: Path | str, **how: Any) -> Images:
    return open_samples(data, **{"first_pass": "sample", "seed": SEED, "tolerance": 0.2, **how})


def batches(samples: Images, steps: int = 7) -> list[torch.Tensor]:
    made = Batches(samples, samples.views(("strong", "plain")), batch_size=8, seed=1)
    return [view for step in range(steps) for view in made(step)]


def test_a_million_are_all_looked_at_and_more_are_not_unless_somebody_says() -> None:
    assert [by_sample("auto", count) for count in (ALL_UP_TO, ALL_UP_TO + 1)] == [False, True]
    assert by_sample("sample", 2) and not by_sample("all", 10**10)


def test_batches_are_those_of_who_has_looked_at_all(folder: Path) -> None:
    wanted, found = opened(folder, first_pass="all"), opened(folder, workers=3)
    assert found.preparation == wanted.preparation and found.count == COUNT
    assert all(map(torch.equal, batches(found), batches(wanted)))
    assert found.sampled is not None and wanted.sampled is None
    assert found.notes[-1].startswith("8 of 40 were looked at before the first step")


def test_only_the_sample_is_read_before_the_first_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = set[int]()
    made = Files.__init__

    def init(self: Files, name: str, keys: list[str], sizes: Any, read: Any, *more: Any) -> None:
        made(self, name, keys, sizes, lambda row: asked.add(row) or read(row), *more)

    monkeypatch.setattr(Files, "__init__", init)
    samples = opened(folder)
    assert samples.fingerprint and samples.digests() is None and len(samples.keys) == COUNT
    assert sorted(asked) == first_pass.looked_at(COUNT).tolist()


def test_a_broken_image_is_replaced_alike_however_many_threads_there_are(folder: Path) -> None:
    broken = [1, 2, 33]
    whole = batches(opened(folder, first_pass="all"))
    first = next(row for row in standing(7, SEED, COUNT) if row != 7)
    samples = [opened(spoilt(folder, *broken, 7, first), workers=workers) for workers in (1, 5)]
    made = [batches(one) for one in samples]
    assert all(map(torch.equal, *made)) and not all(map(torch.equal, made[0], whole))
    for row in (*broken, 7):
        stands = next(place for place in standing(row, SEED, COUNT) if place not in (*broken, 7, first))
        assert torch.equal(samples[0].batch(np.array([row]))[0], samples[0].batch(np.array([stands]))[0])
    met = samples[0].replaced(np.array([7, 8]))
    assert sorted(met) == sorted({7, first}) and "not an image" in met[7]
    part = samples[0].subset(np.array([6, 7]))
    assert torch.equal(part.batch(np.array([1]))[0], samples[0].batch(np.array([7]))[0]) and part.sampled is None


def test_what_is_known_to_be_broken_is_not_read_again(folder: Path) -> None:
    samples = opened(folder)
    before = samples.batch(np.array([4]))[0]
    samples.know_broken({4: "it was cut"})
    stands = next(row for row in standing(4, SEED, COUNT) if row != 4)
    assert torch.equal(samples.batch(np.array([4]))[0], samples.batch(np.array([stands]))[0])
    assert not torch.equal(samples.batch(np.array([4]))[0], before) and samples.replaced(np.array([4])) == {
        4: "it was cut"
    }


def test_where_nothing_can_stand_in_the_end_is_one_line(folder: Path) -> None:
    samples = opened(folder)
    samples.know_broken(dict.fromkeys(range(COUNT), "gone"))
    with pytest.raises(DataError, match=rf"{TRIES} others are broken, too; it is 09.png: gone"):
        samples.batch(np.array([9]))


def test_identity_is_of_names_sizes_and_the_sample(folder: Path, tmp_path: Path) -> None:
    known = opened(folder).fingerprint
    elsewhere = Path(shutil.copytree(folder, tmp_path / "other"))  # with other times, too
    assert opened(elsewhere).fingerprint == known and opened(folder, first_pass="all").fingerprint != known
    size = (elsewhere / "01.png").stat().st_size
    (elsewhere / "01.png").write_bytes(bytes(size))  # of no other size, and not looked at: nobody can tell
    assert opened(elsewhere).fingerprint == known
    (elsewhere / "00.png").write_bytes((elsewhere / "39.png").read_bytes())
    assert opened(elsewhere).fingerprint != known


def test_tars_are_known_by_what_their_index_says(tmp_path: Path) -> None:
    one, other = tmp_path / "a", tmp_path / "b"
    one.mkdir(), other.mkdir()
    assert opened(written(one)).fingerprint == opened(written(other)).fingerprint
    more = written(other, cls=lambda row: b"1")  # which moves what follows
    assert opened(more).fingerprint != opened(str(one / "train-{000..003}.tar")).fingerprint
    assert isinstance(opened(more).rows, Every)
    assert all(map(torch.equal, batches(opened(more), 2), batches(opened(more, first_pass="all"), 2)))


def test_a_limit_draws_its_sample_among_those_it_takes(folder: Path) -> None:
    few = opened(folder, limit=20)
    assert few.count == 20 and all(
        map(torch.equal, batches(few, 2), batches(opened(folder, first_pass="all", limit=20), 2))
    )


def test_an_index_takes_the_memory_of_one_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, opened and asked: a list of its samples would take as much as all shards together."""
    monkeypatch.setattr(index, "CHUNK", 1 << 16)
    shards, each = 40, 2500
    rows = np.zeros(each, ROW)
    rows["name"], rows["length"], rows["offset"] = np.arange(each) * 8, 8, np.arange(each) * 1024
    names = b"".join(b"%08d" % row for row in range(each))
    one = rows.nbytes + len(names)
    tracemalloc.start()
    index.written(tmp_path / "a.npy", ((f"{number}.tar", (number,), Part(rows, names)) for number in range(shards)))
    held = index.Index(tmp_path / "a.npy")
    keys = index.Keys(held, [f"{number}.tar" for number in range(shards)])
    asked = [keys[row] for row in range(0, len(keys), 1111)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert asked[5] == "2.tar/00000555" and len(keys) == shards * each
    assert peak < shards * one


def test_every_number_is_itself_and_none_is_held() -> None:
    every = Every(10**10)
    places = np.array([3, 10**10 - 1])
    assert len(every) == 10**10 and every[places] is places and every[5:8].tolist() == [5, 6, 7]
    keys = picked(range(10**10), every)  # type: ignore[arg-type]
    assert len(keys) == 10**10


def test_the_numbers_of_all_end() -> None:
    every = Every(3)
    assert list(every) == every.tolist() == [0, 1, 2] and every[-1] == 2 and 3 not in every
    with pytest.raises(IndexError):
        every[3]


def test_metadata_and_labels_are_of_all_samples(folder: Path, tmp_path: Path) -> None:
    for row in range(COUNT):
        (folder / "ab"[row % 2]).mkdir(exist_ok=True)
        (folder / f"{row:02d}.png").rename(folder / "ab"[row % 2] / f"{row:02d}.png")
    facts = tmp_path / "facts.csv"
    facts.write_text("path,patient\n" + "".join(f"{row:02d}.png,p{row // 2}\n" for row in range(COUNT)))
    samples = opened(folder)
    assert samples.told_labels() == [key[0] for key in samples.keys]
    (patient,) = samples.metadata(["patient"], str(facts))
    assert patient.cells == [f"p{int(key[2:4]) // 2}" for key in samples.keys]


def test_rows_and_arrays_say_that_all_are_looked_at(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((9, 8, 8, 3), np.uint8))
    with stopping(None) as stop:
        samples = open_data(Pretrain.parse({"data": str(tmp_path / "x.npy"), "first_pass": "sample"}), stop)
    assert samples.sampled is None and "--first-pass sample" in samples.notes[-1]
