"""What metadata a run has used, in its folder: of each sample the numbers of its values, which say nothing of these.

By them it is told whether labels that are to judge the run have had a part in it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selftaught.system.arrays import array_in, npy
from selftaught.system.files import write_atomically

FILE = "metadata.codes.npy"
LARGEST = 4 << 30  # bytes of the file

Codes = NDArray[np.int32]  # (columns, N), in the order of the recipe's `columns`; -1 where nothing is known


def write_codes(folder: Path, codes: Codes) -> None:
    """Write them, once: a run has the metadata that it began with."""
    if not (folder / FILE).exists():
        write_atomically(folder / FILE, npy(codes))


def read_codes(folder: Path) -> Codes | None:
    """Those in a run folder; None where there are none, or none that hold together."""
    try:
        held = array_in(folder / FILE, LARGEST)
    except (OSError, ValueError, EOFError):
        return None
    return held if held.dtype == np.int32 and held.ndim == 2 else None
