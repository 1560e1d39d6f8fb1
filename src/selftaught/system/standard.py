"""The three streams that every process begins with, where whoever started it has closed one or reads no more."""

import os
import sys
from pathlib import Path


def hold() -> None:
    """Open what was closed, as by `2>&-`, on nothing: lines that nobody wants end no work.

    In this order each gets its own number, which no file that is opened later can have then.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - it stays
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def drop_output() -> None:
    """Let nothing become of standard output from here on, what of it is held back included."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def is_unread() -> bool:
    """Whether nobody reads standard output any more, to which something was to go."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return True
    return False
