"""Arrays in `.npy` and `.npz` files, read without running anything that such a file can hold."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .progress import plain


def labels_of(values: NDArray[Any], count: int, name: str) -> list[str]:
    """The labels of so many samples as text. Raises DataError where they are not one each."""
    if values.shape not in ((count,), (count, 1)):
        raise DataError(f"{name} has labels of shape {values.shape}; {count} samples take ({count},), one each")
    return [str(label) for label in values.reshape(-1).tolist()]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name; the one of a .npy has the name "x" and stays on the disk. Raises DataError."""
    try:
        if path.suffix == ".npy":
            return {"x": np.load(path, mmap_mode="r", allow_pickle=False)}
        with np.load(path, allow_pickle=False) as archive:
            held = {name: archive[name] for name in archive.files}
        return {name: array for name, array in held.items() if isinstance(array, np.ndarray)}  # no other members
    except Exception as error:  # broken files raise many kinds, of numpy, zipfile and zlib
        reason = str(error) or type(error).__name__
        raise DataError(f"{plain(path.name)} cannot be read: {plain(reason.splitlines()[0])}") from None
