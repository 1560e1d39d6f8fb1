"""What every test runs under: one torch thread a worker, no network but loopback, and no home folder."""

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise RuntimeError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    yield


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
