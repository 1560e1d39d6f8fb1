"""Work without what only Linux or POSIX has: what this machine has besides is taken away, and asking for it fails."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selftaught.judging.sorting import MARKS
from selftaught.system import memory
from selftaught.system.files import write_json
from selftaught.system.lock import LOCK, may_be_written, only_writer
from selftaught.system.regular import opened, read_at, write_at

POSIX = ("pread", "pwrite", "sysconf", "fork", "getuid", "nice", "sched_getaffinity", "mkfifo")
# In a process of its own, as the platform is asked when modules are imported.
WINDOWS = """
import os, sys
from types import SimpleNamespace
import selftaught.system.precision, numpy, sklearn.datasets, torch, timm, torchvision, pydantic
import rich.progress, click
for name in POSIX: delattr(os, name)
os.supports_fd = os.supports_dir_fd = set()
open_file = os.open
def opened(path, flags, *more, **how):
    if os.path.isdir(path): raise PermissionError(13, "Permission denied", str(path))
    return open_file(path, flags, *more, **how)
os.open = opened
for name in [name for name in sys.modules if name.startswith("selftaught")]: del sys.modules[name]
sys.modules["fcntl"] = None
sys.modules["psutil"] = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(total=8 << 30, available=4 << 30))
sys.platform = "win32"
from selftaught.commands.cli import run_command
quick = ["--method", "vime", "--batch-size", "16", "--precision", "32-true", "--layout", "contiguous"]
assert run_command(["pretrain", "sklearn:wine", "--steps", "2", *quick, "--out", "run"]) == 0
assert run_command(["pretrain", "sklearn:wine", "--out", "run", "--resume"]) == 0
assert run_command(["pretrain", "sklearn:wine", "--steps", "2", "--devices", "2", "--device", "cpu", "--out", "b"]) == 2
assert not os.path.exists("run/lock")
"""


def test_a_run_is_made_and_resumed_without_what_windows_lacks(tmp_path: Path) -> None:
    script = f"POSIX = {[name for name in POSIX if hasattr(os, name)]}" + WINDOWS
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "--devices 2 starts processes, for which Linux or macOS is needed" in ran.stderr


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    for name in ("pread", "pwrite", "sysconf"):
        monkeypatch.delattr(os, name)


@pytest.mark.usefixtures("windows")
def test_files_are_written_in_places_and_whole_on_windows(tmp_path: Path) -> None:
    handle = opened(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    write_at(handle, b"abcdef", 0)
    write_at(handle, b"XY", 2)
    assert read_at(handle, 3, 1) == b"bXY"
    os.close(handle)
    write_json(tmp_path / "a.json", {"a": 1})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'


@pytest.mark.usefixtures("windows")
def test_a_lock_that_cannot_be_removed_while_it_is_open_is_removed_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles, unlink = set[int](), Path.unlink
    monkeypatch.setattr("selftaught.system.lock._opened", lambda file: handles.add(held := opened_file(file)) or held)

    def refusing(self: Path, *more: Any) -> None:
        if any(is_open(handle) for handle in handles):
            raise PermissionError(13, "it is open")
        unlink(self, *more)

    monkeypatch.setattr(Path, "unlink", refusing)
    with only_writer(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists() and not may_be_written(tmp_path)


def opened_file(file: Path) -> int:
    return opened(file, os.O_RDWR | os.O_CREAT)


def is_open(handle: int) -> bool:
    try:
        os.fstat(handle)
    except OSError:
        return False
    return True


def test_memory_is_told_by_psutil_where_the_system_has_no_such_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(total=5, available=3)
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(virtual_memory=lambda: told))
    assert memory.unused_memory() > 5
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.unused_memory() == 3 and memory.machine_memory() > 5
    monkeypatch.setattr(sys, "platform", "win32")
    assert memory.machine_memory() == 5


def test_marks_of_folders_are_those_of_this_system() -> None:
    assert {*MARKS} >= {"/", "\\", "\0"} and (":" in MARKS) == (sys.platform == "win32")
