"""The suite talks to nobody: whatever would leave this machine raises before it does, loopback excepted."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from selftaught.system.telemetry import OFF

ELSEWHERE = "192.0.2.1"  # an address that is nobody's (RFC 5737)


def datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", (ELSEWHERE, 9))


def stream() -> None:
    with socket.socket() as one:
        one.connect_ex((ELSEWHERE, 80))


@pytest.mark.parametrize(
    "reach",
    [
        stream,
        datagram,
        lambda: socket.create_connection((ELSEWHERE, 80), timeout=1),
        lambda: socket.getaddrinfo("example.org", 443),
        lambda: socket.gethostbyname("example.org"),
        lambda: urllib.request.urlopen("http://example.org/"),
    ],
)
def test_another_machine_is_out_of_reach(reach: Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match="a test tried to reach"):
        reach()


def test_loopback_is_within_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        one.sendall(b"x")
        assert server.accept()[0].recv(1) == b"x"


def test_what_export_imports_leaves_no_number_of_the_machine_at_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    told = {name: value for name, value in os.environ.items() if name not in OFF} | {"HOME": str(home)}
    # No encoder: what is imported for the export comes first, and is all that this asks for.
    lines = (
        "import sys\nfrom selftaught.run.onnx import to_onnx\ntry:\n    to_onnx(None, None)\nexcept AttributeError:\n"
    )
    subprocess.run([sys.executable, "-c", lines + "    assert 'onnxruntime' in sys.modules"], env=told, check=True)
    assert list(home.rglob("*")) == []


def test_requests_to_the_hub_tell_nothing_of_what_else_is_installed_or_runs() -> None:
    told = {name: value for name, value in os.environ.items() if name not in OFF} | {"AI_AGENT": "somebody"}
    lines = "from selftaught.commands.cli import main\ntry:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
    lines += "from huggingface_hub.utils import build_hf_headers\nprint(build_hf_headers()['user-agent'])"
    asked = [sys.executable, "-c", lines]
    said = subprocess.run(asked, env=told, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    assert "hf_hub/" in said and "torch/" not in said and "agent/" not in said
