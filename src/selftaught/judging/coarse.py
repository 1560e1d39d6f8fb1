"""How coarse what is made of all samples becomes, for it to be held in memory."""

from collections.abc import Callable, Iterable

MOST = 1 << 30  # bytes; what scales and reduces them takes three times as many


def fits(size: int) -> bool:
    """Whether so many bytes may be held."""
    return size <= MOST


def finest(choices: Iterable[int], taken: Callable[[int], int]) -> int:
    """The first choice, of those that take ever fewer bytes, that may be held; the last one where none may."""
    choice = 1
    for choice in choices:
        if fits(taken(choice)):
            break
    return choice
