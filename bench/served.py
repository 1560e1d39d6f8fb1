"""Tars on a web server of this machine, in a process of its own: the row `remote` of bench/input.py.

What is measured beside the same tars on the disk is what fetching and keeping blocks costs, and no network.
"""

import atexit
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def served(tars: str | Path) -> str:
    """The address of a folder of tars, for as long as this process lives."""
    command = [sys.executable, "-m", "tests.data.loopback", str(Path(tars).resolve())]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)  # which ends what it waits for
    assert server.stdout is not None
    return server.stdout.readline().strip()
