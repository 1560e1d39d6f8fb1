"""Work done in forks of a process that has imported torch and never computes: each costs little, and may die."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selftaught.commands.cli import run_command

PATIENCE = 300.0  # seconds a child may take


def quietly(words: list[str], said: Path | None = None) -> int:
    """Run a command; what it says goes to a file or nowhere."""
    with (said or Path(os.devnull)).open("w") as stream:
        sys.stderr = stream
        return run_command(words)


def forked(work: Callable[[], Any]) -> int:
    """The number of a child that does `work`, silently."""
    pid = os.fork()
    if pid == 0:
        try:
            with Path(os.devnull).open("w") as stream:
                sys.stderr = stream
                work()
            os._exit(0)
        except BaseException:
            sys.stderr = sys.__stderr__
            traceback.print_exc()
            os._exit(1)
    return pid


def child(work: Callable[[], Any], patience: float = PATIENCE) -> int:
    """What a child that does `work` exits with."""
    return reaped(forked(work), patience)


def over(pid: int) -> bool:
    """Whether a child has ended; it stays to be reaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def reaped(pid: int, patience: float = PATIENCE) -> int:
    """What a child exits with; one that takes longer than that is killed."""
    deadline = time.monotonic() + patience
    while not over(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def wait_until(what: Callable[[], Any], pid: int) -> None:
    """Wait for something a child does, or for its end."""
    deadline = time.monotonic() + PATIENCE
    while not what() and not over(pid) and time.monotonic() < deadline:
        time.sleep(0.0005)
