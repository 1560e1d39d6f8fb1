"""Connections that a network may cut without a word."""

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

UNANSWERED = 15.0  # seconds after which what was sent and not even received counts as lost; the system's own are 900
OWN = Path("/proc/self/fd")  # on Linux


def refuse_silence(port: int) -> None:
    """Let this process's connections to a port break where nothing of what it sends arrives any more.

    Whoever asks there waits for an answer without end, if the other machine is gone and nobody is left to close the
    connection. Those that torch has made are known to the system alone, so they are looked for among its files.
    """
    if sys.platform != "linux":
        return
    for file in OWN.iterdir() if OWN.is_dir() else ():
        with suppress(OSError), _socket(int(file.name)) as own:
            if own.family in (socket.AF_INET, socket.AF_INET6) and own.getpeername()[1] == port:
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * UNANSWERED))


def _socket(handle: int) -> socket.socket:
    """Another handle of an open socket, to be closed. Raises OSError of anything else."""
    copy = os.dup(handle)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
