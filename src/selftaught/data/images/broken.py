"""How many images may be broken, and what is said where more are."""

from selftaught.data.sources.arrays import NOT_FINITE
from selftaught.data.storage import Failures
from selftaught.system.errors import BrokenData
from selftaught.system.text import printable

NAMED = 3  # of the broken images, in an error


def refuse_broken(name: str, count: int, tolerance: float, sampled: bool, failed: Failures) -> None:
    """Raise BrokenData where too many of `count` images, which may be a sample, cannot be decoded, or used."""
    if too_many(failed, count, tolerance):
        verb = "used" if failed[0][1] == NOT_FINITE else "decoded"  # of an array they are pixels already
        things = f"images{' looked at' * sampled} in {printable(name)}"
        raise BrokenData(counted(things, verb, count, tolerance, failed), name, failed)


def too_many(failed: Failures, count: int, tolerance: float) -> bool:
    """Whether more of `count` have failed than are allowed to, or all."""
    return len(failed) > tolerance * count or len(failed) == count


def counted(things: str, verb: str, count: int, tolerance: float, failed: Failures) -> str:
    """How many of what cannot be decoded or used, and why the first few are not."""
    first = "; then ".join(f"{printable(key)}: {reason}" for key, reason in failed[:NAMED])
    allowed = f", more than {100 * tolerance:g}%" if tolerance < 1 else ""
    return f"{len(failed)} of {count} {things} cannot be {verb}{allowed}; the first is {first}"
