"""How much a file may unpack to: one of a few kilobytes can take all the memory, or all the disk, there is."""

import os

from selftaught.system.memory import machine_memory
from selftaught.system.text import bytes_of, filesize

NAME = "SELFTAUGHT_LARGEST"  # of the environment
HARMLESS = 256 << 20  # bytes, whatever file they come from
HONEST, MOST = 4, 200  # times its size that a file may unpack to without a bound, and with one


class Bomb(ValueError):  # noqa: N818 - the field's word
    """A file unpacks to more than it may; the line says what raises the bound."""


def refuse_bomb(unpacked: int, stored: int, what: str) -> None:
    """Raise Bomb where what is stored in so many bytes unpacks to more than `allowed`."""
    if unpacked > allowed(stored):
        times = unpacked // max(1, stored)
        raise Bomb(
            f"{what} would take {filesize(unpacked)}, {times:,} times what is stored; {filesize(allowed(stored))} "
            f"are allowed; if you trust it, set {NAME}={max(1, -(-unpacked // 10**9))}GB"
        )


def allowed(stored: int) -> int:
    """Bytes that so many may unpack to: what the user says, or by their number and the machine's memory."""
    if said := os.environ.get(NAME):
        return _said(said)
    return max(HARMLESS, HONEST * stored, min(MOST * stored, machine_memory() // 2))


def _said(text: str) -> int:
    try:
        return int(bytes_of(text))
    except ValueError as error:
        raise Bomb(f"{NAME} cannot be {text!r}: {error}") from None
