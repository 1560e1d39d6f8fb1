"""Handles that are looked through for connections: none is left open."""

import os
import socket
import sys
from pathlib import Path

import pytest

from selftaught.system.connections import OWN, UNANSWERED, refuse_silence


@pytest.mark.skipif(sys.platform != "linux", reason="connections are looked for on Linux alone")
def test_no_handle_is_left_open_and_a_connection_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, Path(os.devnull).open():
            before = len(list(OWN.iterdir()))
            refuse_silence(port)
            assert len(list(OWN.iterdir())) == before
            wanted = round(1000 * UNANSWERED)
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == wanted
