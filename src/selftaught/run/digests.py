"""The digests of what a run was trained on, in its folder: one a sample, in their order; and of who watched it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selftaught.system.arrays import array_in, npy
from selftaught.system.files import write_atomically

FILE, WATCHED = "data.digests.npy", "watched.digests.npy"
BYTES = 16  # of a digest
LARGEST = 4 << 30  # bytes of the file

Digests = NDArray[np.uint8]  # (N, 16)


def write_digests(folder: Path, digests: Digests) -> None:
    """Write them, once: a run has the data that it began with."""
    if not (folder / FILE).exists():
        write_atomically(folder / FILE, npy(digests))


def add_digests(folder: Path, name: str, digests: Digests) -> None:
    """Write them beside those that the file of this name has already, each once."""
    held = read_digests(folder, name)
    all_of_them = digests if held is None else np.concatenate([held, digests])
    write_atomically(folder / name, npy(np.unique(all_of_them, axis=0)))


def read_digests(folder: Path, name: str = FILE) -> Digests | None:
    """Those in a run folder; None where there are none, as in runs of earlier versions, or none that hold together."""
    try:
        held = array_in(folder / name, LARGEST)
    except (OSError, ValueError, EOFError):
        return None
    return held if held.dtype == np.uint8 and held.ndim == 2 and held.shape[1] == BYTES else None


def among(digests: Digests, others: Digests) -> NDArray[np.bool_]:
    """Which of the digests are among the others (N,)."""
    known = set(map(bytes, others))
    return np.fromiter((bytes(digest) in known for digest in digests), np.bool_, len(digests))
