"""What every test runs under: one torch thread a worker, no network but loopback, and no home folder."""

import gc
import ipaddress
import os
import platform
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from selftaught.system.allocator import give_back

torch.set_num_threads(1)
# Workers live long and train hundreds of networks: where a variable of this kind is set, pre-training leaves it to
# glibc to give memory back. This one changes nothing by itself; a threshold would keep glibc from finding its own.
os.environ.setdefault("MALLOC_PERTURB_", "0")

# What tests write need not outlive a power cut; that each save would is held by tests/reliability/faults.py.
os.fsync = lambda handle: None

if hasattr(signal, "SIGHUP"):  # as in a terminal, whatever started the tests: `nohup` has them ignore it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


REACHING = ("socket.connect", "socket.sendto", "socket.sendmsg")  # what Python reports before it reaches out
ASKING = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")


def no_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise before anything in this process, or a fork of it, talks to another machine or asks for its address."""
    if event in REACHING:
        target = arguments[1]
        host = target[0] if isinstance(target, tuple) else None  # the other kinds are paths on this machine
    elif event in ASKING:
        host = arguments[0][0] if isinstance(arguments[0], tuple) else arguments[0]
    else:
        return
    if host and not _is_loopback(host.decode() if isinstance(host, bytes) else str(host)):
        raise RuntimeError(f"a test tried to reach {host!r}")


def _is_loopback(host: str) -> bool:
    try:
        return host in ("localhost", platform.node()) or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


sys.addaudithook(no_network)  # of the whole session: collecting and shared fixtures, too


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, which tests leave idle that wait for processes of their own."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """What is imported stays: no later collection need go through it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """A test and the fixtures made for it draw the same numbers by torch, whichever tests its process ran before."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    yield


@pytest.fixture(autouse=True, scope="module")
def freed_memory() -> Iterator[None]:
    """What the tests of a file leave to be collected is given back to the system before the next file's."""
    yield
    gc.collect()
    give_back()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 48 small colour JPEGs in two labelled sub-folders, each kind with its own hue."""
    rng = np.random.default_rng(0)
    for label, tint in (("blue", (30, 60, 200)), ("red", (200, 60, 30))):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(24):
            noise = rng.integers(-30, 30, (16, 16, 3))
            pixels = np.clip(np.array(tint) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).resize((16, 16)).save(folder / f"{number:03d}.jpg", quality=95)
    return tmp_path / "photos"
