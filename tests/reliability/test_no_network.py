"""The suite talks to nobody: whatever would leave this machine raises before it does, loopback excepted."""

import socket
import urllib.request
from collections.abc import Callable

import pytest

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
