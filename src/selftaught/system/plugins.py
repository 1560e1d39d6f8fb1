"""Packages of other people, of which anything can be wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from selftaught.system.saying import say
from selftaught.system.text import printable


@contextmanager
def left_out_if_broken(what: str) -> Iterator[None]:
    """Where something of somebody else's raises, say what is left out and why, and go on without it."""
    try:
        yield
    except Exception as error:
        say(f"warning: {what} is left out: {printable(f'{type(error).__name__}: {error}')}")
