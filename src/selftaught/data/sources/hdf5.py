"""Images in a data set of an HDF5 file, read a chunk at a time; nothing in it leads out of the file, and no object is
made of it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.data.sources.arrays import Arrays, labels_of
from selftaught.data.sources.contents import column_in
from selftaught.data.sources.lazily import Shapes, Slabs, images_among, labels_among_arrays, refuse_vast, words
from selftaught.data.sources.source import reading
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

CHUNKS = 64 << 20  # bytes of chunks that are kept unpacked
MOST = 10_000  # data sets that are looked at
KIND = " as HDF5"  # in errors


def open_hdf5(path: Path, label_column: str | None = None, column: str | None = None) -> Arrays:
    """The images of a file, and labels by the rules of .npz. Raises DataError and UsageError.

    column: which data set holds the images; label_column: which holds labels.
    """
    try:
        import h5py
    except ImportError:
        raise UsageError(f"{printable(path.name)} needs h5py: pip install 'selftaught[hdf5]'") from None
    shown = printable(path.name)
    with reading(path.name, KIND):
        status = path.stat()
        file = h5py.File(path, "r", rdcc_nbytes=CHUNKS, locking="best-effort")  # open for as long as its source lives
        sets = _sets(file)
        held: Shapes = {name: (one.shape, one.dtype) for name, one in sets.items()}
        name = images_among(held, column, shown)
        images = _own(sets[name], shown, name)
        chunk = images.chunks or (1, *images.shape[1:])
        refuse_vast(shown, images.shape, images.dtype, chunk, status.st_size)
        label = labels_among_arrays(held, name, label_column, shown)
        labels = _labels(_own(sets[label], shown, label), len(images), shown) if label else None
    # More rows of one chunk are read at once than there are: they are unpacked but once.
    slabs: Any = Slabs(path.name, KIND, lambda a, b: images[a:b], images.shape, images.dtype, chunk[0])
    return Arrays(path.stem, slabs, labels, (column_in(os.path.realpath(path), name), status))


def _sets(file: Any) -> dict[str, Any]:
    """The data sets that lie in the file itself; no link is followed."""
    found: dict[str, Any] = {}

    def met(name: str, one: Any) -> bool | None:
        if hasattr(one, "shape") and one.shape is not None:
            found[name] = one
        return True if len(found) >= MOST else None

    file.visititems(met)
    return found


def _own(one: Any, shown: str, name: str) -> Any:
    """A data set whose values are numbers or text in the file itself. Raises DataError."""
    import h5py

    called = f"data set '{printable(name)}' of {shown}"
    if one.is_virtual or one.external:
        raise DataError(f"{called} is made of other files, which are not opened: copy its values into one file")
    if one.dtype.kind not in "uifSbU" and h5py.check_string_dtype(one.dtype) is None:
        kind = "objects" if one.dtype.kind == "O" else str(one.dtype)
        raise DataError(f"{called} holds {kind}, and is read where it holds numbers, or text for labels")
    return one


def _labels(one: Any, count: int, shown: str) -> NDArray[Any]:
    import h5py

    if one.shape not in ((count,), (count, 1)):
        labels_of(np.broadcast_to(np.zeros(()), one.shape), count, shown)  # which says so
    if h5py.check_string_dtype(one.dtype) is not None:
        return np.asarray(one.asstr("utf-8", "surrogateescape")[()])
    return words(np.asarray(one[()]))


OPENS = {".h5": open_hdf5, ".hdf5": open_hdf5}
