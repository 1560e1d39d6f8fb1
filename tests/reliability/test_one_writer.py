"""One writer in a run folder: a second is refused and harms nothing; what dead ones left is taken over."""

import fcntl
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from selftaught.commands.cli import run_command
from selftaught.data import storage
from selftaught.data.images.samples import open_samples
from selftaught.run.folder import RunFolder, fresh_folder
from selftaught.system import clock
from selftaught.system import lock as writer
from selftaught.system.errors import UsageError
from selftaught.system.files import left_behind, temporary_for
from selftaught.system.lock import LOCK, is_alone_in, may_be_written, only_writer, refuse_held
from tests.children import Child, child
from tests.networks import HALVED, flags
from tests.reliability.faults import in_child

QUICK = ["--method", "rotation", *flags(HALVED), "--steps", "2", "--batch-size", "8", "--size", "16"]
QUICK += ["--precision", "32-true", "--layout", "contiguous", "--limit", "32"]


def holding(folder: Path) -> Callable[[Child], None]:
    """A child's work: to write in a folder until it is killed."""

    def work(here: Child) -> None:
        with only_writer(folder):
            here.stop_here()

    return work


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("how", ["--resume", "--overwrite"])
def test_a_second_run_in_a_folder_is_refused_and_harms_nothing(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text("data: sklearn:digits\nout: x\n")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with child(holding(tmp_path)) as first:
        first.wait_for()
        before = content(tmp_path)
        assert run_command(["pretrain", "sklearn:digits", *QUICK, "--out", str(tmp_path), how]) == 2
        told = capsys.readouterr().err
        assert f"is being written by process {first.pid} on {writer.host()} since" in told and told.count("\n") == 1
        assert content(tmp_path) == before
    with only_writer(tmp_path):  # its lock died with it
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_two_runs_that_start_at_once_become_one(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["pretrain", "sklearn:digits", *QUICK, "--out", str(out)]
    codes: list[int] = []
    barrier = threading.Barrier(2)

    def start() -> None:
        barrier.wait()
        codes.append(run_command(command))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [0, 2]
    assert RunFolder(out).status["state"] == "done" and not (out / LOCK).exists()
    assert [line["step"] for line in RunFolder(out).metrics()] == [1, 2]


@pytest.mark.parametrize(
    "facts",
    [
        {"pid": 1, "birth": "0123"},  # the number is another process's by now
        {"pid": 2**22 + 1, "birth": "0"},  # there is no such process
        {"pid": None},
    ],
)
def test_a_lock_without_its_process_is_taken_over(facts: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(json.dumps({"host": writer.host(), **facts}))
    with only_writer(tmp_path):
        pass
    for damaged in ("", '{"host', '{"host": "a", ', "\0" * 50):
        (tmp_path / LOCK).write_text(damaged)
        with only_writer(tmp_path):
            pass


@pytest.fixture(params=["nfs4", "cifs", "lustre", "fuse.sshfs", "9p", ""])
def afar(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders lie where other machines may write as well, or nobody knows where."""
    monkeypatch.setattr(writer, "_file_system", lambda handle: request.param)


@pytest.mark.usefixtures("afar")
def test_another_hosts_lock_is_refused_with_the_way_to_remove_it(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(json.dumps({"host": "node17", "pid": 5, "birth": "1", "started": "2026-01-01"}))
    assert may_be_written(tmp_path)
    with (
        pytest.raises(UsageError, match=r"process 5 on node17 .* if it has ended, remove .*lock"),
        only_writer(tmp_path),
    ):
        pass
    (tmp_path / LOCK).unlink()
    with only_writer(tmp_path):
        assert not is_alone_in(tmp_path)


def named_otherwise(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As in a container, which has a host name of its own."""
    monkeypatch.setattr(writer, "host", lambda: name)


def test_what_a_killed_container_leaves_is_taken_over_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.access("/proc/self/mountinfo", os.R_OK):
        pytest.skip("which file system a folder lies on is not known here")
    named_otherwise(monkeypatch, "pod-1")

    def work(here: Child) -> None:
        with only_writer(tmp_path):
            temporary_for(tmp_path / "status.json").touch()
            here.stop_here()

    with child(work) as first:
        first.wait_for()
        named_otherwise(monkeypatch, "pod-2")
        assert may_be_written(tmp_path)
        with pytest.raises(UsageError, match=r"by process .* on pod-1"), only_writer(tmp_path):
            pass
    assert not may_be_written(tmp_path)
    (half,) = tmp_path.glob(".*")
    assert left_behind(tmp_path) == []  # of another host, and this process does not hold the folder
    mine = temporary_for(tmp_path / "status.json")
    mine.touch()
    (tmp_path / ".notes~mine~1").touch()  # somebody's own
    with only_writer(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["host"] == "pod-2"
        assert left_behind(tmp_path) == [half] and left_behind(tmp_path, shared=["status.json"]) == []


def test_a_lock_of_a_client_that_this_machine_serves_is_seen(tmp_path: Path) -> None:
    """A server locks the file for its clients by ranges, which is another lock than that of its own processes."""
    (tmp_path / LOCK).write_text(json.dumps({"host": "client", "pid": 5, "birth": "1", "started": "2026-01-01"}))

    def work(here: Child) -> None:
        with (tmp_path / LOCK).open("rb+") as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX)
            here.stop_here()

    with child(work) as client:
        client.wait_for()
        assert may_be_written(tmp_path)
        with pytest.raises(UsageError, match="by process 5 on client"), only_writer(tmp_path):
            pass
    with only_writer(tmp_path):
        pass


def test_whoever_looks_whether_a_folder_is_written_is_in_no_writers_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LOCK).touch()
    looker = os.open(tmp_path / LOCK, os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)  # for the moment of a look
    monkeypatch.setattr(writer.time, "sleep", lambda seconds: fcntl.flock(looker, fcntl.LOCK_UN))
    with only_writer(tmp_path):
        assert may_be_written(tmp_path)
    os.close(looker)


def test_a_lock_that_is_nested_beyond_what_can_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"host": "a", "pid": ' + "[" * 4000)
    refuse_held(tmp_path)
    assert not may_be_written(tmp_path)


@pytest.mark.parametrize("content", ["my notes", "[]", '{"holder": "me"}'])
def test_somebodys_own_file_called_lock_is_left_alone(content: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(content)
    with pytest.raises(UsageError, match="lock is not a lock of selftaught's"), only_writer(tmp_path):
        pass
    assert (tmp_path / LOCK).read_text() == content


def test_a_lock_that_is_a_link_or_a_pipe_is_refused_and_what_it_points_to_stays(tmp_path: Path) -> None:
    mine, folder = tmp_path / "mine", tmp_path / "run"
    mine.write_text("")  # which would pass for a lock that was cut short
    folder.mkdir()
    (folder / LOCK).symlink_to(mine)
    with pytest.raises(UsageError, match="lock is a link, which is not followed: remove it"), only_writer(folder):
        pass
    assert mine.exists() and (folder / LOCK).is_symlink()
    (folder / LOCK).unlink()
    os.mkfifo(folder / LOCK)
    with pytest.raises(UsageError, match="lock is no regular file: remove it"), only_writer(folder):
        pass
    assert may_be_written(folder)


def test_a_signature_tells_a_process_from_a_later_one_of_its_number() -> None:
    assert not writer.is_gone(writer.signature())
    assert writer.is_gone(f"{writer.host()}-{os.getpid()}-0123")
    with child(Child.stop_here) as forked:
        signed = f"{writer.host()}-{forked.pid}-{writer.birth(forked.pid)}"
        assert not writer.is_gone(signed)
    assert writer.is_gone(signed)
    assert not writer.is_gone("elsewhere-1-0") and not writer.is_gone("nonsense")


def test_default_folders_are_never_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(fresh_folder("x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(folder.name for folder in folders) == [f"x-{number}" for number in range(1, 9)]


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number:03d}.png")
    return folder


def test_a_cache_built_by_several_jobs_at_once_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = pictures(tmp_path / "x", 60)
    (root / "007.png").write_bytes(b"broken")
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "WORTH_CACHING", 0)
    rows = np.arange(59)
    whole = open_samples(root, cache=0, tolerance=0.5).batch(rows)[0]

    def read(memory: int, cache: int | None) -> None:
        for _ in range(3):
            images = open_samples(root, memory=memory, cache=cache, tolerance=0.5)
            assert torch.equal(images.batch(rows)[0], whole) and len(images.quarantined) == 1

    ways: list[tuple[int, int | None]] = [(100, None), (1 << 30, None), (100, 0)]  # mapped, in memory, streamed
    children = [os.fork() or os._exit(in_child(lambda way=way: read(*way))) for way in ways * 2]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    left = {path.name.split(".", 1)[1] for path in (tmp_path / "cache").iterdir() if path.is_file()}
    assert {"json", "npy"} <= left <= {"json", "npy", "whole.json"}  # nothing half-written
    read(100, None)


def test_a_cache_that_is_only_for_reading_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = pictures(tmp_path / "x", 12)
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "WORTH_CACHING", 0)
    monkeypatch.setattr(clock, "wall", lambda: time.time() + 60)  # long after the files were written
    open_samples(root)

    def denied(*_: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(os, "utime", denied)
    decoded: list[int] = []
    open_samples(root, progress=lambda done, total: decoded.append(done))
    assert not decoded


def test_a_read_only_data_folder_is_enough_and_stays_as_it_was(photos: Path, tmp_path: Path) -> None:
    """Read by a user who may not write there, from a folder that everybody may enter."""
    folders = [photos, *(path for path in photos.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    before = {str(path): path.stat().st_mtime_ns for path in (photos, *photos.rglob("*"))}
    entered = [parent for parent in photos.parents if not parent.stat().st_mode & 0o001]
    if os.getuid() == 0 and not all(parent.is_relative_to(tempfile.gettempdir()) for parent in entered):
        pytest.skip("the folder of temporary files is not one that another user may enter")
    modes = {parent: parent.stat().st_mode for parent in entered}
    try:
        for parent in entered:
            parent.chmod(parent.stat().st_mode | 0o111)
        out = tmp_path / "out"
        out.mkdir(mode=0o777)
        out.chmod(0o777)

        def as_nobody() -> None:
            os.environ["SELFTAUGHT_CACHE"] = str(out / "cache")
            if os.getuid() == 0:  # whom no mode keeps from writing
                os.setgid(65534)
                os.setuid(65534)
            with pytest.raises(PermissionError):
                (photos / "x").touch()
            assert run_command(["pretrain", str(photos), *QUICK, "--out", str(out / "run")]) == 0

        assert in_child(as_nobody) == 0
    finally:
        for parent, mode in modes.items():
            parent.chmod(mode)
        for folder in folders:
            folder.chmod(0o755)
    assert RunFolder(out / "run").status["state"] == "done"
    assert {str(path): path.stat().st_mtime_ns for path in (photos, *photos.rglob("*"))} == before
