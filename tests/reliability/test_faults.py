"""A fault at every write, flush and rename of a save: the old state or the new one, bit for bit, and never less."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from selftaught.commands.python import Run
from selftaught.run import checkpoint
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import SelftaughtError
from selftaught.system.files import write_together
from selftaught.system.reading import yaml_in
from selftaught.training.pretrain import pretrain
from tests.networks import HALVED
from tests.reliability.faults import CODES, at_point, dying, failing, files_no_larger_than, in_child, points
from tests.reliability.states import TINY


def groups(number: int) -> dict[str, dict[str, torch.Tensor]]:
    draws = torch.Generator().manual_seed(number)
    return {name: {"w": torch.randn(50, generator=draws)} for name in ("model", "optimizer")}


def save(folder: Path, number: int) -> None:
    checkpoint.save(folder, number, groups(number), {"note": number})


def loaded_step(folder: Path) -> int:
    """The step that a run would go on from, after comparing every bit of it."""
    found, state, _ = checkpoint.load_newest(folder)
    number = state["step"]
    assert state["note"] == number
    for group, tensors in groups(number).items():
        assert torch.equal(found[group]["w"], tensors["w"])
    last = checkpoint.named(folder, "last")
    assert last and checkpoint.load(last)[1]["step"] in (number, number - 1)
    return number


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of flushes cost nothing there."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


# Step 3 is new and makes step 1 leave; step 2 is there and saved again, as after a damaged one was passed over.
@pytest.mark.parametrize("step", [3, 2])
def test_a_fault_anywhere_in_a_save_leaves_the_old_state_or_the_new_one(step: int, memory_disk: Path) -> None:
    assert struck_everywhere(step, memory_disk) > 90


def struck_everywhere(step: int, disk: Path) -> int:
    """Strike every touching call of a save of `step` after 1 and 2, in three ways; how many faults were survived."""
    folder, before = disk / "checkpoints", disk / "before"

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(before, folder)

    save(before, 1)
    save(before, 2)
    prepare()
    calls = points(lambda: save(folder, step))
    assert {"serialize_file", "write", "fsync", "replace", "mkdir", "rmdir"} <= set(calls) and len(calls) > 30
    for number, name in enumerate(calls):  # what was written is flushed before it gets its name
        assert name not in ("serialize_file", "flush") or calls[number + 1] == "fsync", calls

    for number, name in enumerate(calls):
        for strike in (*map(failing, CODES), None):
            prepare()
            if strike:
                with suppress(OSError), at_point(number, strike):
                    save(folder, step)
            else:

                def die(number: int = number) -> None:
                    with at_point(number, dying):
                        save(folder, step)

                assert in_child(die) == 99
            where = f"{name}, call {number}"
            assert loaded_step(folder) in (step, 2), where
            save(folder, 7)
            assert loaded_step(folder) == 7, where
            assert checkpoint.named(folder, "last") == folder / "step_0000007", where
            left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
            assert not left or (strike and name in ("unlink", "rmdir")), where  # this process lives: it may not sweep
    return 3 * len(calls)


def test_a_fault_anywhere_in_an_export_leaves_the_old_one_or_the_new_one_whole(tmp_path: Path) -> None:
    old, new = ({name: f"{word} {name}" * 99 for name in ("weights", "config")} for word in ("old", "new"))
    write_together(tmp_path, old)
    calls = points(lambda: write_together(tmp_path, new))
    for number, name in enumerate(calls):
        write_together(tmp_path, old)
        with suppress(OSError), at_point(number, failing(errno.ENOSPC)):
            write_together(tmp_path, new)
        for file in old:
            assert (tmp_path / file).read_text() in (old[file], new[file]), name
    first = calls.index("replace")
    for number in range(first):  # until all are on the disk, all are the old ones
        write_together(tmp_path, old)
        assert in_child(lambda number=number: dies_at(number, lambda: write_together(tmp_path, new))) == 99
        assert {file: (tmp_path / file).read_text() for file in old} == old


def dies_at(number: int, work: Callable[[], None]) -> None:
    with at_point(number, dying):
        work()


def test_a_write_that_the_kernel_cuts_short_leaves_the_last_good_state(tmp_path: Path) -> None:
    save(tmp_path, 1)
    whole = (tmp_path / "step_0000001" / "model.safetensors").stat().st_size
    for size in (0, 100, whole - 1):

        def cut(size: int = size) -> None:
            with files_no_larger_than(size), pytest.raises(OSError) as caught:
                save(tmp_path, 2)
            assert caught.value.errno == errno.EFBIG

        assert in_child(cut) == 0
        assert loaded_step(tmp_path) == 1 and not list(tmp_path.glob(".*"))
    save(tmp_path, 2)
    assert loaded_step(tmp_path) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB of its own, where mounting is allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    told = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], capture_output=True, text=True)
    if told.returncode:
        pytest.skip(f"no disk of its own can be mounted: {told.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_gives_up_the_oldest_checkpoint_and_keeps_the_last(small_disk: Path) -> None:
    folder = small_disk / "checkpoints"

    def sized(number: int, best: bool = False) -> None:
        checkpoint.save(folder, number, {"model": {"w": torch.full((150_000,), float(number))}}, {}, best=best)

    sized(1)
    sized(2)
    sized(3)  # 600 kB each: the third only fits a full disk for a moment
    free = shutil.disk_usage(small_disk).free
    (small_disk / "other").write_bytes(b"x" * (free - 50_000))
    sized(4)  # step 2 made room
    assert [path.name[-1] for path in checkpoint.steps(folder)] == ["3", "4"]
    (small_disk / "more").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 20_000))
    (small_disk / "best").touch()
    sized(5, best=True)  # step 3 made room
    with suppress(OSError):
        (small_disk / "rest").write_bytes(b"x" * 2_000_000)
    for path in checkpoint.steps(folder)[:-1]:
        shutil.rmtree(path)
    with suppress(OSError), (small_disk / "rest2").open("wb", buffering=0) as stream:
        while stream.write(b"x" * 4096):
            pass
    with pytest.raises(OSError) as caught:  # the only one left is never given up
        sized(6)
    assert caught.value.errno == errno.ENOSPC
    assert checkpoint.load_newest(folder)[1]["step"] == 5 and not list(folder.glob(".*"))


def command(out: Path, **more: object) -> Pretrain:
    values = {
        "data": "sklearn:digits",
        "limit": 32,
        "method": "rotation",
        "encoder": HALVED,
        "size": 16,
        "steps": 4,
        "out": str(out),
    }
    return Pretrain.parse({**TINY, **values, **more})


def test_training_goes_on_while_a_disk_is_full_and_resumes_from_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk fills up after the first step and, the second time, has room again at the third."""
    room, log = {"free": 1 << 40}, []
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=room["free"]))
    from selftaught.training.following import Follower

    follow = Follower.__call__

    def filling(self: Follower, step: int, terms: dict[str, torch.Tensor]) -> None:
        follow(self, step, terms)
        log.append(step)
        room["free"] = free_after(step)

    monkeypatch.setattr(Follower, "__call__", filling)
    free_after = lambda step: 0  # noqa: E731
    with pytest.raises(SelftaughtError, match=r"step 4 could not be saved.*step_0000001 is kept") as caught:
        pretrain(command(tmp_path / "run"))
    assert caught.value.exit_code == 75 and log == [1, 2, 3, 4]
    assert capsys.readouterr().err.count("training goes on") == 2
    assert Run(tmp_path / "run").status["state"] == "preempted"
    room["free"] = 1 << 40
    free_after = lambda step: 1 << 40 if step >= 3 else 0  # noqa: E731
    run = pretrain(command(tmp_path / "run", resume=True))
    assert run.status["state"] == "done" and [line["step"] for line in run.metrics()] == [1, 2, 3, 4]
    assert checkpoint.load_newest(run.checkpoints)[1]["step"] == 4


def test_a_run_that_cannot_fit_is_refused_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5_000_000))
    with pytest.raises(SelftaughtError, match=r"a run writes \d+ MB .* and 5 MB are free") as caught:
        pretrain(command(tmp_path / "run"))
    assert caught.value.exit_code == 2 and not (tmp_path / "run").exists()


def test_a_recipe_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    command(tmp_path, seed=1).save(file)
    calls = points(lambda: command(tmp_path, seed=2).save(file))
    for number in range(len(calls)):
        with suppress(OSError), at_point(number, failing(errno.ENOSPC)):
            command(tmp_path, seed=2).save(file)
        assert yaml_in(file)["seed"] in (1, 2)
        assert list(tmp_path.iterdir()) == [file]
