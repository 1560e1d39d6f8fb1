"""Packages of other people, of which anything can be wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from selftaught.system.errors import SelftaughtError
from selftaught.system.saying import say
from selftaught.system.text import printable


def fault(error: BaseException) -> str:
    """What went wrong in something of somebody else's, in a line; what is said for people needs no name of its kind."""
    return printable(str(error) if isinstance(error, SelftaughtError) else f"{type(error).__name__}: {error}")


@contextmanager
def left_out_if_broken(what: str) -> Iterator[None]:
    """Where something of somebody else's raises, say what is left out and why, and go on without it."""
    try:
        yield
    except Exception as error:
        say(f"warning: {what} is left out: {fault(error)}")
